/**
 * First-stage translation, alone or on top of a second stage.
 *
 * VT-d rev 5.10, 3.6 "First-Stage Translation", 3.8 "Nested Translation" and 9.7 "First-Stage Paging
 * Entries"; conditions SFS.*, SGN.1, SGN.2 and SGN.6.
 */
import { valueOf } from "../caches";
import { both, either, element, folded, get, has, mask, place, word } from "../bits";
import { REQUEST_FLAG } from "../layout/core";
import {
  FSPM_BASE_LEVELS, FSPTE, LEVEL_BITS, PAGE_SHIFT, PASID, PTE_SHIFT, TABLE_OFFSET,
} from "../layout/vtd";
import { CHECK, STRUCTURE } from "../layout/vtd-faults";
import { IOTLB_ORIGIN, TABLE_VALUE } from "../layout/vtd-caches";
import { LEAF, PATH, PATH_STEP, SLOT, VTD } from "../layout/vtd-unit";
import { fault, faultOfRequest } from "./faults";
import { markPath, pathIsWritable } from "./mark";
import { uncommon } from "./kind";
import { heldLevel, heldTable, isCached, keepTables, noteLevel, noteLevels } from "./held";
import { locate, NOWHERE } from "./nested";
import { leafLevel, NO_LEAF } from "./second-stage";
import { check, fetch, isMissing, marks, notes, step } from "../modes";

/** First stage alone; or nested, its entries found through the second stage. */
export type Alone = i32;
export type Nested = f32;

/** Level 1 links no tables. */
const LOWEST_TABLE = 2;

/**
 * Walks from FSPTPTR down to the leaf of `input` and checks permissions and the bits owed.
 *
 * Gives the leaf as the whole path grants it (see LEAF), or NO_LEAF with the fault, or START_OVER, in
 * `result`. `pasid` points to the PASID entry.
 */
