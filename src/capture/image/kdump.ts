/**
 * makedumpfile's compressed dumps ("KDUMP   "; makedumpfile IMPLEMENTATION, "The kdump-compressed format"): a header,
 * a bitmap of the machine's pages and one of those that are in the file, a descriptor for each of these, and the
 * pages, each compressed by itself.
 */
import { hex } from "../../check.ts";
import { type ByteSource, fileNumber, readStructure, refuseAt, requireBytes } from "./bytes.ts";
import { type ImageIommu, type MemoryRange, PAGE_BYTES, type PagedMemory } from "./image.ts";
import { readKdumpHeader } from "./kdump-header.ts";
import { lzoDecompress } from "./lzo.ts";
import { PageBitmap } from "./page-bitmap.ts";
import { RecentMap } from "./recent.ts";
import { CorruptData, snappyDecompress } from "./snappy.ts";

/** Byte offsets in a page's descriptor. */
enum DESCRIPTOR {
  OFFSET = 0,
  SIZE = 8,
  FLAGS = 12,
  BYTES = 24,
}

/** Unpacked bytes kept: 16 to 32 MiB. */
const RECENT_BYTES = 16 * 1024 * 1024;
/** Runs of the machine's pages that are told apart. */
const MAX_RANGES = 4096;

/** What unpacks a page that somebody else's library compressed. @throws anything for corrupt data */
export type Unpack = (data: Uint8Array, size: number) => Uint8Array;

/** Flags of a descriptor, and how each says that a page is compressed. */
enum COMPRESSION {
  ZLIB = 1,
  LZO = 2,
  SNAPPY = 4,
  ZSTD = 32,
}

export interface Unpackers {
  zlib: Unpack;
  zstd: Unpack;
}

export class KdumpMemory implements PagedMemory {
  readonly span: MemoryRange;
  /** The machine's RAM, ascending. */
  readonly ram: readonly MemoryRange[];
  readonly iommu: ImageIommu | undefined;
  /** Pages in the file. */
  readonly blocks: number;
  readonly blockSize: number;
  readonly #source: ByteSource;
  readonly #unpackers: Unpackers;
  readonly #dumped: PageBitmap;
  readonly #descriptors: number;
  readonly #recent: RecentMap<number, Uint8Array>;

  /** @throws InputError for what is no such dump, is torn, or contradicts itself */
  constructor(source: ByteSource, unpackers: Unpackers) {
    this.#source = source;
    this.#unpackers = unpackers;
    const { iommu, block, pages, machinePages, dumpedPages, descriptors } = readKdumpHeader(source);
    this.iommu = iommu;
    this.blockSize = block;
    this.#dumped = new PageBitmap(source, dumpedPages, pages);
    this.blocks = this.#dumped.count;
    this.#descriptors = descriptors;
    requireBytes(source, descriptors, this.blocks * DESCRIPTOR.BYTES, `a table of ${this.blocks} page descriptors`);
    const range = (first: number, count: number): MemoryRange => ({
      base: BigInt(first) * BigInt(block),
      size: BigInt(count) * BigInt(block),
    });
    this.span = range(0, Math.max(1, pages));
    const runs = new PageBitmap(source, machinePages, pages).runs(MAX_RANGES);
    this.ram = runs?.map(([first, count]) => range(first, count)) ?? [this.span];
    this.#recent = new RecentMap(RECENT_BYTES / block);
  }

  page(address: bigint): Uint8Array | undefined {
    const block = Number(address / BigInt(this.blockSize));
    const within = Number(address % BigInt(this.blockSize));
    const bytes = this.#recent.get(block) ?? this.#load(block);
    return bytes?.subarray(within - (within % PAGE_BYTES)).subarray(0, PAGE_BYTES);
  }

  role(): string {
    return "";
  }

  #load(block: number): Uint8Array | undefined {
    const rank = this.#dumped.rank(block);
    if (rank === undefined) return undefined;
    const bytes = this.#unpack(this.#descriptors + rank * DESCRIPTOR.BYTES, block);
    this.#recent.set(block, bytes);
    return bytes;
  }

  #unpack(place: number, block: number): Uint8Array {
    const source = this.#source;
    const what = `page ${hex(block * this.blockSize)}`;
    const descriptor = readStructure(source, place, DESCRIPTOR.BYTES, `the descriptor of ${what}`);
    const offset = fileNumber(source, place, descriptor.getBigUint64(DESCRIPTOR.OFFSET, true), `the offset of ${what}`);
    const size = descriptor.getUint32(DESCRIPTOR.SIZE, true);
    const flags = descriptor.getUint32(DESCRIPTOR.FLAGS, true);
    if (size > 2 * this.blockSize)
      refuseAt(source, place + DESCRIPTOR.SIZE, `${what} has ${hex(size)} bytes, more than two pages`);
    requireBytes(source, offset, size, what);
    const data = source.read(offset, size);
    const method = flags % 64;
    if (method === 0) {
      if (size !== this.blockSize)
        refuseAt(source, place + DESCRIPTOR.SIZE, `${what} is not compressed, but has ${hex(size)} bytes`);
      return data;
    }
    const unpack = this.#method(method);
    if (!unpack)
      refuseAt(source, place + DESCRIPTOR.FLAGS, `${what} is compressed in an unknown way (flags ${hex(flags)})`);
    return this.#checked(unpack, data, offset, what);
  }

  #method(flag: number): Unpack | undefined {
    const methods: Readonly<Record<number, Unpack>> = {
      [COMPRESSION.ZLIB]: this.#unpackers.zlib,
      [COMPRESSION.LZO]: lzoDecompress,
      [COMPRESSION.SNAPPY]: snappyDecompress,
      [COMPRESSION.ZSTD]: this.#unpackers.zstd,
    };
    return methods[flag];
  }

  #checked(unpack: Unpack, data: Uint8Array, offset: number, what: string): Uint8Array {
    let bytes: Uint8Array;
    try {
      bytes = unpack(data, this.blockSize);
    } catch (error) {
      if (!(error instanceof CorruptData)) throw error;
      refuseAt(this.#source, offset, `${what} cannot be unpacked: ${error.message}`);
    }
    if (bytes.length !== this.blockSize) refuseAt(this.#source, offset, `${what} unpacks to ${bytes.length} bytes`);
    return bytes;
  }
}
