/** Builds the translation tables of a case, stage 2 first: everything stage 1 names is mapped through it. */
import type { Choices } from "../choices.ts";
import type { Image } from "./image.ts";

/** The tables of one stage. */
export interface Tables {
  granule: number;
  inputBits: number;
  startLevel: number;
  /** log2 of the bytes of the start table, or of all concatenated ones. */
  startLog2: number;
  outputBits: number;
  bigEndian: boolean;
  base: bigint;
  /** Addresses of four PB exist (64 KiB granule). */
  wide: boolean;
}

export const covered = (granule: number, level: number): number => granule + (3 - level) * (granule - 3);

export function describeTables(
  granule: number,
  inputBits: number,
  startLevel: number,
): Pick<Tables, "granule" | "inputBits" | "startLevel" | "startLog2"> {
  return { granule, inputBits, startLevel, startLog2: Math.max(inputBits - covered(granule, startLevel), 1) + 3 };
}

/** Address of the entry for `input` at `level` of the table at `table`. */
export function entryAddress(t: Tables, table: bigint, level: number, input: bigint): bigint {
  const shift = BigInt(covered(t.granule, level));
  const width = level === t.startLevel ? t.inputBits - covered(t.granule, level) : t.granule - 3;
  return table + 8n * ((input >> shift) & ((1n << BigInt(Math.max(width, 0))) - 1n));
}

/** Address bits of a descriptor. */
export function encodeAddress(t: Tables, address: bigint): bigint {
  const low = address & ((1n << 48n) - (1n << 12n));
  return t.granule === 16 ? (low & ~0xffffn) | (t.wide ? ((address >> 48n) & 15n) << 12n : 0n) : low;
}

export function leafLevels(t: Tables): number[] {
  const blocks = t.granule === 12 ? [1, 2] : t.granule === 16 && t.wide ? [1, 2] : [2];
  return [...blocks, 3].filter((level) => level >= t.startLevel);
}

const TABLE = 3n;

export class Stage2Builder {
  readonly #c: Choices;
  readonly #image: Image;
  readonly tables: Tables;
  /** Percent of mappings that cannot be written: what a hardware update of stage 1 runs into. */
  readonly #readOnly: number;

  constructor(c: Choices, image: Image, tables: Tables) {
    this.#readOnly = c.chance(25) ? 50 : 3;
    this.#c = c;
    this.#image = image;
    this.tables = tables;
  }

  /** Maps some intermediate address to `physical`, equal to it in the low `log2` bits at least. */
  map(physical: bigint, log2: number): bigint {
    const c = this.#c;
    const t = this.tables;
    const level = c.chance(70) ? 3 : c.pick(leafLevels(t));
    const keep = BigInt(Math.max(log2, covered(t.granule, level)));
    const inside = (1n << BigInt(t.inputBits)) - 1n;
    const moved = c.chance(50) || physical > inside ? physical ^ ((c.bits(t.inputBits) >> keep) << keep) : physical;
    const ipa = moved & inside;
    let table = t.base;
    for (let at = t.startLevel; at < level; at++) {
      const entry = entryAddress(t, table, at, ipa);
      const there = this.#image.get(entry, t.bigEndian);
      if ((there & 3n) === TABLE) {
        table = decodeAddress(t, there);
        continue;
      }
      table = this.#image.place(t.granule);
      this.#image.set(entry, [encodeAddress(t, table) | TABLE | (c.rarely(5, 12) << 51n)], t.bigEndian);
    }
    const size = BigInt(covered(t.granule, level));
    this.#image.set(
      entryAddress(t, table, level, ipa),
      [encodeAddress(t, (physical >> size) << size) | this.#attributes() | (level === 3 ? 3n : 1n)],
      t.bigEndian,
    );
    return ipa;
  }

  #attributes(): bigint {
    const c = this.#c;
    const memAttr = c.chance(8) ? c.bits(4) : 15n;
    const access = c.chance(3) ? c.bits(2) : c.chance(this.#readOnly) ? 1n : 3n;
    const accessed = c.chance(6) ? 0n : 1n;
    return (
      (memAttr << 2n) |
      (access << 6n) |
      (c.bits(2) << 8n) |
      (accessed << 10n) |
      (c.rarely(40, 1) << 51n) |
      (c.rarely(10, 1) << 52n) |
      (c.rarely(20, 2) << 53n) |
      (c.rarely(10, 9) << 55n)
    );
  }
}

function decodeAddress(t: Tables, descriptor: bigint): bigint {
  const low = descriptor & ((1n << 48n) - (1n << 12n));
  if (t.granule !== 16) return low;
  return (low & ~0xffffn) | (t.wide ? ((descriptor >> 12n) & 15n) << 48n : 0n);
}

/** Names a physical address the way stage 1 has to: through stage 2, or as it is. */
export type Naming = (physical: bigint, log2: number) => bigint;

/**
 * One path of stage 1 for `va`, ending at `target` (whose low bits are taken from `va`).
 * @returns what TTB should hold
 */
export function buildStage1(c: Choices, image: Image, t: Tables, va: bigint, target: bigint, name: Naming): bigint {
  const input = va & ((1n << BigInt(t.inputBits)) - 1n);
  const leaf = c.chance(65) ? 3 : c.pick(leafLevels(t));
  const physicals = new Map<number, bigint>();
  const names = new Map<number, bigint>();
  for (let level = t.startLevel; level <= leaf; level++) {
    const log2 = level === t.startLevel ? t.startLog2 : t.granule;
    const table = image.place(log2);
    const entry = entryAddress(t, table, level, input);
    physicals.set(level, entry);
    names.set(level, name(entry, log2) - (entry - table));
  }
  for (let level = t.startLevel; level < leaf; level++) {
    const next = encodeAddress(t, names.get(level + 1) as bigint) | TABLE | tableAttributes(c);
    image.set(physicals.get(level) as bigint, [next], t.bigEndian);
  }
  const size = BigInt(covered(t.granule, leaf));
  const low = (1n << size) - 1n;
  const output = name((target & ~low) | (va & low), Number(size)) & ~low;
  image.set(
    physicals.get(leaf) as bigint,
    [encodeAddress(t, output) | leafAttributes(c) | (leaf === 3 ? 3n : 1n)],
    t.bigEndian,
  );
  return names.get(t.startLevel) as bigint;
}

function tableAttributes(c: Choices): bigint {
  return (c.rarely(12, 5) << 59n) | (c.rarely(10, 7) << 52n) | (c.rarely(10, 10) << 2n);
}

function leafAttributes(c: Choices): bigint {
  const accessed = c.chance(25) ? 0n : 1n;
  const access = c.chance(60) ? c.bits(2) : 1n;
  return (
    (c.bits(3) << 2n) |
    (access << 6n) |
    (c.bits(2) << 8n) |
    (accessed << 10n) |
    (c.bits(1) << 11n) |
    (c.rarely(60, 1) << 51n) |
    (c.rarely(10, 1) << 52n) |
    (c.rarely(40, 2) << 53n) |
    (c.rarely(10, 9) << 55n)
  );
}
