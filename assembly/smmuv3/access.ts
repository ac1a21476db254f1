/**
 * What a transaction wants and what a leaf grants. Arm ARM DDI 0487 D8.4 "Memory access control",
 * IHI 0070 5.4 (PAN, WXN), 5.2 (PRIVCFG, INSTCFG).
 */
import { get, has, mask, moved } from "../bits";
import { PERMISSION, REQUEST_FLAG, RESULT_FLAG } from "../layout/core";
import { CD, INSTCFG, PRIVCFG, PTE, PTE1, PTE1_PART, PTE2, STE, XN } from "../layout/smmuv3";
import { FEATURE, RIGHTS1, SMMU } from "../layout/smmuv3-unit";
import { BUS_ERROR, CHANGED_MEANWHILE, compareExchange, EXCHANGED } from "../memory";
import { marks, updateAt } from "../modes";

/** The request's flags with PRIVCFG and INSTCFG applied. */
// @ts-ignore: decorator
@inline
export function effectiveFlags(unit: usize, flags: u32, privCfg: u64, instCfg: u64): u32 {
  // § 5.2 PRIVCFG, INSTCFG: without ATTR_PERMS_OVR the overrides are RES0
  if ((privCfg | instCfg) && has(load<u64>(unit, SMMU.FEATURES), FEATURE.PERMISSION_OVERRIDES)) {
    if (privCfg == PRIVCFG.UNPRIVILEGED) flags &= ~REQUEST_FLAG.PRIVILEGED;
    if (privCfg == PRIVCFG.PRIVILEGED) flags |= REQUEST_FLAG.PRIVILEGED;
    // a translation request asks for the right to execute; INSTCFG has its say in `ats.ts`
    if (flags & REQUEST_FLAG.TRANSLATION) return flags;
    if (instCfg == INSTCFG.DATA) flags &= ~REQUEST_FLAG.EXECUTE;
    if (instCfg == INSTCFG.INSTRUCTION) flags |= REQUEST_FLAG.EXECUTE;
  }
  return asData(flags);
}

/** Rights that the access needs; a translation request needs none, it asks. */
// @ts-ignore: decorator
@inline
export function wantedRights<T>(flags: u32): u32 {
  if (marks<T>() && flags & REQUEST_FLAG.TRANSLATION) return 0;
  // § 5.2 INSTCFG: a read of instructions is checked against execute, not read
  return flags & REQUEST_FLAG.EXECUTE ? PERMISSION.EXECUTE : flags & (PERMISSION.READ | PERMISSION.WRITE);
}

/** Whether the access makes a writable-clean page dirty: a write, or a translation request with NW = 0. */
// @ts-ignore: decorator
@inline
export function makesDirty(flags: u32): bool {
  return flags & REQUEST_FLAG.TRANSLATION ? !(flags & REQUEST_FLAG.NO_WRITE) : (flags & REQUEST_FLAG.WRITE) != 0;
}

/**
 * PERMISSION bits that a stage 1 leaf grants at the request's privilege.
 * @param entry the leaf; a writable-clean page as a writable one
 * @param hierarchy all table descriptors above, or-ed; 0 with HAD
 */
// @ts-ignore: decorator
@inline
export function stage1Rights(unit: usize, entry: u64, hierarchy: u64, cd0: u64, isEl2: bool, flags: u32): u32 {
  const index =
    moved(cd0, CD.WXN, RIGHTS1.WXN) |
    moved(cd0, CD.PAN, RIGHTS1.PAN) |
    (isEl2 ? mask(RIGHTS1.EL2) : 0) |
    (flags & REQUEST_FLAG.PRIVILEGED) |
    moved(entry, PTE1_PART.XN, RIGHTS1.XN) |
    moved(hierarchy, PTE1_PART.XNTable, RIGHTS1.XN) |
    // AP[1] grants what APTable[0] takes away
    moved(entry ^ mask(PTE1.AP1), PTE1_PART.AP, RIGHTS1.AP) |
    moved(hierarchy, PTE1_PART.APTable, RIGHTS1.AP);
  return load<u8>(unit + <usize>index, SMMU.RIGHTS1);
}

/** Works out all rights that a stage 1 leaf can grant. */
export function deriveRights1(unit: usize): void {
  for (let index = 0; index < 256; index++) store<u8>(unit + index, <u8>rights1(index), SMMU.RIGHTS1);
}

