/**
 * The second opinion on SMMUv3 walks: plain words for what the oracle knows (IHI 0070 and the VMSAv8-64
 * chapter of the Arm ARM), written apart from the emulator. Slow and clear on purpose: everything is a
 * BigInt, structures are lists of 64-bit words, and a fault is thrown as a value.
 */
import type { Answer, Request } from "../../../src/iommu.ts";

/** Memory as the SMMU sees it; `undefined` is a bus error. */
export interface OracleMemory {
  /** Little-endian 64-bit words of `bytes` at an aligned address. */
  read(address: bigint, bytes: number): bigint[] | undefined;
  /** Replaces the word if it equals `expected`; returns what it held. */
  compareExchange(address: bigint, expected: bigint, replacement: bigint): bigint | undefined;
}

/** Register values, as a driver reads or wrote them. */
export interface OracleState {
  idr0: number;
  idr1: number;
  idr3?: number;
  idr5: number;
  aidr?: number;
  cr0: number;
  cr2?: number;
  gbpa?: number;
  strtabBase: bigint;
  strtabBaseCfg: number;
}

export interface OracleTranslation {
  ok: true;
  answer: "success";
  address: bigint;
  pageSize: bigint;
  permissions: { read: boolean; write: boolean; execute: boolean };
  attributes: Attributes;
  bypass: boolean;
}

export interface OracleFault {
  ok: false;
  answer: Exclude<Answer, "interrupt" | "success">;
  code: number;
  recorded: boolean;
  stage: number;
  class: number;
  ipa: bigint;
  fetchAddress: bigint;
  tableWrite: boolean;
  /** PnU and InD of the event, after the overrides of the STE. */
  privileged: boolean;
  instruction: boolean;
}

export type OracleOutcome = OracleTranslation | OracleFault;

/** Memory type of an access: a device type, or inner and outer cacheability. */
export interface Attributes {
  /** nGnRnE 0, nGnRE 1, nGRE 2, GRE 3; absent for Normal memory. */
  device?: number | undefined;
  /** 0 non-cacheable, 1 write-through, 2 write-back. */
  inner: number;
  outer: number;
  /** 0 non-shareable, 2 outer, 3 inner. */
  shareability: number;
  /** The allocation hints of a cacheable type. */
  innerHints: Hints;
  outerHints: Hints;
  /** Made from a MAIR encoding that the architecture calls UNPREDICTABLE. */
  unpredictable?: boolean;
}

export interface Hints {
  read: boolean;
  write: boolean;
  transient: boolean;
}

export const EVENT = {
  C_BAD_STREAMID: 0x02,
  F_STE_FETCH: 0x03,
  C_BAD_STE: 0x04,
  F_BAD_ATS_TREQ: 0x05,
  F_STREAM_DISABLED: 0x06,
  F_TRANSL_FORBIDDEN: 0x07,
  C_BAD_SUBSTREAMID: 0x08,
  F_CD_FETCH: 0x09,
  C_BAD_CD: 0x0a,
  F_WALK_EABT: 0x0b,
  F_TRANSLATION: 0x10,
  F_ADDR_SIZE: 0x11,
  F_ACCESS: 0x12,
  F_PERMISSION: 0x13,
} as const;

/** The CLASS of a fault: what the SMMU was after. */
export const CLASS = { CD: 0, TT: 1, IN: 2 } as const;

/** A walk that ended early. Code 0 reports nothing. */
export class WalkFault {
  readonly code: number;
  readonly stage: number;
  readonly class: number;
  readonly ipa: bigint;
  readonly fetchAddress: bigint;
  readonly tableWrite: boolean;
  constructor(
    code: number,
    where: { stage?: number; class?: number; ipa?: bigint; fetchAddress?: bigint; tableWrite?: boolean } = {},
  ) {
    this.code = code;
    this.stage = where.stage ?? 0;
    this.class = where.class ?? 0;
    this.ipa = where.ipa ?? 0n;
    this.fetchAddress = where.fetchAddress ?? 0n;
    this.tableWrite = where.tableWrite ?? false;
  }
}

