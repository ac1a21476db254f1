/** Validity of an STE. IHI 0070 5.2 "Stream Table Entry", 5.2.2 "Validity of STE". */
import { either, get, has, read, readInPlace, word } from "../bits";
import { CONFIG, CONFIG_BIT, EATS, S1FMT, STE, STE_PART, STRW, TG0 } from "../layout/smmuv3";
import { CHECK, FEATURE, SMMU } from "../layout/smmuv3-unit";
import { check } from "../modes";
import { beyondOutput, granule, isStage2Size, stage2Index } from "./geometry";

/**
 * Whether an STE, by its words 0 to 2, needs the full check. Most do not: V = 1, a Config with a stage
 * that exists, and nothing in the bits that `smmuConfigure` found worth a look.
 */
// @ts-ignore: decorator
@inline
export function isOddSte(unit: usize, ste: usize, word0: u64, word1: u64, word2: u64): bool {
  const config = get(word0, STE.Config);
  if (!has(word0, STE.V) || config <= <u64>CONFIG_BIT.LIVE) return true;
  if (config == CONFIG.STAGE1) return isOddStage1(unit, word0, word1, word2);
  if (word1 & load<u64>(unit, SMMU.STE_ODD1)) return true;
  if (config & CONFIG_BIT.STAGE1 && isOddStage1(unit, word0, 0, 0)) return true;
  if ((word2 ^ load<u64>(unit, SMMU.STE_PLAIN2)) & load<u64>(unit, SMMU.STE_ODD2_STAGE2)) return true;
  if (!load<u32>(unit + stage2Index(word2) * 4, SMMU.GEOMETRY2)) return true;
  return isTableOutside(unit, ste);
}

/** The same, of a valid STE with stage 1 alone. */
// @ts-ignore: decorator
@inline
export function isOddStage1(unit: usize, word0: u64, word1: u64, word2: u64): bool {
  const odd =
    (word0 & load<u64>(unit, SMMU.STE_ODD0)) |
    (word1 & load<u64>(unit, SMMU.STE_ODD1)) |
    (word2 & load<u64>(unit, SMMU.STE_ODD2_STAGE1));
  return either(odd != 0, get(word0, STE.S1CDMax) > <u64>load<u32>(unit, SMMU.SSID_BITS));
}

/** The first check of the list that the STE fails, 0 if it is valid. */
export function checkSte<T>(unit: usize, ste: usize): u32 {
  const features = load<u64>(unit, SMMU.FEATURES);
  const config = <u32>read(ste, STE.Config);
  const stage1 = (config & CONFIG_BIT.STAGE1) != 0;
  const stage2 = (config & CONFIG_BIT.STAGE2) != 0;
  // § 5.2 V
  if (check<T>(unit, CHECK.STE_V, !read(ste, STE.V))) return CHECK.STE_V;
  // § 5.2 Config = 0b0xx aborts without an event
  if (check<T>(unit, CHECK.STE_CONFIG, !(config & CONFIG_BIT.LIVE))) return CHECK.STE_CONFIG;
  // § 5.2 Config = 0b1x1, IDR0.S1P
  if (check<T>(unit, CHECK.STE_S1P, stage1 && !has(features, FEATURE.STAGE1))) return CHECK.STE_S1P;
  // § 5.2 Config = 0b11x, IDR0.S2P
  if (check<T>(unit, CHECK.STE_S2P, stage2 && !has(features, FEATURE.STAGE2))) return CHECK.STE_S2P;
  const ats = checkEats<T>(unit, ste, stage1, stage2);
  if (ats) return ats;
  if (stage1) {
    const bad = checkStage1<T>(unit, ste, stage2);
    if (bad) return bad;
  }
  if (stage2) {
    const bad = checkStage2<T>(unit, ste);
    if (bad) return bad;
  }
  const world = stage1 && !stage2 && isEl2(unit, word(ste, STE.STRW));
  const usesVmid = has(features, FEATURE.STAGE2) && (stage1 || stage2) && !world;
  // § 5.2 S2VMID, IDR0.VMID16
  const longVmid = usesVmid && !has(features, FEATURE.VMID16) && read(ste, STE_PART.S2VMID_HIGH) != 0;
  if (check<T>(unit, CHECK.STE_S2VMID, longVmid)) return CHECK.STE_S2VMID;
  return CHECK.NONE;
}

/** Whether the STE, by its word 1, selects the EL2 or EL2-E2H regime, were it stage 1 only. */
// @ts-ignore: decorator
@inline
export function isEl2(unit: usize, word1: u64): bool {
  return get(word1, STE.STRW) == STRW.EL2 && has(load<u64>(unit, SMMU.FEATURES), FEATURE.HYP);
}

function checkEats<T>(unit: usize, ste: usize, stage1: bool, stage2: bool): u32 {
  const features = load<u64>(unit, SMMU.FEATURES);
  const eats = has(features, FEATURE.ATS) && (stage1 || stage2) ? read(ste, STE.EATS) : EATS.NONE;
  const stalls = stage2 && read(ste, STE.S2S) != 0;
  const splitless = !stage1 || !stage2 || stalls || !has(features, FEATURE.ATS_SPLIT);
  // § 5.2 EATS = 0b10, IDR0.NS1ATS
  if (check<T>(unit, CHECK.STE_EATS_SPLIT, eats == EATS.SPLIT && splitless)) return CHECK.STE_EATS_SPLIT;
  // § 5.2 EATS = 0b01, S2S
  if (check<T>(unit, CHECK.STE_EATS_STALL, eats == EATS.FULL && stalls)) return CHECK.STE_EATS_STALL;
  return CHECK.NONE;
}

