/**
 * What a cached walk finds in, and adds to, the context cache, the PASID cache and the
 * paging-structure caches.
 *
 * VT-d rev 5.10, 6.2 "Address Translation Caches". Only entries that lead to no fault are held, and
 * paging entries only once their accessed bits are set in memory.
 */
import { find, insert, originOf, secondKey, valueOf } from "../caches";
import { element, get, mask, put, setElement } from "../bits";
import { REQUEST_FLAG } from "../layout/core";
import { LEVEL_BITS, PAGE_SHIFT, PASID } from "../layout/vtd";
import {
  CONTEXT_VALUE_BYTES, IOTLB_ORIGIN, KEY, PASID_ORIGIN, PASID_VALUE_BYTES, TABLE_VALUE, VTD_POLICY,
} from "../layout/vtd-caches";
import { PATH, PATH_STEP, VTD } from "../layout/vtd-unit";

export { Cached, isCached } from "../modes";

/** Where the walk notes where an entry of its was read. */
// @ts-ignore: decorator
@inline
export function met(unit: usize, what: IOTLB_ORIGIN): usize {
  return <usize>load<u32>(unit, VTD.ORIGIN) + <usize>what;
}

/** Notes that the paging entry of `level` was read at `at`; `stage` is IOTLB_ORIGIN.FS or SS. */
// @ts-ignore: decorator
@inline
export function noteLevel(unit: usize, stage: IOTLB_ORIGIN, level: i32, at: u64): void {
  setElement(met(unit, stage), level - 1, at);
}

/** Notes that the stage has entries of the levels from `top` down to `last`, and no others. */
// @ts-ignore: decorator
@inline
export function noteLevels(unit: usize, stage: IOTLB_ORIGIN, top: i32, last: i32): void {
  const levels = stage == IOTLB_ORIGIN.FS ? IOTLB_ORIGIN.FS_LEVELS : IOTLB_ORIGIN.SS_LEVELS;
  const bits = (2 << top) - (1 << last);
  store<u8>(met(unit, levels), <u8>bits);
}

// @ts-ignore: decorator
@inline
function contextKey(scalable: bool): u64 {
  return put(mask(KEY.VALID), KEY.SCALABLE, scalable ? 1 : 0);
}

/** Pointer to the context entry held for `sid`, or 0. */
export function heldContext(unit: usize, sid: u32, scalable: bool): usize {
  const contexts = load<u32>(unit, VTD.CONTEXTS);
  if (!contexts) return 0;
  const index = find(contexts, sid, contextKey(scalable));
  if (index < 0) return 0;
  store<u64>(met(unit, IOTLB_ORIGIN.CONTEXT), load<u64>(originOf(contexts, index)));
  return valueOf(contexts, index);
}

/** Holds the context entry at `context`. */
export function keepContext(unit: usize, flags: u32, sid: u32, scalable: bool, context: usize, bytes: u32): void {
  const contexts = load<u32>(unit, VTD.CONTEXTS);
  if (!contexts || flags & REQUEST_FLAG.PROBE) return;
  const index = insert(contexts, sid, contextKey(scalable));
  const value = valueOf(contexts, index);
  if (value == context) return;
  memory.fill(value, 0, CONTEXT_VALUE_BYTES);
  memory.copy(value, context, bytes);
  store<u64>(originOf(contexts, index), load<u64>(met(unit, IOTLB_ORIGIN.CONTEXT)));
}

// @ts-ignore: decorator
@inline
function pasidKey(sid: u32, pasid: u32): u64 {
  return put(put(mask(KEY.VALID), KEY.SID, sid), KEY.PASID, pasid);
}

