/**
 * SMMUv3 structures in memory: stream tables, context descriptors, translation tables.
 *
 * Arm System Memory Management Unit Architecture Specification, IHI 0070 (SMMU v3.0 to v3.2), chapter 5
 * "Data structure formats"; translation tables: Arm ARM (DDI 0487) D8.3 "Translation table descriptor
 * formats". Registers are in `smmuv3-registers.ts`, queue entries in
 * `smmuv3-queues.ts`.
 *
 * A field is `msb << 16 | lsb`, absolute within its structure. Address fields lie in place.
 */

/** Level 1 stream table descriptor, IHI 0070 5.1. */
export enum L1STD {
  Span = (4 << 16) | 0,
  L2Ptr = (55 << 16) | 6,
}
export const L1STD_SIZE = 8;

/** Stream table entry, IHI 0070 5.2. */
export enum STE {
  V = (0 << 16) | 0,
  Config = (3 << 16) | 1,
  S1Fmt = (5 << 16) | 4,
  S1ContextPtr = (55 << 16) | 6,
  S1CDMax = (63 << 16) | 59,

  S1DSS = (65 << 16) | 64,
  S1CIR = (67 << 16) | 66,
  S1COR = (69 << 16) | 68,
  S1CSH = (71 << 16) | 70,
  S2HWU59 = (72 << 16) | 72,
  S2HWU60 = (73 << 16) | 73,
  S2HWU61 = (74 << 16) | 74,
  S2HWU62 = (75 << 16) | 75,
  DRE = (76 << 16) | 76,
  CONT = (80 << 16) | 77,
  DCP = (81 << 16) | 81,
  PPAR = (82 << 16) | 82,
  MEV = (83 << 16) | 83,
  SW_RES = (87 << 16) | 84,
  S2FWB = (89 << 16) | 89,
  S1MPAM = (90 << 16) | 90,
  S1STALLD = (91 << 16) | 91,
  EATS = (93 << 16) | 92,
  STRW = (95 << 16) | 94,
  MemAttr = (99 << 16) | 96,
  MTCFG = (100 << 16) | 100,
  ALLOCCFG = (104 << 16) | 101,
  SHCFG = (109 << 16) | 108,
  NSCFG = (111 << 16) | 110,
  PRIVCFG = (113 << 16) | 112,
  INSTCFG = (115 << 16) | 114,

  S2VMID = (143 << 16) | 128,
  S2T0SZ = (165 << 16) | 160,
  S2SL0 = (167 << 16) | 166,
  S2IR0 = (169 << 16) | 168,
  S2OR0 = (171 << 16) | 170,
  S2SH0 = (173 << 16) | 172,
  S2TG = (175 << 16) | 174,
  S2PS = (178 << 16) | 176,
  S2AA64 = (179 << 16) | 179,
  S2ENDI = (180 << 16) | 180,
  S2AFFD = (181 << 16) | 181,
  S2PTW = (182 << 16) | 182,
  S2HD = (183 << 16) | 183,
  S2HA = (184 << 16) | 184,
  S2S = (185 << 16) | 185,
  S2R = (186 << 16) | 186,

  S2NSW = (192 << 16) | 192,
  S2NSA = (193 << 16) | 193,
  S2TTB = (243 << 16) | 196,

  PARTID = (287 << 16) | 272,
  S_S2T0SZ = (293 << 16) | 288,
  S_S2SL0 = (295 << 16) | 294,
  S_S2TG = (303 << 16) | 302,

  PMG = (327 << 16) | 320,
  MPAM_NS = (328 << 16) | 328,
  VMSPtr = (375 << 16) | 332,

  S_S2SW = (384 << 16) | 384,
  S_S2SA = (385 << 16) | 385,
  S_S2TTB = (435 << 16) | 388,
}
export const STE_SIZE = 64;
/** Parts of fields, and neighbours, of an STE. */
export enum STE_PART {
  /** Set in EATS = 2 and in the reserved 3. */
  EATS_HIGH = (93 << 16) | 93,
  /** Set in the reserved values of STRW. */
  STRW_LOW = (94 << 16) | 94,
  /** What exists with 16-bit VMIDs only. */
  S2VMID_HIGH = (143 << 16) | 136,
  /** Half of the index into the table of stage 2 geometries. */
  S2SL0_S2T0SZ = (167 << 16) | 160,
}

