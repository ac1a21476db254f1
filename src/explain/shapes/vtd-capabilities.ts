/** What the bits of VT-d's VER, CAP and ECAP mean, in plain words (VT-d rev 5.10, 11.4.1 to 11.4.3). */
import { CAP, ECAP, VER } from "../../../assembly/layout/vtd-capabilities.ts";
import { OFFSET_UNIT } from "../../../assembly/layout/vtd-registers.ts";
import { hex } from "../../check.ts";
import { choice, type Meaning, type Shape } from "../shape.ts";

const OFFSET: Meaning = (value) => `at offset ${hex(value * BigInt(OFFSET_UNIT))} of the registers`;
const MINUS_1 =
  (unit: string): Meaning =>
  (value) =>
    `${value + 1n} ${unit}`;

const WIDTHS = ["reserved", "39 bits (3 levels)", "48 bits (4 levels)", "57 bits (5 levels)", "reserved"];

/** Names of the bits that are set. */
function set(value: bigint, names: readonly string[]): string {
  const digits = [...value.toString(2)].reverse();
  return names.filter((_, i) => digits[i] === "1").join(", ") || "none";
}

function register(title: string, purpose: string, layout: Shape["layout"], meanings: Shape["meanings"]): Shape {
  return { title, purpose, layout, meanings, addresses: [], always: [], register: true };
}

export const VER_SHAPE: Shape = register("Version register (VER)", "which revision the unit implements", VER, {
  MAX: "major version",
  MIN: "minor version",
});

export const CAP_SHAPE: Shape = register("Capability register (CAP)", "what the unit can do", CAP, {
  ND: (value) => `domain ids of ${4n + 2n * value} bits`,
  AFL: "advanced fault log (removed in revision 4.0)",
  RWBF: "software must flush write buffers",
  PLMR: "protected low memory region",
  PHMR: "protected high memory region",
  CM: "caching mode: not-present entries may be cached, so mapping needs an invalidation; emulators set it",
  SAGAW: (value) => `second-stage widths: ${set(value, WIDTHS)}`,
  MGAW: MINUS_1("bits of guest address at most"),
  ZLR: "zero-length reads of write-only pages succeed",
  FRO: (value) => `fault records ${(OFFSET as (value: bigint) => string)(value)}`,
  SSLPS: choice(
    "no second-stage large pages",
    "second-stage pages of 2 MiB",
    "reserved",
    "second-stage 2 MiB and 1 GiB",
  ),
  PSI: "page-selective IOTLB invalidation",
  NFR: MINUS_1("fault records"),
  MAMV: (value) => `an invalidation covers up to 2^${value} pages`,
  DWD: "drains writes",
  DRD: "drains reads",
  FS1GP: "first-stage pages of 1 GiB",
  PI: "posted interrupts",
  FS5LP: "first stage with 5 levels",
  ECMDS: "enhanced commands",
  ESIRTPS: "SIRTP invalidates the interrupt entry cache",
  ESRTPS: "SRTP invalidates every DMA cache; with 0 software must invalidate after it",
});

export const ECAP_SHAPE: Shape = register("Extended capability register (ECAP)", "what else the unit can do", ECAP, {
  C: "reads of tables snoop; with 0 software must flush them from the CPU's caches",
  QI: "queued invalidation",
  DT: "device-TLBs (ATS)",
  IR: "interrupt remapping",
  EIM: "32-bit APIC ids",
  PT: "pass-through",
  SC: "snoop control",
  IRO: (value) => `IOTLB registers ${(OFFSET as (value: bigint) => string)(value)}`,
  MHMV: "largest mask of an interrupt entry invalidation",
  MTS: "memory types",
  NEST: "nested translation",
  PRS: "page requests",
  ERS: "execute requests (being removed)",
  SRS: "privileged requests",
  NWFS: "no-write flag in translation requests",
  EAFS: "extended accessed flag",
  PSS: MINUS_1("bits of PASID"),
  PASID: "requests with PASID",
  DIT: "device-TLB invalidations are throttled",
  PDS: "page requests can be drained",
  SMTS: "scalable mode",
  VCS: "virtual commands: a hypervisor's unit",
  SSADS: "second-stage accessed and dirty bits",
  SSTS: "second stage in scalable mode",
  FSTS: "first stage: what SVA needs",
  SMPWCS: "page walks snoop (PASID.PWSNP)",
  RPS: "RID_PASID may be chosen",
  TDXCS: "TDX Connect",
  PMS: "performance monitoring",
  ADMS: "abort-DMA mode",
  RPRIVS: "RID_PRIV may be chosen",
  HPTS: "host permission tables",
  PTRS: "PASID in translated requests",
  SSIRWS: "second-stage I/O permission bits",
  SMS: "stop markers",
  HPT1GPS: "host permission pages of 1 GiB",
  RDTS: "resource director register",
  EIMER: "only extended interrupt mode",
  IRREQ: "interrupts are blocked while remapping is off",
});
