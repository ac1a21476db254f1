/**
 * Walks SMMUv3 tables in guest memory, without queues or registers; caches if wanted.
 * Arm IHI 0070 (SMMUv3.0 to 3.2). The algorithm is `assembly/smmuv3`; AArch32 (LPAE) tables, MPAM and
 * Secure streams are not modelled.
 */
import { SMMU } from "../../assembly/layout/smmuv3-unit.ts";
import { checkBigInt, checkInteger } from "../check.ts";
import type { Core } from "../core/core.ts";
import type { CoreExports } from "../core/exports.ts";
import type { GuestMemory } from "../memory.ts";
import type { Vendor } from "../walk/vendor.ts";
import { Walker } from "../walker.ts";
import type { ShareOptions, WalkerHandle } from "../workers/handle.ts";
import { UnitBlocks } from "../workers/unit-blocks.ts";
import { type SmmuCachePolicy, SmmuTranslationCaches } from "./caches.ts";
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

/** The SMMU's half of a walker, with the unit's caches or without. */
export function smmuVendor(exports: CoreExports, cached: boolean): Vendor {
  return {
    maxSid: 0xffff_ffff,
    walk: cached ? exports.smmuTranslate : exports.smmuWalk,
    walkTraced: exports.smmuWalkTraced,
    walkMany: cached ? exports.smmuTranslateMany : exports.smmuWalkMany,
    codeName: eventName,
    structureName,
    check: checkInfo,
  };
}

export class SmmuWalker extends Walker {
  /** Without them every request is walked. Traces always walk. */
  readonly caches: SmmuTranslationCaches | undefined;
  readonly #core: Core;
  readonly #blocks: UnitBlocks;

  /**
   * @param policy what is cached; nothing unless told
   * @throws RangeError naming the register value that is no 32-bit (STRTAB_BASE: 64-bit) number, or when
   *   memory has no room left
   */
  constructor(memory: GuestMemory, state: SmmuState, policy: SmmuCachePolicy = "none") {
    const { core } = memory;
    const unit = core.allocate(SMMU.END);
    const blocks = new UnitBlocks(memory, unit, SMMU.END);
    const caches = policy === "none" ? undefined : new SmmuTranslationCaches(core, unit, blocks, policy);
    super(core, smmuVendor(core.exports, caches !== undefined), unit, caches?.front);
    this.#core = core;
    this.#blocks = blocks;
    this.caches = caches;
    this.configure(state);
  }

  /** Takes other register values. What is cached stays: the architecture says when to invalidate. */
  configure(state: SmmuState): void {
    this.#blocks.change((unit) => {
      this.#writeState(unit, state);
      this.#core.exports.smmuConfigure(unit);
    });
  }

  /**
   * Walkers for `count` more worker threads: post them, and attach there with `attachSmmuWalker` of
   * `iommulator/workers`. They go by the same registers; each has caches of its own, as large as these, which
   * are told of what these are told of.
   * @throws RangeError when the memory was made without `shared`, is served by the host in part, or has no
   *   room left
   */
  share(count: number, options?: ShareOptions): WalkerHandle[] {
    const { caches } = this;
    const open = (unit: number): void => {
      caches?.openIn(unit);
      this.#core.exports.smmuConfigure(unit);
    };
    return this.#blocks.share("smmuv3", count, caches && open, options);
  }

  /**
   * Takes a worker off: nobody waits for it any more. If it is still there, it throws at its next call; a call
   * under way ends by the old state. Its part of the workspace is not used again.
   * @throws RangeError when `index` is no worker of this walker
   */
  detach(index: number): void {
    this.#blocks.detach(index);
  }

  #writeState(unit: number, state: SmmuState): void {
    const { view } = this.#core;
    const put = (at: number, name: string, value: number) =>
      view.setUint32(unit + at, checkInteger(name, value, 0, 0xffff_ffff), true);
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
    view.setBigUint64(unit + SMMU.STRTAB_BASE, base, true);
  }
}
