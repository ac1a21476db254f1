/**
 * Scalable mode: context, PASID entry, and the translation that PGTT names.
 *
 * VT-d rev 5.10, 3.4 to 3.9; conditions SPT.5, SPT.6, SGN.4 to SGN.8.
 */
import { element, get, has, mask, word } from "../bits";
import { ANSWER, PERMISSION, REQUEST_FLAG, RESULT_FLAG } from "../layout/core";
import { FSPTE, PAGE_SHIFT, PASID, PGTT, SCONTEXT, SCONTEXT_BYTES, SSPTE } from "../layout/vtd";
import { CHECK } from "../layout/vtd-faults";
import { ECAP } from "../layout/vtd-registers";
import { START_OVER, VTD } from "../layout/vtd-unit";
import { attributesOf } from "./attributes";
import { gate, scalableContext } from "./context";
import { failure, fault, faultOfRequest, noteGuestAddress } from "./faults";
import { Alone, firstStage, firstStageWritable, keepFirstTables, markFirstStage, Nested } from "./first-stage";
import { uncommon } from "./kind";
import { checkHostPermission } from "./host-permission";
import { heldPasid, isCached, keepContext, keepPasid } from "./held";
import { markSecondStage, secondStageMayMark } from "./nested";
import { passThrough, translated } from "./pass-through";
import { pasidDirectory, pasidEntry } from "./pasid";
import { endsInInterruptRange, extraOf, interruptCompletion, isInterruptAddress, succeed, tagsOf } from "./result";
import {
  asksWrite, keepSecondTables, leafShift, NO_LEAF, outputAddress, Scalable, secondStage, secondStagePermissions,
  secondStageRefuses,
} from "./second-stage";
import { check, marks } from "../modes";

/** C1 to P13. */
// @ts-ignore: decorator
@inline
export function walkScalable<T>(unit: usize, sid: u32, pasid: u32, address: u64, flags: u32, result: usize): u32 {
  const context = scalableContext<T>(unit, result, flags, sid);
  if (!context) return failure<T>(result);
  const contextEntry = load<u64>(context);
  const refused = gate<T>(unit, flags, context, pasid);
  if (refused) return fault<T>(result, flags, refused, contextEntry, 0, contextEntry, 0, 0);

  if (isCached<T>()) keepContext(unit, flags, sid, true, context, SCONTEXT_BYTES);
  let id = pasid;
  let kind = flags;
  // § C16
  if (!(flags & REQUEST_FLAG.PASID)) {
    const rid = word(context, SCONTEXT.RID_PASID);
    id = <u32>get(rid, SCONTEXT.RID_PASID);
    kind &= ~(REQUEST_FLAG.EXECUTE | REQUEST_FLAG.PRIVILEGED);
    if (has(rid, SCONTEXT.RID_PRIV)) kind |= REQUEST_FLAG.PRIVILEGED;
    // § 3.2, S.1, S.2
    if (uncommon<T>(flags) & REQUEST_FLAG.TRANSLATION && isInterruptAddress(address)) {
      return interruptCompletion(unit, result, flags, address, PAGE_SHIFT);
    }
  }
  const hpte = (uncommon<T>(flags) & REQUEST_FLAG.TRANSLATED) != 0;
  // § C17
  if (hpte && !has(contextEntry, SCONTEXT.HPTE)) {
    return translated<T>(unit, result, flags, address, contextEntry);
  }
  let entry: usize = isCached<T>() ? heldPasid(unit, sid, id) : 0;
  let directory: u64 = 0;
  if (!isCached<T>() || !entry) {
    directory = pasidDirectory<T>(unit, result, flags, context, id);
    if (!directory) return failure<T>(result);
    const hosted = has(contextEntry, SCONTEXT.HPTE);
    entry = pasidEntry<T>(unit, result, flags, contextEntry | directory, directory, id, hosted);
    if (!entry) return failure<T>(result);
    if (isCached<T>()) keepPasid(unit, flags, sid, id, directory, entry);
  }
  const control = load<u64>(entry);
  const met = contextEntry | directory | control;
  const others = REQUEST_FLAG.PAGE_REQUEST | REQUEST_FLAG.TRANSLATED | REQUEST_FLAG.EXECUTE | REQUEST_FLAG.PRIVILEGED;
  if (kind & others) {
    // § P9
    if (uncommon<T>(flags) & REQUEST_FLAG.PAGE_REQUEST) {
      return succeed<T>(unit, result, ANSWER.SUCCESS, address, PAGE_SHIFT, 0, 0, tagsOf(entry), id, 0);
    }
    // § C18
    if (hpte) return checkHostPermission<T>(unit, result, flags, met, entry, address, id);
    // § P10, P11
    const unfit = unfitFor<T>(unit, kind, entry);
    if (unfit) return fault<T>(result, flags, unfit, met, 0, control, 0, 0);
  }
  // § P13
  switch (<i32>get(control, PASID.PGTT)) {
    case PGTT.FIRST_STAGE: return walkFirstStage<T>(unit, result, kind, flags, met, entry, address, id);
    case PGTT.SECOND_STAGE: return walkSecondStage<T>(unit, result, kind, met, entry, address, id);
    case PGTT.NESTED:
      return marks<T>() ? walkNested<T>(unit, result, kind, flags, met, entry, address, id) : START_OVER;
    default: return passThrough<T>(unit, result, kind, met, entry, address, id);
  }
}

