/** Which features go together: Arm IHI 0070 6.3.1 to 6.3.6, and what each version makes mandatory. */
import { ADDRESS_SIZE, HTTU, STALL_MODEL, TTF } from "../../assembly/layout/smmuv3-ids.ts";
import type { SmmuFeatures } from "./features.ts";

const MAX_QUEUE_LOG2 = 19;
const MAX_SIDSIZE = 32;
const MAX_SSIDSIZE = 20;

/** A feature and the one it builds on: without that it reads 0 and does nothing. */
export const BUILDS_ON: Partial<Readonly<Record<keyof SmmuFeatures, keyof SmmuFeatures>>> = {
  SSIDSIZE: "S1P",
  HYP: "S1P",
  HAD: "S1P",
  CD2L: "SSIDSIZE",
  VMID16: "S2P",
  VMW: "S2P",
  XNX: "S2P",
  FWB: "S2P",
  NS1ATS: "ATS",
  ATSRECERR: "ATS",
  PRI: "ATS",
  PPS: "PRI",
  PRIQS: "PRI",
};

/**
 * What a conforming SMMU would not announce, by name: a feature without what it builds on (it has no
 * effect), or without what its version makes mandatory. Real models do both, so that from registers
 * it is let pass.
 */
export function oddities(f: SmmuFeatures): string[] {
  const stalls = f.STALL_MODEL !== STALL_MODEL.TERMINATE_ONLY;
  const both = f.S1P === 1 && f.S2P === 1;
  return broken([
    ...Object.entries(BUILDS_ON).map(([name, base]): Rule => {
      const value = f[name as keyof SmmuFeatures];
      return [value > 0 && !f[base], `${name}: ${value} without ${base}`];
    }),
    [f.ArchMinorRev >= 1 && f.S1P === 1 && !f.HAD, "HAD: mandatory from v3.1 with S1P"],
    [f.ArchMinorRev >= 1 && f.S2P === 1 && !f.XNX, "XNX: mandatory from v3.1 with S2P"],
    [f.ArchMinorRev >= 2 && f.S2P === 1 && !f.FWB, "FWB: mandatory from v3.2 with S2P"],
    [f.ArchMinorRev >= 2 && both && !f.HYP, "HYP: mandatory from v3.2 with both stages"],
    [f.ArchMinorRev >= 2 && !f.RIL, "RIL: mandatory from v3.2"],
    [f.ArchMinorRev >= 2 && !f.BBML, "BBML: at least 1 is mandatory from v3.2"],
    [stalls && f.STALL_MAX === 0, "STALL_MAX: 0, but STALL_MODEL announces stalls"],
  ]);
}

type Rule = [breaks: boolean, text: string];

function broken(rules: readonly Rule[]): string[] {
  return rules.filter(([breaks]) => breaks).map(([, text]) => text);
}

/** What no SMMU can be, and what this one cannot. */
export function contradictions(f: SmmuFeatures): string[] {
  return broken([
    [f.ArchMinorRev > 3, `ArchMinorRev: ${f.ArchMinorRev} is not modelled, 3 (v3.3) is the highest`],
    [!f.S1P && !f.S2P, "S1P, S2P: at least one stage must be implemented"],
    [f.TTF === 0, "TTF: 0 is reserved"],
    [(f.TTF & TTF.AARCH32) !== 0, `TTF: ${f.TTF} announces AArch32 LPAE tables, which are not modelled`],
    [f.HTTU === HTTU.ACCESS_DIRTY_TABLE, "HTTU: 3 (access flag of table descriptors) is not modelled"],
    [f.TTENDIAN === 1, "TTENDIAN: 1 is reserved"],
    [f.STALL_MODEL > STALL_MODEL.STALL_FORCED, "STALL_MODEL: 3 is reserved"],
    [
      f.STALL_MODEL === STALL_MODEL.TERMINATE_ONLY && f.STALL_MAX > 0,
      `STALL_MAX: ${f.STALL_MAX}, but STALL_MODEL announces no stalls`,
    ],
    [f.ST_LEVEL > 1, `ST_LEVEL: ${f.ST_LEVEL} is reserved`],
    [f.SIDSIZE > MAX_SIDSIZE, `SIDSIZE: ${f.SIDSIZE} > ${MAX_SIDSIZE}`],
    [f.SIDSIZE >= 7 && !f.ST_LEVEL, `ST_LEVEL: 0, but SIDSIZE ${f.SIDSIZE} >= 7 demands two-level stream tables`],
    [f.SSIDSIZE > MAX_SSIDSIZE, `SSIDSIZE: ${f.SSIDSIZE} > ${MAX_SSIDSIZE}`],
    [f.PRI === 1 && !f.ATS, "PRI: 1 without ATS"],
    [f.BBML > 2, "BBML: 3 is reserved"],
    [f.OAS > ADDRESS_SIZE.BITS_52, `OAS: ${f.OAS} is not modelled, 6 (52 bits) is the highest`],
    [f.OAS === ADDRESS_SIZE.BITS_52 && f.ArchMinorRev === 0, "OAS: 52 bits need v3.1"],
    [f.VAX > 1, `VAX: ${f.VAX} is reserved`],
    [f.VAX === 1 && f.ArchMinorRev === 0, "VAX: 52-bit addresses need v3.1"],
    [f.VAX === 1 && !f.GRAN64K, "VAX: 52-bit addresses need GRAN64K"],
    [!f.GRAN4K && !f.GRAN16K && !f.GRAN64K, "GRAN4K, GRAN16K, GRAN64K: at least one must be implemented"],
    ...(["PRIQS", "EVENTQS", "CMDQS"] as const).map(
      (name): Rule => [f[name] > MAX_QUEUE_LOG2, `${name}: ${f[name]} > ${MAX_QUEUE_LOG2}`],
    ),
  ]);
}
