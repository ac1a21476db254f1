/**
 * Lists everything that one set of SMMUv3 translation tables maps: the walk of every address, made once an
 * entry. Arm ARM DDI 0487 D8 (VMSAv8-64), IHI 0070 3.4, 5.2, 5.4.
 *
 * A descriptor maps what a transaction for it would be granted at either privilege; access flags and dirty
 * state are not set, as for a probing walk. STE and CD in the block are valid: a walk has passed them.
 */
import { get, has, mask, readInPlace, word } from "../bits";
import { PERMISSION, REQUEST_FLAG, RESULT } from "../layout/core";
import { FRAME, FRAME_FLAG, REACH, REACH_KIND, RIGHTS, SLICE } from "../layout/reach";
import { CD, CD_PART, PTE, PTE1, STE } from "../layout/smmuv3";
import { EVENT_CLASS } from "../layout/smmuv3-faults";
import { FEATURE, GEOMETRY, SLOT, SMMU, WORLD } from "../layout/smmuv3-unit";
import { Exact } from "../modes";
import {
  advance, count, emit, flush, frameAt, inputOf, isFull, isRepeat, needsPiece, nextEntry, pieceOffset, push, readPiece,
} from "../reach";
import { asGranting1, isClean1, isClean2, stage1Rights, stage2Rights } from "./access";
import { addressOf, beyondOutput, isMisplaced, stage2Index, startTable } from "./geometry";
import { walkStage2 } from "./stage2";
import { worldOf } from "./tags";

const LOOK: u32 = REQUEST_FLAG.READ | REQUEST_FLAG.PROBE;
const LAST_LEVEL: u64 = 3;
/** What a frame's HELD says besides PTE1's table bits: the second of the two stage 1 tables. */
const HIGH: u64 = 1;
/** Starts an enumeration of the tables that the STE and CD in the block name, by REACH.KIND. */
export function smmuReachOpen(state: usize): void {
  const unit = load<u32>(state, REACH.UNIT);
  store<u32>(state, 0, REACH.DEPTH);
  store<u64>(state, 0, REACH.LIMIT);
  if (load<u32>(state, REACH.KIND) == REACH_KIND.SECOND) {
    const ste = state + REACH.ENTRY;
    openTable(state, unit, secondShape(state, unit), get(word(ste, STE.S2PS), STE.S2PS), readInPlace(ste, STE.S2TTB), 0);
    return;
  }
  const cd = state + REACH.CD;
  const word0 = word(cd, CD.V);
  const isSingle = world(state, unit) == WORLD.EL2;
  const ips = get(word0, CD.IPS);
  // The table pushed last is listed first. § 5.4 EPDx
  if (!isSingle && !has(word0, CD.EPD1)) openTable(state, unit, firstShape(state, unit, HIGH), ips, readInPlace(cd, CD.TTB1), HIGH);
  if (isSingle || !has(word0, CD.EPD0)) openTable(state, unit, firstShape(state, unit, 0), ips, readInPlace(cd, CD.TTB0), 0);
}

function openTable(state: usize, unit: usize, shape: u64, size: u64, ttb: u64, held: u64): void {
  const inputBits = get(shape, GEOMETRY.INPUT_BITS);
  const startShift = get(shape, GEOMETRY.START_SHIFT);
  const entries = <u32>1 << <u32>(inputBits - startShift);
  const beyond = beyondOutput(unit, size, has(shape, GEOMETRY.LONG));
  const table = startTable(ttb & load<u64>(unit, SMMU.POINTERS), entries - 1, beyond);
  // § DDI 0487 D8.2: the upper table serves the addresses that end at 2^64
  const input = held & HIGH ? <u64>-1 << inputBits : 0;
  push(state, table, input, held, false, entries, <u32>get(shape, GEOMETRY.START_LEVEL), startShift);
}

