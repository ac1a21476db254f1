/**
 * The registers of an SMMU, pages 0 and 1: Arm IHI 0070, chapter 6.
 *
 * A table only; what a register does when it is written is in `SmmuEffects`, which the unit provides.
 * Writes that come at the wrong time are ignored here (`locked`), see `choices.ts`.
 */

import { STRTAB_BASE, STRTAB_BASE_CFG } from "../../assembly/layout/smmuv3-base.ts";
import { AIDR, IDR0, IDR1, IDR3, IDR5, IIDR, IIDR_PART, STRTAB_FORMAT } from "../../assembly/layout/smmuv3-ids.ts";
import {
  CIDR_VALUE,
  CR0,
  CR1,
  CR2,
  GBPA,
  GERROR,
  IRQ_CTRL,
  PAGE_BYTES,
  PAGE0,
  PAGE1,
  PIDR0,
  PIDR1,
  PIDR2,
  PIDR3,
  PIDR4,
} from "../../assembly/layout/smmuv3-registers.ts";
import { type Register, RegisterFile } from "../registers.ts";
import { build, getBits, type Layout, maskOf, putBits } from "../structure.ts";
import { idRegisters, type SmmuFeatures } from "./features.ts";
import {
  addressMask,
  type Enabled,
  type IrqName,
  interruptRegisters,
  masksOf,
  type QueueName,
  queueRegisters,
} from "./queue-registers.ts";

export type SmmuRegister =
  | "IDR0"
  | "IDR1"
  | "IDR2"
  | "IDR3"
  | "IDR4"
  | "IDR5"
  | "IIDR"
  | "AIDR"
  | "CR0"
  | "CR0ACK"
  | "CR1"
  | "CR2"
  | "STATUSR"
  | "GBPA"
  | "IRQ_CTRL"
  | "IRQ_CTRLACK"
  | "GERROR"
  | "GERRORN"
  | "STRTAB_BASE"
  | "STRTAB_BASE_CFG"
  | `${QueueName}_BASE`
  | `${QueueName}_PROD`
  | `${QueueName}_CONS`
  | `${IrqName}_IRQ_CFG${0 | 1 | 2}`
  | `CIDR${0 | 1 | 2 | 3}`
  | `PIDR${0 | 1 | 2 | 3 | 4 | 5 | 6 | 7}`;

/** What the unit does after a write. */
export interface SmmuEffects {
  /** CR0, IRQ_CTRL or GBPA asks for an update. */
  update(): void;
  /** STRTAB_BASE, STRTAB_BASE_CFG, CR1 or CR2 changed. */
  configuration(): void;
  /** Errors were acknowledged. */
  acknowledged(): void;
  /** There may be commands. */
  commands(): void;
  /** There may be room for events. */
  room(): void;
}

export type SmmuRegisters = RegisterFile<SmmuRegister>;

const BYTES = 2 * PAGE_BYTES;
/** Bypass that keeps the incoming shareability. */
const GBPA_RESET = putBits(0n, GBPA.SHCFG, 1);

/** Bits of CR0 that this SMMU has, and so of CR0ACK. */
export function cr0Mask(features: SmmuFeatures): bigint {
  return (
    masksOf(CR0.SMMUEN, CR0.EVENTQEN, CR0.CMDQEN) |
    (features.PRI ? maskOf(CR0.PRIQEN) : 0n) |
    (features.ATS ? maskOf(CR0.ATSCHK) : 0n) |
    (features.VMW ? maskOf(CR0.VMW) : 0n)
  );
}

/** Bits of IRQ_CTRL that this SMMU has. */
export function irqMask(features: SmmuFeatures): bigint {
  return masksOf(IRQ_CTRL.GERROR_IRQEN, IRQ_CTRL.EVENTQ_IRQEN) | (features.PRI ? maskOf(IRQ_CTRL.PRIQ_IRQEN) : 0n);
}

