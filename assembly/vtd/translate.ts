/**
 * Translation through the IOTLB, and the other caches behind it.
 *
 * VT-d rev 5.10, 6.2.3 "IOTLB". A hit needs nothing but the request; what a hit does not settle is
 * walked, with what the other caches hold in place of memory. An IOTLB entry is the first part of a
 * result, so a hit copies two vectors.
 */
import { find, insert, originOf, secondKey, valueOf } from "../caches";
import { get, mask, place, setElement } from "../bits";
import { CACHE } from "../layout/caches";
import { PERMISSION, REQUEST, REQUEST_BYTES, REQUEST_FLAG, RESULT, RESULT_BYTES, RESULT_FLAG } from "../layout/core";
import { LEVEL_BITS, PAGE_SHIFT } from "../layout/vtd";
import { IOTLB_ORIGIN, IOTLB_ORIGIN_BYTES, IOTLB_VALUE_BYTES, KEY } from "../layout/vtd-caches";
import { LEVELS, PATH, PATH_STEP, VTD, VTD_MODE } from "../layout/vtd-unit";
import { Cached } from "./held";
import { EVERYTHING, isInterruptAddress, touchesInterruptRange } from "./result";
import { vtdWalk, walkExactly } from "./walk";

/** Requests that the IOTLB does not serve. */
const WALKED: u32 = REQUEST_FLAG.TRANSLATION | REQUEST_FLAG.TRANSLATED | REQUEST_FLAG.PAGE_REQUEST |
  REQUEST_FLAG.EXECUTE | REQUEST_FLAG.ZERO_LENGTH;

/** All requests read, write or both. */
const EVERY_REQUEST: u32 = REQUEST_FLAG.READ | REQUEST_FLAG.WRITE;

/** As `vtdWalk`, with the unit's caches. */
export function vtdTranslate(unit: usize, sid: u32, pasid: u32, low: u32, high: u32, flags: u32, result: usize): u32 {
  const iotlb = load<u32>(unit, VTD.IOTLB);
  if (!iotlb) return vtdWalk(unit, sid, pasid, low, high, flags, result);
  const address = (<u64>high << 32) | <u64>low;
  if (!(flags & unserved(unit)) && hit(iotlb, sid, pasid, address, flags, result)) return 0;
  return missed(unit, iotlb, sid, pasid, address, flags, result);
}

/** As `vtdWalkMany`, with the unit's caches. */
export function vtdTranslateMany(unit: usize, requests: usize, results: usize, count: u32): u32 {
  let faults: u32 = 0;
  const iotlb = load<u32>(unit, VTD.IOTLB);
  const refused = unserved(unit);
  const end = requests + count * REQUEST_BYTES;
  for (let request = requests, result = results; request < end; request += REQUEST_BYTES, result += RESULT_BYTES) {
    const sid = load<u32>(request, REQUEST.SID);
    const pasid = load<u32>(request, REQUEST.PASID);
    const address = load<u64>(request, REQUEST.ADDRESS);
    const flags = load<u32>(request, REQUEST.FLAGS);
    let code: u32 = 0;
    if (!iotlb) code = vtdWalk(unit, sid, pasid, <u32>address, <u32>(address >> 32), flags, result);
    else if (flags & refused || !hit(iotlb, sid, pasid, address, flags, result)) {
      code = missed(unit, iotlb, sid, pasid, address, flags, result);
    }
    if (code) faults++;
  }
  return faults;
}

/** Which requests an entry serves, apart from the size of its page. */
// @ts-ignore: decorator
@inline
function requester(sid: u32, pasid: u32, flags: u32): u64 {
  const key = mask(KEY.VALID) | place(KEY.SID, sid);
  if (!(flags & REQUEST_FLAG.PASID)) return key;
  const privileged = flags & REQUEST_FLAG.PRIVILEGED ? mask(KEY.PRIVILEGED) : 0;
  return key | mask(KEY.HAS_PASID) | privileged | place(KEY.PASID, pasid);
}

/** Flags of the requests that the IOTLB does not serve in the unit's mode. */
// @ts-ignore: decorator
@inline
function unserved(unit: usize): u32 {
  const mode = load<u32>(unit, VTD.MODE);
  if (mode == VTD_MODE.SCALABLE) return WALKED;
  return mode == VTD_MODE.LEGACY ? WALKED | REQUEST_FLAG.PASID : EVERY_REQUEST;
}

