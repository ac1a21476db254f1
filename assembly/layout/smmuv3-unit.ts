/**
 * Our own ABI for one SMMU: its unit block, and the numbers its walks report. No hardware facts here.
 *
 * `smmuConfigure` computes everything from STREAMS on from the register values before it.
 */

/** Offsets in the unit block; the first is UNIT.VENDOR of `core.ts`. */
export enum SMMU {
  /** u32 each: register values, as a driver would read them. */
  IDR0 = 576,
  IDR1 = 580,
  IDR3 = 584,
  IDR5 = 588,
  AIDR = 592,
  CR0 = 596,
  CR2 = 600,
  GBPA = 604,
  STRTAB_BASE_CFG = 608,
  /** u64 */
  STRTAB_BASE = 616,

  /** u64 StreamIDs that exist; 0 with SMMUEN = 0. */
  STREAMS = 640,
  /** u64 aligned base of the stream table. */
  STREAM_TABLE = 648,
  /** u32 log2 of the STEs beneath one L1STD; 0 = linear table. */
  SPLIT = 656,
  /** u32 bits of output and of intermediate addresses (OAS, IAS). */
  OAS = 660,
  IAS = 664,
  /** u32 largest STE.S1CDMax. */
  SSID_BITS = 668,
  /** u64 ones over the address bits that pointers of this architecture version have. */
  POINTERS = 672,
  /**
   * u64 each: bits that call for the full check of an STE, by word, unless they are as in PLAIN; word 2
   * differs between stage 1 only and stage 2. The same for word 0 of a CD.
   */
  STE_ODD0 = 680,
  STE_ODD1 = 688,
  STE_ODD2_STAGE1 = 696,
  STE_ODD2_STAGE2 = 704,
  STE_PLAIN2 = 712,
  CD_ODD0 = 720,
  CD_PLAIN0 = 728,
  /** u64 bits of CD word 0 that count: without HA and HD where they are not implemented. */
  CD_MASK0 = 784,
  /** u64 FEATURE bits. */
  FEATURES = 736,
  /** u64 each: ones over the address bits from OAS on, and from IAS on. */
  BEYOND_OAS = 744,
  BEYOND_IAS = 800,
  /** u64 bits of an STE's word 1 that override a request's privilege or kind: PRIVCFG and INSTCFG, or none. */
  OVERRIDES = 808,
  /** u64 CD.HAD0, which is where word 2 has HAD1, or none. */
  FLATTENS = 816,
  /** u8 x 4: WORLD of streams with stage 1 alone, by STE.STRW. */
  WORLDS = 824,
  /** u8 x 4: log2 of the CDs in a leaf of a CD table, by STE.S1Fmt; 0 = linear. */
  CD_LEAVES = 828,
  /** What stage 2 found: u64 address, u64 descriptor, u32 each: leaf shift, PERMISSION, RESULT_FLAG. */
  STAGE2_ADDRESS = 752,
  STAGE2_ENTRY = 760,
  STAGE2_SHIFT = 768,
  STAGE2_PERMISSIONS = 772,
  STAGE2_FLAGS = 776,
  /** u32 each, of the walk under way: RESULT_FLAG.UPDATED or 0; how often it may start over. */
  UPDATED = 792,
  RETRIES = 796,
  /** u32 x 256 GEOMETRY by CD_TG0_T0SZ, by CD_TG1_T1SZ, u32 x 1024 by STE.S2TG, S2SL0, S2T0SZ. */
  GEOMETRY0 = 832,
  GEOMETRY1 = 1856,
  GEOMETRY2 = 2880,
  /** Lanes of the warming pass, LANE_BYTES for each of a group. */
  LANES = 6976,
  /** What batches walked lately, see `assembly/warm.ts`. */
  RECENT = 11072,

