/**
 * Guest physical memory: from a guest address to a linear pointer, to host memory, or to a bus error.
 *
 * RAM in linear memory is found by one compare per segment. What the host backs is copied into a slot
 * of the unit. Structures are read at their natural alignment and regions are whole pages, so an
 * access of up to 64 bytes never straddles two regions.
 */
import { GUEST, MAX_POISONS, POISON_BYTES, REGION, REGION_BYTES, SLOT_BYTES, UNIT } from "./layout/core";

/** Reads `bytes` at a host-backed address into linear memory; false is a bus error. */
// @ts-ignore: decorator
@external("host", "read")
declare function hostRead(region: i32, gpa: u64, ptr: usize, bytes: i32): bool;
/** Compare-exchange of an aligned 64-bit word in host memory: 1 done, 0 it differed, -1 bus error. */
// @ts-ignore: decorator
@external("host", "compareExchange")
declare function hostCompareExchange(region: i32, gpa: u64, expected: u64, replacement: u64): i32;
/** Writes `bytes` of linear memory to a host-backed address; false is a bus error. */
// @ts-ignore: decorator
@external("host", "write")
declare function hostWrite(region: i32, gpa: u64, ptr: usize, bytes: i32): bool;

/** What `compareExchange` says. */
export const EXCHANGED: i32 = 1;
export const CHANGED_MEANWHILE: i32 = 0;
export const BUS_ERROR: i32 = -1;

/**
 * Pointer to `bytes` (a power of two up to 64) at the aligned guest address, or 0 for a bus error.
 * Host-backed memory is copied to slot `slot` of the unit, where it stays until the slot's next use.
 */
// @ts-ignore: decorator
@inline
export function fetch(unit: usize, gpa: u64, bytes: i32, slot: i32): usize {
  if (gpa - load<u64>(GUEST.BASE0) < load<u64>(GUEST.SIZE0)) return <usize>gpa + load<u32>(GUEST.DELTA0);
  return fetchElsewhere(unit, gpa, bytes, slot);
}

/**
 * Pointer to what lies at the guest address in one of the two segments. For all other addresses it is
 * 0, where 64 zero bytes lie: an entry that is not present.
 */
// @ts-ignore: decorator
@inline
export function fetchLinear(gpa: u64): usize {
  return linearIn(load<u64>(GUEST.BASE0), load<u64>(GUEST.SIZE0), load<u32>(GUEST.DELTA0), gpa);
}

/** The same, with GUEST.BASE0, SIZE0 and DELTA0 read already: for loops that read nothing but entries. */
// @ts-ignore: decorator
@inline
export function linearIn(base: u64, size: u64, delta0: u32, gpa: u64): usize {
  // All that awaits `gpa` is one addition: a walk is a chain of these.
  let delta = delta0;
  if (gpa - base >= size) {
    delta = gpa - load<u64>(GUEST.BASE1) < load<u64>(GUEST.SIZE1) ? load<u32>(GUEST.DELTA1) : -<u32>gpa;
  }
  return <usize>gpa + delta;
}

/**
 * As `fetch`, of an entry of several words that others may write meanwhile: a copy in the slot, the first
 * word read before all others, so that what is checked is what is used.
 */
export function fetchWhole(unit: usize, gpa: u64, bytes: i32, slot: i32): usize {
  const ptr = fetch(unit, gpa, bytes, slot);
  const copy = unit + UNIT.SLOT0 + slot * SLOT_BYTES;
  if (!ptr || ptr == copy) return ptr;
  store<u64>(copy, firstWord(ptr));
  for (let at: usize = 8; at < <usize>bytes; at += 8) store<u64>(copy + at, load<u64>(ptr + at));
  return copy;
}

/**
 * First word of an entry, which says whether it is present. It is read before whatever is read after it:
 * who writes that word last, as drivers do, is never seen with the entry half written.
 */
// @ts-ignore: decorator
@inline
export function firstWord(ptr: usize): u64 {
  return atomic.load<u64>(ptr);
}

