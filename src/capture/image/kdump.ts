/**
 * makedumpfile's compressed dumps ("KDUMP   "; makedumpfile IMPLEMENTATION, "The kdump-compressed format"): a header,
 * a bitmap of the machine's pages and one of those that are in the file, a descriptor for each of these, and the
 * pages, each compressed by itself.
 */
import { hex } from "../../check.ts";
import { ADDRESS_BITS } from "../../memory.ts";
import { type ByteSource, fileNumber, readStructure, refuseAt, requireBytes } from "./bytes.ts";
import { type ImageIommu, type MemoryRange, PAGE_BYTES, type PagedMemory } from "./image.ts";
import { lzoDecompress } from "./lzo.ts";
import { RecentMap } from "./recent.ts";
import { CorruptData, snappyDecompress } from "./snappy.ts";

/** Byte offsets in the header of a 64-bit machine's dump. */
enum HEADER {
  VERSION = 8,
  /** Of utsname, of 65 bytes each from 12 on: sysname, nodename, release, version, machine. */
  MACHINE = 272,
  STATUS = 424,
  BLOCK_SIZE = 428,
  SUB_HEADER_BLOCKS = 432,
  BITMAP_BLOCKS = 436,
  MAX_PAGES = 440,
  BYTES = 464,
}
const MACHINE_BYTES = 65;

/** Byte offsets in the sub-header. */
enum SUB_HEADER {
  SPLIT = 12,
  MAX_PAGES_64 = 96,
  BYTES = 104,
}

/** Byte offsets in a page's descriptor. */
enum DESCRIPTOR {
  OFFSET = 0,
  SIZE = 8,
  FLAGS = 12,
  BYTES = 24,
}

/** From this version on the sub-header counts pages in 64 bits. */
const WIDE_VERSION = 6;
const MIN_BLOCK = 4096;
const MAX_BLOCK = 65536;
/** Bits for 32 TiB of memory in pages of 4 KiB. */
const MAX_BITMAP = 1024 ** 3;
/** The bitmap is read, and its bits are counted, in such pieces. */
const PIECE = 4096;
const RECENT_PIECES = 1024;
/** Unpacked bytes kept: 16 to 32 MiB. */
const RECENT_BYTES = 16 * 1024 * 1024;

