/**
 * Second-stage translation: legacy mode, scalable mode, and below a first stage.
 *
 * VT-d rev 5.10, 3.7 "Second-Stage Translation" and 9.8 "Second-Stage Paging Entries"; conditions
 * LCT.4.3, LSS.*, LGN.2 and LGN.3 in legacy mode, SSS.* in scalable mode.
 */
import { valueOf } from "../caches";
import { element, get, has, mask, place } from "../bits";
import { PERMISSION, REQUEST_FLAG } from "../layout/core";
import { AW_BASE_LEVELS, FSPTE, LEVEL_BITS, PAGE_SHIFT, PTE_SHIFT, SSPTE, TABLE_OFFSET } from "../layout/vtd";
import { CHECK, STRUCTURE } from "../layout/vtd-faults";
import { IOTLB_ORIGIN, TABLE_VALUE } from "../layout/vtd-caches";
import { CAP } from "../layout/vtd-capabilities";
import { LEAF, PATH, PATH_STEP, SLOT, VTD } from "../layout/vtd-unit";
import { fault } from "./faults";
import { uncommon } from "./kind";
import { heldLevel, heldTable, isCached, keepTables, noteLevel, noteLevels } from "./held";
import { check, fetch, isMissing, marks, notes, step } from "../modes";

/** The rules' names: LSS.* and LGN.*, or SSS.*. */
export type Legacy = f32;
export type Scalable = i32;

/** Level 1 links no tables. */
const LOWEST_TABLE = 2;

/** What no leaf can be: a leaf has a permission. */
export const NO_LEAF: u64 = 0;

/**
 * Walks from `root` down to the leaf of `input`, which is within the limit.
 *
 * Gives the leaf as the whole path grants it (see LEAF), or NO_LEAF with the fault in `result`. The
 * caller compares permissions, which differ by purpose.
 */
// @ts-ignore: decorator
@inline
export function secondStage<T, M>(
  unit: usize, result: usize, flags: u32, met: u64, root: u64, aw: i32, did: u64, input: u64,
): u64 {
  const rights = load<u64>(unit, VTD.SS_RIGHTS);
  const top = aw + AW_BASE_LEVELS;
  let table = root;
  let level = top;
  let granted: u64 = -1;
  if (isCached<T>()) {
    const tables = load<u32>(unit, VTD.SS_TABLES);
    const held = heldTable(unit, tables, did, 0, input, top, IOTLB_ORIGIN.SS);
    if (held >= 0) {
      table = load<u64>(valueOf(tables, held), TABLE_VALUE.ENTRY) & mask(SSPTE.ADDR);
      granted = load<u64>(valueOf(tables, held), TABLE_VALUE.GRANTED);
      level = heldLevel(tables, held) - 1;
    }
    store<u32>(unit, level, VTD.SS_FROM);
    store<u64>(unit, granted, VTD.SS_GRANTED);
  }
  let shift: u64 = PAGE_SHIFT - PTE_SHIFT + LEVEL_BITS * (level - 1);
  let entry: u64 = 0;
  let above: u64 = 0;
  while (true) {
    const at = table + ((input >> shift) & mask(TABLE_OFFSET.ENTRY));
    const ptr = fetch<T>(unit, at, 8, SLOT.SSPTE);
    step<T>(unit, STRUCTURE.SSPTE, 2, level, at, (at & mask(TABLE_OFFSET.ENTRY)) >> PTE_SHIFT, ptr, 1);
    // § SSS.1, SSS.4
    if (check<T>(unit, accessCheck<M>(level == top), isMissing<T>(ptr))) {
      fault<T>(result, flags, accessCheck<M>(level == top), met, at, 0, 2, level);
      return NO_LEAF;
    }
    entry = load<u64>(ptr);
    granted &= entry;
    // `Fast` looks at the whole path at once, when it has reached the end.
    if (marks<T>()) {
      // § SSS.2, LGN.2, LGN.3
      if (check<T>(unit, rightsCheck<M>(flags), !(entry & rights))) {
        fault<T>(result, flags, rightsCheck<M>(flags), met, at, entry, 2, level);
        return NO_LEAF;
      }
      // § LSS.2
      if (check<T>(unit, isFloat<M>() ? CHECK.LSS_2 : CHECK.SSS_3, (entry & reservedIn(unit, entry, level)) != 0)) {
        fault<T>(result, flags, isFloat<M>() ? CHECK.LSS_2 : CHECK.SSS_3, met, at, entry, 2, level);
        return NO_LEAF;
      }
      // § SSS.2, LGN.2, LGN.3
      if (check<T>(unit, rightsCheck<M>(flags), !(granted & rights))) {
        fault<T>(result, flags, rightsCheck<M>(flags), met, at, entry, 2, level);
        return NO_LEAF;
      }
      const path = unit + VTD.SS_PATH + level * PATH_STEP;
      store<u64>(path, at, PATH.ADDRESS);
      store<u64>(path, entry, PATH.ENTRY);
    }
    if (notes<T>()) noteLevel(unit, IOTLB_ORIGIN.SS, level, at);
    if (level == 1) break;
    if (has(entry, SSPTE.PS)) break;
    above |= entry;
    table = entry & mask(SSPTE.ADDR);
    level--;
    shift -= LEVEL_BITS;
  }
  if (notes<T>()) noteLevels(unit, IOTLB_ORIGIN.SS, top, level);
  if (!marks<T>()) {
    // § SSS.2, SSS.3; a table's mask is the same on all levels where PS = 0 makes it one
    if ((entry & reservedIn(unit, entry, level)) | (above & reservedIn(unit, 0, LOWEST_TABLE))) return NO_LEAF;
    if (!(granted & rights)) return NO_LEAF;
  }
  const along = mask(SSPTE.R) | mask(SSPTE.W) | mask(SSPTE.IR) | mask(SSPTE.IW) | mask(SSPTE.A);
  return (entry & ~(along | mask(LEAF.SHIFT))) | (granted & along) | place(LEAF.SHIFT, shift + PTE_SHIFT);
}

