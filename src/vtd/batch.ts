/** Many requests in one call: records in linear memory, with the unit's faults recorded afterwards. */
import {
  ANSWER,
  REQUEST,
  REQUEST_BYTES,
  REQUEST_FLAG,
  RESULT,
  RESULT_BYTES,
  RESULT_FLAG,
} from "../../assembly/layout/core.ts";
import { UnitBatch } from "../batch.ts";
import type { Core } from "../core/core.ts";
import type { Batch } from "../walk/batch.ts";
import type { VtdHardware } from "./hardware.ts";
import { faultOfFlags } from "./requests.ts";

export class VtdBatch extends UnitBatch {
  readonly #hardware: VtdHardware;

  constructor(batch: Batch, core: Core, hardware: VtdHardware) {
    super(batch, core);
    this.#hardware = hardware;
  }

  override run(count: number): void {
    super.run(count);
    if (this.#hardware.protectedMemory.isOn) for (let i = 0; i < count; i++) this.#protect(i);
  }

  protected override recordFault(index: number): void {
    const { view } = this.core;
    const at = this.requests + index * REQUEST_BYTES;
    const flags = view.getUint32(at + REQUEST.FLAGS, true);
    if (flags & REQUEST_FLAG.PROBE) return;
    const code = view.getUint32(this.results + index * RESULT_BYTES + RESULT.CODE, true);
    const sid = view.getUint32(at + REQUEST.SID, true);
    const pasid = view.getUint32(at + REQUEST.PASID, true);
    this.#hardware.faults.record(faultOfFlags(code, sid, pasid, view.getBigUint64(at + REQUEST.ADDRESS, true), flags));
  }

  /** § 11.4.8: what ends in a protected region is refused. */
  #protect(index: number): void {
    const { view } = this.core;
    const result = this.results + index * RESULT_BYTES;
    const asked = view.getUint32(this.requests + index * REQUEST_BYTES + REQUEST.FLAGS, true);
    const flags = view.getUint32(result + RESULT.FLAGS, true);
    const failed = view.getUint32(result + RESULT.CODE, true) !== 0 || (flags & RESULT_FLAG.ANSWER) !== ANSWER.SUCCESS;
    if (failed || asked & REQUEST_FLAG.TRANSLATION) return;
    const asIs = (flags & RESULT_FLAG.BYPASS) !== 0 || (asked & REQUEST_FLAG.TRANSLATED) !== 0;
    if (!this.#hardware.protectedMemory.blocks(view.getBigUint64(result + RESULT.ADDRESS, true), asIs)) return;
    this.core.u8.fill(0, result, result + RESULT_BYTES);
    view.setUint32(result + RESULT.FLAGS, ANSWER.UR, true);
  }
}
