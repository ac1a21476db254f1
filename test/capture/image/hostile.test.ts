/** Dumps that lie: refused by an InputError that names file and offset, in bounded time and memory. */
import { describe, expect, it } from "vitest";
import { type ByteSource, LoadedBytes } from "../../../src/capture/image/bytes.ts";
import { type DumpedMemory, openDump } from "../../../src/capture/image/open.ts";
import { parseRawRange, type RawRange } from "../../../src/capture/image/raw.ts";
import { InputError } from "../../../src/capture/input.ts";
import { unpackers } from "../../../src/capture/node/unpackers.ts";
import { concat, numbers, type Run } from "../../support/dumps/pages.ts";
import {
  type ElfSegment,
  elfCore,
  elfHeaders,
  flatten,
  kdump,
  limeRecord,
  PACKINGS,
  snappyStream,
} from "../../support/dumps/write.ts";

const X86 = 62;
const LIME = 0x4c694d45;
const AVML = 0x4c4d5641;

const open = (bytes: Uint8Array | ByteSource, ram: readonly RawRange[] = []): DumpedMemory | undefined =>
  openDump(bytes instanceof Uint8Array ? new LoadedBytes("dump", bytes) : bytes, ram, unpackers("dump"));

/** What the refusal says; the message is one line that begins with file and offset. */
function refusal(act: () => unknown): string {
  try {
    act();
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
    expect(error.message).toMatch(/^dump: offset 0x[0-9a-f]+: [^\n]+$/);
    return error.message.slice("dump: offset ".length);
  }
  return "accepted";
}

/** A file of any size that is zero where nothing is written: what a sparse file is. */
class Sparse implements ByteSource {
  readonly name = "dump";
  readonly size: number;
  readonly #head: Uint8Array;
  /** Most bytes that were asked for at once. */
  most = 0;

  constructor(head: Uint8Array, size: number) {
    this.#head = head;
    this.size = size;
  }