// @ts-ignore: decorator
@inline
export function firstStage<T, N>(
  unit: usize, result: usize, flags: u32, met: u64, pasid: usize, id: u32, input: u64,
): u64 {
  const control = word(pasid, PASID.FSPTPTR);
  const top = FSPM_BASE_LEVELS + <i32>get(control, PASID.FSPM);
  // § SGN.1: canonical, so that either half ends at the limit.
  const isBeyond = folded(input) >= element(unit + VTD.FS_LIMIT, <u32>get(control, PASID.FSPM));
  if (check<T>(unit, CHECK.SGN_1, isBeyond)) {
    faultOfRequest<T>(result, flags, CHECK.SGN_1, met);
    return NO_LEAF;
  }
  let table = control & mask(PASID.FSPTPTR);
  let level = top;
  let granted: u64 = -1;
  if (isCached<T>()) {
    const tables = load<u32>(unit, VTD.FS_TABLES);
    const did = get(word(pasid, PASID.DID), PASID.DID);
    const held = heldTable(unit, tables, did, id, input, top, IOTLB_ORIGIN.FS);
    if (held >= 0) {
      table = load<u64>(valueOf(tables, held), TABLE_VALUE.ENTRY) & mask(FSPTE.ADDR);
      granted = load<u64>(valueOf(tables, held), TABLE_VALUE.GRANTED);
      level = heldLevel(tables, held) - 1;
    }
    store<u32>(unit, level, VTD.FS_FROM);
    store<u64>(unit, granted, VTD.FS_GRANTED);
  }
  let entry: u64 = 0;
  let above: u64 = 0;
  while (true) {
    let at = table + ((input >> offsetShift(level)) & mask(TABLE_OFFSET.ENTRY));
    if (isFloat<N>()) {
      // § 3.8
      at = locate<T>(unit, result, flags, met, pasid, at, level, top);
      if (at == NOWHERE) return NO_LEAF;
    }
    const ptr = fetch<T>(unit, at, 8, SLOT.FSPTE);
    step<T>(unit, STRUCTURE.FSPTE, 1, level, at, (at & mask(TABLE_OFFSET.ENTRY)) >> PTE_SHIFT, ptr, 1);
    // § SFS.4
    if (check<T>(unit, level == top ? CHECK.SFS_4 : CHECK.SFS_1, isMissing<T>(ptr))) {
      fault<T>(result, flags, level == top ? CHECK.SFS_4 : CHECK.SFS_1, met, at, 0, 1, level);
      return NO_LEAF;
    }
    entry = load<u64>(ptr);
    // `Fast` looks at the whole path at once, when it has reached the end.
    if (marks<T>()) {
      // § SFS.2
      if (check<T>(unit, CHECK.SFS_2, !has(entry, FSPTE.P))) {
        fault<T>(result, flags, CHECK.SFS_2, met, at, entry, 1, level);
        return NO_LEAF;
      }
      // § SFS.3
      if (check<T>(unit, CHECK.SFS_3, (entry & reservedIn<N>(unit, entry, level)) != 0)) {
        fault<T>(result, flags, CHECK.SFS_3, met, at, entry, 1, level);
        return NO_LEAF;
      }
      if (isFloat<N>()) {
        // § SFS.5
        const address = level == 1 || has(entry, FSPTE.PS) ? pageAddress(entry, level) : entry & mask(FSPTE.ADDR);
        if (check<T>(unit, CHECK.SFS_5, (address & beyondSecondStage(unit, pasid)) != 0)) {
          fault<T>(result, flags, CHECK.SFS_5, met, at, entry, 1, level);
          return NO_LEAF;
        }
      }
      const path = unit + VTD.FS_PATH + level * PATH_STEP;
      store<u64>(path, at, PATH.ADDRESS);
      store<u64>(path, entry, PATH.ENTRY);
    }
    granted &= entry;
    if (notes<T>()) noteLevel(unit, IOTLB_ORIGIN.FS, level, at);
    if (level == 1) break;
    if (has(entry, FSPTE.PS)) break;
    above |= entry;
    table = entry & mask(FSPTE.ADDR);
    level--;
  }
  if (notes<T>()) noteLevels(unit, IOTLB_ORIGIN.FS, top, level);
  if (!marks<T>()) {
    // § SFS.2, SFS.3, SFS.5; a table's mask is the same on all levels where PS = 0 makes it one
    let odd = (~granted & mask(FSPTE.P)) | (entry & reservedIn<N>(unit, entry, level)) |
      (above & reservedIn<N>(unit, 0, LOWEST_TABLE));
    if (isFloat<N>()) odd |= (above & mask(FSPTE.ADDR) | pageAddress(entry, level)) & beyondSecondStage(unit, pasid);
    if (odd) return NO_LEAF;
  }
  const along = mask(FSPTE.RW) | mask(FSPTE.US) | mask(FSPTE.A) | mask(FSPTE.EA);
  const leaf = (entry & ~(along | mask(LEAF.SHIFT))) | (granted & along) | place(LEAF.SHIFT, offsetShift(level) + PTE_SHIFT);
  // § SGN.2
  if (check<T>(unit, CHECK.SGN_2, both(!has(granted, FSPTE.US), !(flags & REQUEST_FLAG.PRIVILEGED)))) {
    fault<T>(result, flags, CHECK.SGN_2, met, 0, entry, 1, level);
    return NO_LEAF;
  }
  // § SGN.6: a translation request is told what is left instead.
  const writable = firstStageWritable(leaf, flags, control);
  const needsWrite = both((flags & REQUEST_FLAG.WRITE) != 0, !(uncommon<T>(flags) & REQUEST_FLAG.TRANSLATION));
  if (check<T>(unit, CHECK.SGN_6, both(needsWrite, !writable))) {
    fault<T>(result, flags, CHECK.SGN_6, met, 0, entry, 1, level);
    return NO_LEAF;
  }
  const owed = firstStageMarks(control, both((flags & REQUEST_FLAG.WRITE) != 0, writable));
  if ((leaf & owed) != owed) {
    if (!marks<T>() || !mayMark<T, N>(unit, result, flags, met, pasid, from<T>(unit, top), level, owed)) return NO_LEAF;
  }
  return leaf;
}

/** Reserved bits of an entry of `level`; on level 1 bit PS is another and both masks are the same. */
// @ts-ignore: decorator
@inline
function reservedIn<N>(unit: usize, entry: u64, level: i32): u64 {
  return element(unit + (isFloat<N>() ? VTD.NESTED_R : VTD.FS_R), 2 * level + <u32>get(entry, FSPTE.PS));
}

/** What no address may have that the second stage below is to translate. */
// @ts-ignore: decorator
@inline
function beyondSecondStage(unit: usize, pasid: usize): u64 {
  return element(unit + VTD.SS_BEYOND, <u32>get(word(pasid, PASID.AW), PASID.AW));
}