/** The register file of an SMMU with these features. */
export function smmuRegisters(features: SmmuFeatures, effects: SmmuEffects): SmmuRegisters {
  const file: SmmuRegisters = new RegisterFile<SmmuRegister>(
    [
      ...identification(features),
      ...control(features, effects, enabled),
      ...streamTable(features, effects, enabled),
      ...queueRegisters("CMDQ", features, effects, enabled),
      ...queueRegisters("EVENTQ", features, effects, enabled),
      ...interruptRegisters("GERROR", features, interruptEnabled),
      ...interruptRegisters("EVENTQ", features, interruptEnabled),
      ...(features.PRI
        ? [
            ...queueRegisters("PRIQ", features, effects, enabled),
            ...interruptRegisters("PRIQ", features, interruptEnabled),
          ]
        : []),
    ],
    { bytes: BYTES },
  );
  /** Whether CR0 asks for it, or it is still in effect. */
  function enabled(field: number): boolean {
    return file.has("CR0", field) || file.has("CR0ACK", field);
  }
  function interruptEnabled(field: number): boolean {
    return file.has("IRQ_CTRL", field) || file.has("IRQ_CTRLACK", field);
  }
  return file;
}

/**
 * The offset that an access means: page 0 has aliases of the queue indexes that live in page 1.
 * @param offset bytes from the start of page 0
 */
export function unalias(offset: number): number {
  return offset in PAGE1 ? PAGE_BYTES + offset : offset;
}

function readOnly(
  name: SmmuRegister,
  offset: number,
  title: string,
  reset: number,
  layout: Layout = {},
): Register<SmmuRegister> {
  return { name, offset, bits: 32, title, layout, reset: BigInt(reset) };
}

function identification(features: SmmuFeatures): Register<SmmuRegister>[] {
  const ids = idRegisters(features);
  return [
    readOnly("IDR0", PAGE0.IDR0, "Features", ids.IDR0, IDR0),
    readOnly("IDR1", PAGE0.IDR1, "Sizes of identifiers and queues", ids.IDR1, IDR1),
    readOnly("IDR2", PAGE0.IDR2, "VATOS page", ids.IDR2),
    readOnly("IDR3", PAGE0.IDR3, "Later features", ids.IDR3, IDR3),
    readOnly("IDR4", PAGE0.IDR4, "Implementation defined", 0),
    readOnly("IDR5", PAGE0.IDR5, "Addresses and granules", ids.IDR5, IDR5),
    readOnly("IIDR", PAGE0.IIDR, "Implementer", ids.IIDR, IIDR),
    readOnly("AIDR", PAGE0.AIDR, "Architecture version", ids.AIDR, AIDR),
    ...peripheralIds(BigInt(ids.IIDR)),
    ...([0, 1, 2, 3] as const).map((n) =>
      readOnly(`CIDR${n}`, PAGE0[`CIDR${n}`], "Component ID", CIDR_VALUE[`CIDR${n}`]),
    ),
  ];
}

/** 6.3: IMPLEMENTATION DEFINED; here they say what IIDR says, in the way of all Arm components. */
function peripheralIds(iidr: bigint): Register<SmmuRegister>[] {
  const part = (field: IIDR_PART | IIDR): number => Number(getBits(iidr, field));
  const id = (n: 0 | 1 | 2 | 3 | 4 | 5 | 6 | 7, layout: Layout, values: Record<string, number>) =>
    readOnly(`PIDR${n}`, PAGE0[`PIDR${n}`], "Peripheral ID", Number(build(layout, 1, values)[0]), layout);
  return [
    id(0, PIDR0, { PART_0: part(IIDR_PART.PART_0) }),
    id(1, PIDR1, { PART_1: part(IIDR_PART.PART_1), DES_0: part(IIDR_PART.DES_0) }),
    id(2, PIDR2, { DES_1: part(IIDR_PART.DES_1), JEDEC: 1, REVISION: part(IIDR.Variant) }),
    id(3, PIDR3, { REVAND: part(IIDR.Revision) }),
    id(4, PIDR4, { DES_2: part(IIDR_PART.DES_2) }),
    id(5, {}, {}),
    id(6, {}, {}),
    id(7, {}, {}),
  ];
}