function fetchElsewhere(unit: usize, gpa: u64, bytes: i32, slot: i32): usize {
  if (gpa - load<u64>(GUEST.BASE1) < load<u64>(GUEST.SIZE1)) return <usize>gpa + load<u32>(GUEST.DELTA1);
  const region = find(gpa, bytes);
  if (region < 0) return 0;
  const ptr = linear(region, gpa);
  if (ptr) return ptr;
  const copy = unit + UNIT.SLOT0 + slot * SLOT_BYTES;
  return hostRead(region, gpa, copy, bytes) ? copy : 0;
}

/** Replaces an aligned 64-bit word if it still holds `expected`; see the constants above. */
export function compareExchange(gpa: u64, expected: u64, replacement: u64): i32 {
  const region = find(gpa, 8);
  if (region < 0) return BUS_ERROR;
  const ptr = linear(region, gpa);
  if (!ptr) return hostCompareExchange(region, gpa, expected, replacement);
  return atomic.cmpxchg<u64>(ptr, expected, replacement) == expected ? EXCHANGED : CHANGED_MEANWHILE;
}

/** Copies guest memory to `ptr`; false is a bus error. `gpa` and `bytes` may cross regions. */
export function copyFromGuest(ptr: usize, gpa: u64, bytes: u32): bool {
  while (bytes) {
    const n = chunk(gpa, bytes);
    const region = find(gpa, n);
    if (region < 0) return false;
    const from = linear(region, gpa);
    if (from) memory.copy(ptr, from, n);
    else if (!hostRead(region, gpa, ptr, n)) return false;
    gpa += n;
    ptr += n;
    bytes -= n;
  }
  return true;
}

/** Copies `ptr` to guest memory; false is a bus error, and what lies before it is written. */
export function copyToGuest(gpa: u64, ptr: usize, bytes: u32): bool {
  while (bytes) {
    const n = chunk(gpa, bytes);
    const region = find(gpa, n);
    if (region < 0) return false;
    const to = linear(region, gpa);
    if (to) memory.copy(to, ptr, n);
    else if (!hostWrite(region, gpa, ptr, n)) return false;
    gpa += n;
    ptr += n;
    bytes -= n;
  }
  return true;
}

/** Bytes up to the end of the 4 KiB page: what surely lies in one region. */
function chunk(gpa: u64, bytes: u32): i32 {
  return min<u32>(bytes, 4096 - <u32>(gpa & 4095));
}

/** Index of the region that holds all `bytes` at `gpa`, or -1: outside RAM, or poisoned. */
function find(gpa: u64, bytes: i32): i32 {
  const last = gpa + bytes - 1;
  const poisons = min<u32>(load<u32>(GUEST.POISONS), MAX_POISONS);
  for (let i: u32 = 0; i < poisons; i++) {
    const poison = GUEST.POISON_TABLE + i * POISON_BYTES;
    if (last >= load<u64>(poison) && gpa <= load<u64>(poison, 8)) return -1;
  }
  let low = 0;
  let high = load<i32>(GUEST.REGIONS);
  while (low < high) {
    const middle = (low + high) >>> 1;
    const region = GUEST.REGION_TABLE + middle * REGION_BYTES;
    const offset = gpa - load<u64>(region, REGION.BASE);
    if (gpa < load<u64>(region, REGION.BASE)) high = middle;
    else if (offset + bytes > load<u64>(region, REGION.SIZE)) low = middle + 1;
    else return middle;
  }
  return -1;
}

/** Linear pointer of `gpa` within a region, or 0 where the host backs it. */
function linear(region: i32, gpa: u64): usize {
  const entry = GUEST.REGION_TABLE + region * REGION_BYTES;
  const ptr = load<u32>(entry, REGION.PTR);
  return ptr ? <usize>ptr + <usize>(gpa - load<u64>(entry, REGION.BASE)) : 0;
}
