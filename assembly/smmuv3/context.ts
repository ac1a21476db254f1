/** From the STE to the context descriptor. IHI 0070 3.3.2, 5.3 "Level 1 Context Descriptor". */
import { get, has, mask } from "../bits";
import { PERMISSION, REQUEST_FLAG } from "../layout/core";
import { CD_SIZE, L1CD, L1CD_SIZE, STE } from "../layout/smmuv3";
import { ORIGIN } from "../layout/smmuv3-caches";
import { EVENT_CLASS, EVENT_NUMBER } from "../layout/smmuv3-faults";
import { CHECK, SLOT, SMMU, STRUCTURE } from "../layout/smmuv3-unit";
import { check, fetch, fetchEntry, isCached, isMissing, marks, notes, step } from "../modes";
import { fail } from "./fault";
import { heldCd, heldLevel1, keepCd, keepLevel1, met } from "./held";
import { walkStage2 } from "./stage2";

const CD_WORDS: i32 = CD_SIZE / 8;

/** Pointer to context descriptor `index` of the stream, by word 0 of its STE, or 0 with the fault noted. */
// @ts-ignore: decorator
@inline
export function findCd<T>(
  unit: usize,
  sid: u32,
  ste: usize,
  word0: u64,
  log2Cds: u32,
  index: u32,
  nested: bool,
  flags: u32,
  result: usize,
): usize {
  const ssid = index;
  if (isCached<T>()) {
    const held = heldCd(unit, sid, ssid);
    if (held) return held;
  }
  let table = word0 & mask(STE.S1ContextPtr) & load<u64>(unit, SMMU.POINTERS);
  let log2 = <i32>log2Cds;
  const leaf: u32 = log2 ? load<u8>(unit + <usize>get(word0, STE.S1Fmt), SMMU.CD_LEAVES) : 0;
  if (leaf) {
    const l1 = findL1Cd<T>(unit, sid, ste, table, log2 - leaf, index >> leaf, leaf, nested, flags, result);
    if (!l1) return 0;
    table = l1 & mask(L1CD.L2Ptr) & load<u64>(unit, SMMU.POINTERS);
    log2 = leaf;
    index &= (1 << leaf) - 1;
  }
  // § 5.2 S1ContextPtr: a table of CDs is aligned to its size
  const ipa = (table & -(<u64>CD_SIZE << log2)) + <u64>index * CD_SIZE;
  let at = ipa;
  if (nested) {
    // § 3.3.2 with stage 2 a CD has an intermediate address
    if (walkStage2<T>(unit, ste, ipa, PERMISSION.READ, flags, EVENT_CLASS.CD, result)) return 0;
    at = load<u64>(unit, SMMU.STAGE2_ADDRESS);
  }
  const ptr = fetchEntry<T>(unit, at, CD_SIZE, SLOT.CD);
  if (notes<T>()) store<u64>(met(unit, ORIGIN.CD), at);
  if (!marks<T>()) return ptr;
  step<T>(unit, STRUCTURE.CD, 0, leaf ? 1 : 0, at, index, ptr, CD_WORDS);
  // § 7.3 F_CD_FETCH
  if (check<T>(unit, CHECK.CD_FETCH, !ptr)) {
    fail<T>(result, EVENT_NUMBER.F_CD_FETCH, CHECK.CD_FETCH, at, 0);
    return 0;
  }
  return isCached<T>() && !(flags & REQUEST_FLAG.PROBE) ? keepCd(unit, sid, ssid, ptr) : ptr;
}

/** The valid level 1 descriptor `index`, or 0 with the fault noted. */
// @ts-ignore: decorator
@inline
function findL1Cd<T>(
  unit: usize,
  sid: u32,
  ste: usize,
  table: u64,
  log2Entries: i32,
  index: u32,
  leaf: u32,
  nested: bool,
  flags: u32,
  result: usize,
): u64 {
  const l1 = isCached<T>() ? <usize>load<u32>(unit, SMMU.L1CDS) : 0;
  const held = isCached<T>() ? heldLevel1(unit, l1, sid, index, leaf, ORIGIN.L1CD) : 0;
  // § 5.2 S1ContextPtr: aligned to the table's size, 64 bytes at least
  const ipa = (table & -(<u64>L1CD_SIZE << <u64>max(log2Entries, 0))) + <u64>index * L1CD_SIZE;
  let at = held ? load<u64>(met(unit, ORIGIN.L1CD)) : ipa;
  if (nested && !held) {
    if (walkStage2<T>(unit, ste, ipa, PERMISSION.READ, flags, EVENT_CLASS.CD, result)) return 0;
    at = load<u64>(unit, SMMU.STAGE2_ADDRESS);
  }
  const ptr = held ? held : fetch<T>(unit, at, L1CD_SIZE, SLOT.L1CD);
  step<T>(unit, STRUCTURE.L1CD, 0, 0, at, index, ptr, 1);
  // § 7.3 F_CD_FETCH
  if (check<T>(unit, CHECK.L1CD_FETCH, isMissing<T>(ptr))) {
    fail<T>(result, EVENT_NUMBER.F_CD_FETCH, CHECK.L1CD_FETCH, at, 0);
    return 0;
  }
  if (notes<T>() && !held) store<u64>(met(unit, ORIGIN.L1CD), at);
  if (isCached<T>() && !held && !(flags & REQUEST_FLAG.PROBE)) keepLevel1(l1, sid, index, leaf, ptr, at);
  const entry = load<u64>(ptr);
  // § 5.3 V
  if (check<T>(unit, CHECK.L1CD_V, !has(entry, L1CD.V))) {
    fail<T>(result, EVENT_NUMBER.C_BAD_SUBSTREAMID, CHECK.L1CD_V, at, entry);
    return 0;
  }
  const beyond = load<u64>(unit + (nested ? SMMU.BEYOND_IAS : SMMU.BEYOND_OAS));
  // § 5.3 L2Ptr: beyond OAS, or beyond IAS when nested
  const outside = (entry & mask(L1CD.L2Ptr) & load<u64>(unit, SMMU.POINTERS) & beyond) != 0;
  if (check<T>(unit, CHECK.L1CD_L2PTR, outside)) {
    fail<T>(result, EVENT_NUMBER.C_BAD_SUBSTREAMID, CHECK.L1CD_L2PTR, at, entry);
    return 0;
  }
  return entry;
}
