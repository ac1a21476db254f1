/**
 * What the ID and control registers come down to, worked out once. IHI 0070 6.3 "Register formats".
 *
 * The walker reads only these derived values, so a walk pays for none of this.
 */
import { below, get, has, mask, put, setElement, span } from "../bits";
import { ALL_REQUESTS, NO_POINTER, REQUEST_FLAG, UNIT } from "../layout/core";
import {
  CD, CD_PART, CDS_PER_4K_LEAF_LOG2, CDS_PER_64K_LEAF_LOG2, S1FMT, STE, STE_PART, STRW,
} from "../layout/smmuv3";
import {
  ADDRESS_SIZE, AIDR, HTTU, IDR0, IDR1, IDR3, IDR5, STALL_MODEL, STRTAB_FORMAT, TTENDIAN,
} from "../layout/smmuv3-ids";
import { STRTAB_BASE, STRTAB_BASE_CFG } from "../layout/smmuv3-base";
import { CR0, CR2 } from "../layout/smmuv3-registers";
import { FEATURE, SMMU, WORLD } from "../layout/smmuv3-unit";
import { deriveRights1 } from "./access";
import { deriveGeometries } from "./geometry";

/** Derives everything from the register values in the unit block. Call it when one of them changed. */
export function smmuConfigure(unit: usize): void {
  deriveFeatures(unit);
  deriveAddresses(unit);
  deriveStreamTable(unit);
  deriveOddBits(unit);
  deriveGeometries(unit);
  deriveRights1(unit);
  deriveFront(unit);
}

/** What the cache of translations by request is asked, see `../tlb`. */
function deriveFront(unit: usize): void {
  // § 3.21.3 caches survive SMMUEN = 0, but nothing is translated then.
  const isAsked = load<u64>(unit, SMMU.STREAMS) != 0;
  const walked: u32 = REQUEST_FLAG.TRANSLATION | REQUEST_FLAG.TRANSLATED | REQUEST_FLAG.PROBE;
  store<u32>(unit, isAsked ? load<u32>(unit, SMMU.REQUESTERS) : NO_POINTER, UNIT.FRONT);
  store<u32>(unit, isAsked ? walked : ALL_REQUESTS, UNIT.WALKED);
}

// @ts-ignore: decorator
@inline
function register(unit: usize, at: SMMU): u64 {
  return <u64>load<u32>(unit + <usize>at);
}

/** `feature` set when `present`. */
// @ts-ignore: decorator
@inline
function when(present: bool, feature: FEATURE): u64 {
  return present ? mask(feature) : 0;
}

function deriveFeatures(unit: usize): void {
  const idr0 = register(unit, SMMU.IDR0);
  const idr1 = register(unit, SMMU.IDR1);
  const idr3 = register(unit, SMMU.IDR3);
  const cr0 = register(unit, SMMU.CR0);
  const cr2 = register(unit, SMMU.CR2);
  const stage1 = has(idr0, IDR0.S1P);
  const stage2 = has(idr0, IDR0.S2P);
  const hyp = stage1 && has(idr0, IDR0.HYP);
  const ats = has(idr0, IDR0.ATS);
  const stalls = get(idr0, IDR0.STALL_MODEL);
  const endian = get(idr0, IDR0.TTENDIAN);
  const features =
    when(has(cr0, CR0.SMMUEN), FEATURE.SMMUEN) |
    when(stage1, FEATURE.STAGE1) |
    when(stage2, FEATURE.STAGE2) |
    when(get(idr0, IDR0.HTTU) >= <u64>HTTU.ACCESS, FEATURE.HTTU_ACCESS) |
    when(get(idr0, IDR0.HTTU) >= <u64>HTTU.ACCESS_DIRTY, FEATURE.HTTU_DIRTY) |
    when(hyp, FEATURE.HYP) |
    when(hyp && has(cr2, CR2.E2H), FEATURE.E2H) |
    when(has(idr3, IDR3.HAD), FEATURE.HAD) |
    when(has(idr3, IDR3.XNX), FEATURE.XNX) |
    when(has(idr3, IDR3.FWB), FEATURE.FWB) |
    when(has(idr1, IDR1.ATTR_PERMS_OVR), FEATURE.PERMISSION_OVERRIDES) |
    when(has(idr1, IDR1.ATTR_TYPES_OVR), FEATURE.TYPE_OVERRIDES) |
    when(ats, FEATURE.ATS) |
    when(ats && !has(idr0, IDR0.NS1ATS), FEATURE.ATS_SPLIT) |
    when(ats && has(cr0, CR0.ATSCHK), FEATURE.ATS_CHECK) |
    when(has(cr2, CR2.RECINVSID), FEATURE.RECORD_BAD_SID) |
    when(has(idr0, IDR0.ATSRECERR) && has(cr2, CR2.REC_CFG_ATS), FEATURE.RECORD_ATS_CONFIG) |
    when(stage2 && has(idr0, IDR0.VMID16), FEATURE.VMID16) |
    when(has(idr0, IDR0.ASID16), FEATURE.ASID16) |
    when(has(idr0, IDR0.CD2L), FEATURE.CD2L) |
    when(!has(idr0, IDR0.TERM_MODEL), FEATURE.RAZ_WI) |
    when(endian != TTENDIAN.BIG, FEATURE.LITTLE_ENDIAN) |
    when(endian != TTENDIAN.LITTLE, FEATURE.BIG_ENDIAN) |
    when(stalls != STALL_MODEL.TERMINATE_ONLY, FEATURE.STALL) |
    when(stalls != STALL_MODEL.STALL_FORCED, FEATURE.TERMINATE);
  store<u64>(unit, features, SMMU.FEATURES);
  store<u32>(unit, stage1 ? <u32>get(idr1, IDR1.SSIDSIZE) : 0, SMMU.SSID_BITS);
}