const MACHINES: Readonly<Record<string, ImageIommu>> = { x86_64: "vtd", aarch64: "smmuv3" };

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
  readonly iommu: ImageIommu | undefined;
  /** Pages in the file. */
  readonly blocks: number;
  readonly blockSize: number;
  readonly #source: ByteSource;
  readonly #unpackers: Unpackers;
  readonly #bitmap: PageBitmap;
  readonly #descriptors: number;
  readonly #recent: RecentMap<number, Uint8Array>;

  /** @throws InputError for what is no such dump, is torn, or contradicts itself */
  constructor(source: ByteSource, unpackers: Unpackers) {
    this.#source = source;
    this.#unpackers = unpackers;
    const header = readStructure(source, 0, HEADER.BYTES, "the kdump header");
    this.iommu = MACHINES[machineName(header)];
    const block = header.getUint32(HEADER.BLOCK_SIZE, true);
    if (block < MIN_BLOCK || block > MAX_BLOCK || block % PAGE_BYTES !== 0) {
      refuseAt(source, HEADER.BLOCK_SIZE, `blocks of ${block} bytes; the dump of a big-endian or 32-bit machine?`);
    }
    const pages = countPages(source, header, block);
    const bitmaps = (1 + header.getUint32(HEADER.SUB_HEADER_BLOCKS, true)) * block;
    const bytes = header.getUint32(HEADER.BITMAP_BLOCKS, true) * block;
    if (bytes > MAX_BITMAP)
      refuseAt(source, HEADER.BITMAP_BLOCKS, `bitmaps of ${hex(bytes)} bytes; at most ${hex(MAX_BITMAP)} are read`);
    if (bytes * 4 < pages)
      refuseAt(source, HEADER.BITMAP_BLOCKS, `bitmaps of ${hex(bytes)} bytes are too short for ${pages} pages`);
    requireBytes(source, bitmaps, bytes, "the pair of bitmaps");
    this.#bitmap = new PageBitmap(source, bitmaps + bytes / 2, pages);
    this.blocks = this.#bitmap.count;
    this.blockSize = block;
    this.#descriptors = bitmaps + bytes;
    requireBytes(
      source,
      this.#descriptors,
      this.blocks * DESCRIPTOR.BYTES,
      `a table of ${this.blocks} page descriptors`,
    );
    this.span = { base: 0n, size: BigInt(Math.max(1, pages)) * BigInt(block) };
    if (this.span.size > 1n << BigInt(ADDRESS_BITS))
      refuseAt(source, HEADER.MAX_PAGES, `${pages} pages reach beyond ${ADDRESS_BITS} address bits`);
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
    const rank = this.#bitmap.rank(block);
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

function machineName(header: DataView): string {
  let name = "";
  for (let i = 0; i < MACHINE_BYTES && header.getUint8(HEADER.MACHINE + i) !== 0; i++) {
    name += String.fromCharCode(header.getUint8(HEADER.MACHINE + i));
  }
  return name;
}

function countPages(source: ByteSource, header: DataView, block: number): number {
  const version = header.getUint32(HEADER.VERSION, true);
  const sub = readStructure(source, block, SUB_HEADER.BYTES, "the kdump sub-header");
  if (version >= 2 && sub.getUint32(SUB_HEADER.SPLIT, true) !== 0) {
    refuseAt(
      source,
      block + SUB_HEADER.SPLIT,
      "one of several files of a split dump: join them with makedumpfile --reassemble",
    );
  }
  if (version < WIDE_VERSION) return header.getUint32(HEADER.MAX_PAGES, true);
  const at = block + SUB_HEADER.MAX_PAGES_64;
  return fileNumber(source, at, sub.getBigUint64(SUB_HEADER.MAX_PAGES_64, true), "the number of pages");
}

/** Which pages are in the file, and how many are before each. */
class PageBitmap {
  readonly count: number;
  readonly #source: ByteSource;
  readonly #offset: number;
  readonly #bits: number;
  /** Bits that are set before each piece. */
  readonly #before: number[] = [];
  readonly #recent = new RecentMap<number, Uint8Array>(RECENT_PIECES);

  constructor(source: ByteSource, offset: number, bits: number) {
    this.#source = source;
    this.#offset = offset;
    this.#bits = bits;
    let count = 0;
    for (let piece = 0; piece * PIECE * 8 < bits; piece++) {
      this.#before.push(count);
      const rest = bits - piece * PIECE * 8;
      count += countBits(this.#read(piece), Math.min(PIECE * 8, rest));
    }
    this.count = count;
  }

  /** How many pages are before this one; undefined when it is not in the file. */
  rank(bit: number): number | undefined {
    if (bit >= this.#bits) return undefined;
    const piece = Math.floor(bit / (PIECE * 8));
    let bytes = this.#recent.get(piece);
    if (!bytes) {
      bytes = this.#read(piece);
      this.#recent.set(piece, bytes);
    }
    const within = bit % (PIECE * 8);
    const present = Math.floor((bytes[Math.floor(within / 8)] as number) / 2 ** (within % 8)) % 2 === 1;
    return present ? (this.#before[piece] as number) + countBits(bytes, within) : undefined;
  }

  #read(piece: number): Uint8Array {
    const bytes = Math.ceil(this.#bits / 8) - piece * PIECE;
    return this.#source.read(this.#offset + piece * PIECE, Math.min(PIECE, bytes));
  }
}

/** Ones in each byte. */
const ONES = Uint8Array.from({ length: 256 }, (_, byte) => byte.toString(2).replaceAll("0", "").length);

/** Ones among the first `bits` bits, the lowest of each byte first. */
function countBits(bytes: Uint8Array, bits: number): number {
  let count = 0;
  const whole = Math.floor(bits / 8);
  for (let i = 0; i < whole; i++) count += ONES[bytes[i] as number] as number;
  const rest = bits % 8;
  return rest === 0 ? count : count + (ONES[(bytes[whole] as number) % 2 ** rest] as number);
}
