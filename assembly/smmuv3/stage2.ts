/**
 * Stage 2: from an intermediate physical address to a physical one.
 * Arm ARM DDI 0487 D8 (VMSAv8-64), IHI 0070 5.2 (S2* fields; S2SL0: concatenated start tables).
 */
import { below, get, has, mask, read, readInPlace, word } from "../bits";
import { originOf, secondKey, valueOf } from "../caches";
import { PERMISSION, REQUEST_FLAG, RESULT, RESULT_FLAG } from "../layout/core";
import { PTE, PTE2, PTE_SIZE, STE } from "../layout/smmuv3";
import { LEAF2_VALUE, ORIGIN, TABLE_VALUE } from "../layout/smmuv3-caches";
import { EVENT_CLASS, EVENT_NUMBER } from "../layout/smmuv3-faults";
import { CHECK, FEATURE, GEOMETRY, SLOT, SMMU, START_OVER, STRUCTURE } from "../layout/smmuv3-unit";
import { BUS_ERROR, EXCHANGED } from "../memory";
import { check, fetch, isCached, isMissing, marks, notes, step } from "../modes";
import { isClean2, makesDirty, replace, stage2Rights } from "./access";
import { completionRights } from "./ats";
import { isDevice2 } from "./attributes";
import { failStage, startOver } from "./fault";
import {
  clearPath, heldLeaf2, heldLevel, heldTable, isKept, keepLeaf2, keepTable, noteDescriptor, notePath, stage2Key,
} from "./held";
import { addressOf, beyondOutput, isMisplaced, longAddressOf, stage2Index, startTable } from "./geometry";

/**
 * Translates `ipa` by the STE's tables; what it finds is in SMMU.STAGE2_*.
 * @param access PERMISSION bits needed; of a translation request, those that stage 1 grants
 * @param flags the request's, overridden
 * @param kind EVENT_CLASS: what the address is of
 * @returns event number with the fault noted, 0 = none, or START_OVER
 */
export function walkStage2<T>(
  unit: usize,
  ste: usize,
  ipa: u64,
  access: u32,
  flags: u32,
  kind: u32,
  result: usize,
): i32 {
  const word2 = word(ste, STE.S2TG);
  const shape = <u64>load<u32>(unit + stage2Index(word2) * 4, SMMU.GEOMETRY2);
  const inputBits = get(shape, GEOMETRY.INPUT_BITS);
  // § DDI 0487 D8.2, § 5.2 S2T0SZ
  if (check<T>(unit, CHECK.INPUT_RANGE, ipa >> inputBits != 0)) {
    return failStage<T>(result, EVENT_NUMBER.F_TRANSLATION, CHECK.INPUT_RANGE, 2, kind, 0, 0, ipa, 0);
  }
  const vmid: u64 = isCached<T>() ? read(ste, STE.S2VMID) : 0;
  if (notes<T>()) clearPath(unit, ORIGIN.STAGE2);
  if (isCached<T>() && isHeldLeaf(unit, ste, vmid, ipa, access, flags, kind)) return 0;
  const pageShift = get(shape, GEOMETRY.PAGE_SHIFT);
  const startShift = get(shape, GEOMETRY.START_SHIFT);
  const isLong = has(shape, GEOMETRY.LONG);
  const beyond = beyondOutput(unit, get(word2, STE.S2PS), isLong);
  const isSwapped = has(word2, STE.S2ENDI);
  const tableMask = mask(PTE.ADDRESS) & ~((<u64>1 << pageShift) - 1);
  let indexMask = (<u64>1 << (inputBits - startShift)) - 1;
  let table = startTable(readInPlace(ste, STE.S2TTB) & load<u64>(unit, SMMU.POINTERS), indexMask, beyond);
  let shift = startShift;
  let level = <u32>get(shape, GEOMETRY.START_LEVEL);
  if (isCached<T>()) {
    const tables = load<u32>(unit, SMMU.TABLES2);
    const held = heldTable(unit, tables, stage2Key(vmid), ipa, pageShift, level, ORIGIN.STAGE2);
    if (held >= 0) {
      table = load<u64>(valueOf(tables, held), TABLE_VALUE.ADDRESS);
      level = heldLevel(secondKey(tables, held));
      shift = pageShift + (pageShift - 3) * (3 - level);
      indexMask = (<u64>1 << (pageShift - 3)) - 1;
    }
  }
  while (true) {
    const index = (ipa >> shift) & indexMask;
    const at = table + index * PTE_SIZE;
    const ptr = fetch<T>(unit, at, PTE_SIZE, SLOT.STAGE2);
    step<T>(unit, STRUCTURE.DESCRIPTOR, 2, level, at, index, ptr, 1);
    // § 7.3 F_WALK_EABT
    if (check<T>(unit, CHECK.PTE_FETCH, isMissing<T>(ptr))) {
      return failStage<T>(result, EVENT_NUMBER.F_WALK_EABT, CHECK.PTE_FETCH, 2, kind, level, at, ipa, 0);
    }
    if (notes<T>()) noteDescriptor(unit, ORIGIN.STAGE2, level, at);
    const stored = load<u64>(ptr);
    const entry = isSwapped ? bswap<u64>(stored) : stored;
    // § DDI 0487 D8.3 bit 0
    if (check<T>(unit, CHECK.PTE_VALID, !has(entry, PTE.VALID))) {
      return failStage<T>(result, EVENT_NUMBER.F_TRANSLATION, CHECK.PTE_VALID, 2, kind, level, at, ipa, entry);
    }
    if (has(entry, PTE.TYPE) && shift != pageShift) {
      table = isLong ? longAddressOf(entry, pageShift) : entry & tableMask;
      // § 5.2 S2PS
      if (check<T>(unit, CHECK.PTE_ADDRESS, (table & beyond) != 0)) {
        return failStage<T>(result, EVENT_NUMBER.F_ADDR_SIZE, CHECK.PTE_ADDRESS, 2, kind, level, at, ipa, entry);
      }
      const levelBits = pageShift - 3;
      indexMask = (<u64>1 << levelBits) - 1;
      shift -= levelBits;
      level++;
      if (isCached<T>() && isKept(unit, shift == pageShift, flags)) {
        const tables = load<u32>(unit, SMMU.TABLES2);
        keepTable(unit, tables, stage2Key(vmid), ipa, pageShift, level, shift, table, 0, ORIGIN.STAGE2);
      }
      continue;
    }
    // § DDI 0487 D8.3: a block where there are none, or type 0 at level 3
    if (check<T>(unit, CHECK.PTE_TYPE, isMisplaced(entry, shape, shift, shift == pageShift))) {
      return failStage<T>(result, EVENT_NUMBER.F_TRANSLATION, CHECK.PTE_TYPE, 2, kind, level, at, ipa, entry);
    }
    const output = addressOf(entry, shift, isLong);
    // § 5.2 S2PS
    if (check<T>(unit, CHECK.PTE_ADDRESS, (output & beyond) != 0)) {
      return failStage<T>(result, EVENT_NUMBER.F_ADDR_SIZE, CHECK.PTE_ADDRESS, 2, kind, level, at, ipa, entry);
    }
    const event = checkLeaf<T>(unit, ste, entry, at, level, ipa, access, flags, kind, result);
    if (event) return event;
    store<u64>(unit, output | (ipa & ((<u64>1 << shift) - 1)), SMMU.STAGE2_ADDRESS);
    store<u32>(unit, <u32>shift, SMMU.STAGE2_SHIFT);
    const failed = updateLeaf<T>(unit, ste, entry, at, level, ipa, access, flags, kind, result);
    if (isCached<T>() && !failed && !(flags & REQUEST_FLAG.PROBE)) {
      keepLeaf2(unit, vmid, ipa, shift, load<u64>(unit, SMMU.STAGE2_ENTRY), output);
    }
    return failed;
  }
}

