/**
 * Structures and records of an SMMU for tests that play the driver: IHI 0070 chapters 4 to 8, typed from
 * the documents and apart from the emulator's own layout. A field is [msb, lsb] of its structure; an
 * address field takes the address itself.
 */
type Field = readonly [msb: number, lsb: number, kind?: "address"];
export type Fields = Readonly<Record<string, Field>>;
export type Values<F extends Fields> = { readonly [name in keyof F]?: number | bigint };

/** The 64-bit words of a structure with these fields; what is not named is 0. */
export function words<F extends Fields>(fields: F, count: number, values: Values<F>): bigint[] {
  const out = new Array<bigint>(count).fill(0n);
  for (const [name, value] of Object.entries(values)) {
    const [msb, lsb, kind] = fields[name] as Field;
    const shift = BigInt(lsb & 63);
    const mask = ((1n << BigInt(msb - lsb + 1)) - 1n) << shift;
    const placed = kind === "address" ? BigInt(value as bigint) : BigInt(value as number) << shift;
    if ((placed & ~mask) !== 0n)
      throw new RangeError(`${name}: 0x${BigInt(value as number).toString(16)} does not fit`);
    out[lsb >> 6] = (out[lsb >> 6] as bigint) | placed;
  }
  return out;
}

export const STE = {
  V: [0, 0],
  Config: [3, 1],
  S1Fmt: [5, 4],
  S1ContextPtr: [55, 6, "address"],
  S1CDMax: [63, 59],
  S1DSS: [65, 64],
  MEV: [83, 83],
  S2FWB: [89, 89],
  S1STALLD: [91, 91],
  EATS: [93, 92],
  STRW: [95, 94],
  MemAttr: [99, 96],
  MTCFG: [100, 100],
  ALLOCCFG: [104, 101],
  SHCFG: [109, 108],
  PRIVCFG: [113, 112],
  INSTCFG: [115, 114],
  PPAR: [82, 82],
  S2VMID: [143, 128],
  S2T0SZ: [165, 160],
  S2SL0: [167, 166],
  S2TG: [175, 174],
  S2PS: [178, 176],
  S2AA64: [179, 179],
  S2ENDI: [180, 180],
  S2AFFD: [181, 181],
  S2PTW: [182, 182],
  S2HD: [183, 183],
  S2HA: [184, 184],
  S2S: [185, 185],
  S2R: [186, 186],
  S2TTB: [243, 196, "address"],
} as const satisfies Fields;

export const CD = {
  T0SZ: [5, 0],
  TG0: [7, 6],
  EPD0: [14, 14],
  ENDI: [15, 15],
  T1SZ: [21, 16],
  TG1: [23, 22],
  EPD1: [30, 30],
  V: [31, 31],
  IPS: [34, 32],
  AFFD: [35, 35],
  WXN: [36, 36],
  TBI0: [38, 38],
  TBI1: [39, 39],
  PAN: [40, 40],
  AA64: [41, 41],
  HD: [42, 42],
  HA: [43, 43],
  S: [44, 44],
  R: [45, 45],
  A: [46, 46],
  ASET: [47, 47],
  ASID: [63, 48],
  HAD0: [65, 65],
  TTB0: [115, 68, "address"],
  HAD1: [129, 129],
  TTB1: [179, 132, "address"],
  MAIR: [255, 192],
} as const satisfies Fields;

/** Leaf descriptors of stage 1. */
export const PAGE = {
  AttrIndx: [4, 2],
  AP: [7, 6],
  SH: [9, 8],
  AF: [10, 10],
  nG: [11, 11],
  DBM: [51, 51],
  PXN: [53, 53],
  UXN: [54, 54],
} as const satisfies Fields;

/** What a stage 1 table descriptor takes away below. */
export const TABLE = {
  PXNTable: [59, 59],
  UXNTable: [60, 60],
  APTable: [62, 61],
} as const satisfies Fields;

/** Leaf descriptors of stage 2. */
export const PAGE2 = {
  MemAttr: [5, 2],
  S2AP: [7, 6],
  SH: [9, 8],
  AF: [10, 10],
  DBM: [51, 51],
  XN: [54, 53],
} as const satisfies Fields;

