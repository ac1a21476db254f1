/**
 * What the two vendors' enumerations share: frames of tables being read, tables seen before, and runs of
 * mappings that grow as long as input and output go on together.
 *
 * Tables are read in pieces of 4 KiB, so host-backed memory costs a call a piece, not a call an entry. The
 * depth is that of the architecture's walk; a table that turns up again with the same rights above it is
 * noted as a repetition and not read again, so tables that point at themselves end.
 */
import { GUEST } from "./layout/core";
import {
  FRAME, FRAME_BYTES, FRAME_FLAG, FRAMES, PIECE, PIECE_BYTES, PIECE_ENTRIES, REACH, RUN, RUN_BYTES, RUN_KIND, SEEN,
  SEEN_BYTES,
} from "./layout/reach";
import { copyFromGuest, fetch } from "./memory";

/** Records that one entry may add at most. */
const MARGIN: u32 = 6;
const ENTRY_BYTES: u32 = 8;
/** Fibonacci hashing: 2^64 divided by the golden ratio. */
const SPREAD: u64 = 0x9e3779b97f4a7c15;

/** Frame `index`, 0 being that of the first start table. */
// @ts-ignore: decorator
@inline
export function frameAt(state: usize, index: u32): usize {
  return state + REACH.FRAME0 + index * FRAME_BYTES;
}

/** Whether the record buffer has to be emptied before the next entry is looked at. */
// @ts-ignore: decorator
@inline
export function isFull(state: usize): bool {
  return load<u32>(state, REACH.COUNT) + MARGIN > load<u32>(state, REACH.CAPACITY);
}

/** Adds one to a counter of the block. */
// @ts-ignore: decorator
@inline
export function count(state: usize, counter: usize): void {
  store<u64>(state + counter, load<u64>(state + counter) + 1);
}

/** Opens a table; the caller has seen to it that there is a frame left. */
export function push(
  state: usize, table: u64, input: u64, held: u64, isStuck: bool, entries: u32, level: u32, shift: u64,
): void {
  const depth = load<u32>(state, REACH.DEPTH);
  if (depth == FRAMES) return;
  store<u32>(state, depth + 1, REACH.DEPTH);
  const frame = frameAt(state, depth);
  memory.fill(frame, 0, FRAME_BYTES);
  store<u64>(frame, table, FRAME.TABLE);
  store<u64>(frame, input, FRAME.INPUT);
  store<u64>(frame, held, FRAME.HELD);
  store<u32>(frame, entries, FRAME.COUNT);
  store<u32>(frame, level, FRAME.LEVEL);
  store<u32>(frame, <u32>shift, FRAME.SHIFT);
  store<u32>(frame, isStuck ? 1 : 0, FRAME_FLAG.STUCK);
}

/** Whether the piece that holds the frame's next entry has yet to be read. */
// @ts-ignore: decorator
@inline
export function needsPiece(frame: usize): bool {
  return load<u32>(frame, FRAME.NEXT) / PIECE_ENTRIES + 1 != load<u32>(frame, FRAME.LOADED);
}

/** Where the piece that holds the frame's next entry begins in its table. */
// @ts-ignore: decorator
@inline
export function pieceOffset(frame: usize): u64 {
  return <u64>(load<u32>(frame, FRAME.NEXT) / PIECE_ENTRIES) * PIECE_BYTES;
}

/** Reads the piece that holds the frame's next entry from host address `at`; `isMissing`: there is none. */
export function readPiece(state: usize, unit: usize, frame: usize, slot: i32, at: u64, isMissing: bool): void {
  const piece = load<u32>(frame, FRAME.NEXT) / PIECE_ENTRIES;
  const entries = min<u32>(load<u32>(frame, FRAME.COUNT) - piece * PIECE_ENTRIES, PIECE_ENTRIES);
  store<u32>(frame, piece + 1, FRAME.LOADED);
  store<u64>(frame, at, FRAME.AT);
  let how: u32 = PIECE.WHOLE;
  if (isMissing) how = PIECE.MISSING;
  else if (!copyFromGuest(pageOf(state, frame), at, entries * ENTRY_BYTES)) {
    // Memory comes in whole pages; only a poisoned one is there in part.
    how = PIECE.MISSING;
    const tries = load<u32>(GUEST.POISONS) ? entries : 0;
    for (let i: u32 = 0; i < tries && how == PIECE.MISSING; i++) {
      if (fetch(unit, at + i * ENTRY_BYTES, ENTRY_BYTES, slot)) how = PIECE.SINGLY;
    }
  }
  store<u32>(frame, how, FRAME.STATE);
  if (how != PIECE.WHOLE) count(state, REACH.MISSING);
  if (how != PIECE.MISSING) append(state, RUN_KIND.TABLE, load<u64>(frame, FRAME.INPUT), at, 0, entries * ENTRY_BYTES, 0);
}

/** The copy of a frame's piece. */
// @ts-ignore: decorator
@inline
function pageOf(state: usize, frame: usize): usize {
  return state + REACH.PAGE0 + ((frame - state - REACH.FRAME0) / FRAME_BYTES) * PIECE_BYTES;
}

