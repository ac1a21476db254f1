/**
 * Our own ABI of the enumerator: a block that holds how far it got, and the records it writes.
 *
 * One enumeration lists what one address space maps. It works in slices: `vtdReach` and `smmuReach` go
 * on until the record buffer is full or the budget is spent, and are called again. No hardware facts here.
 */

/** The block of an enumeration; TypeScript fills in what stands before DEPTH. */
export enum REACH {
  /** u32 unit block whose registers apply; u32 REACH_KIND. */
  UNIT = 0,
  KIND = 4,
  /** u32 pointer to RUN records, how many there is room for, how many there are. */
  RUNS = 8,
  CAPACITY = 12,
  COUNT = 16,
  /** u32 pointer to SEEN slots, how many there are (a power of two), how many are taken; u32 generation. */
  SEEN = 20,
  SEEN_SLOTS = 24,
  SEEN_TAKEN = 28,
  GENERATION = 32,
  /** u32 frames in use; 0 = finished. */
  DEPTH = 36,
  /** u64 counts so far: entries looked at, leaves, entries that break a rule or reach nowhere, pages missing. */
  ENTRIES = 40,
  LEAVES = 48,
  REFUSED = 56,
  MISSING = 64,
  /** The run that may still grow: a RUN, SIZE 0 = none. */
  OPEN = 72,
  /** u64 first input address that the space does not have, 0 = none. */
  LIMIT = 120,
  /** u32 RIGHTS that some request may make use of; the others count for nothing. */
  MASK = 320,
  /** u64 stage 1 leaves with nG = 0. */
  GLOBALS = 328,
  /** 64 bytes each: PASID entry or STE, CD, result block of inner walks. */
  ENTRY = 128,
  CD = 192,
  RESULT = 256,
  /** FRAMES of FRAME_BYTES, then a page of 4 KiB for each. */
  FRAME0 = 384,
  PAGE0 = 1024,
  END = 33792,
}
export const FRAMES = 8;

/** What is enumerated. */
export enum REACH_KIND {
  /** The second stage alone: VT-d legacy and scalable mode, SMMUv3 stage 2. */
  SECOND = 0,
  /** The first stage alone. */
  FIRST = 1,
  /** The first stage, its tables and pages through the second. */
  NESTED = 2,
}

/** A table that is being read. */
export enum FRAME {
  /** u64 address of the table (nested: before the second stage); u64 input address of its entry 0. */
  TABLE = 0,
  INPUT = 8,
  /** u64 what the levels above leave or demand. */
  HELD = 16,
  /** u64 bytes of the present leaf that are dealt with already. */
  WITHIN = 24,
  /** u32 next entry, number of entries. */
  NEXT = 32,
  COUNT = 36,
  /** u32 level, log2 of the bytes an entry spans. */
  LEVEL = 40,
  SHIFT = 44,
  /** u32 1 + number of the 4 KiB piece in PAGE; u32 PIECE. */
  LOADED = 48,
  STATE = 52,
  /** u64 host address of that piece. */
  AT = 56,
}
export const FRAME_BYTES = 80;
/** Not zero when the second stage lets the piece be written; when an entry above cannot be marked accessed. */
export enum FRAME_FLAG {
  WRITABLE = 64,
  STUCK = 68,
}
/** How a piece of a table can be read: as a whole, entry by entry, not at all. */
export enum PIECE {
  WHOLE = 0,
  SINGLY = 1,
  MISSING = 2,
}
export const PIECE_BYTES = 4096;
export const PIECE_ENTRIES = 512;

/** A record of what was found. */
export enum RUN {
  /** u64 first input address, first output address, bytes. */
  INPUT = 0,
  OUTPUT = 8,
  SIZE = 16,
  /** u64 set of leaf sizes: bit n = 2^n bytes. */
  SIZES = 24,
  /** u32 RIGHTS, u32 RUN_KIND. */
  RIGHTS = 32,
  KIND = 36,
}
export const RUN_BYTES = 48;
export enum RUN_KIND {
  /** INPUT to OUTPUT. */
  MAPPING = 0,
  /** The table at OUTPUT serves INPUT as well: what it maps was listed for the address in SIZES before. */
  REPEAT = 1,
  /** The table at OUTPUT of SIZE bytes was read. */
  TABLE = 2,
}

/** PERMISSION bits of an unprivileged request, and of a privileged one. */
export enum RIGHTS {
  USER = (2 << 16) | 0,
  PRIVILEGED = (5 << 16) | 3,
}

/** A table already listed: u64 key, u64 input address, u32 generation. */
export enum SEEN {
  KEY = 0,
  INPUT = 8,
  GENERATION = 16,
}
export const SEEN_BYTES = 24;

/** What a slice says. */
export enum SLICE {
  FINISHED = 0,
  MORE = 1,
}
