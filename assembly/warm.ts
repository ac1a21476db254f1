/**
 * Which requests of a batch are worth warming.
 *
 * A batch walks its requests one after the other with the ordinary walker. What it gains over single
 * calls comes from a pass before that: the table entries that a group of requests will read are
 * touched in lock step, so that their cache misses overlap. Where everything is in the cache already
 * that pass is lost time, so each unit remembers the pages it has walked lately and warms the others.
 * A look at some requests of a group tells whether to look at all.
 */

import { REQUEST, REQUEST_BYTES } from "./layout/core";

/** log2 of the pages remembered: about as many walks as a second-level cache holds the entries of. */
const RECENT_LOG2 = 10;
/** Bytes of the memory of pages. */
export const RECENT_BYTES = 4 << RECENT_LOG2;
/** Requests that are warmed together: enough misses to keep a core's fill buffers busy. */
export const GROUP: u32 = 64;
export const GROUP_BYTES = GROUP * REQUEST_BYTES;
/** Fewer than this many in a group are not worth a pass. */
export const FEWEST: u32 = 4;
/** One request in so many says first whether a group is worth a pass. */
const SAMPLED: u32 = 8;

const PAGE_SHIFT = 12;
/** Odd constants that spread the bits (Knuth's multiplicative hashing). */
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;
const SPREAD_ID: u64 = 0xc2b2_ae3d_27d4_eb4f;

/** Whether a sample of `count` requests was all walked lately. */
export function looksWarm(recent: usize, requests: usize, count: u32): bool {
  for (let i: u32 = 0; i < count; i += SAMPLED) {
    const hash = hashOf(requests + i * REQUEST_BYTES);
    if (load<u32>(slotOf(recent, hash)) != <u32>hash) return false;
  }
  return true;
}

/** Whether most of a sample of the requests up to `end` were not walked lately; from now on the sample was. */
export function looksCold(recent: usize, requests: usize, end: usize): bool {
  let samples: u32 = 0;
  let cold: u32 = 0;
  for (let request = requests; request < end; request += SAMPLED * REQUEST_BYTES) {
    samples++;
    if (!wasWalked(recent, request)) cold++;
  }
  return cold + cold > samples;
}

/** Whether the request's page was walked lately; from now on it was. */
// @ts-ignore: decorator
@inline
export function wasWalked(recent: usize, request: usize): bool {
  const hash = hashOf(request);
  const slot = slotOf(recent, hash);
  if (load<u32>(slot) == <u32>hash) return true;
  store<u32>(slot, <u32>hash);
  return false;
}

// @ts-ignore: decorator
@inline
function hashOf(request: usize): u64 {
  // Both ids in one word, as they lie there.
  const id = load<u64>(request, REQUEST.SID) * SPREAD_ID;
  return ((load<u64>(request, REQUEST.ADDRESS) >> PAGE_SHIFT) ^ id) * SPREAD;
}

// @ts-ignore: decorator
@inline
function slotOf(recent: usize, hash: u64): usize {
  return recent + (<usize>(hash >> (64 - RECENT_LOG2)) << 2);
}
