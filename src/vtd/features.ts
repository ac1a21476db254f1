/**
 * What one VT-d unit can do: a value for every field of VER, CAP and ECAP, and the rules between them.
 *
 * Intel D51397, rev 5.10, "Version Register", "Capability Register", "Extended Capability Register".
 */
import { CAP, ECAP, VER } from "../../assembly/layout/vtd-capabilities.ts";
import { fieldsOf, type Layout } from "../structure.ts";

/** Every member is the field of that name as it reads; flags are 0 or 1. */
export interface VtdFeatures {
  /** Host address width in bits (ACPI DMAR table), 32..52. */
  HAW: number;

  /** VER: major and minor version. Register-based invalidation ends with major version 6. */
  MAX: number;
  MIN: number;

  /** CAP. Domain ids have 4 + 2 * ND bits, ND 0..6. */
  ND: number;
  /** Software must flush write buffers (GCMD.WBF). */
  RWBF: number;
  /** Protected low and high memory regions. */
  PLMR: number;
  PHMR: number;
  /** Caching mode: entries that fault may be cached. */
  CM: number;
  /** Second-stage widths: bit 1 = 39, bit 2 = 48, bit 3 = 57 bits. */
  SAGAW: number;
  /** Largest guest address width, minus 1. */
  MGAW: number;
  /** Zero-length reads of write-only pages succeed. */
  ZLR: number;
  /** Offset of the fault recording registers, in units of 16 bytes. */
  FRO: number;
  /** Second-stage large pages: 0 none, 1 = 2 MiB, 3 = 2 MiB and 1 GiB. */
  SSLPS: number;
  /** Page-selective invalidation, up to 2^MAMV pages at a time. */
  PSI: number;
  MAMV: number;
  /** Number of fault recording registers, minus 1. */
  NFR: number;
  /** Draining of writes and reads. */
  DWD: number;
  DRD: number;
  /** First-stage 1 GiB pages, and 5-level paging. */
  FS1GP: number;
  FS5LP: number;
  /** SIRTP invalidates the interrupt entry cache; SRTP invalidates all other caches. */
  ESIRTPS: number;
  ESRTPS: number;

  /** ECAP. Structures are read coherently. */
  C: number;
  /** Queued invalidation. */
  QI: number;
  /** Device-TLBs (ATS). */
  DT: number;
  /** Interrupt remapping, and 32-bit APIC ids in it. */
  IR: number;
  EIM: number;
  /** Pass-through. */
  PT: number;
  /** Snoop control. */
  SC: number;
  /** Offset of IVA and IOTLB_REG, in units of 16 bytes. */
  IRO: number;
  /** Largest index mask of an interrupt entry invalidation. */
  MHMV: number;
  /** Memory types (PAT, EMT, MTRR). */
  MTS: number;
  /** Nested translation. */
  NEST: number;
  /** Page requests. */
  PRS: number;
  /** Supervisor (privileged) requests. */
  SRS: number;
  /** The no-write flag of translation requests counts. */
  NWFS: number;
  /** First-stage extended-accessed flag. */
  EAFS: number;
  /** PASID width, minus 1. */
  PSS: number;
  /** Requests with PASID. */
  PASID: number;
  /** Device-TLB invalidations are throttled: PFSID and MIP count. */
  DIT: number;
  /** Wait descriptors can drain page requests. */
  PDS: number;
  /** Scalable mode. */
  SMTS: number;
  /** Virtual command registers. */
  VCS: number;
  /** Second-stage accessed and dirty flags. */
  SSADS: number;
  /** Second-stage, and first-stage, translation in scalable mode. */
  SSTS: number;
  FSTS: number;
  /** Page walks can snoop (PASID.PWSNP). */
  SMPWCS: number;
  /** SCONTEXT.RID_PASID, and RID_PRIV, count. */
  RPS: number;
  RPRIVS: number;
  /** Abort-DMA mode. */
  ADMS: number;
  /** Host permission tables, and 1 GiB pages in them. */
  HPTS: number;
  HPT1GPS: number;
  /** Translated requests may carry a PASID. */
  PTRS: number;
  /** Second-stage I/O permission bits (RTADDR.SSIRWE). */
  SSIRWS: number;
  /** Stop markers that cannot be queued are dropped. */
  SMS: number;
  /** RDTC register. */
  RDTS: number;
  /** Only the extended interrupt mode is allowed. */
  EIMER: number;
  /** Message interrupts are blocked while interrupt remapping is off. */
  IRREQ: number;
}

export type VtdFeature = keyof VtdFeatures;

/** Fields that read 0, and what is therefore not there. */
export const NOT_MODELLED: Readonly<Record<string, string>> = {
  AFL: "advanced fault logging, removed in revision 4.0",
  PI: "posted interrupts",
  ECMDS: "enhanced commands",
  PMS: "performance monitoring",
  ERS: "execute requests, being removed from the architecture",
  TDXCS: "TDX Connect",
};

