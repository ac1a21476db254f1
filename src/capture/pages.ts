/**
 * The captured pages as guest memory.
 *
 * A capture holds some hundred 4 KiB pages scattered over the machine's RAM. One host-backed region
 * spans them all, and what was not captured is a bus error within it, so a walk that leaves the
 * capture is told apart from one that reads zeros. (A region each would exceed the region table, and
 * linear memory over the whole span would make up entries that nobody saw.)
 */
import { GuestMemory, type HostBacking } from "../memory.ts";
import { eachPage, guestMemory, type MemoryRange, PAGE_BYTES, type PagedMemory, pageNumber } from "./image/image.ts";

const PAGE = BigInt(PAGE_BYTES);

export interface CapturedPage {
  gpa: bigint;
  /** What the recorder found in it, "pasid table". */
  role: string;
  /** Set where it is not what the machine had. */
  note?: string;
  bytes: Uint8Array;
}

/** Pages by guest address; not to be written to, `memory` and `machine` keep changes to themselves. */
export class PageMap implements PagedMemory {
  readonly pages: readonly CapturedPage[];
  readonly span: MemoryRange;
  readonly #byNumber: ReadonlyMap<number, CapturedPage>;

  constructor(pages: readonly CapturedPage[]) {
    this.pages = pages;
    this.span = spanOf(pages, { base: pages[0]?.gpa ?? 0n, size: PAGE });
    this.#byNumber = new Map(pages.map((page) => [pageNumber(page.gpa), page]));
  }

  page(address: bigint): Uint8Array | undefined {
    return this.#byNumber.get(pageNumber(address))?.bytes;
  }

  role(address: bigint): string {
    return this.#byNumber.get(pageNumber(address))?.role ?? "";
  }

  note(address: bigint): string {
    return this.#byNumber.get(pageNumber(address))?.note ?? "";
  }

  /** A new guest memory that holds exactly these pages. */
  memory(): GuestMemory {
    return guestMemory(this);
  }

  /** A new guest memory with all of a machine's RAM: these pages, and zeros elsewhere until written. */
  machine(base: bigint, bytes: bigint): GuestMemory {
    const span = spanOf(this.pages, { base, size: bytes });
    return new GuestMemory({ ram: [{ ...span, host: new SparsePages(this.pages) }] });
  }
}

/** The range, made wide enough for all pages. */
function spanOf(pages: readonly CapturedPage[], range: MemoryRange): MemoryRange {
  let base = range.base;
  let end = range.base + range.size;
  for (const { gpa } of pages) {
    if (gpa < base) base = gpa;
    if (gpa + PAGE > end) end = gpa + PAGE;
  }
  return { base, size: end - base };
}

/** Copies of pages, found by number; elsewhere are zeros until it is written. */
export class SparsePages implements HostBacking {
  readonly #pages = new Map<number, Uint8Array>();

  constructor(pages: readonly CapturedPage[] = []) {
    // Not `slice`: that of a Node Buffer shares its bytes.
    for (const { gpa, bytes } of pages) this.#pages.set(pageNumber(gpa), new Uint8Array(bytes));
  }

  read(address: bigint, into: Uint8Array): boolean {
    return eachPage(address, into.length, (gpa, offset, at, count) => {
      into.set(this.#page(gpa).subarray(offset, offset + count), at);
      return true;
    });
  }

  write(address: bigint, from: Uint8Array): boolean {
    return eachPage(address, from.length, (gpa, offset, at, count) => {
      this.#page(gpa).set(from.subarray(at, at + count), offset);
      return true;
    });
  }

  #page(address: bigint): Uint8Array {
    const number = pageNumber(address);
    let page = this.#pages.get(number);
    if (!page) {
      page = new Uint8Array(PAGE_BYTES);
      this.#pages.set(number, page);
    }
    return page;
  }
}
