/**
 * The walker's entry: what is decided before any table is read, then the mode's walk.
 *
 * VT-d rev 5.10, 4.1 "Device-TLB Operation", 3.15 "Handling Requests to Interrupt Address Range", 11.4.5
 * "Root Table Address Register"; conditions RTA.*.
 *
 * Where the architecture leaves the order of effects open, this walker sets accessed and dirty bits
 * of the page last, when nothing but a failing write can stop the request any more.
 */
import { get, has } from "../bits";
import { ANSWER, REQUEST, REQUEST_BYTES, REQUEST_FLAG, RESULT_BYTES } from "../layout/core";
import { CHECK, STRUCTURE } from "../layout/vtd-faults";
import { ECAP, VER } from "../layout/vtd-capabilities";
import { GSTS } from "../layout/vtd-base";
import { MAX_RETRIES, START_OVER, VTD, VTD_MODE } from "../layout/vtd-unit";
import { walkScalable } from "./context";
import { faultOfRequest } from "./faults";
import { UNCOMMON } from "./kind";
import { walkLegacy } from "./legacy";
import { bypass, isInterruptAddress } from "./result";
import { GROUP } from "../warm";
import { warm } from "./warm";
import { begin, check, Exact, Fast, Filling, step, Traced } from "../modes";

/** First major version in which execute requests are refused before any table is read. */
const NO_EXECUTE_REQUESTS = 8;
/** What `admit` says of a request that goes on to the tables. */
const ADMITTED: u32 = START_OVER;

/** Walks one request; @returns the fault reason, 0 = none, and everything else in `result`. */
export function vtdWalk(unit: usize, sid: u32, pasid: u32, low: u32, high: u32, flags: u32, result: usize): u32 {
  const address = (<u64>high << 32) | <u64>low;
  return walkFast(unit, load<u32>(unit, VTD.MODE), sid, pasid, address, flags, result);
}

/** The same, noting every entry read and every check made in the unit's trace buffer. */
export function vtdWalkTraced(unit: usize, sid: u32, pasid: u32, low: u32, high: u32, flags: u32, result: usize): u32 {
  return walkExactly<Traced>(unit, sid, pasid, (<u64>high << 32) | <u64>low, flags, result);
}

/** Walks `count` requests of REQUEST_BYTES to results of RESULT_BYTES; @returns how many had a fault reason. */
export function vtdWalkMany(unit: usize, requests: usize, results: usize, count: u32): u32 {
  let faults: u32 = 0;
  const mode = load<u32>(unit, VTD.MODE);
  while (count) {
    const group = min<u32>(count, GROUP);
    if (mode == VTD_MODE.SCALABLE) warm(unit, requests, group);
    for (let i: u32 = 0; i < group; i++) {
      const sid = load<u32>(requests, REQUEST.SID);
      const pasid = load<u32>(requests, REQUEST.PASID);
      const address = load<u64>(requests, REQUEST.ADDRESS);
      const flags = load<u32>(requests, REQUEST.FLAGS);
      if (walkFast(unit, mode, sid, pasid, address, flags, results)) faults++;
      requests += REQUEST_BYTES;
      results += RESULT_BYTES;
    }
    count -= group;
  }
  return faults;
}

/** Walks fast, noting which entries it reads; false: it must be walked exactly. */
export function walkFilling(unit: usize, sid: u32, pasid: u32, address: u64, flags: u32, result: usize): bool {
  return tryFast<Filling>(unit, load<u32>(unit, VTD.MODE), sid, pasid, address, flags, result) != START_OVER;
}

// @ts-ignore: decorator
@inline
function walkFast(unit: usize, mode: u32, sid: u32, pasid: u32, address: u64, flags: u32, result: usize): u32 {
  const code = tryFast<Fast>(unit, mode, sid, pasid, address, flags, result);
  return code == START_OVER ? walkExactly<Exact>(unit, sid, pasid, address, flags, result) : code;
}

// @ts-ignore: decorator
@inline
function tryFast<T>(unit: usize, mode: u32, sid: u32, pasid: u32, address: u64, flags: u32, result: usize): u32 {
  if (mode == VTD_MODE.SCALABLE) return tryScalable<T>(unit, sid, pasid, address, flags, result);
  return mode == VTD_MODE.LEGACY ? tryLegacy<T>(unit, sid, address, flags, result) : START_OVER;
}

/** A function without calls is compiled better: it keeps nothing on the stack for them. */
function tryScalable<T>(unit: usize, sid: u32, pasid: u32, address: u64, flags: u32, result: usize): u32 {
  if (flags & UNCOMMON) return START_OVER;
  if (isInterruptAddress(address)) return START_OVER;
  return walkScalable<T>(unit, sid, pasid, address, flags, result);
}

function tryLegacy<T>(unit: usize, sid: u32, address: u64, flags: u32, result: usize): u32 {
  if (flags & (UNCOMMON | REQUEST_FLAG.PASID) || isInterruptAddress(address)) return START_OVER;
  return walkLegacy<T>(unit, sid, address, flags, result);
}

/** Walks with effects, again as long as somebody changes entries under the walker's hands. */
export function walkExactly<T>(unit: usize, sid: u32, pasid: u32, address: u64, flags: u32, result: usize): u32 {
  store<u32>(unit, MAX_RETRIES, VTD.RETRIES);
  store<u32>(unit, 0, VTD.UPDATED);
  while (true) {
    const code = walk<T>(unit, sid, pasid, address, flags, result);
    if (code != START_OVER) return code;
  }
}

