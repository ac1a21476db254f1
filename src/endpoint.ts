/**
 * A PCIe function behind an IOMMU, as far as the IOMMU speaks to it: address translation service (ATS)
 * and page requests (PRI). Both vendors use the same words.
 */

import type { Outcome, Request } from "./iommu.ts";

/** An invalidation request to a device's TLB. */
export interface DeviceInvalidation {
  /** Absent: translations of requests without PASID. */
  pasid?: number;
  /** First address of the range, a multiple of `size`. */
  address: bigint;
  /** Bytes, a power of two of at least 4096; 2^64 for everything. */
  size: bigint;
  /** Whatever the PASID is. */
  global: boolean;
  /** VT-d with ECAP.DIT: physical function that throttles, and how many invalidations it may have pending. */
  pfsid?: number;
  maxPending?: number;
}

/** The answer to a group of page requests. */
export interface PageGroupResponse {
  pasid?: number;
  /** Page request group index. */
  group: number;
  /** 0 success, 1 invalid request, 15 failure. */
  code: number;
}

/** A page request. */
export interface PageRequest {
  /** VT-d source-id, SMMUv3 StreamID. */
  sid: number;
  /** Absent: without PASID. */
  pasid?: number;
  /** The page wanted; the low 12 bits do not count. */
  address: bigint;
  read?: boolean;
  write?: boolean;
  /** Counts with a PASID only, as `privileged`. */
  execute?: boolean;
  privileged?: boolean;
  /** Last of its group. With a PASID and without read and write, it is a stop marker. */
  last?: boolean;
  /** Page request group index, 9 bits. */
  group?: number;
}

/** What a device does with what the unit sends it. */
export interface Endpoint {
  /** False: the device never answers, and the invalidation times out. */
  invalidate(invalidation: DeviceInvalidation): boolean;
  respond(response: PageGroupResponse): void;
}

/** A device that keeps what the unit sends it, and answers as it is told to. */
export class EndpointLog implements Endpoint {
  /** VT-d source-id, SMMUv3 StreamID. */
  readonly sid: number;
  /** Invalidation requests received, oldest first. */
  readonly invalidations: DeviceInvalidation[] = [];
  /** Page group responses received, oldest first. */
  readonly responses: PageGroupResponse[] = [];
  /** Answers an invalidation; false is no answer, which times out. Answers everything unless replaced. */
  onInvalidate: (invalidation: DeviceInvalidation) => boolean = () => true;
  onResponse: (response: PageGroupResponse) => void = () => {};

  constructor(sid: number) {
    this.sid = sid;
  }

  invalidate(invalidation: DeviceInvalidation): boolean {
    this.invalidations.push(invalidation);
    return this.onInvalidate(invalidation);
  }

  respond(response: PageGroupResponse): void {
    this.responses.push(response);
    this.onResponse(response);
  }
}

/** What an ATS translation request asks for, apart from the address. */
export interface TranslationOptions {
  pasid?: number;
  privileged?: boolean;
  /** NW: asks for read permission only. */
  noWrite?: boolean;
  /** Asks for execute permission too. */
  execute?: boolean;
}

/** An ATS translation completion. */
export interface TranslationCompletion {
  status: "success" | "ur" | "ca";
  /** Translated address with the size in its low bits, as on the wire: see `size`. */
  address: bigint;
  /** S: more than 4 KiB. */
  sized: boolean;
  /** Bytes that the completion covers. */
  size: bigint;
  read: boolean;
  write: boolean;
  execute: boolean;
  privileged: boolean;
  global: boolean;
  /** U: only untranslated requests may use the page. */
  untranslatedOnly: boolean;
  /** N: translated requests shall not set No Snoop. */
  nonSnooped: boolean;
}

const PAGE = 4096n;

/** The translation request of a device as the unit takes it. */
export function translationRequest(sid: number, address: bigint, options: TranslationOptions): Request {
  const { pasid = null, privileged = false, noWrite = false, execute = false } = options;
  return { sid, pasid, address, type: "translation", access: execute ? "x" : "r", privileged, noWrite };
}

/** The completion of a translation request that was answered by `outcome`. */
export function completionOf(outcome: Outcome, options: TranslationOptions): TranslationCompletion {
  const completion: TranslationCompletion = {
    status: outcome.answer === "ur" || outcome.answer === "ca" ? outcome.answer : "success",
    address: 0n,
    sized: false,
    size: PAGE,
    read: false,
    write: false,
    execute: false,
    // Priv repeats the request; a request without PASID has none to repeat.
    privileged: options.pasid !== undefined && options.privileged === true,
    global: false,
    untranslatedOnly: false,
    nonSnooped: false,
  };
  if (!outcome.ok) return completion;
  return { ...completion, ...completionRange(outcome.address, outcome.pageSize), ...outcome.permissions };
}

/** Address and size of a completion: above 4 KiB by S and the lowest zero bit from bit 12 up. */
function completionRange(address: bigint, size: bigint): { address: bigint; sized: boolean; size: bigint } {
  if (size <= PAGE) return { address: address - (address % PAGE), sized: false, size: PAGE };
  const start = address - (address % size);
  return { address: start + size / 2n - PAGE, sized: true, size };
}
