/** Many requests in one call of the Wasm core. */
import { REQUEST, REQUEST_BYTES, RESULT_BYTES } from "../../assembly/layout/core.ts";
import { checkInteger } from "../check.ts";
import type { Core } from "../core/core.ts";
import type { Outcome, Request } from "../iommu.ts";
import { encodeRequest } from "./request.ts";
import { type BareResult, copyResult, decodeResult } from "./result.ts";
import type { Vendor } from "./vendor.ts";

/** Where a request's words are, in units of 32 bits. */
const SID_WORD = REQUEST.SID >> 2;
const PASID_WORD = REQUEST.PASID >> 2;
const ADDRESS_WORD = REQUEST.ADDRESS >> 2;
const FLAGS_WORD = REQUEST.FLAGS >> 2;

/**
 * N requests and N results in linear memory. Producers on a hot path write REQUEST records through
 * `core.u32` themselves; `set` is the convenient way.
 */
export class Batch {
  /** Pointer to `capacity` records of REQUEST_BYTES. */
  readonly requests: number;
  /** Pointer to `capacity` records of RESULT_BYTES. */
  readonly results: number;
  readonly capacity: number;
  readonly #core: Core;
  /** The core's: here, since each request is stored and read by it. */
  readonly #u32: Uint32Array;
  readonly #vendor: Vendor;
  readonly #unit: number;

  constructor(core: Core, vendor: Vendor, unit: number, capacity: number) {
    this.#core = core;
    this.#u32 = core.u32;
    this.#vendor = vendor;
    this.#unit = unit;
    this.capacity = capacity;
    this.requests = core.allocate(capacity * REQUEST_BYTES);
    this.results = core.allocate(capacity * RESULT_BYTES);
  }

  /** Stores request number `index`. */
  set(index: number, request: Request): void {
    checkInteger("index", index, 0, this.capacity - 1);
    const { view } = this.#core;
    const { sid, pasid, address, flags } = encodeRequest(request, this.#vendor.maxSid);
    const at = this.requests + index * REQUEST_BYTES;
    view.setUint32(at + REQUEST.SID, sid, true);
    view.setUint32(at + REQUEST.PASID, pasid, true);
    view.setBigUint64(at + REQUEST.ADDRESS, address, true);
    view.setUint32(at + REQUEST.FLAGS, flags, true);
  }

  /** Stores request number `index` from bare numbers, as `Walker.walk` takes them, unchecked but for `index`. */
  put(index: number, sid: number, pasid: number, low: number, high: number, flags: number): void {
    if (index >>> 0 >= this.capacity) checkInteger("index", index, 0, this.capacity - 1);
    const u32 = this.#u32;
    const at = (this.requests + index * REQUEST_BYTES) >>> 2;
    u32[at + SID_WORD] = sid;
    u32[at + PASID_WORD] = pasid;
    u32[at + ADDRESS_WORD] = low;
    u32[at + ADDRESS_WORD + 1] = high;
    u32[at + FLAGS_WORD] = flags;
  }

  /** Result number `index`, into an object of the caller's. */
  read(index: number, into: BareResult): void {
    if (index >>> 0 >= this.capacity) checkInteger("index", index, 0, this.capacity - 1);
    copyResult(this.#u32, this.results + index * RESULT_BYTES, into);
  }

  /**
   * Walks the first `count` requests, in any order the walker likes; results keep their places.
   * @returns how many of them have a fault reason or event number
   */
  run(count: number): number {
    checkInteger("count", count, 0, this.capacity);
    return this.#vendor.walkMany(this.#unit, this.requests, this.results, count);
  }

  /** Result number `index`. */
  get(index: number): Outcome {
    checkInteger("index", index, 0, this.capacity - 1);
    return decodeResult(this.#core, this.#vendor, this.results + index * RESULT_BYTES);
  }
}
