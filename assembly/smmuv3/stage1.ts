/**
 * Stage 1: from a virtual address to an intermediate or physical one.
 * Arm ARM DDI 0487 D8 (VMSAv8-64), IHI 0070 3.4 "Address sizes", 5.4 "Context Descriptor".
 */
import { get, has, mask, moved, place, word } from "../bits";
import { secondKey, valueOf } from "../caches";
import { PERMISSION, REQUEST_FLAG, RESULT_FLAG } from "../layout/core";
import { CD, CD_PART, PTE, PTE1, PTE_SIZE, VA, VA_TAG_BITS } from "../layout/smmuv3";
import { ORIGIN, TABLE_VALUE } from "../layout/smmuv3-caches";
import { EVENT_CLASS, EVENT_NUMBER } from "../layout/smmuv3-faults";
import { CHECK, EXTRA, GEOMETRY, SLOT, SMMU, START_OVER, STRUCTURE } from "../layout/smmuv3-unit";
import { BUS_ERROR, EXCHANGED } from "../memory";
import { check, fetch, isCached, isMissing, marks, notes, step } from "../modes";
import { finish } from "../result";
import { asGranting1, isClean1, makesDirty, replace, stage1Rights, wantedRights } from "./access";
import { completionRights } from "./ats";
import { attributes } from "./attributes";
import { failStage, startOver } from "./fault";
import { heldLevel, heldTable, isKept, keepTable, noteDescriptor } from "./held";
import { addressOf, beyondOutput, indexMaskOf, isMisplaced, longAddressOf, startTable, tableMaskOf } from "./geometry";
import { walkStage2 } from "./stage2";
import { tags } from "./tags";

/**
 * Translates `address` by the CD's tables and fills in `result` as if there were no stage 2.
 * @param word0 word 0 of the CD, without HA and HD where they are not implemented
 * @param pasid SubstreamID that selected the CD
 * @param flags the request's, overridden
 * @param isEl2 the world has one privilege level and one table
 * @param nested table accesses go through stage 2
 * @param key what tags the tables in caches, see `held.ts`
 * @returns event number with the fault noted, 0 = none, or START_OVER
 */
