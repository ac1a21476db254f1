/**
 * Which requests of a batch are worth warming.
 *
 * A batch walks its requests one after the other with the ordinary walker. What it gains over single
 * calls comes from a pass before that: the table entries that a group of requests will read are
 * touched in lock step, so that their cache misses overlap. Where everything is in the cache already
 * that pass is lost time, so each unit remembers the pages it has walked lately and warms the others.
 */

/** log2 of the pages remembered: about as many walks as a second-level cache holds the entries of. */
const RECENT_LOG2 = 10;
/** Bytes of the memory of pages. */
export const RECENT_BYTES = 4 << RECENT_LOG2;
/** Requests that are warmed together: enough misses to keep a core's fill buffers busy. */
export const GROUP: u32 = 64;
/** Fewer than this many in a group are not worth a pass. */
export const FEWEST: u32 = 4;
/** Where most requests need no walk, one in so many says whether the group is worth a pass. */
export const SAMPLED: u32 = 8;

const PAGE_SHIFT = 12;
/** Odd constants that spread the bits (Knuth's multiplicative hashing). */
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;
const SPREAD_ID: u64 = 0xc2b2_ae3d_27d4_eb4f;

/** Whether this page was walked lately; from now on it was. */
// @ts-ignore: decorator
@inline
export function wasWalked(recent: usize, sid: u32, pasid: u32, address: u64): bool {
  const id = ((<u64>sid << 32) | <u64>pasid) * SPREAD_ID;
  const hash = ((address >> PAGE_SHIFT) ^ id) * SPREAD;
  const slot = recent + (<usize>(hash >> (64 - RECENT_LOG2)) << 2);
  if (load<u32>(slot) == <u32>hash) return true;
  store<u32>(slot, <u32>hash);
  return false;
}
