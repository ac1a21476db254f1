/**
 * Translation through the unit's caches. IHI 0070 3.17, 3.21.
 *
 * In front lies a cache by request: stream, substream, privilege and page. A hit there needs no
 * configuration. What is not held is walked: fast where that cache is all there is, else with what the
 * caches behind it hold in place of memory.
 */
import { drop, find, insert, originOf, place } from "../caches";
import { CACHE } from "../layout/caches";
import { PERMISSION, REQUEST, REQUEST_BYTES, REQUEST_FLAG, RESULT, RESULT_BYTES, RESULT_FLAG, UNIT } from "../layout/core";
import { ORIGIN_BYTES, SMMU_POLICY } from "../layout/smmuv3-caches";
import { SMALLEST_PAGE_SHIFT, SMMU } from "../layout/smmuv3-unit";
import { Cached } from "../modes";
import { ABSENT, HIT, hold, look, pageKey, requester, UNFIT } from "../tlb";
import { GROUP_BYTES } from "../warm";
import { smmuWalk, smmuWalkMany } from "./entry";
import { clearVectors, copyVectors } from "./held";
import { isSuccess, walkExactly, walkFilling } from "./walk";
import { warmIfCold } from "./warm";

const ACCESS: u32 = REQUEST_FLAG.READ | REQUEST_FLAG.WRITE;

/** As `smmuWalk`, with the unit's caches. */
export function smmuTranslate(unit: usize, sid: u32, pasid: u32, low: u32, high: u32, flags: u32, result: usize): i32 {
  const tlb = load<u32>(unit, UNIT.FRONT);
  if (!tlb) return smmuWalk(unit, sid, pasid, low, high, flags, result);
  const address = (<u64>high << 32) | low;
  const key = requester((<u64>pasid << 32) | sid, flags);
  const how = flags & load<u32>(unit, UNIT.WALKED) ? UNFIT : look(tlb, key, address, flags & ACCESS, result);
  if (how == HIT || (how == ABSENT && fill(unit, key, sid, pasid, address, flags, result))) return 0;
  return missed(unit, key, sid, pasid, address, flags, result);
}

/** As `smmuWalkMany`, with the unit's caches. */
export function smmuTranslateMany(unit: usize, requests: usize, results: usize, count: u32): u32 {
  const tlb = load<u32>(unit, UNIT.FRONT);
  if (!tlb) return smmuWalkMany(unit, requests, results, count);
  let events: u32 = 0;
  const walked = load<u32>(unit, UNIT.WALKED);
  const end = requests + count * REQUEST_BYTES;
  let warmedTo = requests;
  for (let request = requests, result = results; request < end; request += REQUEST_BYTES, result += RESULT_BYTES) {
    const flags = load<u32>(request, REQUEST.FLAGS);
    const address = load<u64>(request, REQUEST.ADDRESS);
    const key = requester(load<u64>(request, REQUEST.SID), flags);
    const how = flags & walked ? UNFIT : look(tlb, key, address, flags & ACCESS, result);
    if (how == HIT) continue;
    if (request >= warmedTo) {
      const group = requests + (request - requests) / GROUP_BYTES * GROUP_BYTES;
      warmedTo = min<usize>(group + GROUP_BYTES, end);
      warmIfCold(unit, group, request, warmedTo);
    }
    const sid = load<u32>(request, REQUEST.SID);
    const pasid = load<u32>(request, REQUEST.PASID);
    if (how == ABSENT && fill(unit, key, sid, pasid, address, flags, result)) continue;
    if (missed(unit, key, sid, pasid, address, flags, result)) events++;
  }
  return events;
}

