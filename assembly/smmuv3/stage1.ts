/**
 * Stage 1: from a virtual address to an intermediate or physical one.
 * Arm ARM DDI 0487 D8 (VMSAv8-64), IHI 0070 3.4 "Address sizes", 5.4 "Context Descriptor".
 */
import { get, has, mask, put, read, readInPlace, word } from "../bits";
import { PERMISSION, REQUEST_FLAG, RESULT_FLAG } from "../layout/core";
import { CD, CD_PART, PTE, PTE1, PTE_SIZE, TG0, TG1, VA, VA_TAG_BITS } from "../layout/smmuv3";
import { EVENT_CLASS, EVENT_NUMBER } from "../layout/smmuv3-queues";
import { CHECK, EXTRA, FEATURE, GEOMETRY, SLOT, SMMU, STRUCTURE, WORLD } from "../layout/smmuv3-unit";
import { fetch } from "../memory";
import { finish } from "../result";
import { check, step } from "../trace";
import { isClean1, makesDirty, replace, stage1Rights, wantedRights } from "./access";
import { completionRights } from "./ats";
import { attributes } from "./attributes";
import { failStage } from "./fault";
import { addressOf, outputBits, startTable } from "./geometry";
import { MAX_WALKS, walkStage2 } from "./stage2";
import { tags } from "./tags";

/**
 * Translates `address` by the CD's tables and fills in `result` as if there were no stage 2.
 * @param pasid SubstreamID that selected the CD
 * @param flags the request's, overridden
 * @param nested table accesses go through stage 2
 * @returns event number with the fault noted, 0 = none
 */
