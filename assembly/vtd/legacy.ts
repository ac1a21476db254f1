/**
 * Legacy mode: root entry, context entry, second stage or pass-through.
 *
 * VT-d rev 5.10, 3.4.2 "Legacy Mode Address Translation", 9.1 and 9.3 "Root and Context Entry";
 * conditions LRT.*, LCT.* and LGN.*.
 */
import { element, get, has, mask, put, word } from "../bits";
import { ANSWER, REQUEST_FLAG, RESULT_FLAG } from "../layout/core";
import {
  CONTEXT, CONTEXT_BYTES, CONTEXT_RESERVED, PAGE_SHIFT, PGTT, ROOT, ROOT_BYTES, ROOT_RESERVED, SOURCE_ID, TT,
} from "../layout/vtd";
import { CHECK, STRUCTURE } from "../layout/vtd-faults";
import { CAP, ECAP } from "../layout/vtd-capabilities";
import { IOTLB_ORIGIN } from "../layout/vtd-caches";
import { SLOT, VTD, VTD_TAGS } from "../layout/vtd-unit";
import { legacyAttributes } from "./attributes";
import { failure, fault, faultOfRequest } from "./faults";
import { heldContext, isCached, keepContext, met } from "./held";
import { bypass, endsInInterruptRange, interruptCompletion, isInterruptAddress, succeed } from "./result";
import {
  keepSecondTables, Legacy, leafShift, NO_LEAF, outputAddress, secondStage, secondStagePermissions, secondStageRefuses,
} from "./second-stage";
import { firstWord } from "../memory";
import { check, fetch, fetchEntry, isMissing, notes, step } from "../modes";

/** L1 to L17. */
export function walkLegacy<T>(unit: usize, sid: u32, address: u64, flags: u32, result: usize): u32 {
  const context = legacyContext<T>(unit, result, flags, sid);
  if (!context) return failure<T>(result);
  const entry = load<u64>(context);
  const width = word(context, CONTEXT.AW);
  const tt = <i32>get(entry, CONTEXT.TT);
  const aw = <i32>get(width, CONTEXT.AW);
  const failed = illegalType<T>(unit, flags, tt, aw);
  if (failed) return fault<T>(result, flags, failed, entry, 0, entry, 0, 0);
  const pgtt = tt == TT.PASS_THROUGH ? PGTT.PASS_THROUGH : PGTT.SECOND_STAGE;
  const did = get(width, CONTEXT.DID);
  const tags = put(put(0, VTD_TAGS.PGTT, pgtt), VTD_TAGS.DID, did);
  if (isCached<T>()) keepContext(unit, flags, sid, false, context, CONTEXT_BYTES);
  if (tt == TT.PASS_THROUGH || flags & REQUEST_FLAG.TRANSLATED) {
    return untranslated<T>(unit, result, flags, address, entry, tags);
  }
  // § S.1, S.2
  if (flags & REQUEST_FLAG.TRANSLATION && isInterruptAddress(address)) {
    return interruptCompletion(unit, result, flags, address, PAGE_SHIFT);
  }
  // § LGN.1.1
  const beyond = element(unit + VTD.SS_BEYOND, aw);
  if (check<T>(unit, CHECK.LGN_1_1, (address & beyond) != 0)) {
    return faultOfRequest<T>(result, flags, CHECK.LGN_1_1, entry);
  }
  // § 3.7
  const root = entry & mask(CONTEXT.SSPTPTR);
  const leaf = secondStage<T, Legacy>(unit, result, flags, entry, root, aw, did, address);
  if (leaf == NO_LEAF) return failure<T>(result);
  const refused = secondStageRefuses<T, Legacy>(unit, flags, leaf);
  if (refused) return fault<T>(result, flags, refused, entry, 0, leaf, 2, 0);
  // § LGN.4
  const shift = leafShift(leaf);
  const output = outputAddress(leaf, shift, address);
  if (check<T>(unit, CHECK.LGN_4, endsInInterruptRange<T>(flags, output, shift))) {
    return fault<T>(result, flags, CHECK.LGN_4, entry, output, leaf, 2, 0);
  }
  if (isCached<T>()) keepSecondTables(unit, flags, did, aw, address, leaf);
  return succeed<T>(
    unit, result, ANSWER.SUCCESS | RESULT_FLAG.DIRTY, output, shift, secondStagePermissions<T>(unit, flags, leaf),
    legacyAttributes(leaf), tags, 0, 0,
  );
}