/** How far right an input address goes to have a level's index as a byte offset. */
// @ts-ignore: decorator
@inline
function offsetShift(level: i32): u64 {
  return PAGE_SHIFT - PTE_SHIFT - LEVEL_BITS + LEVEL_BITS * level;
}

/** Address of the page of a leaf. */
// @ts-ignore: decorator
@inline
function pageAddress(leaf: u64, level: i32): u64 {
  return leaf & mask(FSPTE.ADDR) & ~((<u64>1 << (offsetShift(level) + PTE_SHIFT)) - 1);
}

/** Whether the leaf grants writing, at the request's privilege. */
// @ts-ignore: decorator
@inline
export function firstStageWritable(leaf: u64, flags: u32, control: u64): bool {
  return either(has(leaf, FSPTE.RW), both((flags & REQUEST_FLAG.PRIVILEGED) != 0, !has(control, PASID.WPE)));
}

/** Bits that the path to a leaf must have: A, with EAFE also EA, D in the leaf on a write. */
// @ts-ignore: decorator
@inline
function firstStageMarks(control: u64, write: bool): u64 {
  return mask(FSPTE.A) | (has(control, PASID.EAFE) ? mask(FSPTE.EA) : 0) | (write ? mask(FSPTE.D) : 0);
}

/** What stands against setting the bits that are missing. */
function mayMark<T, N>(
  unit: usize, result: usize, flags: u32, met: u64, pasid: usize, top: i32, level: i32, owed: u64,
): bool {
  const path = unit + VTD.FS_PATH;
  // § SFS.9
  if (check<T>(unit, CHECK.SFS_9, !has(word(pasid, PASID.PWSNP), PASID.PWSNP))) {
    fault<T>(result, flags, CHECK.SFS_9, met, load<u64>(path + level * PATH_STEP), 0, 1, level);
    return false;
  }
  if (isFloat<N>()) {
    // § SFS.8: the second stage must let the entries be written.
    const everywhere = owed & ~mask(FSPTE.D);
    const writable = pathIsWritable(path, top, level, everywhere, owed);
    if (check<T>(unit, CHECK.SFS_8, !writable)) {
      fault<T>(result, flags, CHECK.SFS_8, met, load<u64>(path + level * PATH_STEP), 0, 1, level);
      return false;
    }
  }
  return true;
}

/** Sets what the first stage owes, once nothing else can fail the request. @returns as `markPath` */
export function markFirstStage<T>(
  unit: usize, result: usize, flags: u32, met: u64, pasid: usize, leaf: u64,
): u32 {
  const control = word(pasid, PASID.FSPTPTR);
  const write = (flags & REQUEST_FLAG.WRITE) != 0 && firstStageWritable(leaf, flags, control);
  const owed = firstStageMarks(control, write);
  if ((leaf & owed) == owed) return 0;
  const top = from<T>(unit, FSPM_BASE_LEVELS + <i32>get(control, PASID.FSPM));
  const last = leafLevel(leaf);
  const path = unit + VTD.FS_PATH;
  return markPath<T>(unit, result, flags, met, path, top, last, owed & ~mask(FSPTE.D), owed, 1, CHECK.SFS_10);
}

/** The first level that the walk read: what lies above it is held, and marked already. */
// @ts-ignore: decorator
@inline
function from<T>(unit: usize, top: i32): i32 {
  return isCached<T>() ? load<i32>(unit, VTD.FS_FROM) : top;
}

/** Holds the tables of the first stage walked last, down to `leaf`. */
export function keepFirstTables(unit: usize, flags: u32, pasid: usize, id: u32, input: u64, leaf: u64): void {
  if (flags & REQUEST_FLAG.PROBE) return;
  const control = word(pasid, PASID.FSPM);
  const accessed = mask(FSPTE.A) | (has(control, PASID.EAFE) ? mask(FSPTE.EA) : 0);
  keepTables(
    unit, load<u32>(unit, VTD.FS_TABLES), get(word(pasid, PASID.DID), PASID.DID), id, input, unit + VTD.FS_PATH,
    IOTLB_ORIGIN.FS, FSPM_BASE_LEVELS + <i32>get(control, PASID.FSPM), load<i32>(unit, VTD.FS_FROM), leafLevel(leaf),
    load<u64>(unit, VTD.FS_GRANTED), accessed,
  );
}
