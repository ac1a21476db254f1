/**
 * Scalable mode: from the PASID through directory and table to its entry.
 *
 * VT-d rev 5.10, 9.5 "PASID Directory Entry" and 9.6 "PASID-Table Entry"; conditions SPD.* and SPT.*.
 */
import { element, get, has, mask, meets8, word } from "../bits";
import { PASID, PASIDDIR, PASIDDIR_BYTES, PASID_BYTES, PASID_INDEX, PASID_PART, PGTT, SCONTEXT } from "../layout/vtd";
import { CHECK, STRUCTURE } from "../layout/vtd-faults";
import { IOTLB_ORIGIN } from "../layout/vtd-caches";
import { SLOT, VTD } from "../layout/vtd-unit";
import { fault } from "./faults";
import { isCached, keepPasid, met as metOrigin } from "./held";
import { walkEntry } from "./scalable";
import { firstWord } from "../memory";
import { check, fetch, fetchEntry, isMissing, marks, notes, step } from "../modes";

/** P1 to P4: the directory entry of PASID `id`. */
// @ts-ignore: decorator
@inline
export function walkDirectory<T>(
  unit: usize, context: u64, sid: u32, id: u32, address: u64, kind: u32, flags: u32, result: usize,
): u32 {
  const index = get(id, PASID_INDEX.DIRECTORY);
  const at = (context & mask(SCONTEXT.PASIDDIRPTR)) + index * PASIDDIR_BYTES;
  const ptr = fetch<T>(unit, at, PASIDDIR_BYTES, SLOT.PASIDDIR);
  step<T>(unit, STRUCTURE.PASIDDIR, 0, 0, at, index, ptr, 1);
  // § SPD.1
  if (check<T>(unit, CHECK.SPD_1, isMissing<T>(ptr))) {
    return fault<T>(result, flags, CHECK.SPD_1, context, at, 0, 0, 0);
  }
  if (notes<T>()) store<u64>(metOrigin(unit, IOTLB_ORIGIN.DIRECTORY), at);
  const entry = load<u64>(ptr);
  // § SPD.2
  if (check<T>(unit, CHECK.SPD_2, !has(entry, PASIDDIR.P))) {
    return fault<T>(result, flags, CHECK.SPD_2, context | entry, at, entry, 0, 0);
  }
  // § SPD.3
  if (check<T>(unit, CHECK.SPD_3, (entry & load<u64>(unit, VTD.PASIDDIR_R0)) != 0)) {
    return fault<T>(result, flags, CHECK.SPD_3, context | entry, at, entry, 0, 0);
  }
  return walkTable<T>(unit, context, entry, sid, id, address, kind, flags, result);
}

/** P5 to P8: the table entry. */
// @ts-ignore: decorator
@inline
function walkTable<T>(
  unit: usize, context: u64, directory: u64, sid: u32, id: u32, address: u64, kind: u32, flags: u32, result: usize,
): u32 {
  const index = get(id, PASID_INDEX.TABLE);
  const at = (directory & mask(PASIDDIR.SMPTBLPTR)) + index * PASID_BYTES;
  const ptr = fetchEntry<T>(unit, at, PASID_BYTES, SLOT.PASID);
  step<T>(unit, STRUCTURE.PASID, 0, 0, at, index, ptr, 8);
  const met = context | directory;
  // § SPT.1
  if (check<T>(unit, CHECK.SPT_1, isMissing<T>(ptr))) {
    return fault<T>(result, flags, CHECK.SPT_1, met, at, 0, 0, 0);
  }
  if (notes<T>()) store<u64>(metOrigin(unit, IOTLB_ORIGIN.PASID), at);
  const entry = firstWord(ptr);
  // § SPT.2
  if (check<T>(unit, CHECK.SPT_2, !has(entry, PASID.P))) {
    return fault<T>(result, flags, CHECK.SPT_2, met | entry, at, entry, 0, 0);
  }
  // § SPT.3
  if (check<T>(unit, CHECK.SPT_3, hasReserved(unit, ptr, has(context, SCONTEXT.HPTE)))) {
    return fault<T>(result, flags, CHECK.SPT_3, met | entry, at, entry, 0, 0);
  }
  // § SPT.4
  if (marks<T>()) {
    const illegal = illegalType<T>(unit, ptr, entry);
    if (illegal) return fault<T>(result, flags, illegal, met | entry, at, entry, 0, 0);
  }
  if (isCached<T>()) keepPasid(unit, flags, sid, id, directory, ptr);
  return walkEntry<T>(unit, met, ptr, id, address, kind, flags, result);
}

/** PGTT of a PASID entry, or 0 where that, or the AW that it needs, is illegal. */
// @ts-ignore: decorator
@inline
export function typeOf(unit: usize, entry: u64): u32 {
  return load<u8>(unit + <usize>get(entry, PASID_PART.TYPE), VTD.TYPES);
}

// @ts-ignore: decorator
@inline
function hasReserved(unit: usize, ptr: usize, hpte: bool): bool {
  if (meets8(ptr, unit + VTD.PASID_R0)) return true;
  if (hpte && word(ptr, PASID.HPTDID) & load<u64>(unit, VTD.HPTDID_R)) return true;
  // The domain that the hardware keeps for itself.
  return get(word(ptr, PASID.DID), PASID.DID) == <u64>load<u32>(unit, VTD.HARDWARE_DID);
}

/** 0, or the check that the type, or a width it needs, fails. */
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
    if (check<T>(unit, CHECK.SPT_4_4, (root & element(unit + VTD.SS_BEYOND, aw)) != 0)) return CHECK.SPT_4_4;
  }
  return 0;
}