function deriveAddresses(unit: usize): void {
  const minor = get(register(unit, SMMU.AIDR), AIDR.ArchMinorRev);
  // § 6.3 IDR5.OAS: 52 bits came with v3.1, 56 bits are reserved in what is modelled
  const widest: u64 = minor ? ADDRESS_SIZE.BITS_52 : ADDRESS_SIZE.BITS_48;
  const oas = sizeBits(min<u64>(get(register(unit, SMMU.IDR5), IDR5.OAS), widest));
  store<u32>(unit, oas, SMMU.OAS);
  // § 3.4 without AArch32 tables IAS = OAS
  store<u32>(unit, oas, SMMU.IAS);
  store<u64>(unit, ~below(oas), SMMU.BEYOND_OAS);
  store<u64>(unit, ~below(oas), SMMU.BEYOND_IAS);
  store<u64>(unit, below(sizeBits(widest)), SMMU.POINTERS);
  for (let encoded: u64 = 0; encoded < 8; encoded++) {
    // § 5.4 IPS, 5.2 S2PS: reserved values are the widest
    const bits = min<u32>(sizeBits(min<u64>(encoded, widest)), oas);
    setElement(unit + SMMU.BEYOND_OUTPUT, <u32>encoded, ~below(min<u32>(bits, 48)));
    setElement(unit + SMMU.BEYOND_LONG_OUTPUT, <u32>encoded, ~below(bits));
  }
  const features = load<u64>(unit, SMMU.FEATURES);
  const wide = oas == sizeBits(ADDRESS_SIZE.BITS_52);
  store<u64>(unit, put(features, FEATURE.LONG_ADDRESSES, wide ? 1 : 0), SMMU.FEATURES);
}

/** Bits of an address by the common encoding of OAS, IPS and S2PS. */
function sizeBits(encoded: u64): u32 {
  if (encoded == ADDRESS_SIZE.BITS_32) return 32;
  if (encoded == ADDRESS_SIZE.BITS_36) return 36;
  if (encoded == ADDRESS_SIZE.BITS_40) return 40;
  if (encoded == ADDRESS_SIZE.BITS_42) return 42;
  if (encoded == ADDRESS_SIZE.BITS_44) return 44;
  return encoded == ADDRESS_SIZE.BITS_48 ? 48 : 52;
}

function deriveStreamTable(unit: usize): void {
  const config = register(unit, SMMU.STRTAB_BASE_CFG);
  const size = <i32>get(config, STRTAB_BASE_CFG.LOG2SIZE);
  const sidBits = <i32>get(register(unit, SMMU.IDR1), IDR1.SIDSIZE);
  const twoLevel =
    get(config, STRTAB_BASE_CFG.FMT) == STRTAB_FORMAT.TWO_LEVEL && get(register(unit, SMMU.IDR0), IDR0.ST_LEVEL) != 0;
  // § 6.3 STRTAB_BASE_CFG.SPLIT: other values behave as 6
  let split = <i32>get(config, STRTAB_BASE_CFG.SPLIT);
  if (split != 8 && split != 10) split = 6;
  if (!twoLevel) split = 0;
  // § 6.3 STRTAB_BASE.ADDR: aligned to the table, by the LOG2SIZE written
  const alignment = twoLevel ? max(5, size - split - 1 + 3) + 1 : size + 6;
  const oas = load<u32>(unit, SMMU.OAS);
  const base = load<u64>(unit, SMMU.STRTAB_BASE) & mask(STRTAB_BASE.ADDR) & below(oas) & ~below(alignment);
  const enabled = has(load<u64>(unit, SMMU.FEATURES), FEATURE.SMMUEN);
  store<u64>(unit, enabled ? <u64>1 << <u64>min(min(size, sidBits), 32) : 0, SMMU.STREAMS);
  store<u64>(unit, base, SMMU.STREAM_TABLE);
  store<u32>(unit, split, SMMU.SPLIT);
}

