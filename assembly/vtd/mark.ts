/**
 * Accessed, extended-accessed and dirty bits: set by compare-exchange in the entries a walk has used.
 *
 * VT-d rev 5.10, 3.6.2 and 3.7.2 "Accessed and Dirty Flags". If somebody changed an
 * entry since it was read, the walk starts over, a bounded number of times.
 */
import { REQUEST_FLAG } from "../layout/core";
import { PATH, PATH_STEP, START_OVER, VTD } from "../layout/vtd-unit";
import { BUS_ERROR, CHANGED_MEANWHILE, compareExchange } from "../memory";
import { fault } from "./faults";
import { check, updateAt } from "../modes";

/**
 * Sets `bits` in the entries of `path` from level `top` down to `last`, and `leafBits` in the last too.
 * @returns 0, START_OVER, or the reason of the fault that failing to write raises (`failure`)
 */
export function markPath<T>(
  unit: usize, result: usize, flags: u32, met: u64, path: usize, top: i32, last: i32, bits: u64, leafBits: u64,
  stage: u32, failure: i32,
): u32 {
  if (flags & REQUEST_FLAG.PROBE) return 0;
  for (let level = top; level >= last; level--) {
    const step = path + level * PATH_STEP;
    const address = load<u64>(step, PATH.ADDRESS);
    const entry = load<u64>(step, PATH.ENTRY);
    const marked = entry | bits | (level == last ? leafBits : 0);
    if (marked == entry) continue;
    const done = compareExchange(address, entry, marked);
    if (done == CHANGED_MEANWHILE) {
      const retries = load<u32>(unit, VTD.RETRIES);
      if (retries) {
        store<u32>(unit, retries - 1, VTD.RETRIES);
        return START_OVER;
      }
    }
    // § SFS.10, SSS.6
    if (check<T>(unit, failure, done == BUS_ERROR || done == CHANGED_MEANWHILE)) {
      return fault<T>(result, flags, failure, met, address, entry, stage, level);
    }
    updateAt<T>(unit, address, marked);
    store<u32>(unit, 1, VTD.UPDATED);
  }
  return 0;
}

/** Whether the second stage lets every entry be written that lacks some of its bits. */
export function pathIsWritable(path: usize, top: i32, last: i32, bits: u64, leafBits: u64): bool {
  for (let level = top; level >= last; level--) {
    const step = path + level * PATH_STEP;
    const want = bits | (level == last ? leafBits : 0);
    if ((load<u64>(step, PATH.ENTRY) & want) != want && !load<u64>(step, PATH.WRITABLE)) return false;
  }
  return true;
}
