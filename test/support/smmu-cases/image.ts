/** What a case writes to memory: words by address, and where tables may lie. */
import type { Choices } from "../choices.ts";

export interface Region {
  base: bigint;
  size: bigint;
  /** Served through callbacks instead of linear memory. */
  host?: boolean;
}

/** RAM with holes, at the tops of 36-, 48- and 52-bit address spaces too. */
export const REGIONS: readonly Region[] = [
  { base: 0x4000_0000n, size: 0x10_0000n },
  { base: 0n, size: 0x1_0000n },
  { base: 0x4020_0000n, size: 0x1_0000n },
  { base: 0xf_ffff_0000n, size: 0x1_0000n },
  { base: 0xffff_ffff_0000n, size: 0x1_0000n, host: true },
  { base: 0xf_ffff_ffff_0000n, size: 0x1_0000n },
];

export class Image {
  /** Little-endian words as they lie in memory. */
  readonly words = new Map<bigint, bigint>();
  readonly poisons: bigint[] = [];
  readonly #choices: Choices;
  readonly #oas: number;
  readonly #regions: readonly Region[];

  constructor(choices: Choices, oas: number, regions: readonly Region[]) {
    this.#choices = choices;
    this.#oas = oas;
    this.#regions = regions;
  }

  set(address: bigint, words: readonly bigint[], bigEndian = false): void {
    words.forEach((word, i) => {
      this.words.set(address + BigInt(8 * i), bigEndian ? swap64(word) : word);
    });
  }

  get(address: bigint, bigEndian = false): bigint {
    const word = this.words.get(address) ?? 0n;
    return bigEndian ? swap64(word) : word;
  }

  /** A place for a table of 2^log2 bytes, mostly in RAM. */
  place(log2: number): bigint {
    const c = this.#choices;
    const size = 1n << BigInt(log2);
    if (c.chance(2)) return (c.bits(this.#oas) / size) * size;
    const fitting = this.#regions.filter(
      (region) =>
        region.size >= size && region.base % size === 0n && (region.base + size - 1n) >> BigInt(this.#oas) === 0n,
    );
    const region = c.chance(75) || fitting.length === 0 ? (this.#regions[0] as Region) : c.pick(fitting);
    if (region.size < size) return (region.base / size) * size;
    return region.base + size * BigInt(c.below(Number(region.size / size)));
  }
}

export function swap64(word: bigint): bigint {
  const view = new DataView(new ArrayBuffer(8));
  view.setBigUint64(0, word, true);
  return view.getBigUint64(0, false);
}

/** Puts `value` into bits msb..lsb of a structure. */
export function put(words: bigint[], msb: number, lsb: number, value: bigint | number): void {
  const shift = BigInt(lsb & 63);
  const mask = ((1n << BigInt(msb - lsb + 1)) - 1n) << shift;
  words[lsb >> 6] = ((words[lsb >> 6] as bigint) & ~mask) | ((BigInt(value) << shift) & mask);
}
