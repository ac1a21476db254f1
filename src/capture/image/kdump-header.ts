/** The headers of a compressed dump of a 64-bit machine (makedumpfile IMPLEMENTATION, "The kdump-compressed format"). */
import { hex } from "../../check.ts";
import { ADDRESS_BITS } from "../../memory.ts";
import { type ByteSource, fileNumber, readStructure, refuseAt, requireBytes } from "./bytes.ts";
import { type ImageIommu, PAGE_BYTES } from "./image.ts";

/** Byte offsets in the header. */
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

/** Byte offsets in the sub-header, which is the second block. */
enum SUB_HEADER {
  SPLIT = 12,
  NOTE_OFFSET = 48,
  NOTE_BYTES = 56,
  MAX_PAGES_64 = 96,
  BYTES = 104,
}

/** Byte offsets in an ELF note. */
enum NOTE {
  DESCRIPTION_BYTES = 4,
  TYPE = 8,
  BYTES = 12,
}
const NT_PRSTATUS = 1;
/** Bytes of a processor's registers in NT_PRSTATUS. */
const PRSTATUS_BYTES: Readonly<Record<number, ImageIommu>> = { 336: "vtd", 392: "smmuv3" };

const MACHINES: Readonly<Record<string, ImageIommu>> = { x86_64: "vtd", aarch64: "smmuv3" };

/** From these versions on dumps come in parts, have notes, and count pages in 64 bits. */
const VERSIONS = { SPLIT: 2, NOTES: 4, WIDE: 6 } as const;
const MIN_BLOCK = 4096;
const MAX_BLOCK = 65536;
/** Bits for 16 TiB of memory in pages of 4 KiB, twice. */
const MAX_BITMAPS = 1024 ** 3;

export interface KdumpHeader {
  /** What the machine has, where the dump tells. */
  iommu: ImageIommu | undefined;
  /** Bytes of a page. */
  block: number;
  pages: number;
  /** Where the bitmap of the machine's pages lies, that of those in the file, and the descriptors. */
  machinePages: number;
  dumpedPages: number;
  descriptors: number;
}

/** @throws InputError */
export function readKdumpHeader(source: ByteSource): KdumpHeader {
  const header = readStructure(source, 0, HEADER.BYTES, "the kdump header");
  const block = header.getUint32(HEADER.BLOCK_SIZE, true);
  if (block < MIN_BLOCK || block > MAX_BLOCK || block % PAGE_BYTES !== 0) {
    refuseAt(source, HEADER.BLOCK_SIZE, `blocks of ${block} bytes; the dump of a big-endian or 32-bit machine?`);
  }
  const version = header.getUint32(HEADER.VERSION, true);
  const sub = readStructure(source, block, SUB_HEADER.BYTES, "the kdump sub-header");
  if (version >= VERSIONS.SPLIT && sub.getUint32(SUB_HEADER.SPLIT, true) !== 0) {
    refuseAt(
      source,
      block + SUB_HEADER.SPLIT,
      "one of several files of a split dump: join them with makedumpfile --reassemble",
    );
  }
  const wide = block + SUB_HEADER.MAX_PAGES_64;
  const pages =
    version < VERSIONS.WIDE
      ? header.getUint32(HEADER.MAX_PAGES, true)
      : fileNumber(source, wide, sub.getBigUint64(SUB_HEADER.MAX_PAGES_64, true), "the number of pages");
  const machinePages = (1 + header.getUint32(HEADER.SUB_HEADER_BLOCKS, true)) * block;
  const bytes = header.getUint32(HEADER.BITMAP_BLOCKS, true) * block;
  checkBitmaps(source, bytes, pages, block);
  requireBytes(source, machinePages, bytes, "the pair of bitmaps");
  return {
    iommu: MACHINES[machineName(header)] ?? (version < VERSIONS.NOTES ? undefined : iommuOfNotes(source, sub)),
    block,
    pages,
    machinePages,
    dumpedPages: machinePages + bytes / 2,
    descriptors: machinePages + bytes,
  };
}

function checkBitmaps(source: ByteSource, bytes: number, pages: number, block: number): void {
  const refuse = (problem: string) =>
    refuseAt(source, HEADER.BITMAP_BLOCKS, `bitmaps of ${hex(bytes)} bytes${problem}`);
  if (bytes > MAX_BITMAPS) refuse(`; at most ${hex(MAX_BITMAPS)} are read`);
  // Two of them, a bit a page.
  if (bytes * 4 < pages) refuse(` are too short for ${pages} pages`);
  if (pages * block > 2 ** ADDRESS_BITS) refuse(` for ${pages} pages reach beyond ${ADDRESS_BITS} address bits`);
}

function machineName(header: DataView): string {
  let name = "";
  for (let i = 0; i < MACHINE_BYTES && header.getUint8(HEADER.MACHINE + i) !== 0; i++) {
    name += String.fromCharCode(header.getUint8(HEADER.MACHINE + i));
  }
  return name;
}

/** QEMU leaves the machine's name open; how many registers a processor has tells. */
function iommuOfNotes(source: ByteSource, sub: DataView): ImageIommu | undefined {
  const offset = Number(sub.getBigUint64(SUB_HEADER.NOTE_OFFSET, true));
  if (sub.getBigUint64(SUB_HEADER.NOTE_BYTES, true) < NOTE.BYTES || offset + NOTE.BYTES > source.size) return undefined;
  const note = readStructure(source, offset, NOTE.BYTES, "a note");
  if (note.getUint32(NOTE.TYPE, true) !== NT_PRSTATUS) return undefined;
  return PRSTATUS_BYTES[note.getUint32(NOTE.DESCRIPTION_BYTES, true)];
}
