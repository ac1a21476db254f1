/**
 * What invalidation commands remove, no less than they must and hardly more.
 *
 * VT-d rev 5.10, 6.5 "Invalidation of Translation Caches"; granularities as in the descriptors.
 */
import { clear, drop, firstKey, secondKey, span, valueOf } from "../caches";
import { below, get, ones, word } from "../bits";
import { RESULT } from "../layout/core";
import { CONTEXT, FS_ADDRESS_BITS_4, LEVEL_BITS, PAGE_SHIFT, PASID, PGTT, SOURCE_ID } from "../layout/vtd";
import { PAGE_KEY } from "../layout/caches";
import { KEY } from "../layout/vtd-caches";
import { P_IOTLB_G, PC_G } from "../layout/vtd-descriptors";
import { GRANULARITY } from "../layout/vtd-registers";
import { VTD, VTD_TAGS } from "../layout/vtd-unit";

/** Removes everything that was cached for DMA. */
export function vtdInvalidateAll(unit: usize): void {
  if (!load<u32>(unit, VTD.IOTLB)) return;
  clear(load<u32>(unit, VTD.IOTLB));
  clearIfAny(load<u32>(unit, VTD.CONTEXTS));
  clearIfAny(load<u32>(unit, VTD.PASIDS));
  clearIfAny(load<u32>(unit, VTD.FS_TABLES));
  clearIfAny(load<u32>(unit, VTD.SS_TABLES));
}

/** The caches behind the IOTLB need not be there. */
function clearIfAny(cache: usize): void {
  if (cache) clear(cache);
}

/**
 * Context cache: all, a domain, or a device.
 * @param functionMask FM: 0 to 3 low bits of the function number do not count, from bit 2 down
 * @param legacy the entries have domains; a scalable context entry has none, so a domain means all
 */
export function vtdInvalidateContext(
  unit: usize, granularity: u32, did: u32, sid: u32, functionMask: u32, legacy: bool,
): void {
  const contexts = load<u32>(unit, VTD.CONTEXTS);
  if (!contexts) return;
  if (granularity == GRANULARITY.GLOBAL || (granularity == GRANULARITY.DOMAIN && !legacy)) {
    clear(contexts);
    return;
  }
  const counts = ~ignoredFunctions(functionMask);
  for (let i = 0, n = span(contexts); i < n; i++) {
    const key = secondKey(contexts, i);
    if (!key) continue;
    const other = legacy && get(word(valueOf(contexts, i), CONTEXT.DID), CONTEXT.DID) != did;
    const device = ((<u32>firstKey(contexts, i) ^ sid) & counts) == 0;
    if (!other && (granularity == GRANULARITY.DOMAIN || device)) drop(contexts, i);
  }
}

/** FM = 1: function bit 2; 2: bits 2:1; 3: bits 2:0. */
function ignoredFunctions(functionMask: u32): u32 {
  const all = <u32>ones(SOURCE_ID.FUNCTION);
  return all & ~<u32>below(popcnt<i32>(all) - functionMask);
}

/** PASID cache: all, a domain, or a PASID in a domain. */
export function vtdInvalidatePasid(unit: usize, granularity: u32, did: u32, pasid: u32): void {
  const pasids = load<u32>(unit, VTD.PASIDS);
  if (!pasids) return;
  if (granularity == PC_G.GLOBAL) {
    clear(pasids);
    return;
  }
  for (let i = 0, n = span(pasids); i < n; i++) {
    const key = secondKey(pasids, i);
    if (!key || get(word(valueOf(pasids, i), PASID.DID), PASID.DID) != did) continue;
    if (granularity == PC_G.DOMAIN || get(key, KEY.PASID) == pasid) drop(pasids, i);
  }
}

