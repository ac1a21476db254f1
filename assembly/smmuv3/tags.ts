/** StreamWorlds and TLB tags. IHI 0070 3.8 "Virtualization", 3.17 (tags), 5.2 (STRW). */
import { element, get, moved, word } from "../bits";
import { CONFIG_BIT, STE } from "../layout/smmuv3";
import { SMMU, TAG, WORLD } from "../layout/smmuv3-unit";

/** The StreamWorld of an STE with a stage, by its word 1. */
// @ts-ignore: decorator
@inline
export function worldOf(unit: usize, word1: u64, config: u32): u32 {
  // § 5.2 STRW: counts for stage 1 only streams
  return config & CONFIG_BIT.STAGE2 ? WORLD.NS_EL1 : load<u8>(unit + <usize>get(word1, STE.STRW), SMMU.WORLDS);
}

/** RESULT.TAGS of a translation. */
// @ts-ignore: decorator
@inline
export function tags(unit: usize, ste: usize, asid: u64, world: u32): u64 {
  // § 3.17 a VMID tags all NS-EL1 translations of an SMMU with stage 2
  return asid | moved(word(ste, STE.S2VMID) & element(unit + SMMU.TAG_MASKS, world), STE.S2VMID, TAG.VMID);
}
