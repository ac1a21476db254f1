/**
 * LZO, Snappy and zstd: blocks that the real compressors made, and damaged ones.
 *
 * golden/lzo-1.bin and lzo-9.bin are what `lzop -1` and `lzop -9` (1.04) make of `sample`, without lzop's headers;
 * golden/zstd.bin is what `zstd -19 --no-check` (1.5.4) makes of it.
 */
import { readFileSync } from "node:fs";
import fc from "fast-check";
import { compress } from "snappyjs";
import { describe, expect, it } from "vitest";
import type { Unpack } from "../../../src/capture/image/kdump.ts";
import { lzoDecompress } from "../../../src/capture/image/lzo.ts";
import { CorruptData, snappyDecompress } from "../../../src/capture/image/snappy.ts";
import { unpackers } from "../../../src/capture/node/unpackers.ts";
import { runs, seed } from "../../support/runs.ts";

const SIZE = 65536;
const golden = (name: string) =>
  new Uint8Array(readFileSync(new URL(`../../support/dumps/golden/${name}`, import.meta.url)));

/** Literals, and matches of many lengths at many distances, so that every opcode is used. */
function sample(): Uint8Array<ArrayBuffer> {
  const distances = [1, 2, 3, 300, 900, 1500, 2500, 5000, 12000, 17000, 30000, 45000];
  const lengths = [2, 3, 3, 4, 5, 8, 9, 33, 34, 300, 2000, 4000];
  const out = new Uint8Array(SIZE);
  let state = 1;
  const next = (below: number) => {
    state = (state * 48271) % 2147483647;
    return state % below;
  };
  for (let at = 0; at < out.length; ) {
    const distance = distances[next(12)] as number;
    const length = lengths[next(12)] as number;
    const literals = at === 0 ? 400 : next(4) === 0 ? 1 + next(30) : next(5);
    for (let i = 0; i < literals && at < out.length; i++) out[at++] = next(256);
    if (distance > at) continue;
    for (let i = 0; i < length && at < out.length; i++, at++) out[at] = out[at - distance] as number;
  }
  return out;
}

const { zlib, zstd } = unpackers("x");
const BLOCKS: readonly { name: string; unpack: Unpack; block: Uint8Array }[] = [
  { name: "LZO, fast", unpack: lzoDecompress, block: golden("lzo-1.bin") },
  { name: "LZO, small", unpack: lzoDecompress, block: golden("lzo-9.bin") },
  { name: "zstd", unpack: zstd, block: golden("zstd.bin") },
  { name: "Snappy", unpack: snappyDecompress, block: compress(sample()) },
];

describe("unpacking", () => {
  it.each(BLOCKS)("$name: what the compressor was given", ({ unpack, block }) => {
    expect(Buffer.compare(unpack(block, SIZE), sample())).toBe(0);
  });

  it.each(BLOCKS)("$name: cut short, or of another size", ({ unpack, block }) => {
    for (const end of [0, 1, 7, block.length >> 1, block.length - 1]) {
      expect(refused(unpack, block.subarray(0, end), SIZE)).toBe(true);
    }
    expect(refused(unpack, block, SIZE - 1)).toBe(true);
    expect(refused(unpack, block, 4096)).toBe(true);
  });

  it.each(BLOCKS)("$name: damaged at random, bytes or CorruptData", ({ unpack, block }) => {
    const damage = fc.array(fc.tuple(fc.nat(block.length - 1), fc.integer({ min: 0, max: 255 })), { minLength: 1 });
    fc.assert(
      fc.property(damage, (changes) => {
        const torn = block.slice();
        for (const [at, byte] of changes) torn[at] = byte;
        refused(unpack, torn, SIZE);
      }),
      { numRuns: runs(200, 20_000), seed },
    );
  });

  it("zlib that would unpack to more than a page", () => {
    expect(refused(zlib, new Uint8Array(golden("zstd.bin")), SIZE)).toBe(true);
  });
});

/** Whether the block is refused; anything but CorruptData, or bytes of another number, is a failure. */
function refused(unpack: Unpack, block: Uint8Array, size: number): boolean {
  try {
    return unpack(block, size).length !== size;
  } catch (error) {
    if (!(error instanceof CorruptData)) throw error;
    return true;
  }
}