export function walkStage1<T>(
  unit: usize,
  ste: usize,
  cd: usize,
  pasid: u32,
  address: u64,
  world: u32,
  nested: bool,
  flags: u32,
  result: usize,
): i32 {
  const word0 = word(cd, CD.V) & load<u64>(unit, SMMU.CD_MASK0);
  // § 3.5 T1, T5
  const isHigh = world != WORLD.EL2 && has(address, VA.SELECT);
  // § 3.5 T4
  const isOff = isHigh ? has(word0, CD.EPD1) : world != WORLD.EL2 && has(word0, CD.EPD0);
  if (check<T>(unit, CHECK.INPUT_EPD, isOff)) {
    return failStage(result, EVENT_NUMBER.F_TRANSLATION, CHECK.INPUT_EPD, 1, EVENT_CLASS.IN, 0, 0, 0, 0);
  }
  const shape = <u64>(
    (isHigh
      ? load<u32>(unit + <usize>get(word0, CD_PART.TG1_T1SZ) * 4, SMMU.GEOMETRY1)
      : load<u32>(unit + <usize>get(word0, CD_PART.TG0_T0SZ) * 4, SMMU.GEOMETRY0))
  );
  const inputBits = get(shape, GEOMETRY.INPUT_BITS);
  const isTagged = isHigh ? has(word0, CD.TBI1) : has(word0, CD.TBI0);
  const plain = isTagged ? (<i64>(address << VA_TAG_BITS)) >> VA_TAG_BITS : <i64>address;
  // § 3.5 T2: above the input size all bits are as the one that selects the table
  if (check<T>(unit, CHECK.INPUT_RANGE, plain >> inputBits != (isHigh ? -1 : 0))) {
    return failStage(result, EVENT_NUMBER.F_TRANSLATION, CHECK.INPUT_RANGE, 1, EVENT_CLASS.IN, 0, 0, 0, 0);
  }
  const pageShift = get(shape, GEOMETRY.PAGE_SHIFT);
  const startShift = get(shape, GEOMETRY.START_SHIFT);
  const isLong = has(shape, GEOMETRY.LONG);
  const is64K = isHigh ? read(cd, CD.TG1) == TG1.GRANULE_64K : read(cd, CD.TG0) == TG0.GRANULE_64K;
  const limit = outputBits(unit, get(word0, CD.IPS), is64K);
  const isSwapped = has(word0, CD.ENDI);
  const ttb = isHigh ? readInPlace(cd, CD.TTB1) : readInPlace(cd, CD.TTB0);
  const base = startTable(ttb & load<u64>(unit, SMMU.POINTERS), inputBits - startShift, limit);
  // § 3.7 P3
  const isFlat = isHigh ? read(cd, CD.HAD1) != 0 : read(cd, CD.HAD0) != 0;
  const inherits = !(isFlat && has(load<u64>(unit, SMMU.FEATURES), FEATURE.HAD));

  let table = base;
  let shift = startShift;
  let level = <u32>get(shape, GEOMETRY.START_LEVEL);
  let indexMask = (<u64>1 << (inputBits - startShift)) - 1;
  let hierarchy: u64 = 0;
  let walks: u32 = 1;
  while (true) {
    const index = (address >> shift) & indexMask;
    let at = table + index * PTE_SIZE;
    if (nested) {
      // § 3.4: stage 2 of each descriptor's address
      const event = walkStage2<T>(unit, ste, at, PERMISSION.READ, flags, EVENT_CLASS.TT, result);
      if (event) return event;
      at = load<u64>(unit, SMMU.STAGE2_ADDRESS);
    }
    const ptr = fetch(unit, at, PTE_SIZE, SLOT.STAGE1);
    step<T>(unit, STRUCTURE.DESCRIPTOR, 1, level, at, index, ptr, 1);
    // § 3.4 2a
    if (check<T>(unit, CHECK.PTE_FETCH, !ptr)) {
      return failStage(result, EVENT_NUMBER.F_WALK_EABT, CHECK.PTE_FETCH, 1, EVENT_CLASS.TT, level, at, 0, 0);
    }
    const stored = load<u64>(ptr);
    const entry = isSwapped ? bswap<u64>(stored) : stored;
    // § 3.4 2b
    if (check<T>(unit, CHECK.PTE_VALID, !has(entry, PTE.VALID))) {
      return failWalk(result, EVENT_NUMBER.F_TRANSLATION, CHECK.PTE_VALID, level, at, entry);
    }
    if (has(entry, PTE.TYPE) && shift != pageShift) {
      table = addressOf(entry, pageShift, isLong);
      // § 3.4 2c
      if (check<T>(unit, CHECK.PTE_ADDRESS, table >> limit != 0)) {
        return failWalk(result, EVENT_NUMBER.F_ADDR_SIZE, CHECK.PTE_ADDRESS, level, at, entry);
      }
      // § 3.7 P1, P2
      hierarchy |= entry;
      const levelBits = pageShift - 3;
      indexMask = (<u64>1 << levelBits) - 1;
      shift -= levelBits;
      level++;
      continue;
    }
    const isMisplaced = shift == pageShift ? !has(entry, PTE.TYPE) : !((get(shape, GEOMETRY.LEAF_LEVELS) >> level) & 1);
    // § 3.4 2b, 3.6: a block where there are none, or type 0 at level 3
    if (check<T>(unit, CHECK.PTE_TYPE, isMisplaced)) {
      return failWalk(result, EVENT_NUMBER.F_TRANSLATION, CHECK.PTE_TYPE, level, at, entry);
    }
    const output = addressOf(entry, shift, isLong);
    // § 3.4 2c
    if (check<T>(unit, CHECK.PTE_ADDRESS, output >> limit != 0)) {
      return failWalk(result, EVENT_NUMBER.F_ADDR_SIZE, CHECK.PTE_ADDRESS, level, at, entry);
    }
    // § 3.4 3, 3.8 H1
    if (check<T>(unit, CHECK.PTE_AF, !has(entry, PTE.AF) && !has(word0, CD.HA) && !has(word0, CD.AFFD))) {
      return failWalk(result, EVENT_NUMBER.F_ACCESS, CHECK.PTE_AF, level, at, entry);
    }
    const isClean = isClean1(entry, word0);
    const rights = stage1Rights(entry, inherits ? hierarchy : 0, isClean, word0, world, flags);
    // § 3.4 4
    if (check<T>(unit, CHECK.PTE_PERMISSION, (wantedRights(flags) & ~rights) != 0)) {
      return failWalk(result, EVENT_NUMBER.F_PERMISSION, CHECK.PTE_PERMISSION, level, at, entry);
    }

    // § 3.13 AT13, IHI 0070 13.7: no update for a completion without rights
    const isGranted = !(flags & REQUEST_FLAG.TRANSLATION) || completionRights(unit, ste, rights, flags) != 0;
    let now = has(word0, CD.HA) && isGranted ? entry | mask(PTE.AF) : entry;
    // § 3.8 H3, H4
    if (isClean && rights & PERMISSION.WRITE && makesDirty(flags)) now &= ~mask(PTE1.AP2);
    let outcome: u32 = isClean1(now, word0) ? 0 : RESULT_FLAG.DIRTY;
    if (now != entry) {
      if (nested) {
        // § 3.8 H6
        const event = walkStage2<T>(unit, ste, table + index * PTE_SIZE, PERMISSION.WRITE, flags, EVENT_CLASS.TT, result);
        if (event) return event;
      }
      const isProbe = (flags & REQUEST_FLAG.PROBE) != 0;
      const answer = isProbe ? 1 : replace<T>(unit, at, entry, now, isSwapped);
      // § 3.8 H2
      if (check<T>(unit, CHECK.PTE_UPDATE, answer < 0 || walks == MAX_WALKS)) {
        return failStage(result, EVENT_NUMBER.F_WALK_EABT, CHECK.PTE_UPDATE, 1, EVENT_CLASS.TT, level, at, 0, entry);
      }
      if (!answer) {
        // § 3.8 H2: it changed meanwhile, so the walk starts over
        walks++;
        table = base;
        shift = startShift;
        level = <u32>get(shape, GEOMETRY.START_LEVEL);
        indexMask = (<u64>1 << (inputBits - startShift)) - 1;
        hierarchy = 0;
        continue;
      }
      if (isProbe) outcome = isClean ? 0 : RESULT_FLAG.DIRTY;
      else outcome |= RESULT_FLAG.UPDATED;
    }

    const type = <u32>((word(cd, CD_PART.MAIR) >> (get(entry, PTE1.AttrIndx) * 8)) & 255);
    let extra = put(<u64>world, EXTRA.STAGE1_SHIFT, shift);
    extra = put(extra, EXTRA.GLOBAL, has(entry, PTE1.nG) && world != WORLD.EL2 ? 0 : 1);
    finish(
      result,
      outcome,
      output | (address & ((<u64>1 << shift) - 1)),
      shift,
      rights,
      attributes(type, <u32>get(entry, PTE.SH), flags),
      tags(unit, ste, world == WORLD.EL2 ? 0 : get(word0, CD.ASID), world),
      pasid,
      put(extra, EXTRA.ASET, get(word0, CD.ASET)),
    );
    return 0;
  }
}

function failWalk(result: usize, event: u32, id: u32, level: u32, at: u64, entry: u64): i32 {
  return failStage(result, event, id, 1, EVENT_CLASS.IN, level, at, 0, entry);
}