function walk<T>(unit: usize, sid: u32, pasid: u32, address: u64, flags: u32, result: usize): u32 {
  const mode = load<u32>(unit, VTD.MODE);
  begin<T>(unit);
  step<T>(unit, STRUCTURE.RTADDR, 0, 0, 0, 0, unit + VTD.RTADDR, 1);
  const code = admit<T>(unit, result, flags, address);
  if (code != ADMITTED) return code;
  let asked = flags;
  if (flags & REQUEST_FLAG.TRANSLATION && asksForWrite(unit, flags)) asked |= REQUEST_FLAG.WRITE;
  if (mode == VTD_MODE.SCALABLE) {
    // § RTA.5
    if (flags & REQUEST_FLAG.EXECUTE && executeIsGone<T>(unit, flags)) {
      return faultOfRequest<T>(result, flags, CHECK.RTA_5, 0);
    }
    return walkScalable<T>(unit, sid, pasid, address, asked, result);
  }
  const failed = legacyRefuses<T>(unit, mode, flags);
  if (failed) return faultOfRequest<T>(result, flags, failed, 0);
  return walkLegacy<T>(unit, sid, address, asked, result);
}

/** NW counts where ECAP.NWFS is 1. */
function asksForWrite(unit: usize, flags: u32): bool {
  return !(flags & REQUEST_FLAG.NO_WRITE) || !has(load<u64>(unit, VTD.ECAP), ECAP.NWFS);
}

/** Stages 0 and 1: ADMITTED, or the fault reason (0 = none) with `result` written. */
function admit<T>(unit: usize, result: usize, flags: u32, address: u64): u32 {
  const kind = flags & (REQUEST_FLAG.TRANSLATION | REQUEST_FLAG.TRANSLATED | REQUEST_FLAG.PAGE_REQUEST);
  // § AT
  const write = (flags & REQUEST_FLAG.TRANSLATION) != 0 && (flags & REQUEST_FLAG.WRITE) != 0;
  if (check<T>(unit, CHECK.AT, write)) return faultOfRequest<T>(result, flags, CHECK.AT, 0);
  // § PTRS
  const translatedWithPasid = REQUEST_FLAG.TRANSLATED | REQUEST_FLAG.PASID;
  const unknown = (flags & translatedWithPasid) == translatedWithPasid && !has(load<u64>(unit, VTD.ECAP), ECAP.PTRS);
  if (check<T>(unit, CHECK.PTRS, unknown)) return faultOfRequest<T>(result, flags, CHECK.PTRS, 0);
  // § S.1, S.2
  if (!kind && !(flags & REQUEST_FLAG.PASID) && isInterruptAddress(address)) {
    return interruptAddress<T>(unit, result, flags, address);
  }
  if (load<u32>(unit, VTD.MODE) != VTD_MODE.OFF) return ADMITTED;
  // § TES
  if (check<T>(unit, CHECK.TES, kind != 0)) return faultOfRequest<T>(result, flags, CHECK.TES, 0);
  return bypass(unit, result, address, 0, 0, ANSWER.SUCCESS);
}

/** An untranslated request without PASID to FEEx_xxxxh. */
function interruptAddress<T>(unit: usize, result: usize, flags: u32, address: u64): u32 {
  const access = flags & (REQUEST_FLAG.READ | REQUEST_FLAG.WRITE | REQUEST_FLAG.DWORD | REQUEST_FLAG.ZERO_LENGTH);
  if ((access & ~REQUEST_FLAG.ZERO_LENGTH) == (REQUEST_FLAG.WRITE | REQUEST_FLAG.DWORD)) {
    return bypass(unit, result, address, 0, 0, ANSWER.INTERRUPT);
  }
  if ((access & ~REQUEST_FLAG.DWORD) == (REQUEST_FLAG.READ | REQUEST_FLAG.ZERO_LENGTH)) {
    return bypass(unit, result, address, 0, 0, ANSWER.SUCCESS);
  }
  // Without interrupt remapping there is nobody to report it: the request just fails.
  const remapping = has(load<u32>(unit, VTD.GSTS), GSTS.IRES);
  check<T>(unit, CHECK.IR_ILLEGAL_ACCESS, true);
  return faultOfRequest<T>(result, flags, remapping ? CHECK.IR_ILLEGAL_ACCESS : CHECK.TES, 0);
}

function executeIsGone<T>(unit: usize, flags: u32): bool {
  const major = get(load<u32>(unit, VTD.VERSION), VER.MAX);
  return check<T>(unit, CHECK.RTA_5, (flags & REQUEST_FLAG.PASID) != 0 && <i32>major >= NO_EXECUTE_REQUESTS);
}

/** 2.1 to 2.4: 0 in legacy mode with a request it serves, else the check that fails. */
// @ts-ignore: decorator
@inline
function legacyRefuses<T>(unit: usize, mode: u32, flags: u32): u32 {
  const hasPasid = (flags & REQUEST_FLAG.PASID) != 0;
  const pageRequest = (flags & REQUEST_FLAG.PAGE_REQUEST) != 0;
  if (check<T>(unit, CHECK.RTA_1_1, mode == VTD_MODE.ILLEGAL)) return CHECK.RTA_1_1;
  if (check<T>(unit, CHECK.RTA_4, mode == VTD_MODE.ABORT_DMA)) return CHECK.RTA_4;
  if (check<T>(unit, CHECK.RTA_2, hasPasid && !pageRequest)) return CHECK.RTA_2;
  if (check<T>(unit, CHECK.RTA_3, pageRequest)) return CHECK.RTA_3;
  return check<T>(unit, CHECK.RTA_1_4, mode == VTD_MODE.ILLEGAL_SSIRWE) ? CHECK.RTA_1_4 : 0;
}
