/** Dumps as files on disk: recognised by what is in them, walked without being loaded, and told from captures. */
import { mkdtempSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { afterAll, describe, expect, it } from "vitest";
import { openImage, openMemory } from "../../../src/capture/node/image.ts";
import { openWalker } from "../../../src/capture/state.ts";
import { requestOf } from "../../../src/capture/verify.ts";
import { capturePath, readCapture, runsOf } from "../../support/dumps/pages.ts";
import { writeSparse } from "../../support/dumps/sparse.ts";
import { elfCore, elfHeaders, lime } from "../../support/dumps/write.ts";

const folder = mkdtempSync(join(tmpdir(), "iommulator-dumps-"));
afterAll(() => rmSync(folder, { recursive: true }));

function place(name: string, bytes: Uint8Array | string): string {
  const path = join(folder, name);
  writeFileSync(path, bytes);
  return path;
}

const GIB = 2 ** 30;
const X86 = 62;

describe("files", () => {
  const capture = readCapture("A-vtd-sva");
  const runs = runsOf(capture);
  const registerFiles = [capturePath("A-vtd-sva")];

  it("a sparse ELF core of 64 GiB: the walk reads some pages of it, and little memory is taken", () => {
    // The capture's runs keep their places in a file of one huge segment from 0, and another from 4 TiB on.
    const head = elfHeaders(X86, [
      { offset: 0x10000n, paddr: 0n, filesz: BigInt(32 * GIB) },
      { offset: BigInt(0x10000 + 32 * GIB), paddr: 1n << 42n, filesz: BigInt(32 * GIB) },
    ]);
    const path = join(folder, "huge.elf");
    writeSparse(path, { head, offset: 0x10000, runs, size: 0x10000 + 64 * GIB });
    const before = process.memoryUsage();
    const { image, close } = openImage(path, { registerFiles });
    const walker = openWalker(image);
    const original = openWalker(capture);
    for (const row of capture.expected.filter(({ ok }) => ok)) {
      expect(walker.translate(requestOf(row))).toEqual(original.translate(requestOf(row)));
    }
    // Many pages of nothing: more than the cache of pages holds.
    for (let i = 0n; i < 20_000n; i++) expect(image.pages.page((1n << 42n) + i * 0x100000n)?.length).toBe(4096);
    const after = process.memoryUsage();
    close();
    const grown = after.heapTotal + after.external - before.heapTotal - before.external;
    expect(grown).toBeLessThan(160 * 2 ** 20);
    expect(image.ram).toEqual([
      { base: 0n, size: BigInt(32 * GIB) },
      { base: 1n << 42n, size: BigInt(32 * GIB) },
    ]);
  });

  it("a capture, plain or packed, under any name", () => {
    const json = JSON.stringify({ iommu: "vtd" });
    for (const bytes of [json, `\n  ${json}`, gzipSync(json)]) {
      // Taken for a capture, which lacks its pages.
      expect(() => openImage(place("any", bytes))).toThrow(/any\.pages\.bin: missing/);
    }
  });

  it("registers of a capture can be replaced", () => {
    const registers = new Map([["rtaddr", 0x1234_5000n]]);
    const { image } = openImage(capturePath("A-vtd-sva"), { registers });
    expect(image.registers.read64(0x20)).toBe(0x1234_5000n);
    expect(image.registers.source(0x20)).toBe("--rtaddr");
    expect(image.registers.read64(0x8)).toBe(capture.registers.read64(0x8));
  });

  it.each([
    ["an empty file", ""],
    ["a program", Uint8Array.of(0x4d, 0x5a, 0x90, 0)],
    ["a letter", "Dear Sir,\nplease find no page tables here.\n"],
  ])("%s is no image, and how to take it for a raw one is said", (_, bytes) => {
    expect(() => openMemory(place("other", bytes))).toThrow(/neither a capture nor an ELF core.*--ram 0/);
  });

  it("a folder is no dump", () => {
    expect(() => openMemory(folder)).toThrow(/not a file/);
  });

  it("a raw image is raw even if it begins like something else", () => {
    const bytes = elfCore(runs, X86);
    const { pages, ram, close } = openMemory(place("raw", bytes), { ram: [{ base: 0x1000, size: 0x2000, offset: 0 }] });
    expect(Buffer.compare(pages.page(0x1000n) as Uint8Array, bytes.subarray(0, 4096))).toBe(0);
    expect(pages.page(0x3000n)).toBeUndefined();
    expect(ram).toEqual([{ base: 0x1000n, size: 0x2000n }]);
    close();
  });

  it("a file that becomes shorter while it is read", () => {
    const path = place("shrinking", lime(runs));
    const { image, close } = openImage(path, { registerFiles, iommu: "vtd" });
    truncateSync(path, 4096);
    const walker = openWalker(image);
    const row = capture.expected.find(({ ok }) => ok);
    expect(() => walker.translate(requestOf(row!))).toThrow(/shrinking: offset 0x[0-9a-f]+: the file became shorter/);
    close();
  });
});