  read(offset: number, length: number): Uint8Array {
    this.most = Math.max(this.most, length);
    const out = new Uint8Array(length);
    if (offset < this.#head.length) out.set(this.#head.subarray(offset, offset + length));
    return out;
  }
}

/** An ELF core of these segments, followed by 16 KiB in which every page is another. */
function core(...segments: ElfSegment[]): Uint8Array {
  const body = concat([1, 2, 3, 4].map((fill) => new Uint8Array(4096).fill(fill)));
  return concat([elfHeaders(X86, segments), new Uint8Array(4096 - 64 - 56 * segments.length), body]);
}

const patched = (
  bytes: Uint8Array,
  at: number,
  ...list: readonly (readonly [1 | 2 | 4 | 8, number | bigint])[]
): Uint8Array => {
  const out = bytes.slice();
  out.set(numbers(...list), at);
  return out;
};

describe("ELF cores that lie", () => {
  const one: ElfSegment = { offset: 4096n, paddr: 0x1000n, filesz: 4096n };
  const good = core(one);

  it.each<[string, Uint8Array, string]>([
    ["cut within the header", good.subarray(0, 20), "0x0: the ELF header needs 0x40 bytes, the file ends at 0x14"],
    ["of an unknown class", patched(good, 4, [1, 3]), "0x4: an ELF file of unknown class 3"],
    ["of 32 bits by mistake", patched(good, 4, [1, 1]), "0x2a: program headers of"],
    ["of a big-endian machine", patched(good, 5, [1, 2]), "0x5: the core of a big-endian machine"],
    ["a program", patched(good, 16, [2, 2]), "0x10: an ELF file of type 2, not a core"],
    ["with headers of another size", patched(good, 54, [2, 32]), "0x36: program headers of 32 bytes"],
    ["whose table is at 2^63", patched(good, 32, [8, 2n ** 63n]), "0x20: e_phoff is 0x8000000000000000"],
    [
      "whose table is past the end",
      patched(good, 32, [8, 1n << 40n]),
      "0x10000000000: a table of 1 program headers needs 0x38 bytes, the file ends at 0x5000",
    ],
    ["with more headers than bytes", patched(good, 56, [2, 0xfffe]), "a table of 65534 program headers needs"],
    [
      "whose count is elsewhere, at 2^63",
      patched(good, 40, [8, 2n ** 63n], [4, 0], [2, 64], [2, 56], [2, 0xffff]),
      "0x28: e_shoff",
    ],
    [
      "with 2^32 - 1 headers",
      patched(elfCore([{ base: 0n, bytes: new Uint8Array(4096) }], X86, true), 64 + 44, [4, 0xffff_ffff]),
      "0x6c: 4294967295 program headers; at most",
    ],
    ["of nothing", core({ ...one, filesz: 0n }), "0x38: no segment"],
    [
      "whose segment is past the end",
      core({ ...one, filesz: 0x10000n }),
      "0x40: the segment at 0x1000 needs bytes 0x1000..0x10fff, the file ends at 0x5000",
    ],
    ["whose segment has 2^63 bytes", core({ ...one, filesz: 2n ** 63n }), "0x60: p_filesz is 0x8000000000000000"],
    [
      "whose segment begins at 2^63 of the file",
      core({ ...one, offset: 2n ** 63n }),
      "0x48: p_offset is 0x8000000000000000",
    ],
    ["whose address has 64 bits", core({ ...one, paddr: 2n ** 63n }), "0x58: p_paddr is 0x8000000000000000"],
    [
      "whose address has 53 bits",
      core({ ...one, paddr: 2n ** 52n - 1n }),
      "0x40: a segment at 0xfffffffffffff of 0x1000 bytes reaches beyond 52 address bits",
    ],
    [
      "of a process",
      core({ ...one, paddr: 0n }, { ...one, offset: 0x2000n, paddr: 0n }),
      "0x40: every segment has p_paddr 0",
    ],
    [
      "whose segments contradict each other",
      core(one, { offset: 0x2000n, paddr: 0x1800n, filesz: 4096n }),
      "0x78: segments overlap at 0x1800 and say differently: bytes 0x2000 and 0x1800",
    ],
  ])("%s", (_, bytes, said) => {
    expect(refusal(() => open(bytes))).toContain(said);
  });

  it("segments that overlap and agree are one: the same bytes, or equal ones", () => {
    const twice = concat([core(one, { offset: 0x5000n, paddr: 0x1000n, filesz: 4096n }), new Uint8Array(4096).fill(1)]);
    const shifted = core(
      { offset: 4096n, paddr: 0x1000n, filesz: 8192n },
      { offset: 8192n, paddr: 0x2000n, filesz: 8192n },
    );
    expect(open(twice)?.ram).toEqual([{ base: 0x1000n, size: 0x1000n }]);
    expect(open(shifted)?.ram).toEqual([{ base: 0x1000n, size: 0x3000n }]);
    expect(open(shifted)?.pages.page(0x3abcn)?.[0]).toBe(3);
  });

  it("what has no physical address (/proc/kcore) is passed over", () => {
    expect(open(core(one, { ...one, paddr: 2n ** 64n - 1n }))?.ram).toEqual([{ base: 0x1000n, size: 0x1000n }]);
  });

  it("a page is held when all of its bytes are, be it in two segments", () => {
    const halves = core(
      { offset: 4096n, paddr: 0x1000n, filesz: 0x800n },
      { offset: 0x2000n, paddr: 0x1800n, filesz: 0x900n },
    );
    const pages = open(halves)?.pages;
    expect([0, 0x7ff, 0x800, 0xfff].map((at) => pages?.page(0x1000n)?.[at])).toEqual([1, 1, 2, 2]);
    expect(pages?.page(0x2000n)).toBeUndefined();
  });

  it("overlaps of many GiB are given up, not compared to the end", () => {
    const gib = 2n ** 30n;
    const head = elfHeaders(X86, [
      { offset: 4096n, paddr: 4096n, filesz: 64n * gib },
      { offset: 64n * gib, paddr: 4096n, filesz: 64n * gib },
    ]);
    const source = new Sparse(head, 256 * 2 ** 30);
    expect(refusal(() => open(source))).toContain("0x78: too much of this file overlaps to be compared");
    expect(source.most).toBeLessThanOrEqual(2 ** 20);
  });

  it("fifty thousand segments over each other are given up as well", () => {
    const many = Array.from({ length: 50_000 }, (_, i) => ({
      offset: 0x1000_0000n + BigInt(i) * 4096n,
      paddr: BigInt(i),
      filesz: 2n ** 30n,
    }));
    const source = new Sparse(elfHeaders(X86, many, true), 2 ** 40);
    expect(refusal(() => open(source))).toContain("too much of this file overlaps to be compared");
  });
});

describe("raw images that lie", () => {
  it.each([
    ["0:0x3000", "0x0: the segment at 0x0 needs bytes 0x0..0x2fff, the file ends at 0x2000"],
    ["0@0x2000", "0x2000: --ram: the file ends at 0x2000"],
    ["0x10:4K", "0x0: --ram: 0x10 is not the address of a page"],
    ["0x10000000000000:4K", "0x0: a segment at 0x10000000000000 of 0x1000 bytes reaches beyond 52 address bits"],
  ])("--ram %s", (text, said) => {
    const range = parseRawRange(text) as RawRange;
    expect(refusal(() => open(new Uint8Array(8192), [range]))).toContain(said);
  });

  it.each(["", "x", "0:", "0:0", "0@", ":4K", "-1", "0x1:2:3", "99999999999999999999", "0:16EiB", "0:9000000T"])(
    "%j is no range",
    (text) => expect(parseRawRange(text)).toBeUndefined(),
  );

  it.each([
    ["0", { base: 0, size: undefined, offset: 0 }],
    ["0x100000000:2G@0x80000000", { base: 2 ** 32, size: 2 ** 31, offset: 2 ** 31 }],
    ["1M:4KiB@512", { base: 2 ** 20, size: 4096, offset: 512 }],
    ["0@64K", { base: 0, size: undefined, offset: 65536 }],
  ])("%s", (text, range) => expect(parseRawRange(text)).toEqual(range));
});

describe("LiME and AVML that lie", () => {
  const page = new Uint8Array(4096).fill(9);
  const plain = concat([limeRecord(LIME, 1, 0x1000n, 4096n), page]);
  const stream = snappyStream(page);
  const packed = concat([limeRecord(AVML, 2, 0x1000n, 4096n), stream, numbers([8, stream.length])]);
  /** Where the first chunk begins: after the record and the stream's own. */
  const chunk = 32 + 10;

  it.each<[string, Uint8Array, string]>([
    ["a record cut short", plain.subarray(0, 30), "0x0: a record's header needs 0x20 bytes, the file ends at 0x1e"],
    [
      "memory cut short",
      plain.subarray(0, 4000),
      "0x0: the segment at 0x1000 needs bytes 0x20..0x101f, the file ends at 0xfa0",
    ],
    ["another version", patched(plain, 4, [4, 7]), "0x4: version 7 of LiME"],
    ["reserved bytes", patched(plain, 24, [8, 1]), "0x18: the reserved bytes are not 0"],
    [
      "an end before the beginning",
      patched(plain, 16, [8, 0]),
      "0x10: a record that ends (0x0) before it begins (0x1000)",
    ],
    ["an end at 2^64 - 1", patched(plain, 16, [8, 2n ** 64n - 1n]), "0x10: the last address is 0xffffffffffffffff"],
    [
      "a size that runs into the next record",
      concat([patched(plain, 16, [8, 0x1fefn]), plain]),
      "0x1010: neither a LiME nor an AVML record",
    ],
    [
      "records that contradict each other",
      concat([plain, limeRecord(LIME, 1, 0x1000n, 4096n), new Uint8Array(4096)]),
      "0x1020: segments overlap at 0x1000",
    ],
    ["LiME and AVML mixed", concat([plain, packed]), "0x0: LiME and AVML records in one file"],
    [
      "a stream cut short",
      packed.subarray(0, chunk + 2),
      "0x2a: a Snappy chunk's header needs 0x4 bytes, the file ends at 0x2c",
    ],
    ["a chunk longer than the file", patched(packed, chunk + 1, [2, 0xffff]), "0x2a: a Snappy chunk of 0xffff bytes"],
    ["an unknown chunk", patched(packed, chunk, [1, 0x02]), "0x2a: a Snappy chunk of unknown type 0x2"],
    [
      "a chunk that unpacks to more than the record",
      patched(packed, chunk + 8, [1, 0xff], [1, 0x7f]),
      "0x2a: a Snappy chunk of 0x3fff bytes where at most 0x1000 belong",
    ],
    ["a stream of another length", patched(packed, packed.length - 8, [8, 2n ** 63n]), "the stream before has"],
  ])("%s", (_, bytes, said) => {
    expect(refusal(() => open(bytes))).toContain(said);
  });

  it("a chunk whose data is damaged is found when it is read", () => {
    const torn = open(patched(packed, chunk + 10, [4, 0xffff_ffff]));
    expect(refusal(() => torn?.pages.page(0x1000n))).toMatch(/^0x32: Snappy: /);
  });

  it("a stream of a million chunks that say nothing ends", () => {
    const empty = concat([limeRecord(AVML, 2, 0n, 2n ** 40n), new Uint8Array(4_500_000 * 4).fill(0xfe)]);
    for (let at = 33; at < empty.length; at += 4) empty.fill(0, at, at + 3);
    expect(refusal(() => open(empty))).toContain("more than 4194304 Snappy chunks");
  });
});

describe("kdump that lies", () => {
  const runs: Run[] = [{ base: 0x3000n, bytes: new Uint8Array(8192).fill(7) }];
  const good = kdump(runs, { machine: "x86_64", pack: PACKINGS.zlib! });
  const descriptors = 4 * 4096;

  it.each<[string, Uint8Array, string]>([
    ["cut within the header", good.subarray(0, 100), "the kdump header needs 0x1d0 bytes"],
    ["cut within the bitmaps", good.subarray(0, 9000), "0x2000: the pair of bitmaps needs 0x2000 bytes"],
    ["cut within the descriptors", good.subarray(0, descriptors + 30), "a table of 2 page descriptors"],
    ["with blocks of 2^31 bytes", patched(good, 428, [4, 2 ** 31]), "0x1ac: blocks of 2147483648 bytes"],
    ["with blocks of 0 bytes", patched(good, 428, [4, 0]), "0x1ac: blocks of 0 bytes"],
    ["one file of several", patched(good, 4096 + 12, [4, 1]), "0x100c: one of several files of a split dump"],
    ["with bitmaps of 2^32 blocks", patched(good, 436, [4, 0xffff_ffff]), "0x1b4: bitmaps of"],
    [
      "with more pages than bits",
      patched(good, 4096 + 96, [8, 2 ** 40]),
      "0x1b4: bitmaps of 0x2000 bytes are too short for 1099511627776 pages",
    ],
    ["with 2^63 pages", patched(good, 4096 + 96, [8, 2n ** 63n]), "0x1060: the number of pages is 0x8000000000000000"],
    ["with a sub-header of 2^32 blocks", patched(good, 432, [4, 0xffff_ffff]), "the file ends at"],
  ])("%s", (_, bytes, said) => {
    expect(refusal(() => open(bytes))).toContain(said);
  });

  it.each<[string, Uint8Array, string]>([
    ["at 2^63", patched(good, descriptors, [8, 2n ** 63n]), "0x4000: the offset of page 0x3000 is 0x8000000000000000"],
    ["past the end", patched(good, descriptors, [8, 2 ** 40]), "page 0x3000 needs"],
    ["of 4 GiB", patched(good, descriptors + 8, [4, 0xffff_ffff]), "0x4008: page 0x3000 has 0xffffffff bytes"],
    ["plain, and short", patched(good, descriptors + 12, [4, 0]), "0x4008: page 0x3000 is not compressed, but has"],
    [
      "compressed in two ways",
      patched(good, descriptors + 12, [4, 3]),
      "0x400c: page 0x3000 is compressed in an unknown way (flags 0x3)",
    ],
    ["of another compression", patched(good, descriptors + 12, [4, 4]), "page 0x3000 cannot be unpacked: Snappy: "],
    ["of zstd that is none", patched(good, descriptors + 12, [4, 32]), "page 0x3000 cannot be unpacked: "],
    ["damaged", patched(good, descriptors + 48, [4, 0xffff_ffff]), "page 0x3000 cannot be unpacked: "],
  ])("a page %s", (_, bytes, said) => {
    const dump = open(bytes);
    expect(refusal(() => dump?.pages.page(0x3000n))).toContain(said);
    expect(dump?.pages.page(0x5000n)).toBeUndefined();
  });

  it("the machine's processor tells what nobody named, if there is a note about it", () => {
    const unnamed = patched(good, 272, [8, 0x6e_776f_6e6b_6e55n]);
    expect(open(unnamed)?.iommu).toBeUndefined();
    const noted = (bytes: number) =>
      open(
        concat([
          patched(patched(unnamed, 4096 + 48, [8, good.length], [8, 20]), 0),
          numbers([4, 5], [4, bytes], [4, 1], [8, 0]),
        ]),
      )?.iommu;
    expect([336, 392, 12].map(noted)).toEqual(["vtd", "smmuv3", undefined]);
    expect(open(patched(unnamed, 4096 + 48, [8, 2n ** 63n], [8, 20]))?.iommu).toBeUndefined();
  });

  it("RAM in more pieces than are told apart is one", () => {
    const every = Array.from({ length: 5000 }, (_, i) => ({ base: BigInt(i) * 8192n, bytes: new Uint8Array(4096) }));
    const dump = open(kdump(every, { machine: "x86_64", pack: PACKINGS.zlib! }));
    expect(dump?.ram).toEqual([{ base: 0n, size: 9999n * 4096n }]);
    expect(dump?.pages.page(4999n * 8192n)?.length).toBe(4096);
    expect(dump?.pages.page(4096n)).toBeUndefined();
  });

  it("a page that unpacks to more than a page", () => {
    const bomb = kdump(runs, { machine: "x86_64", pack: () => PACKINGS.zlib!(new Uint8Array(2 ** 20)) });
    expect(refusal(() => open(bomb)?.pages.page(0x3000n))).toContain("page 0x3000 cannot be unpacked: ");
  });
});

describe("other formats", () => {
  const record = (offset: bigint, size: bigint) => {
    const view = new DataView(new ArrayBuffer(16));
    view.setBigInt64(0, offset);
    view.setBigInt64(8, size);
    return new Uint8Array(view.buffer);
  };
  const head = flatten(new Uint8Array(4096)).subarray(0, 4096);
  const end = record(-1n, -1n);

  it.each<[string, Uint8Array, string]>([
    ["without an end", concat([head, record(0n, 16n), new Uint8Array(16)]), "a record of the flattened format needs"],
    [
      "with a record of 2^62 bytes",
      concat([head, record(0n, 2n ** 62n), end]),
      "0x1000: a record of 0x4000000000000000 bytes",
    ],
    ["with a record of no bytes", concat([head, record(0n, 0n), end]), "0x1000: a record of 0x0 bytes"],
    [
      "with a record before the beginning",
      concat([head, record(-5n, 16n), new Uint8Array(16), end]),
      "0x1000: a record of 0x10 bytes for offset -0x5",
    ],
    [
      "with a record past the end",
      concat([head, record(0n, 4096n), end]),
      "0x1000: a record of 0x1000 bytes, the file ends at",
    ],
    [
      "with records over each other",
      concat([head, record(0n, 16n), new Uint8Array(16), record(8n, 16n), new Uint8Array(16), end]),
      "overlaps the one at 0x1000",
    ],
    ["of another version", patched(concat([head, end]), 31, [1, 9]), "0x18: not version 1"],
  ])("flattened %s", (_, bytes, said) => {
    expect(refusal(() => open(bytes))).toContain(said);
  });

  it.each<[string, Uint8Array, RegExp]>([
    ["flattened nothing", concat([head, end]), /neither a kdump nor an ELF core in it/],
    ["diskdump", new TextEncoder().encode("DISKDUMP        "), /diskdump.*not a format that is read/],
    ["Windows", new TextEncoder().encode("PAGEDU64        "), /Windows crash dump.*not a format that is read/],
  ])("%s", (_, bytes, said) => {
    expect(() => open(bytes)).toThrow(said);
  });
});
