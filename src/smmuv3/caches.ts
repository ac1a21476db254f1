/**
 * The caches of an SMMU, in linear memory: how big they are, and what invalidations remove.
 *
 * IHI 0070 3.17 "TLB tagging, VMIDs, ASIDs", 3.21 "Structure access rules and update procedures".
 * Hardware may have any of them or none, and may lose any entry at any time: every policy is permitted.
 */
import { TLB_VALUE_BYTES, WAYS } from "../../assembly/layout/caches.ts";
import { NO_POINTER } from "../../assembly/layout/core.ts";
import { CD_SIZE, L1CD_SIZE, STE_SIZE } from "../../assembly/layout/smmuv3.ts";
import {
  LEAF2_VALUE_BYTES,
  ORIGIN_BYTES,
  PAIR_BYTES,
  PATH_BYTES,
  SINGLE_BYTES,
  SMMU_POLICY,
  TABLE_VALUE_BYTES,
  TRANSLATION_VALUE_BYTES,
} from "../../assembly/layout/smmuv3-caches.ts";
import { SMMU } from "../../assembly/layout/smmuv3-unit.ts";
import { checkInteger, checkOneOf } from "../check.ts";
import type { Core } from "../core/core.ts";
import type { UnitBlocks } from "../workers/unit-blocks.ts";
import type { SmmuCaches, TlbInvalidation } from "./invalidation.ts";

/** Entries of each cache: 4 times a power of two; 0, which `requesters` cannot be: there is no such cache. */
export interface SmmuCacheSizes {
  /** Translations by stream, substream and page, in front of all others. */
  requesters: number;
  /** Level 1 stream table descriptors, STEs, level 1 context descriptors, CDs. */
  l1Stds: number;
  stes: number;
  l1Cds: number;
  cds: number;
  /** Translations of stage 1, alone or combined with stage 2, by VMID and ASID. */
  translations: number;
  /** Translations of stage 2, by VMID. */
  stage2Leaves: number;
  /** Translation tables of stage 1 and stage 2. */
  stage1Tables: number;
  stage2Tables: number;
}

/**
 * "none": every request is walked. "sized": a cache by request of ordinary size, and what else sizes are
 * given for. "retain": the unforgiving hardware, with all caches, which holds whatever the architecture
 * lets it hold, for as long as it has room.
 * Sizes given replace those of the policy. `origins`: the cache in front keeps with each entry the addresses
 * of the entries it came from, about 100 bytes; without, an entry takes less than 64 bytes in all.
 */
export type SmmuCachePolicy =
  | "none"
  | "sized"
  | "retain"
  | (Partial<SmmuCacheSizes> & { policy: "sized" | "retain"; origins?: boolean });

const POLICIES = ["sized", "retain"] as const;
const SIZES: Readonly<Record<"sized" | "retain", SmmuCacheSizes>> = {
  sized: {
    requesters: 1024,
    l1Stds: 0,
    stes: 0,
    l1Cds: 0,
    cds: 0,
    translations: 0,
    stage2Leaves: 0,
    stage1Tables: 0,
    stage2Tables: 0,
  },
  retain: {
    requesters: 2048,
    l1Stds: 128,
    stes: 256,
    l1Cds: 256,
    cds: 512,
    translations: 2048,
    stage2Leaves: 2048,
    stage1Tables: 1024,
    stage2Tables: 1024,
  },
};
const ALL_STREAMS_LOG2 = 32;

/** Caches of a unit block, and of those of workers; they stay where they are for as long as the memory lives. */
export class SmmuTranslationCaches implements SmmuCaches {
  readonly sizes: SmmuCacheSizes;
  /** Pointer to the cache by request, which is in front of all others. */
  readonly front: number;
  readonly #core: Core;
  readonly #origins: boolean;
  readonly #blocks: UnitBlocks;

