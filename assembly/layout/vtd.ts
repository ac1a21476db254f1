/**
 * Intel VT-d: structures in memory and fault reasons.
 *
 * Intel Virtualization Technology for Directed I/O, rev 5.10 (D51397-018), chapter 9 "Translation
 * Structure Formats" and chapter 7 "Address Translation Faults". Read by asc and by tsc.
 *
 * A field is `msb << 16 | lsb`, absolute within its structure. Reserved bits that no capability can
 * open are named apart, in `..._RESERVED`: the walker tests them, people need not see them.
 * Address fields reach up to the architecture's limit; bits at and above HAW are reserved on top.
 */

/** Requester id: PCI bus, device, function. */
export enum SOURCE_ID {
  BUS = (15 << 16) | 8,
  DEVFN = (7 << 16) | 0,
  DEVICE = (7 << 16) | 3,
  FUNCTION = (2 << 16) | 0,
  /** Set in the devfn of the upper half of a scalable root entry. */
  UPPER_HALF = (7 << 16) | 7,
  /** Device and function within a half. */
  HALF_DEVFN = (6 << 16) | 0,
}

/** Root entry, legacy mode: 256 per table, by bus. */
export enum ROOT {
  P = (0 << 16) | 0,
  CTP = (63 << 16) | 12,
}
export enum ROOT_RESERVED {
  R0 = (11 << 16) | 1,
  R1 = (127 << 16) | 64,
}
export const ROOT_BYTES = 16;

/** Root entry, scalable mode: the lower half serves devfn 00h-7Fh, the upper half 80h-FFh. */
export enum SROOT {
  LP = (0 << 16) | 0,
  LCTP = (63 << 16) | 12,
  UP = (64 << 16) | 64,
  UCTP = (127 << 16) | 76,
}
export enum SROOT_RESERVED {
  LOWER = (11 << 16) | 1,
  UPPER = (75 << 16) | 65,
}

/** Context entry, legacy mode: 256 per table, by devfn. */
export enum CONTEXT {
  P = (0 << 16) | 0,
  FPD = (1 << 16) | 1,
  TT = (3 << 16) | 2,
  SSPTPTR = (63 << 16) | 12,
  AW = (66 << 16) | 64,
  IGN = (70 << 16) | 67,
  DID = (87 << 16) | 72,
}
export enum CONTEXT_RESERVED {
  R0 = (11 << 16) | 4,
  R1 = (71 << 16) | 71,
  R2 = (127 << 16) | 88,
}
export const CONTEXT_BYTES = 16;

/** CONTEXT.TT */
export enum TT {
  SECOND_STAGE = 0,
  SECOND_STAGE_ATS = 1,
  PASS_THROUGH = 2,
}

/** Context entry, scalable mode: 128 per table. */
export enum SCONTEXT {
  P = (0 << 16) | 0,
  FPD = (1 << 16) | 1,
  DTE = (2 << 16) | 2,
  PASIDE = (3 << 16) | 3,
  PRE = (4 << 16) | 4,
  HPTE = (5 << 16) | 5,
  EPTR = (6 << 16) | 6,
  PDTS = (11 << 16) | 9,
  PASIDDIRPTR = (63 << 16) | 12,
  RID_PASID = (83 << 16) | 64,
  RID_PRIV = (84 << 16) | 84,
}
export enum SCONTEXT_RESERVED {
  R0 = (8 << 16) | 7,
  R1 = (127 << 16) | 85,
  R2 = (191 << 16) | 128,
  R3 = (255 << 16) | 192,
}
export const SCONTEXT_BYTES = 32;

/** How a PASID selects its directory and table entry. */
export enum PASID_INDEX {
  DIRECTORY = (19 << 16) | 6,
  TABLE = (5 << 16) | 0,
}
/** The directory has 2^(PDTS + 7) entries, so PASIDs have PDTS + 13 bits. */
export const PDTS_BASE_BITS = 13;
export const PDTS_BASE_ENTRIES_LOG2 = 7;

/** PASID directory entry. */
export enum PASIDDIR {
  P = (0 << 16) | 0,
  FPD = (1 << 16) | 1,
  SMPTBLPTR = (63 << 16) | 12,
}
export enum PASIDDIR_RESERVED {
  R0 = (11 << 16) | 2,
}
export const PASIDDIR_BYTES = 8;

