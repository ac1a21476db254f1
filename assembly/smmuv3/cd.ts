/** Validity of a context descriptor. IHI 0070 5.4 "Context Descriptor", 5.4.1 "Validity of CD". */
import { get, has, read, readInPlace } from "../bits";
import { CD, CD_PART, STE, TG0, TG1, VA } from "../layout/smmuv3";
import { CHECK, FEATURE, SMMU, WORLD } from "../layout/smmuv3-unit";
import { check, marks } from "../modes";
import { asTG0, beyondOutput, granule, isStage1Size } from "./geometry";

/**
 * Whether a CD, with its word 0 and word 1 of the STE, needs the full check. Most do not: word 0 is as
 * plain as `smmuConfigure` wants it, and each table in use has a shape that exists and a base within the
 * output size. `Fast` looks at the table that `address` uses only when it walks it.
 */
// @ts-ignore: decorator
@inline
export function isOddCd<T>(unit: usize, ste1: u64, cd: usize, word0: u64, isEl2: bool, address: u64): bool {
  if ((word0 ^ load<u64>(unit, SMMU.CD_PLAIN0)) & load<u64>(unit, SMMU.CD_ODD0)) return true;
  if (has(word0, CD.S) && has(ste1, STE.S1STALLD)) return true;
  const isHigh = !isEl2 && has(address, VA.SELECT);
  if ((marks<T>() || isHigh) && (isEl2 || !has(word0, CD.EPD0))) {
    if (!load<u32>(unit + <usize>get(word0, CD_PART.TG0_T0SZ) * 4, SMMU.GEOMETRY0)) return true;
    if (isTable0Outside(unit, cd)) return true;
  }
  if ((marks<T>() || !isHigh) && !isEl2 && !has(word0, CD.EPD1)) {
    if (!load<u32>(unit + <usize>get(word0, CD_PART.TG1_T1SZ) * 4, SMMU.GEOMETRY1)) return true;
    if (isTable1Outside(unit, cd)) return true;
  }
  return false;
}

/** The first check of the list that the CD fails, 0 if it is valid. */
export function checkCd<T>(unit: usize, ste: usize, cd: usize, world: u32): u32 {
  const features = load<u64>(unit, SMMU.FEATURES);
  const stalls = read(cd, CD.S) != 0;
  // § 5.4 V
  if (check<T>(unit, CHECK.CD_V, !read(cd, CD.V))) return CHECK.CD_V;
  // § 5.4 S, STE.S1STALLD
  if (check<T>(unit, CHECK.CD_S1STALLD, stalls && read(ste, STE.S1STALLD) != 0)) return CHECK.CD_S1STALLD;
  // § 5.4 A, IDR0.TERM_MODEL
  if (check<T>(unit, CHECK.CD_A, !has(features, FEATURE.RAZ_WI) && !read(cd, CD.A))) return CHECK.CD_A;
  // § 5.4 S, IDR0.STALL_MODEL
  if (check<T>(unit, CHECK.CD_S, !has(features, stalls ? FEATURE.STALL : FEATURE.TERMINATE))) return CHECK.CD_S;
  // § 5.4 EPD0, EPD1: in the one-table regime EPD0 counts as 0 and the second table does not exist
  const uses0 = world == WORLD.EL2 || !read(cd, CD.EPD0);
  const uses1 = world != WORLD.EL2 && !read(cd, CD.EPD1);
  const badEndian = !has(features, read(cd, CD.ENDI) ? FEATURE.BIG_ENDIAN : FEATURE.LITTLE_ENDIAN);
  // § 5.4 ENDI, IDR0.TTENDIAN
  if (check<T>(unit, CHECK.CD_ENDI, badEndian && (uses0 || uses1))) return CHECK.CD_ENDI;
  // § 5.4 AA64, IDR0.TTF: only VMSAv8-64 is modelled, which leaves no other format behind stage 2 to refuse
  if (check<T>(unit, CHECK.CD_AA64, !read(cd, CD.AA64))) return CHECK.CD_AA64;
  const badHttu =
    (read(cd, CD.HD) != 0 && !has(features, FEATURE.HTTU_DIRTY)) ||
    (read(cd, CD.HA) != 0 && !has(features, FEATURE.HTTU_ACCESS));
  // Linux 7.3 sets HD and HA together for paging domains on PASIDs, and its devices work on SMMUs with
  // HTTU = 0 (captures A-smmu-pasid, -sva, -sva-pt). IHI 0070 5.4 has that ILLEGAL; here the pair is
  // masked by what is implemented (`CD_MASK0`), as those captures show, and either bit alone is ILLEGAL.
  const isLinux = read(cd, CD.HD) != 0 && read(cd, CD.HA) != 0;
  // § 5.4 HA, HD, IDR0.HTTU, but for that
  if (check<T>(unit, CHECK.CD_HTTU, badHttu && !isLinux)) return CHECK.CD_HTTU;
  const longAsid = world != WORLD.EL2 && !has(features, FEATURE.ASID16) && read(cd, CD_PART.ASID_HIGH) != 0;
  // § 5.4 ASID, IDR0.ASID16
  if (check<T>(unit, CHECK.CD_ASID, longAsid)) return CHECK.CD_ASID;
  return checkTables<T>(unit, cd, uses0, uses1);
}

/** § 5.4 TxSZ, TGx, TTBx of the tables in use. */
function checkTables<T>(unit: usize, cd: usize, uses0: bool, uses1: bool): u32 {
  const tg0 = <i32>read(cd, CD.TG0);
  const tg1 = asTG0(<i32>read(cd, CD.TG1));
  const badSize =
    (uses0 && !isStage1Size(unit, tg0, <i32>read(cd, CD.T0SZ))) ||
    (uses1 && !isStage1Size(unit, tg1, <i32>read(cd, CD.T1SZ)));
  if (check<T>(unit, CHECK.CD_TXSZ, badSize)) return CHECK.CD_TXSZ;
  const badGranule = (uses0 && !granule(unit, tg0)) || (uses1 && !granule(unit, tg1));
  if (check<T>(unit, CHECK.CD_TGX, badGranule)) return CHECK.CD_TGX;
  const outside = (uses0 && isTable0Outside(unit, cd)) || (uses1 && isTable1Outside(unit, cd));
  if (check<T>(unit, CHECK.CD_TTBX, outside)) return CHECK.CD_TTBX;
  return CHECK.NONE;
}

// @ts-ignore: decorator
@inline
function isTable0Outside(unit: usize, cd: usize): bool {
  const table = readInPlace(cd, CD.TTB0) & load<u64>(unit, SMMU.POINTERS);
  return (table & beyondOutput(unit, read(cd, CD.IPS), read(cd, CD.TG0) == TG0.GRANULE_64K)) != 0;
}

// @ts-ignore: decorator
@inline
function isTable1Outside(unit: usize, cd: usize): bool {
  const table = readInPlace(cd, CD.TTB1) & load<u64>(unit, SMMU.POINTERS);
  return (table & beyondOutput(unit, read(cd, CD.IPS), read(cd, CD.TG1) == TG1.GRANULE_64K)) != 0;
}
