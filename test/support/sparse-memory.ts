/** 64-bit words at any address, zero until written: the RAM of a recorded machine without its gigabytes. */
import type { HostBacking } from "../../src/index.ts";

const WORDS = 512;

export class SparseMemory implements HostBacking {
  readonly #ram: readonly { first: bigint; end: bigint }[];
  readonly #pages = new Map<bigint, BigUint64Array>();

  constructor(ram: readonly (readonly [base: bigint, size: bigint])[]) {
    this.#ram = ram.map(([base, size]) => ({ first: base, end: base + size }));
  }

  word(address: bigint): bigint {
    return this.#pages.get(address >> 12n)?.[Number((address >> 3n) & 511n)] ?? 0n;
  }

  setWord(address: bigint, value: bigint): void {
    let page = this.#pages.get(address >> 12n);
    if (!page) {
      page = new BigUint64Array(WORDS);
      this.#pages.set(address >> 12n, page);
    }
    page[Number((address >> 3n) & 511n)] = value;
  }

  holds(address: bigint, bytes: number): boolean {
    return this.#ram.some(({ first, end }) => address >= first && address + BigInt(bytes) <= end);
  }

  /** As the oracle reads: aligned words, `undefined` outside RAM. */
  words(address: bigint, bytes: number): bigint[] | undefined {
    if (!this.holds(address, bytes)) return undefined;
    return Array.from({ length: bytes / 8 }, (_, i) => this.word(address + BigInt(8 * i)));
  }

  /** As GuestMemory reads a host-backed region. */
  read(address: bigint, into: Uint8Array): boolean {
    for (let i = 0; i < into.length; i++) {
      const at = address + BigInt(i);
      into[i] = Number((this.word(at & ~7n) >> (8n * (at & 7n))) & 0xffn);
    }
    return true;
  }

  write(address: bigint, from: Uint8Array): boolean {
    from.forEach((byte, i) => {
      const at = address + BigInt(i);
      const shift = 8n * (at & 7n);
      const kept = this.word(at & ~7n) & ~(0xffn << shift);
      this.setWord(at & ~7n, kept | (BigInt(byte) << shift));
    });
    return true;
  }

  compareExchange(address: bigint, expected: bigint, replacement: bigint): bigint {
    const held = this.word(address);
    if (held === expected) this.setWord(address, replacement);
    return held;
  }
}