/** PASID table entry (scalable-mode PASID-table entry). */
export enum PASID {
  P = (0 << 16) | 0,
  FPD = (1 << 16) | 1,
  AW = (4 << 16) | 2,
  PGTT = (8 << 16) | 6,
  SSADE = (9 << 16) | 9,
  SSPTPTR = (63 << 16) | 12,
  DID = (79 << 16) | 64,
  PWSNP = (87 << 16) | 87,
  PGSNP = (88 << 16) | 88,
  CD = (89 << 16) | 89,
  EMTE = (90 << 16) | 90,
  PAT = (127 << 16) | 96,
  SRE = (128 << 16) | 128,
  FSPM = (131 << 16) | 130,
  WPE = (132 << 16) | 132,
  IGN = (134 << 16) | 133,
  EAFE = (135 << 16) | 135,
  FSPTPTR = (191 << 16) | 140,
  HPTSZ = (257 << 16) | 256,
  HPTPFD = (258 << 16) | 258,
  HPTPTR = (319 << 16) | 268,
  HPTDID = (335 << 16) | 320,
}
export enum PASID_RESERVED {
  R0 = (5 << 16) | 5,
  R1 = (11 << 16) | 10,
  R2 = (86 << 16) | 80,
  R3 = (95 << 16) | 91,
  R4 = (129 << 16) | 129,
  R5 = (139 << 16) | 136,
  R6 = (255 << 16) | 192,
  R7 = (267 << 16) | 259,
  R8 = (383 << 16) | 336,
  R9 = (447 << 16) | 384,
  R10 = (511 << 16) | 448,
  /** Bit 3 of each PAT slot. */
  PAT0 = (99 << 16) | 99,
  PAT1 = (103 << 16) | 103,
  PAT2 = (107 << 16) | 107,
  PAT3 = (111 << 16) | 111,
  PAT4 = (115 << 16) | 115,
  PAT5 = (119 << 16) | 119,
  PAT6 = (123 << 16) | 123,
  PAT7 = (127 << 16) | 127,
}
/** What decides together whether a translation type is legal: AW and PGTT, and R0 between them. */
export enum PASID_PART {
  TYPE = (8 << 16) | 2,
}
export const PASID_BYTES = 64;
/** Width of a PAT slot. */
export const PAT_SLOT_BITS = 4;

/** PASID.PGTT: translation type of a PASID. */
export enum PGTT {
  FIRST_STAGE = 1,
  SECOND_STAGE = 2,
  NESTED = 3,
  PASS_THROUGH = 4,
}

/** CONTEXT.AW and PASID.AW: AGAW = 30 + 9 * AW bits, AW + 2 levels. */
export enum AW {
  BITS_39 = 1,
  BITS_48 = 2,
  BITS_57 = 3,
}
export const AGAW_BASE_BITS = 30;
export const AW_BASE_LEVELS = 2;

/** PASID.FSPM */
export enum FSPM {
  LEVELS_4 = 0,
  LEVELS_5 = 1,
}
export const FSPM_BASE_LEVELS = 4;
/** A canonical address has bits 63:N equal to bit N - 1. */
export const FS_ADDRESS_BITS_4 = 48;

/** All paging structures: 512 entries of 8 bytes, 4 KiB pages below the first level. */
export const PAGE_SHIFT = 12;
export const LEVEL_BITS = 9;
export const PTE_SHIFT = 3;
/** An index into a paging structure, as the byte offset of its entry. */
export enum TABLE_OFFSET {
  ENTRY = (11 << 16) | 3,
}

/** First-stage paging entry, all levels. The suffixes 1G and 2M are leaves above level 1. */
export enum FSPTE {
  P = (0 << 16) | 0,
  RW = (1 << 16) | 1,
  US = (2 << 16) | 2,
  PWT = (3 << 16) | 3,
  PCD = (4 << 16) | 4,
  A = (5 << 16) | 5,
  D = (6 << 16) | 6,
  /** Levels 2 and 3: leaf. Reserved at levels 4 and 5. */
  PS = (7 << 16) | 7,
  /** Level 1: the PAT bit is where PS is above. */
  PAT = (7 << 16) | 7,
  EA = (10 << 16) | 10,
  PAT_LARGE = (12 << 16) | 12,
  ADDR = (51 << 16) | 12,
  ADDR_2M = (51 << 16) | 21,
  ADDR_1G = (51 << 16) | 30,
}
export enum FSPTE_RESERVED {
  LEAF_2M = (20 << 16) | 13,
  LEAF_1G = (29 << 16) | 13,
}

/** Second-stage paging entry, all levels. */
export enum SSPTE {
  R = (0 << 16) | 0,
  W = (1 << 16) | 1,
  EMT = (5 << 16) | 3,
  IPAT = (6 << 16) | 6,
  PS = (7 << 16) | 7,
  A = (8 << 16) | 8,
  D = (9 << 16) | 9,
  SNP = (11 << 16) | 11,
  ADDR = (51 << 16) | 12,
  ADDR_2M = (51 << 16) | 21,
  ADDR_1G = (51 << 16) | 30,
  /** I/O read and write: permission instead of R and W when RTADDR.SSIRWE = 1. */
  IR = (61 << 16) | 61,
  IW = (62 << 16) | 62,
}
export enum SSPTE_RESERVED {
  LEAF_2M = (20 << 16) | 12,
  LEAF_1G = (29 << 16) | 12,
}

