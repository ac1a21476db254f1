/**
 * Translation through the IOTLB, and the other caches behind it.
 *
 * VT-d rev 5.10, 6.2.3 "IOTLB". A hit needs nothing but the request; what a hit does not settle is
 * walked, with what the other caches hold in place of memory. An IOTLB entry is the first part of a
 * result, so a hit copies two vectors.
 */
import { find, originOf } from "../caches";
import { mask } from "../bits";
import { CACHE } from "../layout/caches";
import { REQUEST, REQUEST_BYTES, REQUEST_FLAG, RESULT, RESULT_BYTES, RESULT_FLAG } from "../layout/core";
import { LEVEL_BITS, PAGE_SHIFT } from "../layout/vtd";
import { IOTLB_ORIGIN_BYTES, KEY, KEY_FLAGS_SHIFT } from "../layout/vtd-caches";
import { VTD, VTD_MODE } from "../layout/vtd-unit";
import { EVERYTHING, isInterruptAddress, touchesInterruptRange } from "./result";
import { HIT, keep, look, pageKey, UNFIT } from "../tlb";
import { vtdWalk, vtdWalkMany, walkNoting } from "./walk";

/** Requests that the IOTLB does not serve. */
const WALKED: u32 = REQUEST_FLAG.TRANSLATION | REQUEST_FLAG.TRANSLATED | REQUEST_FLAG.PAGE_REQUEST |
  REQUEST_FLAG.EXECUTE | REQUEST_FLAG.ZERO_LENGTH;

/** All requests read, write or both. */
const ACCESS: u32 = REQUEST_FLAG.READ | REQUEST_FLAG.WRITE;

/** As `vtdWalk`, with the unit's caches. */
export function vtdTranslate(unit: usize, sid: u32, pasid: u32, low: u32, high: u32, flags: u32, result: usize): u32 {
  const iotlb = load<u32>(unit, VTD.IOTLB);
  if (!iotlb) return vtdWalk(unit, sid, pasid, low, high, flags, result);
  const address = (<u64>high << 32) | <u64>low;
  const key = requester((<u64>pasid << 32) | sid, flags);
  const how = flags & unserved(unit) ? UNFIT : look(iotlb, key, address, flags & ACCESS, result);
  return how == HIT ? 0 : missed(unit, iotlb, how, sid, pasid, address, flags, result);
}

/** As `vtdWalkMany`, with the unit's caches. */
export function vtdTranslateMany(unit: usize, requests: usize, results: usize, count: u32): u32 {
  const iotlb = load<u32>(unit, VTD.IOTLB);
  if (!iotlb) return vtdWalkMany(unit, requests, results, count);
  let faults: u32 = 0;
  const refused = unserved(unit);
  const end = requests + count * REQUEST_BYTES;
  for (let request = requests, result = results; request < end; request += REQUEST_BYTES, result += RESULT_BYTES) {
    const flags = load<u32>(request, REQUEST.FLAGS);
    const address = load<u64>(request, REQUEST.ADDRESS);
    let how = UNFIT;
    if (!(flags & refused)) {
      how = look(iotlb, requester(load<u64>(request, REQUEST.SID), flags), address, flags & ACCESS, result);
      if (how == HIT) continue;
    }
    const sid = load<u32>(request, REQUEST.SID);
    const pasid = load<u32>(request, REQUEST.PASID);
    if (missed(unit, iotlb, how, sid, pasid, address, flags, result)) faults++;
  }
  return faults;
}

/**
 * Which requests an entry serves.
 * @param ids source-id and PASID, as a request has them
 */
// @ts-ignore: decorator
@inline
function requester(ids: u64, flags: u32): u64 {
  if (!(flags & REQUEST_FLAG.PASID)) return mask(KEY.VALID) | (ids & mask(KEY.SID));
  const kind = <u64>(flags & (REQUEST_FLAG.PASID | REQUEST_FLAG.PRIVILEGED)) << KEY_FLAGS_SHIFT;
  return mask(KEY.VALID) | (ids & (mask(KEY.SID) | mask(KEY.PASID))) | kind;
}

/** Flags of the requests that the IOTLB does not serve in the unit's mode. */
// @ts-ignore: decorator
@inline
function unserved(unit: usize): u32 {
  const mode = load<u32>(unit, VTD.MODE);
  if (mode == VTD_MODE.SCALABLE) return WALKED;
  return mode == VTD_MODE.LEGACY ? WALKED | REQUEST_FLAG.PASID : ACCESS;
}

/** Walks, and holds what may be held of it. */
function missed(
  unit: usize, iotlb: usize, how: i32, sid: u32, pasid: u32, address: u64, flags: u32, result: usize,
): u32 {
  forget(unit);
  const code = walkNoting(unit, sid, pasid, address, flags, result);
  const unheld = WALKED | REQUEST_FLAG.PROBE;
  if (code || flags & unheld || load<u32>(unit, VTD.MODE) == VTD_MODE.OFF || isInterruptAddress(address)) return code;
  let shift: u64 = load<u8>(result, RESULT.PAGE_SHIFT);
  if (shift == EVERYTHING) shift = passThroughShift(unit, address);
  if (touchesInterruptRange(load<u64>(result, RESULT.ADDRESS), shift)) return code;
  // PERMISSION.READ and WRITE are where REQUEST_FLAG has READ and WRITE.
  let serves: u32 = load<u8>(result, RESULT.PERMISSIONS) & ACCESS;
  // A write through a translation not known to be dirty must set D first.
  if (!(load<u32>(result, RESULT.FLAGS) & RESULT_FLAG.DIRTY)) serves &= ~REQUEST_FLAG.WRITE;
  const index = keep(iotlb, how, requester((<u64>pasid << 32) | sid, flags), address, shift, serves, result);
  noteOrigin(unit, originOf(iotlb, index));
  return code;
}

/** A pass-through page as large as the unit has them, unless interrupts lie in it. */
function passThroughShift(unit: usize, address: u64): u64 {
  let shift: u64 = load<u32>(unit, VTD.PASS_THROUGH_SHIFT);
  while (<i32>shift > PAGE_SHIFT && touchesInterruptRange(address, shift)) shift -= LEVEL_BITS;
  return shift;
}

/** Forgets where earlier walks read. */
function forget(unit: usize): void {
  const origin = unit + VTD.ORIGIN;
  for (let i = 0; i < IOTLB_ORIGIN_BYTES; i += 16) v128.store(origin + i, i64x2.splat(0));
}

/** Writes which entries the walk has used. */
function noteOrigin(unit: usize, origin: usize): void {
  const met = unit + VTD.ORIGIN;
  for (let i = 0; i < IOTLB_ORIGIN_BYTES; i += 16) v128.store(origin + i, v128.load(met + i));
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
  const key = requester((<u64>pasid << 32) | sid, flags);
  for (let shifts = load<u64>(iotlb, CACHE.SHIFTS); shifts; shifts &= shifts - 1) {
    const index = find(iotlb, pageKey(address, ctz(shifts)), key);
    if (index < 0) continue;
    memory.copy(origin, originOf(iotlb, index), IOTLB_ORIGIN_BYTES);
    return <u32>ctz(shifts);
  }
  return 0;
}
