/** Our own ABI of the SMMU's caches: keys, values, and where entries came from. */

/** Bits of SMMU.POLICY. */
export enum SMMU_POLICY {
  /** Keep whatever the architecture permits: every level of the translation tables, too. */
  RETAIN = 1 << 0,
  /** There are caches behind the one by request. */
  BEHIND = 1 << 1,
}

/** Configuration: first word the StreamID or SubstreamID (level 1: of the block), second word this. */
export enum CONFIG_KEY {
  /** CDs and L1CDs. */
  SID = (31 << 16) | 0,
  /** L1STDs and L1CDs: log2 of the entries beneath. */
  LEAF = (36 << 16) | 32,
  VALID = (63 << 16) | 63,
}

/**
 * Translations and tables: first word the page (PAGE_KEY) or an address prefix, second word the tags of
 * IHI 0070 3.17.
 */
export enum TRANSLATION_KEY {
  VMID = (15 << 16) | 0,
  ASID = (31 << 16) | 16,
  /** WORLD */
  WORLD = (33 << 16) | 32,
  GLOBAL = (34 << 16) | 34,
  ASET = (35 << 16) | 35,
  /** Stage 1 behind stage 2 (a combined entry), as another stream world. */
  NESTED = (36 << 16) | 36,
  PRIVILEGED = (37 << 16) | 37,
  /** Tables: level of their descriptors, log2 of the granule. */
  LEVEL = (45 << 16) | 44,
  GRANULE = (50 << 16) | 46,
  VALID = (63 << 16) | 63,
}

/** Stage 2 leaf: u64 descriptor, u64 output address of the page. */
export enum LEAF2_VALUE {
  ENTRY = 0,
  ADDRESS = 8,
}
export const LEAF2_VALUE_BYTES = 16;
/** Table: u64 its address, u64 all table descriptors above, or-ed. */
export enum TABLE_VALUE {
  ADDRESS = 0,
  HIERARCHY = 8,
}
export const TABLE_VALUE_BYTES = 16;

/** A translation by its tags: a result's first part. */
export const TRANSLATION_VALUE_BYTES = 32;

/** Where a translation came from: u64 physical addresses of the entries, 0 where there is none. */
export enum ORIGIN {
  L1STD = 0,
  STE = 8,
  L1CD = 16,
  CD = 24,
  /** By level, from level 0. */
  STAGE1 = 32,
  STAGE2 = 64,
}
export const ORIGIN_BYTES = 96;
/** One stage of it. */
export const PATH_BYTES = 32;
/** STE (L1STD before it) and CD (L1CD before it): two addresses; a level 1 descriptor: one. */
export const PAIR_BYTES = 16;
export const SINGLE_BYTES = 8;
