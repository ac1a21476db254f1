/**
 * SMMUv3 registers: offsets and fields. Arm IHI 0070, chapter 6 "Memory map and registers".
 *
 * Offsets are bytes within their 64 KiB page. A field is `msb << 16 | lsb` of its register.
 * Registers that come in one 64-bit piece are marked "64"; all others have 32 bits.
 */

/** Pages 0 and 1 lie one after the other. */
export const PAGE_BYTES = 65536;

/** Offsets in page 0 (6.2). */
export enum PAGE0 {
  IDR0 = 0x0,
  IDR1 = 0x4,
  IDR2 = 0x8,
  IDR3 = 0xc,
  IDR4 = 0x10,
  IDR5 = 0x14,
  IIDR = 0x18,
  AIDR = 0x1c,
  CR0 = 0x20,
  CR0ACK = 0x24,
  CR1 = 0x28,
  CR2 = 0x2c,
  STATUSR = 0x40,
  GBPA = 0x44,
  AGBPA = 0x48,
  IRQ_CTRL = 0x50,
  IRQ_CTRLACK = 0x54,
  GERROR = 0x60,
  GERRORN = 0x64,
  /** 64 */
  GERROR_IRQ_CFG0 = 0x68,
  GERROR_IRQ_CFG1 = 0x70,
  GERROR_IRQ_CFG2 = 0x74,
  /** 64 */
  STRTAB_BASE = 0x80,
  STRTAB_BASE_CFG = 0x88,
  /** 64 */
  CMDQ_BASE = 0x90,
  CMDQ_PROD = 0x98,
  CMDQ_CONS = 0x9c,
  /** 64 */
  EVENTQ_BASE = 0xa0,
  /** 64 */
  EVENTQ_IRQ_CFG0 = 0xb0,
  EVENTQ_IRQ_CFG1 = 0xb8,
  EVENTQ_IRQ_CFG2 = 0xbc,
  /** 64 */
  PRIQ_BASE = 0xc0,
  /** 64 */
  PRIQ_IRQ_CFG0 = 0xd0,
  PRIQ_IRQ_CFG1 = 0xd8,
  PRIQ_IRQ_CFG2 = 0xdc,
  GATOS_CTRL = 0x100,
  /** 64 */
  GATOS_SID = 0x108,
  /** 64 */
  GATOS_ADDR = 0x110,
  /** 64 */
  GATOS_PAR = 0x118,
  MPAMIDR = 0x130,
  GMPAM = 0x138,
  GBPMPAM = 0x13c,
  VATOS_SEL = 0x180,
  IDR6 = 0x190,
  PIDR4 = 0xfd0,
  PIDR5 = 0xfd4,
  PIDR6 = 0xfd8,
  PIDR7 = 0xfdc,
  PIDR0 = 0xfe0,
  PIDR1 = 0xfe4,
  PIDR2 = 0xfe8,
  PIDR3 = 0xfec,
  CIDR0 = 0xff0,
  CIDR1 = 0xff4,
  CIDR2 = 0xff8,
  CIDR3 = 0xffc,
  /** First byte of the Secure registers (S_IDR0). */
  SECURE = 0x8000,
}

/** Offsets in page 1 (6.2). */
export enum PAGE1 {
  EVENTQ_PROD = 0xa8,
  EVENTQ_CONS = 0xac,
  PRIQ_PROD = 0xc8,
  PRIQ_CONS = 0xcc,
}

/** What CIDR0..3 read as on every Arm component. */
export enum CIDR_VALUE {
  CIDR0 = 0x0d,
  CIDR1 = 0xf0,
  CIDR2 = 0x05,
  CIDR3 = 0xb1,
}

/** Peripheral IDs, PIDR0 to PIDR4, as all Arm components have them (JEP106). PIDR5 to PIDR7 are RES0. */
export enum PIDR0 {
  PART_0 = (7 << 16) | 0,
}
export enum PIDR1 {
  PART_1 = (3 << 16) | 0,
  DES_0 = (7 << 16) | 4,
}
export enum PIDR2 {
  DES_1 = (2 << 16) | 0,
  JEDEC = (3 << 16) | 3,
  REVISION = (7 << 16) | 4,
}
export enum PIDR3 {
  CMOD = (3 << 16) | 0,
  REVAND = (7 << 16) | 4,
}
export enum PIDR4 {
  DES_2 = (3 << 16) | 0,
  SIZE = (7 << 16) | 4,
}

/** 6.3.9; CR0ACK (6.3.10) has the same fields. */
export enum CR0 {
  SMMUEN = (0 << 16) | 0,
  PRIQEN = (1 << 16) | 1,
  EVENTQEN = (2 << 16) | 2,
  CMDQEN = (3 << 16) | 3,
  ATSCHK = (4 << 16) | 4,
  VMW = (8 << 16) | 6,
}

