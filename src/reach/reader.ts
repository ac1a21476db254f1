/** Reads tables as an IOMMU does: what is not there, or poisoned, is `undefined` and never an exception. */
import { GUEST } from "../../assembly/layout/core.ts";
import { hex } from "../check.ts";
import type { Core } from "../core/core.ts";
import type { Structure } from "./model.ts";

export const PAGE_BYTES = 4096;
const WORD = 8;

/** Takes copies of tables, and keeps a list of the pages they lie in. */
export class TableReader {
  readonly structures: Structure[] = [];
  /** What was left out, in words. */
  readonly notes: string[] = [];
  /** Pages that cannot be read, by role: a hostile image lacks any number. */
  readonly #missing = new Map<string, { first: bigint; count: number }>();
  readonly #core: Core;
  readonly #ptr: number;
  readonly #pages = new Set<bigint>();

  constructor(core: Core) {
    this.#core = core;
    this.#ptr = core.allocate(PAGE_BYTES);
  }

  /**
   * A copy of up to a page of a table. Words that cannot be read count as 0, as long as there is one that can.
   * @param role what the table is; noted with its page the first time
   * @param guest whether it belongs to a guest
   */
  copy(address: bigint, bytes: number, role: string, guest = false): BigUint64Array | undefined {
    const words = this.#read(address, bytes);
    const page = address - (address % BigInt(PAGE_BYTES));
    if (this.#pages.has(page)) return words;
    this.#pages.add(page);
    if (words) this.structures.push({ address: page, bytes: BigInt(PAGE_BYTES), role, guest });
    else {
      const missing = this.#missing.get(role);
      if (missing) missing.count++;
      else this.#missing.set(role, { first: address, count: 1 });
    }
    return words;
  }

  /** What was left out and what cannot be read. */
  get shortcomings(): string[] {
    const missing = [...this.#missing].map(([role, { first, count }]) =>
      count === 1
        ? `${role} at ${hex(first)} cannot be read`
        : `${count} pages of ${role}s cannot be read, the first at ${hex(first)}`,
    );
    return [...this.notes, ...missing];
  }

  #read(address: bigint, bytes: number): BigUint64Array | undefined {
    const { exports, u8, view } = this.#core;
    const words = new BigUint64Array(u8.buffer, this.#ptr, bytes / WORD);
    if (exports.copyFromGuest(this.#ptr, address, bytes)) return words.slice();
    // Memory comes in whole pages; only a poisoned one is there in part.
    if (view.getUint32(GUEST.POISONS, true) === 0) return undefined;
    words.fill(0n);
    let found = false;
    for (let at = 0; at < bytes; at += WORD) {
      if (exports.copyFromGuest(this.#ptr + at, address + BigInt(at), WORD)) found = true;
    }
    return found ? words.slice() : undefined;
  }
}

/** An entry of a table: where it is, and what it says. */
export interface Entry {
  at: bigint;
  words: bigint[];
}

/** The entries of a copied table. */
export function* entriesOf(table: BigUint64Array | undefined, base: bigint, bytes: number): Generator<Entry> {
  const count = bytes / WORD;
  for (let i = 0; table && i < table.length; i += count) {
    yield { at: base + BigInt(i * WORD), words: Array.from(table.subarray(i, i + count)) };
  }
}
