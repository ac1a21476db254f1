/**
 * Walks SMMUv3 tables in guest memory, without caches, queues or registers: what memory alone decides.
 * Arm IHI 0070 (SMMUv3.0 to 3.2). The algorithm is `assembly/smmuv3`; AArch32 (LPAE) tables, MPAM and
 * Secure streams are not modelled.
 */
import { SMMU } from "../../assembly/layout/smmuv3-unit.ts";
import { checkBigInt, checkInteger } from "../check.ts";
import type { Core } from "../core/core.ts";
import type { GuestMemory } from "../memory.ts";
import { Walker } from "../walker.ts";
import { checkInfo, eventName, structureName } from "./names.ts";

/** What a walk depends on: ID and control registers, as a driver reads them. */
export interface SmmuState {
  idr0: number;
  idr1: number;
  idr3?: number;
  idr5: number;
  /** 2 = SMMUv3.2 unless told. */
  aidr?: number;
  cr0: number;
  cr2?: number;
  gbpa?: number;
  strtabBase: bigint;
  strtabBaseCfg: number;
}

/** SMMUv3.2 */
const DEFAULT_AIDR = 2;

export class SmmuWalker extends Walker {
  readonly #core: Core;

  /** @throws RangeError naming the register value that is no 32-bit (STRTAB_BASE: 64-bit) number */
  constructor(memory: GuestMemory, state: SmmuState) {
    const { core } = memory;
    const { smmuWalk, smmuWalkMany, smmuWalkTraced } = core.exports;
    super(
      core,
      {
        maxSid: 0xffff_ffff,
        walk: smmuWalk,
        walkTraced: smmuWalkTraced,
        walkMany: smmuWalkMany,
        codeName: eventName,
        structureName,
        check: checkInfo,
      },
      core.allocate(SMMU.END),
    );
    this.#core = core;
    this.configure(state);
  }

  /** Takes other register values; the next walk goes by them. */
  configure(state: SmmuState): void {
    const { view } = this.#core;
    const put = (at: number, name: string, value: number) =>
      view.setUint32(this.unit + at, checkInteger(name, value, 0, 0xffff_ffff), true);
    put(SMMU.IDR0, "idr0", state.idr0);
    put(SMMU.IDR1, "idr1", state.idr1);
    put(SMMU.IDR3, "idr3", state.idr3 ?? 0);
    put(SMMU.IDR5, "idr5", state.idr5);
    put(SMMU.AIDR, "aidr", state.aidr ?? DEFAULT_AIDR);
    put(SMMU.CR0, "cr0", state.cr0);
    put(SMMU.CR2, "cr2", state.cr2 ?? 0);
    put(SMMU.GBPA, "gbpa", state.gbpa ?? 0);
    put(SMMU.STRTAB_BASE_CFG, "strtabBaseCfg", state.strtabBaseCfg);
    const base = checkBigInt("strtabBase", state.strtabBase, 0n, 0xffff_ffff_ffff_ffffn);
    view.setBigUint64(this.unit + SMMU.STRTAB_BASE, base, true);
    this.#core.exports.smmuConfigure(this.unit);
  }
}