/** L1 to L7: pointer to the context entry, or 0 with the fault in `result`. */
// @ts-ignore: decorator
@inline
function legacyContext<T>(unit: usize, result: usize, flags: u32, sid: u32): usize {
  if (isCached<T>()) {
    const held = heldContext(unit, sid, false);
    if (held) return held;
  }
  const bus = get(sid, SOURCE_ID.BUS);
  const rootAt = load<u64>(unit, VTD.ROOT_TABLE) + bus * ROOT_BYTES;
  const rootPtr = fetch<T>(unit, rootAt, ROOT_BYTES, SLOT.ROOT);
  step<T>(unit, STRUCTURE.ROOT, 0, 0, rootAt, bus, rootPtr, 2);
  // § LRT.1
  if (check<T>(unit, CHECK.LRT_1, isMissing<T>(rootPtr))) {
    fault<T>(result, flags, CHECK.LRT_1, 0, rootAt, 0, 0, 0);
    return 0;
  }
  const root = load<u64>(rootPtr);
  // § LRT.2
  if (check<T>(unit, CHECK.LRT_2, !has(root, ROOT.P))) {
    fault<T>(result, flags, CHECK.LRT_2, 0, rootAt, root, 0, 0);
    return 0;
  }
  // § LRT.3
  const rootReserved = (root & load<u64>(unit, VTD.ROOT_R0)) | word(rootPtr, ROOT_RESERVED.R1);
  if (check<T>(unit, CHECK.LRT_3, rootReserved != 0)) {
    fault<T>(result, flags, CHECK.LRT_3, 0, rootAt, root, 0, 0);
    return 0;
  }
  const index = get(sid, SOURCE_ID.DEVFN);
  const at = (root & mask(ROOT.CTP)) + index * CONTEXT_BYTES;
  const ptr = fetchEntry<T>(unit, at, CONTEXT_BYTES, SLOT.CONTEXT);
  step<T>(unit, STRUCTURE.CONTEXT, 0, 0, at, index, ptr, 2);
  // § LCT.1
  if (check<T>(unit, CHECK.LCT_1, isMissing<T>(ptr))) {
    fault<T>(result, flags, CHECK.LCT_1, 0, at, 0, 0, 0);
    return 0;
  }
  if (notes<T>()) store<u64>(met(unit, IOTLB_ORIGIN.CONTEXT), at);
  const entry = firstWord(ptr);
  // § LCT.2
  if (check<T>(unit, CHECK.LCT_2, !has(entry, CONTEXT.P))) {
    fault<T>(result, flags, CHECK.LCT_2, entry, at, entry, 0, 0);
    return 0;
  }
  // § LCT.3
  if (check<T>(unit, CHECK.LCT_3, hasReserved(unit, entry, word(ptr, CONTEXT.DID)))) {
    fault<T>(result, flags, CHECK.LCT_3, entry, at, entry, 0, 0);
    return 0;
  }
  return ptr;
}

// @ts-ignore: decorator
@inline
function hasReserved(unit: usize, entry: u64, width: u64): bool {
  let reserved = load<u64>(unit, VTD.CONTEXT_R0);
  // Pass-through ignores SSPTPTR, whatever it holds.
  if (get(entry, CONTEXT.TT) == TT.PASS_THROUGH) reserved = mask(CONTEXT_RESERVED.R0);
  if ((entry & reserved) | (width & load<u64>(unit, VTD.CONTEXT_R1))) return true;
  // In caching mode domain 0 is the hardware's own.
  return !get(width, CONTEXT.DID) && has(load<u64>(unit, VTD.CAP), CAP.CM);
}

/** L8 to L10: 0, or the check that the type, its width, or ATS with this type fails. */
// @ts-ignore: decorator
@inline
function illegalType<T>(unit: usize, flags: u32, tt: i32, aw: i32): u32 {
  const ecap = load<u64>(unit, VTD.ECAP);
  const legal = tt == TT.SECOND_STAGE ||
    (tt == TT.SECOND_STAGE_ATS && has(ecap, ECAP.DT)) ||
    (tt == TT.PASS_THROUGH && has(ecap, ECAP.PT));
  // § LCT.4.2
  if (check<T>(unit, CHECK.LCT_4_2, !legal)) return CHECK.LCT_4_2;
  // § LCT.4.1
  const supported = ((load<u32>(unit, VTD.AWS) >> aw) & 1) != 0;
  const wide = tt != TT.PASS_THROUGH || aw == load<i32>(unit, VTD.WIDEST_AW);
  if (check<T>(unit, CHECK.LCT_4_1, !supported || !wide)) return CHECK.LCT_4_1;
  // § LCT.5
  if (flags & (REQUEST_FLAG.TRANSLATION | REQUEST_FLAG.TRANSLATED)) {
    if (check<T>(unit, CHECK.LCT_5, tt != TT.SECOND_STAGE_ATS)) return CHECK.LCT_5;
  }
  return 0;
}

/** L11, L13, L14: output = input, for a translated request or pass-through. */
function untranslated<T>(unit: usize, result: usize, flags: u32, address: u64, entry: u64, tags: u64): u32 {
  const width = flags & REQUEST_FLAG.TRANSLATED ? CHECK.LGN_1_2 : CHECK.LGN_1_3;
  if (check<T>(unit, width, (address & load<u64>(unit, VTD.BEYOND_HAW)) != 0)) {
    return faultOfRequest<T>(result, flags, width, entry);
  }
  if (check<T>(unit, CHECK.LGN_4, isInterruptAddress(address))) {
    return faultOfRequest<T>(result, flags, CHECK.LGN_4, entry);
  }
  return bypass(unit, result, address, tags, 0, ANSWER.SUCCESS);
}
