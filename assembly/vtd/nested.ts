/**
 * Where a first stage meets the second stage below it: finding first-stage entries in host memory.
 *
 * VT-d rev 5.10, 3.8 "Nested Translation"; conditions SFS.6 to SFS.8 and SSS.*.
 */
import { both, get, has, mask, word } from "../bits";
import { PERMISSION } from "../layout/core";
import { AW_BASE_LEVELS, PASID, SSPTE } from "../layout/vtd";
import { CHECK } from "../layout/vtd-faults";
import { PATH, PATH_STEP, START_OVER, VTD } from "../layout/vtd-unit";
import { fault, noteGuestAddress } from "./faults";
import { isCached } from "./held";
import { markPath } from "./mark";
import { keepSecondTables, leafLevel, leafShift, NO_LEAF, outputAddress, rightsOf, Scalable, secondStage, secondStageMarks } from "./second-stage";
import { check, marks } from "../modes";

/** No host address: the fault, or START_OVER, is in `result`. */
export const NOWHERE: u64 = -1;

/**
 * Host address of the first-stage entry of `level` at guest address `gpa`, or NOWHERE.
 * With SSADE = 1 reading a first-stage structure counts as a write to it.
 */
// @ts-ignore: decorator
@inline
export function locate<T>(
  unit: usize, result: usize, flags: u32, met: u64, pasid: usize, gpa: u64, level: i32, top: i32,
): u64 {
  const control = word(pasid, PASID.AW);
  const aw = <i32>get(control, PASID.AW);
  const did = get(word(pasid, PASID.DID), PASID.DID);
  const leaf = secondStage<T, Scalable>(unit, result, flags, met, control & mask(PASID.SSPTPTR), aw, did, gpa);
  if (leaf == NO_LEAF) {
    noteGuestAddress<T>(result, gpa);
    return NOWHERE;
  }
  const root = level == top;
  const refused = root ? CHECK.SFS_6 : CHECK.SFS_7;
  if (check<T>(unit, refused, !(rightsOf(unit, leaf) & PERMISSION.READ))) {
    fault<T>(result, flags, refused, met, 0, leaf, 2, level);
    noteGuestAddress<T>(result, gpa);
    return NOWHERE;
  }
  const writable = (rightsOf(unit, leaf) & PERMISSION.WRITE) != 0;
  const counts = has(control, PASID.SSADE);
  if (check<T>(unit, CHECK.SFS_8, both(counts, !writable))) {
    fault<T>(result, flags, CHECK.SFS_8, met, 0, leaf, 2, level);
    noteGuestAddress<T>(result, gpa);
    return NOWHERE;
  }
  if (counts) {
    if (!secondStageMayMark<T>(unit, result, flags, met, pasid, leaf, true)) return NOWHERE;
    if (marks<T>()) {
      const failed = markSecondStage<T>(unit, result, flags, met, pasid, leaf, true);
      if (failed) {
        if (failed == START_OVER) store<u32>(result, START_OVER);
        return NOWHERE;
      }
    }
  }
  if (marks<T>()) store<u64>(unit + VTD.FS_PATH + level * PATH_STEP, writable ? 1 : 0, PATH.WRITABLE);
  if (isCached<T>()) keepSecondTables(unit, flags, did, aw, gpa, leaf);
  return outputAddress(leaf, leafShift(leaf), gpa);
}

/** With SSADE = 1: whether nothing is owed, or what is owed may be set. */
// @ts-ignore: decorator
@inline
export function secondStageMayMark<T>(
  unit: usize, result: usize, flags: u32, met: u64, pasid: usize, leaf: u64, write: bool,
): bool {
  const owed = secondStageMarks(write);
  if ((leaf & owed) == owed) return true;
  return marks<T>() && mayMark<T>(unit, result, flags, met, pasid, leaf);
}

function mayMark<T>(unit: usize, result: usize, flags: u32, met: u64, pasid: usize, leaf: u64): bool {
  // § SSS.5
  if (check<T>(unit, CHECK.SSS_5, !has(word(pasid, PASID.PWSNP), PASID.PWSNP))) {
    const level = leafLevel(leaf);
    fault<T>(result, flags, CHECK.SSS_5, met, load<u64>(unit + VTD.SS_PATH + level * PATH_STEP), leaf, 2, level);
    return false;
  }
  return true;
}

/** Sets what the second stage walked last owes. @returns as `markPath` */
export function markSecondStage<T>(
  unit: usize, result: usize, flags: u32, met: u64, pasid: usize, leaf: u64, write: bool,
): u32 {
  const owed = secondStageMarks(write);
  if ((leaf & owed) == owed) return 0;
  const top = isCached<T>() ? load<i32>(unit, VTD.SS_FROM) : <i32>get(word(pasid, PASID.AW), PASID.AW) + AW_BASE_LEVELS;
  const last = leafLevel(leaf);
  const path = unit + VTD.SS_PATH;
  return markPath<T>(unit, result, flags, met, path, top, last, mask(SSPTE.A), owed, 2, CHECK.SSS_6);
}
