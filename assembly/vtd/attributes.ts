/**
 * Memory type and snooping of the final page.
 *
 * VT-d rev 5.10, 3.11 "Memory Type"; MTRRs belong to the platform and are taken as WB.
 * The combination of EMT with PAT follows the table of effective memory types in the Intel SDM, vol. 3.
 */
import { get, has, mask, moved, place, word } from "../bits";
import { FSPTE, MEMORY_TYPE, PAGE_SHIFT, PASID, PAT_SLOT_BITS, SSPTE } from "../layout/vtd";
import { ECAP } from "../layout/vtd-capabilities";
import { LEAF, VTD, VTD_ATTRIBUTES } from "../layout/vtd-unit";

/** RESULT.ATTRIBUTES in legacy mode. */
// @ts-ignore: decorator
@inline
export function legacyAttributes(leaf: u64): u64 {
  return attributes(MEMORY_TYPE.WB, secondSnoop(leaf));
}

/** RESULT.ATTRIBUTES of a page of the first stage alone. */
// @ts-ignore: decorator
@inline
export function firstStageAttributes(unit: usize, entry: usize, leaf: u64): u64 {
  let type: u64 = MEMORY_TYPE.WB;
  const control = word(entry, PASID.CD);
  if (has(load<u64>(unit, VTD.ECAP), ECAP.MTS)) {
    type = has(control, PASID.CD) ? MEMORY_TYPE.UC : overWriteBack(patType(control, leaf));
  }
  return attributes(type, firstSnoop(control));
}

/** The same of the second stage alone. Without ECAP.MTS, CD and EMTE are reserved. */
// @ts-ignore: decorator
@inline
export function secondStageAttributes(entry: usize, leaf: u64): u64 {
  const control = word(entry, PASID.CD);
  let type: u64 = MEMORY_TYPE.WB;
  if (control & (mask(PASID.CD) | mask(PASID.EMTE))) {
    type = has(control, PASID.CD) ? MEMORY_TYPE.UC : get(leaf, SSPTE.EMT);
  }
  return attributes(type, firstSnoop(control) | secondSnoop(leaf));
}

/** The same of both. */
// @ts-ignore: decorator
@inline
export function nestedAttributes(unit: usize, entry: usize, first: u64, second: u64): u64 {
  const control = word(entry, PASID.CD);
  const type = has(load<u64>(unit, VTD.ECAP), ECAP.MTS) ? nestedType(control, first, second) : <u64>MEMORY_TYPE.WB;
  return attributes(type, firstSnoop(control) | secondSnoop(second));
}

/** The same of a pass-through page. */
// @ts-ignore: decorator
@inline
export function passThroughAttributes(entry: usize): u64 {
  return attributes(MEMORY_TYPE.WB, firstSnoop(word(entry, PASID.PGSNP)));
}

// @ts-ignore: decorator
@inline
function attributes(type: u64, snoop: u64): u64 {
  return place(VTD_ATTRIBUTES.TYPE, type) | snoop;
}

/** What a PASID entry, by its word 1, and what a second-stage leaf have to say about SNOOP, at its place. */
// @ts-ignore: decorator
@inline
function firstSnoop(control: u64): u64 {
  return moved(control, PASID.PGSNP, VTD_ATTRIBUTES.SNOOP);
}

// @ts-ignore: decorator
@inline
function secondSnoop(leaf: u64): u64 {
  return moved(leaf, SSPTE.SNP, VTD_ATTRIBUTES.SNOOP);
}

// @ts-ignore: decorator
@inline
function nestedType(control: u64, first: u64, second: u64): u64 {
  if (has(control, PASID.CD)) return MEMORY_TYPE.UC;
  const emt = has(control, PASID.EMTE) ? get(second, SSPTE.EMT) : MEMORY_TYPE.WB;
  if (has(control, PASID.EMTE) && has(second, SSPTE.IPAT)) return emt;
  return combine(emt, patType(control, first));
}

/** The PAT slot that a first-stage leaf names. */
// @ts-ignore: decorator
@inline
function patType(control: u64, leaf: u64): u64 {
  const pat = get(leaf, LEAF.SHIFT) == PAGE_SHIFT ? get(leaf, FSPTE.PAT) : get(leaf, FSPTE.PAT_LARGE);
  const slot = get(leaf, FSPTE.PWT) + 2 * get(leaf, FSPTE.PCD) + 4 * pat;
  return (get(control, PASID.PAT) >> (slot * PAT_SLOT_BITS)) & <u64>MEMORY_TYPE.UC_MINUS;
}

/** Effective type of a PAT type where nothing else counts. */
// @ts-ignore: decorator
@inline
function overWriteBack(pat: u64): u64 {
  return pat == MEMORY_TYPE.UC_MINUS ? MEMORY_TYPE.UC : pat;
}

/** Effective type of an MTRR-like type and a PAT type. */
// @ts-ignore: decorator
@inline
function combine(base: u64, pat: u64): u64 {
  if (pat == MEMORY_TYPE.UC) return MEMORY_TYPE.UC;
  if (pat == MEMORY_TYPE.WC) return MEMORY_TYPE.WC;
  if (pat == MEMORY_TYPE.UC_MINUS) {
    return base == MEMORY_TYPE.WC || base == MEMORY_TYPE.WP ? MEMORY_TYPE.WC : MEMORY_TYPE.UC;
  }
  if (base == MEMORY_TYPE.UC) return MEMORY_TYPE.UC;
  if (base == MEMORY_TYPE.WC) return pat == MEMORY_TYPE.WB ? MEMORY_TYPE.WC : MEMORY_TYPE.UC;
  if (pat == MEMORY_TYPE.WB) return base;
  return pat;
}
