/**
 * VT-d registers: offsets and fields. Intel D51397, rev 5.10, chapter "Register Descriptions".
 *
 * Offsets are bytes from the register base. A field is `msb << 16 | lsb` of its register. Registers
 * marked "64" or "128" have that many bits, all others 32.
 */

/** Offsets of registers that lie at fixed places. */
export enum REG {
  VER = 0x0,
  /** 64 */
  CAP = 0x8,
  /** 64 */
  ECAP = 0x10,
  GCMD = 0x18,
  GSTS = 0x1c,
  /** 64 */
  RTADDR = 0x20,
  /** 64 */
  CCMD = 0x28,
  FSTS = 0x34,
  FECTL = 0x38,
  FEDATA = 0x3c,
  FEADDR = 0x40,
  FEUADDR = 0x44,
  PMEN = 0x64,
  PLMBASE = 0x68,
  PLMLIMIT = 0x6c,
  /** 64 */
  PHMBASE = 0x70,
  /** 64 */
  PHMLIMIT = 0x78,
  /** 64 */
  IQH = 0x80,
  /** 64 */
  IQT = 0x88,
  /** 64 */
  IQA = 0x90,
  ICS = 0x9c,
  IECTL = 0xa0,
  IEDATA = 0xa4,
  IEADDR = 0xa8,
  IEUADDR = 0xac,
  /** 64 */
  IQERCD = 0xb0,
  /** 64 */
  IRTA = 0xb8,
  /** 64 */
  PQH = 0xc0,
  /** 64 */
  PQT = 0xc8,
  /** 64 */
  PQA = 0xd0,
  PRS = 0xdc,
  PECTL = 0xe0,
  PEDATA = 0xe4,
  PEADDR = 0xe8,
  PEUADDR = 0xec,
  /** 64 */
  MTRRCAP = 0x100,
  /** 64 */
  MTRRDEF = 0x108,
  /** 64: the first of eleven fixed-range registers, 8 bytes apart. */
  MTRR_FIX64K_00000 = 0x120,
  /** 64: the first of ten base/mask pairs, 16 bytes apart. */
  MTRR_PHYSBASE0 = 0x180,
  /** 64 */
  PERFCAP = 0x300,
  PERFCFGOFF = 0x310,
  PERFFRZOFF = 0x314,
  PERFOVFOFF = 0x318,
  PERFCNTROFF = 0x31c,
  PERFINTRSTS = 0x324,
  PERFINTRCTL = 0x328,
  PERFINTRDATA = 0x32c,
  PERFINTRADDR = 0x330,
  PERFINTRUADDR = 0x334,
  /** 64: the first event capability, 8 bytes apart. */
  PERFEVNTCAP = 0x380,
  /** 64 */
  ECMD = 0x400,
  /** 64 */
  ECEO = 0x408,
  /** 64 */
  ECRSP = 0x410,
  /** 64: the first of two. */
  ECSTS = 0x420,
  /** 64: the first of four, 8 bytes apart. */
  ECCAP = 0x430,
  /** 64 */
  RDTC = 0xdc0,
  /** 64 */
  VCMD = 0xe00,
  /** 64 */
  VCMD_EO = 0xe08,
  /** 64 */
  VCRSP = 0xe10,
  /** 64 */
  VCCAP = 0xe30,
}

/** Virtual command registers before revision 3.3, all 64. */
export enum REG_BEFORE_3_3 {
  VCCAP = 0xe00,
  VCMD = 0xe10,
  VCRSP = 0xe20,
}

/** Offsets from CAP.FRO * 16 + 16n and from ECAP.IRO * 16; both bases come in units of UNIT. */
export const OFFSET_UNIT = 16;
export const FRCD_BYTES = 16;
export const IVA_OFFSET = 0;
export const IOTLB_REG_OFFSET = 8;
export const MTRR_FIXED = 11;
export const MTRR_VARIABLE = 10;
/** Registers come in blocks of this many bytes. */
export const REGISTER_PAGE = 4096;

export enum GCMD {
  CFI = (23 << 16) | 23,
  SIRTP = (24 << 16) | 24,
  IRE = (25 << 16) | 25,
  QIE = (26 << 16) | 26,
  WBF = (27 << 16) | 27,
  SRTP = (30 << 16) | 30,
  TE = (31 << 16) | 31,
}

export enum CCMD {
  DID = (15 << 16) | 0,
  SID = (31 << 16) | 16,
  FM = (33 << 16) | 32,
  CAIG = (60 << 16) | 59,
  CIRG = (62 << 16) | 61,
  ICC = (63 << 16) | 63,
}

export enum IOTLB_REG {
  /** RsvdP */
  LOW = (31 << 16) | 0,
  DID = (47 << 16) | 32,
  DW = (48 << 16) | 48,
  DR = (49 << 16) | 49,
  IAIG = (58 << 16) | 57,
  IIRG = (61 << 16) | 60,
  IVT = (63 << 16) | 63,
}

/** CCMD.CIRG/CAIG, IOTLB_REG.IIRG/IAIG. */
export enum GRANULARITY {
  RESERVED = 0,
  GLOBAL = 1,
  DOMAIN = 2,
  /** Device for the context cache, page for the IOTLB. */
  SELECTIVE = 3,
}

export enum IVA {
  AM = (5 << 16) | 0,
  IH = (6 << 16) | 6,
  ADDR = (63 << 16) | 12,
}

export enum FSTS {
  PFO = (0 << 16) | 0,
  PPF = (1 << 16) | 1,
  IQE = (4 << 16) | 4,
  ICE = (5 << 16) | 5,
  ITE = (6 << 16) | 6,
  FRI = (15 << 16) | 8,
}

