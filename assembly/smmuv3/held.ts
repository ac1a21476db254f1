/**
 * What a cached walk finds in, and adds to, the configuration caches, TLBs and walk caches.
 *
 * IHI 0070 3.17 "TLB tagging", 3.21 "Structure access rules and update procedures". Configuration is
 * held in whatever state it was read, V = 0 included; translations only once they succeeded.
 */
import { find, insert, originOf, valueOf } from "../caches";
import { get, mask, put } from "../bits";
import { REQUEST_FLAG, RESULT, RESULT_FLAG } from "../layout/core";
import { CACHE } from "../layout/caches";
import { CD, CD_SIZE, STE_SIZE } from "../layout/smmuv3";
import {
  CONFIG_KEY, LEAF2_VALUE, ORIGIN, PATH_BYTES, SMMU_POLICY, TABLE_VALUE, TRANSLATION_KEY,
} from "../layout/smmuv3-caches";
import { ATTRIBUTE, EXTRA, SMMU, TAG } from "../layout/smmuv3-unit";
import { pageKey } from "../tlb";
import { Cached } from "../modes";
import { makesDirty, wantedRights } from "./access";

/** Where the walk notes where an entry of its was read. */
// @ts-ignore: decorator
@inline
export function met(unit: usize, what: ORIGIN): usize {
  return <usize>load<u32>(unit, SMMU.ORIGIN) + <usize>what;
}

/** Copies `bytes`, a multiple of 16, in vectors: for so few a call of `memory.copy` costs more. */
// @ts-ignore: decorator
@inline
export function copyVectors(to: usize, from: usize, bytes: i32): void {
  for (let i = 0; i < bytes; i += 16) v128.store(to + i, v128.load(from + i));
}

/** Clears `bytes`, a multiple of 16. */
// @ts-ignore: decorator
@inline
export function clearVectors(to: usize, bytes: i32): void {
  for (let i = 0; i < bytes; i += 16) v128.store(to + i, i64x2.splat(0));
}

/** Pointer to the STE held for a StreamID, or 0. */
export function heldSte(unit: usize, sid: u32): usize {
  const stes = load<u32>(unit, SMMU.STES);
  if (!stes) return 0;
  const index = find(stes, sid, mask(CONFIG_KEY.VALID));
  if (index < 0) return 0;
  v128.store(met(unit, ORIGIN.L1STD), v128.load(originOf(stes, index)));
  return valueOf(stes, index);
}

/** Holds the STE at `ste`; hands back where it lies now. */
export function keepSte(unit: usize, sid: u32, ste: usize): usize {
  const stes = load<u32>(unit, SMMU.STES);
  if (!stes) return ste;
  const index = insert(stes, sid, mask(CONFIG_KEY.VALID));
  copyVectors(valueOf(stes, index), ste, STE_SIZE);
  v128.store(originOf(stes, index), v128.load(met(unit, ORIGIN.L1STD)));
  return valueOf(stes, index);
}

// @ts-ignore: decorator
@inline
function cdKey(sid: u32): u64 {
  return put(mask(CONFIG_KEY.VALID), CONFIG_KEY.SID, sid);
}

/** Pointer to the CD held for a StreamID and index, or 0. */
export function heldCd(unit: usize, sid: u32, ssid: u32): usize {
  const cds = load<u32>(unit, SMMU.CDS);
  if (!cds) return 0;
  const index = find(cds, ssid, cdKey(sid));
  if (index < 0) return 0;
  v128.store(met(unit, ORIGIN.L1CD), v128.load(originOf(cds, index)));
  return valueOf(cds, index);
}

/** Holds the CD at `cd`; hands back where it lies now. */
export function keepCd(unit: usize, sid: u32, ssid: u32, cd: usize): usize {
  const cds = load<u32>(unit, SMMU.CDS);
  if (!cds) return cd;
  const index = insert(cds, ssid, cdKey(sid));
  copyVectors(valueOf(cds, index), cd, CD_SIZE);
  v128.store(originOf(cds, index), v128.load(met(unit, ORIGIN.L1CD)));
  return valueOf(cds, index);
}

// @ts-ignore: decorator
@inline
function level1Key(sid: u32, leaf: u32): u64 {
  return put(put(mask(CONFIG_KEY.VALID), CONFIG_KEY.SID, sid), CONFIG_KEY.LEAF, leaf);
}

/**
 * Pointer to a level 1 descriptor held, or 0.
 * @param cache SMMU.L1STDS (`sid` = 0) or SMMU.L1CDS
 * @param what ORIGIN.L1STD or L1CD: where its address is noted
 */
export function heldLevel1(unit: usize, cache: usize, sid: u32, block: u32, leaf: u32, what: ORIGIN): usize {
  if (!cache) return 0;
  const index = find(cache, block, level1Key(sid, leaf));
  if (index < 0) return 0;
  store<u64>(met(unit, what), load<u64>(originOf(cache, index)));
  return valueOf(cache, index);
}

