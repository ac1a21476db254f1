/**
 * What CAP, ECAP, VER, the latched RTADDR and GSTS make of the walker: reserved bits, limits, mode.
 *
 * VT-d rev 5.10, chapter 9 (which bits each capability opens) and 11.4.5 "Root Table Address Register".
 * Done once a change, so that the walk only compares.
 */
import { below, get, has, mask, ones, place, setElement } from "../bits";
import { ALL_REQUESTS, NO_POINTER, REQUEST_FLAG, UNIT } from "../layout/core";
import {
  AGAW_BASE_BITS, AW, CONTEXT, CONTEXT_RESERVED, FSPM, FSPTE, FSPTE_RESERVED, FS_ADDRESS_BITS_4, LEVEL_BITS, PAGE_SHIFT,
  PASID, PASIDDIR_RESERVED, PASID_PART, PASID_RESERVED, PGTT, ROOT_RESERVED, SCONTEXT, SCONTEXT_RESERVED, SROOT_RESERVED, SSPTE,
  SSPTE_RESERVED,
} from "../layout/vtd";
import { CAP, ECAP } from "../layout/vtd-capabilities";
import { GSTS, RTADDR, TTM } from "../layout/vtd-base";
import { VTD, VTD_MODE } from "../layout/vtd-unit";

/** Derives everything after VTD.GSTS in the unit block from what lies before. */
export function vtdConfigure(unit: usize): void {
  const cap = load<u64>(unit, VTD.CAP);
  const ecap = load<u64>(unit, VTD.ECAP);
  const rtaddr = load<u64>(unit, VTD.RTADDR);
  const beyond = ~below(load<i32>(unit, VTD.HAW));
  store<u64>(unit, beyond, VTD.BEYOND_HAW);
  store<u64>(unit, rtaddr & mask(RTADDR.RTA), VTD.ROOT_TABLE);
  const kind = mode(load<u32>(unit, VTD.GSTS), ecap, rtaddr);
  store<u32>(unit, kind, VTD.MODE);
  configureFront(unit, kind);
  configureWidths(unit, cap, ecap);
  configureDevices(unit, cap, ecap, beyond);
  configurePasid(unit, cap, ecap, beyond);
  configureFirstStage(unit, cap, beyond);
  configureShortcuts(unit, cap, ecap);
  configureSecondStage(unit, cap, ecap, beyond, has(rtaddr, RTADDR.SSIRWE) && has(ecap, ECAP.SSIRWS));
}

/** What the IOTLB is asked, see `../tlb`: it holds nothing but what the tables of one of two modes say. */
function configureFront(unit: usize, kind: u32): void {
  const isAsked = kind == VTD_MODE.SCALABLE || kind == VTD_MODE.LEGACY;
  store<u32>(unit, isAsked ? load<u32>(unit, VTD.IOTLB) : NO_POINTER, UNIT.FRONT);
  if (!isAsked) {
    store<u32>(unit, ALL_REQUESTS, UNIT.WALKED);
    return;
  }
  const walked: u32 = REQUEST_FLAG.TRANSLATION | REQUEST_FLAG.TRANSLATED | REQUEST_FLAG.PAGE_REQUEST |
    REQUEST_FLAG.EXECUTE | REQUEST_FLAG.ZERO_LENGTH;
  store<u32>(unit, kind == VTD_MODE.LEGACY ? walked | REQUEST_FLAG.PASID : walked, UNIT.WALKED);
}

function mode(gsts: u32, ecap: u64, rtaddr: u64): u32 {
  if (!has(gsts, GSTS.TES)) return VTD_MODE.OFF;
  const ttm = <i32>get(rtaddr, RTADDR.TTM);
  if (ttm == TTM.LEGACY) {
    return has(rtaddr, RTADDR.SSIRWE) && has(ecap, ECAP.SSIRWS) ? VTD_MODE.ILLEGAL_SSIRWE : VTD_MODE.LEGACY;
  }
  if (ttm == TTM.SCALABLE && has(ecap, ECAP.SMTS)) return VTD_MODE.SCALABLE;
  if (ttm == TTM.ABORT_DMA && has(ecap, ECAP.ADMS)) return VTD_MODE.ABORT_DMA;
  return VTD_MODE.ILLEGAL;
}

