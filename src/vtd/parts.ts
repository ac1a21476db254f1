/** What the parts of a unit share: its registers, its bus, what its commands latched, and its caches. */

import type { P_IOTLB_G, PC_G } from "../../assembly/layout/vtd-descriptors.ts";
import type { GRANULARITY } from "../../assembly/layout/vtd-registers.ts";
import type { Bus } from "../bus.ts";
import type { RegisterFile } from "../registers.ts";
import type { VtdFeatures } from "./features.ts";

export interface UnitParts {
  readonly features: Readonly<VtdFeatures>;
  readonly registers: RegisterFile;
  readonly bus: Bus;
  readonly latched: Latched;
  readonly caches: VtdCaches;
}

/** What SRTP and SIRTP took over; the registers may hold newer values that are not yet in force. */
export interface Latched {
  rtaddr: bigint;
  irta: bigint;
}

/**
 * What an invalidation removes, section "Invalidation of Translation Caches". Removing more is always
 * permitted, so a unit without caches does nothing here.
 */
export interface VtdCaches {
  /** Context cache: all, a domain, or a source-id under a function mask (`legacy`: of that domain). */
  invalidateContext(granularity: GRANULARITY, did: number, sid: number, functionMask: number, legacy: boolean): void;
  /** PASID cache. */
  invalidatePasid(granularity: PC_G, did: number, pasid: number): void;
  /** IOTLB and paging-structure caches; `addressMask` is log2 of the pages, `leavesOnly` the hint IH. */
  invalidateIotlb(
    granularity: GRANULARITY,
    did: number,
    address: bigint,
    addressMask: number,
    leavesOnly: boolean,
  ): void;
  /** The same for one PASID of a domain. */
  invalidatePasidIotlb(
    granularity: P_IOTLB_G,
    did: number,
    pasid: number,
    address: bigint,
    addressMask: number,
    leavesOnly: boolean,
  ): void;
  /** Host permission tables; `levels` is IH: 0 = leaves only .. 3 = all. */
  invalidateHpt(granularity: GRANULARITY, did: number, address: bigint, addressMask: number, levels: number): void;
  /** Interrupt entries: 2^`indexMask` around `index`; all without an index. */
  invalidateInterrupts(index?: number, indexMask?: number): void;
  /** Everything but the interrupt entry cache. */
  invalidateAll(): void;
}

/** A unit that caches nothing. */
export const NO_CACHES: VtdCaches = {
  invalidateContext() {},
  invalidatePasid() {},
  invalidateIotlb() {},
  invalidatePasidIotlb() {},
  invalidateHpt() {},
  invalidateInterrupts() {},
  invalidateAll() {},
};