// @ts-ignore: decorator
@inline
export function walkStage1<T>(
  unit: usize,
  ste: usize,
  cd: usize,
  word0: u64,
  pasid: u32,
  address: u64,
  world: u32,
  isEl2: bool,
  nested: bool,
  key: u64,
  flags: u32,
  result: usize,
): i32 {
  // § DDI 0487 D8.2: VA[55] selects the table, where there are two
  const isHigh = !isEl2 && has(address, VA.SELECT);
  // § 5.4 EPDx
  let isOff: bool;
  let isTagged: bool;
  let shape: u64;
  let base: u64;
  if (isHigh) {
    isOff = has(word0, CD.EPD1);
    isTagged = has(word0, CD.TBI1);
    shape = load<u32>(unit + <usize>get(word0, CD_PART.TG1_T1SZ) * 4, SMMU.GEOMETRY1);
    base = word(cd, CD.TTB1);
  } else {
    isOff = !isEl2 && has(word0, CD.EPD0);
    isTagged = has(word0, CD.TBI0);
    shape = load<u32>(unit + <usize>get(word0, CD_PART.TG0_T0SZ) * 4, SMMU.GEOMETRY0);
    base = word(cd, CD.TTB0);
  }
  if (check<T>(unit, CHECK.INPUT_EPD, isOff)) return failInput<T>(result, CHECK.INPUT_EPD);
  const inputBits = get(shape, GEOMETRY.INPUT_BITS);
  const plain = untagged(address, isTagged);
  // § DDI 0487 D8.2: above the input size all bits are as the one that selects the table
  if (check<T>(unit, CHECK.INPUT_RANGE, <i64>plain >> inputBits != (isHigh ? -1 : 0))) {
    return failInput<T>(result, CHECK.INPUT_RANGE);
  }
  const pageShift = get(shape, GEOMETRY.PAGE_SHIFT);
  const startShift = get(shape, GEOMETRY.START_SHIFT);
  // `Fast` leaves 52-bit addresses to `Exact`.
  const isLong = marks<T>() && has(shape, GEOMETRY.LONG);
  const beyond = beyondOutput(unit, get(word0, CD.IPS), isLong);
  // TTB1 lies in its word where TTB0 does
  const ttb = base & mask(CD.TTB0) & load<u64>(unit, SMMU.POINTERS);
  // § 5.4 TxSZ, TGx, TTBx of the table in use: `Fast` has not looked at it before
  if (!marks<T>()) {
    if (!shape) return START_OVER;
    if (has(shape, GEOMETRY.LONG)) return START_OVER;
    if (ttb & beyond) return START_OVER;
  }
  const tableMask = tableMaskOf(unit, pageShift);
  const levelMask = indexMaskOf(unit, pageShift);
  const levelBits = pageShift - 3;
  let indexMask = (<u64>1 << (inputBits - startShift)) - 1;
  let table = startTable(ttb, indexMask, beyond);
  let shift = startShift;
  let level = <u32>get(shape, GEOMETRY.START_LEVEL);
  let hierarchy: u64 = 0;
  let entry: u64 = 0;
  let at: u64 = 0;
  let ipa: u64 = 0;
  if (isCached<T>()) {
    const tables = load<u32>(unit, SMMU.TABLES1);
    const held = heldTable(unit, tables, key, plain, pageShift, level, ORIGIN.STAGE1);
    if (held >= 0) {
      table = load<u64>(valueOf(tables, held), TABLE_VALUE.ADDRESS);
      hierarchy = load<u64>(valueOf(tables, held), TABLE_VALUE.HIERARCHY);
      level = heldLevel(secondKey(tables, held));
      shift = pageShift + levelBits * (3 - level);
      indexMask = levelMask;
    }
  }
  while (true) {
    const index = (address >> shift) & indexMask;
    ipa = table + index * PTE_SIZE;
    at = ipa;
    if (nested) {
      // § 3.3.3 stage 2 of each descriptor's address
      const event = walkStage2<T>(unit, ste, ipa, PERMISSION.READ, flags, EVENT_CLASS.TT, result);
      if (event) return event;
      at = load<u64>(unit, SMMU.STAGE2_ADDRESS);
    }
    const ptr = fetch<T>(unit, at, PTE_SIZE, SLOT.STAGE1);
    step<T>(unit, STRUCTURE.DESCRIPTOR, 1, level, at, index, ptr, 1);
    // § 7.3 F_WALK_EABT
    if (check<T>(unit, CHECK.PTE_FETCH, isMissing<T>(ptr))) {
      return failStage<T>(result, EVENT_NUMBER.F_WALK_EABT, CHECK.PTE_FETCH, 1, EVENT_CLASS.TT, level, at, 0, 0);
    }
    if (notes<T>()) noteDescriptor(unit, ORIGIN.STAGE1, level, at);
    const stored = load<u64>(ptr);
    // `Fast` has left tables of the other byte order to `Exact`.
    entry = marks<T>() && has(word0, CD.ENDI) ? bswap<u64>(stored) : stored;
    // § DDI 0487 D8.3 bit 0
    if (check<T>(unit, CHECK.PTE_VALID, !has(entry, PTE.VALID))) {
      return failWalk<T>(result, EVENT_NUMBER.F_TRANSLATION, CHECK.PTE_VALID, level, at, entry);
    }
    if (shift == pageShift) break;
    if (!has(entry, PTE.TYPE)) break;
    table = isLong ? longAddressOf(entry, pageShift) : entry & tableMask;
    // § 5.4 IPS
    if (check<T>(unit, CHECK.PTE_ADDRESS, (table & beyond) != 0)) {
      return failWalk<T>(result, EVENT_NUMBER.F_ADDR_SIZE, CHECK.PTE_ADDRESS, level, at, entry);
    }
    // § DDI 0487 D8.4 APTable, UXNTable, PXNTable
    hierarchy |= entry;
    indexMask = levelMask;
    shift -= levelBits;
    level++;
    if (isCached<T>() && isKept(unit, shift == pageShift, flags)) {
      const tables = load<u32>(unit, SMMU.TABLES1);
      keepTable(unit, tables, key, plain, pageShift, level, shift, table, hierarchy, ORIGIN.STAGE1);
    }
  }
  // § DDI 0487 D8.3: a block where there are none, or type 0 at level 3
  if (check<T>(unit, CHECK.PTE_TYPE, isMisplaced(entry, shape, shift, shift == pageShift))) {
    return failWalk<T>(result, EVENT_NUMBER.F_TRANSLATION, CHECK.PTE_TYPE, level, at, entry);
  }
  const output = addressOf(entry, shift, isLong);
  // § 5.4 IPS
  if (check<T>(unit, CHECK.PTE_ADDRESS, (output & beyond) != 0)) {
    return failWalk<T>(result, EVENT_NUMBER.F_ADDR_SIZE, CHECK.PTE_ADDRESS, level, at, entry);
  }
  // § 5.4 AFFD, HA
  if (check<T>(unit, CHECK.PTE_AF, isUntouchable(entry, word0))) {
    return failWalk<T>(result, EVENT_NUMBER.F_ACCESS, CHECK.PTE_AF, level, at, entry);
  }
  // § 5.4 HADx
  if (base & load<u64>(unit, SMMU.FLATTENS)) hierarchy = 0;
  const rights = stage1Rights(unit, asGranting1(entry, word0), hierarchy, word0, isEl2, flags);
  // § DDI 0487 D8.4
  if (check<T>(unit, CHECK.PTE_PERMISSION, (wantedRights<T>(flags) & ~rights) != 0)) {
    return failWalk<T>(result, EVENT_NUMBER.F_PERMISSION, CHECK.PTE_PERMISSION, level, at, entry);
  }
  let isPending = isClean1(entry, word0);
  if (!marks<T>()) {
    // § 3.13 an access flag or a dirty state to be set
    if (has(word0, CD.HA) && (!has(entry, PTE.AF) || (isPending && flags & REQUEST_FLAG.WRITE))) return START_OVER;
  } else {
    const now = withUpdates<T>(unit, ste, entry, word0, rights, flags);
    if (now != entry) {
      const event = updateLeaf<T>(unit, ste, entry, now, word0, at, ipa, level, nested, flags, result);
      if (event) return event;
      if (!(flags & REQUEST_FLAG.PROBE)) isPending = isClean1(now, word0);
    }
  }
  const type = <u32>((word(cd, CD_PART.MAIR) >> (get(entry, PTE1.AttrIndx) * 8)) & 255);
  finish(
    result,
    (isPending ? 0 : RESULT_FLAG.DIRTY) | (marks<T>() ? load<u32>(unit, SMMU.UPDATED) : 0),
    output | (address & ((<u64>1 << shift) - 1)),
    shift,
    rights,
    attributes(type, <u32>get(entry, PTE.SH), flags),
    tags(unit, ste, isEl2 ? 0 : get(word0, CD.ASID), world),
    pasid,
    world |
      (isEl2 ? mask(EXTRA.GLOBAL) : moved(~entry, PTE1.nG, EXTRA.GLOBAL)) |
      moved(word0, CD.ASET, EXTRA.ASET) |
      place(EXTRA.STAGE1_SHIFT, shift),
  );
  return 0;
}