/** 0, or why this PASID is not for execute or supervisor requests. */
function unfitFor<T>(unit: usize, flags: u32, entry: usize): u32 {
  if (uncommon<T>(flags) & REQUEST_FLAG.EXECUTE) {
    if (check<T>(unit, CHECK.SPT_5, !has(load<u64>(unit, VTD.ECAP), ECAP.ERS))) return CHECK.SPT_5;
  }
  if (flags & REQUEST_FLAG.PRIVILEGED) {
    if (check<T>(unit, CHECK.SPT_6, !has(word(entry, PASID.SRE), PASID.SRE))) return CHECK.SPT_6;
  }
  return 0;
}

// @ts-ignore: decorator
@inline
function walkFirstStage<T>(
  unit: usize, result: usize, flags: u32, asked: u32, met: u64, entry: usize, address: u64, id: u32,
): u32 {
  const leaf = firstStage<T, Alone>(unit, result, flags, met, entry, id, address);
  if (leaf == NO_LEAF) return failure<T>(result);
  const shift = leafShift(leaf);
  const output = outputAddress(leaf, shift, address);
  // § F12
  const failed = outputCheck<T>(unit, flags, output, shift);
  if (failed) return fault<T>(result, flags, failed, met, output, leaf, 1, 0);
  if (marks<T>()) {
    const unmarked = markFirstStage<T>(unit, result, flags, met, entry, leaf);
    if (unmarked) return unmarked;
  }
  if (isCached<T>()) keepFirstTables(unit, flags, entry, id, address, leaf);
  const writable = firstStageWritable(leaf, flags, word(entry, PASID.WPE));
  const dirty = has(leaf, FSPTE.D) || (writable && (flags & REQUEST_FLAG.WRITE) != 0);
  return succeed<T>(
    unit, result, ANSWER.SUCCESS | (dirty ? RESULT_FLAG.DIRTY : 0), output, shift,
    PERMISSION.READ | (writable && asksWrite<T>(flags) ? PERMISSION.WRITE : 0),
    attributesOf(unit, entry, leaf, 0), tagsOf(entry), id, extraOf(asked),
  );
}

// @ts-ignore: decorator
@inline
function walkSecondStage<T>(
  unit: usize, result: usize, flags: u32, met: u64, entry: usize, address: u64, id: u32,
): u32 {
  const control = load<u64>(entry);
  const aw = <i32>get(control, PASID.AW);
  // § S1
  if (check<T>(unit, CHECK.SGN_5, (address & element(unit + VTD.SS_BEYOND, aw)) != 0)) {
    return faultOfRequest<T>(result, flags, CHECK.SGN_5, met);
  }
  const did = get(word(entry, PASID.DID), PASID.DID);
  const leaf = secondStage<T, Scalable>(unit, result, flags, met, control & mask(PASID.SSPTPTR), aw, did, address);
  if (leaf == NO_LEAF) return failure<T>(result);
  return finishSecondStage<T>(unit, result, flags, flags, met, entry, address, id, leaf);
}

