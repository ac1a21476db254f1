/** Our own ABI of VT-d's translation caches: keys, values, and where entries came from. */

/** Bits of VTD.POLICY. */
export enum VTD_POLICY {
  /** Keep whatever the architecture permits: every level of the paging structures, too. */
  RETAIN = 1 << 0,
  /** There are caches behind the IOTLB. */
  BEHIND = 1 << 1,
}

/**
 * Second word of every key behind the IOTLB (which has REQUESTER): whom the entry serves. The first word is
 * an address prefix (paging structures), or the source-id or PASID (context and PASID cache).
 */
export enum KEY {
  SID = (15 << 16) | 0,
  PASID = (51 << 16) | 32,
  /** Paging-structure caches: of the domain, for all requesters. */
  DID = (15 << 16) | 0,
  /** Paging-structure caches: level of the entry held. */
  LEVEL = (54 << 16) | 52,
  /** Context cache: a scalable-mode entry. */
  SCALABLE = (55 << 16) | 55,
  VALID = (63 << 16) | 63,
}

/**
 * IOTLB: where a translation came from: u64 addresses of the entries, 0 where there is none. Those of
 * paging entries count only where FS_LEVELS and SS_LEVELS say so.
 */
export enum IOTLB_ORIGIN {
  CONTEXT = 0,
  DIRECTORY = 8,
  PASID = 16,
  /** By level, from level 1. */
  FS = 24,
  SS = 64,
  /** u8 by stage, bit n: there is an entry of level n. */
  FS_LEVELS = 104,
  SS_LEVELS = 105,
}
export const IOTLB_ORIGIN_BYTES = 112;

/** Context cache: the entry as read; its address. */
export const CONTEXT_VALUE_BYTES = 32;
export const CONTEXT_ORIGIN_BYTES = 8;

/** PASID cache: the entry as read, with the directory entry's FPD added. */
export const PASID_VALUE_BYTES = 64;
export enum PASID_ORIGIN {
  DIRECTORY = 0,
  PASID = 8,
}
export const PASID_ORIGIN_BYTES = 16;

/** Paging-structure caches: u64 the entry as read, u64 what it and all above it grant. */
export enum TABLE_VALUE {
  ENTRY = 0,
  GRANTED = 8,
}
export const TABLE_VALUE_BYTES = 16;
/** u64 addresses of the entries from the top to this one, by level, from level 1. */
export const TABLE_ORIGIN_BYTES = 40;
