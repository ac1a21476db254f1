/**
 * Lists everything that one set of VT-d page tables maps: the walk of every address, made once an entry.
 *
 * VT-d rev 5.10, 3.6 to 3.8, 9.7 and 9.8. An entry maps what a request for it would be granted; accessed
 * and dirty bits are not set but count as settable where the unit may set them, as for a probing walk.
 */
import { element, get, has, mask, word } from "../bits";
import { PERMISSION, REQUEST_FLAG, RESULT } from "../layout/core";
import { FRAME, FRAME_FLAG, PIECE_ENTRIES, REACH, REACH_KIND, RIGHTS, SLICE } from "../layout/reach";
import {
  AW_BASE_LEVELS, FSPM_BASE_LEVELS, FSPTE, FS_ADDRESS_BITS_4, INTERRUPT_PREFIX, INTERRUPT_RANGE, LEVEL_BITS,
  PAGE_SHIFT, PASID, SSPTE,
} from "../layout/vtd";
import { PATH, PATH_STEP, SLOT, VTD } from "../layout/vtd-unit";
import { Exact } from "../modes";
import {
  advance, count, emit, flush, frameAt, inputOf, isFull, isRepeat, needsPiece, nextEntry, pieceOffset, push, readPiece,
} from "../reach";
import { locate, NOWHERE } from "./nested";
import { touchesInterruptRange } from "./result";
import { leafShift, NO_LEAF, outputAddress, rightsOf, Scalable, secondStage } from "./second-stage";

/** What inner walks of the second stage are asked with. */
const LOOK: u32 = REQUEST_FLAG.READ | REQUEST_FLAG.PROBE;
const BOTH: u32 = PERMISSION.READ | PERMISSION.WRITE;
/** Bytes of FEE0_0000h to FEEF_FFFFh. */
const WINDOW: u64 = 1 << (INTERRUPT_RANGE.PREFIX & 0xff);
const WINDOW_BASE: u64 = <u64>INTERRUPT_PREFIX << (INTERRUPT_RANGE.PREFIX & 0xff);

/** Starts an enumeration of the tables that the PASID entry in the block names, by REACH.KIND. */
export function vtdReachOpen(state: usize): void {
  const entry = state + REACH.ENTRY;
  const unit = load<u32>(state, REACH.UNIT);
  store<u32>(state, 0, REACH.DEPTH);
  store<u64>(state, 0, REACH.LIMIT);
  const control = word(entry, PASID.AW);
  if (load<u32>(state, REACH.KIND) == REACH_KIND.SECOND) {
    const aw = <u32>get(control, PASID.AW);
    store<u64>(state, ~element(unit + VTD.SS_BEYOND, aw) + 1, REACH.LIMIT);
    const level = aw + AW_BASE_LEVELS;
    push(state, control & mask(PASID.SSPTPTR), 0, -1, false, PIECE_ENTRIES, level, shiftAt(level));
    return;
  }
  const first = word(entry, PASID.FSPTPTR);
  const level = FSPM_BASE_LEVELS + <u32>get(first, PASID.FSPM);
  push(state, first & mask(PASID.FSPTPTR), 0, -1, false, PIECE_ENTRIES, level, shiftAt(level));
}

/** Goes on for about `budget` entries. @returns SLICE */
export function vtdReach(state: usize, budget: u32): u32 {
  const unit = load<u32>(state, REACH.UNIT);
  const second = load<u32>(state, REACH.KIND) == REACH_KIND.SECOND;
  const slot = second ? SLOT.SSPTE : SLOT.FSPTE;
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
    const entry = load<u64>(ptr);
    if (second) secondEntry(state, unit, frame, entry);
    else firstEntry(state, unit, frame, entry);
  }
  flush(state);
  return SLICE.FINISHED;
}

// @ts-ignore: decorator
@inline
function shiftAt(level: u32): u64 {
  return PAGE_SHIFT - LEVEL_BITS + LEVEL_BITS * level;
}

function openPiece(state: usize, unit: usize, frame: usize, slot: i32): void {
  const at = load<u64>(frame, FRAME.TABLE) + pieceOffset(frame);
  if (load<u32>(state, REACH.KIND) != REACH_KIND.NESTED) {
    readPiece(state, unit, frame, slot, at, false);
    return;
  }
  const level = load<u32>(frame, FRAME.LEVEL);
  // § 3.8
  const host = locate<Exact>(unit, state + REACH.RESULT, LOOK, 0, state + REACH.ENTRY, at, level, level);
  readPiece(state, unit, frame, slot, host, host == NOWHERE);
  const writable = load<u64>(unit + VTD.FS_PATH + level * PATH_STEP, PATH.WRITABLE);
  store<u32>(frame, writable ? 1 : 0, FRAME_FLAG.WRITABLE);
}

