/**
 * Scalable mode: from the source-id to the context entry, and what the context lets a request do.
 *
 * VT-d rev 5.10, 3.4.3 "Scalable Mode Address Translation", 9.2 and 9.4 "Scalable-Mode Root and
 * Context Entry"; conditions SRT.*, SCT.* and SGN.10.
 */
import { get, has, mask, meets4, word } from "../bits";
import { REQUEST_FLAG } from "../layout/core";
import { PDTS_BASE_BITS, ROOT_BYTES, SCONTEXT, SCONTEXT_BYTES, SOURCE_ID, SROOT } from "../layout/vtd";
import { CHECK, STRUCTURE } from "../layout/vtd-faults";
import { ECAP } from "../layout/vtd-capabilities";
import { IOTLB_ORIGIN } from "../layout/vtd-caches";
import { SLOT, START_OVER, VTD } from "../layout/vtd-unit";
import { fault } from "./faults";
import { uncommon } from "./kind";
import { heldContext, isCached, met } from "./held";
import { walkPasid } from "./scalable";
import { firstWord } from "../memory";
import { check, fetch, fetchEntry, isMissing, marks, notes, step } from "../modes";

/** Bytes of one half of a scalable root entry. */
const HALF = 8;

/** C1 to C7: the root entry, then the context entry of `sid`. */
// @ts-ignore: decorator
@inline
export function walkScalable<T>(unit: usize, sid: u32, pasid: u32, address: u64, flags: u32, result: usize): u32 {
  let context: usize = isCached<T>() ? heldContext(unit, sid, true) : 0;
  if (!isCached<T>() || !context) {
    const bus = get(sid, SOURCE_ID.BUS);
    const upper = get(sid, SOURCE_ID.UPPER_HALF);
    const rootAt = load<u64>(unit, VTD.ROOT_TABLE) + bus * ROOT_BYTES;
    const root = fetch<T>(unit, rootAt, ROOT_BYTES, SLOT.ROOT);
    step<T>(unit, STRUCTURE.SROOT, 0, 0, rootAt, bus, root, 2);
    // § SRT.1
    if (check<T>(unit, CHECK.SRT_1, isMissing<T>(root))) {
      return fault<T>(result, flags, CHECK.SRT_1, 0, rootAt, 0, 0, 0);
    }
    const half = load<u64>(root + <usize>(upper * HALF));
    // § SRT.2
    if (check<T>(unit, CHECK.SRT_2, !has(half, SROOT.LP))) {
      return fault<T>(result, flags, CHECK.SRT_2, 0, rootAt, half, 0, 0);
    }
    // § SRT.3
    if (check<T>(unit, CHECK.SRT_3, (half & load<u64>(unit, VTD.SROOT_R)) != 0)) {
      return fault<T>(result, flags, CHECK.SRT_3, 0, rootAt, half, 0, 0);
    }
    const index = get(sid, SOURCE_ID.HALF_DEVFN);
    const at = (half & mask(SROOT.LCTP)) + index * SCONTEXT_BYTES;
    context = fetchEntry<T>(unit, at, SCONTEXT_BYTES, SLOT.CONTEXT);
    step<T>(unit, STRUCTURE.SCONTEXT, 0, 0, at, index, context, 4);
    // § SCT.1
    if (check<T>(unit, CHECK.SCT_1, isMissing<T>(context))) {
      return fault<T>(result, flags, CHECK.SCT_1, 0, at, 0, 0, 0);
    }
    if (notes<T>()) store<u64>(met(unit, IOTLB_ORIGIN.CONTEXT), at);
    const entry = firstWord(context);
    // § SCT.2
    if (check<T>(unit, CHECK.SCT_2, !has(entry, SCONTEXT.P))) {
      return fault<T>(result, flags, CHECK.SCT_2, entry, at, entry, 0, 0);
    }
    // § SCT.3
    if (check<T>(unit, CHECK.SCT_3, meets4(context, unit + VTD.SCONTEXT_R0))) {
      return fault<T>(result, flags, CHECK.SCT_3, entry, at, entry, 0, 0);
    }
  }
  return passGate<T>(unit, context, sid, pasid, address, flags, result);
}