/** Host address of what the STE in the block has at `ipa`, for reading; -1 where its stage 2 has nothing. */
export function smmuReachLocate(state: usize, ipa: u64): u64 {
  const unit = load<u32>(state, REACH.UNIT);
  const event = walkStage2<Exact>(
    unit, state + REACH.ENTRY, ipa, PERMISSION.READ, LOOK, EVENT_CLASS.CD, state + REACH.RESULT,
  );
  return event ? <u64>-1 : load<u64>(unit, SMMU.STAGE2_ADDRESS);
}

/** Goes on for about `budget` entries. @returns SLICE */
export function smmuReach(state: usize, budget: u32): u32 {
  const unit = load<u32>(state, REACH.UNIT);
  const second = load<u32>(state, REACH.KIND) == REACH_KIND.SECOND;
  const slot = second ? SLOT.STAGE2 : SLOT.STAGE1;
  const isSwapped = second
    ? has(word(state + REACH.ENTRY, STE.S2ENDI), STE.S2ENDI)
    : has(word(state + REACH.CD, CD.ENDI), CD.ENDI);
  const stop = load<u64>(state, REACH.ENTRIES) + budget;
  while (load<u32>(state, REACH.DEPTH)) {
    if (isFull(state) || load<u64>(state, REACH.ENTRIES) >= stop) return SLICE.MORE;
    const depth = load<u32>(state, REACH.DEPTH);
    const frame = frameAt(state, depth - 1);
    if (load<u32>(frame, FRAME.NEXT) >= load<u32>(frame, FRAME.COUNT)) {
      store<u32>(state, depth - 1, REACH.DEPTH);
      continue;
    }
    if (needsPiece(frame)) openPiece(state, unit, frame, slot);
    const ptr = nextEntry(state, unit, frame, slot);
    if (!ptr) continue;
    const stored = load<u64>(ptr);
    const entry = isSwapped ? bswap<u64>(stored) : stored;
    if (!has(entry, PTE.VALID)) advance(frame);
    else if (second) descriptor<i32>(state, unit, frame, entry, secondShape(state, unit));
    else descriptor<f32>(state, unit, frame, entry, firstShape(state, unit, load<u64>(frame, FRAME.HELD)));
  }
  flush(state);
  return SLICE.FINISHED;
}

/** Bits of a table descriptor that hold for all below it. */
// @ts-ignore: decorator
@inline
function hierarchyOf(entry: u64): u64 {
  return entry & (mask(PTE1.PXNTable) | mask(PTE1.UXNTable) | mask(PTE1.APTable0) | mask(PTE1.APTable1));
}

// @ts-ignore: decorator
@inline
function world(state: usize, unit: usize): u32 {
  const ste = state + REACH.ENTRY;
  return worldOf(unit, word(ste, STE.STRW), <u32>get(word(ste, STE.Config), STE.Config));
}

// @ts-ignore: decorator
@inline
function secondShape(state: usize, unit: usize): u64 {
  return <u64>load<u32>(unit + stage2Index(word(state + REACH.ENTRY, STE.S2TG)) * 4, SMMU.GEOMETRY2);
}

// @ts-ignore: decorator
@inline
function firstShape(state: usize, unit: usize, held: u64): u64 {
  const word0 = word(state + REACH.CD, CD.V);
  return held & HIGH
    ? <u64>load<u32>(unit + <usize>get(word0, CD_PART.TG1_T1SZ) * 4, SMMU.GEOMETRY1)
    : <u64>load<u32>(unit + <usize>get(word0, CD_PART.TG0_T0SZ) * 4, SMMU.GEOMETRY0);
}

function openPiece(state: usize, unit: usize, frame: usize, slot: i32): void {
  const at = load<u64>(frame, FRAME.TABLE) + pieceOffset(frame);
  if (load<u32>(state, REACH.KIND) != REACH_KIND.NESTED) {
    readPiece(state, unit, frame, slot, at, false);
    return;
  }
  // § 3.3.3 stage 2 of each descriptor's address
  const ste = state + REACH.ENTRY;
  const result = state + REACH.RESULT;
  const event = walkStage2<Exact>(unit, ste, at, PERMISSION.READ, LOOK, EVENT_CLASS.TT, result);
  const host = load<u64>(unit, SMMU.STAGE2_ADDRESS);
  const writable = load<u32>(unit, SMMU.STAGE2_PERMISSIONS) & PERMISSION.WRITE;
  store<u32>(frame, !event && writable ? 1 : 0, FRAME_FLAG.WRITABLE);
  readPiece(state, unit, frame, slot, host, event != 0);
}