/** Opens the table that an entry links, unless it was listed before. */
function descend(state: usize, frame: usize, table: u64, input: u64, held: u64, inherited: u64, isStuck: bool): void {
  const level = load<u32>(frame, FRAME.LEVEL);
  advance(frame);
  const key = table | <u64>level | (inherited << 3); // not a field: a hash key of our own
  if (isRepeat(state, key, input, table, (<u64>1) << load<u32>(frame, FRAME.SHIFT))) return;
  push(state, table, input, held, isStuck, PIECE_ENTRIES, level - 1, shiftAt(level - 1));
}

/** § SSS.1 to SSS.3 for one entry. */
function secondEntry(state: usize, unit: usize, frame: usize, entry: u64): void {
  const input = inputOf(frame);
  const level = load<u32>(frame, FRAME.LEVEL);
  const rights = load<u64>(unit, VTD.SS_RIGHTS);
  const limit = load<u64>(state, REACH.LIMIT);
  const isOutside = limit != 0 && input >= limit;
  // § SSS.2
  if (isOutside || !(entry & rights)) {
    advance(frame);
    return;
  }
  const isLeaf = level == 1 || has(entry, SSPTE.PS);
  const granted = load<u64>(frame, FRAME.HELD) & entry;
  // § SSS.3, SSS.2
  if ((entry & element(unit + VTD.SS_R, 2 * level + <u32>get(entry, SSPTE.PS))) || !(granted & rights)) {
    count(state, REACH.REFUSED);
    advance(frame);
    return;
  }
  if (!isLeaf) {
    const inherited = <u64>rightsOf(unit, granted) | (has(granted, SSPTE.A) ? 4 : 0);
    descend(state, frame, entry & mask(SSPTE.ADDR), input, granted, inherited, false);
    return;
  }
  const left = rightsOf(unit, granted) & markable(state, granted, entry);
  const shift = <u64>load<u32>(frame, FRAME.SHIFT);
  leaf(state, input, entry & mask(SSPTE.ADDR) & ~(((<u64>1) << shift) - 1), (<u64>1) << shift, shift, left, left);
  advance(frame);
}

/** § 3.7.2: what a second-stage leaf still serves where its accessed or dirty bit would have to be set. */
function markable(state: usize, granted: u64, entry: u64): u32 {
  const pasid = state + REACH.ENTRY;
  if (!has(word(pasid, PASID.SSADE), PASID.SSADE) || has(word(pasid, PASID.PWSNP), PASID.PWSNP)) return BOTH;
  if (!has(granted, SSPTE.A)) return 0;
  return has(entry, SSPTE.D) ? BOTH : PERMISSION.READ;
}

