/** Our own ABI of tagged caches in linear memory, see `assembly/caches.ts`. */

/** A cache: this header, then tags, values, origins and the replacement state. */
export enum CACHE {
  /** u32 number of sets, a power of two; 0: the cache holds nothing, ever. */
  SETS = 0,
  /** u32 valid entries. */
  COUNT = 4,
  /** u32 bytes of a value, of an origin; 0: entries have none. */
  VALUE_BYTES = 8,
  ORIGIN_BYTES = 12,
  /** u32 pointers. */
  TAGS = 16,
  VALUES = 20,
  ORIGINS = 24,
  VICTIMS = 28,
  /** u64 set of page shifts in use (bit n: pages of 2^n bytes), where the vendor keeps pages. */
  SHIFTS = 32,
  /** u32 how far to shift a hash so that its upper bits count sets, SET_TAG_BYTES each. */
  HASH_SHIFT = 40,
}
/**
 * Which set a key is in: the highest bits of its halves' products, so that TypeScript finds a set as
 * cheaply as Wasm does. The upper half of the first word joins the lower half of the second one,
 * rotated: high address bits then meet no source-id. Of many factors these spread pages best, of every
 * size and at any stride, of few and many source-ids and PASIDs.
 */
export const SPREAD_LOW = 0xa93cf547;
export const SPREAD_MIXED = 0xa4f04cf5;
export const SPREAD_HIGH = 0xc511ff0d;
/** How far the upper half of the first word is rotated before that. */
export const MIX_ROTATION = 16;
export const CACHE_HEADER = 64;
/** Ways of a set; their tags fill one 64-byte line: four first words, then four second words. */
export const WAYS = 4;
export const SET_TAG_BYTES = 64;
/** From the first word of a tag to its second. */
export const SECOND_WORD = 32;

/** A translation held, see `assembly/tlb.ts`: a result's first part. */
export const TLB_VALUE_BYTES = 32;
/** First word of the key of a page: its address, and in the bits that are 0 there log2 of its bytes. */
export enum PAGE_KEY {
  SHIFT = (5 << 16) | 0,
}
/** Second word of the key of a translation by request: who asks, and how. */
export enum REQUESTER {
  /** Source-id and PASID (StreamID and SubstreamID) are as far apart as REQUEST has them: one word for both. */
  SID = (31 << 16) | 0,
  PASID = (51 << 16) | 32,
  /** REQUEST_FLAG.EXECUTE, PRIVILEGED and PASID, shifted up by REQUESTER_FLAGS_SHIFT. */
  EXECUTE = (52 << 16) | 52,
  PRIVILEGED = (53 << 16) | 53,
  HAS_PASID = (54 << 16) | 54,
  VALID = (63 << 16) | 63,
}
export const REQUESTER_FLAGS_SHIFT = 50;