/** PERMISSION bits by RIGHTS1. */
function rights1(by: u64): u32 {
  // § DDI 0487 D8.4 AP[2:1], APTable; 3.13: a writable-clean page counts as writable
  const entry = moved(by, RIGHTS1.AP, PTE1_PART.AP) | moved(by, RIGHTS1.XN, PTE1_PART.XN);
  const uxn = has(entry, PTE1.UXN);
  let readable: bool = true;
  let writable: bool = !has(entry, PTE1.AP2);
  let executable: bool;
  // § DDI 0487 D8.4: one privilege level
  if (has(by, RIGHTS1.EL2)) executable = !uxn;
  else {
    const open = !has(entry, PTE1.AP1);
    if (has(by, RIGHTS1.PRIVILEGED)) {
      // § DDI 0487 D8.4 AP[2:1] = 0b01: what the unprivileged can write, the privileged may not execute
      executable = !(has(entry, PTE1.PXN) || (open && writable));
      // § 5.4 PAN
      readable = !(open && has(by, RIGHTS1.PAN));
      if (!readable) writable = false;
    } else {
      readable = open;
      if (!open) writable = false;
      executable = !uxn;
    }
  }
  // § 5.4 WXN
  if (has(by, RIGHTS1.WXN) && writable) executable = false;
  return (
    (readable ? PERMISSION.READ : 0) | (writable ? PERMISSION.WRITE : 0) | (executable ? PERMISSION.EXECUTE : 0)
  );
}

/** PERMISSION bits that a stage 2 leaf grants at the request's privilege. */
// @ts-ignore: decorator
@inline
export function stage2Rights(unit: usize, entry: u64, clean: bool, flags: u32): u32 {
  // § DDI 0487 D8.4 S2AP
  let rights: u32 = has(entry, PTE2.S2AP0) ? PERMISSION.READ : 0;
  if (has(entry, PTE2.S2AP1) || clean) rights |= PERMISSION.WRITE;
  // § DDI 0487 D8.4 XN[1:0], IDR3.XNX
  let executable = !has(entry, PTE2.XN1);
  if (has(load<u64>(unit, SMMU.FEATURES), FEATURE.XNX)) {
    const xn = get(entry, PTE2.XN);
    executable =
      xn == XN.EXECUTE || xn == (flags & REQUEST_FLAG.PRIVILEGED ? XN.PRIVILEGED_ONLY : XN.UNPRIVILEGED_ONLY);
  }
  return executable ? rights | PERMISSION.EXECUTE : rights;
}

/** Whether a stage 1 leaf awaits its first write: § 5.4, CD.HD counts with CD.HA only. */
// @ts-ignore: decorator
@inline
export function isClean1(entry: u64, cd0: u64): bool {
  return has(entry, PTE.DBM) && has(entry, PTE1.AP2) && has(cd0, CD.HD) && has(cd0, CD.HA);
}

/** A stage 1 leaf as it grants rights: a writable-clean page is a writable one. */
// @ts-ignore: decorator
@inline
export function asGranting1(entry: u64, cd0: u64): u64 {
  return isClean1(entry, cd0) ? entry & ~mask(PTE1.AP2) : entry;
}

/** Whether a stage 2 leaf awaits its first write: § 5.2, S2HD counts with S2HA only. */
// @ts-ignore: decorator
@inline
export function isClean2(entry: u64, ste2: u64): bool {
  return has(entry, PTE.DBM) && !has(entry, PTE2.S2AP1) && has(ste2, STE.S2HD) && has(ste2, STE.S2HA);
}

/**
 * § 3.13: replaces a descriptor if it is still what was read. Returns EXCHANGED, CHANGED_MEANWHILE
 * (the walk starts over) or BUS_ERROR (also when it has started over too often).
 */
export function replace<T>(unit: usize, gpa: u64, was: u64, now: u64, isSwapped: bool): i32 {
  const stored = isSwapped ? bswap<u64>(now) : now;
  const answer = compareExchange(gpa, isSwapped ? bswap<u64>(was) : was, stored);
  if (answer == EXCHANGED) {
    updateAt<T>(unit, gpa, stored);
    store<u32>(unit, RESULT_FLAG.UPDATED, SMMU.UPDATED);
  } else if (answer == CHANGED_MEANWHILE) {
    const left = load<u32>(unit, SMMU.RETRIES);
    if (!left) return BUS_ERROR;
    store<u32>(unit, left - 1, SMMU.RETRIES);
  }
  return answer;
}

/** The request's flags as word 1 of the STE has them. */
// @ts-ignore: decorator
@inline
export function overridden(unit: usize, word1: u64, flags: u32): u32 {
  if (word1 & load<u64>(unit, SMMU.OVERRIDES)) {
    return effectiveFlags(unit, flags, get(word1, STE.PRIVCFG), get(word1, STE.INSTCFG));
  }
  return asData(flags);
}

/** § 5.2 INSTCFG: writes, and so atomics, always count as data. */
// @ts-ignore: decorator
@inline
function asData(flags: u32): u32 {
  return flags & REQUEST_FLAG.WRITE ? flags & ~REQUEST_FLAG.EXECUTE : flags;
}