/** Walks, and holds what may be held of it. */
function missed(unit: usize, key: u64, sid: u32, pasid: u32, address: u64, flags: u32, result: usize): i32 {
  const met = startOrigin(unit, unit + SMMU.ORIGIN_BUFFER);
  const event = walkExactly<Cached>(unit, sid, pasid, address, flags, result);
  const isBypass = (load<u32>(result, RESULT.FLAGS) & RESULT_FLAG.BYPASS) != 0;
  if (event || flags & load<u32>(unit, UNIT.WALKED) || isBypass || !isSuccess(result)) return event;
  const tlb = load<u32>(unit, SMMU.REQUESTERS);
  const shift = <u64>load<u8>(result, RESULT.PAGE_SHIFT);
  const index = insert(tlb, pageKey(address, shift), key);
  hold(tlb, index, shift, served(unit, flags, result), result);
  copyVectors(originOf(tlb, index), met, ORIGIN_BYTES);
  return event;
}

/**
 * Fills the cache by request by a fast walk. An entry is taken before the walk, as if the page had the
 * smallest size in use: so the walk notes where it reads in the entry itself, and nothing waits for its end.
 * @returns false: it has to be walked exactly
 */
function fill(unit: usize, key: u64, sid: u32, pasid: u32, address: u64, flags: u32, result: usize): bool {
  if (load<u32>(unit, SMMU.POLICY) & SMMU_POLICY.BEHIND) return false;
  const tlb = load<u32>(unit, SMMU.REQUESTERS);
  const shifts = load<u64>(tlb, CACHE.SHIFTS);
  const expected: u64 = shifts ? ctz(shifts) : SMALLEST_PAGE_SHIFT;
  let index = place(tlb, pageKey(address, expected), key);
  const origin = startOrigin(unit, originOf(tlb, index));
  const done = walkFilling(unit, sid, pasid, address, flags, result);
  const shift: u64 = done ? load<u8>(result, RESULT.PAGE_SHIFT) : 0;
  if (shift != expected) {
    drop(tlb, index);
    if (!done) return false;
    index = place(tlb, pageKey(address, shift), key);
    copyVectors(originOf(tlb, index), origin, ORIGIN_BYTES);
  }
  hold(tlb, index, shift, served(unit, flags, result), result);
  return true;
}

/** From now on the walk notes at `origin` where it reads. */
// @ts-ignore: decorator
@inline
function startOrigin(unit: usize, origin: usize): usize {
  store<u32>(unit, <u32>origin, SMMU.ORIGIN);
  clearVectors(origin, ORIGIN_BYTES);
  return origin;
}

/** Accesses that the translation in `result` serves without another look. */
// @ts-ignore: decorator
@inline
function served(unit: usize, flags: u32, result: usize): u32 {
  const needs = load<u32>(unit, SMMU.READ_NEEDS);
  // Reads that are instruction fetches go out as such, so an entry serves either reads or writes then.
  if (needs != PERMISSION.READ) return flags & REQUEST_FLAG.WRITE ? flags & REQUEST_FLAG.WRITE : REQUEST_FLAG.READ;
  // PERMISSION.READ and WRITE are where REQUEST_FLAG has READ and WRITE. § 3.13 a write may need a new walk.
  const rights: u32 = load<u8>(result, RESULT.PERMISSIONS) & ACCESS;
  return load<u32>(result, RESULT.FLAGS) & RESULT_FLAG.DIRTY ? rights : rights & ~REQUEST_FLAG.WRITE;
}

/**
 * Where the translation that serves the request came from: copies ORIGIN to `origin`.
 * @returns log2 of its page, or 0 when none is held, or origins are not kept
 */
export function smmuOrigin(unit: usize, sid: u32, pasid: u32, low: u32, high: u32, flags: u32, origin: usize): u32 {
  const tlb = load<u32>(unit, SMMU.REQUESTERS);
  if (!tlb || !load<u32>(tlb, CACHE.ORIGIN_BYTES)) return 0;
  const address = (<u64>high << 32) | low;
  const key = requester((<u64>pasid << 32) | sid, flags);
  for (let shifts = load<u64>(tlb, CACHE.SHIFTS); shifts; shifts &= shifts - 1) {
    const index = find(tlb, pageKey(address, ctz(shifts)), key);
    if (index < 0) continue;
    memory.copy(origin, originOf(tlb, index), ORIGIN_BYTES);
    return <u32>ctz(shifts);
  }
  return 0;
}
