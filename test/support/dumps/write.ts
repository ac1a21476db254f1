/** Writes dumps the way the tools that make them do, for readers to be tried on. */
import { deflateSync } from "node:zlib";
import { compress } from "snappyjs";
import { concat, numbers, type Run } from "./pages.ts";

const PAGE = 4096;

export interface ElfSegment {
  type?: number;
  offset: bigint;
  paddr: bigint;
  filesz: bigint;
}

/** An ELF64 header and its program headers; with `elsewhere` their count stands in section header 0. */
export function elfHeaders(machine: number, segments: readonly ElfSegment[], elsewhere = false): Uint8Array {
  const table = elsewhere ? 128 : 64;
  const header = concat([
    Uint8Array.of(0x7f, 0x45, 0x4c, 0x46, 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0),
    numbers([2, 4], [2, machine], [4, 1], [8, 0], [8, table], [8, elsewhere ? 64 : 0]),
    numbers(
      [4, 0],
      [2, 64],
      [2, 56],
      [2, elsewhere ? 0xffff : segments.length],
      [2, 64],
      [2, elsewhere ? 1 : 0],
      [2, 0],
    ),
  ]);
  const section = numbers([4, 0], [4, 0], [8, 0], [8, 0], [8, 0], [8, 0], [4, 0], [4, segments.length], [8, 0], [8, 0]);
  const headers = segments.map(({ type = 1, offset, paddr, filesz }) =>
    numbers([4, type], [4, 0], [8, offset], [8, 0], [8, paddr], [8, filesz], [8, filesz], [8, 0]),
  );
  return concat([header, ...(elsewhere ? [section] : []), ...headers]);
}

/** As QEMU's dump-guest-memory: a note first, then memory. */
export function elfCore(runs: readonly Run[], machine: number, elsewhere = false): Uint8Array {
  const note = new Uint8Array(340).fill(0x5a);
  let at = (elsewhere ? 128 : 64) + 56 * (runs.length + 1);
  const segments: ElfSegment[] = [{ type: 4, offset: BigInt(at), paddr: 0n, filesz: BigInt(note.length) }];
  at += note.length;
  for (const { base, bytes } of runs) {
    segments.push({ offset: BigInt(at), paddr: base, filesz: BigInt(bytes.length) });
    at += bytes.length;
  }
  return concat([elfHeaders(machine, segments, elsewhere), note, ...runs.map(({ bytes }) => bytes)]);
}

/** The same of 32 bits, which QEMU writes of a machine below 4 GiB that is not in long mode. */
export function elfCore32(runs: readonly Run[]): Uint8Array {
  let at = 52 + 32 * runs.length;
  const header = concat([
    Uint8Array.of(0x7f, 0x45, 0x4c, 0x46, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0),
    numbers([2, 4], [2, 3], [4, 1], [4, 0], [4, 52], [4, 0]),
    numbers([4, 0], [2, 52], [2, 32], [2, runs.length], [2, 40], [2, 0], [2, 0]),
  ]);
  const headers = runs.map(({ base, bytes }) => {
    const { length } = bytes;
    const one = numbers([4, 1], [4, at], [4, 0], [4, base], [4, length], [4, length], [4, 0], [4, 0]);
    at += length;
    return one;
  });
  return concat([header, ...headers, ...runs.map(({ bytes }) => bytes)]);
}

export function limeRecord(magic: number, version: number, base: bigint, length: bigint): Uint8Array {
  return numbers([4, magic], [4, version], [8, base], [8, base + length - 1n], [8, 0]);
}

export function lime(runs: readonly Run[]): Uint8Array {
  return concat(runs.flatMap(({ base, bytes }) => [limeRecord(0x4c694d45, 1, base, BigInt(bytes.length)), bytes]));
}

/** The chunks of a Snappy stream; every third is left as it is, as encoders do with what does not shrink. */
export function snappyStream(bytes: Uint8Array): Uint8Array {
  const parts: Uint8Array[] = [Uint8Array.of(0xff, 6, 0, 0, 0x73, 0x4e, 0x61, 0x50, 0x70, 0x59)];
  for (let at = 0; at < bytes.length; at += 65536) {
    const chunk = bytes.subarray(at, at + 65536);
    const plain = (at / 65536) % 3 === 2;
    const data = plain ? chunk : compress(new Uint8Array(chunk));
    const length = data.length + 4;
    // The checksum is not looked at: a damaged page shows as damaged tables, as in every other kind of dump.
    parts.push(numbers([1, plain ? 1 : 0], [1, length % 256], [2, Math.floor(length / 256)], [4, 0]), data);
  }
  return concat(parts);
}

export function avml(runs: readonly Run[]): Uint8Array {
  return concat(
    runs.flatMap(({ base, bytes }) => {
      const stream = snappyStream(bytes);
      const record = limeRecord(0x4c4d5641, 2, base, BigInt(bytes.length));
      return [record, stream, numbers([8, stream.length])];
    }),
  );
}

/** Runs one after the other, and what `--ram` has to say about them. */
export function raw(runs: readonly Run[]): { bytes: Uint8Array; ram: string[] } {
  let at = 512;
  const ram = runs.map(({ base, bytes }) => {
    const range = `0x${base.toString(16)}:${bytes.length}@${at}`;
    at += bytes.length;
    return range;
  });
  return { bytes: concat([new Uint8Array(512), ...runs.map(({ bytes }) => bytes)]), ram };
}

