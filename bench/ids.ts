/**
 * The ID kernels: filling the bitmap, and churn (free one at random, allocate the lowest) at 50 % and
 * 99.99 % occupancy of 2^20 IDs. Every implementation starts from the same bits, frees the same IDs in the
 * same order, and must come to the same IDs.
 */
import { RoaringBitmap32, roaringLibraryInitialize } from "roaring-wasm";
import { TypedFastBitSet } from "typedfastbitset";
import { BITMAP_BYTES, BITMAP_IDS } from "../assembly/layout/bitmap.ts";
import { Core } from "../src/core/core.ts";
import { IdBitmap, Ioasid, IoasidSet } from "../src/ioasid/index.ts";
import { FLAT_SCAN } from "./bars.ts";
import type { Implementation, Kernel } from "./harness.ts";
import { NATIVE } from "./judge.ts";
import type { Native } from "./native.ts";
import { PlainBitmap } from "./plain/bitmap.ts";

const MAX = BITMAP_IDS - 1;
/** IDs freed and allocated in one call of the block kernels. */
const BLOCK = 64;
/** IDs that the range kernel allocates from: those around the first of each block. */
const RANGE = 2 ** 16;

interface Churn {
  /** What is free at the start. */
  free: readonly number[];
  /** IDs in use at the start, in the order they are freed. */
  ids: Uint32Array;
}

/**
 * Which IDs are in use at the start.
 *
 * - lowest: a run from 0. Who hands out the lowest free ID is there from the start, and comes back to it:
 *   the holes that it has are those freed last. A scan crosses half of the run on average.
 * - scattered: a full bitmap that lost IDs everywhere. At 50 % a scan starts with a free ID in its first
 *   word, and gets only as far as the round has filled up the holes.
 */
export type Occupancy = "lowest" | "scattered";

/** @param share of the IDs that are in use; `count` of them are freed in a round, in random order */
function churnOf(share: number, count: number, occupancy: Occupancy): Churn {
  let state = 0x2545_f491;
  const random = (): number => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state >>> 0;
  };
  const shuffled = Uint32Array.from({ length: BITMAP_IDS }, (_, id) => id);
  const used = Math.round(share * BITMAP_IDS);
  for (let i = (occupancy === "lowest" ? used : BITMAP_IDS) - 1; i > 0; i--) {
    const j = random() % (i + 1);
    [shuffled[i], shuffled[j]] = [shuffled[j] as number, shuffled[i] as number];
  }
  return { free: [...shuffled.subarray(used)].sort((a, b) => a - b), ids: shuffled.slice(0, count) };
}

/**
 * Something that allocates the lowest free ID. Each has its churn loop to itself, as a user's program
 * has: in a shared one no call could be inlined.
 */
interface Subject {
  /** For each ID: frees it, and notes the ID allocated in its stead. */
  churn(ids: Uint32Array, taken: Uint32Array): void;
  free(id: number): void;
  /** Allocates this very ID. */
  take(id: number): void;
}

/** Wasm without a TypeScript face: blocks of IDs in linear memory. */
class Blocks {
  readonly #core = new Core(1 << 23);
  readonly #bitmap = this.#core.allocate(BITMAP_BYTES);
  readonly #start = this.#core.allocate(BITMAP_BYTES);
  readonly #ids = this.#core.allocate(4 * BITMAP_IDS);
  readonly #count: number;

