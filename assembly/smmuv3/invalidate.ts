/**
 * What invalidation commands remove: no less than they must, and hardly more.
 * IHI 0070 4.3 "Configuration structure invalidation", 4.4 "TLB invalidation"; section 6.1 here, X1 to X9.
 */
import { clear, drop, firstKey, secondKey, span, valueOf } from "../caches";
import { below, get } from "../bits";
import { PAGE_KEY, REQUESTER } from "../layout/caches";
import { RESULT } from "../layout/core";
import { VA } from "../layout/smmuv3";
import { CONFIG_KEY, TRANSLATION_KEY } from "../layout/smmuv3-caches";
import { OPCODE } from "../layout/smmuv3-queues";
import { EXTRA, SMMU, TAG, WORLD } from "../layout/smmuv3-unit";

/** Removes everything: what reset may do. */
export function smmuInvalidateAll(unit: usize): void {
  if (!load<u32>(unit, SMMU.REQUESTERS)) return;
  for (let pointer: usize = SMMU.REQUESTERS; pointer <= <usize>SMMU.TABLES2; pointer += sizeof<u32>()) {
    const cache = load<u32>(unit + pointer);
    if (cache) clear(cache);
  }
}

/**
 * § 4.3 CMD_CFGI_STE, CMD_CFGI_STE_RANGE: STEs of 2^log2Streams StreamIDs, aligned, and all that was
 * fetched through them.
 * @param leaf level 1 descriptors may stay
 */
export function smmuInvalidateStes(unit: usize, sid: u32, log2Streams: u32, leaf: bool): void {
  if (!load<u32>(unit, SMMU.REQUESTERS)) return;
  const first = <u64>sid & ~below(log2Streams);
  const last = first | below(log2Streams);
  const stes = load<u32>(unit, SMMU.STES);
  for (let i = 0, n = span(stes); i < n; i++) {
    if (secondKey(stes, i) && isWithin(firstKey(stes, i), first, last)) drop(stes, i);
  }
  if (!leaf) {
    const l1 = load<u32>(unit, SMMU.L1STDS);
    for (let i = 0, n = span(l1); i < n; i++) {
      const split = get(secondKey(l1, i), CONFIG_KEY.LEAF);
      if (secondKey(l1, i) && isWithin(firstKey(l1, i), first >> split, last >> split)) drop(l1, i);
    }
  }
  dropStreams(load<u32>(unit, SMMU.CDS), first, last);
  dropStreams(load<u32>(unit, SMMU.L1CDS), first, last);
  dropStreams(load<u32>(unit, SMMU.REQUESTERS), first, last);
}

/** § 4.3 CMD_CFGI_CD_ALL: all CDs and L1CDs of a stream. */
export function smmuInvalidateCds(unit: usize, sid: u32): void {
  if (!load<u32>(unit, SMMU.REQUESTERS)) return;
  dropStreams(load<u32>(unit, SMMU.CDS), sid, sid);
  dropStreams(load<u32>(unit, SMMU.L1CDS), sid, sid);
  dropStreams(load<u32>(unit, SMMU.REQUESTERS), sid, sid);
}

/** § 4.3 CMD_CFGI_CD: one CD, and the L1CD before it unless `leaf`. */
export function smmuInvalidateCd(unit: usize, sid: u32, ssid: u32, leaf: bool): void {
  if (!load<u32>(unit, SMMU.REQUESTERS)) return;
  const cds = load<u32>(unit, SMMU.CDS);
  for (let i = 0, n = span(cds); i < n; i++) {
    const key = secondKey(cds, i);
    if (key && get(key, CONFIG_KEY.SID) == sid && firstKey(cds, i) == ssid) drop(cds, i);
  }
  const l1 = load<u32>(unit, SMMU.L1CDS);
  for (let i = 0, n = leaf ? 0 : span(l1); i < n; i++) {
    const key = secondKey(l1, i);
    const block = <u64>ssid >> get(key, CONFIG_KEY.LEAF);
    if (key && get(key, CONFIG_KEY.SID) == sid && firstKey(l1, i) == block) drop(l1, i);
  }
  const cache = load<u32>(unit, SMMU.REQUESTERS);
  for (let i = 0, n = span(cache); i < n; i++) {
    const key = secondKey(cache, i);
    if (!key || get(key, REQUESTER.SID) != sid) continue;
    // By the CD that served it; and beneath the L1CD, which may have led there, all of them.
    if (!leaf || load<u32>(valueOf(cache, i), RESULT.PASID) == ssid) drop(cache, i);
  }
}