/** Whether a leaf held serves the access, with no check to fail and nothing to update; notes it then. */
function isHeldLeaf(unit: usize, ste: usize, vmid: u64, ipa: u64, access: u32, flags: u32, kind: u32): bool {
  if (isQuestion(flags, kind)) return false;
  const held = heldLeaf2(unit, vmid, ipa);
  if (held < 0) return false;
  const leaves = load<u32>(unit, SMMU.LEAVES2);
  const entry = load<u64>(valueOf(leaves, held), LEAF2_VALUE.ENTRY);
  const word2 = word(ste, STE.S2TG);
  if (kind != EVENT_CLASS.IN && has(word2, STE.S2PTW) && isDevice2(entry, forcesTypes(unit, ste))) return false;
  const rights = stage2Rights(unit, entry, isClean2(entry, word2), flags);
  if (access & ~rights || withUpdates(unit, ste, entry, access, flags, kind) != entry) return false;
  const inPage = ipa & below(load<u32>(unit, SMMU.STAGE2_SHIFT));
  store<u64>(unit, load<u64>(valueOf(leaves, held), LEAF2_VALUE.ADDRESS) | inPage, SMMU.STAGE2_ADDRESS);
  store<u64>(unit, entry, SMMU.STAGE2_ENTRY);
  store<u32>(unit, rights, SMMU.STAGE2_PERMISSIONS);
  store<u32>(unit, isClean2(entry, word2) ? 0 : RESULT_FLAG.DIRTY, SMMU.STAGE2_FLAGS);
  notePath(unit, ORIGIN.STAGE2, originOf(leaves, held));
  return true;
}