/** § SFS.1 to SFS.5 for one entry. */
function firstEntry(state: usize, unit: usize, frame: usize, entry: u64): void {
  const level = load<u32>(frame, FRAME.LEVEL);
  const nested = load<u32>(state, REACH.KIND) == REACH_KIND.NESTED;
  const shift = <u64>load<u32>(frame, FRAME.SHIFT);
  // § SFS.2
  if (!has(entry, FSPTE.P)) {
    advance(frame);
    return;
  }
  const isLeaf = level == 1 || has(entry, FSPTE.PS);
  const masks = unit + (nested ? VTD.NESTED_R : VTD.FS_R);
  const address = entry & mask(FSPTE.ADDR) & (isLeaf ? ~(((<u64>1) << shift) - 1) : -1);
  const pasid = state + REACH.ENTRY;
  const aw = <i32>get(word(pasid, PASID.AW), PASID.AW);
  // § SFS.3, SFS.5
  if (
    entry & element(masks, 2 * level + <u32>get(entry, FSPTE.PS)) ||
    (nested && (address & element(unit + VTD.SS_BEYOND, aw)) != 0)
  ) {
    count(state, REACH.REFUSED);
    advance(frame);
    return;
  }
  const control = word(pasid, PASID.FSPTPTR);
  const accessed = mask(FSPTE.A) | (has(control, PASID.EAFE) ? mask(FSPTE.EA) : 0);
  const isLocked = nested && !load<u32>(frame, FRAME_FLAG.WRITABLE);
  const isStuck = load<u32>(frame, FRAME_FLAG.STUCK) != 0 || (isLocked && (entry & accessed) != accessed);
  const granted = load<u64>(frame, FRAME.HELD) & entry;
  const input = canonical(control, inputOf(frame));
  if (!isLeaf) {
    // What is below a supervisor-only entry is nothing to those who cannot ask as one.
    if (!has(granted, FSPTE.US) && !(load<u32>(state, REACH.MASK) >> (RIGHTS.PRIVILEGED & 0xff))) {
      advance(frame);
      return;
    }
    const inherited = get(granted, FSPTE.RW) | (has(granted, FSPTE.US) ? 2 : 0) |
      (has(granted, FSPTE.A) ? 4 : 0) | (has(granted, FSPTE.EA) ? 8 : 0) | (isStuck ? 16 : 0);
    descend(state, frame, address, input, granted, inherited, isStuck);
    return;
  }
  // § 3.6.2: bits that are owed must be settable
  const snooped = has(word(pasid, PASID.PWSNP), PASID.PWSNP);
  let serves: u32 = 0;
  if ((granted & accessed) == accessed || (snooped && !isStuck)) {
    const dirty = has(entry, FSPTE.D) || (snooped && !isLocked && !isStuck);
    serves = PERMISSION.READ | (dirty ? PERMISSION.WRITE : 0);
  }
  const written = has(granted, FSPTE.RW) ? BOTH : PERMISSION.READ;
  // § SGN.2, SGN.6
  const user = has(granted, FSPTE.US) ? serves & written : 0;
  const privileged = serves & (has(control, PASID.WPE) ? written : BOTH);
  if (nested) {
    throughSecond(state, unit, frame, input, address, (<u64>1) << shift, user, privileged);
    return;
  }
  leaf(state, input, address, (<u64>1) << shift, shift, user, privileged);
  advance(frame);
}

/** § 3.6: the upper half of the top table is the upper half of the address space. */
// @ts-ignore: decorator
@inline
function canonical(control: u64, input: u64): u64 {
  const beyond = 64 - FS_ADDRESS_BITS_4 - LEVEL_BITS * get(control, PASID.FSPM);
  return <u64>(<i64>(input << beyond) >> beyond);
}

/** The pages behind a first-stage leaf, as far as the second stage has them; leaves off when records run out. */
function throughSecond(
  state: usize, unit: usize, frame: usize, input: u64, gpa: u64, size: u64, user: u32, privileged: u32,
): void {
  const pasid = state + REACH.ENTRY;
  const control = word(pasid, PASID.SSPTPTR);
  const root = control & mask(PASID.SSPTPTR);
  const aw = <i32>get(control, PASID.AW);
  const result = state + REACH.RESULT;
  let done = load<u64>(frame, FRAME.WITHIN);
  while (done < size) {
    if (isFull(state)) {
      store<u64>(frame, done, FRAME.WITHIN);
      return;
    }
    const at = gpa + done;
    count(state, REACH.ENTRIES);
    const second = secondStage<Exact, Scalable>(unit, result, LOOK, 0, root, aw, 0, at);
    const shift = second == NO_LEAF ? shiftAt(load<u8>(result, RESULT.LEVEL)) : leafShift(second);
    const span = min<u64>((at | (((<u64>1) << shift) - 1)) + 1 - at, size - done);
    if (second == NO_LEAF) count(state, REACH.REFUSED);
    else {
      const left = rightsOf(unit, second) & markable(state, second, second);
      const smaller = min<u64>(shift, load<u32>(frame, FRAME.SHIFT));
      leaf(state, input + done, outputAddress(second, shift, at), span, smaller, user & left, privileged & left);
    }
    done += span;
  }
  advance(frame);
}

/** One page, or a part of it, without what lies in the interrupt range: § SGN.8. */
function leaf(state: usize, input: u64, output: u64, size: u64, shift: u64, user: u32, privileged: u32): void {
  count(state, REACH.LEAVES);
  const rights = (user | (privileged << (RIGHTS.PRIVILEGED & 0xff))) & load<u32>(state, REACH.MASK);
  if (!rights) {
    count(state, REACH.REFUSED);
    return;
  }
  if (!touchesInterruptRange(output, shift)) {
    emit(state, input, output, size, shift, rights);
    return;
  }
  const end = output + size;
  const above = WINDOW_BASE + WINDOW;
  if (output < WINDOW_BASE) emit(state, input, output, min(end, WINDOW_BASE) - output, shift, rights);
  if (end > above) {
    const from = max(output, above);
    emit(state, input + (from - output), from, end - from, shift, rights);
  }
}
