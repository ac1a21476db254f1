/** Our own ABI of tagged caches in linear memory, see `assembly/caches.ts`. */

/** A cache: this header, then tags, values, origins and the replacement state. */
export enum CACHE {
  /** u32 number of sets, a power of two; 0: the cache holds nothing, ever. */
  SETS = 0,
  /** u32 valid entries. */
  COUNT = 4,
  /** u32 bytes of a value, of an origin. */
  VALUE_BYTES = 8,
  ORIGIN_BYTES = 12,
  /** u32 pointers. */
  TAGS = 16,
  VALUES = 20,
  ORIGINS = 24,
  VICTIMS = 28,
  /** u64 set of page shifts in use (bit n: pages of 2^n bytes), where the vendor keeps pages. */
  SHIFTS = 32,
  /** u64 how far to shift a hash so that its upper bits count sets, SET_TAG_BYTES each. */
  HASH_SHIFT = 40,
}
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
