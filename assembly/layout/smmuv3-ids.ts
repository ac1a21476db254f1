/**
 * What an SMMUv3 says that it can do: the ID registers. Arm IHI 0070, 6.3.1 to 6.3.8. A field is
 * `msb << 16 | lsb` of its register.
 */

/** 6.3.1 */
export enum IDR0 {
  S2P = (0 << 16) | 0,
  S1P = (1 << 16) | 1,
  TTF = (3 << 16) | 2,
  COHACC = (4 << 16) | 4,
  BTM = (5 << 16) | 5,
  HTTU = (7 << 16) | 6,
  DORMHINT = (8 << 16) | 8,
  HYP = (9 << 16) | 9,
  ATS = (10 << 16) | 10,
  NS1ATS = (11 << 16) | 11,
  ASID16 = (12 << 16) | 12,
  MSI = (13 << 16) | 13,
  SEV = (14 << 16) | 14,
  ATOS = (15 << 16) | 15,
  PRI = (16 << 16) | 16,
  VMW = (17 << 16) | 17,
  VMID16 = (18 << 16) | 18,
  CD2L = (19 << 16) | 19,
  VATOS = (20 << 16) | 20,
  TTENDIAN = (22 << 16) | 21,
  ATSRECERR = (23 << 16) | 23,
  STALL_MODEL = (25 << 16) | 24,
  TERM_MODEL = (26 << 16) | 26,
  ST_LEVEL = (28 << 16) | 27,
  RME_IMPL = (30 << 16) | 30,
}

/** IDR0.TTF, as a set: bit 0 AArch32 LPAE, bit 1 AArch64. */
export enum TTF {
  AARCH32 = 1,
  AARCH64 = 2,
  BOTH = 3,
}

/** IDR0.HTTU */
export enum HTTU {
  NONE = 0,
  ACCESS = 1,
  ACCESS_DIRTY = 2,
  ACCESS_DIRTY_TABLE = 3,
}

/** IDR0.TTENDIAN */
export enum TTENDIAN {
  MIXED = 0,
  LITTLE = 2,
  BIG = 3,
}

/** IDR0.STALL_MODEL */
export enum STALL_MODEL {
  STALL_AND_TERMINATE = 0,
  TERMINATE_ONLY = 1,
  STALL_FORCED = 2,
}

/** IDR0.ST_LEVEL and STRTAB_BASE_CFG.FMT */
export enum STRTAB_FORMAT {
  LINEAR = 0,
  TWO_LEVEL = 1,
}

/** 6.3.2 */
export enum IDR1 {
  SIDSIZE = (5 << 16) | 0,
  SSIDSIZE = (10 << 16) | 6,
  PRIQS = (15 << 16) | 11,
  EVENTQS = (20 << 16) | 16,
  CMDQS = (25 << 16) | 21,
  ATTR_PERMS_OVR = (26 << 16) | 26,
  ATTR_TYPES_OVR = (27 << 16) | 27,
  REL = (28 << 16) | 28,
  QUEUES_PRESET = (29 << 16) | 29,
  TABLES_PRESET = (30 << 16) | 30,
  ECMDQ = (31 << 16) | 31,
}

/** 6.3.3 */
export enum IDR2 {
  BA_VATOS = (9 << 16) | 0,
}

/** 6.3.4 */
export enum IDR3 {
  HAD = (2 << 16) | 2,
  PBHA = (3 << 16) | 3,
  XNX = (4 << 16) | 4,
  PPS = (5 << 16) | 5,
  MPAM = (7 << 16) | 7,
  FWB = (8 << 16) | 8,
  STT = (9 << 16) | 9,
  RIL = (10 << 16) | 10,
  BBML = (12 << 16) | 11,
  E0PD = (13 << 16) | 13,
  PTWNNC = (14 << 16) | 14,
  DPT = (15 << 16) | 15,
  PASIDTT = (16 << 16) | 16,
  EPAN = (17 << 16) | 17,
}

/** 6.3.6 */
export enum IDR5 {
  OAS = (2 << 16) | 0,
  GRAN4K = (4 << 16) | 4,
  GRAN16K = (5 << 16) | 5,
  GRAN64K = (6 << 16) | 6,
  DS = (7 << 16) | 7,
  D128 = (8 << 16) | 8,
  VAX = (11 << 16) | 10,
  STALL_MAX = (31 << 16) | 16,
}

/** IDR5.OAS, STE.S2PS and CD.IPS: encodings of an address size in bits. */
export enum ADDRESS_SIZE {
  BITS_32 = 0,
  BITS_36 = 1,
  BITS_40 = 2,
  BITS_42 = 3,
  BITS_44 = 4,
  BITS_48 = 5,
  BITS_52 = 6,
  BITS_56 = 7,
}

/** 6.3.7 */
export enum IIDR {
  Implementer = (11 << 16) | 0,
  Revision = (15 << 16) | 12,
  Variant = (19 << 16) | 16,
  ProductID = (31 << 16) | 20,
}

/** What the peripheral IDs say of it. */
export enum IIDR_PART {
  DES_0 = (3 << 16) | 0,
  DES_1 = (6 << 16) | 4,
  DES_2 = (11 << 16) | 8,
  PART_0 = (27 << 16) | 20,
  PART_1 = (31 << 16) | 28,
}

/** 6.3.8 */
export enum AIDR {
  ArchMinorRev = (3 << 16) | 0,
  ArchMajorRev = (7 << 16) | 4,
}
