/** Many requests in one call through a whole unit: walked first, then what failed is dealt with, in order. */
import { RESULT, RESULT_BYTES, RESULT_FLAG } from "../assembly/layout/core.ts";
import type { Core } from "./core/core.ts";
import type { Outcome, Request } from "./iommu.ts";
import type { Batch } from "./walk/batch.ts";
import type { BareResult } from "./walk/result.ts";

/**
 * N requests and N results. Producers on a hot path write REQUEST records at `requests` themselves;
 * `set` is the convenient way.
 */
export abstract class UnitBatch {
  readonly capacity: number;
  /** Pointer to `capacity` records of REQUEST_BYTES. */
  readonly requests: number;
  /** Pointer to `capacity` records of RESULT_BYTES. */
  readonly results: number;
  protected readonly core: Core;
  readonly #batch: Batch;

  constructor(batch: Batch, core: Core) {
    this.#batch = batch;
    this.core = core;
    this.capacity = batch.capacity;
    this.requests = batch.requests;
    this.results = batch.results;
  }

  /** Stores request number `index`. @throws RangeError, TypeError naming what is malformed */
  set(index: number, request: Request): void {
    this.#batch.set(index, request);
  }

  /** Stores request number `index` from bare numbers, as `Walker.walk` takes them, unchecked but for `index`. */
  put(index: number, sid: number, pasid: number, low: number, high: number, flags: number): void {
    this.#batch.put(index, sid, pasid, low, high, flags);
  }

  /** Decides the first `count` requests; their faults are recorded in order. */
  run(count: number): void {
    let faults = this.#batch.run(count);
    const { view } = this.core;
    for (let i = 0; faults && i < count; i++) {
      const result = this.results + i * RESULT_BYTES;
      if (view.getUint32(result + RESULT.CODE, true) === 0) continue;
      faults--;
      if (view.getUint32(result + RESULT.FLAGS, true) & RESULT_FLAG.RECORD) this.recordFault(i);
    }
  }

  /** What the walk of request number `index` said, into an object of the caller's. */
  read(index: number, into: BareResult): void {
    this.#batch.read(index, into);
  }

  /** Result number `index`. */
  get(index: number): Outcome {
    return this.#batch.get(index);
  }

  /** Records the fault of request number `index`, as the vendor does. */
  protected abstract recordFault(index: number): void;
}