  constructor({ free, ids }: Churn) {
    const { exports, u32, u8 } = this.#core;
    this.#count = ids.length;
    exports.bitmapAllocMany(this.#bitmap, 0, MAX, this.#ids, BITMAP_IDS);
    for (const id of free) exports.bitmapFree(this.#bitmap, id);
    u8.copyWithin(this.#start, this.#bitmap, this.#bitmap + BITMAP_BYTES);
    u32.set(ids, this.#ids / 4);
  }

  churn(isRanged: boolean): { ms: number; sum: number } {
    const { exports, u8, u32 } = this.#core;
    const size = isRanged ? RANGE : BITMAP_IDS;
    u8.copyWithin(this.#bitmap, this.#start, this.#start + BITMAP_BYTES);
    const taken = this.#ids + 4 * this.#count;
    const ms = timed(() => {
      for (let at = 0; at < 4 * this.#count; at += 4 * BLOCK) {
        exports.bitmapFreeMany(this.#bitmap, this.#ids + at, BLOCK);
        const first = u32[(this.#ids + at) / 4] as number;
        const min = first - (first % size);
        exports.bitmapAllocMany(this.#bitmap, min, min + size - 1, taken + at, BLOCK);
      }
    });
    return { ms, sum: sumOf(u32.subarray(taken / 4, taken / 4 + this.#count)) };
  }

  fill(): { ms: number; sum: number } {
    const { exports, u32 } = this.#core;
    exports.bitmapReset(this.#bitmap);
    const ms = timed(() => exports.bitmapAllocMany(this.#bitmap, 0, MAX, this.#ids, BITMAP_IDS));
    return { ms, sum: sumOf(u32.subarray(this.#ids / 4, this.#ids / 4 + BITMAP_IDS)) };
  }
}

function idBitmap(): Subject {
  const bitmap = new IdBitmap();
  return {
    churn: (ids, taken) => {
      for (let i = 0; i < ids.length; i++) {
        bitmap.free(ids[i] as number);
        taken[i] = bitmap.alloc(0, MAX) as number;
      }
    },
    free: (id) => bitmap.free(id),
    take: (id) => bitmap.reserve(id),
  };
}

/** Numbers only: nobody's IDs, without data. */
function ioasidNumbers(): Subject {
  const space = new Ioasid();
  return {
    churn: (ids, taken) => {
      for (let i = 0; i < ids.length; i++) {
        space.free(ids[i] as number);
        taken[i] = space.alloc(null, 0, MAX) as number;
      }
    },
    free: (id) => space.free(id),
    take: (id) => space.alloc(null, id, id),
  };
}

function ioasidWithData(): Subject {
  const space = new Ioasid();
  const set = new IoasidSet<object>("bench");
  const data = {};
  return {
    churn: (ids, taken) => {
      for (let i = 0; i < ids.length; i++) {
        space.free(ids[i] as number, set);
        taken[i] = space.alloc(set, 0, MAX, data) as number;
      }
    },
    free: (id) => space.free(id, set),
    take: (id) => space.alloc(set, id, id, data),
  };
}

function plain(): Subject {
  const bitmap = new PlainBitmap();
  return {
    churn: (ids, taken) => {
      for (let i = 0; i < ids.length; i++) {
        bitmap.free(ids[i] as number);
        taken[i] = bitmap.alloc();
      }
    },
    free: (id) => bitmap.free(id),
    take: (id) => bitmap.take(id),
  };
}

/** The packages hold the free IDs, the lowest of which is next. With a Map, they also know whose an ID is. */
function typedFastBitSet({ free }: Churn, records?: Map<number, object>): Subject {
  const bits = new TypedFastBitSet(free);
  const data = {};
  const lowest = (): number => {
    for (const id of bits) return id;
    return -1;
  };
  return {
    churn: (ids, taken) => {
      for (let i = 0; i < ids.length; i++) {
        const freed = ids[i] as number;
        records?.delete(freed);
        bits.add(freed);
        const id = lowest();
        bits.remove(id);
        records?.set(id, data);
        taken[i] = id;
      }
    },
    free: (id) => bits.add(id),
    take: (id) => {
      bits.remove(id);
      records?.set(id, data);
    },
  };
}

function roaring({ free }: Churn, records?: Map<number, object>): Subject {
  const bits = new RoaringBitmap32(free);
  const data = {};
  return {
    churn: (ids, taken) => {
      for (let i = 0; i < ids.length; i++) {
        const freed = ids[i] as number;
        records?.delete(freed);
        bits.add(freed);
        const id = bits.minimum();
        bits.remove(id);
        records?.set(id, data);
        taken[i] = id;
      }
    },
    free: (id) => bits.add(id),
    take: (id) => {
      bits.remove(id);
      records?.set(id, data);
    },
  };
}

/** Rounds of churn on one subject, each from the same start. */
class Rounds {
  readonly #subject: Subject;
  readonly #ids: Uint32Array;
  readonly #taken: Uint32Array;
  readonly #thin: number;

  /** @param thin a slow subject does only the first `1 / thin` and is charged for all */
  constructor(subject: Subject, { free, ids }: Churn, thin: number) {
    this.#subject = subject;
    this.#thin = thin;
    this.#ids = ids.subarray(0, ids.length / thin);
    this.#taken = new Uint32Array(this.#ids.length);
    const isFree = new Set(free);
    for (let id = 0; id <= MAX; id++) if (!isFree.has(id)) subject.take(id);
  }

  run(): { ms: number; sum: number } {
    const [subject, ids, taken] = [this.#subject, this.#ids, this.#taken];
    const ms = timed(() => subject.churn(ids, taken));
    const sum = sumOf(taken);
    for (const id of taken) subject.free(id);
    for (const id of ids) subject.take(id);
    return { ms: ms * this.#thin, sum };
  }
}

export async function fillKernel(name: string, native: Native | undefined): Promise<Kernel> {
  const blocks = new Blocks({ free: [], ids: new Uint32Array() });
  const expected = blocks.fill().sum;
  const implementations: Implementation[] = [];
  if (native) {
    const run = () => native.command("bitmap fill 1");
    await loadNative(native, { free: [], ids: new Uint32Array() });
    same(name, NATIVE, expected, Number((await run())[1]));
    implementations.push({ name: NATIVE, round: async () => Number((await run())[0]) / 1e6 });
  }
  const fill = (make: () => { alloc(): number }) => (): number => {
    const bitmap = make();
    let sum = 0;
    const ms = timed(() => {
      for (let i = 0; i < BITMAP_IDS; i++) sum += bitmap.alloc();
    });
    same(name, "fill", expected, sum);
    return ms;
  };
  implementations.push({ name: "Wasm, one call", round: () => blocks.fill().ms });
  implementations.push({
    name: "IdBitmap, one call an ID",
    round: fill(() => {
      const bitmap = new IdBitmap();
      return { alloc: () => bitmap.alloc() as number };
    }),
  });
  implementations.push({ name: "plain TypeScript", round: fill(() => new PlainBitmap()) });
  return { name, operations: BITMAP_IDS, implementations };
}

/** Blocks of IDs, freed and allocated, anywhere or each in its range: the bitmap alone. */
export async function blockKernel(
  name: string,
  share: number,
  count: number,
  how: "churn" | "range",
  native?: Native,
): Promise<Kernel> {
  const churn = churnOf(share, count, "scattered");
  const blocks = new Blocks(churn);
  const own = () => blocks.churn(how === "range");
  const implementations: Implementation[] = [];
  if (native) {
    const run = await nativeChurn(native, churn, BLOCK, how);
    same(name, NATIVE, own().sum, (await run()).sum);
    implementations.push({ name: NATIVE, round: async () => (await run()).ms });
  }
  implementations.push({ name: "Wasm, blocks of 64", round: () => own().ms });
  return { name, operations: count, implementations };
}

/** Free one, allocate one: what a user of the library or of a package writes. */
export async function churnKernel(
  name: string,
  share: number,
  occupancy: Occupancy,
  count: number,
  warmUps: number,
  native?: Native,
): Promise<Kernel> {
  await roaringLibraryInitialize();
  const churn = churnOf(share, count, occupancy);
  const implementations: Implementation[] = [];
  if (native) {
    const run = await nativeChurn(native, churn, 1);
    same(name, NATIVE, new Rounds(plain(), churn, 1).run().sum, (await run()).sum);
    implementations.push({ name: NATIVE, round: async () => (await run()).ms });
    const flat = async () => Number((await native.command("bitmap flat"))[0]) / 1e6;
    implementations.push({ name: FLAT_SCAN, round: flat });
  }
  // It searches from 0: the fewer are free there, the longer.
  const scanThin = share > 0.9 || occupancy === "lowest" ? 64 : 1;
  const subjects: [string, Subject, thin: number][] = [
    ["IdBitmap", idBitmap(), 1],
    ["Ioasid, numbers only", ioasidNumbers(), 1],
    ["plain TypeScript", plain(), 1],
    ["roaring-wasm", roaring(churn), 1],
    ["typedfastbitset", typedFastBitSet(churn), scanThin],
    ["Ioasid, with set and data", ioasidWithData(), 1],
    ["roaring-wasm and a Map", roaring(churn, new Map()), 1],
    ["typedfastbitset and a Map", typedFastBitSet(churn, new Map()), scanThin],
  ];
  for (const [impl, subject, thin] of subjects) {
    const rounds = new Rounds(subject, churn, thin);
    same(name, impl, new Rounds(plain(), churn, thin).run().sum, rounds.run().sum);
    // Until the engine has settled on its code.
    for (let i = 0; i < warmUps; i++) rounds.run();
    implementations.push({ name: impl, round: () => rounds.run().ms });
  }
  return { name, operations: count, implementations };
}

/** Hands the start and the IDs over. */
async function loadNative(native: Native, { free, ids }: Churn): Promise<void> {
  const bits = new Uint8Array(BITMAP_IDS / 8).fill(0xff);
  for (const id of free) bits[id >> 3] = (bits[id >> 3] as number) & ~(1 << (id & 7));
  const file = new Uint8Array(bits.length + ids.byteLength);
  file.set(bits);
  file.set(new Uint8Array(ids.buffer, ids.byteOffset, ids.byteLength), bits.length);
  await native.hand(file, (path) => `bitmap load ${path} ${ids.length}`);
}

async function nativeChurn(
  native: Native,
  churn: Churn,
  block: number,
  how: "churn" | "range" = "churn",
): Promise<() => Promise<{ ms: number; sum: number }>> {
  await loadNative(native, churn);
  return async () => {
    const [ns, sum] = await native.command(`bitmap ${how} ${block} 1`);
    return { ms: Number(ns) / 1e6, sum: Number(sum) };
  };
}

/** Milliseconds of CPU time. */
function timed(work: () => void): number {
  const start = process.cpuUsage();
  work();
  const { user, system } = process.cpuUsage(start);
  return (user + system) / 1000;
}

function sumOf(values: Uint32Array): number {
  let sum = 0;
  for (const value of values) sum += value;
  return sum;
}

function same(kernel: string, impl: string, expected: number, actual: number): void {
  if (expected !== actual) throw new Error(`${kernel}: ${impl} came to ${actual}, not ${expected}`);
}
