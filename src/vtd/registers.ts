/**
 * The register table of a VT-d unit: which registers its features give it, and what may be written.
 *
 * Intel D51397, rev 5.10, "Register Descriptions". What a write does is in `RegisterEffects`; the
 * table itself has no behaviour. A register of an absent feature is not in the table: it reads 0.
 */

import { GSTS, RTADDR } from "../../assembly/layout/vtd-base.ts";
import { CAP, ECAP, VER } from "../../assembly/layout/vtd-capabilities.ts";
import {
  CCMD,
  EVENT_ADDR,
  EVENT_CTL,
  EVENT_DATA,
  FRCD,
  FRCD_BYTES,
  FSTS,
  GCMD,
  ICS,
  IOTLB_REG,
  IOTLB_REG_OFFSET,
  IQ_POINTER,
  IQA,
  IQERCD,
  IRTA,
  IVA,
  IVA_OFFSET,
  MTRR_FIXED,
  MTRR_PHYSBASE,
  MTRR_PHYSMASK,
  MTRR_VARIABLE,
  MTRRCAP,
  MTRRDEF,
  OFFSET_UNIT,
  PMEN,
  PQ_POINTER,
  PQA,
  PROTECTED_REGION,
  PRS,
  RDTC,
  REG,
  REGISTER_PAGE,
} from "../../assembly/layout/vtd-registers.ts";
import type { Register, RegisterWrite } from "../registers.ts";
import { type Layout, maskOf, putBits } from "../structure.ts";
import type { VtdCapabilities } from "./capabilities.ts";

type Effect = (write: RegisterWrite) => void;

/** What writes do, each told what was written. */
export interface RegisterEffects {
  globalCommand: Effect;
  contextCommand: Effect;
  iotlbCommand: Effect;
  faultStatus: Effect;
  /** Of any fault recording register. */
  faultRecord: Effect;
  protectedMemory: Effect;
  queueTail: Effect;
  completionStatus: Effect;
  pageRequestStatus: Effect;
  faultControl: Effect;
  completionControl: Effect;
  pageRequestControl: Effect;
}

const DWORD = 0xffff_ffffn;
const QWORD = 0xffff_ffff_ffff_ffffn;
const REGISTER_BYTES = 8;

/** Union of fields. */
function masks(...fields: number[]): bigint {
  return fields.reduce((mask, field) => mask | maskOf(field), 0n);
}

/** Bytes of the register block: pages up to the last register, a power of two of them. */
export function registerBytes(capabilities: VtdCapabilities, fragments: readonly Register[] = []): number {
  const { FRO, NFR, IRO } = capabilities.features;
  const ends = fragments.map(({ offset, bits }) => offset + bits / REGISTER_BYTES);
  const end = Math.max((FRO + NFR + 1) * OFFSET_UNIT, (IRO + 1) * OFFSET_UNIT, REGISTER_PAGE, ...ends);
  return REGISTER_PAGE * 2 ** Math.ceil(Math.log2(end / REGISTER_PAGE));
}

/** The rows that `capabilities` give. */
export function vtdRegisters(capabilities: VtdCapabilities, effects: RegisterEffects): Register[] {
  const { features: has } = capabilities;
  return [
    ...globalRegisters(capabilities, effects),
    ...faultRegisters(capabilities, effects),
    ...(has.PLMR || has.PHMR ? protectedMemoryRegisters(capabilities, effects) : []),
    ...(has.QI ? queueRegisters(capabilities, effects) : []),
    ...(has.IR ? [interruptTableRegister(capabilities)] : []),
    ...(has.PRS ? pageRequestRegisters(capabilities, effects) : []),
    ...(has.MTS ? memoryTypeRegisters(capabilities) : []),
    ...(has.RDTS ? [row("RDTC", REG.RDTC, 64, "resource director", RDTC, { rw: masks(RDTC.CLOS, RDTC.RMID) })] : []),
  ];
}

function row(
  name: string,
  offset: number,
  bits: 32 | 64 | 128,
  title: string,
  layout: Layout,
  rest: Partial<Register> = {},
): Register {
  return { name, offset, bits, title, layout, ...rest };
}

