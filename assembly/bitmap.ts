/**
 * A hierarchical bitmap over 2^20 IDs: lowest free, reserve, free, next in use, each in a few loads.
 *
 * Functions take a pointer to a block of BITMAP_BYTES (`layout/bitmap.ts`), so many bitmaps share one
 * memory. "None" is -1; IDs from 0x100000 on are never free and never in use.
 */
import {
  BITMAP,
  BITMAP_BYTES,
  BITMAP_IDS,
  BITMAP_WORDS_0,
  BITMAP_WORDS_1,
  BITMAP_WORDS_2,
} from "./layout/bitmap";

const IDS: u32 = BITMAP_IDS;
const ALL: u64 = 0xffff_ffff_ffff_ffff;

/** What `seek` looks for: a type, so that the choice is made at compile time. */
type Free = i32;
type Used = f32;

/** Takes the lowest free ID in [min, max]; -1 when there is none. */
export function bitmapAlloc(bitmap: usize, min: u32, max: u32): i32 {
  const id = takeLowest(bitmap, min, max);
  if (id >= 0) addToCount(bitmap, 1);
  return id;
}

/** Takes up to `count` lowest free IDs in [min, max] into u32s at `ids`; returns how many. Word by word. */
export function bitmapAllocMany(bitmap: usize, min: u32, max: u32, ids: usize, count: u32): u32 {
  if (min >= IDS || min > max) return 0;
  const end = ids + (<usize>count << 2);
  let at = ids;
  let word1 = min >> 12;
  let open1 = wanted<Free>(bitmap + BITMAP.FULL_1, word1) & (ALL << <u64>(min >> 6));
  // What lies below `min` is in the first word, unless that one is full.
  let asked = open1 & bitOf(min >> 6) ? ALL << <u64>min : ALL;
  while (at < end) {
    if (!open1) {
      word1 = seekOpen1(bitmap, word1 + 1);
      if (word1 == BITMAP_WORDS_1) break;
      open1 = wanted<Free>(bitmap + BITMAP.FULL_1, word1);
    }
    const word0 = (word1 << 6) | <u32>ctz(open1);
    open1 &= open1 - 1;
    const first = word0 << 6;
    if (first > max) break;
    const free = wanted<Free>(bitmap + BITMAP.BITS, word0);
    let open = free & asked;
    asked = ALL;
    if (first + 63 > max) open &= ALL >> <u64>(63 - (max & 63));
    if (!open) continue;
    if (open == ALL && end - at >= 256) {
      takeWord(bitmap, word0, at);
      at += 256;
      continue;
    }
    const count0 = min32(<u32>popcnt(open), <u32>(end - at) >> 2);
    const left = free ^ open ^ storeLowest(at, first, open, count0);
    at += <usize>count0 << 2;
    store<u64>(bitmap + (<usize>word0 << 3), ~left, BITMAP.BITS);
    if (free == ALL) setAny(bitmap, word0);
    if (!left) setFull(bitmap, word0);
  }
  const taken = <u32>(at - ids) >> 2;
  addToCount(bitmap, taken);
  return taken;
}

/** The lowest free ID in [min, max], left free; -1 when there is none. */
export function bitmapFirstFree(bitmap: usize, min: u32, max: u32): i32 {
  if (min >= IDS) return -1;
  const id = seek<Free>(bitmap, min);
  return <u32>id <= max ? id : -1;
}

/** Takes this very ID; false when it is in use or out of range. */
export function bitmapReserve(bitmap: usize, id: u32): bool {
  return bitmapAlloc(bitmap, id, id) >= 0;
}

/** Gives an ID back; false when it was not in use. */
export function bitmapFree(bitmap: usize, id: u32): bool {
  if (!release(bitmap, id)) return false;
  addToCount(bitmap, -1);
  return true;
}

/** Frees `count` IDs, u32s at `ids`; returns how many of them were in use. */
export function bitmapFreeMany(bitmap: usize, ids: usize, count: u32): u32 {
  const end = ids + (<usize>count << 2);
  let freed: u32 = 0;
  let at = ids;
  if (count & 1) {
    freed += <u32>release(bitmap, load<u32>(at));
    at += 4;
  }
  // Two a turn: V8 looks at the stack's limit in every turn of a loop.
  for (; at < end; at += 8) {
    freed += <u32>release(bitmap, load<u32>(at));
    freed += <u32>release(bitmap, load<u32>(at, 4));
  }
  addToCount(bitmap, -freed);
  return freed;
}

/** Whether an ID is in use. */
export function bitmapTest(bitmap: usize, id: u32): bool {
  return id < IDS && (load<u64>(wordOf(bitmap, id), BITMAP.BITS) & bitOf(id)) != 0;
}

/** The lowest ID in use that is not below `from`; -1 when there is none. */
export function bitmapNext(bitmap: usize, from: u32): i32 {
  return from < IDS ? seek<Used>(bitmap, from) : -1;
}

/** IDs in use. */
export function bitmapCount(bitmap: usize): u32 {
  return load<u32>(bitmap, BITMAP.COUNT);
}