/** Bits msb..lsb, counted over the whole structure. */
export function bits(words: readonly bigint[], msb: number, lsb: number): number {
  return Number(wideBits(words, msb, lsb));
}
export function wideBits(words: readonly bigint[], msb: number, lsb: number): bigint {
  const word = words[lsb >> 6] as bigint;
  return (word >> BigInt(lsb & 63)) & ones(msb - lsb + 1);
}
export function bit(words: readonly bigint[], position: number): boolean {
  return wideBits(words, position, position) === 1n;
}
export function ones(count: number): bigint {
  return (1n << BigInt(count)) - 1n;
}
/** Clears the low `zeros` bits. */
export function alignDown(value: bigint, zeros: number): bigint {
  return (value >> BigInt(zeros)) << BigInt(zeros);
}

/** What the ID registers say. */
export interface Features {
  minor: number;
  stage1: boolean;
  stage2: boolean;
  /** IDR0.TTF: 1 AArch32 LPAE, 2 AArch64, 3 both. */
  formats: number;
  httu: number;
  hyp: boolean;
  ats: boolean;
  noSplitStageAts: boolean;
  asid16: boolean;
  vmid16: boolean;
  twoLevelCd: boolean;
  endian: number;
  recordAts: boolean;
  stallModel: number;
  alwaysAbort: boolean;
  twoLevelStreams: boolean;
  sidBits: number;
  ssidBits: number;
  overridePermissions: boolean;
  overrideTypes: boolean;
  had: boolean;
  xnx: boolean;
  fwb: boolean;
  smallTables: boolean;
  oas: number;
  ias: number;
  granules: readonly number[];
  wideVa: boolean;
}

/** Bits that an OAS, IPS or S2PS encoding stands for. */
export function addressBits(encoding: number, minor: number): number {
  const widths = [32, 36, 40, 42, 44, 48, 52, 52];
  return Math.min(widths[encoding] as number, minor === 0 ? 48 : 52);
}

export function featuresOf(state: OracleState): Features {
  const idr0 = [BigInt(state.idr0 >>> 0)];
  const idr1 = [BigInt(state.idr1 >>> 0)];
  const idr3 = [BigInt((state.idr3 ?? 0) >>> 0)];
  const idr5 = [BigInt(state.idr5 >>> 0)];
  const minor = (state.aidr ?? 0) & 15;
  const stage1 = bit(idr0, 1);
  const stage2 = bit(idr0, 0);
  const formats = bits(idr0, 3, 2);
  const oas = addressBits(bits(idr5, 2, 0), minor);
  const ats = bit(idr0, 10);
  const ssidBits = stage1 ? Math.min(bits(idr1, 10, 6), 20) : 0;
  return {
    minor,
    stage1,
    stage2,
    formats,
    httu: bits(idr0, 7, 6),
    hyp: stage1 && bit(idr0, 9),
    ats,
    noSplitStageAts: bit(idr0, 11),
    asid16: bit(idr0, 12),
    vmid16: stage2 && bit(idr0, 18),
    twoLevelCd: ssidBits > 0 && bit(idr0, 19),
    endian: bits(idr0, 22, 21),
    recordAts: ats && bit(idr0, 23) && bit([BigInt((state.cr2 ?? 0) >>> 0)], 3),
    stallModel: bits(idr0, 25, 24),
    alwaysAbort: bit(idr0, 26),
    twoLevelStreams: bits(idr0, 28, 27) !== 0,
    sidBits: Math.min(bits(idr1, 5, 0), 32),
    ssidBits,
    overridePermissions: bit(idr1, 26),
    overrideTypes: bit(idr1, 27),
    had: bit(idr3, 2),
    xnx: bit(idr3, 4),
    fwb: bit(idr3, 8),
    smallTables: bit(idr3, 9),
    oas,
    ias: formats & 1 ? Math.max(40, oas) : oas,
    granules: [...(bit(idr5, 4) ? [12] : []), ...(bit(idr5, 5) ? [14] : []), ...(bit(idr5, 6) ? [16] : [])],
    wideVa: minor >= 1 && bits(idr5, 11, 10) === 1,
  };
}

/** One access of a client, as the tables judge it. */
export interface Access {
  read: boolean;
  write: boolean;
  instruction: boolean;
  privileged: boolean;
}

/** What travels along a walk. */
export interface Walk {
  memory: OracleMemory;
  features: Features;
  request: Request;
  access: Access;
  /** An ATS translation request collects rights instead of failing for want of them. */
  collect: { execute: boolean; reads: "incoming" | "data" | "instruction" } | undefined;
}
