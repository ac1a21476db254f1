/**
 * Memory type and snooping of the final page.
 *
 * VT-d rev 5.10, 3.6.5, 3.7.3 and 3.8.2 "Memory Type"; MTRRs belong to the platform and are taken as WB.
 * The combination of EMT with PAT follows the table of effective memory types in the Intel SDM, vol. 3.
 */
import { get, has, put, word } from "../bits";
import { FSPTE, MEMORY_TYPE, PASID, PAT_SLOT_BITS, PGTT, SSPTE } from "../layout/vtd";
import { ECAP } from "../layout/vtd-registers";
import { LEAF, VTD, VTD_ATTRIBUTES } from "../layout/vtd-unit";

/** RESULT.ATTRIBUTES in legacy mode. */
// @ts-ignore: decorator
@inline
export function legacyAttributes(leaf: u64): u64 {
  return put(put(0, VTD_ATTRIBUTES.TYPE, MEMORY_TYPE.WB), VTD_ATTRIBUTES.SNOOP, get(leaf, SSPTE.SNP));
}

/** RESULT.ATTRIBUTES of a page that a PASID entry leads to; a leaf of a stage not walked is 0. */
// @ts-ignore: decorator
@inline
export function attributesOf(unit: usize, entry: usize, firstLeaf: u64, secondLeaf: u64): u64 {
  let type: u64 = MEMORY_TYPE.WB;
  if (has(load<u64>(unit, VTD.ECAP), ECAP.MTS)) type = memoryType(entry, firstLeaf, secondLeaf);
  const snoop = get(word(entry, PASID.PGSNP), PASID.PGSNP) | get(secondLeaf, SSPTE.SNP);
  return put(put(0, VTD_ATTRIBUTES.TYPE, type), VTD_ATTRIBUTES.SNOOP, snoop);
}

function memoryType(entry: usize, firstLeaf: u64, secondLeaf: u64): u64 {
  const control = word(entry, PASID.CD);
  const pgtt = <i32>get(word(entry, PASID.PGTT), PASID.PGTT);
  if (pgtt == PGTT.PASS_THROUGH) return MEMORY_TYPE.WB;
  if (has(control, PASID.CD)) return MEMORY_TYPE.UC;
  const emt = has(control, PASID.EMTE) ? get(secondLeaf, SSPTE.EMT) : MEMORY_TYPE.WB;
  if (pgtt == PGTT.SECOND_STAGE) return emt;
  const pat = patType(control, firstLeaf);
  if (pgtt == PGTT.FIRST_STAGE) return combine(MEMORY_TYPE.WB, pat);
  if (has(control, PASID.EMTE) && has(secondLeaf, SSPTE.IPAT)) return emt;
  return combine(emt, pat);
}

/** The PAT slot that a first-stage leaf names. */
function patType(control: u64, leaf: u64): u64 {
  const pat = get(leaf, LEAF.LEVEL) == 1 ? get(leaf, FSPTE.PAT) : get(leaf, FSPTE.PAT_LARGE);
  const slot = get(leaf, FSPTE.PWT) + 2 * get(leaf, FSPTE.PCD) + 4 * pat;
  return (get(control, PASID.PAT) >> (slot * PAT_SLOT_BITS)) & <u64>MEMORY_TYPE.UC_MINUS;
}

/** Effective type of an MTRR-like type and a PAT type. */
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