/** Bits that decide whether an STE or CD needs more than a glance; see `ste.ts` and `cd.ts`. */
function deriveOddBits(unit: usize): void {
  const f = load<u64>(unit, SMMU.FEATURES);
  const beyondOas = mask(STE.S1ContextPtr) & load<u64>(unit, SMMU.POINTERS) & ~below(load<u32>(unit, SMMU.OAS));
  const vmid = has(f, FEATURE.STAGE2) && !has(f, FEATURE.VMID16) ? mask(STE_PART.S2VMID_HIGH) : 0;
  const mayStall = has(f, FEATURE.STALL);
  const mayTerminate = has(f, FEATURE.TERMINATE);
  const littleOnly = !has(f, FEATURE.BIG_ENDIAN);
  const bigOnly = !has(f, FEATURE.LITTLE_ENDIAN);
  const noAccess = !has(f, FEATURE.HTTU_ACCESS);
  const noDirty = !has(f, FEATURE.HTTU_DIRTY);
  const noRazWi = !has(f, FEATURE.RAZ_WI);

  // § 5.2 Config: without stage 1 every STE that has it is odd (without stage 2 no geometry exists)
  const noStage1 = has(f, FEATURE.STAGE1) ? 0 : mask(STE.V);
  // § 6.3 IDR0.TTENDIAN: the fast walk knows no big-endian descriptors, so it takes no stage 1 where all are
  const notFast = bigOnly ? mask(STE.V) : 0;
  store<u64>(unit, beyondOas | noStage1 | notFast | (has(f, FEATURE.CD2L) ? 0 : mask(STE.S1Fmt)), SMMU.STE_ODD0);
  store<u64>(
    unit,
    // § 5.2 EATS, S2S: forced stalls make any ATS behind stage 2 illegal
    (has(f, FEATURE.ATS) ? (mayTerminate ? mask(STE_PART.EATS_HIGH) : mask(STE.EATS)) : 0) |
      (has(f, FEATURE.HYP) ? mask(STE_PART.STRW_LOW) : 0) |
      (mayStall && mayTerminate ? 0 : mask(STE.S1STALLD)),
    SMMU.STE_ODD1,
  );
  store<u64>(unit, has(f, FEATURE.PERMISSION_OVERRIDES) ? mask(STE.PRIVCFG) | mask(STE.INSTCFG) : 0, SMMU.OVERRIDES);
  store<u64>(unit, has(f, FEATURE.HAD) ? mask(CD.HAD0) : 0, SMMU.FLATTENS);
  setElement(unit + SMMU.TAG_MASKS, WORLD.NS_EL1, has(f, FEATURE.STAGE2) ? mask(STE.S2VMID) : 0);
  const el2 = has(f, FEATURE.E2H) ? WORLD.EL2_E2H : WORLD.EL2;
  store<u8>(unit + STRW.EL2, <u8>(has(f, FEATURE.HYP) ? el2 : WORLD.NS_EL1), SMMU.WORLDS);
  store<u8>(unit + S1FMT.TWO_LEVEL_4K, CDS_PER_4K_LEAF_LOG2, SMMU.CD_LEAVES);
  store<u8>(unit + S1FMT.TWO_LEVEL_64K, CDS_PER_64K_LEAF_LOG2, SMMU.CD_LEAVES);
  store<u64>(unit, vmid, SMMU.STE_ODD2_STAGE1);
  store<u64>(
    unit,
    vmid |
      mask(STE.S2AA64) |
      mask(STE.S2S) |
      (littleOnly || bigOnly ? mask(STE.S2ENDI) : 0) |
      (noAccess ? mask(STE.S2HA) : 0) |
      (noDirty ? mask(STE.S2HD) : 0),
    SMMU.STE_ODD2_STAGE2,
  );
  store<u64>(
    unit,
    mask(STE.S2AA64) | (mayTerminate ? 0 : mask(STE.S2S)) | (bigOnly ? mask(STE.S2ENDI) : 0),
    SMMU.STE_PLAIN2,
  );

  store<u64>(
    unit,
    mask(CD.V) |
      mask(CD.AA64) |
      (mayStall && mayTerminate ? 0 : mask(CD.S)) |
      (noRazWi ? mask(CD.A) : 0) |
      // the fast walk knows no big-endian descriptors; where there are no others, it stops at the STE
      mask(CD.ENDI) |
      (noAccess ? mask(CD.HA) : 0) |
      (noDirty ? mask(CD.HD) : 0) |
      (has(f, FEATURE.ASID16) ? 0 : mask(CD_PART.ASID_HIGH)),
    SMMU.CD_ODD0,
  );
  store<u64>(unit, ~((noAccess ? mask(CD.HA) : 0) | (noDirty ? mask(CD.HD) : 0)), SMMU.CD_MASK0);
  store<u64>(
    unit,
    mask(CD.V) |
      mask(CD.AA64) |
      (mayTerminate ? 0 : mask(CD.S)) |
      (noRazWi ? mask(CD.A) : 0) |
      // § 5.4 ENDI: where only big-endian is implemented, 0 is ILLEGAL
      (bigOnly ? mask(CD.ENDI) : 0),
    SMMU.CD_PLAIN0,
  );
}
