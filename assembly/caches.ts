/**
 * Set-associative tagged caches in linear memory, for both vendors.
 *
 * A key is two 64-bit words, the second never 0. Values are found by `find` with SIMD compares of a
 * set's four tags, which fill one line. Each entry may have an *origin* (where it came from), stored
 * apart so that a hit never touches it. Entries are named by their index, -1 is none.
 */
import {
  CACHE, CACHE_HEADER, MIX_ROTATION, SECOND_WORD, SET_TAG_BYTES, SPREAD_HIGH, SPREAD_LOW, SPREAD_MIXED, WAYS,
} from "./layout/caches";

/** Bytes of a word of a tag; of a set's tags for each of its entries. */
const WORD = 8;
const TAG_BYTES = SET_TAG_BYTES / WAYS;

/** Bytes of linear memory for a cache of `sets` sets. @param origins whether entries have origins */
export function cacheBytes(sets: u32, valueBytes: u32, originBytes: u32, origins: bool): u32 {
  const entries = sets * WAYS;
  const kept = origins ? entries : 1;
  return CACHE_HEADER + sets * SET_TAG_BYTES + entries * valueBytes + kept * originBytes + align(sets);
}

/** Lays an empty cache out at `cache`; `sets` is a power of two or 0, sizes are multiples of 8. */
export function cacheOpen(cache: usize, sets: u32, valueBytes: u32, originBytes: u32, origins: bool): void {
  const entries = sets * WAYS;
  const tags = <u32>cache + CACHE_HEADER;
  const values = tags + sets * SET_TAG_BYTES;
  const firstOrigin = values + entries * valueBytes;
  store<u32>(cache, sets, CACHE.SETS);
  store<u32>(cache, valueBytes, CACHE.VALUE_BYTES);
  // Without origins all entries share the room of one, which nobody reads.
  store<u32>(cache, origins ? originBytes : 0, CACHE.ORIGIN_BYTES);
  store<u32>(cache, tags, CACHE.TAGS);
  store<u32>(cache, values, CACHE.VALUES);
  store<u32>(cache, firstOrigin, CACHE.ORIGINS);
  store<u32>(cache, firstOrigin + (origins ? entries : 1) * originBytes, CACHE.VICTIMS);
  // The highest log2(sets) bits of a hash, and below them those of an offset into a set.
  store<u32>(cache, 32 - ctz(SET_TAG_BYTES) - (sets ? ctz(sets) : 0), CACHE.HASH_SHIFT);
  clear(cache);
}

function align(bytes: u32): u32 {
  return (bytes + 63) & ~63;
}

/** Index of the entry with this key, or -1. The cache has at least one set. */
// @ts-ignore: decorator
@inline
export function find(cache: usize, key0: u64, key1: u64): i32 {
  const set = setOf(key0, key1, load<u32>(cache, CACHE.HASH_SHIFT));
  const tags = <usize>load<u32>(cache, CACHE.TAGS) + set;
  for (let hits = compare(tags, key0); hits; hits &= hits - 1) {
    const way = ctz(hits);
    if (load<u64>(tags + way * WORD, SECOND_WORD) == key1) return <i32>(set / TAG_BYTES) + way;
  }
  return -1;
}

/** Where the tags of this key's set are, from the first set's on. */
// @ts-ignore: decorator
@inline
export function setOf(key0: u64, key1: u64, hashShift: u32): usize {
  const mixed = <u32>key1 ^ rotl<u32>(<u32>(key0 >> 32), MIX_ROTATION);
  const hash = (<u32>key0 * <u32>SPREAD_LOW) ^ (mixed * <u32>SPREAD_MIXED) ^ (<u32>(key1 >> 32) * <u32>SPREAD_HIGH);
  return (hash >> hashShift) & ~(SET_TAG_BYTES - 1);
}