  /** u32 pointers to caches (see `assembly/caches.ts`), all 0 for a unit without; u32 SMMU_POLICY. */
  REQUESTERS = 15168,
  L1STDS = 15172,
  STES = 15176,
  L1CDS = 15180,
  CDS = 15184,
  TRANSLATIONS = 15188,
  LEAVES2 = 15192,
  TABLES1 = 15196,
  TABLES2 = 15200,
  POLICY = 15204,
  /** u32 PERMISSION that a read of the present requester needs (INSTCFG applied). */
  READ_NEEDS = 15208,
  /** u32 pointer to an ORIGIN: the entries that the request has met; and room for one. */
  ORIGIN = 15212,
  ORIGIN_BUFFER = 15216,
  /** u8 x 256 PERMISSION of a stage 1 leaf, by RIGHTS1. */
  RIGHTS1 = 15312,
  /** u64 x 8 each: ones over the bits that an output address may not have, by CD.IPS or STE.S2PS; 52-bit outputs. */
  BEYOND_OUTPUT = 15568,
  BEYOND_LONG_OUTPUT = 15632,
  /** u64 x 5 each, by log2 of the granule from 12 on: the address bits of a descriptor; ones over a level's index. */
  TABLE_MASKS = 15696,
  INDEX_MASKS = 15736,
  /** u64 x 3 by WORLD: the bits of an STE's word 2 that tag a translation, STE.S2VMID or none. */
  TAG_MASKS = 15776,
  END = 15800,
}
/** log2 of the smallest granule there is. */
export const SMALLEST_PAGE_SHIFT = 12;

/** SMMUv3's part of a lane of the warming pass. */
export enum SMMU_LANE {
  /** u32 WAITS_FOR. */
  WAITS_FOR = 36,
  /** u64 start table of stage 2. */
  TABLE2 = 40,
  /** u32 GEOMETRY of stage 1 and of stage 2, 0: there is none. */
  SHAPE = 48,
  SHAPE2 = 52,
  /** u8 lowest address bit of the index at the level read next; the same of stage 2, 0: it is not under way. */
  SHIFT = 56,
  SHIFT2 = 57,
  /** u8 log2 of the CDs in a leaf of a CD table of two levels. */
  CD_LEAF = 58,
}

/** What a lane of the warming pass reads next. */
export enum WAITS_FOR {
  NOTHING = 0,
  L1CD = 1,
  CD = 2,
  DESCRIPTOR = 3,
  /** Nothing, but stage 2 is to translate the page's address. */
  PAGE = 4,
}

/** How the tables of one configuration are shaped; a whole word of 0 = illegal combination. */
export enum GEOMETRY {
  /** log2 of the granule. */
  PAGE_SHIFT = (7 << 16) | 0,
  /** Lowest input address bit that the start level's index uses. */
  START_SHIFT = (15 << 16) | 8,
  /** Input address bits (64 - TxSZ). */
  INPUT_BITS = (22 << 16) | 16,
  /** Descriptors hold address bits 51:48 at 15:12. */
  LONG = (23 << 16) | 23,
  START_LEVEL = (25 << 16) | 24,
  /** log2 of the largest block. */
  LARGEST_BLOCK = (31 << 16) | 26,
}

/** What decides about the rights that a stage 1 leaf grants: the index into SMMU.RIGHTS1. */
export enum RIGHTS1 {
  /** CD.WXN, CD.PAN. */
  WXN = (0 << 16) | 0,
  PAN = (1 << 16) | 1,
  /** A regime with one privilege level. */
  EL2 = (2 << 16) | 2,
  /** Of the request, where REQUEST_FLAG has it. */
  PRIVILEGED = (3 << 16) | 3,
  /** UXN and PXN, and what the tables above have of them. */
  XN = (5 << 16) | 4,
  /** AP[2:1] with AP[1] inverted, so that APTable[1:0] only adds to it: no write, no unprivileged access. */
  AP = (7 << 16) | 6,
}

/** What the ID and control registers come down to: fields of SMMU.FEATURES. */
export enum FEATURE {
  SMMUEN = (0 << 16) | 0,
  STAGE1 = (1 << 16) | 1,
  STAGE2 = (2 << 16) | 2,
  /** IDR0.HTTU: access flag; dirty state. */
  HTTU_ACCESS = (3 << 16) | 3,
  HTTU_DIRTY = (4 << 16) | 4,
  /** Descriptors of the 64 KiB granule hold 52-bit addresses (OAS = 52). */
  LONG_ADDRESSES = (5 << 16) | 5,
  HYP = (6 << 16) | 6,
  E2H = (7 << 16) | 7,
  XNX = (8 << 16) | 8,
  FWB = (9 << 16) | 9,
  PERMISSION_OVERRIDES = (10 << 16) | 10,
  TYPE_OVERRIDES = (11 << 16) | 11,
  ATS = (12 << 16) | 12,
  /** EATS = 2 is possible (NS1ATS = 0). */
  ATS_SPLIT = (13 << 16) | 13,
  ATS_CHECK = (14 << 16) | 14,
  RECORD_BAD_SID = (15 << 16) | 15,
  RECORD_ATS_CONFIG = (16 << 16) | 16,
  VMID16 = (17 << 16) | 17,
  ASID16 = (18 << 16) | 18,
  CD2L = (19 << 16) | 19,
  RAZ_WI = (20 << 16) | 20,
  LITTLE_ENDIAN = (21 << 16) | 21,
  BIG_ENDIAN = (22 << 16) | 22,
  /** STALL_MODEL: faults may stall; faults may terminate. */
  STALL = (23 << 16) | 23,
  TERMINATE = (24 << 16) | 24,
  HAD = (25 << 16) | 25,
}

