/**
 * A machine image: guest physical memory as it was at one moment, and the registers of one IOMMU.
 *
 * Captures, ELF cores, raw images and text from a live machine all become one. Memory is read on demand, a
 * page at a time: dumps have many GiB, walks read few of them.
 */
import { GuestMemory, type HostBacking } from "../../memory.ts";
import type { RegisterDump } from "../registers.ts";
import { RecentMap } from "./recent.ts";

export const PAGE_BYTES = 4096;
const PAGE = BigInt(PAGE_BYTES);

export interface MemoryRange {
  base: bigint;
  size: bigint;
}

/** Guest physical memory in 4 KiB pages; what is not held is told apart from zeros. */
export interface PagedMemory {
  /** Every page that is held lies in it; whole pages, at least one. */
  readonly span: MemoryRange;
  /**
   * The page that `address` lies in, undefined when the image does not hold it. Not to be written to, and
   * good until the next call only.
   * @throws InputError for a file that turns out to be torn
   */
  page(address: bigint): Uint8Array | undefined;
  /** What is known to lie in that page ("pasid table"), "" when nothing is. */
  role(address: bigint): string;
  /** What a reader of that page has to know ("its entries are made up"); absent: never anything. */
  note?(address: bigint): string;
}

/** Of a device that the image's writer knew. */
export interface ImageDevice {
  /** As the guest printed it, "0000:00:04.0". */
  address: string;
  /** Absent for what is no PCI function and has no StreamID. */
  sid: number | undefined;
  /** IDs, class, capabilities and so on, for people. */
  text: string;
}

/** Which IOMMU a walk is for. */
export type ImageIommu = "vtd" | "smmuv3";

/** What tells how an IOMMU starts its walks. */
export interface ImageUnit {
  readonly iommu: ImageIommu;
  readonly registers: RegisterDump;
}

export interface MachineImage extends ImageUnit {
  readonly name: string;
  /** What it was read from, for people: "ELF core, 3 segments". */
  readonly origin: string;
  readonly pages: PagedMemory;
  /** The machine's RAM as far as the image knows, ascending. */
  readonly ram: readonly MemoryRange[];
  readonly devices: readonly ImageDevice[];
}

/** The address of the page that `address` lies in. */
export function pageOf(address: bigint): bigint {
  return address - (address % PAGE);
}

/** 52-bit addresses make 40-bit page numbers: exact in a number. */
export function pageNumber(address: bigint): number {
  return Number(address / PAGE);
}

/**
 * A new guest memory over an image; a page that the image does not hold is a bus error. Writes stay private.
 * @param workspace bytes of linear memory for units and their like, 1 MiB unless told
 */
export function guestMemory(pages: PagedMemory, workspace: number = 1_048_576): GuestMemory {
  const { base, size } = pages.span;
  return new GuestMemory({ ram: [{ base, size, host: new ImageBacking(pages) }], workspace });
}

/** Pages that may have been written to at once: 16 to 32 MiB. */
const WRITTEN_PAGES = 4096;

/**
 * An image's pages, and private copies of those that the IOMMU wrote to. It only ever sets accessed and dirty
 * bits, so that copies of long ago may be forgotten: a walk sets them again.
 */
class ImageBacking implements HostBacking {
  readonly #pages: PagedMemory;
  readonly #written = new RecentMap<number, Uint8Array>(WRITTEN_PAGES);

  constructor(pages: PagedMemory) {
    this.#pages = pages;
  }

  read(address: bigint, into: Uint8Array): boolean {
    return eachPage(address, into.length, (gpa, offset, at, count) => {
      const page = this.#written.get(pageNumber(gpa)) ?? this.#pages.page(gpa);
      if (page) into.set(page.subarray(offset, offset + count), at);
      return page !== undefined;
    });
  }

  write(address: bigint, from: Uint8Array): boolean {
    return eachPage(address, from.length, (gpa, offset, at, count) => {
      const number = pageNumber(gpa);
      let page = this.#written.get(number);
      if (!page) {
        const original = this.#pages.page(gpa);
        if (!original) return false;
        // Not `slice`: that of a Node Buffer shares its bytes.
        page = new Uint8Array(original);
        this.#written.set(number, page);
      }
      page.set(from.subarray(at, at + count), offset);
      return true;
    });
  }
}

/**
 * Splits an access at page boundaries.
 * @param access (address, offset in its page, bytes done before, bytes) -> whether it could be made
 * @returns false as soon as one could not
 */
export function eachPage(
  address: bigint,
  length: number,
  access: (address: bigint, offset: number, at: number, count: number) => boolean,
): boolean {
  for (let at = 0; at < length; ) {
    const gpa = address + BigInt(at);
    const offset = Number(gpa % PAGE);
    const count = Math.min(length - at, PAGE_BYTES - offset);
    if (!access(gpa, offset, at, count)) return false;
    at += count;
  }
  return true;
}