/** 6.3.11 */
export enum CR1 {
  QUEUE_IC = (1 << 16) | 0,
  QUEUE_OC = (3 << 16) | 2,
  QUEUE_SH = (5 << 16) | 4,
  TABLE_IC = (7 << 16) | 6,
  TABLE_OC = (9 << 16) | 8,
  TABLE_SH = (11 << 16) | 10,
}

/** 6.3.12 */
export enum CR2 {
  E2H = (0 << 16) | 0,
  RECINVSID = (1 << 16) | 1,
  PTM = (2 << 16) | 2,
  REC_CFG_ATS = (3 << 16) | 3,
}

/** 6.3.13 */
export enum STATUSR {
  DORMANT = (0 << 16) | 0,
}

/** 6.3.14 */
export enum GBPA {
  MemAttr = (3 << 16) | 0,
  MTCFG = (4 << 16) | 4,
  ALLOCCFG = (11 << 16) | 8,
  SHCFG = (13 << 16) | 12,
  PRIVCFG = (17 << 16) | 16,
  INSTCFG = (19 << 16) | 18,
  ABORT = (20 << 16) | 20,
  Update = (31 << 16) | 31,
}

/** 6.3.16; IRQ_CTRLACK (6.3.17) has the same fields. */
export enum IRQ_CTRL {
  GERROR_IRQEN = (0 << 16) | 0,
  PRIQ_IRQEN = (1 << 16) | 1,
  EVENTQ_IRQEN = (2 << 16) | 2,
}

/** 6.3.18; GERRORN (6.3.19) has the same fields. */
export enum GERROR {
  CMDQ_ERR = (0 << 16) | 0,
  EVENTQ_ABT_ERR = (2 << 16) | 2,
  PRIQ_ABT_ERR = (3 << 16) | 3,
  MSI_CMDQ_ABT_ERR = (4 << 16) | 4,
  MSI_EVENTQ_ABT_ERR = (5 << 16) | 5,
  MSI_PRIQ_ABT_ERR = (6 << 16) | 6,
  MSI_GERROR_ABT_ERR = (7 << 16) | 7,
  SFM_ERR = (8 << 16) | 8,
}

/** GERROR_, EVENTQ_ and PRIQ_IRQ_CFG0, 64. */
export enum IRQ_CFG0 {
  ADDR = (55 << 16) | 2,
}

/** GERROR_, EVENTQ_ and PRIQ_IRQ_CFG1. */
export enum IRQ_CFG1 {
  DATA = (31 << 16) | 0,
}

/** GERROR_ and EVENTQ_IRQ_CFG2. */
export enum IRQ_CFG2 {
  MemAttr = (3 << 16) | 0,
  SH = (5 << 16) | 4,
}

/** PRIQ_IRQ_CFG2. */
export enum PRIQ_IRQ_CFG2 {
  MemAttr = (3 << 16) | 0,
  SH = (5 << 16) | 4,
  LO = (31 << 16) | 31,
}

/** STRTAB_BASE_CFG.SPLIT: StreamID bits that a leaf table resolves; any other value acts as LEAF_4K. */
export enum STRTAB_SPLIT {
  LEAF_4K = 6,
  LEAF_16K = 8,
  LEAF_64K = 10,
}

/** 64. */
export enum CMDQ_BASE {
  LOG2SIZE = (4 << 16) | 0,
  ADDR = (55 << 16) | 5,
  RA = (62 << 16) | 62,
}

/** 64. PRIQ_BASE has the same fields. */
export enum EVENTQ_BASE {
  LOG2SIZE = (4 << 16) | 0,
  ADDR = (55 << 16) | 5,
  WA = (62 << 16) | 62,
}

export enum CMDQ_PROD {
  WR = (19 << 16) | 0,
}

export enum CMDQ_CONS {
  RD = (19 << 16) | 0,
  ERR = (30 << 16) | 24,
}

/** CMDQ_CONS.ERR, 4.8 and 7.1. */
export enum CERROR {
  NONE = 0,
  ILL = 1,
  ABT = 2,
  ATC_INV_SYNC = 3,
}

/** PRIQ_PROD has the same fields. */
export enum EVENTQ_PROD {
  WR = (19 << 16) | 0,
  OVFLG = (31 << 16) | 31,
}

/** PRIQ_CONS has the same fields. */
export enum EVENTQ_CONS {
  RD = (19 << 16) | 0,
  OVACKFLG = (31 << 16) | 31,
}
