/** Many requests in one call: records in linear memory, with events and stalls dealt with afterwards. */
import { REQUEST, REQUEST_BYTES, REQUEST_FLAG, RESULT_BYTES } from "../../assembly/layout/core.ts";
import { UnitBatch } from "../batch.ts";
import type { Core } from "../core/core.ts";
import type { Fault, Request } from "../iommu.ts";
import type { Batch } from "../walk/batch.ts";
import type { SmmuOutcome } from "./unit.ts";

export class SmmuBatch extends UnitBatch {
  readonly #record: (request: Request, fault: Fault, result: number) => SmmuOutcome;
  /** What became of the requests of the last run whose events were recorded, by index. */
  readonly #recorded = new Map<number, SmmuOutcome>();
  /** The requests of `decide`. */
  #given: readonly Request[] = [];

  /** @param record records the event of a fault, and holds a transaction that stalls */
  constructor(batch: Batch, core: Core, record: (request: Request, fault: Fault, result: number) => SmmuOutcome) {
    super(batch, core);
    this.#record = record;
  }

  /**
   * Decides requests, at most `capacity`.
   * @throws RangeError, TypeError for a malformed one, before any is decided
   */
  decide(requests: readonly Request[]): SmmuOutcome[] {
    for (const [i, request] of requests.entries()) this.set(i, request);
    this.#given = requests;
    try {
      this.run(requests.length);
    } finally {
      this.#given = [];
    }
    return requests.map((_, i) => this.get(i));
  }

  override run(count: number): void {
    // A Map that is cleared allocates anew, even when it was empty.
    if (this.#recorded.size) this.#recorded.clear();
    super.run(count);
  }

  override get(index: number): SmmuOutcome {
    return this.#recorded.get(index) ?? super.get(index);
  }

  protected override recordFault(index: number): void {
    const fault = super.get(index);
    if (fault.ok) return;
    const request = this.#given[index] ?? this.#requestAt(index);
    this.#recorded.set(index, this.#record(request, fault, this.results + index * RESULT_BYTES));
  }

  #requestAt(index: number): Request {
    const { view } = this.core;
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
