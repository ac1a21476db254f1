/**
 * Our own ABI of the VT-d walker: its part of the unit block, and what RESULT.ATTRIBUTES and
 * RESULT.EXTRA say. Nothing here comes from a hardware manual.
 */

/** The unit block from UNIT.VENDOR on: inputs of `vtdConfigure`, then what it derives from them. */
export enum VTD {
  /** u64 CAP_REG, ECAP_REG, and RTADDR_REG as the last SRTP latched it. */
  CAP = 576,
  ECAP = 584,
  RTADDR = 592,
  /** u32 VER_REG; u32 host address width in bits; u32 GSTS_REG (TES and IRES count). */
  VERSION = 600,
  HAW = 604,
  GSTS = 608,

  /** u32 VTD_MODE. */
  MODE = 612,
  /** u64 root table. */
  ROOT_TABLE = 616,
  /** u64 address bits that are no host address: 63:HAW. */
  BEYOND_HAW = 624,

  /** u64 reserved bits by word: legacy root and context entry. */
  ROOT_R0 = 632,
  CONTEXT_R0 = 640,
  CONTEXT_R1 = 648,
  /** u64: either half of a scalable root entry, moved to bit 0. */
  SROOT_R = 656,
  PASIDDIR_R0 = 664,
  /** u32 domain id that is the hardware's own: 0 in caching mode, otherwise none. */
  HARDWARE_DID = 672,
  /** u32 ORed to RID_PASID makes it what no explicit PASID may be: nothing is taken where RPS = 0. */
  RID_PASID_TAKEN = 676,
  /** u64[8] and u64[4]: all words of a PASID table entry, of a scalable context entry. */
  PASID_R0 = 688,
  PASID_R1 = 696,
  PASID_R2 = 704,
  PASID_R3 = 712,
  PASID_R4 = 720,
  PASID_R5 = 728,
  PASID_R6 = 736,
  PASID_R7 = 744,
  SCONTEXT_R0 = 752,
  SCONTEXT_R1 = 760,
  SCONTEXT_R2 = 768,
  SCONTEXT_R3 = 776,

  /** u64[2] by level: reserved bits of a first-stage entry by its PS, which counts as 1 on level 1. */
  FS_R = 784,
  /** The same below a second stage, where addresses are guest physical. */
  NESTED_R = 880,
  /** u64[2] by level: second stage. */
  SS_R = 976,

  /** u64 lowest of the two second-stage permission bits, R and W or IR and IW; u64 both. */
  SS_RIGHTS_AT = 1072,
  SS_RIGHTS = 1080,
  /** u64 by AW: input address bits beyond 2^X - 1, X = min(MGAW, AGAW). */
  SS_BEYOND = 1096,
  /** u32 sets: legal AW, legal PGTT (bit n = value n). */
  AWS = 1128,
  PGTTS = 1132,
  /** u32 largest legal FSPM, AW that pass-through demands, PASID bits (PSS + 1). */
  MAX_FSPM = 1136,
  WIDEST_AW = 1140,
  PASID_BITS = 1144,
  /** u32 log2 of the page that a completion for a pass-through page covers. */
  PASS_THROUGH_SHIFT = 1148,

  /** What a walk that writes memory notes: u32 re-walks left; u32 != 0: something was updated. */
  RETRIES = 1152,
  UPDATED = 1156,
  /** By level, PATH_STEP records: the entries of the first stage and of the second stage walked last. */
  FS_PATH = 1160,
  SS_PATH = 1304,
  /** u64 reserved bits of HPTDID where HPTE = 1. */
  HPTDID_R = 1448,
  /** What a batch keeps: GROUP lanes of the warming pass, and the pages walked lately (RECENT_BYTES). */
  LANES = 1472,
  RECENT = 5568,

