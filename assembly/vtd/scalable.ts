/**
 * Scalable mode: context, PASID entry, and the translation that PGTT names.
 *
 * VT-d rev 5.10, 3.4 to 3.9; conditions SPT.5, SPT.6, SGN.4 to SGN.8.
 */
import { both, either, element, get, has, mask, word } from "../bits";
import { ANSWER, PERMISSION, REQUEST_FLAG, RESULT_FLAG } from "../layout/core";
import { FSPTE, PAGE_SHIFT, PASID, PGTT, SCONTEXT, SCONTEXT_BYTES, SSPTE } from "../layout/vtd";
import { CHECK } from "../layout/vtd-faults";
import { ECAP } from "../layout/vtd-capabilities";
import { START_OVER, VTD } from "../layout/vtd-unit";
import { firstStageAttributes, nestedAttributes, secondStageAttributes } from "./attributes";
import { failure, fault, faultOfRequest, noteGuestAddress } from "./faults";
import { Alone, firstStage, firstStageWritable, keepFirstTables, markFirstStage, Nested } from "./first-stage";
import { uncommon } from "./kind";
import { checkHostPermission } from "./host-permission";
import { heldPasid, isCached, keepContext } from "./held";
import { markSecondStage, secondStageMayMark } from "./nested";
import { passThrough, translated } from "./pass-through";
import { typeOf, walkDirectory } from "./pasid";
import { endsInInterruptRange, extraOf, interruptCompletion, isInterruptAddress, succeed, tagsOf } from "./result";
import {
  asksWrite, keepSecondTables, leafShift, NO_LEAF, outputAddress, Scalable, secondStage, secondStagePermissions,
  secondStageRefuses,
} from "./second-stage";
import { check, marks } from "../modes";

/** C16, C17: which PASID. */
// @ts-ignore: decorator
@inline
export function walkPasid<T>(
  unit: usize, context: usize, sid: u32, pasid: u32, address: u64, flags: u32, result: usize,
): u32 {
  const contextEntry = load<u64>(context);
  if (isCached<T>()) keepContext(unit, flags, sid, true, context, SCONTEXT_BYTES);
  let id = pasid;
  let kind = flags;
  // § 9.4
  if (!(flags & REQUEST_FLAG.PASID)) {
    const rid = word(context, SCONTEXT.RID_PASID);
    id = <u32>get(rid, SCONTEXT.RID_PASID);
    kind &= ~(REQUEST_FLAG.EXECUTE | REQUEST_FLAG.PRIVILEGED);
    if (has(rid, SCONTEXT.RID_PRIV)) kind |= REQUEST_FLAG.PRIVILEGED;
    // § S.1, S.2
    if (uncommon<T>(flags) & REQUEST_FLAG.TRANSLATION && isInterruptAddress(address)) {
      return interruptCompletion(unit, result, flags, address, PAGE_SHIFT);
    }
  }
  // § 4.2.5
  if (uncommon<T>(flags) & REQUEST_FLAG.TRANSLATED && !has(contextEntry, SCONTEXT.HPTE)) {
    return translated<T>(unit, result, flags, address, contextEntry);
  }
  if (isCached<T>()) {
    const held = heldPasid(unit, sid, id);
    if (held) return walkEntry<T>(unit, contextEntry, held, id, address, kind, flags, result);
  }
  return walkDirectory<T>(unit, contextEntry, sid, id, address, kind, flags, result);
}

