/**
 * The 2^20 ID bitmap in linear memory: one block per bitmap, all zeros = empty.
 *
 * A set bit is an ID in use. Two summaries stand above the bits, 64 to 1 per level: FULL says that
 * every ID below is in use (the search for a free one skips it), ANY that at least one is (iteration
 * skips the rest).
 */

/** IDs 0 .. 0xFFFFF: PCIe PASIDs have 20 bits. */
export const BITMAP_IDS = 1048576;

/** Words of 64 bits per level. */
export const BITMAP_WORDS_0 = 16384;
export const BITMAP_WORDS_1 = 256;
export const BITMAP_WORDS_2 = 4;

/** Byte offsets within the block. */
export enum BITMAP {
  /** u32 IDs in use. */
  COUNT = 0,
  FULL_2 = 64,
  ANY_2 = 96,
  FULL_1 = 128,
  ANY_1 = 2176,
  /** The IDs themselves. */
  BITS = 4224,
}
export const BITMAP_BYTES = 135296;