function globalRegisters({ ver, cap, ecap, features }: VtdCapabilities, effects: RegisterEffects): Register[] {
  const iotlb = features.IRO * OFFSET_UNIT;
  return [
    row("VER", REG.VER, 32, "version", VER, { reset: ver }),
    row("CAP", REG.CAP, 64, "capabilities", CAP, { reset: cap }),
    row("ECAP", REG.ECAP, 64, "extended capabilities", ECAP, { reset: ecap }),
    row("GCMD", REG.GCMD, 32, "global command", GCMD, { wo: DWORD, effect: effects.globalCommand }),
    row("GSTS", REG.GSTS, 32, "global status", GSTS),
    row("RTADDR", REG.RTADDR, 64, "root table address", RTADDR, {
      rw: masks(RTADDR.RTA, RTADDR.TTM) | (features.SSIRWS ? maskOf(RTADDR.SSIRWE) : 0n),
    }),
    row("CCMD", REG.CCMD, 64, "context command", CCMD, {
      rw: masks(CCMD.ICC, CCMD.CIRG, CCMD.DID),
      wo: masks(CCMD.FM, CCMD.SID),
      effect: effects.contextCommand,
    }),
    row("IVA", iotlb + IVA_OFFSET, 64, "invalidate address", IVA, { wo: masks(IVA.ADDR, IVA.IH, IVA.AM) }),
    row("IOTLB", iotlb + IOTLB_REG_OFFSET, 64, "IOTLB invalidate", IOTLB_REG, {
      rw: masks(IOTLB_REG.IVT, IOTLB_REG.IIRG, IOTLB_REG.DR, IOTLB_REG.DW, IOTLB_REG.DID),
      effect: effects.iotlbCommand,
    }),
  ];
}

/** The four registers of an event: control, data, address, upper address. */
function eventRegisters(prefix: string, offset: number, title: string, upper: boolean, effect: Effect): Register[] {
  const [control, data, low, high] = [0, 1, 2, 3].map((i) => offset + (i * REGISTER_BYTES) / 2) as [
    number,
    number,
    number,
    number,
  ];
  return [
    row(`${prefix}CTL`, control, 32, `${title} control`, EVENT_CTL, {
      reset: maskOf(EVENT_CTL.IM),
      rw: maskOf(EVENT_CTL.IM),
      effect,
    }),
    row(`${prefix}DATA`, data, 32, `${title} message data`, EVENT_DATA, { rw: maskOf(EVENT_DATA.DATA) }),
    row(`${prefix}ADDR`, low, 32, `${title} message address`, EVENT_ADDR, { rw: maskOf(EVENT_ADDR.ADDR) }),
    row(`${prefix}UADDR`, high, 32, `${title} message upper address`, {}, { rw: upper ? DWORD : 0n }),
  ];
}

function faultRegisters({ features }: VtdCapabilities, effects: RegisterEffects): Register[] {
  const devices = features.DT ? masks(FSTS.ICE, FSTS.ITE) : 0n;
  const records = Array.from({ length: features.NFR + 1 }, (_, i) =>
    row(`FRCD${i}`, (features.FRO + i) * FRCD_BYTES, 128, "fault record", FRCD, {
      rw1c: maskOf(FRCD.F),
      sticky: (QWORD << BigInt(64)) | QWORD,
      effect: effects.faultRecord,
    }),
  );
  return [
    row("FSTS", REG.FSTS, 32, "fault status", FSTS, {
      rw1c: masks(FSTS.PFO, FSTS.IQE) | devices,
      sticky: DWORD,
      effect: effects.faultStatus,
    }),
    ...eventRegisters("FE", REG.FECTL, "fault event", features.EIM !== 0, effects.faultControl),
    ...records,
  ];
}

function protectedMemoryRegisters({ features, haw }: VtdCapabilities, effects: RegisterEffects): Register[] {
  // § Regions are aligned to 2 MiB; software finds out by writing ones.
  const address = maskOf(PROTECTED_REGION.ADDR) & ((1n << BigInt(haw)) - 1n);
  const rows = [
    row("PMEN", REG.PMEN, 32, "protected memory enable", PMEN, {
      rw: maskOf(PMEN.EPM),
      effect: effects.protectedMemory,
    }),
  ];
  if (features.PLMR) {
    rows.push(row("PLMBASE", REG.PLMBASE, 32, "protected low memory base", {}, { rw: address & DWORD }));
    rows.push(row("PLMLIMIT", REG.PLMLIMIT, 32, "protected low memory limit", {}, { rw: address & DWORD }));
  }
  if (features.PHMR) {
    rows.push(row("PHMBASE", REG.PHMBASE, 64, "protected high memory base", {}, { rw: address }));
    rows.push(row("PHMLIMIT", REG.PHMLIMIT, 64, "protected high memory limit", {}, { rw: address }));
  }
  return rows;
}