function checkStage1<T>(unit: usize, ste: usize, stage2: bool): u32 {
  const features = load<u64>(unit, SMMU.FEATURES);
  const strw = read(ste, STE.STRW);
  // § 5.2 STRW, IDR0.HYP
  const badWorld = !stage2 && has(features, FEATURE.HYP) && strw != STRW.NS_EL1 && strw != STRW.EL2;
  if (check<T>(unit, CHECK.STE_STRW, badWorld)) return CHECK.STE_STRW;
  const fixedStall = !(has(features, FEATURE.STALL) && has(features, FEATURE.TERMINATE));
  // § 5.2 S1STALLD, IDR0.STALL_MODEL
  if (check<T>(unit, CHECK.STE_S1STALLD, fixedStall && read(ste, STE.S1STALLD) != 0)) return CHECK.STE_S1STALLD;
  const ssidBits = load<u32>(unit, SMMU.SSID_BITS);
  const cds = ssidBits ? read(ste, STE.S1CDMax) : 0;
  // § 5.2 S1CDMax, IDR1.SSIDSIZE
  if (check<T>(unit, CHECK.STE_S1CDMAX, cds > <u64>ssidBits)) return CHECK.STE_S1CDMAX;
  const format = read(ste, STE.S1Fmt);
  const twoLevel = cds != 0 && (format == S1FMT.TWO_LEVEL_4K || format == S1FMT.TWO_LEVEL_64K);
  // § 5.2 S1Fmt, IDR0.CD2L
  if (check<T>(unit, CHECK.STE_S1FMT, twoLevel && !has(features, FEATURE.CD2L))) return CHECK.STE_S1FMT;
  const table = readInPlace(ste, STE.S1ContextPtr) & load<u64>(unit, SMMU.POINTERS);
  const limit = <u64>load<u32>(unit + (stage2 ? SMMU.IAS : SMMU.OAS));
  // § 5.2 S1ContextPtr, IDR5.OAS
  if (check<T>(unit, CHECK.STE_S1CONTEXTPTR, table >> limit != 0)) return CHECK.STE_S1CONTEXTPTR;
  return CHECK.NONE;
}

function checkStage2<T>(unit: usize, ste: usize): u32 {
  const features = load<u64>(unit, SMMU.FEATURES);
  const aa64 = read(ste, STE.S2AA64) != 0;
  const forced = has(features, FEATURE.FWB) && read(ste, STE.S2FWB) != 0;
  // § 5.2 S2FWB, S2AA64
  if (check<T>(unit, CHECK.STE_S2FWB, forced && !aa64)) return CHECK.STE_S2FWB;
  // § 5.2 S2S, IDR0.STALL_MODEL
  const badStall = !has(features, read(ste, STE.S2S) ? FEATURE.STALL : FEATURE.TERMINATE);
  if (check<T>(unit, CHECK.STE_S2S, badStall)) return CHECK.STE_S2S;
  // § 5.2 S2AA64, IDR0.TTF: only VMSAv8-64 is modelled
  if (check<T>(unit, CHECK.STE_S2AA64, !aa64)) return CHECK.STE_S2AA64;
  const dirty = read(ste, STE.S2HD) != 0;
  const badHttu =
    (dirty && !has(features, FEATURE.HTTU_DIRTY)) ||
    (read(ste, STE.S2HA) != 0 && !has(features, FEATURE.HTTU_ACCESS));
  // § 5.2 S2HA, S2HD, IDR0.HTTU
  if (check<T>(unit, CHECK.STE_HTTU, badHttu)) return CHECK.STE_HTTU;
  // § 5.2 S2TG, IDR5.GRAN4K, GRAN16K, GRAN64K
  const badGranule = !granule(unit, <i32>read(ste, STE.S2TG));
  if (check<T>(unit, CHECK.STE_S2TG, badGranule)) return CHECK.STE_S2TG;
  // § 5.2 S2TTB, S2PS
  if (check<T>(unit, CHECK.STE_S2TTB, isTableOutside(unit, ste))) return CHECK.STE_S2TTB;
  return checkStage2Shape<T>(unit, ste);
}

function checkStage2Shape<T>(unit: usize, ste: usize): u32 {
  const tg = <i32>read(ste, STE.S2TG);
  const badSize = !isStage2Size(unit, tg, <i32>read(ste, STE.S2T0SZ));
  // § 5.2 S2T0SZ
  if (check<T>(unit, CHECK.STE_S2T0SZ, badSize)) return CHECK.STE_S2T0SZ;
  const shape = load<u32>(unit + stage2Index(word(ste, STE.S2TG)) * 4, SMMU.GEOMETRY2);
  // § 5.2 S2SL0, S2T0SZ, S2TG
  if (check<T>(unit, CHECK.STE_S2SL0, !shape)) return CHECK.STE_S2SL0;
  const features = load<u64>(unit, SMMU.FEATURES);
  const badEndian = !has(features, read(ste, STE.S2ENDI) ? FEATURE.BIG_ENDIAN : FEATURE.LITTLE_ENDIAN);
  // § 5.2 S2ENDI, IDR0.TTENDIAN
  if (check<T>(unit, CHECK.STE_S2ENDI, badEndian)) return CHECK.STE_S2ENDI;
  return CHECK.NONE;
}

/** § 5.2 S2TTB: beyond the output size, which is 48 bits at most unless the granule is 64 KiB. */
// @ts-ignore: decorator
@inline
function isTableOutside(unit: usize, ste: usize): bool {
  const table = readInPlace(ste, STE.S2TTB) & load<u64>(unit, SMMU.POINTERS);
  const word2 = word(ste, STE.S2TG);
  return (table & beyondOutput(unit, get(word2, STE.S2PS), get(word2, STE.S2TG) == TG0.GRANULE_64K)) != 0;
}