function configureWidths(unit: usize, cap: u64, ecap: u64): void {
  const aws = <u32>get(cap, CAP.SAGAW) & ((1 << AW.BITS_39) | (1 << AW.BITS_48) | (1 << AW.BITS_57));
  store<u32>(unit, aws, VTD.AWS);
  store<u32>(unit, aws ? 31 - clz(aws) : 0, VTD.WIDEST_AW);
  const mgaw = <i32>get(cap, CAP.MGAW) + 1;
  for (let aw = 0; aw <= AW.BITS_57; aw++) {
    const bits = min(mgaw, AGAW_BASE_BITS + LEVEL_BITS * aw);
    setElement(unit + VTD.SS_BEYOND, aw, ~below(bits));
  }
  store<u32>(
    unit,
    (has(ecap, ECAP.FSTS) ? 1 << PGTT.FIRST_STAGE : 0) |
      (has(ecap, ECAP.SSTS) ? 1 << PGTT.SECOND_STAGE : 0) |
      (has(ecap, ECAP.NEST) ? 1 << PGTT.NESTED : 0) |
      (has(ecap, ECAP.PT) ? 1 << PGTT.PASS_THROUGH : 0),
    VTD.PGTTS,
  );
  store<u32>(unit, has(cap, CAP.FS5LP) ? FSPM.LEVELS_5 : FSPM.LEVELS_4, VTD.MAX_FSPM);
  store<u32>(unit, <u32>get(ecap, ECAP.PSS) + 1, VTD.PASID_BITS);
  // § 4.2.3: a completion for a pass-through page covers the largest page size the unit has.
  let shift = PAGE_SHIFT;
  if (supports2M(cap) || has(ecap, ECAP.FSTS)) shift += LEVEL_BITS;
  if (supports1G(cap) || has(cap, CAP.FS1GP)) shift = PAGE_SHIFT + 2 * LEVEL_BITS;
  store<u32>(unit, shift, VTD.PASS_THROUGH_SHIFT);
}

/** What several rules come to, for walks that want one test: see "../modes". */
function configureShortcuts(unit: usize, cap: u64, ecap: u64): void {
  store<u32>(unit, has(cap, CAP.CM) ? 0 : -1, VTD.HARDWARE_DID);
  store<u32>(unit, has(ecap, ECAP.RPS) ? 0 : -1, VTD.RID_PASID_TAKEN);
  for (let part: u64 = 0; part <= ones(PASID_PART.TYPE); part++) {
    const entry = place(PASID_PART.TYPE, part);
    const pgtt = <i32>get(entry, PASID.PGTT);
    const needsAw = pgtt == PGTT.SECOND_STAGE || pgtt == PGTT.NESTED;
    const isLegal = ((load<u32>(unit, VTD.PGTTS) >> pgtt) & 1) != 0 &&
      (!needsAw || ((load<u32>(unit, VTD.AWS) >> <u32>get(entry, PASID.AW)) & 1) != 0);
    store<u8>(unit + <usize>part, isLegal ? pgtt : 0, VTD.TYPES);
  }
  for (let fspm = 0; fspm <= <i32>ones(PASID.FSPM); fspm++) {
    const isLegal = fspm <= load<i32>(unit, VTD.MAX_FSPM);
    const limit = <u64>1 << <u64>(FS_ADDRESS_BITS_4 - 1 + LEVEL_BITS * fspm);
    setElement(unit + VTD.FS_LIMIT, fspm, isLegal ? limit : 0);
  }
}

function supports2M(cap: u64): bool {
  return (get(cap, CAP.SSLPS) & 1) != 0;
}
function supports1G(cap: u64): bool {
  return (get(cap, CAP.SSLPS) & 2) != 0;
}

