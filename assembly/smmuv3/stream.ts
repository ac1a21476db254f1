/** From StreamID to STE. IHI 0070 3.3.1 "Stream table lookup", 5.1 "Level 1 Stream Table Descriptor". */
import { get, mask } from "../bits";
import { REQUEST_FLAG } from "../layout/core";
import { L1STD, L1STD_SIZE, STE_SIZE } from "../layout/smmuv3";
import { ORIGIN } from "../layout/smmuv3-caches";
import { EVENT_NUMBER } from "../layout/smmuv3-faults";
import { CHECK, SLOT, SMMU, STRUCTURE } from "../layout/smmuv3-unit";
import { check, fetch, fetchEntry, isCached, isMissing, marks, notes, step } from "../modes";
import { fail } from "./fault";
import { heldLevel1, heldSte, keepLevel1, keepSte, met } from "./held";

const STE_WORDS: i32 = STE_SIZE / 8;

/** Pointer to the STE of a StreamID in range, or 0 with the fault noted. */
// @ts-ignore: decorator
@inline
export function findSte<T>(unit: usize, sid: u32, flags: u32, result: usize): usize {
  if (isCached<T>()) {
    const held = heldSte(unit, sid);
    if (held) return held;
  }
  const split = load<u32>(unit, SMMU.SPLIT);
  let table = load<u64>(unit, SMMU.STREAM_TABLE);
  let index: u64 = sid;
  if (split) {
    const at = table + (index >> split) * L1STD_SIZE;
    const l1 = isCached<T>() ? <usize>load<u32>(unit, SMMU.L1STDS) : 0;
    const held = isCached<T>() ? heldLevel1(unit, l1, 0, sid >> split, split, ORIGIN.L1STD) : 0;
    const ptr = held ? held : fetch<T>(unit, at, L1STD_SIZE, SLOT.L1STD);
    step<T>(unit, STRUCTURE.L1STD, 0, 0, at, index >> split, ptr, 1);
    // § 7.3 F_STE_FETCH
    if (check<T>(unit, CHECK.L1STD_FETCH, isMissing<T>(ptr))) {
      fail<T>(result, EVENT_NUMBER.F_STE_FETCH, CHECK.L1STD_FETCH, at, 0);
      return 0;
    }
    if (notes<T>() && !held) store<u64>(met(unit, ORIGIN.L1STD), at);
    if (isCached<T>() && !held && !(flags & REQUEST_FLAG.PROBE)) keepLevel1(l1, 0, sid >> split, split, ptr, at);
    const entry = load<u64>(ptr);
    const span = get(entry, L1STD.Span);
    // § 5.1 Span = 0 (wraps), reserved, or > SPLIT + 1
    if (check<T>(unit, CHECK.L1STD_SPAN, span - 1 > <u64>split)) {
      fail<T>(result, EVENT_NUMBER.C_BAD_STREAMID, CHECK.L1STD_SPAN, at, entry);
      return 0;
    }
    index &= (<u64>1 << split) - 1;
    // § 5.1 the index must lie within the span
    if (check<T>(unit, CHECK.L1STD_INDEX, index >> (span - 1) != 0)) {
      fail<T>(result, EVENT_NUMBER.C_BAD_STREAMID, CHECK.L1STD_INDEX, at, entry);
      return 0;
    }
    // § 5.1 L2Ptr: bits below the table's size count as 0: 2^(Span - 1) STEs
    table = entry & mask(L1STD.L2Ptr) & load<u64>(unit, SMMU.POINTERS) & -(<u64>STE_SIZE << (span - 1));
  }
  const at = table + index * STE_SIZE;
  // § 3.4 beyond OAS there is nothing to fetch
  const isOutside = (at & load<u64>(unit, SMMU.BEYOND_OAS)) != 0;
  const ptr: usize = isOutside ? 0 : fetchEntry<T>(unit, at, STE_SIZE, SLOT.STE);
  if (notes<T>()) store<u64>(met(unit, ORIGIN.STE), at);
  if (!marks<T>()) return ptr;
  step<T>(unit, STRUCTURE.STE, 0, split ? 1 : 0, at, index, ptr, STE_WORDS);
  // § 7.3 F_STE_FETCH
  if (check<T>(unit, CHECK.STE_FETCH, !ptr)) {
    fail<T>(result, EVENT_NUMBER.F_STE_FETCH, CHECK.STE_FETCH, at, 0);
    return 0;
  }
  return isCached<T>() && !(flags & REQUEST_FLAG.PROBE) ? keepSte(unit, sid, ptr) : ptr;
}