/** Reserved bits of an entry of `level`; on level 1 PS does not count and both masks are the same. */
// @ts-ignore: decorator
@inline
function reservedIn(unit: usize, entry: u64, level: i32): u64 {
  return element(unit + VTD.SS_R, 2 * level + <u32>get(entry, SSPTE.PS));
}

// @ts-ignore: decorator
@inline
function accessCheck<M>(top: bool): i32 {
  if (isFloat<M>()) return top ? CHECK.LCT_4_3 : CHECK.LSS_1;
  return top ? CHECK.SSS_4 : CHECK.SSS_1;
}

/** Without any right, legacy mode names the one that was wanted; a translation request wants both. */
// @ts-ignore: decorator
@inline
function rightsCheck<M>(flags: u32): i32 {
  if (isFloat<M>()) return flags & REQUEST_FLAG.WRITE ? CHECK.LGN_2 : CHECK.LGN_3;
  return CHECK.SSS_2;
}

/**
 * 0, or the check that says why the leaf does not serve the request itself; a translation request is
 * told what is granted instead.
 */
// @ts-ignore: decorator
@inline
export function secondStageRefuses<T, M>(unit: usize, flags: u32, leaf: u64): u32 {
  if (uncommon<T>(flags) & REQUEST_FLAG.TRANSLATION) return 0;
  const rights = rightsOf(unit, leaf);
  // REQUEST_FLAG.READ and WRITE are where PERMISSION has READ and WRITE.
  const missing = flags & (PERMISSION.READ | PERMISSION.WRITE) & ~rights;
  if (!marks<T>()) return missing;
  // § LGN.2
  const noWrite = isFloat<M>() ? CHECK.LGN_2 : CHECK.SGN_6;
  if (check<T>(unit, noWrite, (missing & PERMISSION.WRITE) != 0)) return noWrite;
  // § LGN.3
  const noRead = isFloat<M>() ? CHECK.LGN_3 : CHECK.SGN_7;
  const mayWrite = (rights & PERMISSION.WRITE) != 0;
  const refused = (missing & PERMISSION.READ) != 0 && !(mayWrite && mayReadNothing(unit, flags));
  return check<T>(unit, noRead, refused) ? noRead : 0;
}

/** A zero-length read, where CAP.ZLR lets it pass on write permission. */
export function mayReadNothing(unit: usize, flags: u32): bool {
  const kind = flags & (REQUEST_FLAG.ZERO_LENGTH | REQUEST_FLAG.WRITE);
  return kind == REQUEST_FLAG.ZERO_LENGTH && has(load<u64>(unit, VTD.CAP), CAP.ZLR);
}

/** PERMISSION bits of a leaf. */
// @ts-ignore: decorator
@inline
export function rightsOf(unit: usize, leaf: u64): u32 {
  return <u32>(leaf >> load<u64>(unit, VTD.SS_RIGHTS_AT)) & (PERMISSION.READ | PERMISSION.WRITE);
}

/** The same for the request: a translation request gets no write permission that it did not ask for. */
// @ts-ignore: decorator
@inline
export function secondStagePermissions<T>(unit: usize, flags: u32, leaf: u64): u32 {
  const rights = rightsOf(unit, leaf);
  return asksWrite<T>(flags) ? rights : rights & ~PERMISSION.WRITE;
}

/** Whether write permission is of interest: always, except to a translation request with NW = 1. */
// @ts-ignore: decorator
@inline
export function asksWrite<T>(flags: u32): bool {
  return !marks<T>() || !(flags & REQUEST_FLAG.TRANSLATION) || (flags & REQUEST_FLAG.WRITE) != 0;
}

/** log2 of the bytes a leaf maps. */
// @ts-ignore: decorator
@inline
export function leafShift(leaf: u64): u64 {
  return get(leaf, LEAF.SHIFT);
}

/** Level of a leaf. */
export function leafLevel(leaf: u64): i32 {
  return (<i32>get(leaf, LEAF.SHIFT) - PAGE_SHIFT) / LEVEL_BITS + 1;
}

/** Where `input` ends up through a leaf; both stages keep the page's address at the same place. */
// @ts-ignore: decorator
@inline
export function outputAddress(leaf: u64, shift: u64, input: u64): u64 {
  const within = (<u64>1 << shift) - 1;
  return (leaf & mask(FSPTE.ADDR) & ~within) | (input & within);
}

/** Bits that a second-stage leaf's path must have when SSADE = 1. */
// @ts-ignore: decorator
@inline
export function secondStageMarks(write: bool): u64 {
  return mask(SSPTE.A) | (write ? mask(SSPTE.D) : 0);
}

/** Holds the tables that the second stage walked last, down to `leaf`. */
export function keepSecondTables(unit: usize, flags: u32, did: u64, aw: i32, input: u64, leaf: u64): void {
  if (flags & REQUEST_FLAG.PROBE) return;
  keepTables(
    unit, load<u32>(unit, VTD.SS_TABLES), did, 0, input, unit + VTD.SS_PATH, IOTLB_ORIGIN.SS, aw + AW_BASE_LEVELS,
    load<i32>(unit, VTD.SS_FROM), leafLevel(leaf), load<u64>(unit, VTD.SS_GRANTED), mask(SSPTE.A),
  );
}
