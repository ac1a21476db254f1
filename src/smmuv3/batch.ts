/** Many requests in one call: records in linear memory, with events and stalls dealt with afterwards. */
import { REQUEST, REQUEST_BYTES, REQUEST_FLAG, RESULT, RESULT_BYTES, RESULT_FLAG } from "../../assembly/layout/core.ts";
import type { Core } from "../core/core.ts";
import type { Fault, Request } from "../iommu.ts";
import type { Batch } from "../walker.ts";
import type { SmmuOutcome } from "./unit.ts";

/**
 * N requests and N results. Producers on a hot path write REQUEST records at `requests` themselves;
 * `set` is the convenient way.
 */
export class SmmuBatch {
  readonly capacity: number;
  /** Pointer to `capacity` records of REQUEST_BYTES. */
  readonly requests: number;
  /** Pointer to `capacity` records of RESULT_BYTES. */
  readonly results: number;
  readonly #batch: Batch;
  readonly #core: Core;
  readonly #record: (request: Request, fault: Fault, result: number) => SmmuOutcome;
  /** What became of the requests of the last run whose events were recorded, by index. */
  readonly #recorded = new Map<number, SmmuOutcome>();

  /** @param record records the event of a fault, and holds a transaction that stalls */
  constructor(batch: Batch, core: Core, record: (request: Request, fault: Fault, result: number) => SmmuOutcome) {
    this.#batch = batch;
    this.#core = core;
    this.#record = record;
    this.capacity = batch.capacity;
    this.requests = batch.requests;
    this.results = batch.results;
  }

  /** Stores request number `index`. @throws RangeError, TypeError naming what is malformed */
  set(index: number, request: Request): void {
    this.#batch.set(index, request);
  }

  /** Decides the first `count` requests; their events are recorded in order. */
  run(count: number): void {
    let faults = this.#batch.run(count);
    this.#recorded.clear();
    const { view } = this.#core;
    for (let i = 0; faults && i < count; i++) {
      const result = this.results + i * RESULT_BYTES;
      if (view.getUint32(result + RESULT.CODE, true) === 0) continue;
      faults--;
      if (view.getUint32(result + RESULT.FLAGS, true) & RESULT_FLAG.RECORD) this.#recordFault(i);
    }
  }

  /** Result number `index`. */
  get(index: number): SmmuOutcome {
    return this.#recorded.get(index) ?? this.#batch.get(index);
  }

  #recordFault(index: number): void {
    const fault = this.#batch.get(index);
    if (fault.ok) return;
    this.#recorded.set(index, this.#record(this.#requestAt(index), fault, this.results + index * RESULT_BYTES));
  }

  #requestAt(index: number): Request {
    const { view } = this.#core;
    const at = this.requests + index * REQUEST_BYTES;
    const flags = view.getUint32(at + REQUEST.FLAGS, true);
    const has = (flag: REQUEST_FLAG): boolean => (flags & flag) !== 0;
    const writes = has(REQUEST_FLAG.WRITE);
    return {
      sid: view.getUint32(at + REQUEST.SID, true),
      pasid: has(REQUEST_FLAG.PASID) ? view.getUint32(at + REQUEST.PASID, true) : null,
      address: view.getBigUint64(at + REQUEST.ADDRESS, true),
      access: writes && has(REQUEST_FLAG.READ) ? "a" : writes ? "w" : has(REQUEST_FLAG.EXECUTE) ? "x" : "r",
      privileged: has(REQUEST_FLAG.PRIVILEGED),
      type: has(REQUEST_FLAG.TRANSLATION)
        ? "translation"
        : has(REQUEST_FLAG.TRANSLATED)
          ? "translated"
          : "untranslated",
      noWrite: has(REQUEST_FLAG.NO_WRITE),
      probe: has(REQUEST_FLAG.PROBE),
    };
  }
}