/** Pointer to the next entry of the piece that is not 0, the frame moved on to it; 0 where the piece ends. */
export function nextEntry(state: usize, unit: usize, frame: usize, slot: i32): usize {
  const from = load<u32>(frame, FRAME.NEXT);
  const stop = min<u32>(load<u32>(frame, FRAME.LOADED) * PIECE_ENTRIES, load<u32>(frame, FRAME.COUNT));
  const how = load<u32>(frame, FRAME.STATE);
  const page = pageOf(state, frame);
  let at = from;
  let ptr: usize = 0;
  if (how == PIECE.MISSING) at = stop;
  for (; at < stop; at++) {
    const offset = (at % PIECE_ENTRIES) * ENTRY_BYTES;
    ptr = how == PIECE.WHOLE ? page + offset : fetch(unit, load<u64>(frame, FRAME.AT) + offset, ENTRY_BYTES, slot);
    if (ptr && load<u64>(ptr)) break;
    ptr = 0;
  }
  store<u32>(frame, at, FRAME.NEXT);
  store<u64>(state, load<u64>(state, REACH.ENTRIES) + (at - from) + 1, REACH.ENTRIES);
  return ptr;
}

/** Leaves the frame's present entry behind. */
// @ts-ignore: decorator
@inline
export function advance(frame: usize): void {
  store<u32>(frame, load<u32>(frame, FRAME.NEXT) + 1, FRAME.NEXT);
  store<u64>(frame, 0, FRAME.WITHIN);
}

/** First input address of the frame's next entry. */
// @ts-ignore: decorator
@inline
export function inputOf(frame: usize): u64 {
  return load<u64>(frame, FRAME.INPUT) + (<u64>load<u32>(frame, FRAME.NEXT) << <u64>load<u32>(frame, FRAME.SHIFT));
}

/**
 * Whether a table was listed before with the same `key` (its address, level and what it inherits); if so
 * that is noted, if not it is remembered. Once the slots run out tables are read as often as they turn up.
 */
export function isRepeat(state: usize, key: u64, input: u64, table: u64, bytes: u64): bool {
  const slots = load<u32>(state, REACH.SEEN_SLOTS);
  const first = load<u32>(state, REACH.SEEN);
  const generation = load<u32>(state, REACH.GENERATION);
  let index = <u32>((key * SPREAD) >> 32) & (slots - 1);
  while (true) {
    const slot = first + index * SEEN_BYTES;
    if (load<u32>(slot, SEEN.GENERATION) != generation) {
      const taken = load<u32>(state, REACH.SEEN_TAKEN);
      if (taken < slots - slots / 4) {
        store<u64>(slot, key, SEEN.KEY);
        store<u64>(slot, input, SEEN.INPUT);
        store<u32>(slot, generation, SEEN.GENERATION);
        store<u32>(state, taken + 1, REACH.SEEN_TAKEN);
      }
      return false;
    }
    if (load<u64>(slot, SEEN.KEY) == key) {
      append(state, RUN_KIND.REPEAT, input, table, bytes, load<u64>(slot, SEEN.INPUT), 0);
      return true;
    }
    index = (index + 1) & (slots - 1);
  }
}

/** Adds a mapping of `size` bytes: to the open run where it goes on, else as a new one. */
// @ts-ignore: decorator
@inline
export function emit(state: usize, input: u64, output: u64, bytes: u64, shift: u64, rights: u32): void {
  const open = state + REACH.OPEN;
  const limit = load<u64>(state, REACH.LIMIT);
  const size = limit ? min<u64>(bytes, limit - input) : bytes;
  const length = load<u64>(open, RUN.SIZE);
  if (
    length && input == load<u64>(open, RUN.INPUT) + length && output == load<u64>(open, RUN.OUTPUT) + length &&
    rights == load<u32>(open, RUN.RIGHTS)
  ) {
    store<u64>(open, length + size, RUN.SIZE);
    store<u64>(open, load<u64>(open, RUN.SIZES) | ((<u64>1) << shift), RUN.SIZES);
    return;
  }
  flush(state);
  store<u64>(open, input, RUN.INPUT);
  store<u64>(open, output, RUN.OUTPUT);
  store<u64>(open, size, RUN.SIZE);
  store<u64>(open, (<u64>1) << shift, RUN.SIZES);
  store<u32>(open, rights, RUN.RIGHTS);
  store<u32>(open, RUN_KIND.MAPPING, RUN.KIND);
}

/** Moves the open run to the records. */
export function flush(state: usize): void {
  const open = state + REACH.OPEN;
  if (!load<u64>(open, RUN.SIZE)) return;
  memory.copy(record(state), open, RUN_BYTES);
  store<u64>(open, 0, RUN.SIZE);
}

function append(state: usize, kind: u32, input: u64, output: u64, size: u64, sizes: u64, rights: u32): void {
  const at = record(state);
  store<u64>(at, input, RUN.INPUT);
  store<u64>(at, output, RUN.OUTPUT);
  store<u64>(at, size, RUN.SIZE);
  store<u64>(at, sizes, RUN.SIZES);
  store<u32>(at, rights, RUN.RIGHTS);
  store<u32>(at, kind, RUN.KIND);
}

/** Room for one more record. */
function record(state: usize): usize {
  const records = load<u32>(state, REACH.COUNT);
  store<u32>(state, records + 1, REACH.COUNT);
  return load<u32>(state, REACH.RUNS) + records * RUN_BYTES;
}