/** IOTLB and paging-structure caches: all, a domain, or 2^addressMask pages of a domain's second stage. */
export function vtdInvalidateIotlb(
  unit: usize, granularity: u32, did: u32, low: u32, high: u32, addressMask: u32, leavesOnly: bool,
): void {
  const iotlb = load<u32>(unit, VTD.IOTLB);
  if (!iotlb) return;
  if (granularity == GRANULARITY.GLOBAL) {
    clear(iotlb);
    clearIfAny(load<u32>(unit, VTD.FS_TABLES));
    clearIfAny(load<u32>(unit, VTD.SS_TABLES));
    return;
  }
  const address = (<u64>high << 32) | <u64>low;
  const shift = PAGE_SHIFT + addressMask;
  const pages = granularity == GRANULARITY.SELECTIVE;
  for (let i = 0, n = span(iotlb); i < n; i++) {
    if (!secondKey(iotlb, i)) continue;
    const tags = load<u32>(valueOf(iotlb, i), RESULT.TAGS);
    if (get(tags, VTD_TAGS.DID) != did) continue;
    // An address names a page of the second stage or of pass-through; first-stage entries all go.
    const named = !pages || usesFirstStage(tags) || meetsPage(firstKey(iotlb, i), address, shift);
    if (named) drop(iotlb, i);
  }
  dropTables(load<u32>(unit, VTD.FS_TABLES), did, 0, false, 0, EVERYWHERE);
  if (pages && leavesOnly) return;
  dropTables(load<u32>(unit, VTD.SS_TABLES), did, 0, false, address, pages ? shift : EVERYWHERE);
}

/** IOTLB and first-stage caches of a PASID in a domain: all of it, or 2^addressMask pages. */
export function vtdInvalidatePasidIotlb(
  unit: usize, granularity: u32, did: u32, pasid: u32, low: u32, high: u32, addressMask: u32, leavesOnly: bool,
): void {
  const iotlb = load<u32>(unit, VTD.IOTLB);
  if (!iotlb) return;
  const address = (<u64>high << 32) | <u64>low;
  const shift = PAGE_SHIFT + addressMask;
  const pages = granularity == P_IOTLB_G.PAGE;
  for (let i = 0, n = span(iotlb); i < n; i++) {
    if (!secondKey(iotlb, i)) continue;
    const value = valueOf(iotlb, i);
    const tags = load<u32>(value, RESULT.TAGS);
    // Without PASID, RID_PASID is the tag.
    if (get(tags, VTD_TAGS.DID) != did || load<u32>(value, RESULT.PASID) != pasid) continue;
    const named = usesFirstStage(tags) && meetsPage(firstKey(iotlb, i), address, shift);
    if (!pages || named) drop(iotlb, i);
  }
  if (pages && leavesOnly) return;
  dropTables(load<u32>(unit, VTD.FS_TABLES), did, pasid, true, address, pages ? shift : EVERYWHERE);
}

/** A shift that names every address. */
const EVERYWHERE: u32 = 64;

function usesFirstStage(tags: u32): bool {
  const pgtt = <u32>get(tags, VTD_TAGS.PGTT);
  return pgtt == PGTT.FIRST_STAGE || pgtt == PGTT.NESTED;
}

/** Whether a page of the IOTLB and 2^shift bytes around `address` meet. */
function meetsPage(page: u64, address: u64, shift: u32): bool {
  return meets(page, get(page, PAGE_KEY.SHIFT), address, shift);
}

/**
 * Whether 2^shift bytes around `one` and 2^otherShift bytes around `other` meet. Only the bits that the
 * narrowest address width has are compared: sign bits need not agree.
 */
function meets(one: u64, shift: u64, other: u64, otherShift: u32): bool {
  const at = max<u64>(shift, otherShift);
  if (<i32>at >= FS_ADDRESS_BITS_4) return true;
  return (((one ^ other) >> at) & (below(FS_ADDRESS_BITS_4) >> at)) == 0;
}

/** Removes paging-structure entries of a domain (and PASID) that lie on the way to the addresses. */
function dropTables(tables: usize, did: u32, pasid: u32, ofPasid: bool, address: u64, shift: u32): void {
  if (!tables) return;
  for (let i = 0, n = span(tables); i < n; i++) {
    const key = secondKey(tables, i);
    if (!key || get(key, KEY.DID) != did || (ofPasid && get(key, KEY.PASID) != pasid)) continue;
    const reach = PAGE_SHIFT - LEVEL_BITS + LEVEL_BITS * get(key, KEY.LEVEL);
    if (shift >= EVERYWHERE || meets(firstKey(tables, i) << reach, reach, address, shift)) drop(tables, i);
  }
}
