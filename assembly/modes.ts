/**
 * The ways in which a walker is compiled.
 *
 * `Fast` only succeeds: whatever would be a fault, needs an accessed or dirty bit set, or reads memory
 * that does not lie in one of the two big segments, makes it give START_OVER at once, with nothing
 * written to guest memory. `Exact` is the same walk from the start, with faults, effects and all of
 * memory. `Traced` is `Exact` and notes every step. All share the code, so they cannot disagree.
 */
import { fetch as fetchAnywhere, fetchLinear, fetchWhole } from "./memory";

export { begin, check, Fast, step, Traced, updateAt } from "./trace";
export type Exact = i64;
/** `Exact`, with what the unit's caches hold in place of memory. */
export type Cached = u64;
/** `Fast`, noting which entries it read. */
export type Filling = u32;

// @ts-ignore: decorator
@inline
export function isCached<T>(): bool {
  return isInteger<T>() && !isSigned<T>() && sizeof<T>() == 8;
}

/** Whether this compilation notes where what is to be held comes from. */
// @ts-ignore: decorator
@inline
export function notes<T>(): bool {
  return isInteger<T>() && !isSigned<T>();
}

/** Whether this compilation keeps the path and may write to guest memory. */
// @ts-ignore: decorator
@inline
export function marks<T>(): bool {
  return isFloat<T>() || sizeof<T>() == 8;
}

/** Pointer to an entry, or 0: a bus error, or for `Fast` any memory that takes longer to find (see `isMissing`). */
// @ts-ignore: decorator
@inline
export function fetch<T>(unit: usize, gpa: u64, bytes: i32, slot: i32): usize {
  return marks<T>() ? fetchAnywhere(unit, gpa, bytes, slot) : fetchLinear(gpa);
}

/** The same of an entry of several words; all but `Fast`, which writes nothing by them, go by a copy. */
// @ts-ignore: decorator
@inline
export function fetchEntry<T>(unit: usize, gpa: u64, bytes: i32, slot: i32): usize {
  return marks<T>() ? fetchWhole(unit, gpa, bytes, slot) : fetchLinear(gpa);
}

/** A bus error. `Fast` need not ask: what it found instead is not present. */
// @ts-ignore: decorator
@inline
export function isMissing<T>(ptr: usize): bool {
  return marks<T>() && !ptr;
}