/** STE.Config; 0b0xx aborts. */
export enum CONFIG {
  ABORT = 0,
  BYPASS = 4,
  STAGE1 = 5,
  STAGE2 = 6,
  NESTED = 7,
}
/** Bits of STE.Config that count once bit 2 is set. */
export enum CONFIG_BIT {
  STAGE1 = 1,
  STAGE2 = 2,
  LIVE = 4,
}
export enum S1FMT {
  LINEAR = 0,
  TWO_LEVEL_4K = 1,
  TWO_LEVEL_64K = 2,
}
/** log2 of the CDs in a level 2 table. */
export const CDS_PER_4K_LEAF_LOG2 = 6;
export const CDS_PER_64K_LEAF_LOG2 = 10;
export enum S1DSS {
  TERMINATE = 0,
  BYPASS = 1,
  SUBSTREAM0 = 2,
}
export enum EATS {
  NONE = 0,
  FULL = 1,
  SPLIT = 2,
}
export enum STRW {
  NS_EL1 = 0,
  EL2 = 2,
}
/** STE.SHCFG and GBPA.SHCFG. */
export enum SHCFG {
  NON_SHAREABLE = 0,
  INCOMING = 1,
  OUTER = 2,
  INNER = 3,
}
/** STE.PRIVCFG and GBPA.PRIVCFG; 0 and 1 keep what comes in. */
export enum PRIVCFG {
  UNPRIVILEGED = 2,
  PRIVILEGED = 3,
}
/** STE.INSTCFG and GBPA.INSTCFG, for reads only; 0 and 1 keep what comes in. */
export enum INSTCFG {
  DATA = 2,
  INSTRUCTION = 3,
}
/** STE.ALLOCCFG and GBPA.ALLOCCFG: 0b0xxx keeps the incoming hints, else read, write, transient. */
export enum ALLOCCFG {
  TRANSIENT = 1,
  WRITE = 2,
  READ = 4,
  OVERRIDE = 8,
}

/** Virtual machine structure, IHI 0070 5.6: 32 PARTIDs of 16 bits. Read for MPAM only, which is not modelled. */
export enum VMS {
  PARTID_MAP0 = (15 << 16) | 0,
  PARTID_MAP1 = (31 << 16) | 16,
  PARTID_MAP2 = (47 << 16) | 32,
  PARTID_MAP3 = (63 << 16) | 48,
}

/** Level 1 context descriptor, IHI 0070 5.3. */
export enum L1CD {
  V = (0 << 16) | 0,
  L2Ptr = (55 << 16) | 12,
}
export const L1CD_SIZE = 8;

/** Context descriptor, IHI 0070 5.4. */
export enum CD {
  T0SZ = (5 << 16) | 0,
  TG0 = (7 << 16) | 6,
  IR0 = (9 << 16) | 8,
  OR0 = (11 << 16) | 10,
  SH0 = (13 << 16) | 12,
  EPD0 = (14 << 16) | 14,
  ENDI = (15 << 16) | 15,
  T1SZ = (21 << 16) | 16,
  TG1 = (23 << 16) | 22,
  IR1 = (25 << 16) | 24,
  OR1 = (27 << 16) | 26,
  SH1 = (29 << 16) | 28,
  EPD1 = (30 << 16) | 30,
  V = (31 << 16) | 31,
  IPS = (34 << 16) | 32,
  AFFD = (35 << 16) | 35,
  WXN = (36 << 16) | 36,
  UWXN = (37 << 16) | 37,
  TBI0 = (38 << 16) | 38,
  TBI1 = (39 << 16) | 39,
  PAN = (40 << 16) | 40,
  AA64 = (41 << 16) | 41,
  HD = (42 << 16) | 42,
  HA = (43 << 16) | 43,
  S = (44 << 16) | 44,
  R = (45 << 16) | 45,
  A = (46 << 16) | 46,
  ASET = (47 << 16) | 47,
  ASID = (63 << 16) | 48,

  NSCFG0 = (64 << 16) | 64,
  HAD0 = (65 << 16) | 65,
  TTB0 = (115 << 16) | 68,
  HWU059 = (124 << 16) | 124,
  HWU060 = (125 << 16) | 125,
  HWU061 = (126 << 16) | 126,
  HWU062 = (127 << 16) | 127,

  NSCFG1 = (128 << 16) | 128,
  HAD1 = (129 << 16) | 129,
  TTB1 = (179 << 16) | 132,
  HWU159 = (188 << 16) | 188,
  HWU160 = (189 << 16) | 189,
  HWU161 = (190 << 16) | 190,
  HWU162 = (191 << 16) | 191,

