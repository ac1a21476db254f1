/**
 * The translation caches of a unit, in linear memory: how big they are, and what invalidations remove.
 *
 * VT-d rev 5.10, 6.2 "Address Translation Caches" and 6.5 "Invalidation of Translation Caches".
 * Hardware may have any of them or none, and may lose any entry at any time: every policy is permitted.
 */
import { TLB_VALUE_BYTES, WAYS } from "../../assembly/layout/caches.ts";
import { NO_POINTER } from "../../assembly/layout/core.ts";
import {
  CONTEXT_ORIGIN_BYTES,
  CONTEXT_VALUE_BYTES,
  IOTLB_ORIGIN_BYTES,
  PASID_ORIGIN_BYTES,
  PASID_VALUE_BYTES,
  TABLE_ORIGIN_BYTES,
  TABLE_VALUE_BYTES,
  VTD_POLICY,
} from "../../assembly/layout/vtd-caches.ts";
import { VTD } from "../../assembly/layout/vtd-unit.ts";
import { checkInteger, checkOneOf } from "../check.ts";
import type { Core } from "../core/core.ts";
import type { UnitBlocks } from "../workers/unit-blocks.ts";
import type { VtdCaches } from "./parts.ts";

/** Entries of each cache: 4 times a power of two; but for the IOTLB also 0, there is none then. */
export interface VtdCacheSizes {
  iotlb: number;
  contexts: number;
  pasids: number;
  /** First- and second-stage paging structures. */
  firstTables: number;
  secondTables: number;
}

/**
 * "none": every request is walked. "sized": an IOTLB of ordinary size, and what else sizes are given
 * for. "retain": the unforgiving hardware, with all caches, which holds whatever the architecture lets it hold, for as long as it has room.
 * Sizes given replace those of the policy. `origins`: the cache in front keeps with each entry the addresses
 * of the entries it came from, about 100 bytes; without, an entry takes less than 64 bytes in all.
 */
export type VtdCachePolicy =
  | "none"
  | "sized"
  | "retain"
  | (Partial<VtdCacheSizes> & { policy: "sized" | "retain"; origins?: boolean });

const POLICIES = ["sized", "retain"] as const;
const SIZES: Readonly<Record<"sized" | "retain", VtdCacheSizes>> = {
  sized: { iotlb: 1024, contexts: 0, pasids: 0, firstTables: 0, secondTables: 0 },
  retain: { iotlb: 2048, contexts: 256, pasids: 512, firstTables: 1024, secondTables: 1024 },
};

/** Caches of a unit block, and of those of workers; they stay where they are for as long as the memory lives. */
export class VtdTranslationCaches implements VtdCaches {
  readonly sizes: VtdCacheSizes;
  /** Pointer to the IOTLB, which is in front of all others. */
  readonly front: number;
  readonly #core: Core;
  readonly #origins: boolean;
  readonly #blocks: UnitBlocks;

  /**
   * @param unit the walker's own block; @param blocks it and those of workers
   * @throws RangeError when a size is not 4 times a power of two, or linear memory has no room left
   */
  constructor(core: Core, unit: number, blocks: UnitBlocks, policy: Exclude<VtdCachePolicy, "none">) {
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
    const { contexts, pasids, firstTables, secondTables } = this.sizes;
    const isAnyBehind = contexts + pasids + firstTables + secondTables > 0;
    const bits = (kind === "retain" ? VTD_POLICY.RETAIN : 0) | (isAnyBehind ? VTD_POLICY.BEHIND : 0);
    core.view.setUint32(unit + VTD.POLICY, bits, true);
    this.front = this.openIn(unit);
  }

  /**
   * Gives a unit block such caches, empty.
   * @returns pointer to the IOTLB; @throws RangeError as the constructor
   */
  openIn(unit: number): number {
    const { iotlb, contexts, pasids, firstTables, secondTables } = this.sizes;
    this.#open(unit, VTD.CONTEXTS, "contexts", contexts, CONTEXT_VALUE_BYTES, CONTEXT_ORIGIN_BYTES);
    this.#open(unit, VTD.PASIDS, "pasids", pasids, PASID_VALUE_BYTES, PASID_ORIGIN_BYTES);
    this.#open(unit, VTD.FS_TABLES, "firstTables", firstTables, TABLE_VALUE_BYTES, TABLE_ORIGIN_BYTES);
    this.#open(unit, VTD.SS_TABLES, "secondTables", secondTables, TABLE_VALUE_BYTES, TABLE_ORIGIN_BYTES);
    return this.#open(unit, VTD.IOTLB, "iotlb", iotlb, TLB_VALUE_BYTES, IOTLB_ORIGIN_BYTES);
  }

  invalidateContext(granularity: number, did: number, sid: number, functionMask: number, legacy: boolean): void {
    this.#blocks.change((unit) =>
      this.#core.exports.vtdInvalidateContext(unit, granularity, did, sid, functionMask, Number(legacy)),
    );
  }

  invalidatePasid(granularity: number, did: number, pasid: number): void {
    this.#blocks.change((unit) => this.#core.exports.vtdInvalidatePasid(unit, granularity, did, pasid));
  }

  invalidateIotlb(granularity: number, did: number, address: bigint, addressMask: number, leavesOnly: boolean): void {
    const [low, high] = halves(address);
    const hint = Number(leavesOnly);
    this.#blocks.change((unit) =>
      this.#core.exports.vtdInvalidateIotlb(unit, granularity, did, low, high, addressMask, hint),
    );
  }

  invalidatePasidIotlb(
    granularity: number,
    did: number,
    pasid: number,
    address: bigint,
    addressMask: number,
    leavesOnly: boolean,
  ): void {
    const [low, high] = halves(address);
    const hint = Number(leavesOnly);
    this.#blocks.change((unit) =>
      this.#core.exports.vtdInvalidatePasidIotlb(unit, granularity, did, pasid, low, high, addressMask, hint),
    );
  }

  /** Host permission tables are walked each time. */
  invalidateHpt(): void {}

  /** So are interrupt remapping tables. */
  invalidateInterrupts(): void {}

  invalidateAll(): void {
    this.#blocks.change((unit) => this.#core.exports.vtdInvalidateAll(unit));
  }

  #open(unit: number, pointer: number, name: string, entries: number, valueBytes: number, originBytes: number): number {
    if (entries === 0 && pointer !== VTD.IOTLB) return NO_POINTER;
    const sets = checkInteger(name, entries, WAYS, 2 ** 24) / WAYS;
    if (!Number.isInteger(Math.log2(sets))) throw new RangeError(`${name}: ${entries} is not 4 times a power of two`);
    const origins = Number(this.#origins || pointer !== VTD.IOTLB);
    const cache = this.#core.allocate(this.#core.exports.cacheBytes(sets, valueBytes, originBytes, origins) >>> 0);
    this.#core.exports.cacheOpen(cache, sets, valueBytes, originBytes, origins);
    this.#core.view.setUint32(unit + pointer, cache, true);
    return cache;
  }
}

function halves(address: bigint): [low: number, high: number] {
  return [Number(BigInt.asUintN(32, address)), Number(address >> 32n)];
}
