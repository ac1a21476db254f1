/**
 * Scalable mode: from the source-id to the context entry, and what the context lets a request do.
 *
 * VT-d rev 5.10, 3.4 "Translation Structures for Scalable Mode", 9.2 and 9.4 "Scalable-Mode Root and
 * Context Entry"; conditions SRT.*, SCT.* and SGN.10.
 */
import { get, has, mask, word } from "../bits";
import { REQUEST_FLAG } from "../layout/core";
import {
  PDTS_BASE_BITS, ROOT_BYTES, SCONTEXT, SCONTEXT_BYTES, SCONTEXT_RESERVED, SOURCE_ID, SROOT,
} from "../layout/vtd";
import { CHECK, STRUCTURE } from "../layout/vtd-faults";
import { ECAP } from "../layout/vtd-registers";
import { IOTLB_ORIGIN } from "../layout/vtd-caches";
import { SLOT, VTD } from "../layout/vtd-unit";
import { fault } from "./faults";
import { uncommon } from "./kind";
import { heldContext, isCached, met } from "./held";
import { check, fetch, isMissing, notes, step } from "../modes";

/** Bytes of one half of a scalable root entry. */
const HALF = 8;

/** Pointer to the context entry of `sid`, or 0 with the fault in `result`. */
// @ts-ignore: decorator
@inline
export function scalableContext<T>(unit: usize, result: usize, flags: u32, sid: u32): usize {
  if (isCached<T>()) {
    const held = heldContext(unit, sid, true);
    if (held) return held;
  }
  const bus = get(sid, SOURCE_ID.BUS);
  const upper = get(sid, SOURCE_ID.UPPER_HALF);
  const rootAt = load<u64>(unit, VTD.ROOT_TABLE) + bus * ROOT_BYTES;
  const root = fetch<T>(unit, rootAt, ROOT_BYTES, SLOT.ROOT);
  step<T>(unit, STRUCTURE.SROOT, 0, 0, rootAt, bus, root, 2);
  // § C1
  if (check<T>(unit, CHECK.SRT_1, isMissing<T>(root))) {
    fault<T>(result, flags, CHECK.SRT_1, 0, rootAt, 0, 0, 0);
    return 0;
  }
  const half = load<u64>(root + <usize>(upper * HALF));
  // § C2
  if (check<T>(unit, CHECK.SRT_2, !has(half, SROOT.LP))) {
    fault<T>(result, flags, CHECK.SRT_2, 0, rootAt, half, 0, 0);
    return 0;
  }
  // § C3
  if (check<T>(unit, CHECK.SRT_3, (half & load<u64>(unit, VTD.SROOT_R)) != 0)) {
    fault<T>(result, flags, CHECK.SRT_3, 0, rootAt, half, 0, 0);
    return 0;
  }
  const index = get(sid, SOURCE_ID.HALF_DEVFN);
  const at = (half & mask(SROOT.LCTP)) + index * SCONTEXT_BYTES;
  const context = fetch<T>(unit, at, SCONTEXT_BYTES, SLOT.CONTEXT);
  step<T>(unit, STRUCTURE.SCONTEXT, 0, 0, at, index, context, 4);
  // § C4
  if (check<T>(unit, CHECK.SCT_1, isMissing<T>(context))) {
    fault<T>(result, flags, CHECK.SCT_1, 0, at, 0, 0, 0);
    return 0;
  }
  if (notes<T>()) store<u64>(met(unit, IOTLB_ORIGIN.CONTEXT), at);
  const entry = load<u64>(context);
  // § C5, C6
  if (check<T>(unit, CHECK.SCT_2, !has(entry, SCONTEXT.P))) {
    fault<T>(result, flags, CHECK.SCT_2, entry, at, entry, 0, 0);
    return 0;
  }
  const reserved = (entry & load<u64>(unit, VTD.SCONTEXT_R0)) |
    (word(context, SCONTEXT.RID_PASID) & load<u64>(unit, VTD.SCONTEXT_R1)) |
    word(context, SCONTEXT_RESERVED.R2) | word(context, SCONTEXT_RESERVED.R3);
  // § C7
  if (check<T>(unit, CHECK.SCT_3, reserved != 0)) {
    fault<T>(result, flags, CHECK.SCT_3, entry, at, entry, 0, 0);
    return 0;
  }
  return context;
}

/** 0 if the context entry lets the request pass, else the check that failed; C8 to C15. */
// @ts-ignore: decorator
@inline
export function gate<T>(unit: usize, flags: u32, context: usize, pasid: u32): u32 {
  const entry = load<u64>(context);
  const ridPasid = <u32>get(word(context, SCONTEXT.RID_PASID), SCONTEXT.RID_PASID);
  const pasidBits = PDTS_BASE_BITS + <u32>get(entry, SCONTEXT.PDTS);
  const kind = uncommon<T>(flags);
  const withPasid = (flags & REQUEST_FLAG.PASID) != 0;
  const entersTables = withPasid && !(kind & REQUEST_FLAG.TRANSLATED);
  // § C8
  const ungranted = (entry & (mask(SCONTEXT.PRE) | mask(SCONTEXT.DTE))) == mask(SCONTEXT.PRE);
  if (check<T>(unit, CHECK.SCT_4_1, ungranted)) return CHECK.SCT_4_1;
  if (check<T>(unit, CHECK.SCT_4_2, ridPasid >> pasidBits != 0)) return CHECK.SCT_4_2;
  // The rule is not for requests that PASIDE = 0 stops by itself.
  const pointless = (entry & (mask(SCONTEXT.EPTR) | mask(SCONTEXT.PASIDE))) == mask(SCONTEXT.EPTR);
  if (check<T>(unit, CHECK.SCT_4_3, pointless && !entersTables)) return CHECK.SCT_4_3;
  // § C9, C10
  if (kind & (REQUEST_FLAG.TRANSLATION | REQUEST_FLAG.TRANSLATED)) {
    if (check<T>(unit, CHECK.SCT_5, !has(entry, SCONTEXT.DTE))) return CHECK.SCT_5;
  } else if (kind & REQUEST_FLAG.PAGE_REQUEST) {
    if (check<T>(unit, CHECK.SCT_8, !has(entry, SCONTEXT.PRE))) return CHECK.SCT_8;
  }
  if (!withPasid) return 0;
  // § C11, C12
  if (entersTables) {
    if (check<T>(unit, CHECK.SCT_6, !has(entry, SCONTEXT.PASIDE))) return CHECK.SCT_6;
  } else {
    if (check<T>(unit, CHECK.SCT_10, !has(entry, SCONTEXT.EPTR))) return CHECK.SCT_10;
  }
  // § C13: not listed for page requests, which C14 stops.
  const tooWide = pasid >> load<u32>(unit, VTD.PASID_BITS) != 0 && !(kind & REQUEST_FLAG.PAGE_REQUEST);
  if (check<T>(unit, CHECK.SGN_10, tooWide)) return CHECK.SGN_10;
  // § C14
  if (check<T>(unit, CHECK.SCT_7, pasid >> pasidBits != 0)) return CHECK.SCT_7;
  // § C15: where there is no RID_PASID field (RPS = 0), PASID 0 is one like any other.
  const taken = pasid == ridPasid && has(load<u64>(unit, VTD.ECAP), ECAP.RPS);
  if (check<T>(unit, CHECK.SCT_9, taken)) return CHECK.SCT_9;
  return 0;
}