  MAIR0 = (223 << 16) | 192,
  MAIR1 = (255 << 16) | 224,
  AMAIR0 = (287 << 16) | 256,
  AMAIR1 = (319 << 16) | 288,
  PARTID = (367 << 16) | 352,
  PMG = (375 << 16) | 368,
}
export const CD_SIZE = 64;
/** Parts of fields, and neighbours, of a CD. */
export enum CD_PART {
  /** TGx and TxSZ side by side: the index into a table of stage 1 geometries. */
  TG0_T0SZ = (7 << 16) | 0,
  TG1_T1SZ = (23 << 16) | 16,
  /** What exists with 16-bit ASIDs only. */
  ASID_HIGH = (63 << 16) | 56,
  /** All eight memory attribute bytes. */
  MAIR = (255 << 16) | 192,
}

/** CD.TG0 and STE.S2TG. */
export enum TG0 {
  GRANULE_4K = 0,
  GRANULE_64K = 1,
  GRANULE_16K = 2,
}
/** CD.TG1 codes the same sizes otherwise. */
export enum TG1 {
  GRANULE_16K = 1,
  GRANULE_4K = 2,
  GRANULE_64K = 3,
}

/** An input address: the tag that TBI ignores, and the bit that selects TTB0 or TTB1. */
export enum VA {
  SELECT = (55 << 16) | 55,
  TAG = (63 << 16) | 56,
}

export const VA_TAG_BITS = 8;

/** VMSAv8-64 descriptors: what both stages and all levels share. */
export enum PTE {
  VALID = (0 << 16) | 0,
  /** 1 = table (page at level 3), 0 = block. */
  TYPE = (1 << 16) | 1,
  /** In a block or page. */
  SH = (9 << 16) | 8,
  AF = (10 << 16) | 10,
  /** Output or next-table address, before the alignment of granule and level. */
  ADDRESS = (47 << 16) | 12,
  /** Address bits 51:48, with the 64 KiB granule and 52-bit addresses. */
  ADDRESS_51_48 = (15 << 16) | 12,
  nT = (16 << 16) | 16,
  DBM = (51 << 16) | 51,
  Contiguous = (52 << 16) | 52,
}
/** Where PTE.ADDRESS_51_48 belongs in an address. */
export enum ADDRESS {
  BITS_51_48 = (51 << 16) | 48,
}
export const PTE_SIZE = 8;

/** Stage 1 descriptors. */
export enum PTE1 {
  AttrIndx = (4 << 16) | 2,
  NS = (5 << 16) | 5,
  /** AP[1]: unprivileged access. */
  AP1 = (6 << 16) | 6,
  /** AP[2]: read only. */
  AP2 = (7 << 16) | 7,
  nG = (11 << 16) | 11,
  PXN = (53 << 16) | 53,
  /** XN in regimes with one privilege level. */
  UXN = (54 << 16) | 54,
  PXNTable = (59 << 16) | 59,
  UXNTable = (60 << 16) | 60,
  /** APTable[0]: no unprivileged access below. */
  APTable0 = (61 << 16) | 61,
  /** APTable[1]: no writes below. */
  APTable1 = (62 << 16) | 62,
  NSTable = (63 << 16) | 63,
}
/** Parts that the walker looks at together: the bits of a leaf and of a table descriptor in the same order. */
export enum PTE1_PART {
  /** AP[2:1]. */
  AP = (7 << 16) | 6,
  /** UXN and PXN. */
  XN = (54 << 16) | 53,
  /** UXNTable and PXNTable. */
  XNTable = (60 << 16) | 59,
  /** APTable[1:0]. */
  APTable = (62 << 16) | 61,
}

/** Stage 2 blocks and pages. */
export enum PTE2 {
  MemAttr = (5 << 16) | 2,
  /** S2AP[0]: read. */
  S2AP0 = (6 << 16) | 6,
  /** S2AP[1]: write. */
  S2AP1 = (7 << 16) | 7,
  /** Bit 54 alone without IDR3.XNX. */
  XN = (54 << 16) | 53,
  XN1 = (54 << 16) | 54,
}
/** PTE2.XN with IDR3.XNX. */
export enum XN {
  EXECUTE = 0,
  UNPRIVILEGED_ONLY = 1,
  NEVER = 2,
  PRIVILEGED_ONLY = 3,
}

/** A memory attribute byte as MAIR holds it, and stage 2's four bits, by halves: outer and inner. */
export enum MEMORY_TYPE {
  DEVICE_nGnRnE = 0x00,
  DEVICE_nGnRE = 0x04,
  DEVICE_nGRE = 0x08,
  DEVICE_GRE = 0x0c,
  NON_CACHEABLE = 0x44,
  WRITE_THROUGH = 0xbb,
  WRITE_BACK = 0xff,
}
export enum SHAREABILITY {
  NON_SHAREABLE = 0,
  OUTER = 2,
  INNER = 3,
}