/** Holds the level 1 descriptor at `ptr`, which was read at `at`. */
export function keepLevel1(cache: usize, sid: u32, block: u32, leaf: u32, ptr: usize, at: u64): void {
  if (!cache) return;
  const index = insert(cache, block, level1Key(sid, leaf));
  store<u64>(valueOf(cache, index), load<u64>(ptr));
  store<u64>(originOf(cache, index), at);
}

/** What tags all of a CD's translations, privilege and page apart; nothing of `nG`. */
// @ts-ignore: decorator
@inline
export function stage1Key(tags: u64, word0: u64, world: u32, nested: bool): u64 {
  let key = put(mask(TRANSLATION_KEY.VALID), TRANSLATION_KEY.VMID, get(tags, TAG.VMID));
  key = put(put(key, TRANSLATION_KEY.ASID, get(tags, TAG.ASID)), TRANSLATION_KEY.WORLD, world);
  key = put(key, TRANSLATION_KEY.ASET, get(word0, CD.ASET));
  return nested ? key | mask(TRANSLATION_KEY.NESTED) : key;
}

/** The key of a global translation: any ASID. */
// @ts-ignore: decorator
@inline
function globally(key: u64): u64 {
  return put(key, TRANSLATION_KEY.ASID, 0) | mask(TRANSLATION_KEY.GLOBAL);
}

/**
 * Whether a translation held serves the request; then `result` is written.
 * @param key `stage1Key`
 * @param input the address as it counts, without a tag that TBI takes away
 */
export function heldTranslation(
  unit: usize, key: u64, input: u64, pasid: u32, flags: u32, result: usize,
): bool {
  const cache = load<u32>(unit, SMMU.TRANSLATIONS);
  const own = flags & REQUEST_FLAG.PRIVILEGED ? key | mask(TRANSLATION_KEY.PRIVILEGED) : key;
  for (let shifts = load<u64>(cache, CACHE.SHIFTS); shifts; shifts &= shifts - 1) {
    const shift = ctz(shifts);
    let index = find(cache, pageKey(input, shift), own);
    if (index < 0) index = find(cache, pageKey(input, shift), globally(own));
    if (index < 0) continue;
    const value = valueOf(cache, index);
    if (wantedRights<Cached>(flags) & ~<u32>load<u8>(value, RESULT.PERMISSIONS)) return false;
    // § 3.13 a write to a clean page walks
    if (makesDirty(flags) && !(load<u32>(value, RESULT.FLAGS) & RESULT_FLAG.DIRTY)) return false;
    v128.store(result, v128.load(value));
    v128.store(result, v128.load(value, 16), 16);
    store<u64>(result, load<u64>(value, RESULT.ADDRESS) | (input & ((<u64>1 << shift) - 1)), RESULT.ADDRESS);
    let attributes = <u64>load<u16>(value, RESULT.ATTRIBUTES);
    attributes = put(attributes, ATTRIBUTE.PRIVILEGED, flags & REQUEST_FLAG.PRIVILEGED ? 1 : 0);
    attributes = put(attributes, ATTRIBUTE.INSTRUCTION, flags & REQUEST_FLAG.EXECUTE ? 1 : 0);
    store<u16>(result, <u16>attributes, RESULT.ATTRIBUTES);
    store<u32>(result, pasid, RESULT.PASID);
    const origin = originOf(cache, index);
    copyVectors(met(unit, ORIGIN.STAGE1), origin, 2 * PATH_BYTES);
    return true;
  }
  return false;
}

/** Holds the translation in `result`. */
export function keepTranslation(unit: usize, key: u64, input: u64, flags: u32, result: usize): void {
  const cache = load<u32>(unit, SMMU.TRANSLATIONS);
  const shift = <u64>load<u8>(result, RESULT.PAGE_SHIFT);
  let own = get(load<u32>(result, RESULT.EXTRA), EXTRA.GLOBAL) ? globally(key) : key;
  if (flags & REQUEST_FLAG.PRIVILEGED) own |= mask(TRANSLATION_KEY.PRIVILEGED);
  const index = insert(cache, pageKey(input, shift), own);
  store<u64>(cache, load<u64>(cache, CACHE.SHIFTS) | (<u64>1 << shift), CACHE.SHIFTS);
  const value = valueOf(cache, index);
  v128.store(value, v128.load(result));
  v128.store(value, v128.load(result, 16), 16);
  store<u32>(value, load<u32>(result, RESULT.FLAGS) & ~RESULT_FLAG.UPDATED, RESULT.FLAGS);
  store<u64>(value, load<u64>(result, RESULT.ADDRESS) & ~((<u64>1 << shift) - 1), RESULT.ADDRESS);
  copyVectors(originOf(cache, index), met(unit, ORIGIN.STAGE1), 2 * PATH_BYTES);
}