/** C8 to C15: whether the context entry lets the request pass. */
// @ts-ignore: decorator
@inline
function passGate<T>(
  unit: usize, context: usize, sid: u32, pasid: u32, address: u64, flags: u32, result: usize,
): u32 {
  const entry = load<u64>(context);
  const ridPasid = <u32>get(word(context, SCONTEXT.RID_PASID), SCONTEXT.RID_PASID);
  const pasidBits = PDTS_BASE_BITS + <u32>get(entry, SCONTEXT.PDTS);
  if (!marks<T>()) {
    // All of what follows that a plain request can fail.
    if ((entry & (mask(SCONTEXT.PRE) | mask(SCONTEXT.DTE))) == mask(SCONTEXT.PRE)) return START_OVER;
    const bits = min<u32>(pasidBits, load<u32>(unit, VTD.PASID_BITS));
    if (flags & REQUEST_FLAG.PASID) {
      if (!has(entry, SCONTEXT.PASIDE)) return START_OVER;
      if ((pasid | ridPasid) >> bits) return START_OVER;
      if (pasid == (ridPasid | load<u32>(unit, VTD.RID_PASID_TAKEN))) return START_OVER;
    } else {
      if (ridPasid >> bits) return START_OVER;
      if ((entry & (mask(SCONTEXT.EPTR) | mask(SCONTEXT.PASIDE))) == mask(SCONTEXT.EPTR)) return START_OVER;
    }
    return walkPasid<T>(unit, context, sid, pasid, address, flags, result);
  }
  const kind = uncommon<T>(flags);
  const withPasid = (flags & REQUEST_FLAG.PASID) != 0;
  const entersTables = withPasid && !(kind & REQUEST_FLAG.TRANSLATED);
  // § SCT.4.1
  const ungranted = (entry & (mask(SCONTEXT.PRE) | mask(SCONTEXT.DTE))) == mask(SCONTEXT.PRE);
  if (check<T>(unit, CHECK.SCT_4_1, ungranted)) return refuse<T>(result, flags, CHECK.SCT_4_1, entry);
  if (check<T>(unit, CHECK.SCT_4_2, ridPasid >> pasidBits != 0)) return refuse<T>(result, flags, CHECK.SCT_4_2, entry);
  // The rule is not for requests that PASIDE = 0 stops by itself.
  const pointless = (entry & (mask(SCONTEXT.EPTR) | mask(SCONTEXT.PASIDE))) == mask(SCONTEXT.EPTR);
  if (check<T>(unit, CHECK.SCT_4_3, pointless && !entersTables)) return refuse<T>(result, flags, CHECK.SCT_4_3, entry);
  // § SCT.5
  if (kind & (REQUEST_FLAG.TRANSLATION | REQUEST_FLAG.TRANSLATED)) {
    if (check<T>(unit, CHECK.SCT_5, !has(entry, SCONTEXT.DTE))) return refuse<T>(result, flags, CHECK.SCT_5, entry);
  } else if (kind & REQUEST_FLAG.PAGE_REQUEST) {
    if (check<T>(unit, CHECK.SCT_8, !has(entry, SCONTEXT.PRE))) return refuse<T>(result, flags, CHECK.SCT_8, entry);
  }
  if (withPasid) {
    // § SCT.6
    if (entersTables) {
      if (check<T>(unit, CHECK.SCT_6, !has(entry, SCONTEXT.PASIDE))) return refuse<T>(result, flags, CHECK.SCT_6, entry);
    } else {
      if (check<T>(unit, CHECK.SCT_10, !has(entry, SCONTEXT.EPTR))) return refuse<T>(result, flags, CHECK.SCT_10, entry);
    }
    // § SGN.10: not listed for page requests, which C14 stops.
    const tooWide = pasid >> load<u32>(unit, VTD.PASID_BITS) != 0 && !(kind & REQUEST_FLAG.PAGE_REQUEST);
    if (check<T>(unit, CHECK.SGN_10, tooWide)) return refuse<T>(result, flags, CHECK.SGN_10, entry);
    // § SCT.7
    if (check<T>(unit, CHECK.SCT_7, pasid >> pasidBits != 0)) return refuse<T>(result, flags, CHECK.SCT_7, entry);
    // § SCT.9: where there is no RID_PASID field (RPS = 0), PASID 0 is one like any other.
    const taken = pasid == ridPasid && has(load<u64>(unit, VTD.ECAP), ECAP.RPS);
    if (check<T>(unit, CHECK.SCT_9, taken)) return refuse<T>(result, flags, CHECK.SCT_9, entry);
  }
  return walkPasid<T>(unit, context, sid, pasid, address, flags, result);
}

/** The context entry refuses. */
// @ts-ignore: decorator
@inline
function refuse<T>(result: usize, flags: u32, check: u32, entry: u64): u32 {
  return fault<T>(result, flags, check, entry, 0, entry, 0, 0);
}
