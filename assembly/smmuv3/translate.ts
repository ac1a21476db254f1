/**
 * Translation through the unit's caches. IHI 0070 3.17, 3.21.
 *
 * In front lies a cache by request: stream, substream, privilege and page. A hit there needs no
 * configuration. What it does not settle is walked, with what the caches behind hold in place of memory.
 */
import { find, insert, originOf, place, valueOf } from "../caches";
import { get, mask, put } from "../bits";
import { CACHE } from "../layout/caches";
import { PERMISSION, REQUEST, REQUEST_BYTES, REQUEST_FLAG, RESULT, RESULT_BYTES, RESULT_FLAG } from "../layout/core";
import { ORIGIN_BYTES, REQUESTER, SERVES } from "../layout/smmuv3-caches";
import { SMMU } from "../layout/smmuv3-unit";
import { Cached } from "../modes";
import { clearVectors, copyVectors } from "./held";
import { isSuccess, walkExactly, walkFast } from "./walk";

/** Requests that are never answered from, nor kept in, the cache by request. */
const WALKED: u32 = REQUEST_FLAG.TRANSLATION | REQUEST_FLAG.TRANSLATED | REQUEST_FLAG.PROBE;
/** What `look` says: answered; nothing is held; what is held does not serve this access. */
const HIT: i32 = 1;
const ABSENT: i32 = 0;
const UNFIT: i32 = -1;
const ACCESS: u32 = REQUEST_FLAG.READ | REQUEST_FLAG.WRITE;

/** As `smmuWalk`, with the unit's caches. */
export function smmuTranslate(unit: usize, sid: u32, pasid: u32, low: u32, high: u32, flags: u32, result: usize): i32 {
  const address = (<u64>high << 32) | low;
  const cache = load<u32>(unit, SMMU.REQUESTERS);
  if (!cache) return walkFast(unit, sid, pasid, address, flags, result);
  const how = look(unit, cache, sid, pasid, address, flags, result);
  return how == HIT ? 0 : missed(unit, cache, how, sid, pasid, address, flags, result);
}

/** As `smmuWalkMany`, with the unit's caches. */
export function smmuTranslateMany(unit: usize, requests: usize, results: usize, count: u32): u32 {
  let events: u32 = 0;
  const cache = load<u32>(unit, SMMU.REQUESTERS);
  for (let i: u32 = 0; i < count; i++) {
    const sid = load<u32>(requests, REQUEST.SID);
    const pasid = load<u32>(requests, REQUEST.PASID);
    const address = load<u64>(requests, REQUEST.ADDRESS);
    const flags = load<u32>(requests, REQUEST.FLAGS);
    let code = 0;
    if (!cache) code = walkFast(unit, sid, pasid, address, flags, results);
    else {
      const how = look(unit, cache, sid, pasid, address, flags, results);
      if (how != HIT) code = missed(unit, cache, how, sid, pasid, address, flags, results);
    }
    if (code) events++;
    requests += REQUEST_BYTES;
    results += RESULT_BYTES;
  }
  return events;
}

/** Which requests an entry serves, apart from the size of its page. */
// @ts-ignore: decorator
@inline
function requester(sid: u32, pasid: u32, flags: u32): u64 {
  let key = put(mask(REQUESTER.VALID), REQUESTER.SID, sid);
  if (flags & REQUEST_FLAG.PASID) key = put(key | mask(REQUESTER.HAS_PASID), REQUESTER.PASID, pasid);
  if (flags & REQUEST_FLAG.PRIVILEGED) key |= mask(REQUESTER.PRIVILEGED);
  return flags & REQUEST_FLAG.EXECUTE ? key | mask(REQUESTER.EXECUTE) : key;
}

