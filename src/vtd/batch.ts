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
    const { protectedMemory } = this.#hardware;
    if (!protectedMemory.isOn) return;
    for (let i = 0; i < count; i++) {
      const asked = this.core.view.getUint32(this.requests + i * REQUEST_BYTES + REQUEST.FLAGS, true);
      refuseProtected(this.core, asked, this.results + i * RESULT_BYTES, (...access) =>
        protectedMemory.blocks(...access),
      );
    }
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
}

/**
 * § 11.4.8: what ends in a protected region is refused.
 * @param asked REQUEST_FLAG bits; @param result pointer to what the walk says
 * @param blocks whether an address is protected, from a device that named it as it is
 */
export function refuseProtected(
  { u8, view }: Core,
  asked: number,
  result: number,
  blocks: (address: bigint, asIs: boolean) => boolean,
): void {
  const flags = view.getUint32(result + RESULT.FLAGS, true);
  const failed = view.getUint32(result + RESULT.CODE, true) !== 0 || (flags & RESULT_FLAG.ANSWER) !== ANSWER.SUCCESS;
  if (failed || asked & REQUEST_FLAG.TRANSLATION) return;
  const asIs = (flags & RESULT_FLAG.BYPASS) !== 0 || (asked & REQUEST_FLAG.TRANSLATED) !== 0;
  if (!blocks(view.getBigUint64(result + RESULT.ADDRESS, true), asIs)) return;
  u8.fill(0, result, result + RESULT_BYTES);
  view.setUint32(result + RESULT.FLAGS, ANSWER.UR, true);
}