/** `field` is reserved unless `open`. */
// @ts-ignore: decorator
@inline
function reservedUnless(open: bool, field: i32): u64 {
  return open ? 0 : mask(field);
}

/** Bits of a domain id field at `lsb` beyond the width that CAP.ND gives. */
function domainBits(cap: u64, field: i32): u64 {
  const width = <i32>(4 + 2 * get(cap, CAP.ND));
  return mask(field) & ~below(min(64, (field & 63) + width));
}

function configureDevices(unit: usize, cap: u64, ecap: u64, beyond: u64): void {
  store<u64>(unit, mask(ROOT_RESERVED.R0) | beyond, VTD.ROOT_R0);
  store<u64>(unit, mask(SROOT_RESERVED.LOWER) | beyond, VTD.SROOT_R);
  store<u64>(unit, mask(CONTEXT_RESERVED.R0) | beyond, VTD.CONTEXT_R0);
  store<u64>(
    unit,
    mask(CONTEXT_RESERVED.R1) | mask(CONTEXT_RESERVED.R2) | domainBits(cap, CONTEXT.DID),
    VTD.CONTEXT_R1,
  );
  store<u64>(
    unit,
    mask(SCONTEXT_RESERVED.R0) | beyond |
      reservedUnless(has(ecap, ECAP.DT), SCONTEXT.DTE) |
      reservedUnless(has(ecap, ECAP.PASID), SCONTEXT.PASIDE) |
      reservedUnless(has(ecap, ECAP.PRS), SCONTEXT.PRE) |
      reservedUnless(has(ecap, ECAP.HPTS), SCONTEXT.HPTE) |
      reservedUnless(has(ecap, ECAP.PTRS), SCONTEXT.EPTR),
    VTD.SCONTEXT_R0,
  );
  store<u64>(
    unit,
    mask(SCONTEXT_RESERVED.R1) |
      reservedUnless(has(ecap, ECAP.RPS), SCONTEXT.RID_PASID) |
      reservedUnless(has(ecap, ECAP.RPRIVS), SCONTEXT.RID_PRIV),
    VTD.SCONTEXT_R1,
  );
  store<u64>(unit, mask(SCONTEXT_RESERVED.R2), VTD.SCONTEXT_R2);
  store<u64>(unit, mask(SCONTEXT_RESERVED.R3), VTD.SCONTEXT_R3);
}

function configurePasid(unit: usize, cap: u64, ecap: u64, beyond: u64): void {
  store<u64>(unit, mask(PASIDDIR_RESERVED.R0) | beyond, VTD.PASIDDIR_R0);
  const secondStage = has(ecap, ECAP.SSTS);
  const firstStage = has(ecap, ECAP.FSTS);
  // AW is never reserved: drivers fill it in even where no second stage exists.
  store<u64>(
    unit,
    mask(PASID_RESERVED.R0) | mask(PASID_RESERVED.R1) | beyond |
      reservedUnless(secondStage && has(ecap, ECAP.SSADS), PASID.SSADE) |
      reservedUnless(secondStage, PASID.SSPTPTR),
    VTD.PASID_R0,
  );
  const types = has(ecap, ECAP.MTS);
  store<u64>(
    unit,
    mask(PASID_RESERVED.R2) | mask(PASID_RESERVED.R3) | domainBits(cap, PASID.DID) |
      mask(PASID_RESERVED.PAT0) | mask(PASID_RESERVED.PAT1) | mask(PASID_RESERVED.PAT2) | mask(PASID_RESERVED.PAT3) |
      mask(PASID_RESERVED.PAT4) | mask(PASID_RESERVED.PAT5) | mask(PASID_RESERVED.PAT6) | mask(PASID_RESERVED.PAT7) |
      reservedUnless(has(ecap, ECAP.SMPWCS), PASID.PWSNP) |
      reservedUnless(has(ecap, ECAP.SC), PASID.PGSNP) |
      reservedUnless(types, PASID.CD) | reservedUnless(types, PASID.EMTE) | reservedUnless(types, PASID.PAT),
    VTD.PASID_R1,
  );
  store<u64>(
    unit,
    mask(PASID_RESERVED.R4) | mask(PASID_RESERVED.R5) | beyond |
      reservedUnless(has(ecap, ECAP.SRS), PASID.SRE) |
      reservedUnless(firstStage, PASID.FSPM) |
      reservedUnless(firstStage, PASID.WPE) |
      reservedUnless(has(ecap, ECAP.EAFS), PASID.EAFE) |
      reservedUnless(firstStage, PASID.FSPTPTR),
    VTD.PASID_R2,
  );
  store<u64>(unit, mask(PASID_RESERVED.R6), VTD.PASID_R3);
  const hpt = has(ecap, ECAP.HPTS);
  store<u64>(
    unit,
    mask(PASID_RESERVED.R7) | beyond | reservedUnless(hpt, PASID.HPTSZ) | reservedUnless(hpt, PASID.HPTPFD) |
      reservedUnless(hpt, PASID.HPTPTR),
    VTD.PASID_R4,
  );
  store<u64>(unit, domainBits(cap, PASID.HPTDID), VTD.HPTDID_R);
  store<u64>(unit, mask(PASID_RESERVED.R8) | reservedUnless(hpt, PASID.HPTDID), VTD.PASID_R5);
  store<u64>(unit, mask(PASID_RESERVED.R9), VTD.PASID_R6);
  store<u64>(unit, mask(PASID_RESERVED.R10), VTD.PASID_R7);
}