/** Frees everything. */
export function bitmapReset(bitmap: usize): void {
  memory.fill(bitmap, 0, BITMAP_BYTES);
}

// @ts-ignore: decorator
@inline
function addToCount(bitmap: usize, change: i32): void {
  store<u32>(bitmap, load<u32>(bitmap, BITMAP.COUNT) + change, BITMAP.COUNT);
}

/** Word of `index` on the level whose first word is at `level`. */
// @ts-ignore: decorator
@inline
function wordOf(level: usize, index: u32): usize {
  return level + (<usize>(index >> 6) << 3);
}

// @ts-ignore: decorator
@inline
function bitOf(index: u32): u64 {
  return <u64>1 << <u64>index;
}

/** The bits of a word worth descending to: those not FULL, or those with ANY. */
// @ts-ignore: decorator
@inline
function wanted<T>(level: usize, word: u32): u64 {
  const bits = load<u64>(level + (<usize>word << 3));
  return isFloat<T>() ? bits : ~bits;
}

/** Lowest free or used ID from `from` (< IDS) on, or -1: up while there is nothing, then down. */
// @ts-ignore: decorator
@inline
function seek<T>(bitmap: usize, from: u32): i32 {
  let word0 = from >> 6;
  let bits = wanted<T>(bitmap + BITMAP.BITS, word0) & (ALL << <u64>from);
  if (!bits) {
    word0 = seekAbove<T>(bitmap, word0 + 1);
    if (word0 == BITMAP_WORDS_0) return -1;
    bits = wanted<T>(bitmap + BITMAP.BITS, word0);
  }
  return (word0 << 6) | <u32>ctz(bits);
}

/** The first word of level 0 from `from` on that is worth a look; BITMAP_WORDS_0 when there is none. */
function seekAbove<T>(bitmap: usize, from: u32): u32 {
  if (from == BITMAP_WORDS_0) return BITMAP_WORDS_0;
  const level1 = bitmap + (isFloat<T>() ? BITMAP.ANY_1 : BITMAP.FULL_1);
  let word1 = from >> 6;
  let bits = wanted<T>(level1, word1) & (ALL << <u64>from);
  if (!bits) {
    if (++word1 == BITMAP_WORDS_1) return BITMAP_WORDS_0;
    const level2 = bitmap + (isFloat<T>() ? BITMAP.ANY_2 : BITMAP.FULL_2);
    let word2 = word1 >> 6;
    bits = wanted<T>(level2, word2) & (ALL << <u64>word1);
    while (!bits) {
      if (++word2 == BITMAP_WORDS_2) return BITMAP_WORDS_0;
      bits = wanted<T>(level2, word2);
    }
    word1 = (word2 << 6) | <u32>ctz(bits);
    bits = wanted<T>(level1, word1);
  }
  return (word1 << 6) | <u32>ctz(bits);
}

/** Takes the lowest free ID in [min, max], and marks what that changes above it. The count is the caller's. */
// @ts-ignore: decorator
@inline
function takeLowest(bitmap: usize, min: u32, max: u32): i32 {
  if (min >= IDS) return -1;
  let word0 = min >> 6;
  let free = wanted<Free>(bitmap + BITMAP.BITS, word0);
  let open = free & (ALL << <u64>min);
  if (!open) {
    word0 = seekAbove<Free>(bitmap, word0 + 1);
    if (word0 == BITMAP_WORDS_0) return -1;
    open = free = wanted<Free>(bitmap + BITMAP.BITS, word0);
  }
  const id = (word0 << 6) | <u32>ctz(open);
  if (id > max) return -1;
  const left = free ^ (open & -open);
  store<u64>(wordOf(bitmap, id), ~left, BITMAP.BITS);
  if (free == ALL) setAny(bitmap, word0);
  if (!left) setFull(bitmap, word0);
  return id;
}

/** Marks an ID as free, and what that changes above it; false when it was free. The count is the caller's. */
// @ts-ignore: decorator
@inline
function release(bitmap: usize, id: u32): bool {
  if (id >= IDS) return false;
  const ptr = wordOf(bitmap, id);
  const old = load<u64>(ptr, BITMAP.BITS);
  const bit = bitOf(id);
  if (!(old & bit)) return false;
  const now = old ^ bit;
  store<u64>(ptr, now, BITMAP.BITS);
  if (old == ALL) clearFull(bitmap, id >> 6);
  if (!now) clearAny(bitmap, id >> 6);
  return true;
}

/** The first word of level 1 from `from` on that is not full; BITMAP_WORDS_1 when there is none. */
// @ts-ignore: decorator
@inline
function seekOpen1(bitmap: usize, from: u32): u32 {
  if (from == BITMAP_WORDS_1) return from;
  let word2 = from >> 6;
  let bits = wanted<Free>(bitmap + BITMAP.FULL_2, word2) & (ALL << <u64>from);
  while (!bits) {
    if (++word2 == BITMAP_WORDS_2) return BITMAP_WORDS_1;
    bits = wanted<Free>(bitmap + BITMAP.FULL_2, word2);
  }
  return (word2 << 6) | <u32>ctz(bits);
}

