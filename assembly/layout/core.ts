/**
 * Our own ABI: what crosses the WebAssembly boundary and where it lies in linear memory.
 *
 * Read by asc and by tsc, so the two sides cannot disagree. Nothing here comes from a hardware
 * manual; `vtd.ts` and `smmuv3.ts` beside this file hold the architectures' facts.
 *
 * Offsets are bytes. A *field* is `msb << 16 | lsb`, absolute within its structure, the way both
 * specifications print it; `bits.ts` (Wasm) and `structure.ts` (TypeScript) take it apart.
 */

/** Address 0 is never handed out, so 0 can mean "no pointer". */
export const NO_POINTER = 0;

/**
 * The guest memory map, at one fixed place: a Wasm memory holds exactly one guest.
 *
 * Two segments are looked at first (RAM below and above a PCI hole); everything else, and everything
 * while an address is poisoned, goes through the region table.
 */
export enum GUEST {
  /** u64 guest address, u64 bytes (0 = closed) of the first segment; u32 linear pointer - guest address there. */
  BASE0 = 64,
  SIZE0 = 72,
  DELTA0 = 80,
  /** The same of the second segment. */
  BASE1 = 88,
  SIZE1 = 96,
  DELTA1 = 104,
  /** u32 number of regions, and of poisoned ranges. */
  REGIONS = 108,
  POISONS = 112,
  /** Region table: REGION_BYTES each, ascending by base, not overlapping. */
  REGION_TABLE = 128,
  /** Poison table: u64 first address, u64 last address. */
  POISON_TABLE = 1664,
}
/** u64 base, u64 bytes, u32 linear pointer (NO_POINTER = host-backed), u32 pad. */
export enum REGION {
  BASE = 0,
  SIZE = 8,
  PTR = 16,
}
export const REGION_BYTES = 24;
export const MAX_REGIONS = 64;
export const POISON_BYTES = 16;
export const MAX_POISONS = 64;
/** First byte that asc may use for static data; below it lies the guest memory map. */
export const STATIC_DATA = 4096;

/** What every unit block (the state of one IOMMU in linear memory) starts with. */
export enum UNIT {
  /** u32 pointer to the trace buffer (NO_POINTER: this unit cannot be traced). */
  TRACE = 0,
  /** u32 pointer to the cache of translations by request, see `tlb.ts`; NO_POINTER while nothing is answered from it. */
  FRONT = 4,
  /** u32 REQUEST_FLAG bits: a request that has one of them is not answered from there; ALL_REQUESTS with FRONT = 0. */
  WALKED = 8,
  /** Copies of structures fetched from host-backed memory: SLOTS of SLOT_BYTES. */
  SLOT0 = 64,
  /** The vendor's part. */
  VENDOR = 576,
}
export const ALL_REQUESTS = -1;
export const SLOT_BYTES = 64;
export const SLOTS = 8;

/** One request, in a batch array or as the arguments of a single walk. */
export enum REQUEST {
  /** u32 source-id (VT-d) or StreamID (SMMUv3). */
  SID = 0,
  /** u32 PASID or SubstreamID; counts only with REQUEST_FLAG.PASID. */
  PASID = 4,
  /** u64 input address. */
  ADDRESS = 8,
  /** u32 REQUEST_FLAG. */
  FLAGS = 16,
}
export const REQUEST_BYTES = 24;

/** Bits of REQUEST.FLAGS. An atomic is READ | WRITE. */
export enum REQUEST_FLAG {
  READ = 1 << 0,
  WRITE = 1 << 1,
  /** An instruction fetch (SMMUv3 InD = 1, VT-d ER = 1); goes with READ. */
  EXECUTE = 1 << 2,
  PRIVILEGED = 1 << 3,
  /** The request carries a PASID / SubstreamID. */
  PASID = 1 << 4,
  /** ATS translation request (AT = 01b). */
  TRANSLATION = 1 << 5,
  /** ATS translated request (AT = 10b). */
  TRANSLATED = 1 << 6,
  /** Zero-length read (VT-d CAP.ZLR). */
  ZERO_LENGTH = 1 << 7,
  /** NW, no write: the translation request asks for read permission only. */
  NO_WRITE = 1 << 8,
  /** The request is exactly one aligned dword (what makes a write to FEEx_xxxxh an interrupt). */
  DWORD = 1 << 9,
  /** Look, but do not touch: accessed and dirty bits are left as they are. */
  PROBE = 1 << 10,
  /**
   * VT-d page request message (READ, WRITE, EXECUTE as it asks): the walk ends at the PASID entry, and
   * TAGS and PASID of the result say where it belongs.
   */
  PAGE_REQUEST = 1 << 11,
}

/** One request of a group that is being warmed, see `lanes.ts`. */
export enum LANE {
  /** u64 guest address of the entry to read next; u64 first word of the entry read last. */
  AT = 0,
  ENTRY = 8,
  /** u64 input address; u64 address that the second stage is to translate. */
  INPUT = 16,
  IPA = 24,
  /** u32 pointer to the request. */
  REQUEST = 32,
  /** The vendor's part. */
  VENDOR = 36,
}
export const LANE_BYTES = 64;