// @ts-ignore: decorator
@inline
export function stage2Key(vmid: u64): u64 {
  return put(mask(TRANSLATION_KEY.VALID), TRANSLATION_KEY.VMID, vmid);
}

/** Index of the stage 2 leaf held for an address, or -1; its size is SMMU.STAGE2_SHIFT. */
export function heldLeaf2(unit: usize, vmid: u64, ipa: u64): i32 {
  const cache = load<u32>(unit, SMMU.LEAVES2);
  if (!cache) return -1;
  for (let shifts = load<u64>(cache, CACHE.SHIFTS); shifts; shifts &= shifts - 1) {
    const shift = ctz(shifts);
    const index = find(cache, pageKey(ipa, shift), stage2Key(vmid));
    if (index < 0) continue;
    store<u32>(unit, <u32>shift, SMMU.STAGE2_SHIFT);
    return index;
  }
  return -1;
}

/** Holds a stage 2 leaf, found at the end of the path noted last. */
export function keepLeaf2(unit: usize, vmid: u64, ipa: u64, shift: u64, entry: u64, output: u64): void {
  const cache = load<u32>(unit, SMMU.LEAVES2);
  if (!cache) return;
  const index = insert(cache, pageKey(ipa, shift), stage2Key(vmid));
  store<u64>(cache, load<u64>(cache, CACHE.SHIFTS) | (<u64>1 << shift), CACHE.SHIFTS);
  store<u64>(valueOf(cache, index), entry, LEAF2_VALUE.ENTRY);
  store<u64>(valueOf(cache, index), output, LEAF2_VALUE.ADDRESS);
  copyVectors(originOf(cache, index), met(unit, ORIGIN.STAGE2), PATH_BYTES);
}

/** Notes where the descriptor of `level` was read, ORIGIN.STAGE1 or STAGE2. */
// @ts-ignore: decorator
@inline
export function noteDescriptor(unit: usize, stage: ORIGIN, level: u32, at: u64): void {
  store<u64>(met(unit, stage) + level * sizeof<u64>(), at);
}

/** Notes the path that leads to what is held. */
export function notePath(unit: usize, stage: ORIGIN, path: usize): void {
  copyVectors(met(unit, stage), path, PATH_BYTES);
}

/** Forgets the path of an earlier walk. */
export function clearPath(unit: usize, stage: ORIGIN): void {
  clearVectors(met(unit, stage), PATH_BYTES);
}

/** Whether a table is held: with RETAIN all are, else those of the last level. */
export function isKept(unit: usize, isLast: bool, flags: u32): bool {
  if (flags & REQUEST_FLAG.PROBE) return false;
  return isLast || (load<u32>(unit, SMMU.POLICY) & SMMU_POLICY.RETAIN) != 0;
}

// @ts-ignore: decorator
@inline
function tableKey(key: u64, level: u32, pageShift: u64): u64 {
  return put(put(key, TRANSLATION_KEY.LEVEL, level), TRANSLATION_KEY.GRANULE, pageShift);
}

/**
 * Index of the lowest table held on the way to `input`, below the start table; -1 if there is none.
 * @param stage ORIGIN.STAGE1 or STAGE2: where the path to it is noted
 */
export function heldTable(
  unit: usize, cache: usize, key: u64, input: u64, pageShift: u64, startLevel: u32, stage: ORIGIN,
): i32 {
  if (!cache) return -1;
  const levelBits = pageShift - 3;
  let reach = pageShift + levelBits;
  for (let level = LAST_LEVEL; level > startLevel; level--) {
    const index = find(cache, input >> reach, tableKey(key, level, pageShift));
    reach += levelBits;
    if (index < 0) continue;
    copyVectors(met(unit, stage), originOf(cache, index), PATH_BYTES);
    return index;
  }
  return -1;
}
const LAST_LEVEL: u32 = 3;

/** Level of the descriptors in a table held. */
// @ts-ignore: decorator
@inline
export function heldLevel(key: u64): u32 {
  return <u32>get(key, TRANSLATION_KEY.LEVEL);
}

/** Holds the table at `table`, whose descriptors of `level` begin at input bit `shift`. */
export function keepTable(
  unit: usize, cache: usize, key: u64, input: u64, pageShift: u64, level: u32, shift: u64, table: u64, hierarchy: u64,
  stage: ORIGIN,
): void {
  if (!cache) return;
  const index = insert(cache, input >> (shift + pageShift - 3), tableKey(key, level, pageShift));
  store<u64>(valueOf(cache, index), table, TABLE_VALUE.ADDRESS);
  store<u64>(valueOf(cache, index), hierarchy, TABLE_VALUE.HIERARCHY);
  copyVectors(originOf(cache, index), met(unit, stage), PATH_BYTES);
}