/** Pointer to the PASID entry held for `sid` and `pasid`, or 0. */
export function heldPasid(unit: usize, sid: u32, pasid: u32): usize {
  const pasids = load<u32>(unit, VTD.PASIDS);
  if (!pasids) return 0;
  const index = find(pasids, pasid, pasidKey(sid, pasid));
  if (index < 0) return 0;
  const origin = originOf(pasids, index);
  store<u64>(met(unit, IOTLB_ORIGIN.DIRECTORY), load<u64>(origin, PASID_ORIGIN.DIRECTORY));
  store<u64>(met(unit, IOTLB_ORIGIN.PASID), load<u64>(origin, PASID_ORIGIN.PASID));
  return valueOf(pasids, index);
}

/** Holds the PASID entry at `entry`; `directory` is the entry that led to it. */
export function keepPasid(unit: usize, flags: u32, sid: u32, pasid: u32, directory: u64, entry: usize): void {
  const pasids = load<u32>(unit, VTD.PASIDS);
  if (!pasids || flags & REQUEST_FLAG.PROBE) return;
  const index = insert(pasids, pasid, pasidKey(sid, pasid));
  const value = valueOf(pasids, index);
  memory.copy(value, entry, PASID_VALUE_BYTES);
  store<u64>(value, load<u64>(value) | (directory & mask(PASID.FPD)));
  const origin = originOf(pasids, index);
  store<u64>(origin, load<u64>(met(unit, IOTLB_ORIGIN.DIRECTORY)), PASID_ORIGIN.DIRECTORY);
  store<u64>(origin, load<u64>(met(unit, IOTLB_ORIGIN.PASID)), PASID_ORIGIN.PASID);
}

/** log2 of the bytes below an entry of `level`. */
// @ts-ignore: decorator
@inline
function reach(level: i32): u64 {
  return PAGE_SHIFT - LEVEL_BITS + LEVEL_BITS * level;
}

// @ts-ignore: decorator
@inline
function tableKey(did: u64, pasid: u64, level: i32): u64 {
  return put(put(put(mask(KEY.VALID), KEY.DID, did), KEY.PASID, pasid), KEY.LEVEL, level);
}

/**
 * Index of the lowest entry held on the way to `input`, or -1. Levels below `top` are looked at from
 * level 2 up; where the entry and those above it were read is noted (`stage`).
 */
export function heldTable(
  unit: usize, cache: usize, did: u64, pasid: u64, input: u64, top: i32, stage: IOTLB_ORIGIN,
): i32 {
  if (!cache) return -1;
  for (let level = 2; level <= top; level++) {
    const index = find(cache, input >> reach(level), tableKey(did, pasid, level));
    if (index < 0) continue;
    const origin = originOf(cache, index);
    for (let above = level; above <= top; above++) {
      noteLevel(unit, stage, above, element(origin, above - 1));
    }
    return index;
  }
  return -1;
}

/** Level of an entry held. */
// @ts-ignore: decorator
@inline
export function heldLevel(cache: usize, index: i32): i32 {
  return <i32>get(secondKey(cache, index), KEY.LEVEL);
}

/**
 * Holds the entries of `path` that link tables, from level `from` down to above the leaf of level
 * `last`; `granted` is what lies above. Their accessed bits are set.
 */
export function keepTables(
  unit: usize, cache: usize, did: u64, pasid: u64, input: u64, path: usize, stage: IOTLB_ORIGIN, top: i32, from: i32,
  last: i32, granted: u64, accessed: u64,
): void {
  if (!cache) return;
  const all = (load<u32>(unit, VTD.POLICY) & VTD_POLICY.RETAIN) != 0;
  let along = granted;
  for (let level = from; level > last; level--) {
    const entry = load<u64>(path + level * PATH_STEP, PATH.ENTRY) | accessed;
    along &= entry;
    if (!all && level > last + 1) continue;
    const index = insert(cache, input >> reach(level), tableKey(did, pasid, level));
    const value = valueOf(cache, index);
    store<u64>(value, entry, TABLE_VALUE.ENTRY);
    store<u64>(value, along, TABLE_VALUE.GRANTED);
    const origin = originOf(cache, index);
    for (let above = level; above <= top; above++) {
      setElement(origin, above - 1, element(met(unit, stage), above - 1));
    }
  }
}
