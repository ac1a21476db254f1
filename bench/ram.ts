/**
 * Tables at speed: a page allocator over one linear guest RAM and raw 64-bit stores, since the cold
 * data sets hold a million PASID entries.
 */
import { GuestMemory } from "../src/index.ts";

export class BenchRam {
  readonly memory: GuestMemory;
  /** All of guest RAM, guest address / 8 = index. */
  readonly words: BigUint64Array;
  readonly bytes: Uint8Array;
  #next = 0x1000;

  constructor(mebibytes: number, shared = false) {
    const size = mebibytes * 2 ** 20;
    this.memory = new GuestMemory({ ram: [{ base: 0n, size: BigInt(size) }], workspace: 24 * 2 ** 20, shared });
    const { u8 } = this.memory.core;
    this.bytes = u8.subarray(u8.length - size);
    this.words = new BigUint64Array(this.bytes.buffer, this.bytes.byteOffset, size / 8);
  }

  /** Guest address of `bytes` zeroed bytes, aligned to their size rounded up to a power of two. */
  allocate(bytes: number): number {
    const align = Math.max(4096, 2 ** Math.ceil(Math.log2(bytes)));
    const at = Math.ceil(this.#next / align) * align;
    if (at + bytes > this.bytes.length) throw new RangeError(`bytes: no room for ${bytes} more of guest RAM`);
    this.#next = at + bytes;
    return at;
  }

  put(address: number, word: bigint): void {
    this.words[address / 8] = word;
  }

  putAll(address: number, words: readonly bigint[]): void {
    this.words.set(words, address / 8);
  }
}

/** Ends a 2 MiB part of a process's address space, with another index at each level. */
const MAPPED_TO = 0x7f3c_9a20_0000;

/**
 * Input address of the first of `pages` mapped pages, for tables of so many levels.
 *
 * Not 0: there all tables' entries that a walk reads lie at the start of a page, so that they share one set
 * of a first-level cache. They push each other out of it, and the walker's stack, where chance puts that there.
 */
export function firstAddress(levels: number, pages: number): number {
  return (MAPPED_TO - pages * 4096) % 2 ** (12 + 9 * levels - 1);
}

/** One tree of `levels` tables that maps `pages` pages to where `output` says. @returns its root */
export function mapPages(
  ram: BenchRam,
  levels: number,
  link: bigint,
  leaf: bigint,
  pages: number,
  output: () => number,
): number {
  const first = firstAddress(levels, pages);
  const tables = Array.from({ length: levels }, () => ram.allocate(4096));
  const entry = (table: number, level: number) =>
    (tables[table] as number) + 8 * (Math.floor(first / 2 ** (12 + 9 * level)) % 512);
  for (let i = 1; i < levels; i++) ram.put(entry(i - 1, levels - i), BigInt(tables[i] as number) | link);
  for (let page = 0; page < pages; page++) ram.put(entry(levels - 1, 0) + 8 * page, BigInt(output()) | leaf);
  return tables[0] as number;
}

/** The same numbers in every run and for every implementation (a 32-bit xorshift). */
export class Random {
  #state: number;
  constructor(seed = 0x9e37_79b9) {
    this.#state = seed;
  }
  below(limit: number): number {
    this.#state ^= this.#state << 13;
    this.#state ^= this.#state >>> 17;
    this.#state ^= this.#state << 5;
    return (this.#state >>> 0) % limit;
  }
}

/** One request as all implementations get it. */
export interface BenchRequest {
  sid: number;
  pasid: number;
  address: number;
  flags: number;
}