/** Stores the IDs of the `count` lowest bits of the word whose first ID is `first`; returns the bits that stay. */
// @ts-ignore: decorator
@inline
function storeLowest(at: usize, first: u32, bits: u64, count: u32): u64 {
  for (; count >= 4; count -= 4, at += 16) {
    store<u32>(at, first | <u32>ctz(bits));
    bits &= bits - 1;
    store<u32>(at, first | <u32>ctz(bits), 4);
    bits &= bits - 1;
    store<u32>(at, first | <u32>ctz(bits), 8);
    bits &= bits - 1;
    store<u32>(at, first | <u32>ctz(bits), 12);
    bits &= bits - 1;
  }
  for (; count > 0; count--, at += 4) {
    store<u32>(at, first | <u32>ctz(bits));
    bits &= bits - 1;
  }
  return bits;
}

/** Takes all 64 IDs of a word that has none in use. Not inlined: its vectors would cost the caller registers. */
function takeWord(bitmap: usize, word0: u32, at: usize): void {
  const four = i32x4.splat(4);
  let ids0 = i32x4.add(i32x4.splat(word0 << 6), i32x4(0, 1, 2, 3));
  let ids1 = i32x4.add(ids0, four);
  let ids2 = i32x4.add(ids1, four);
  let ids3 = i32x4.add(ids2, four);
  const sixteen = i32x4.splat(16);
  v128.store(at, ids0);
  ids0 = i32x4.add(ids0, sixteen);
  v128.store(at, ids1, 16);
  ids1 = i32x4.add(ids1, sixteen);
  v128.store(at, ids2, 32);
  ids2 = i32x4.add(ids2, sixteen);
  v128.store(at, ids3, 48);
  ids3 = i32x4.add(ids3, sixteen);
  v128.store(at, ids0, 64);
  ids0 = i32x4.add(ids0, sixteen);
  v128.store(at, ids1, 80);
  ids1 = i32x4.add(ids1, sixteen);
  v128.store(at, ids2, 96);
  ids2 = i32x4.add(ids2, sixteen);
  v128.store(at, ids3, 112);
  ids3 = i32x4.add(ids3, sixteen);
  v128.store(at, ids0, 128);
  ids0 = i32x4.add(ids0, sixteen);
  v128.store(at, ids1, 144);
  ids1 = i32x4.add(ids1, sixteen);
  v128.store(at, ids2, 160);
  ids2 = i32x4.add(ids2, sixteen);
  v128.store(at, ids3, 176);
  ids3 = i32x4.add(ids3, sixteen);
  v128.store(at, ids0, 192);
  v128.store(at, ids1, 208);
  v128.store(at, ids2, 224);
  v128.store(at, ids3, 240);
  store<u64>(bitmap + (<usize>word0 << 3), ALL, BITMAP.BITS);
  setAny(bitmap, word0);
  setFull(bitmap, word0);
}

// @ts-ignore: decorator
@inline
function min32(a: u32, b: u32): u32 {
  return a < b ? a : b;
}

// The marks above a word are written without asking whether they change: a store costs less than a branch
// that the processor guesses wrong.

// @ts-ignore: decorator
@inline
function setAny(bitmap: usize, word0: u32): void {
  const ptr = wordOf(bitmap, word0);
  store<u64>(ptr, load<u64>(ptr, BITMAP.ANY_1) | bitOf(word0), BITMAP.ANY_1);
  const above = wordOf(bitmap, word0 >> 6);
  store<u64>(above, load<u64>(above, BITMAP.ANY_2) | bitOf(word0 >> 6), BITMAP.ANY_2);
}

// @ts-ignore: decorator
@inline
function clearAny(bitmap: usize, word0: u32): void {
  const ptr = wordOf(bitmap, word0);
  const now = load<u64>(ptr, BITMAP.ANY_1) & ~bitOf(word0);
  store<u64>(ptr, now, BITMAP.ANY_1);
  const above = wordOf(bitmap, word0 >> 6);
  store<u64>(above, load<u64>(above, BITMAP.ANY_2) & ~(now == 0 ? bitOf(word0 >> 6) : 0), BITMAP.ANY_2);
}

// @ts-ignore: decorator
@inline
function setFull(bitmap: usize, word0: u32): void {
  const ptr = wordOf(bitmap, word0);
  const now = load<u64>(ptr, BITMAP.FULL_1) | bitOf(word0);
  store<u64>(ptr, now, BITMAP.FULL_1);
  const above = wordOf(bitmap, word0 >> 6);
  store<u64>(above, load<u64>(above, BITMAP.FULL_2) | (now == ALL ? bitOf(word0 >> 6) : 0), BITMAP.FULL_2);
}

// @ts-ignore: decorator
@inline
function clearFull(bitmap: usize, word0: u32): void {
  const ptr = wordOf(bitmap, word0);
  store<u64>(ptr, load<u64>(ptr, BITMAP.FULL_1) & ~bitOf(word0), BITMAP.FULL_1);
  const above = wordOf(bitmap, word0 >> 6);
  store<u64>(above, load<u64>(above, BITMAP.FULL_2) & ~bitOf(word0 >> 6), BITMAP.FULL_2);
}