/** How kdump marks and makes a page's bytes. */
export type PagePacking = (page: Uint8Array) => { flags: number; data: Uint8Array };

export const PACKINGS: Readonly<Record<string, PagePacking>> = {
  plain: (data) => ({ flags: 0, data }),
  zlib: (page) => ({ flags: 1, data: new Uint8Array(deflateSync(page)) }),
  snappy: (page) => ({ flags: 4, data: compress(new Uint8Array(page)) }),
  lzo: (page) => ({ flags: 2, data: lzoLiterals(page) }),
  zstd: (page) => ({ flags: 32, data: zstdRaw(page) }),
};

/** LZO1X that only quotes: a long run of literals, then the end. */
function lzoLiterals(page: Uint8Array): Uint8Array {
  const more = page.length - 18;
  const zeros = Math.floor((more - 1) / 255);
  return concat([
    Uint8Array.of(0, ...new Array<number>(zeros).fill(0), more - 255 * zeros),
    page,
    Uint8Array.of(0x11, 0, 0),
  ]);
}

/** RFC 8878: a frame of one segment whose block is raw. */
function zstdRaw(page: Uint8Array): Uint8Array {
  const block = page.length * 8 + 1;
  const size = page.length - 256;
  return concat([numbers([4, 0xfd2fb528], [1, 0x60], [2, size], [1, block % 256], [2, Math.floor(block / 256)]), page]);
}

export interface KdumpOptions {
  machine: string;
  pack: PagePacking;
  blockSize?: number;
  version?: number;
}

/** makedumpfile's compressed format: header, sub-header, two bitmaps, descriptors, pages. */
export function kdump(
  runs: readonly Run[],
  { machine, pack, blockSize = PAGE, version = 6 }: KdumpOptions,
): Uint8Array {
  const blocks = new Map<number, Uint8Array>();
  for (const { base, bytes } of runs) {
    for (let at = 0; at < bytes.length; at += PAGE) {
      const address = Number(base) + at;
      const number = Math.floor(address / blockSize);
      const block = blocks.get(number) ?? new Uint8Array(blockSize);
      block.set(bytes.subarray(at, at + PAGE), address % blockSize);
      blocks.set(number, block);
    }
  }
  const present = [...blocks.keys()].sort((a, b) => a - b);
  const pages = (present.at(-1) ?? 0) + 1;
  const bitmapBlocks = Math.ceil(pages / 8 / blockSize);
  const bitmap = new Uint8Array(bitmapBlocks * blockSize);
  for (const page of present) bitmap[Math.floor(page / 8)]! |= 2 ** (page % 8);
  const packed = present.map((page) => pack(blocks.get(page) as Uint8Array));
  const descriptors = blockSize * (2 + 2 * bitmapBlocks);
  let at = descriptors + 24 * packed.length;
  const table = packed.map(({ flags, data }) => {
    const descriptor = numbers([8, at], [4, data.length], [4, flags], [8, 0]);
    at += data.length;
    return descriptor;
  });
  return concat([
    kdumpHeader(machine, blockSize, version, bitmapBlocks, pages),
    bitmap,
    bitmap,
    ...table,
    ...packed.map(({ data }) => data),
  ]);
}

function kdumpHeader(
  machine: string,
  blockSize: number,
  version: number,
  bitmapBlocks: number,
  pages: number,
): Uint8Array {
  const out = new Uint8Array(2 * blockSize);
  out.set(new TextEncoder().encode("KDUMP   "));
  out.set(numbers([4, version]), 8);
  out.set(new TextEncoder().encode(machine), 12 + 4 * 65);
  out.set(numbers([4, 0], [4, blockSize], [4, 1], [4, 2 * bitmapBlocks], [4, pages]), 424);
  out.set(numbers([8, pages]), blockSize + 96);
  return out;
}

/** makedumpfile's flattened format: pieces out of order, a header written twice. */
export function flatten(file: Uint8Array): Uint8Array {
  const header = new Uint8Array(4096);
  header.set(new TextEncoder().encode("makedumpfile"));
  const view = new DataView(header.buffer);
  view.setBigInt64(16, 1n);
  view.setBigInt64(24, 1n);
  const pieces: { offset: number; bytes: Uint8Array }[] = [{ offset: 0, bytes: new Uint8Array(4096).fill(0xee) }];
  for (let offset = 4096; offset < file.length; offset += 5000) {
    pieces.push({ offset, bytes: file.subarray(offset, offset + 5000) });
  }
  const [first, ...rest] = pieces;
  const shuffled = [first!, ...rest.filter((_, i) => i % 2 === 1), ...rest.filter((_, i) => i % 2 === 0)];
  shuffled.push({ offset: 0, bytes: file.subarray(0, 4096) });
  return concat([
    header,
    ...shuffled.flatMap(({ offset, bytes }) => [record(offset, bytes.length), bytes]),
    record(-1, -1),
  ]);
}

function record(offset: number, size: number): Uint8Array {
  const out = new DataView(new ArrayBuffer(16));
  out.setBigInt64(0, BigInt(offset));
  out.setBigInt64(8, BigInt(size));
  return new Uint8Array(out.buffer);
}