/** § DDI 0487 D8.3, for one valid descriptor of stage 1 (`S` a float) or stage 2. */
// @ts-ignore: decorator
@inline
function descriptor<S>(state: usize, unit: usize, frame: usize, entry: u64, shape: u64): void {
  const shift = <u64>load<u32>(frame, FRAME.SHIFT);
  const pageShift = get(shape, GEOMETRY.PAGE_SHIFT);
  const isLast = shift == pageShift;
  const isTable = has(entry, PTE.TYPE) && !isLast;
  const isLong = has(shape, GEOMETRY.LONG);
  const size = isFloat<S>() ? get(word(state + REACH.CD, CD.IPS), CD.IPS) : get(word(state + REACH.ENTRY, STE.S2PS), STE.S2PS);
  const output = addressOf(entry, isTable ? pageShift : shift, isLong);
  const isBad =
    (output & beyondOutput(unit, size, isLong)) != 0 || (!isTable && isMisplaced(entry, shape, shift, isLast));
  if (isBad) {
    count(state, REACH.REFUSED);
    advance(frame);
    return;
  }
  if (isTable) descend(state, frame, output, entry, pageShift);
  else if (isFloat<S>()) leaf1(state, unit, frame, entry, output);
  else leaf2(state, unit, frame, entry, output);
}

/** Opens the table that a descriptor links, unless it was listed before. */
function descend(state: usize, frame: usize, table: u64, entry: u64, pageShift: u64): void {
  const level = load<u32>(frame, FRAME.LEVEL);
  const input = inputOf(frame);
  const shift = <u64>load<u32>(frame, FRAME.SHIFT);
  // § DDI 0487 D8.4 APTable, UXNTable, PXNTable
  const before = load<u64>(frame, FRAME.HELD);
  const held = before | hierarchyOf(entry);
  advance(frame);
  const inherited = (before & HIGH) | (has(held, PTE1.PXNTable) ? 2 : 0) | (has(held, PTE1.UXNTable) ? 4 : 0) |
    (has(held, PTE1.APTable0) ? 8 : 0) | (has(held, PTE1.APTable1) ? 16 : 0);
  const key = table | <u64>level | (inherited << 3); // not a field: a hash key of our own
  if (isRepeat(state, key, input, table, (<u64>1) << shift)) return;
  const levelBits = pageShift - 3;
  push(state, table, input, held, false, <u32>1 << <u32>levelBits, level + 1, shift - levelBits);
}

/** § DDI 0487 D8.4, D8.5, for a block or page of stage 1. */
function leaf1(state: usize, unit: usize, frame: usize, entry: u64, output: u64): void {
  const cd = state + REACH.CD;
  const word0 = word(cd, CD.V) & load<u64>(unit, SMMU.CD_MASK0);
  const held = load<u64>(frame, FRAME.HELD);
  const nested = load<u32>(state, REACH.KIND) == REACH_KIND.NESTED;
  const mayMark = has(word0, CD.HA) && (!nested || load<u32>(frame, FRAME_FLAG.WRITABLE) != 0);
  // § 3.13
  const isReadable = has(entry, PTE.AF) || (has(word0, CD.HA) ? mayMark : has(word0, CD.AFFD));
  if (!isReadable) {
    count(state, REACH.REFUSED);
    advance(frame);
    return;
  }
  if (!has(entry, PTE1.nG)) count(state, REACH.GLOBALS);
  const base = held & HIGH ? word(cd, CD.TTB1) : word(cd, CD.TTB0);
  const isFlat = (held & HIGH ? has(base, CD.HAD1) : has(base, CD.HAD0)) && has(load<u64>(unit, SMMU.FEATURES), FEATURE.HAD);
  const hierarchy = isFlat ? 0 : hierarchyOf(held);
  const clean = isClean1(entry, word0);
  const regime = world(state, unit);
  const granting = asGranting1(entry, word0);
  let user = stage1Rights(unit, granting, hierarchy, word0, regime == WORLD.EL2, 0);
  let privileged = stage1Rights(unit, granting, hierarchy, word0, regime == WORLD.EL2, REQUEST_FLAG.PRIVILEGED);
  if (clean && !mayMark) {
    user &= ~PERMISSION.WRITE;
    privileged &= ~PERMISSION.WRITE;
  }
  const shift = <u64>load<u32>(frame, FRAME.SHIFT);
  if (nested) {
    throughStage2(state, unit, frame, output, user, privileged);
    return;
  }
  put(state, inputOf(frame), output, (<u64>1) << shift, shift, user, privileged);
  advance(frame);
}

