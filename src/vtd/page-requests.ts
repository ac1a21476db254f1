/**
 * Page requests: the queue that software reads, overflow, and the responses the unit makes up itself.
 *
 * Intel D51397, rev 5.10, "Handling Page Requests", "Page Request Descriptor", "Page Request Event".
 */

import { PGTT } from "../../assembly/layout/vtd.ts";
import {
  LOG2_PAGE_REQS,
  P_IOTLB_G,
  PAGE_REQ,
  PAGE_REQ_BYTES,
  PAGE_REQ_TYPE,
  RESPONSE,
} from "../../assembly/layout/vtd-descriptors.ts";
import { GRANULARITY, PQ_POINTER, PQA, PRS } from "../../assembly/layout/vtd-registers.ts";
import type { PageRequest } from "../endpoint.ts";
import { build, getInPlace } from "../structure.ts";
import type { DeviceMessages } from "./endpoints.ts";
import type { EventInterrupt } from "./events.ts";
import type { UnitParts } from "./parts.ts";

/** What became of a page request. */
export type PageRequestOutcome =
  /** In the queue, software will answer. */
  | "queued"
  /** Answered by the unit: success (the device shall try again) or invalid request. */
  | "retry"
  | "invalid"
  /** Gone without an answer. */
  | "dropped";

/** Where a request belongs: what the walk to its PASID entry found. */
export interface PageRequestTarget {
  did: number;
  pgtt: number;
  /** PASID that selected the entry: RID_PASID for a request without one. */
  pasid: number;
}

const WORDS = PAGE_REQ_BYTES / 8;

export class PageRequestQueue {
  readonly #parts: UnitParts;
  readonly #event: EventInterrupt;
  readonly #devices: DeviceMessages;

  constructor(parts: UnitParts, event: EventInterrupt, devices: DeviceMessages) {
    this.#parts = parts;
    this.#event = event;
    this.#devices = devices;
  }

  /**
   * A request whose way to its PASID entry is sound.
   * @param target what that entry says; without it nothing is known to be cached for the page
   */
  submit(request: PageRequest, target?: PageRequestTarget): PageRequestOutcome {
    const { registers } = this.#parts;
    // § 7.4.1: after an overflow everything is refused until software clears it.
    if (registers.has("PRS", PRS.PRO)) return this.#refuse(request);
    const bytes = 2 ** (Number(registers.getField("PQA", PQA.PQS)) + LOG2_PAGE_REQS) * PAGE_REQ_BYTES;
    const head = Number(registers.getInPlace("PQH", PQ_POINTER.POINTER)) % bytes;
    const tail = Number(registers.getInPlace("PQT", PQ_POINTER.POINTER)) % bytes;
    const next = (tail + PAGE_REQ_BYTES) % bytes;
    // § 7.4.1: one entry stays free.
    if (next === head) {
      this.#raise(PRS.PRO);
      return this.#refuse(request);
    }
    if (target) this.#invalidate(request, target);
    const { bus } = this.#parts;
    // A posted write: one that ends in nothing is not noticed by the queue.
    bus.writeWords(registers.getInPlace("PQA", PQA.PQA) + BigInt(tail), encode(request));
    registers.set("PQT", BigInt(next));
    this.#raise(PRS.PPR);
    return "queued";
  }

  /** A request that faulted on its way: § 7.4.1. */
  reject(request: PageRequest): PageRequestOutcome {
    return this.#answer(request, RESPONSE.INVALID_REQUEST, "invalid");
  }

  /** Software wrote PRS. */
  statusWritten(): void {
    const { registers } = this.#parts;
    // § 7.5: with both causes gone a message not yet sent is not sent any more.
    if (!registers.has("PRS", PRS.PPR) && !registers.has("PRS", PRS.PRO)) this.#event.clear();
  }

  /** § 7.5: the first cause to come up is an event. */
  #raise(field: number): void {
    const { registers } = this.#parts;
    const quiet = !registers.has("PRS", PRS.PPR) && !registers.has("PRS", PRS.PRO);
    registers.setField("PRS", field, 1);
    if (quiet) this.#event.raise();
  }

  #refuse(request: PageRequest): PageRequestOutcome {
    // § 7.4.1: nobody waits for an answer to a stop marker.
    if (this.#parts.features.SMS && isStopMarker(request)) return "dropped";
    return this.#answer(request, RESPONSE.SUCCESS, "retry");
  }

  #answer(request: PageRequest, code: RESPONSE, outcome: PageRequestOutcome): PageRequestOutcome {
    if (!request.last) return "dropped";
    const { pasid, group = 0 } = request;
    this.#devices.sendResponse(request.sid, pasid === undefined ? { group, code } : { pasid, group, code });
    return outcome;
  }

  /** § 7.4.1: software may have made the page present already; nothing cached may say otherwise. */
  #invalidate({ address }: PageRequest, { did, pgtt, pasid }: PageRequestTarget): void {
    const { caches } = this.#parts;
    if (pgtt === PGTT.FIRST_STAGE) caches.invalidatePasidIotlb(P_IOTLB_G.PAGE, did, pasid, address, 0, false);
    else if (pgtt === PGTT.NESTED) caches.invalidateIotlb(GRANULARITY.DOMAIN, did, 0n, 0, false);
    else caches.invalidateIotlb(GRANULARITY.SELECTIVE, did, address, 0, false);
  }
}

function isStopMarker({ read, write, last }: PageRequest): boolean {
  return !read && !write && last === true;
}

function encode(request: PageRequest): bigint[] {
  const { sid, pasid, address, read, write, execute, privileged, last, group = 0 } = request;
  const words = build(PAGE_REQ, WORDS, {
    TYPE: PAGE_REQ_TYPE,
    PP: pasid !== undefined,
    RID: sid,
    PASID: pasid ?? 0,
    EXR: execute === true,
    PMR: privileged === true,
    RDR: read === true,
    WRR: write === true,
    LPIG: last === true,
    PRGI: group,
  });
  words[1] = (words[1] as bigint) | getInPlace([0n, address], PAGE_REQ.ADDR);
  return words;
}
