/** StreamWorlds and TLB tags. IHI 0070 3.8 "Virtualization", 3.12 here: STRW and E2H; N7. */
import { has, place, read } from "../bits";
import { CONFIG_BIT, STE } from "../layout/smmuv3";
import { FEATURE, SMMU, TAG, WORLD } from "../layout/smmuv3-unit";
import { isEl2 } from "./ste";

/** The StreamWorld of an STE with a stage, by its word 1. */
// @ts-ignore: decorator
@inline
export function worldOf(unit: usize, word1: u64, config: u32): u32 {
  // § 3.12 STRW counts for stage 1 only streams
  if (config & CONFIG_BIT.STAGE2 || !isEl2(unit, word1)) return WORLD.NS_EL1;
  return has(load<u64>(unit, SMMU.FEATURES), FEATURE.E2H) ? WORLD.EL2_E2H : WORLD.EL2;
}

/** RESULT.TAGS of a translation. */
// @ts-ignore: decorator
@inline
export function tags(unit: usize, ste: usize, asid: u64, world: u32): u64 {
  // § 3.10 N7: a VMID tags all NS-EL1 translations of an SMMU with stage 2
  const usesVmid = world == WORLD.NS_EL1 && has(load<u64>(unit, SMMU.FEATURES), FEATURE.STAGE2);
  return usesVmid ? asid | place(TAG.VMID, read(ste, STE.S2VMID)) : asid;
}