/** Whether the IOTLB answers a request it serves; then `result` is written. */
// @ts-ignore: decorator
@inline
function hit(iotlb: usize, sid: u32, pasid: u32, address: u64, flags: u32, result: usize): bool {
  const key = requester(sid, pasid, flags);
  const wanted = flags & EVERY_REQUEST;
  for (let shifts = load<u64>(iotlb, CACHE.SHIFTS); shifts; shifts &= shifts - 1) {
    const shift = ctz(shifts);
    const index = find(iotlb, address >> shift, key | place(KEY.SHIFT, shift));
    if (index < 0) continue;
    const value = <usize>load<u32>(iotlb, CACHE.VALUES) + index * IOTLB_VALUE_BYTES;
    // PERMISSION.READ and WRITE are where REQUEST_FLAG has READ and WRITE.
    if ((load<u8>(value, RESULT.PERMISSIONS) & wanted) != wanted) return false;
    // A write through a translation not known to be dirty must set D first.
    if (wanted & PERMISSION.WRITE && !(load<u32>(value, RESULT.FLAGS) & RESULT_FLAG.DIRTY)) return false;
    v128.store(result, v128.load(value));
    v128.store(result, v128.load(value, 16), 16);
    store<u64>(result, load<u64>(value, RESULT.ADDRESS) | (address & ((<u64>1 << shift) - 1)), RESULT.ADDRESS);
    return true;
  }
  return false;
}

/** Walks, and holds what may be held of it. */
function missed(
  unit: usize, iotlb: usize, sid: u32, pasid: u32, address: u64, flags: u32, result: usize,
): u32 {
  forget(unit);
  const code = walkExactly<Cached>(unit, sid, pasid, address, flags, result);
  const unheld = WALKED | REQUEST_FLAG.PROBE;
  if (code || flags & unheld || load<u32>(unit, VTD.MODE) == VTD_MODE.OFF || isInterruptAddress(address)) return code;
  let shift: u64 = load<u8>(result, RESULT.PAGE_SHIFT);
  if (shift == EVERYTHING) shift = passThroughShift(unit, address);
  const output = load<u64>(result, RESULT.ADDRESS);
  if (touchesInterruptRange(output, shift)) return code;
  const index = insert(iotlb, address >> shift, requester(sid, pasid, flags) | place(KEY.SHIFT, shift));
  store<u64>(iotlb, load<u64>(iotlb, CACHE.SHIFTS) | (<u64>1 << shift), CACHE.SHIFTS);
  const value = valueOf(iotlb, index);
  v128.store(value, v128.load(result));
  v128.store(value, v128.load(result, 16), 16);
  store<u32>(value, load<u32>(result, RESULT.FLAGS) & ~RESULT_FLAG.UPDATED, RESULT.FLAGS);
  store<u64>(value, output & ~((<u64>1 << shift) - 1), RESULT.ADDRESS);
  noteOrigin(unit, originOf(iotlb, index));
  return code;
}

/** A pass-through page as large as the unit has them, unless interrupts lie in it. */
function passThroughShift(unit: usize, address: u64): u64 {
  let shift: u64 = load<u32>(unit, VTD.PASS_THROUGH_SHIFT);
  while (<i32>shift > PAGE_SHIFT && touchesInterruptRange(address, shift)) shift -= LEVEL_BITS;
  return shift;
}

/** Forgets the paths of earlier walks. */
function forget(unit: usize): void {
  for (let level = 1; level < LEVELS; level++) {
    store<u64>(unit + VTD.FS_PATH + level * PATH_STEP, 0, PATH.ADDRESS);
    store<u64>(unit + VTD.SS_PATH + level * PATH_STEP, 0, PATH.ADDRESS);
  }
  store<u64>(unit, 0, VTD.DIRECTORY_AT);
  store<u64>(unit, 0, VTD.PASID_AT);
}

/** Writes which entries the walk has used. */
function noteOrigin(unit: usize, origin: usize): void {
  store<u64>(origin, load<u64>(unit, VTD.CONTEXT_AT), IOTLB_ORIGIN.CONTEXT);
  store<u64>(origin, load<u64>(unit, VTD.DIRECTORY_AT), IOTLB_ORIGIN.DIRECTORY);
  store<u64>(origin, load<u64>(unit, VTD.PASID_AT), IOTLB_ORIGIN.PASID);
  for (let level = 1; level < LEVELS; level++) {
    const fs = load<u64>(unit + VTD.FS_PATH + level * PATH_STEP, PATH.ADDRESS);
    const ss = load<u64>(unit + VTD.SS_PATH + level * PATH_STEP, PATH.ADDRESS);
    setElement(origin + IOTLB_ORIGIN.FS, level - 1, fs);
    setElement(origin + IOTLB_ORIGIN.SS, level - 1, ss);
  }
}

/**
 * Where the translation that serves the request came from: copies IOTLB_ORIGIN to `origin`.
 * @returns log2 of its page, or 0 when none is held
 */
export function vtdOrigin(
  unit: usize, sid: u32, pasid: u32, low: u32, high: u32, flags: u32, origin: usize,
): u32 {
  const iotlb = load<u32>(unit, VTD.IOTLB);
  if (!iotlb) return 0;
  const address = (<u64>high << 32) | <u64>low;
  const key = requester(sid, pasid, flags);
  for (let shifts = load<u64>(iotlb, CACHE.SHIFTS); shifts; shifts &= shifts - 1) {
    const shift = ctz(shifts);
    const index = find(iotlb, address >> shift, key | place(KEY.SHIFT, shift));
    if (index < 0) continue;
    memory.copy(origin, originOf(iotlb, index), IOTLB_ORIGIN_BYTES);
    return <u32>get(secondKey(iotlb, index), KEY.SHIFT);
  }
  return 0;
}