/** Entries of streams; SID lies alike in all second words. */
function dropStreams(cache: usize, first: u64, last: u64): void {
  for (let i = 0, n = span(cache); i < n; i++) {
    const key = secondKey(cache, i);
    if (key && isWithin(get(key, CONFIG_KEY.SID), first, last)) drop(cache, i);
  }
}

// @ts-ignore: decorator
@inline
function isWithin(value: u64, first: u64, last: u64): bool {
  return value >= first && value <= last;
}

/**
 * § 4.4 CMD_TLBI_*.
 * @param vmidMask VMID bits that have to match
 * @param leaf tables above the last level may stay
 */
export function smmuInvalidateTlb(
  unit: usize, opcode: u32, vmidMask: u32, vmid: u32, asid: u32, first: u64, last: u64, leaf: bool,
): void {
  if (!load<u32>(unit, SMMU.REQUESTERS)) return;
  if (opcode != OPCODE.CMD_TLBI_S2_IPA) {
    dropPages(load<u32>(unit, SMMU.REQUESTERS), opcode, vmidMask, vmid, asid, first, last);
    dropPages(load<u32>(unit, SMMU.TRANSLATIONS), opcode, vmidMask, vmid, asid, first, last);
    if (!leaf || !isByAddress(opcode)) dropTables1(unit, opcode, vmidMask, vmid, asid, first, last);
  }
  const isStage2 =
    opcode == OPCODE.CMD_TLBI_S2_IPA || opcode == OPCODE.CMD_TLBI_S12_VMALL || opcode == OPCODE.CMD_TLBI_NSNH_ALL;
  if (isStage2) dropStage2(unit, opcode, vmidMask, vmid, first, last, leaf);
}

function isByAddress(opcode: u32): bool {
  return (
    opcode == OPCODE.CMD_TLBI_NH_VA ||
    opcode == OPCODE.CMD_TLBI_NH_VAA ||
    opcode == OPCODE.CMD_TLBI_EL2_VA ||
    opcode == OPCODE.CMD_TLBI_EL2_VAA
  );
}

/** Whether the command is about entries of this world, VMID and ASID, wherever they lie. */
function isNamed(opcode: u32, vmidMask: u32, vmid: u32, asid: u32, world: u64, tags: u64, isGlobal: bool): bool {
  if ((opcode >= <u32>OPCODE.CMD_TLBI_EL2_ALL && opcode <= <u32>OPCODE.CMD_TLBI_EL2_VAA) != (world != WORLD.NS_EL1)) {
    return false;
  }
  const other = world == WORLD.NS_EL1 && ((<u32>get(tags, TAG.VMID) ^ vmid) & vmidMask) != 0;
  if (other && opcode != OPCODE.CMD_TLBI_NSNH_ALL) return false;
  const isSame = get(tags, TAG.ASID) == asid;
  if (opcode == OPCODE.CMD_TLBI_NH_ASID || opcode == OPCODE.CMD_TLBI_EL2_ASID) return isSame && !isGlobal;
  if (opcode == OPCODE.CMD_TLBI_NH_VA || opcode == OPCODE.CMD_TLBI_EL2_VA) return isSame || isGlobal;
  return true;
}

/** Whether 2^shift bytes around `address` meet first..last; the byte that TBI ignores does not count. */
function meets(address: u64, shift: u64, first: u64, last: u64): bool {
  const counted = below(VA.TAG & 63);
  const from = address & counted & ~below(<i32>shift);
  const to = from | below(<i32>shift);
  return last - first >= counted || (from <= (last & counted) && to >= (first & counted));
}