/** § 5.4 AFFD, HA: access flag 0, with nobody to set it and no CD to let that pass. */
// @ts-ignore: decorator
@inline
function isUntouchable(entry: u64, word0: u64): bool {
  if (has(entry, PTE.AF)) return false;
  return !(word0 & (mask(CD.HA) | mask(CD.AFFD)));
}

/** § 5.4 TBIx: an address as it counts, with TBI without its top byte. */
// @ts-ignore: decorator
@inline
export function untagged(address: u64, isTagged: bool): u64 {
  return isTagged ? <u64>((<i64>(address << VA_TAG_BITS)) >> VA_TAG_BITS) : address;
}

/** § 3.13: the leaf with access flag and dirty state as this access leaves them. */
// @ts-ignore: decorator
@inline
function withUpdates<T>(unit: usize, ste: usize, entry: u64, word0: u64, rights: u32, flags: u32): u64 {
  if (!has(word0, CD.HA)) return entry;
  // § 3.13, 13.7: no update for a completion without rights
  if (marks<T>() && flags & REQUEST_FLAG.TRANSLATION && !completionRights(unit, ste, rights, flags)) return entry;
  const now = entry | mask(PTE.AF);
  const isDirtied = isClean1(entry, word0) && (rights & PERMISSION.WRITE) != 0 && makesDirty(flags);
  return isDirtied ? now & ~mask(PTE1.AP2) : now;
}

/** Writes the leaf back. Returns the event. */
function updateLeaf<T>(
  unit: usize,
  ste: usize,
  entry: u64,
  now: u64,
  word0: u64,
  at: u64,
  ipa: u64,
  level: u32,
  nested: bool,
  flags: u32,
  result: usize,
): i32 {
  if (nested) {
    // § 3.13.5 the update is a write to stage 2
    const event = walkStage2<T>(unit, ste, ipa, PERMISSION.WRITE, flags, EVENT_CLASS.TT, result);
    if (event) return event;
  }
  if (flags & REQUEST_FLAG.PROBE) return 0;
  const answer = replace<T>(unit, at, entry, now, has(word0, CD.ENDI));
  // § 7.3 F_WALK_EABT
  if (check<T>(unit, CHECK.PTE_UPDATE, answer == BUS_ERROR)) {
    return failStage<T>(result, EVENT_NUMBER.F_WALK_EABT, CHECK.PTE_UPDATE, 1, EVENT_CLASS.TT, level, at, 0, entry);
  }
  return answer == EXCHANGED ? 0 : startOver(result);
}

// @ts-ignore: decorator
@inline
function failInput<T>(result: usize, id: u32): i32 {
  return failStage<T>(result, EVENT_NUMBER.F_TRANSLATION, id, 1, EVENT_CLASS.IN, 0, 0, 0, 0);
}

// @ts-ignore: decorator
@inline
function failWalk<T>(result: usize, event: u32, id: u32, level: u32, at: u64, entry: u64): i32 {
  return failStage<T>(result, event, id, 1, EVENT_CLASS.IN, level, at, 0, entry);
}