/** Some of them as fields. */
export enum REQUEST_BIT {
  EXECUTE = (2 << 16) | 2,
  PRIVILEGED = (3 << 16) | 3,
}

/** What a walk says. The first RESULT.FAULT_PART bytes are always written, the rest on a fault only. */
export enum RESULT {
  /** u32 fault reason (VT-d) or event number (SMMUv3); 0 = none. */
  CODE = 0,
  /** u32 RESULT_FLAG, with the ANSWER in the low four bits. */
  FLAGS = 4,
  /** u64 output address. */
  ADDRESS = 8,
  /** u8 log2 of the bytes this translation is good for (64 = everything). */
  PAGE_SHIFT = 16,
  /** u8 PERMISSION bits that the tables grant at the request's privilege. */
  PERMISSIONS = 17,
  /** u16 vendor's memory attributes (see the vendor's walker). */
  ATTRIBUTES = 18,
  /** u32 tags for caches: VT-d DID | PGTT << 16; SMMUv3 ASID | VMID << 16. */
  TAGS = 20,
  /** u32 PASID / SubstreamID that selected the tables (VT-d: RID_PASID if none was given). */
  PASID = 24,
  /** u32 vendor's extra (SMMUv3 StreamWorld and global bit; VT-d snoop bits). */
  EXTRA = 28,
  /** u64 physical address of the access or entry that the fault is about (FetchAddr). */
  FETCH_ADDRESS = 32,
  /** u64 intermediate address (SMMUv3 IPA, VT-d guest physical). */
  IPA = 40,
  /** u8 number of the check that failed (the vendor's CHECK). */
  CHECK = 48,
  /** u8 stage of the fault: 1, 2, or 0 where there is none. */
  STAGE = 49,
  /** u8 SMMUv3 CLASS. */
  CLASS = 50,
  /** u8 level of the entry. */
  LEVEL = 51,
  /** u32 REQUEST_FLAG bits as the checks saw them (SMMUv3: after PRIVCFG and INSTCFG). */
  EFFECTIVE = 52,
  /** u64 first word of the entry at fault. */
  ENTRY = 56,
}
export const RESULT_BYTES = 64;

/** Low four bits of RESULT.FLAGS: what the device gets. */
export enum ANSWER {
  /** Translated (for a translation request: a successful completion, maybe without rights). */
  SUCCESS = 0,
  /** Unsupported Request. */
  UR = 1,
  /** Completer Abort. */
  CA = 2,
  /** SMMUv3 abort. */
  ABORT = 3,
  /** SMMUv3 reads as zero, write ignored; the device sees success. */
  RAZ_WI = 4,
  /** SMMUv3 stalled, no answer yet. */
  STALL = 5,
  /** VT-d: not DMA but an interrupt request (write to FEEx_xxxxh). */
  INTERRUPT = 6,
}
export enum RESULT_FLAG {
  ANSWER = 15,
  /** The fault is to be recorded (fault record, event). */
  RECORD = 1 << 4,
  /** VT-d: the fault is qualified, FPD = 1 suppresses it. */
  QUALIFIED = 1 << 5,
  /** VT-d: an entry with FPD = 1 was met. */
  FPD = 1 << 6,
  /** Input equals output: pass-through, bypass, or translation disabled. */
  BYPASS = 1 << 7,
  /** SMMUv3 TTRnW = 0: the table access that failed was a write. */
  TABLE_WRITE = 1 << 8,
  /** ATS completion bit U, untranslated access only. */
  UNTRANSLATED_ONLY = 1 << 9,
  /** The walk set accessed or dirty bits in memory. */
  UPDATED = 1 << 10,
  /** Leaf known dirty (or not tracked): a later write needs no new walk. */
  DIRTY = 1 << 11,
}

/** Bits of RESULT.PERMISSIONS. */
export enum PERMISSION {
  READ = 1 << 0,
  WRITE = 1 << 1,
  EXECUTE = 1 << 2,
}

/** Trace buffer: a header, then `COUNT` steps of STEP_BYTES. */
export enum TRACE {
  /** u32 steps recorded, u32 steps there is room for, u32 steps that found no room. */
  COUNT = 0,
  CAPACITY = 4,
  DROPPED = 8,
  STEPS = 64,
}
/** One entry that a traced walk read. */
export enum STEP {
  /** u8 vendor's STRUCTURE, u8 level, u8 stage, u8 number of 64-bit words (0: the read failed). */
  STRUCTURE = 0,
  LEVEL = 1,
  STAGE = 2,
  WORDS = 3,
  /** u8 number of checks made, u8 1 + index of the one that failed (0 = none). */
  CHECKS = 4,
  FAILED = 5,
  /** u8: the walk was nested inside this many outer accesses. */
  DEPTH = 6,
  /** u64 guest physical address. */
  ADDRESS = 8,
  /** u64 index into the table (of the entry's size). */
  INDEX = 16,
  /** u64 value written back (accessed/dirty update); counts if UPDATED. */
  UPDATE = 24,
  UPDATED = 7,
  /** Up to eight u64 as read. */
  ENTRY = 32,
  /** u8 each: CHECK numbers in the order they were made. */
  CHECK_LIST = 96,
}
export const STEP_CHECKS = 160;
export const STEP_BYTES = 256;