function queueRegisters({ features }: VtdCapabilities, effects: RegisterEffects): Register[] {
  const wide = features.SMTS || features.ADMS;
  return [
    row("IQH", REG.IQH, 64, "invalidation queue head", IQ_POINTER),
    row("IQT", REG.IQT, 64, "invalidation queue tail", IQ_POINTER, {
      rw: maskOf(IQ_POINTER.POINTER),
      effect: effects.queueTail,
    }),
    row("IQA", REG.IQA, 64, "invalidation queue address", IQA, {
      rw: masks(IQA.IQA, IQA.QS) | (wide ? maskOf(IQA.DW) : 0n),
    }),
    row("ICS", REG.ICS, 32, "invalidation completion status", ICS, {
      rw1c: maskOf(ICS.IWC),
      sticky: DWORD,
      effect: effects.completionStatus,
    }),
    ...eventRegisters("IE", REG.IECTL, "invalidation event", features.EIM !== 0, effects.completionControl),
    row("IQERCD", REG.IQERCD, 64, "invalidation queue error record", IQERCD, { sticky: QWORD }),
  ];
}

function interruptTableRegister({ features }: VtdCapabilities): Register {
  return row("IRTA", REG.IRTA, 64, "interrupt remapping table address", IRTA, {
    rw: masks(IRTA.IRTA, IRTA.S) | (features.EIM ? maskOf(IRTA.EIME) : 0n),
  });
}

function pageRequestRegisters({ features }: VtdCapabilities, effects: RegisterEffects): Register[] {
  return [
    row("PQH", REG.PQH, 64, "page request queue head", PQ_POINTER, { rw: maskOf(PQ_POINTER.POINTER) }),
    row("PQT", REG.PQT, 64, "page request queue tail", PQ_POINTER, { rw: maskOf(PQ_POINTER.POINTER) }),
    row("PQA", REG.PQA, 64, "page request queue address", PQA, { rw: masks(PQA.PQA, PQA.PQS) }),
    row("PRS", REG.PRS, 32, "page request status", PRS, {
      rw1c: masks(PRS.PPR, PRS.PRO),
      sticky: DWORD,
      effect: effects.pageRequestStatus,
    }),
    ...eventRegisters("PE", REG.PECTL, "page request event", features.EIM !== 0, effects.pageRequestControl),
  ];
}

/** Mirrors of the processor's memory type range registers: stored, for drivers that copy them. */
function memoryTypeRegisters({ haw }: VtdCapabilities): Register[] {
  const address = (1n << BigInt(haw)) - 1n;
  const count = putBits(putBits(0n, MTRRCAP.VCNT, MTRR_VARIABLE), MTRRCAP.FIX, 1);
  const fixed = Array.from({ length: MTRR_FIXED }, (_, i) =>
    row(`MTRRFIX${i}`, REG.MTRR_FIX64K_00000 + i * REGISTER_BYTES, 64, "fixed-range memory types", {}, { rw: QWORD }),
  );
  const variable = Array.from({ length: MTRR_VARIABLE }, (_, i) => {
    const base = REG.MTRR_PHYSBASE0 + 2 * i * REGISTER_BYTES;
    return [
      row(`MTRRBASE${i}`, base, 64, "memory type range base", MTRR_PHYSBASE, {
        rw: maskOf(MTRR_PHYSBASE.TYPE) | (maskOf(MTRR_PHYSBASE.BASE) & address),
      }),
      row(`MTRRMASK${i}`, base + REGISTER_BYTES, 64, "memory type range mask", MTRR_PHYSMASK, {
        rw: maskOf(MTRR_PHYSMASK.V) | (maskOf(MTRR_PHYSMASK.MASK) & address),
      }),
    ];
  });
  return [
    row("MTRRCAP", REG.MTRRCAP, 64, "memory type range capability", MTRRCAP, { reset: count }),
    row("MTRRDEF", REG.MTRRDEF, 64, "default memory type", MTRRDEF, {
      rw: masks(MTRRDEF.TYPE, MTRRDEF.FE, MTRRDEF.E),
    }),
    ...fixed,
    ...variable.flat(),
  ];
}