/** Bit n: way n of the set at `tags` has this first word. */
// @ts-ignore: decorator
@inline
export function compare(tags: usize, key0: u64): i32 {
  const first = i64x2.splat(key0);
  const low = v128.eq<i64>(v128.load(tags), first);
  const high = v128.eq<i64>(v128.load(tags, 16), first);
  return v128.bitmask<i32>(v128.shuffle<i32>(low, high, 0, 2, 4, 6));
}

/** Index of the entry for this key: its own, a free one, or the next victim's. Its value is the caller's to write. */
export function insert(cache: usize, key0: u64, key1: u64): i32 {
  const held = find(cache, key0, key1);
  return held >= 0 ? held : place(cache, key0, key1);
}

/** The same where `find` has just said that no entry has this key. */
export function place(cache: usize, key0: u64, key1: u64): i32 {
  const set = setOf(key0, key1, load<u32>(cache, CACHE.HASH_SHIFT));
  const tags = <usize>load<u32>(cache, CACHE.TAGS) + set;
  // Ways whose second word is 0 are free.
  const free = compare(tags + SECOND_WORD, 0);
  let way = ctz(free);
  if (free) store<u32>(cache, load<u32>(cache, CACHE.COUNT) + 1, CACHE.COUNT);
  else {
    const victim = <usize>load<u32>(cache, CACHE.VICTIMS) + set / SET_TAG_BYTES;
    way = load<u8>(victim) & (WAYS - 1);
    store<u8>(victim, <u8>(way + 1));
  }
  const tag = tags + way * WORD;
  store<u64>(tag, key0);
  store<u64>(tag, key1, SECOND_WORD);
  return <i32>(set / TAG_BYTES) + way;
}

/** Removes an entry. */
export function drop(cache: usize, index: i32): void {
  store<u64>(tagOf(cache, index), 0, SECOND_WORD);
  store<u32>(cache, load<u32>(cache, CACHE.COUNT) - 1, CACHE.COUNT);
}

/** Removes all entries. */
export function clear(cache: usize): void {
  const sets = load<u32>(cache, CACHE.SETS);
  memory.fill(load<u32>(cache, CACHE.TAGS), 0, sets * SET_TAG_BYTES);
  memory.fill(load<u32>(cache, CACHE.VICTIMS), 0, sets);
  store<u32>(cache, 0, CACHE.COUNT);
  store<u64>(cache, 0, CACHE.SHIFTS);
}

/** Entries to look at when something is invalidated: 0 while the cache is empty, or where there is none (0). */
// @ts-ignore: decorator
@inline
export function span(cache: usize): i32 {
  return cache && load<u32>(cache, CACHE.COUNT) ? load<i32>(cache, CACHE.SETS) * WAYS : 0;
}

// @ts-ignore: decorator
@inline
function tagOf(cache: usize, index: i32): usize {
  const set = index / WAYS;
  return <usize>load<u32>(cache, CACHE.TAGS) + set * SET_TAG_BYTES + (index % WAYS) * WORD;
}

/** First word of an entry's key. */
// @ts-ignore: decorator
@inline
export function firstKey(cache: usize, index: i32): u64 {
  return load<u64>(tagOf(cache, index));
}

/** Second word of an entry's key; 0: no entry is there. */
// @ts-ignore: decorator
@inline
export function secondKey(cache: usize, index: i32): u64 {
  return load<u64>(tagOf(cache, index), SECOND_WORD);
}

/** Pointer to an entry's value. */
// @ts-ignore: decorator
@inline
export function valueOf(cache: usize, index: i32): usize {
  return <usize>load<u32>(cache, CACHE.VALUES) + index * load<i32>(cache, CACHE.VALUE_BYTES);
}

/** Pointer to where an entry came from. */
// @ts-ignore: decorator
@inline
export function originOf(cache: usize, index: i32): usize {
  return <usize>load<u32>(cache, CACHE.ORIGINS) + index * load<i32>(cache, CACHE.ORIGIN_BYTES);
}