/** Whether the cache by request answers; then, with HIT, `result` is written. */
// @ts-ignore: decorator
@inline
function look(unit: usize, cache: usize, sid: u32, pasid: u32, address: u64, flags: u32, result: usize): i32 {
  // § 6.2 Y7: caches survive SMMUEN = 0, but nothing is translated then
  if (flags & WALKED || !load<u64>(unit, SMMU.STREAMS)) return UNFIT;
  const key = requester(sid, pasid, flags);
  const wanted = flags & ACCESS;
  for (let shifts = load<u64>(cache, CACHE.SHIFTS); shifts; shifts &= shifts - 1) {
    const shift = ctz(shifts);
    const index = find(cache, address >> shift, put(key, REQUESTER.SHIFT, shift));
    if (index < 0) continue;
    const value = valueOf(cache, index);
    const held = load<u32>(value, RESULT.FLAGS);
    if (wanted & ~<u32>get(held, SERVES.ACCESS)) return UNFIT;
    v128.store(result, v128.load(value));
    v128.store(result, v128.load(value, 16), 16);
    store<u32>(result, held & RESULT_FLAG.DIRTY, RESULT.FLAGS);
    store<u64>(result, load<u64>(value, RESULT.ADDRESS) | (address & ((<u64>1 << shift) - 1)), RESULT.ADDRESS);
    return HIT;
  }
  return ABSENT;
}

/** Walks, and holds what may be held of it. */
function missed(
  unit: usize, cache: usize, how: i32, sid: u32, pasid: u32, address: u64, flags: u32, result: usize,
): i32 {
  clearVectors(unit + SMMU.ORIGIN, ORIGIN_BYTES);
  const event = walkExactly<Cached>(unit, sid, pasid, address, flags, result);
  const outcome = load<u32>(result, RESULT.FLAGS);
  if (event || flags & WALKED || outcome & RESULT_FLAG.BYPASS || !isSuccess(result)) return event;
  const shift = <u64>load<u8>(result, RESULT.PAGE_SHIFT);
  const key = put(requester(sid, pasid, flags), REQUESTER.SHIFT, shift);
  const index = how == ABSENT ? place(cache, address >> shift, key) : insert(cache, address >> shift, key);
  store<u64>(cache, load<u64>(cache, CACHE.SHIFTS) | (<u64>1 << shift), CACHE.SHIFTS);
  const value = valueOf(cache, index);
  v128.store(value, v128.load(result));
  v128.store(value, v128.load(result, 16), 16);
  const held = put(outcome & RESULT_FLAG.DIRTY, SERVES.ACCESS, served(unit, flags, result));
  store<u32>(value, <u32>held, RESULT.FLAGS);
  store<u64>(value, load<u64>(result, RESULT.ADDRESS) & ~((<u64>1 << shift) - 1), RESULT.ADDRESS);
  copyVectors(originOf(cache, index), unit + SMMU.ORIGIN, ORIGIN_BYTES);
  return event;
}

/** Accesses that the translation in `result` serves without another look. */
function served(unit: usize, flags: u32, result: usize): u32 {
  const needs = load<u32>(unit, SMMU.READ_NEEDS);
  // Reads that are instruction fetches go out as such, so an entry serves either reads or writes then.
  if (needs != PERMISSION.READ) return flags & REQUEST_FLAG.WRITE ? flags & REQUEST_FLAG.WRITE : REQUEST_FLAG.READ;
  // PERMISSION.READ and WRITE are where REQUEST_FLAG has READ and WRITE. § 3.8 H10: a write may need a new walk.
  const rights = load<u8>(result, RESULT.PERMISSIONS) & ACCESS;
  return load<u32>(result, RESULT.FLAGS) & RESULT_FLAG.DIRTY ? rights : rights & ~REQUEST_FLAG.WRITE;
}

/**
 * Where the translation that serves the request came from: copies ORIGIN to `origin`.
 * @returns log2 of its page, or 0 when none is held
 */
export function smmuOrigin(unit: usize, sid: u32, pasid: u32, low: u32, high: u32, flags: u32, origin: usize): u32 {
  const cache = load<u32>(unit, SMMU.REQUESTERS);
  if (!cache) return 0;
  const address = (<u64>high << 32) | low;
  for (let shifts = load<u64>(cache, CACHE.SHIFTS); shifts; shifts &= shifts - 1) {
    const shift = ctz(shifts);
    const index = find(cache, address >> shift, put(requester(sid, pasid, flags), REQUESTER.SHIFT, shift));
    if (index < 0) continue;
    memory.copy(origin, originOf(cache, index), ORIGIN_BYTES);
    return <u32>shift;
  }
  return 0;
}