/** § DDI 0487 D8.4, D8.5, for a block or page of stage 2 alone. */
function leaf2(state: usize, unit: usize, frame: usize, entry: u64, output: u64): void {
  const word2 = word(state + REACH.ENTRY, STE.S2TG);
  const shift = <u64>load<u32>(frame, FRAME.SHIFT);
  if (!has(entry, PTE.AF) && !has(word2, STE.S2HA) && !has(word2, STE.S2AFFD)) {
    count(state, REACH.REFUSED);
  } else {
    const clean = isClean2(entry, word2);
    const user = stage2Rights(unit, entry, clean, 0);
    put(state, inputOf(frame), output, (<u64>1) << shift, shift, user, stage2Rights(unit, entry, clean, REQUEST_FLAG.PRIVILEGED));
  }
  advance(frame);
}

/** The pages behind a stage 1 leaf, as far as stage 2 has them; leaves off when records run out. */
function throughStage2(state: usize, unit: usize, frame: usize, ipa: u64, user: u32, privileged: u32): void {
  const ste = state + REACH.ENTRY;
  const result = state + REACH.RESULT;
  const shape = secondShape(state, unit);
  const pageShift = get(shape, GEOMETRY.PAGE_SHIFT);
  const firstShift = <u64>load<u32>(frame, FRAME.SHIFT);
  const end = min<u64>((<u64>1) << firstShift, max<u64>((<u64>1) << get(shape, GEOMETRY.INPUT_BITS), ipa) - ipa);
  const input = inputOf(frame);
  let done = load<u64>(frame, FRAME.WITHIN);
  while (done < end) {
    if (isFull(state)) {
      store<u64>(frame, done, FRAME.WITHIN);
      return;
    }
    const at = ipa + done;
    count(state, REACH.ENTRIES);
    const event = walkStage2<Exact>(unit, ste, at, 0, LOOK, EVENT_CLASS.IN, result);
    const shift = event
      ? pageShift + (pageShift - 3) * (LAST_LEVEL - load<u8>(result, RESULT.LEVEL))
      : <u64>load<u32>(unit, SMMU.STAGE2_SHIFT);
    const span = min<u64>((at | (((<u64>1) << shift) - 1)) + 1 - at, end - done);
    if (event) count(state, REACH.REFUSED);
    else {
      const entry = load<u64>(unit, SMMU.STAGE2_ENTRY);
      const clean = isClean2(entry, word(ste, STE.S2TG));
      const unprivileged = user & stage2Rights(unit, entry, clean, 0);
      const kernel = privileged & stage2Rights(unit, entry, clean, REQUEST_FLAG.PRIVILEGED);
      put(state, input + done, load<u64>(unit, SMMU.STAGE2_ADDRESS), span, min(shift, firstShift), unprivileged, kernel);
    }
    done += span;
  }
  advance(frame);
}

function put(state: usize, input: u64, output: u64, size: u64, shift: u64, user: u32, privileged: u32): void {
  count(state, REACH.LEAVES);
  const rights = (user | (privileged << (RIGHTS.PRIVILEGED & 0xff))) & load<u32>(state, REACH.MASK);
  if (rights) emit(state, input, output, size, shift, rights);
  else count(state, REACH.REFUSED);
}
