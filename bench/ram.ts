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

  constructor(mebibytes: number) {
    const size = mebibytes * 2 ** 20;
    this.memory = new GuestMemory({ ram: [{ base: 0n, size: BigInt(size) }], workspace: 24 * 2 ** 20 });
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