/** The two masks of a level: of an entry that links a table, and of a leaf. All are leaves on level 1. */
function setReserved(masks: usize, level: i32, table: u64, leaf: u64): void {
  setElement(masks, 2 * level, level == 1 ? leaf : table);
  setElement(masks, 2 * level + 1, leaf);
}

function configureFirstStage(unit: usize, cap: u64, beyond: u64): void {
  const high = beyond & mask(FSPTE.ADDR);
  for (let level = 1; level <= 5; level++) {
    let leaf: u64 = 0;
    let table: u64 = 0;
    if (level == 2) leaf = mask(FSPTE_RESERVED.LEAF_2M);
    if (level == 3) leaf = mask(FSPTE_RESERVED.LEAF_1G) | reservedUnless(has(cap, CAP.FS1GP), FSPTE.PS);
    if (level > 3) leaf = table = mask(FSPTE.PS);
    setReserved(unit + VTD.FS_R, level, table | high, leaf | high);
    setReserved(unit + VTD.NESTED_R, level, table, leaf);
  }
}

function configureSecondStage(unit: usize, cap: u64, ecap: u64, beyond: u64, ioRights: bool): void {
  const r = ioRights ? mask(SSPTE.IR) : mask(SSPTE.R);
  const w = ioRights ? mask(SSPTE.IW) : mask(SSPTE.W);
  store<u64>(unit, ctz(r | w), VTD.SS_RIGHTS_AT);
  store<u64>(unit, r | w, VTD.SS_RIGHTS);
  // IW was another bit once and stayed reserved where it is no permission; IR is ignored there.
  const common = (beyond & mask(SSPTE.ADDR)) | reservedUnless(ioRights, SSPTE.IW);
  const snoop = reservedUnless(has(ecap, ECAP.SC), SSPTE.SNP);
  for (let level = 1; level <= 5; level++) {
    let leaf = common | snoop;
    let table = common | mask(SSPTE.SNP);
    if (level == 2) leaf |= mask(SSPTE_RESERVED.LEAF_2M) | reservedUnless(supports2M(cap), SSPTE.PS);
    if (level == 3) leaf |= mask(SSPTE_RESERVED.LEAF_1G) | reservedUnless(supports1G(cap), SSPTE.PS);
    if (level > 3) {
      leaf |= mask(SSPTE.PS);
      table |= mask(SSPTE.PS);
    }
    setReserved(unit + VTD.SS_R, level, table, leaf);
  }
}