/** Sets access flag and dirty state where this access calls for it, and notes the leaf. Returns the event. */
// @ts-ignore: decorator
@inline
function updateLeaf<T>(
  unit: usize,
  ste: usize,
  entry: u64,
  at: u64,
  level: u32,
  ipa: u64,
  access: u32,
  flags: u32,
  kind: u32,
  result: usize,
): i32 {
  const word2 = word(ste, STE.S2TG);
  const now = withUpdates(unit, ste, entry, access, flags, kind);
  store<u64>(unit, marks<T>() && flags & REQUEST_FLAG.PROBE ? entry : now, SMMU.STAGE2_ENTRY);
  store<u32>(unit, isClean2(now, word2) ? 0 : RESULT_FLAG.DIRTY, SMMU.STAGE2_FLAGS);
  if (now == entry) return 0;
  if (!marks<T>()) return START_OVER;
  if (flags & REQUEST_FLAG.PROBE) {
    store<u32>(unit, isClean2(entry, word2) ? 0 : RESULT_FLAG.DIRTY, SMMU.STAGE2_FLAGS);
    return 0;
  }
  const answer = replace<T>(unit, at, entry, now, has(word2, STE.S2ENDI));
  // § 7.3 F_WALK_EABT
  if (check<T>(unit, CHECK.PTE_UPDATE, answer == BUS_ERROR)) {
    return failStage<T>(result, EVENT_NUMBER.F_WALK_EABT, CHECK.PTE_UPDATE, 2, kind, level, at, ipa, entry);
  }
  return answer == EXCHANGED ? 0 : startOver(result);
}

/** Whether the STE's stage 2 forces memory types. */
// @ts-ignore: decorator
@inline
export function forcesTypes(unit: usize, ste: usize): bool {
  return has(load<u64>(unit, SMMU.FEATURES), FEATURE.FWB) && has(word(ste, STE.S2FWB), STE.S2FWB);
}

/** § DDI 0487 D8.4, D8.5: access flag, then permission. Returns the event. */
// @ts-ignore: decorator
@inline
function checkLeaf<T>(
  unit: usize,
  ste: usize,
  entry: u64,
  at: u64,
  level: u32,
  ipa: u64,
  access: u32,
  flags: u32,
  kind: u32,
  result: usize,
): i32 {
  const word2 = word(ste, STE.S2TG);
  // § 5.2 S2AFFD, S2HA
  const isOld = !has(entry, PTE.AF) && !has(word2, STE.S2HA) && !has(word2, STE.S2AFFD);
  if (check<T>(unit, CHECK.PTE_AF, isOld)) {
    return failStage<T>(result, EVENT_NUMBER.F_ACCESS, CHECK.PTE_AF, 2, kind, level, at, ipa, entry);
  }
  // § 5.2 S2PTW
  const isWalkOnDevice =
    kind != EVENT_CLASS.IN && has(word2, STE.S2PTW) && isDevice2(entry, forcesTypes(unit, ste));
  if (check<T>(unit, CHECK.PTE_S2PTW, isWalkOnDevice)) {
    return failPermission<T>(result, CHECK.PTE_S2PTW, access, kind, level, at, ipa, entry);
  }
  const rights = stage2Rights(unit, entry, isClean2(entry, word2), flags);
  // § DDI 0487 D8.4; § 3.9.1 a translation request is told what there is
  if (check<T>(unit, CHECK.PTE_PERMISSION, !isQuestion(flags, kind) && (access & ~rights) != 0)) {
    return failPermission<T>(result, CHECK.PTE_PERMISSION, access, kind, level, at, ipa, entry);
  }
  store<u32>(unit, rights, SMMU.STAGE2_PERMISSIONS);
  return 0;
}

function failPermission<T>(
  result: usize,
  id: u32,
  access: u32,
  kind: u32,
  level: u32,
  at: u64,
  ipa: u64,
  entry: u64,
): i32 {
  const event = failStage<T>(result, EVENT_NUMBER.F_PERMISSION, id, 2, kind, level, at, ipa, entry);
  if (!marks<T>()) return event;
  // § 3.13.5 TTRnW = 0 for the update of a stage 1 descriptor
  if (kind == EVENT_CLASS.TT && access & PERMISSION.WRITE) store<u32>(result, RESULT_FLAG.TABLE_WRITE, RESULT.FLAGS);
  return event;
}

/** § 3.13: the leaf with access flag and dirty state as this access leaves them. */
// @ts-ignore: decorator
@inline
function withUpdates(unit: usize, ste: usize, entry: u64, access: u32, flags: u32, kind: u32): u64 {
  const word2 = word(ste, STE.S2TG);
  if (!has(word2, STE.S2HA)) return entry;
  let isWrite = kind == EVENT_CLASS.IN ? makesDirty(flags) : (access & PERMISSION.WRITE) != 0;
  if (isQuestion(flags, kind)) {
    // § 3.13, 13.7: no update for a completion without rights
    const rights = access & load<u32>(unit, SMMU.STAGE2_PERMISSIONS);
    if (!completionRights(unit, ste, rights, flags)) return entry;
    if (!(rights & PERMISSION.WRITE)) isWrite = false;
  }
  const now = entry | mask(PTE.AF);
  return isWrite && isClean2(entry, word2) ? now | mask(PTE2.S2AP1) : now;
}

/** Whether a translation request asks what rights there are, instead of using them. */
// @ts-ignore: decorator
@inline
function isQuestion(flags: u32, kind: u32): bool {
  return kind == EVENT_CLASS.IN && (flags & REQUEST_FLAG.TRANSLATION) != 0;
}