/** P9 to P13: what the PASID entry has the request translated by; `met` are the entries above. */
// @ts-ignore: decorator
@inline
export function walkEntry<T>(
  unit: usize, above: u64, entry: usize, id: u32, address: u64, kind: u32, flags: u32, result: usize,
): u32 {
  const control = load<u64>(entry);
  const met = above | control;
  const rare = marks<T>() ? REQUEST_FLAG.PAGE_REQUEST | REQUEST_FLAG.TRANSLATED | REQUEST_FLAG.EXECUTE : 0;
  const others = rare | REQUEST_FLAG.PRIVILEGED;
  if (kind & others) {
    // § 7.4.1
    if (uncommon<T>(flags) & REQUEST_FLAG.PAGE_REQUEST) {
      return succeed<T>(unit, result, ANSWER.SUCCESS, address, PAGE_SHIFT, 0, 0, tagsOf(entry), id, 0);
    }
    // § 4.2.5
    if (uncommon<T>(flags) & REQUEST_FLAG.TRANSLATED) {
      return checkHostPermission<T>(unit, result, flags, met, entry, address, id);
    }
    // § SPT.5
    if (uncommon<T>(kind) & REQUEST_FLAG.EXECUTE) {
      const unsupported = !has(load<u64>(unit, VTD.ECAP), ECAP.ERS);
      if (check<T>(unit, CHECK.SPT_5, unsupported)) return fault<T>(result, flags, CHECK.SPT_5, met, 0, control, 0, 0);
    }
    // § SPT.6
    if (kind & REQUEST_FLAG.PRIVILEGED) {
      const refused = !has(word(entry, PASID.SRE), PASID.SRE);
      if (check<T>(unit, CHECK.SPT_6, refused)) return fault<T>(result, flags, CHECK.SPT_6, met, 0, control, 0, 0);
    }
  }
  // § 9.6
  switch (typeOf(unit, control)) {
    case PGTT.FIRST_STAGE: return walkFirstStage<T>(unit, result, kind, flags, met, entry, address, id);
    case PGTT.SECOND_STAGE: return walkSecondStage<T>(unit, result, kind, met, entry, address, id);
    case PGTT.NESTED: return walkNested<T>(unit, result, kind, flags, met, entry, address, id);
    case PGTT.PASS_THROUGH: return passThrough<T>(unit, result, kind, met, entry, address, id);
    // Illegal, but `Exact` has found out before.
    default: return START_OVER;
  }
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
  // § SGN.8
  if (outputCheck<T>(unit, flags, output, shift)) return fault<T>(result, flags, outputRule<T>(flags), met, output, leaf, 1, 0);
  if (marks<T>()) {
    const unmarked = markFirstStage<T>(unit, result, flags, met, entry, leaf);
    if (unmarked) return unmarked;
  }
  if (isCached<T>()) keepFirstTables(unit, flags, entry, id, address, leaf);
  const writable = firstStageWritable(leaf, flags, word(entry, PASID.WPE));
  const dirty = either(has(leaf, FSPTE.D), both(writable, (flags & REQUEST_FLAG.WRITE) != 0));
  return succeed<T>(
    unit, result, ANSWER.SUCCESS | (dirty ? RESULT_FLAG.DIRTY : 0), output, shift,
    PERMISSION.READ | (writable && asksWrite<T>(flags) ? PERMISSION.WRITE : 0),
    firstStageAttributes(unit, entry, leaf), tagsOf(entry), id, extraOf(asked),
  );
}

// @ts-ignore: decorator
@inline
function walkSecondStage<T>(
  unit: usize, result: usize, flags: u32, met: u64, entry: usize, address: u64, id: u32,
): u32 {
  const control = load<u64>(entry);
  const aw = <i32>get(control, PASID.AW);
  // § SGN.5
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
  const write = (flags & permissions & PERMISSION.WRITE) != 0;
  if (counts) {
    if (!secondStageMayMark<T>(unit, result, flags, met, entry, leaf, write)) return failure<T>(result);
  }
  const shift = leafShift(leaf);
  const output = outputAddress(leaf, shift, address);
  if (outputCheck<T>(unit, flags, output, shift)) return fault<T>(result, flags, outputRule<T>(flags), met, output, leaf, 2, 0);
  if (marks<T>() && counts) {
    const unmarked = markSecondStage<T>(unit, result, flags, met, entry, leaf, write);
    if (unmarked) return unmarked;
  }
  if (isCached<T>()) {
    const control = load<u64>(entry);
    keepSecondTables(unit, flags, get(word(entry, PASID.DID), PASID.DID), <i32>get(control, PASID.AW), address, leaf);
  }
  const dirty = either(either(!counts, has(leaf, SSPTE.D)), write);
  return succeed<T>(
    unit, result, ANSWER.SUCCESS | (dirty ? RESULT_FLAG.DIRTY : 0), output, shift, permissions,
    secondStageAttributes(entry, leaf), tagsOf(entry), id, extraOf(asked),
  );
}

/** First stage, then the second stage of the address it gives. */
// @ts-ignore: decorator
@inline
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
  const write = (wanted & permissions & PERMISSION.WRITE) != 0;
  if (counts) {
    if (!secondStageMayMark<T>(unit, result, flags, met, entry, second, write)) return failure<T>(result);
  }
  const secondShift = leafShift(second);
  const output = outputAddress(second, secondShift, gpa);
  const shift = min(firstShift, secondShift);
  if (outputCheck<T>(unit, flags, output, shift)) return fault<T>(result, flags, outputRule<T>(flags), met, output, second, 2, 0);
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
  const firstDirty = either(has(first, FSPTE.D), both(writable, (flags & REQUEST_FLAG.WRITE) != 0));
  const dirty = both(firstDirty, either(either(!counts, has(second, SSPTE.D)), write));
  return succeed<T>(
    unit, result, ANSWER.SUCCESS | (dirty ? RESULT_FLAG.DIRTY : 0), output, shift, permissions,
    nestedAttributes(unit, entry, first, second), tagsOf(entry), id, extraOf(asked),
  );
}

/** Whether the output ends where no memory is. */
// @ts-ignore: decorator
@inline
function outputCheck<T>(unit: usize, flags: u32, output: u64, shift: u64): bool {
  return check<T>(unit, outputRule<T>(flags), endsInInterruptRange<T>(flags, output, shift));
}

/** SGN.8.1 or SGN.8.2, whichever applies to the request. */
// @ts-ignore: decorator
@inline
function outputRule<T>(flags: u32): u32 {
  return uncommon<T>(flags) & REQUEST_FLAG.TRANSLATION ? CHECK.SGN_8_2 : CHECK.SGN_8_1;
}