function control(features: SmmuFeatures, effects: SmmuEffects, enabled: Enabled): Register<SmmuRegister>[] {
  const tables = masksOf(CR1.TABLE_SH, CR1.TABLE_OC, CR1.TABLE_IC);
  const queues = masksOf(CR1.QUEUE_SH, CR1.QUEUE_OC, CR1.QUEUE_IC);
  const cr2 =
    masksOf(CR2.RECINVSID, CR2.PTM) |
    (features.HYP ? maskOf(CR2.E2H) : 0n) |
    (features.ATSRECERR ? maskOf(CR2.REC_CFG_ATS) : 0n);
  const gbpa = masksOf(...Object.values(GBPA).filter((field): field is GBPA => typeof field === "number"));
  const gerror = masksOf(...Object.values(GERROR).filter((field): field is GERROR => typeof field === "number"));
  const anyQueue = () => enabled(CR0.CMDQEN) || enabled(CR0.EVENTQEN) || enabled(CR0.PRIQEN);
  const { update, configuration, acknowledged } = effects;
  return [
    { name: "CR0", offset: PAGE0.CR0, bits: 32, title: "Enables", layout: CR0, rw: cr0Mask(features), effect: update },
    readOnly("CR0ACK", PAGE0.CR0ACK, "Enables in effect", 0, CR0),
    {
      name: "CR1",
      offset: PAGE0.CR1,
      bits: 32,
      title: "Attributes of table and queue accesses",
      layout: CR1,
      rw: tables | queues,
      locked: () => (enabled(CR0.SMMUEN) ? tables : 0n) | (anyQueue() ? queues : 0n),
      effect: configuration,
    },
    {
      name: "CR2",
      offset: PAGE0.CR2,
      bits: 32,
      title: "Miscellaneous",
      layout: CR2,
      rw: cr2,
      locked: () => (enabled(CR0.SMMUEN) ? cr2 : 0n),
      effect: configuration,
    },
    readOnly("STATUSR", PAGE0.STATUSR, "Status", 0),
    {
      name: "GBPA",
      offset: PAGE0.GBPA,
      bits: 32,
      title: "Attributes, or abort, while translation is off",
      layout: GBPA,
      reset: GBPA_RESET,
      rw: gbpa,
      locked: (written, before) => (written & ~before & maskOf(GBPA.Update) ? 0n : gbpa),
      effect: update,
    },
    {
      name: "IRQ_CTRL",
      offset: PAGE0.IRQ_CTRL,
      bits: 32,
      title: "Interrupt enables",
      layout: IRQ_CTRL,
      rw: irqMask(features),
      effect: update,
    },
    readOnly("IRQ_CTRLACK", PAGE0.IRQ_CTRLACK, "Interrupt enables in effect", 0, IRQ_CTRL),
    readOnly("GERROR", PAGE0.GERROR, "Global errors", 0, GERROR),
    {
      name: "GERRORN",
      offset: PAGE0.GERRORN,
      bits: 32,
      title: "Global errors acknowledged",
      layout: GERROR,
      rw: gerror,
      effect: acknowledged,
    },
  ];
}

function streamTable(features: SmmuFeatures, effects: SmmuEffects, enabled: Enabled): Register<SmmuRegister>[] {
  const base = addressMask(features, STRTAB_BASE.ADDR) | maskOf(STRTAB_BASE.RA);
  const twoLevel = features.ST_LEVEL === STRTAB_FORMAT.TWO_LEVEL;
  const config =
    maskOf(STRTAB_BASE_CFG.LOG2SIZE) | (twoLevel ? masksOf(STRTAB_BASE_CFG.SPLIT, STRTAB_BASE_CFG.FMT) : 0n);
  const { configuration } = effects;
  return [
    {
      name: "STRTAB_BASE",
      offset: PAGE0.STRTAB_BASE,
      bits: 64,
      title: "Stream table",
      layout: STRTAB_BASE,
      rw: base,
      locked: () => (enabled(CR0.SMMUEN) ? base : 0n),
      effect: configuration,
    },
    {
      name: "STRTAB_BASE_CFG",
      offset: PAGE0.STRTAB_BASE_CFG,
      bits: 32,
      title: "Shape of the stream table",
      layout: STRTAB_BASE_CFG,
      rw: config,
      locked: () => (enabled(CR0.SMMUEN) ? config : 0n),
      effect: configuration,
    },
  ];
}