/** Translations in SMMU.REQUESTERS or TRANSLATIONS; both have results for values. */
function dropPages(cache: usize, opcode: u32, vmidMask: u32, vmid: u32, asid: u32, first: u64, last: u64): void {
  for (let i = 0, n = span(cache); i < n; i++) {
    if (!secondKey(cache, i)) continue;
    const value = valueOf(cache, i);
    const extra = <u64>load<u32>(value, RESULT.EXTRA);
    const isGlobal = get(extra, EXTRA.GLOBAL) != 0;
    if (!isNamed(opcode, vmidMask, vmid, asid, get(extra, EXTRA.WORLD), load<u32>(value, RESULT.TAGS), isGlobal)) continue;
    const page = firstKey(cache, i);
    // A block of stage 1 goes as a whole, also where stage 2 cuts it up.
    const reach = max<u64>(get(page, PAGE_KEY.SHIFT), get(extra, EXTRA.STAGE1_SHIFT));
    if (!isByAddress(opcode) || meets(page, reach, first, last)) drop(cache, i);
  }
}

function dropTables1(unit: usize, opcode: u32, vmidMask: u32, vmid: u32, asid: u32, first: u64, last: u64): void {
  const tables = load<u32>(unit, SMMU.TABLES1);
  for (let i = 0, n = span(tables); i < n; i++) {
    const key = secondKey(tables, i);
    // ASID and VMID lie in the key as in TAGS, but for their order.
    if (!key || !isNamed(opcode, vmidMask, vmid, asid, get(key, TRANSLATION_KEY.WORLD), tagsOf(key), false)) continue;
    const reach = tableReach(key);
    if (!isByAddress(opcode) || meets(firstKey(tables, i) << reach, reach, first, last)) drop(tables, i);
  }
}

function tagsOf(key: u64): u64 {
  return get(key, TRANSLATION_KEY.ASID) | (get(key, TRANSLATION_KEY.VMID) << (TAG.VMID & 63));
}

/** log2 of the bytes that a table spans. */
function tableReach(key: u64): u64 {
  const granule = get(key, TRANSLATION_KEY.GRANULE);
  return granule + (granule - 3) * (4 - get(key, TRANSLATION_KEY.LEVEL));
}

function dropStage2(
  unit: usize, opcode: u32, vmidMask: u32, vmid: u32, first: u64, last: u64, leaf: bool,
): void {
  const isAll = opcode == OPCODE.CMD_TLBI_NSNH_ALL;
  const isByIpa = opcode == OPCODE.CMD_TLBI_S2_IPA;
  const leaves = load<u32>(unit, SMMU.LEAVES2);
  for (let i = 0, n = span(leaves); i < n; i++) {
    const key = secondKey(leaves, i);
    if (!key || (!isAll && ((<u32>get(key, TRANSLATION_KEY.VMID) ^ vmid) & vmidMask))) continue;
    const page = firstKey(leaves, i);
    if (!isByIpa || meets(page, get(page, PAGE_KEY.SHIFT), first, last)) drop(leaves, i);
  }
  const tables = load<u32>(unit, SMMU.TABLES2);
  for (let i = 0, n = isByIpa && leaf ? 0 : span(tables); i < n; i++) {
    const key = secondKey(tables, i);
    if (!key || (!isAll && ((<u32>get(key, TRANSLATION_KEY.VMID) ^ vmid) & vmidMask))) continue;
    const reach = tableReach(key);
    if (!isByIpa || meets(firstKey(tables, i) << reach, reach, first, last)) drop(tables, i);
  }
  if (!isByIpa) return;
  // Translations by stage 2 alone lie in front under their input address, which is the IPA.
  const cache = load<u32>(unit, SMMU.REQUESTERS);
  for (let i = 0, n = span(cache); i < n; i++) {
    if (!secondKey(cache, i)) continue;
    const value = valueOf(cache, i);
    const isStage1 = get(<u64>load<u32>(value, RESULT.EXTRA), EXTRA.STAGE1_SHIFT) != 0;
    if (isStage1 || (<u32>get(<u64>load<u32>(value, RESULT.TAGS), TAG.VMID) ^ vmid) & vmidMask) continue;
    const page = firstKey(cache, i);
    if (meets(page, get(page, PAGE_KEY.SHIFT), first, last)) drop(cache, i);
  }
}