/** A unit with queued invalidation and second-stage translation: what a configuration starts from. */
export const BASE_FEATURES: Readonly<VtdFeatures> = {
  ...(Object.fromEntries(
    [VER, CAP, ECAP].flatMap((layout) =>
      fieldsOf(layout)
        .filter(({ name }) => !(name in NOT_MODELLED))
        .map(({ name }) => [name, 0]),
    ),
  ) as unknown as VtdFeatures),
  HAW: 48,
  MAX: 5,
  ND: 6,
  SAGAW: 0b100,
  MGAW: 47,
  ZLR: 1,
  FRO: 0x22,
  SSLPS: 3,
  PSI: 1,
  MAMV: 18,
  DWD: 1,
  DRD: 1,
  ESRTPS: 1,
  C: 1,
  QI: 1,
  PT: 1,
  IRO: 0xf,
};

/** What each feature needs: without it the field must be 0. */
const NEEDS: Partial<Record<VtdFeature, readonly VtdFeature[]>> = {
  MAMV: ["PSI"],
  FS1GP: ["FSTS"],
  FS5LP: ["FSTS"],
  DT: ["QI"],
  IR: ["QI"],
  EIM: ["IR"],
  MHMV: ["IR"],
  ESIRTPS: ["IR"],
  MTS: ["SMTS"],
  NEST: ["SMTS", "FSTS", "SSTS"],
  PRS: ["DT", "SMTS"],
  SRS: ["SMTS"],
  NWFS: ["DT"],
  EAFS: ["FSTS", "SMPWCS"],
  PSS: ["SMTS"],
  PASID: ["SMTS"],
  DIT: ["DT"],
  PDS: ["DT"],
  SMTS: ["QI"],
  SSADS: ["SMPWCS"],
  FSTS: ["SMTS"],
  SMPWCS: ["SMTS"],
  RPS: ["SMTS"],
  RPRIVS: ["SRS"],
  HPTS: ["SMTS", "DT"],
  HPT1GPS: ["HPTS"],
  PTRS: ["DT", "PASID"],
  SSIRWS: ["SSTS"],
  SMS: ["PRS"],
  EIMER: ["EIM"],
  IRREQ: ["IR"],
};

/** First version that always drains; first without register-based invalidation. */
const ALWAYS_DRAINS = 2;
const NO_REGISTER_INVALIDATION = 6;

/** Rules between values: broken if the predicate holds. */
const RULES: readonly [(f: Readonly<VtdFeatures>) => boolean, string][] = [
  [(f) => f.HAW < 32 || f.HAW > 52, "HAW must be in 32..52"],
  [(f) => f.MGAW + 1 < f.HAW, "MGAW + 1 must not be below HAW"],
  [(f) => f.ND > 6, "ND must not be above 6"],
  [(f) => (f.SAGAW & ~0b1110) !== 0, "SAGAW may have bits 1, 2 and 3 only"],
  [
    (f) => f.SAGAW === 0 && (f.SSTS !== 0 || f.MAX < NO_REGISTER_INVALIDATION),
    "SAGAW must name a width, unless SSTS is 0 in major version 6 or later",
  ],
  [
    (f) => f.SAGAW !== 0 && f.SSTS === 0 && f.MAX >= NO_REGISTER_INVALIDATION,
    "SAGAW must be 0 when SSTS is 0 in major version 6 or later",
  ],
  [(f) => ![0, 1, 3].includes(f.SSLPS), "SSLPS must be 0, 1 or 3"],
  [(f) => f.SMTS !== 0 && f.RWBF !== 0, "RWBF must be 0 when SMTS is 1"],
  [(f) => f.MAX >= ALWAYS_DRAINS && (f.DWD === 0 || f.DRD === 0), "DWD and DRD must be 1 from major version 2 on"],
  [(f) => f.PSS > 19, "PSS must not be above 19"],
  [(f) => f.FRO === 0, "FRO must not be 0"],
  [(f) => f.IRO === 0, "IRO must not be 0"],
];

/** Every rule that `features` break, in words, each naming its field first. */
export function brokenRules(features: Readonly<VtdFeatures>): string[] {
  const needs = Object.entries(NEEDS).flatMap(([name, needed]) =>
    needed
      .filter((other) => features[name as VtdFeature] !== 0 && features[other] === 0)
      .map((other) => `${name} must be 0 when ${other} is 0`),
  );
  return [...needs, ...RULES.filter(([broken]) => broken(features)).map(([, rule]) => rule)];
}

/** `features` without those whose needs are not met: how hardware that advertises too much behaves. */
export function withoutUnmet(features: Readonly<VtdFeatures>): VtdFeatures {
  const result = { ...features };
  for (let changed = true; changed; ) {
    changed = false;
    for (const [name, needed] of Object.entries(NEEDS)) {
      if (result[name as VtdFeature] === 0 || needed.every((other) => result[other] !== 0)) continue;
      result[name as VtdFeature] = 0;
      changed = true;
    }
  }
  if (result.SMTS) result.RWBF = 0;
  return result;
}

/** Where each feature is: the register's layout. */
export const FEATURE_LAYOUTS: Readonly<Record<"VER" | "CAP" | "ECAP", Layout>> = { VER, CAP, ECAP };
