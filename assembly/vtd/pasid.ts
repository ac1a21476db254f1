/**
 * Scalable mode: from the PASID through directory and table to its entry.
 *
 * VT-d rev 5.10, 9.5 "PASID Directory Entry" and 9.6 "PASID-Table Entry"; conditions SPD.* and SPT.*.
 */
import { element, get, has, mask, word } from "../bits";
import { PASID, PASIDDIR, PASIDDIR_BYTES, PASID_BYTES, PASID_INDEX, PASID_RESERVED, PGTT, SCONTEXT } from "../layout/vtd";
import { CHECK, STRUCTURE } from "../layout/vtd-faults";
import { CAP } from "../layout/vtd-registers";
import { IOTLB_ORIGIN } from "../layout/vtd-caches";
import { SLOT, VTD } from "../layout/vtd-unit";
import { fault } from "./faults";
import { met as metOrigin } from "./held";
import { check, fetch, isMissing, notes, step } from "../modes";

/** The directory entry, or 0 with the fault in `result`. */
// @ts-ignore: decorator
@inline
export function pasidDirectory<T>(unit: usize, result: usize, flags: u32, context: usize, pasid: u32): u64 {
  const first = load<u64>(context);
  const index = get(pasid, PASID_INDEX.DIRECTORY);
  const at = (first & mask(SCONTEXT.PASIDDIRPTR)) + index * PASIDDIR_BYTES;
  const ptr = fetch<T>(unit, at, PASIDDIR_BYTES, SLOT.PASIDDIR);
  step<T>(unit, STRUCTURE.PASIDDIR, 0, 0, at, index, ptr, 1);
  // § P1
  if (check<T>(unit, CHECK.SPD_1, isMissing<T>(ptr))) {
    fault<T>(result, flags, CHECK.SPD_1, first, at, 0, 0, 0);
    return 0;
  }
  if (notes<T>()) store<u64>(metOrigin(unit, IOTLB_ORIGIN.DIRECTORY), at);
  const entry = load<u64>(ptr);
  // § P2, P3
  if (check<T>(unit, CHECK.SPD_2, !has(entry, PASIDDIR.P))) {
    fault<T>(result, flags, CHECK.SPD_2, first | entry, at, entry, 0, 0);
    return 0;
  }
  // § P4
  if (check<T>(unit, CHECK.SPD_3, (entry & load<u64>(unit, VTD.PASIDDIR_R0)) != 0)) {
    fault<T>(result, flags, CHECK.SPD_3, first | entry, at, entry, 0, 0);
    return 0;
  }
  return entry;
}

/** Pointer to the table entry, or 0 with the fault in `result`. `met`: context and directory entry. */
// @ts-ignore: decorator
@inline
export function pasidEntry<T>(
  unit: usize, result: usize, flags: u32, met: u64, directory: u64, pasid: u32, hpte: bool,
): usize {
  const index = get(pasid, PASID_INDEX.TABLE);
  const at = (directory & mask(PASIDDIR.SMPTBLPTR)) + index * PASID_BYTES;
  const ptr = fetch<T>(unit, at, PASID_BYTES, SLOT.PASID);
  step<T>(unit, STRUCTURE.PASID, 0, 0, at, index, ptr, 8);
  // § P5
  if (check<T>(unit, CHECK.SPT_1, isMissing<T>(ptr))) {
    fault<T>(result, flags, CHECK.SPT_1, met, at, 0, 0, 0);
    return 0;
  }
  if (notes<T>()) store<u64>(metOrigin(unit, IOTLB_ORIGIN.PASID), at);
  const entry = load<u64>(ptr);
  // § P6
  if (check<T>(unit, CHECK.SPT_2, !has(entry, PASID.P))) {
    fault<T>(result, flags, CHECK.SPT_2, met | entry, at, entry, 0, 0);
    return 0;
  }
  // § P7
  if (check<T>(unit, CHECK.SPT_3, hasReserved(unit, ptr, entry, hpte))) {
    fault<T>(result, flags, CHECK.SPT_3, met | entry, at, entry, 0, 0);
    return 0;
  }
  // § P8
  const illegal = illegalType<T>(unit, ptr, entry);
  if (illegal) {
    fault<T>(result, flags, illegal, met | entry, at, entry, 0, 0);
    return 0;
  }
  return ptr;
}

// @ts-ignore: decorator
@inline
function hasReserved(unit: usize, ptr: usize, entry: u64, hpte: bool): bool {
  const domain = word(ptr, PASID.DID);
  const reserved = (entry & load<u64>(unit, VTD.PASID_R0)) |
    (domain & load<u64>(unit, VTD.PASID_R1)) |
    (word(ptr, PASID.FSPTPTR) & load<u64>(unit, VTD.PASID_R2)) |
    word(ptr, PASID_RESERVED.R6) |
    (word(ptr, PASID.HPTPTR) & load<u64>(unit, VTD.PASID_R4)) |
    (word(ptr, PASID.HPTDID) & load<u64>(unit, VTD.PASID_R5)) |
    word(ptr, PASID_RESERVED.R9) | word(ptr, PASID_RESERVED.R10);
  if (reserved) return true;
  if (hpte && (word(ptr, PASID.HPTDID) & load<u64>(unit, VTD.HPTDID_R)) != 0) return true;
  // In caching mode domain 0 is the hardware's own.
  return !get(domain, PASID.DID) && has(load<u64>(unit, VTD.CAP), CAP.CM);
}

/** 0, or the check that the type, or a width it needs, fails. */
// @ts-ignore: decorator
@inline
function illegalType<T>(unit: usize, ptr: usize, entry: u64): u32 {
  const pgtt = <u32>get(entry, PASID.PGTT);
  if (check<T>(unit, CHECK.SPT_4_2, !((load<u32>(unit, VTD.PGTTS) >> pgtt) & 1))) return CHECK.SPT_4_2;
  const aw = <u32>get(entry, PASID.AW);
  if (pgtt == PGTT.SECOND_STAGE || pgtt == PGTT.NESTED) {
    if (check<T>(unit, CHECK.SPT_4_1, !((load<u32>(unit, VTD.AWS) >> aw) & 1))) return CHECK.SPT_4_1;
  }
  if (pgtt == PGTT.FIRST_STAGE || pgtt == PGTT.NESTED) {
    const fspm = <u32>get(word(ptr, PASID.FSPM), PASID.FSPM);
    if (check<T>(unit, CHECK.SPT_4_3, fspm > load<u32>(unit, VTD.MAX_FSPM))) return CHECK.SPT_4_3;
  }
  if (pgtt == PGTT.NESTED) {
    const root = word(ptr, PASID.FSPTPTR) & mask(PASID.FSPTPTR);
    const beyond = element(unit + VTD.SS_BEYOND, aw);
    if (check<T>(unit, CHECK.SPT_4_4, (root & beyond) != 0)) return CHECK.SPT_4_4;
  }
  return 0;
}
