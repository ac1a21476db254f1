/** What the SMMUv3's ID registers and GERROR mean, in plain words (Arm IHI 0070 6.3). */
import { AIDR, IDR0, IDR1, IDR3, IDR5, IIDR } from "../../../assembly/layout/smmuv3-ids.ts";
import { CMDQ_CONS, GERROR } from "../../../assembly/layout/smmuv3-registers.ts";
import { hex } from "../../check.ts";
import type { Layout } from "../../structure.ts";
import { choice, type Meaning, type Shape } from "../shape.ts";

const ENTRIES =
  (queue: string): Meaning =>
  (value) =>
    `${queue} of up to 2^${value} entries`;
const SIZES = choice("32 bits", "36 bits", "40 bits", "42 bits", "44 bits", "48 bits", "52 bits", "56 bits");

function register(title: string, purpose: string, layout: Layout, meanings: Shape["meanings"]): Shape {
  return { title, purpose, layout, meanings, addresses: [], always: [], register: true };
}

export const IDR0_SHAPE: Shape = register("SMMU_IDR0", "what the SMMU can do", IDR0, {
  S2P: "stage 2",
  S1P: "stage 1",
  TTF: choice("reserved", "AArch32 tables", "AArch64 tables", "AArch32 and AArch64 tables"),
  COHACC: "reads of tables and queues are coherent",
  BTM: "takes the CPUs' TLB maintenance",
  HTTU: choice("tables are not updated", "sets access flags", "sets access and dirty flags", "also of tables"),
  DORMHINT: "tells when it sleeps",
  HYP: "EL2 address spaces",
  ATS: "ATS",
  NS1ATS: "no split-stage ATS",
  ASID16: "16-bit ASIDs",
  MSI: "interrupts by message",
  SEV: "wakes CPUs from WFE",
  ATOS: "address translation registers",
  PRI: "PRI queue: page requests",
  VMW: "VMID wildcards",
  VMID16: "16-bit VMIDs",
  CD2L: "2-level tables of CDs",
  VATOS: "virtual address translation registers",
  TTENDIAN: choice("tables of either endianness", "reserved", "little-endian tables", "big-endian tables"),
  ATSRECERR: "records of ATS errors",
  STALL_MODEL: choice("faults may stall or terminate", "faults terminate", "faults stall", "reserved"),
  TERM_MODEL: "terminating means aborting",
  ST_LEVEL: choice("linear stream table", "linear or 2-level stream table", "reserved", "reserved"),
  RME_IMPL: "Realm state",
});

export const IDR1_SHAPE: Shape = register("SMMU_IDR1", "sizes", IDR1, {
  SIDSIZE: (value) => `StreamIDs of ${value} bits`,
  SSIDSIZE: (value) => (value === 0n ? "no substreams" : `SubstreamIDs (PASIDs) of ${value} bits`),
  PRIQS: ENTRIES("PRI queue"),
  EVENTQS: ENTRIES("event queue"),
  CMDQS: ENTRIES("command queue"),
  ATTR_PERMS_OVR: "privilege and instruction overrides",
  ATTR_TYPES_OVR: "memory type overrides",
  REL: "base addresses are relative",
  QUEUES_PRESET: "queue bases are fixed",
  TABLES_PRESET: "the stream table base is fixed",
  ECMDQ: "enhanced command queues",
});

export const IDR3_SHAPE: Shape = register("SMMU_IDR3", "more of what the SMMU can do", IDR3, {
  HAD: "hierarchical attributes can be disabled",
  PBHA: "page-based hardware attributes",
  XNX: "stage 2 execute-never by privilege",
  PPS: "automatic PRI responses always carry the PASID",
  MPAM: "memory partitioning",
  FWB: "stage 2 forces write-back",
  STT: "small translation tables",
  RIL: "range invalidation and level hints",
  BBML: choice("break before make", "block size may change, faults possible", "block size may change", "reserved"),
  E0PD: "E0PD",
  PTWNNC: "stage 2 device memory in table walks",
  DPT: "device permission table",
  PASIDTT: "PASID on translated transactions",
  EPAN: "enhanced PAN",
});

export const IDR5_SHAPE: Shape = register("SMMU_IDR5", "address sizes and granules", IDR5, {
  OAS: (value) => `output addresses of ${(SIZES as (value: bigint) => string)(value)}`,
  GRAN4K: "4 KiB granule",
  GRAN16K: "16 KiB granule",
  GRAN64K: "64 KiB granule",
  DS: "52-bit addresses with small granules",
  D128: "128-bit descriptors",
  VAX: choice("48-bit virtual addresses", "52-bit virtual addresses (64 KiB granule)", "reserved", "reserved"),
  STALL_MAX: "most transactions that may stall",
});

export const IIDR_SHAPE: Shape = register("SMMU_IIDR", "who made it", IIDR, {
  Implementer: (value) => (value === 0x43bn ? "Arm" : "JEP106 code"), // not a field: Arm's code
  ProductID: "product",
  Variant: "variant",
  Revision: "revision",
});

export const AIDR_SHAPE: Shape = register("SMMU_AIDR", "version of the architecture", AIDR, {
  ArchMinorRev: (value) => `SMMUv3.${value}`,
  ArchMajorRev: "0: SMMUv3",
});

export const GERROR_SHAPE: Shape = register("SMMU_GERROR", "global errors that are active", GERROR, {
  CMDQ_ERR: "the command queue stopped at a command",
  EVENTQ_ABT_ERR: "an event could not be written: events were lost",
  PRIQ_ABT_ERR: "a page request could not be written",
  MSI_CMDQ_ABT_ERR: "the completion message of a CMD_SYNC could not be written",
  MSI_EVENTQ_ABT_ERR: "the event queue's interrupt message could not be written",
  MSI_PRIQ_ABT_ERR: "the PRI queue's interrupt message could not be written",
  MSI_GERROR_ABT_ERR: "the error interrupt's message could not be written",
  SFM_ERR: "service failure mode: the SMMU stopped working",
});

export const CMDQ_CONS_SHAPE: Shape = register("SMMU_CMDQ_CONS", "how far commands were read", CMDQ_CONS, {
  RD: (value) => `next command to read, ${hex(value)}, the wrap bit on top`,
  ERR: choice("no error", "illegal command", "the command could not be read", "ATC invalidation timed out"),
});
