/** What the two vendors' walkers share on this side of the boundary: single, batch and traced calls. */
import { RESULT_BYTES } from "../assembly/layout/core.ts";
import { checkInteger } from "./check.ts";
import type { Core } from "./core/core.ts";
import type { Outcome, Request, Trace } from "./iommu.ts";
import { Batch } from "./walk/batch.ts";
import { encodeRequest } from "./walk/request.ts";
import { type BareResult, copyResult, decodeResult, WalkResult } from "./walk/result.ts";
import { Tlb } from "./walk/tlb.ts";
import { openTrace, readTrace } from "./walk/trace.ts";
import type { Vendor } from "./walk/vendor.ts";

/** Walks tables for one IOMMU whose unit block the vendor's subclass sets up. */
export class Walker {
  /** Result of the last `walk`. */
  readonly result: WalkResult;
  readonly unit: number;
  readonly #core: Core;
  readonly #vendor: Vendor;
  readonly #tlb: Tlb | undefined;
  #trace = 0;

  /** @param cache the unit's cache of translations by request, if it has one */
  constructor(core: Core, vendor: Vendor, unit: number, cache?: number) {
    this.#core = core;
    this.#vendor = vendor;
    this.unit = unit;
    this.#tlb = cache === undefined ? undefined : new Tlb(core, unit, cache);
    this.result = new WalkResult(core, core.allocate(RESULT_BYTES));
  }

  /**
   * The bare walk: no BigInt, no garbage, no checks of the arguments. An argument of 2^31 or more may also be
   * the signed number of the same 32 bits (`x | 0`, out of an Int32Array): an engine that does not inline this
   * call would put the unsigned one on the heap.
   * @param sid u32
   * @param pasid u32, counts only with REQUEST_FLAG.PASID
   * @param low low half of the address; @param high its high half
   * @param flags REQUEST_FLAG bits
   * @returns fault reason or event number, 0 = none; everything else is in `result`
   */
  walk(sid: number, pasid: number, low: number, high: number, flags: number): number {
    // V8 boxes numbers of 2^31 and more for a call that it does not inline: where walkers of both vendors run.
    return this.#vendor.walk(this.unit, sid | 0, pasid | 0, low | 0, high | 0, flags | 0, this.result.ptr);
  }

  /**
   * As `walk`, but what it says goes into an object of the caller's, and `result` is anybody's guess: a
   * request that the unit's caches answer needs no call into WebAssembly. It is too long to be inlined
   * everywhere, so callers that want no garbage give signed arguments.
   * @returns fault reason or event number
   */
  walkInto(sid: number, pasid: number, low: number, high: number, flags: number, into: BareResult): number {
    if (this.#tlb?.look(sid, pasid, low, high, flags, into)) return 0;
    const code = this.walk(sid, pasid, low, high, flags);
    copyResult(this.#core.u32, this.result.ptr, into);
    return code;
  }

  /** Walks one request. @throws RangeError, TypeError for a malformed request, naming its member */
  translate(request: Request): Outcome {
    const { sid, pasid, address, flags } = encodeRequest(request, this.#vendor.maxSid);
    this.walk(sid, pasid, Number(address & 0xffff_ffffn), Number(address >> 32n), flags);
    return decodeResult(this.#core, this.#vendor, this.result.ptr);
  }

  /** Walks one request and reports every entry read and every check made on the way. */
  trace(request: Request): Trace {
    const { sid, pasid, address, flags } = encodeRequest(request, this.#vendor.maxSid);
    this.#trace ||= openTrace(this.#core, this.unit);
    const { ptr } = this.result;
    const low = Number(address & 0xffff_ffffn);
    this.#vendor.walkTraced(this.unit, sid, pasid, low, Number(address >> 32n), flags, ptr);
    return {
      outcome: decodeResult(this.#core, this.#vendor, ptr),
      steps: readTrace(this.#core, this.#vendor, this.#trace),
    };
  }

  /** Arrays in linear memory for up to `capacity` requests and their results. */
  batch(capacity: number): Batch {
    return new Batch(this.#core, this.#vendor, this.unit, checkInteger("capacity", capacity, 1, 1 << 24));
  }
}