/** Host permission table, levels 2 to 4: the link is in the second word. Level 1 is PP only. */
export enum HPTE {
  AV = (64 << 16) | 64,
  ADDR = (115 << 16) | 76,
}
export enum HPTE_RESERVED {
  R0 = (75 << 16) | 65,
  L4 = (63 << 16) | 0,
  L3 = (63 << 16) | 32,
}
export const HPTE_BYTES = 16;
/** One permission nibble of a host permission table. */
export enum PP {
  R = (0 << 16) | 0,
  W = (1 << 16) | 1,
  RESERVED = (3 << 16) | 2,
}
export const PP_BITS = 4;
/** How a host physical address selects entries and nibbles: 1 GiB, 2 MiB, 4 KiB. */
export enum HPT_INDEX {
  L4 = (51 << 16) | 41,
  L3 = (40 << 16) | 33,
  L3_PP = (32 << 16) | 30,
  L2 = (32 << 16) | 25,
  L2_PP = (24 << 16) | 21,
  L1 = (24 << 16) | 17,
  L1_PP = (16 << 16) | 12,
}
/** Address bits of a host permission table with HPTSZ = 0; each step adds one. */
export const HPT_BASE_BITS = 49;

/** Interrupt remapping table entry; the PDA fields and VV count when IM = 1. */
export enum IRTE {
  P = (0 << 16) | 0,
  FPD = (1 << 16) | 1,
  DM = (2 << 16) | 2,
  RH = (3 << 16) | 3,
  TM = (4 << 16) | 4,
  DLM = (7 << 16) | 5,
  AVAIL = (11 << 16) | 8,
  URG = (14 << 16) | 14,
  IM = (15 << 16) | 15,
  V = (23 << 16) | 16,
  DST = (63 << 16) | 32,
  /** All of DST that counts when IRTA.EIME = 0. */
  DST_XAPIC = (47 << 16) | 40,
  SID = (79 << 16) | 64,
  SQ = (81 << 16) | 80,
  SVT = (83 << 16) | 82,
  /** Posted: descriptor address bits 31:6 and 63:32. */
  PDAL = (63 << 16) | 38,
  PDAH = (127 << 16) | 96,
}
export enum IRTE_RESERVED {
  R0 = (13 << 16) | 12,
  R1 = (31 << 16) | 24,
  R2 = (127 << 16) | 84,
  /** Remapped format: bit 14, and DST bits that xAPIC mode (EIME = 0) leaves unused. */
  REMAPPED = (14 << 16) | 14,
  XAPIC_LOW = (39 << 16) | 32,
  XAPIC_HIGH = (63 << 16) | 48,
  /** Posted format. */
  POSTED_R0 = (7 << 16) | 2,
  POSTED_R1 = (37 << 16) | 32,
  POSTED_R2 = (95 << 16) | 84,
}
export const IRTE_BYTES = 16;

/** IRTE.SVT */
export enum SVT {
  NONE = 0,
  SOURCE_ID = 1,
  BUS_RANGE = 2,
}
/** IRTE.DLM and the delivery mode of an interrupt message. */
export enum DLM {
  FIXED = 0,
  LOWEST_PRIORITY = 1,
  SMI = 2,
  NMI = 4,
  INIT = 5,
  EXT_INT = 7,
}

/** Posted-interrupt descriptor; PIR0 to PIR3 are one 256-bit map of vectors. */
export enum PID {
  PIR0 = (63 << 16) | 0,
  PIR1 = (127 << 16) | 64,
  PIR2 = (191 << 16) | 128,
  PIR3 = (255 << 16) | 192,
  ON = (256 << 16) | 256,
  SN = (257 << 16) | 257,
  NV = (279 << 16) | 272,
  NDST = (319 << 16) | 288,
  NDST_XAPIC = (303 << 16) | 296,
}
export enum PID_RESERVED {
  R0 = (271 << 16) | 258,
  R1 = (287 << 16) | 280,
  R2 = (383 << 16) | 320,
  R3 = (447 << 16) | 384,
  R4 = (511 << 16) | 448,
}

/** FEE0_0000h to FEEF_FFFFh: interrupts, never memory. */
export enum INTERRUPT_RANGE {
  PREFIX = (63 << 16) | 20,
}
export const INTERRUPT_PREFIX = 0xfee;

/** Memory types of PAT slots and SSPTE.EMT. */
export enum MEMORY_TYPE {
  UC = 0,
  WC = 1,
  WT = 4,
  WP = 5,
  WB = 6,
  /** UC minus: PAT only. */
  UC_MINUS = 7,
}
