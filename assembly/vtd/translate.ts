/**
 * Translation through the IOTLB, and the other caches behind it.
 *
 * VT-d rev 5.10, 6.2.4 "IOTLB". A hit needs nothing but the request. What is not held is walked: fast
 * where the IOTLB is all there is, else with what the caches behind it hold in place of memory.
 */
import { drop, find, insert, originOf, place } from "../caches";
import { get, setElement } from "../bits";
import { CACHE, REQUESTER } from "../layout/caches";
import { REQUEST, REQUEST_BYTES, REQUEST_FLAG, RESULT, RESULT_BYTES, RESULT_FLAG, UNIT } from "../layout/core";
import { LEVEL_BITS, PAGE_SHIFT } from "../layout/vtd";
import { IOTLB_ORIGIN, IOTLB_ORIGIN_BYTES, VTD_POLICY } from "../layout/vtd-caches";
import { LEVELS, VTD, VTD_MODE } from "../layout/vtd-unit";
import { Cached } from "../modes";
import { EVERYTHING, isInterruptAddress, touchesInterruptRange } from "./result";
import { ABSENT, HIT, hold, look, pageKey, requester, UNFIT } from "../tlb";
import { GROUP_BYTES } from "../warm";
import { warmIfCold } from "./warm";
import { vtdWalk, vtdWalkMany, walkExactly, walkFilling } from "./walk";

/** All requests read, write or both. */
const ACCESS: u32 = REQUEST_FLAG.READ | REQUEST_FLAG.WRITE;

/** As `vtdWalk`, with the unit's caches. */
export function vtdTranslate(unit: usize, sid: u32, pasid: u32, low: u32, high: u32, flags: u32, result: usize): u32 {
  const iotlb = load<u32>(unit, UNIT.FRONT);
  if (!iotlb) return vtdWalk(unit, sid, pasid, low, high, flags, result);
  const address = (<u64>high << 32) | <u64>low;
  const key = requester((<u64>pasid << 32) | sid, flags);
  const how = flags & load<u32>(unit, UNIT.WALKED) ? UNFIT : look(iotlb, key, address, flags & ACCESS, result);
  if (how == HIT || (how == ABSENT && fill(unit, key, address, flags, result))) return 0;
  return missed(unit, sid, pasid, address, flags, result);
}

/** As `vtdWalkMany`, with the unit's caches. */
export function vtdTranslateMany(unit: usize, requests: usize, results: usize, count: u32): u32 {
  const iotlb = load<u32>(unit, UNIT.FRONT);
  if (!iotlb) return vtdWalkMany(unit, requests, results, count);
  let faults: u32 = 0;
  const walked = load<u32>(unit, UNIT.WALKED);
  const end = requests + count * REQUEST_BYTES;
  let warmedTo = load<u32>(unit, VTD.MODE) == VTD_MODE.SCALABLE ? requests : end;
  for (let request = requests, result = results; request < end; request += REQUEST_BYTES, result += RESULT_BYTES) {
    const flags = load<u32>(request, REQUEST.FLAGS);
    const address = load<u64>(request, REQUEST.ADDRESS);
    if (!(flags & walked)) {
      const key = requester(load<u64>(request, REQUEST.SID), flags);
      const how = look(iotlb, key, address, flags & ACCESS, result);
      if (how == HIT) continue;
      if (request >= warmedTo) {
        const group = requests + (request - requests) / GROUP_BYTES * GROUP_BYTES;
        warmedTo = min<usize>(group + GROUP_BYTES, end);
        warmIfCold(unit, group, request, warmedTo);
      }
      if (how == ABSENT && fill(unit, key, address, flags, result)) continue;
    }
    const sid = load<u32>(request, REQUEST.SID);
    const pasid = load<u32>(request, REQUEST.PASID);
    if (missed(unit, sid, pasid, address, flags, result)) faults++;
  }
  return faults;
}

/** Walks, and holds what may be held of it. */
function missed(unit: usize, sid: u32, pasid: u32, address: u64, flags: u32, result: usize): u32 {
  const met = startOrigin(unit, unit + VTD.ORIGIN_BUFFER);
  const code = walkExactly<Cached>(unit, sid, pasid, address, flags, result);
  const unheld = load<u32>(unit, UNIT.WALKED) | REQUEST_FLAG.PROBE;
  if (code || flags & unheld || isInterruptAddress(address)) return code;
  const shift = shiftToHold(unit, address, result);
  if (!shift) return code;
  const iotlb = load<u32>(unit, VTD.IOTLB);
  const index = insert(iotlb, pageKey(address, shift), requester((<u64>pasid << 32) | sid, flags));
  hold(iotlb, index, shift, served(result), result);
  memory.copy(originOf(iotlb, index), met, IOTLB_ORIGIN_BYTES);
  return code;
}