/** FECTL, IECTL, PECTL and PERFINTRCTL. */
export enum EVENT_CTL {
  IP = (30 << 16) | 30,
  IM = (31 << 16) | 31,
}

/** FEDATA, IEDATA, PEDATA, PERFINTRDATA. */
export enum EVENT_DATA {
  DATA = (15 << 16) | 0,
}

/** FEADDR, IEADDR, PEADDR, PERFINTRADDR; the U registers are all address. */
export enum EVENT_ADDR {
  ADDR = (31 << 16) | 2,
}

export enum PMEN {
  PRS = (0 << 16) | 0,
  EPM = (31 << 16) | 31,
}

/** PLMBASE, PLMLIMIT, PHMBASE and PHMLIMIT: regions are whole 2 MiB here. */
export enum PROTECTED_REGION {
  ADDR = (63 << 16) | 21,
}

/** IQH and IQT. Bit 4 counts in the 128-bit queue only. */
export enum IQ_POINTER {
  ODD = (4 << 16) | 4,
  POINTER = (18 << 16) | 4,
}

export enum IQA {
  QS = (2 << 16) | 0,
  DW = (11 << 16) | 11,
  IQA = (63 << 16) | 12,
}

export enum ICS {
  IWC = (0 << 16) | 0,
}

export enum IQERCD {
  IQEI = (3 << 16) | 0,
  ITESID = (47 << 16) | 32,
  ICESID = (63 << 16) | 48,
}

/** IQERCD.IQEI */
export enum IQEI {
  NONE = 0,
  INVALID_TAIL = 1,
  FETCH = 2,
  TYPE = 3,
  RESERVED = 4,
  WIDTH = 5,
  TAIL_ALIGNMENT = 6,
  TTM = 7,
}

export enum IRTA {
  S = (3 << 16) | 0,
  EIME = (11 << 16) | 11,
  IRTA = (63 << 16) | 12,
}

/** PQH and PQT. */
export enum PQ_POINTER {
  POINTER = (18 << 16) | 5,
}

export enum PQA {
  PQS = (2 << 16) | 0,
  PQA = (63 << 16) | 12,
}

export enum PRS {
  PPR = (0 << 16) | 0,
  PRO = (1 << 16) | 1,
}

export enum MTRRCAP {
  VCNT = (7 << 16) | 0,
  FIX = (8 << 16) | 8,
  WC = (10 << 16) | 10,
}

export enum MTRRDEF {
  TYPE = (7 << 16) | 0,
  FE = (10 << 16) | 10,
  E = (11 << 16) | 11,
}

export enum MTRR_PHYSBASE {
  TYPE = (7 << 16) | 0,
  BASE = (51 << 16) | 12,
}

export enum MTRR_PHYSMASK {
  V = (11 << 16) | 11,
  MASK = (51 << 16) | 12,
}

export enum ECMD {
  COMMAND = (7 << 16) | 0,
  OPERAND = (63 << 16) | 16,
}

export enum ECRSP {
  IP = (0 << 16) | 0,
  STATUS = (7 << 16) | 1,
  RESULT = (63 << 16) | 16,
}

export enum RDTC {
  RMID = (11 << 16) | 0,
  CLOS = (36 << 16) | 32,
}

export enum VCMD {
  COMMAND = (7 << 16) | 0,
  OPERAND = (63 << 16) | 16,
  /** The part of OPERAND that "free" takes. */
  PASID = (35 << 16) | 16,
}

export enum VCRSP {
  IP = (0 << 16) | 0,
  SC = (7 << 16) | 1,
  RESULT = (63 << 16) | 16,
  /** The part of RESULT that "allocate" gives. */
  PASID = (35 << 16) | 16,
}

export enum VCCAP {
  NS = (0 << 16) | 0,
  PAS = (1 << 16) | 1,
  FPS = (2 << 16) | 2,
}

/** Before revision 3.3. */
export enum VCMD_BEFORE_3_3 {
  COMMAND = (7 << 16) | 0,
  PASID = (27 << 16) | 8,
}

/** Before revision 3.3. */
export enum VCRSP_BEFORE_3_3 {
  IP = (0 << 16) | 0,
  SC = (2 << 16) | 1,
  PASID = (27 << 16) | 8,
}

/** Before revision 3.3. */
export enum VCCAP_BEFORE_3_3 {
  PAS = (0 << 16) | 0,
}

/** VCMD.COMMAND */
export enum VCMD_COMMAND {
  NULL = 0,
  ALLOCATE_PASID = 1,
  FREE_PASID = 2,
}

/** VCRSP.SC */
export enum VCRSP_STATUS {
  SUCCESS = 0,
  /** Unknown, or not reported in VCCAP. */
  UNDEFINED_COMMAND = 1,
  /** None left to allocate, or what was to be freed is not allocated. */
  NO_PASID = 16,
}

/** VCRSP.SC before revision 3.3. */
export enum VCRSP_STATUS_BEFORE_3_3 {
  SUCCESS = 0,
  UNDEFINED_COMMAND = 1,
  NO_PASID = 2,
}

/** Fault recording register (128). */
export enum FRCD {
  FI = (63 << 16) | 12,
  SID = (79 << 16) | 64,
  T2 = (92 << 16) | 92,
  PRIV = (93 << 16) | 93,
  EXE = (94 << 16) | 94,
  PP = (95 << 16) | 95,
  FR = (103 << 16) | 96,
  PV = (123 << 16) | 104,
  AT = (125 << 16) | 124,
  T1 = (126 << 16) | 126,
  F = (127 << 16) | 127,
  /** FI of an interrupt fault. */
  INDEX = (63 << 16) | 48,
}