/** Commands, by what they are called in IHI 0070 4. */
export const OP = {
  PREFETCH_CONFIG: 0x01,
  PREFETCH_ADDR: 0x02,
  CFGI_STE: 0x03,
  CFGI_STE_RANGE: 0x04,
  CFGI_CD: 0x05,
  CFGI_CD_ALL: 0x06,
  TLBI_NH_ALL: 0x10,
  TLBI_NH_ASID: 0x11,
  TLBI_NH_VA: 0x12,
  TLBI_NH_VAA: 0x13,
  TLBI_EL2_ALL: 0x20,
  TLBI_EL2_ASID: 0x21,
  TLBI_EL2_VA: 0x22,
  TLBI_EL2_VAA: 0x23,
  TLBI_S12_VMALL: 0x28,
  TLBI_S2_IPA: 0x2a,
  TLBI_NSNH_ALL: 0x30,
  ATC_INV: 0x40,
  PRI_RESP: 0x41,
  RESUME: 0x44,
  STALL_TERM: 0x45,
  SYNC: 0x46,
} as const;

export const COMMAND = {
  Opcode: [7, 0],
  Global: [9, 9],
  SSec: [10, 10],
  SSV: [11, 11],
  SSID: [31, 12],
  SID: [63, 32],
  /** TLBI. */
  NUM: [16, 12],
  SCALE: [24, 20],
  VMID: [47, 32],
  ASID: [63, 48],
  Leaf: [64, 64],
  TTL: [73, 72],
  TG: [75, 74],
  Address: [127, 76, "address"],
  /** CFGI_STE_RANGE, ATC_INV. */
  Range: [68, 64],
  Size: [69, 64],
  /** PRI_RESP. */
  PRGIndex: [72, 64],
  Resp: [77, 76],
  /** RESUME. */
  Ac: [12, 12],
  Ab: [13, 13],
  STAG: [79, 64],
  /** SYNC. */
  CS: [13, 12],
  MSH: [23, 22],
  MSIAttr: [27, 24],
  MSIData: [63, 32],
  MSIAddress: [119, 66, "address"],
} as const satisfies Fields;

/** Offsets of registers. */
export const REG = {
  IDR0: 0x00,
  IDR1: 0x04,
  IDR3: 0x0c,
  IDR5: 0x14,
  AIDR: 0x1c,
  CR0: 0x20,
  CR0ACK: 0x24,
  CR1: 0x28,
  CR2: 0x2c,
  GBPA: 0x44,
  IRQ_CTRL: 0x50,
  IRQ_CTRLACK: 0x54,
  GERROR: 0x60,
  GERRORN: 0x64,
  GERROR_IRQ_CFG0: 0x68,
  GERROR_IRQ_CFG1: 0x70,
  GERROR_IRQ_CFG2: 0x74,
  STRTAB_BASE: 0x80,
  STRTAB_BASE_CFG: 0x88,
  CMDQ_BASE: 0x90,
  CMDQ_PROD: 0x98,
  CMDQ_CONS: 0x9c,
  EVENTQ_BASE: 0xa0,
  EVENTQ_IRQ_CFG0: 0xb0,
  EVENTQ_IRQ_CFG1: 0xb8,
  EVENTQ_IRQ_CFG2: 0xbc,
  PRIQ_BASE: 0xc0,
  PRIQ_IRQ_CFG0: 0xd0,
  PRIQ_IRQ_CFG1: 0xd8,
  PRIQ_IRQ_CFG2: 0xdc,
  PIDR4: 0xfd0,
  PIDR0: 0xfe0,
  CIDR0: 0xff0,
  EVENTQ_PROD: 0x100a8,
  EVENTQ_CONS: 0x100ac,
  PRIQ_PROD: 0x100c8,
  PRIQ_CONS: 0x100cc,
} as const;

export const CR0 = { SMMUEN: 1, PRIQEN: 2, EVENTQEN: 4, CMDQEN: 8, ATSCHK: 16 } as const;
