/**
 * Writes VT-d tables for the random walks: mostly valid, as a driver would, with garbage in what is ignored.
 *
 * Bit positions are spelled out here as in the oracle: neither knows `assembly/layout`.
 */
import type { Choices } from "../choices.ts";
import type { Capabilities } from "../vtd-oracle/index.ts";

/** Pages of the three RAM regions of a random case; see `world.ts`. */
export const LOW = { base: 0n, pages: 128 };
export const HIGH = { base: 1n << 35n, pages: 8 };
/** Host-backed, refuses writes: accessed and dirty updates fail here. */
export const ROM = { base: (1n << 35n) + 0x10_0000n, pages: 8 };
/** Pages below are left to PASID directories that span many. */
const FIRST_PAGE = 40;
const PAGE = 4096n;
const HOLE = 1n << 34n;

/** An entry that was written, for mutations to pick from. */
export interface WrittenEntry {
  kind: "root" | "context" | "directory" | "pasid" | "first" | "second" | "host";
  address: bigint;
  words: number;
}

/** What the page tables of one PASID look like. */
export interface PageTables {
  type: number;
  aw: number;
  fiveLevels: boolean;
  extendedAccessed: boolean;
  ssRoot: bigint;
  fsRoot: bigint;
}

export class TableWriter {
  readonly words: Map<bigint, bigint> = new Map();
  readonly entries: WrittenEntry[] = [];
  readonly choices: Choices;
  readonly caps: Capabilities;
  readonly ioRights: boolean;
  #next = FIRST_PAGE;
  readonly #handedOut: bigint[] = [];

  constructor(choices: Choices, caps: Capabilities, ioRights: boolean) {
    this.choices = choices;
    this.caps = caps;
    this.ioRights = ioRights;
  }