/** S7 to S11, the output check, and the result. */
// @ts-ignore: decorator
@inline
function finishSecondStage<T>(
  unit: usize, result: usize, flags: u32, asked: u32, met: u64, entry: usize, address: u64, id: u32, leaf: u64,
): u32 {
  const refused = secondStageRefuses<T, Scalable>(unit, flags, leaf);
  if (refused) return fault<T>(result, flags, refused, met, 0, leaf, 2, 0);
  const permissions = secondStagePermissions<T>(unit, flags, leaf);
  const counts = has(load<u64>(entry), PASID.SSADE);
  const write = (flags & REQUEST_FLAG.WRITE) != 0 && (permissions & PERMISSION.WRITE) != 0;
  if (counts && !secondStageMayMark<T>(unit, result, flags, met, entry, leaf, write)) return failure<T>(result);
  const shift = leafShift(leaf);
  const output = outputAddress(leaf, shift, address);
  const failed = outputCheck<T>(unit, flags, output, shift);
  if (failed) return fault<T>(result, flags, failed, met, output, leaf, 2, 0);
  if (marks<T>() && counts) {
    const unmarked = markSecondStage<T>(unit, result, flags, met, entry, leaf, write);
    if (unmarked) return unmarked;
  }
  if (isCached<T>()) {
    const control = load<u64>(entry);
    keepSecondTables(unit, flags, get(word(entry, PASID.DID), PASID.DID), <i32>get(control, PASID.AW), address, leaf);
  }
  const dirty = !counts || has(leaf, SSPTE.D) || write;
  return succeed<T>(
    unit, result, ANSWER.SUCCESS | (dirty ? RESULT_FLAG.DIRTY : 0), output, shift, permissions,
    attributesOf(unit, entry, 0, leaf), tagsOf(entry), id, extraOf(asked),
  );
}

/** First stage, then the second stage of the address it gives. */
function walkNested<T>(
  unit: usize, result: usize, flags: u32, asked: u32, met: u64, entry: usize, address: u64, id: u32,
): u32 {
  const first = firstStage<T, Nested>(unit, result, flags, met, entry, id, address);
  if (first == NO_LEAF) return failure<T>(result);
  const control = load<u64>(entry);
  const firstShift = leafShift(first);
  const gpa = outputAddress(first, firstShift, address);
  const writable = firstStageWritable(first, flags, word(entry, PASID.WPE));
  // A translation request asks the second stage for no more than the first stage leaves.
  const wanted = writable ? flags : flags & ~REQUEST_FLAG.WRITE;
  const aw = <i32>get(control, PASID.AW);
  const did = get(word(entry, PASID.DID), PASID.DID);
  const second = secondStage<T, Scalable>(unit, result, wanted, met, control & mask(PASID.SSPTPTR), aw, did, gpa);
  if (second == NO_LEAF) {
    noteGuestAddress<T>(result, gpa);
    return failure<T>(result);
  }
  const refused = secondStageRefuses<T, Scalable>(unit, wanted, second);
  if (refused) {
    fault<T>(result, flags, refused, met, 0, second, 2, 0);
    noteGuestAddress<T>(result, gpa);
    return failure<T>(result);
  }
  const permissions = secondStagePermissions<T>(unit, wanted, second) & ~(writable ? 0 : PERMISSION.WRITE);
  const counts = has(control, PASID.SSADE);
  const write = (wanted & REQUEST_FLAG.WRITE) != 0 && (permissions & PERMISSION.WRITE) != 0;
  if (counts && !secondStageMayMark<T>(unit, result, flags, met, entry, second, write)) return failure<T>(result);
  const secondShift = leafShift(second);
  const output = outputAddress(second, secondShift, gpa);
  const shift = min(firstShift, secondShift);
  const failed = outputCheck<T>(unit, flags, output, shift);
  if (failed) return fault<T>(result, flags, failed, met, output, second, 2, 0);
  if (marks<T>()) {
    const unmarked = markFirstStage<T>(unit, result, flags, met, entry, first);
    if (unmarked) return unmarked;
    if (counts) {
      const stale = markSecondStage<T>(unit, result, flags, met, entry, second, write);
      if (stale) return stale;
    }
  }
  if (isCached<T>()) {
    keepFirstTables(unit, flags, entry, id, address, first);
    keepSecondTables(unit, flags, did, aw, gpa, second);
  }
  const firstDirty = has(first, FSPTE.D) || (writable && (flags & REQUEST_FLAG.WRITE) != 0);
  const dirty = firstDirty && (!counts || has(second, SSPTE.D) || write);
  return succeed<T>(
    unit, result, ANSWER.SUCCESS | (dirty ? RESULT_FLAG.DIRTY : 0), output, shift, permissions,
    attributesOf(unit, entry, first, second), tagsOf(entry), id, extraOf(asked),
  );
}

/** SGN.8.1 or SGN.8.2, whichever applies to the request: 0, or the check that fails. */
// @ts-ignore: decorator
@inline
function outputCheck<T>(unit: usize, flags: u32, output: u64, shift: u64): u32 {
  const rule = uncommon<T>(flags) & REQUEST_FLAG.TRANSLATION ? CHECK.SGN_8_2 : CHECK.SGN_8_1;
  return check<T>(unit, rule, endsInInterruptRange<T>(flags, output, shift)) ? rule : 0;
}