  /**
   * @param unit the walker's own block; @param blocks it and those of workers
   * @throws RangeError when a size is not 4 times a power of two, or linear memory has no room left
   */
  constructor(core: Core, unit: number, blocks: UnitBlocks, policy: Exclude<SmmuCachePolicy, "none">) {
    const {
      policy: kind,
      origins = false,
      ...sizes
    } = typeof policy === "string" ? { policy, origins: false } : policy;
    checkOneOf("caches", kind, POLICIES);
    this.#core = core;
    this.#blocks = blocks;
    this.#origins = origins;
    this.sizes = { ...SIZES[kind], ...sizes };
    const { requesters: _, ...behind } = this.sizes;
    const isAnyBehind = Object.values(behind).some((entries) => entries !== 0);
    const bits = (kind === "retain" ? SMMU_POLICY.RETAIN : 0) | (isAnyBehind ? SMMU_POLICY.BEHIND : 0);
    core.view.setUint32(unit + SMMU.POLICY, bits, true);
    this.front = this.openIn(unit);
  }

  /**
   * Gives a unit block such caches, empty.
   * @returns pointer to the one in front; @throws RangeError as the constructor
   */
  openIn(unit: number): number {
    this.#open(unit, SMMU.L1STDS, "l1Stds", L1CD_SIZE, SINGLE_BYTES);
    this.#open(unit, SMMU.STES, "stes", STE_SIZE, PAIR_BYTES);
    this.#open(unit, SMMU.L1CDS, "l1Cds", L1CD_SIZE, SINGLE_BYTES);
    this.#open(unit, SMMU.CDS, "cds", CD_SIZE, PAIR_BYTES);
    this.#open(unit, SMMU.TRANSLATIONS, "translations", TRANSLATION_VALUE_BYTES, 2 * PATH_BYTES);
    this.#open(unit, SMMU.LEAVES2, "stage2Leaves", LEAF2_VALUE_BYTES, PATH_BYTES);
    this.#open(unit, SMMU.TABLES1, "stage1Tables", TABLE_VALUE_BYTES, PATH_BYTES);
    this.#open(unit, SMMU.TABLES2, "stage2Tables", TABLE_VALUE_BYTES, PATH_BYTES);
    return this.#open(unit, SMMU.REQUESTERS, "requesters", TLB_VALUE_BYTES, ORIGIN_BYTES);
  }

  invalidateSte(sid: number, leaf: boolean): void {
    this.#blocks.change((unit) => this.#core.exports.smmuInvalidateStes(unit, sid, 0, Number(leaf)));
  }

  invalidateSteRange(sid: number, log2Streams: number): void {
    this.#blocks.change((unit) =>
      this.#core.exports.smmuInvalidateStes(unit, sid, Math.min(log2Streams, ALL_STREAMS_LOG2), 0),
    );
  }

  invalidateCd(sid: number, ssid: number, leaf: boolean): void {
    this.#blocks.change((unit) => this.#core.exports.smmuInvalidateCd(unit, sid, ssid, Number(leaf)));
  }

  invalidateCdAll(sid: number): void {
    this.#blocks.change((unit) => this.#core.exports.smmuInvalidateCds(unit, sid));
  }

  invalidateTlb({ opcode, vmidMask, vmid, asid, first, last, leaf }: TlbInvalidation): void {
    const { smmuInvalidateTlb } = this.#core.exports;
    this.#blocks.change((unit) => smmuInvalidateTlb(unit, opcode, vmidMask, vmid, asid, first, last, Number(leaf)));
  }

  /** Loses everything, as a reset may. */
  invalidateAll(): void {
    this.#blocks.change((unit) => this.#core.exports.smmuInvalidateAll(unit));
  }

  #open(unit: number, pointer: number, name: keyof SmmuCacheSizes, valueBytes: number, originBytes: number): number {
    const entries = this.sizes[name];
    if (name !== "requesters" && entries === 0) return NO_POINTER;
    const sets = checkInteger(name, entries, WAYS, 2 ** 24) / WAYS;
    if (!Number.isInteger(Math.log2(sets))) throw new RangeError(`${name}: ${entries} is not 4 times a power of two`);
    const origins = Number(this.#origins || name !== "requesters");
    const cache = this.#core.allocate(this.#core.exports.cacheBytes(sets, valueBytes, originBytes, origins) >>> 0);
    this.#core.exports.cacheOpen(cache, sets, valueBytes, originBytes, origins);
    this.#core.view.setUint32(unit + pointer, cache, true);
    return cache;
  }
}