/** RESULT.EXTRA. */
export enum EXTRA {
  WORLD = (1 << 16) | 0,
  /** Leaf with nG = 0. */
  GLOBAL = (2 << 16) | 2,
  ASET = (3 << 16) | 3,
  /** log2 of the stage 1 and stage 2 leaf sizes; 0 = stage not used. */
  STAGE1_SHIFT = (13 << 16) | 8,
  STAGE2_SHIFT = (21 << 16) | 16,
}
/** RESULT.TAGS. */
export enum TAG {
  ASID = (15 << 16) | 0,
  VMID = (31 << 16) | 16,
}
/** StreamWorld, IHI 0070 3.8. */
export enum WORLD {
  NS_EL1 = 0,
  EL2 = 1,
  EL2_E2H = 2,
  /** No translation: bypass, abort. */
  NONE = 3,
}

/** RESULT.ATTRIBUTES. */
export enum ATTRIBUTE {
  /** Memory type and allocation hints as a MAIR byte. */
  TYPE = (7 << 16) | 0,
  /** SHAREABILITY */
  SH = (9 << 16) | 8,
  /** PnU and InD as the transaction goes out, after PRIVCFG and INSTCFG. */
  PRIVILEGED = (10 << 16) | 10,
  INSTRUCTION = (11 << 16) | 11,
}

/** Said instead of an event number: the walk is to be made again, by `Exact`. */
export const START_OVER = -1;
/** How often the exact walk starts over because somebody changed an entry under its hands. */
export const MAX_RETRIES = 1024;

/** UNIT slots for copies of host-backed structures. */
export enum SLOT {
  L1STD = 0,
  STE = 1,
  L1CD = 2,
  CD = 3,
  STAGE1 = 4,
  STAGE2 = 5,
}

/** Structures that a trace names. */
export enum STRUCTURE {
  L1STD = 1,
  STE = 2,
  L1CD = 3,
  CD = 4,
  DESCRIPTOR = 5,
}

/** Checks, in the order of the walk. */
export enum CHECK {
  NONE = 0,
  GBPA_ABORT,
  GBPA_SIZE,
  SID_RANGE,
  L1STD_FETCH,
  L1STD_SPAN,
  L1STD_INDEX,
  STE_FETCH,
  STE_V,
  STE_CONFIG,
  STE_S1P,
  STE_S2P,
  STE_EATS_SPLIT,
  STE_EATS_STALL,
  STE_STRW,
  STE_S1STALLD,
  STE_S1CDMAX,
  STE_S1FMT,
  STE_S1CONTEXTPTR,
  STE_S2FWB,
  STE_S2S,
  STE_S2AA64,
  STE_HTTU,
  STE_S2TG,
  STE_S2TTB,
  STE_S2T0SZ,
  STE_S2SL0,
  STE_S2ENDI,
  STE_S2VMID,
  ATS_REQUEST,
  ATS_FORBIDDEN,
  ATS_SIZE,
  SUBSTREAM_UNEXPECTED,
  SUBSTREAM_RANGE,
  SUBSTREAM_MISSING,
  SUBSTREAM_ZERO,
  BYPASS_SIZE,
  IAS_SIZE,
  L1CD_FETCH,
  L1CD_V,
  L1CD_L2PTR,
  CD_FETCH,
  CD_V,
  CD_S1STALLD,
  CD_A,
  CD_S,
  CD_ENDI,
  CD_AA64,
  CD_HTTU,
  CD_ASID,
  CD_TXSZ,
  CD_TGX,
  CD_TTBX,
  INPUT_RANGE,
  INPUT_EPD,
  PTE_FETCH,
  PTE_VALID,
  PTE_TYPE,
  PTE_ADDRESS,
  PTE_AF,
  PTE_S2PTW,
  PTE_PERMISSION,
  PTE_UPDATE,
}