/**
 * Fills the IOTLB by a fast walk. An entry is taken before the walk, as if the page had the smallest
 * size in use: so the walk notes where it reads in the entry itself, and nothing waits for its end.
 * @returns false: it has to be walked exactly
 */
function fill(unit: usize, key: u64, address: u64, flags: u32, result: usize): bool {
  if (flags & REQUEST_FLAG.PROBE || load<u32>(unit, VTD.POLICY) & VTD_POLICY.BEHIND) return false;
  const iotlb = load<u32>(unit, VTD.IOTLB);
  const shifts = load<u64>(iotlb, CACHE.SHIFTS);
  const expected: u64 = shifts ? ctz(shifts) : PAGE_SHIFT;
  let index = place(iotlb, pageKey(address, expected), key);
  const origin = startOrigin(unit, originOf(iotlb, index));
  const done = walkFilling(unit, <u32>get(key, REQUESTER.SID), <u32>get(key, REQUESTER.PASID), address, flags, result);
  const shift = done ? shiftToHold(unit, address, result) : 0;
  if (shift != expected) {
    drop(iotlb, index);
    if (!shift) return done;
    index = place(iotlb, pageKey(address, shift), key);
    memory.copy(originOf(iotlb, index), origin, IOTLB_ORIGIN_BYTES);
  }
  hold(iotlb, index, shift, served(result), result);
  return true;
}

/** From now on the walk notes at `origin` where it reads. */
// @ts-ignore: decorator
@inline
function startOrigin(unit: usize, origin: usize): usize {
  store<u32>(unit, <u32>origin, VTD.ORIGIN);
  store<u16>(origin, 0, IOTLB_ORIGIN.FS_LEVELS);
  if (load<u32>(unit, VTD.MODE) != VTD_MODE.SCALABLE) {
    store<u64>(origin, 0, IOTLB_ORIGIN.DIRECTORY);
    store<u64>(origin, 0, IOTLB_ORIGIN.PASID);
  }
  return origin;
}

/** log2 of the page that the translation in `result` may be held for, 0 if for none. */
// @ts-ignore: decorator
@inline
function shiftToHold(unit: usize, address: u64, result: usize): u64 {
  let shift: u64 = load<u8>(result, RESULT.PAGE_SHIFT);
  if (shift == EVERYTHING) shift = passThroughShift(unit, address);
  return touchesInterruptRange(load<u64>(result, RESULT.ADDRESS), shift) ? 0 : shift;
}

/** Accesses that the translation in `result` serves; a write through one not known to be dirty must set D first. */
// @ts-ignore: decorator
@inline
function served(result: usize): u32 {
  // PERMISSION.READ and WRITE are where REQUEST_FLAG has READ and WRITE.
  const rights: u32 = load<u8>(result, RESULT.PERMISSIONS) & ACCESS;
  return load<u32>(result, RESULT.FLAGS) & RESULT_FLAG.DIRTY ? rights : rights & ~REQUEST_FLAG.WRITE;
}

/** A pass-through page as large as the unit has them, unless interrupts lie in it. */
function passThroughShift(unit: usize, address: u64): u64 {
  let shift: u64 = load<u32>(unit, VTD.PASS_THROUGH_SHIFT);
  while (<i32>shift > PAGE_SHIFT && touchesInterruptRange(address, shift)) shift -= LEVEL_BITS;
  return shift;
}

/**
 * Where the translation that serves the request came from: copies IOTLB_ORIGIN to `origin`.
 * @returns log2 of its page, or 0 when none is held, or origins are not kept
 */
export function vtdOrigin(
  unit: usize, sid: u32, pasid: u32, low: u32, high: u32, flags: u32, origin: usize,
): u32 {
  const iotlb = load<u32>(unit, VTD.IOTLB);
  if (!iotlb || !load<u32>(iotlb, CACHE.ORIGIN_BYTES)) return 0;
  const address = (<u64>high << 32) | <u64>low;
  const key = requester((<u64>pasid << 32) | sid, flags);
  for (let shifts = load<u64>(iotlb, CACHE.SHIFTS); shifts; shifts &= shifts - 1) {
    const index = find(iotlb, pageKey(address, ctz(shifts)), key);
    if (index < 0) continue;
    readOrigin(originOf(iotlb, index), origin);
    return <u32>ctz(shifts);
  }
  return 0;
}

/** Copies an origin, with 0 where no level of a stage was read. */
function readOrigin(from: usize, to: usize): void {
  memory.copy(to, from, IOTLB_ORIGIN_BYTES);
  for (let level = 1; level < LEVELS; level++) {
    if (!((load<u8>(from, IOTLB_ORIGIN.FS_LEVELS) >> level) & 1)) setElement(to + IOTLB_ORIGIN.FS, level - 1, 0);
    if (!((load<u8>(from, IOTLB_ORIGIN.SS_LEVELS) >> level) & 1)) setElement(to + IOTLB_ORIGIN.SS, level - 1, 0);
  }
}