  /**
   * A page to put a table in: now and then in host memory, in ROM, or one already used for something else; no RAM in
   * `missing` percent.
   */
  page(missing = 0): bigint {
    const { choices } = this;
    let page: bigint;
    if (choices.chance(missing)) page = HOLE;
    else if (choices.chance(4)) page = HIGH.base + PAGE * BigInt(choices.below(HIGH.pages));
    else if (choices.chance(5)) page = ROM.base + PAGE * BigInt(choices.below(ROM.pages));
    else if (choices.chance(2) && this.#handedOut.length > 0) page = choices.pick(this.#handedOut);
    else page = LOW.base + PAGE * BigInt(this.#next < LOW.pages ? this.#next++ : choices.below(LOW.pages));
    this.#handedOut.push(page);
    return page;
  }

  /** A device. */
  sid(): number {
    return this.choices.below(0x10000);
  }

  read(address: bigint): bigint {
    return this.words.get(address) ?? 0n;
  }
  put(kind: WrittenEntry["kind"], address: bigint, words: readonly bigint[]): void {
    words.forEach((word, i) => {
      this.words.set(address + BigInt(8 * i), word);
    });
    this.entries.push({ kind, address, words: words.length });
  }

  /** An output address: RAM, anywhere below 2^HAW, or the interrupt range. */
  output(size: bigint): bigint {
    const { choices, caps } = this;
    const somewhere = choices.chance(8)
      ? 0xfee0_0000n | (choices.bits(8) << 12n)
      : choices.chance(50)
        ? choices.bits(caps.haw)
        : choices.bits(30);
    return somewhere & ~(size - 1n) & ((1n << BigInt(caps.haw)) - 1n);
  }

  /** Level of the leaf: 1 mostly, larger where `supported` says. */
  leafLevel(twoMegabytes: boolean, oneGigabyte: boolean): number {
    if (this.choices.chance(30) && twoMegabytes) return 2;
    return this.choices.chance(15) && oneGigabyte ? 3 : 1;
  }

  /** Maps `input` in second-stage tables; what is mapped already stays. */
  mapSecond(tables: PageTables, input: bigint, leafLevel: number, output: bigint): void {
    let table = tables.ssRoot;
    for (let level = tables.aw + 2; ; level--) {
      const address = entryAddress(table, input, level);
      const present = this.read(address);
      if (present !== 0n) {
        if (level === 1 || (present >> 7n) & 1n) return;
        table = addressOf(present);
        continue;
      }
      const leaf = level <= leafLevel;
      const target = leaf ? output : this.page();
      this.put("second", address, [target | this.#secondBits(level, leaf)]);
      if (leaf) return;
      table = target;
    }
  }

  #secondBits(level: number, leaf: boolean): bigint {
    const { choices, caps } = this;
    const rights = choices.chance(10) ? BigInt(1 + choices.below(2)) : 3n;
    let bits = this.ioRights ? rights << 61n : rights;
    if (choices.chance(60)) bits |= 1n << 8n;
    if (choices.chance(60)) bits |= 1n << 9n;
    if (leaf && level > 1) bits |= 1n << 7n;
    if (leaf && caps.snoopControl && choices.chance(30)) bits |= 1n << 11n;
    if (!choices.chance(30)) return bits;
    const ignored = choices.bits(12) & 0x47cn & ~(leaf ? 0x78n : 0n);
    const high = choices.bits(9) << 52n;
    return (
      bits | ignored | high | (choices.bits(1) << 63n) | (this.ioRights ? choices.bits(2) : choices.bits(1) << 61n)
    );
  }

  /** Maps `input` in first-stage tables, which lie in guest physical memory when there is a second stage. */
  mapFirst(tables: PageTables, input: bigint, leafLevel: number, output: bigint, host: Map<bigint, bigint>): void {
    let table = tables.fsRoot;
    for (let level = tables.fiveLevels ? 5 : 4; ; level--) {
      const address = entryAddress(host.get(table) ?? table, input, level);
      const present = this.read(address);
      if (present !== 0n) {
        if (level === 1 || (present >> 7n) & 1n) return;
        table = addressOf(present);
        continue;
      }
      const leaf = level <= leafLevel;
      const target = leaf ? output : this.firstTable(tables, host);
      this.put("first", address, [target | this.#firstBits(tables, level, leaf)]);
      if (leaf) return;
      table = target;
    }
  }

  /** A page for a first-stage table; nested, it gets a guest physical address that the second stage maps to it. */
  firstTable(tables: PageTables, host: Map<bigint, bigint>, missing = 0): bigint {
    const { choices, caps } = this;
    const page = this.page(missing);
    if (tables.type !== 3) return page;
    const twoMegabytes = page < 1n << 21n && (caps.sslps & 1n) === 1n && choices.chance(15);
    const guest = twoMegabytes
      ? (choices.bits(caps.inputBits(tables.aw) - 21) << 21n) | page
      : choices.bits(caps.inputBits(tables.aw) - 12) << 12n;
    host.set(guest, page);
    this.mapSecond(tables, guest, twoMegabytes ? 2 : 1, twoMegabytes ? 0n : page);
    return guest;
  }

  #firstBits(tables: PageTables, level: number, leaf: boolean): bigint {
    const { choices } = this;
    let bits = 1n;
    if (!choices.chance(8)) bits |= 1n << 1n;
    if (!choices.chance(8)) bits |= 1n << 2n;
    if (choices.chance(60)) bits |= 1n << 5n;
    if (choices.chance(60) && leaf) bits |= 1n << 6n;
    if (choices.chance(60) && tables.extendedAccessed) bits |= 1n << 10n;
    if (leaf && level > 1) bits |= 1n << 7n;
    if (!choices.chance(30)) return bits;
    const ignored = choices.bits(12) & 0xb18n;
    return bits | ignored | (choices.bits(12) << 52n) | (leaf && level === 1 ? choices.bits(1) << 7n : 0n);
  }

  /** Host permission tables down to a random level for `address`. */
  mapHost(root: bigint, address: bigint): void {
    const { choices, caps } = this;
    const stop = choices.pick(caps.hpt1g ? [1, 1, 2, 3] : [1, 1, 2]);
    let table = root;
    const levels = [
      [4, 41, 0, 0],
      [3, 33, 30, 3],
      [2, 25, 21, 4],
      [1, 17, 12, 5],
    ] as const;
    for (const [level, lsb, selectLsb, selectBits] of levels) {
      const index = (address >> BigInt(lsb)) & (level === 4 ? 0x7ffn : 0xffn);
      const at = table + 16n * index;
      const select = (address >> BigInt(selectLsb)) & ((1n << BigInt(selectBits)) - 1n);
      const permission = (BigInt(choices.below(4)) || (choices.chance(20) ? 0n : 3n)) << (4n * select);
      if (level === stop) {
        this.put("host", at, [permission & 0xffff_ffff_ffff_ffffn, permission >> 64n]);
        return;
      }
      const next = this.page(4);
      const valid = choices.chance(6) ? 0n : 1n;
      this.put("host", at, [0n, next | valid | (choices.chance(20) ? choices.bits(12) << 52n : 0n)]);
      table = next;
    }
  }
}

export function entryAddress(table: bigint, input: bigint, level: number): bigint {
  return table + 8n * ((input >> BigInt(12 + 9 * (level - 1))) & 0x1ffn);
}
export function addressOf(entry: bigint): bigint {
  return entry & 0xf_ffff_ffff_f000n;
}
