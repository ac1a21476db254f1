/**
 * The captured pages as guest memory.
 *
 * A capture holds some hundred 4 KiB pages scattered over the machine's RAM. One host-backed region
 * spans them all, and what was not captured is a bus error within it, so a walk that leaves the
 * capture is told apart from one that reads zeros. (A region each would exceed the region table, and
 * linear memory over the whole span would make up entries that nobody saw.)
 */
import { GuestMemory, type HostBacking } from "../memory.ts";

export const PAGE_BYTES = 4096;
const PAGE = BigInt(PAGE_BYTES);

export interface CapturedPage {
  gpa: bigint;
  /** What the recorder found in it, "pasid table". */
  role: string;
  bytes: Uint8Array;
}

/** Pages by guest address; not to be written to, `memory` copies them. */
export class PageMap {
  readonly pages: readonly CapturedPage[];
  readonly #byAddress: ReadonlyMap<bigint, CapturedPage>;

  constructor(pages: readonly CapturedPage[]) {
    this.pages = pages;
    this.#byAddress = new Map(pages.map((page) => [page.gpa, page]));
  }

  /** The page that holds `address`, undefined when it was not captured. */
  find(address: bigint): CapturedPage | undefined {
    return this.#byAddress.get(address - (address % PAGE));
  }

  /** A new guest memory that holds exactly these pages. */
  memory(): GuestMemory {
    const base = this.pages[0]?.gpa ?? 0n;
    return this.#make(base, base + PAGE, "bus error");
  }

  /** A new guest memory with all of a machine's RAM: these pages, and zeros elsewhere until written. */
  machine(base: bigint, bytes: bigint): GuestMemory {
    return this.#make(base, base + bytes, "zeros");
  }

  #make(from: bigint, to: bigint, elsewhere: "bus error" | "zeros"): GuestMemory {
    let base = from;
    let end = to;
    for (const { gpa } of this.pages) {
      if (gpa < base) base = gpa;
      if (gpa + PAGE > end) end = gpa + PAGE;
    }
    return new GuestMemory({ ram: [{ base, size: end - base, host: new SparsePages(this.pages, elsewhere) }] });
  }
}

/** Copies of pages, found by number; anything else is a bus error, or zeros until it is written. */
export class SparsePages implements HostBacking {
  readonly #pages = new Map<number, Uint8Array>();
  readonly #elsewhere: "bus error" | "zeros";

  constructor(pages: readonly CapturedPage[], elsewhere: "bus error" | "zeros" = "bus error") {
    this.#elsewhere = elsewhere;
    for (const { gpa, bytes } of pages) this.#pages.set(pageNumber(gpa), bytes.slice());
  }

  read(address: bigint, into: Uint8Array): boolean {
    return this.#each(address, into.length, (page, offset, at, count) => {
      into.set(page.subarray(offset, offset + count), at);
    });
  }

  write(address: bigint, from: Uint8Array): boolean {
    return this.#each(address, from.length, (page, offset, at, count) => {
      page.set(from.subarray(at, at + count), offset);
    });
  }

  #page(number: number): Uint8Array | undefined {
    const page = this.#pages.get(number);
    if (page || this.#elsewhere === "bus error") return page;
    const zeros = new Uint8Array(PAGE_BYTES);
    this.#pages.set(number, zeros);
    return zeros;
  }

  /** Splits at page boundaries; false as soon as a page is missing. */
  #each(
    address: bigint,
    length: number,
    copy: (page: Uint8Array, offset: number, at: number, count: number) => void,
  ): boolean {
    for (let at = 0; at < length; ) {
      const gpa = address + BigInt(at);
      const page = this.#page(pageNumber(gpa));
      if (!page) return false;
      const offset = Number(gpa % PAGE);
      const count = Math.min(length - at, PAGE_BYTES - offset);
      copy(page, offset, at, count);
      at += count;
    }
    return true;
  }
}

/** 52-bit addresses make 40-bit page numbers: exact in a number. */
function pageNumber(address: bigint): number {
  return Number(address / PAGE);
}