  /** u32 pointers to caches (see caches.ts), all 0 for a unit without; u32 VTD_POLICY. */
  IOTLB = 9664,
  CONTEXTS = 9668,
  PASIDS = 9672,
  FS_TABLES = 9676,
  SS_TABLES = 9680,
  POLICY = 9684,
  /** What a cached walk notes: u32 first level it read from memory, u64 what the levels above grant; by stage. */
  FS_FROM = 9688,
  SS_FROM = 9692,
  FS_GRANTED = 9696,
  SS_GRANTED = 9704,
  /** u32 pointer to an IOTLB_ORIGIN: the entries that the request has met; and room for one. */
  ORIGIN = 9712,
  ORIGIN_BUFFER = 9720,
  /** u8 by PASID_PART.TYPE: PGTT, or 0 where that, or the AW that it needs, is illegal. */
  TYPES = 9832,
  /** u64 by FSPM: input addresses of the lower half end here; 0 where FSPM is illegal. */
  FS_LIMIT = 9960,
  /**
   * For units in worker threads, which have no registers: u32 protected regions, at PROTECTED as u64 first
   * and u64 last address; u32 != 0: they are closed to remapped requests too.
   */
  PROTECTED_COUNT = 9992,
  PROTECTED_ALWAYS = 9996,
  PROTECTED = 10000,
  END = 10032,
}

/** VT-d's part of a lane of the warming pass. */
export enum VTD_LANE {
  /** u32 level of the entry to read next (0: there is none); u32 the same in the second stage. */
  LEVEL = 36,
  SECOND_LEVEL = 40,
  /** u32 levels of the second stage below the first; 0: there is none. */
  SECOND_LEVELS = 44,
  /** u64 root of that second stage. */
  SECOND_ROOT = 48,
}

/** One entry on a path: u64 host address, u64 as read, u64 != 0: the second stage lets it be written. */
export enum PATH {
  ADDRESS = 0,
  ENTRY = 8,
  WRITABLE = 16,
}
export const PATH_STEP = 24;
/** Paging structures have up to five levels; tables by level have a row 0 that is not used. */
export const LEVELS = 6;
/** How often a walk starts over because somebody else changed an entry it wanted to mark. */
export const MAX_RETRIES = 1024;

/** VTD.MODE: what the latched RTADDR.TTM, GSTS.TES and the capabilities come to. */
export enum VTD_MODE {
  /** TES = 0 */
  OFF = 0,
  LEGACY = 1,
  SCALABLE = 2,
  ABORT_DMA = 3,
  /** TTM is reserved, or needs a capability that is 0. */
  ILLEGAL = 4,
  /** SSIRWE = 1 in legacy mode. */
  ILLEGAL_SSIRWE = 5,
}

/** A leaf as the whole path grants it: permission and accessed bits ANDed, log2 of its page in ignored bits. */
export enum LEAF {
  SHIFT = (57 << 16) | 52,
}

/** Returned by a walk that must start over: in place of a fault reason, which has eight bits. */
export const START_OVER = 256;
/** A row of the table of outcomes, see `faults.ts`. */
export enum OUTCOME {
  REASON = 255,
  /** Suppressible by FPD. */
  QUALIFIED = 1 << 8,
  /** Translation request: completer abort; success without rights (not recorded); the same, recorded. */
  T_CA = 1 << 9,
  T_S0 = 2 << 9,
  T_S0_RECORDED = 3 << 9,
  T = 3 << 9,
  /** Translated request: completer abort. */
  X_CA = 1 << 11,
}

/** Slots of the unit block for entries that lie in host-backed memory. */
export enum SLOT {
  ROOT = 0,
  CONTEXT = 1,
  PASIDDIR = 2,
  PASID = 3,
  FSPTE = 4,
  SSPTE = 5,
  HPTE = 6,
}

/** RESULT.ATTRIBUTES of VT-d. */
export enum VTD_ATTRIBUTES {
  /** MEMORY_TYPE of the page as the tables say (MTRRs, which belong to the platform, taken as WB). */
  TYPE = (2 << 16) | 0,
  /** Snooped even for a No-Snoop request; bit N of a translation completion. */
  SNOOP = (3 << 16) | 3,
}

/** RESULT.EXTRA of VT-d. */
export enum VTD_EXTRA {
  /** PRIV of a translation completion. */
  PRIV = (0 << 16) | 0,
}

/** RESULT.TAGS of VT-d. */
export enum VTD_TAGS {
  DID = (15 << 16) | 0,
  PGTT = (18 << 16) | 16,
}
