/**
 * One walker, two compilations.
 *
 * Every walking function takes a type argument: `Fast` leaves no trace and costs nothing, `Traced`
 * notes each entry read and each check made in the unit's trace buffer. `isFloat<T>()` is decided at
 * compile time, so the two cannot come to differ in what they conclude.
 */
import { STEP, STEP_BYTES, STEP_CHECKS, TRACE, UNIT } from "./layout/core";

export type Fast = i32;
export type Traced = f32;

/** Starts an empty trace. */
// @ts-ignore: decorator
@inline
export function begin<T>(unit: usize): void {
  if (isFloat<T>()) {
    const trace = load<u32>(unit, UNIT.TRACE);
    store<u32>(trace, 0, TRACE.COUNT);
    store<u32>(trace, 0, TRACE.DROPPED);
  }
}

/** Notes that `words` 64-bit words were read at `gpa`; `ptr` = 0 notes a read that failed. */
// @ts-ignore: decorator
@inline
export function step<T>(unit: usize, structure: i32, stage: i32, level: i32, gpa: u64, index: u64, ptr: usize, words: i32): void {
  if (isFloat<T>()) noteStep(unit, structure, stage, level, gpa, index, ptr, words);
}

/** Notes a check of the entry read last, and hands back whether it failed. */
// @ts-ignore: decorator
@inline
export function check<T>(unit: usize, id: i32, failed: bool): bool {
  if (isFloat<T>()) noteCheck(unit, id, failed);
  return failed;
}

/** Notes that the entry at `address`, read earlier on this walk, was replaced in memory by `value`. */
// @ts-ignore: decorator
@inline
export function updateAt<T>(unit: usize, address: u64, value: u64): void {
  if (isFloat<T>()) noteUpdateAt(unit, address, value);
}

function noteStep(unit: usize, structure: i32, stage: i32, level: i32, gpa: u64, index: u64, ptr: usize, words: i32): void {
  const trace = load<u32>(unit, UNIT.TRACE);
  const count = load<u32>(trace, TRACE.COUNT);
  if (count >= load<u32>(trace, TRACE.CAPACITY)) {
    store<u32>(trace, load<u32>(trace, TRACE.DROPPED) + 1, TRACE.DROPPED);
    return;
  }
  store<u32>(trace, count + 1, TRACE.COUNT);
  const at = trace + TRACE.STEPS + count * STEP_BYTES;
  memory.fill(at, 0, STEP_BYTES);
  store<u8>(at, <u8>structure, STEP.STRUCTURE);
  store<u8>(at, <u8>level, STEP.LEVEL);
  store<u8>(at, <u8>stage, STEP.STAGE);
  store<u64>(at, gpa, STEP.ADDRESS);
  store<u64>(at, index, STEP.INDEX);
  if (!ptr) return;
  store<u8>(at, <u8>words, STEP.WORDS);
  memory.copy(at + STEP.ENTRY, ptr, <usize>words << 3);
}

/** The step noted last, or 0 if there is none (or it found no room). */
function last(unit: usize): usize {
  const trace = load<u32>(unit, UNIT.TRACE);
  const count = load<u32>(trace, TRACE.COUNT);
  if (!count || load<u32>(trace, TRACE.DROPPED)) return 0;
  return trace + TRACE.STEPS + (count - 1) * STEP_BYTES;
}

function noteCheck(unit: usize, id: i32, failed: bool): void {
  const at = last(unit);
  if (!at) return;
  const n: i32 = load<u8>(at, STEP.CHECKS);
  if (n >= STEP_CHECKS) return;
  store<u8>(at + n, <u8>id, STEP.CHECK_LIST);
  store<u8>(at, <u8>(n + 1), STEP.CHECKS);
  if (failed) store<u8>(at, <u8>(n + 1), STEP.FAILED);
}

/** An entry that several steps of a walk read is marked on the last of them. */
function noteUpdateAt(unit: usize, address: u64, value: u64): void {
  const trace = load<u32>(unit, UNIT.TRACE);
  for (let i = load<i32>(trace, TRACE.COUNT) - 1; i >= 0; i--) {
    const at = trace + TRACE.STEPS + i * STEP_BYTES;
    if (load<u64>(at, STEP.ADDRESS) != address) continue;
    store<u64>(at, value, STEP.UPDATE);
    store<u8>(at, 1, STEP.UPDATED);
    return;
  }
}
