import { describe, expect, it } from "vitest";
import { type Register, RegisterFile, type RegisterWrite } from "../src/registers.ts";

enum LAYOUT {
  LOW = (7 << 16) | 0,
  TOP = (63 << 16) | 60,
}

function fileOf(...registers: Register[]): RegisterFile {
  return new RegisterFile(registers, { bytes: 64 });
}

describe("RegisterFile access", () => {
  it("writes RW bits, clears RW1C bits, hides WO bits and keeps the rest", () => {
    const file = fileOf({
      name: "R",
      offset: 4,
      bits: 32,
      reset: 0x1234_00ffn,
      rw: 0xff00n,
      rw1c: 0xfn,
      wo: 0xff_0000n,
    });
    file.set("R", 0x1200_00ffn);
    file.write(4, 4, 0xffff_5505n);
    expect(file.read(4, 4)).toBe(0x1200_55fan);
    expect(file.get("R")).toBe(0x12ff_55fan);
  });

  it("leaves locked bits as they are, as long as they are locked", () => {
    let enabled = true;
    const file = fileOf({
      name: "R",
      offset: 0,
      bits: 32,
      rw: 0xffffn,
      locked: (written, before) => (enabled || before === 0x00aan ? 0xff00n : 0n) | (written & 1n),
    });
    file.write(0, 4, 0x55aan);
    expect(file.get("R")).toBe(0x00aan);
    enabled = false;
    file.write(0, 4, 0x55bbn);
    expect(file.get("R")).toBe(0x00ban);
    file.write(0, 4, 0x5500n);
    expect(file.get("R")).toBe(0x5500n);
  });

  it("reads a 64-bit register alike whole and in halves; a half's write leaves the other half alone", () => {
    const file = fileOf({ name: "R", offset: 8, bits: 64, layout: LAYOUT, rw: 0xffff_ffff_ffff_ffffn });
    file.write(8, 8, 0x1122_3344_5566_7788n);
    expect([file.read(8, 4), file.read(12, 4), file.read(8, 8)]).toEqual([
      0x5566_7788n,
      0x1122_3344n,
      0x1122_3344_5566_7788n,
    ]);
    file.write(12, 4, 0xaabb_ccddn);
    expect(file.read(8, 8)).toBe(0xaabb_ccdd_5566_7788n);
    expect(file.getField("R", LAYOUT.TOP)).toBe(0xan);
    expect(file.getInPlace("R", LAYOUT.TOP)).toBe(0xa000_0000_0000_0000n);
  });

  it("splits a 64-bit access to two 32-bit registers, low half first", () => {
    const order: string[] = [];
    const note = (name: string) => () => void order.push(name);
    const file = fileOf(
      { name: "A", offset: 0, bits: 32, rw: 0xffff_ffffn, effect: note("A") },
      { name: "B", offset: 4, bits: 32, rw: 0xffff_ffffn, effect: note("B") },
    );
    file.write(0, 8, 0x2222_2222_1111_1111n);
    expect(order).toEqual(["A", "B"]);
    expect(file.read(0, 8)).toBe(0x2222_2222_1111_1111n);
    expect(file.get("B")).toBe(0x2222_2222n);
  });

  it("takes a 128-bit register in pieces of 64 and 32 bits", () => {
    const file = fileOf({ name: "F", offset: 16, bits: 128, rw1c: 1n << 127n });
    file.set("F", (1n << 127n) | 0xabcn);
    expect([file.read(16, 8), file.read(24, 8), file.read(28, 4)]).toEqual([0xabcn, 1n << 63n, 0x8000_0000n]);
    file.write(28, 4, 0x8000_0000n);
    expect(file.get("F")).toBe(0xabcn);
  });

  it("reads 0 and writes nothing when misaligned, of another size, in a hole or outside", () => {
    const file = fileOf({ name: "R", offset: 8, bits: 64, reset: 0xffn, rw: 0xffff_ffff_ffff_ffffn });
    for (const [offset, bytes] of [
      [8, 1],
      [8, 2],
      [9, 4],
      [12, 8],
      [8, 16],
      [0, 4],
      [64, 8],
      [-8, 8],
      [2 ** 40, 4],
      [8.5, 4],
      [Number.NaN, 4],
    ] as const) {
      file.write(offset, bytes, 0x5a5a_5a5a_5a5a_5a5an);
      expect(file.read(offset, bytes), `${bytes} at ${offset}`).toBe(0n);
    }
    expect(file.get("R")).toBe(0xffn);
  });

  it("tells the effect what was written, where, and what became of it", () => {
    const seen: RegisterWrite[] = [];
    const file = fileOf({
      name: "R",
      offset: 0,
      bits: 64,
      reset: 3n,
      rw: 0xf0n,
      effect: (write) => void seen.push(write),
    });
    file.write(0, 4, 0xffn);
    expect(seen).toEqual([{ value: 0xffn, mask: 0xffff_ffffn, before: 3n, after: 0xf3n }]);
    file.write(4, 4, 1n);
    expect(seen[1]).toEqual({ value: 1n << 32n, mask: 0xffff_ffffn << 32n, before: 0xf3n, after: 0xf3n });
  });

  it("brings a register up to date before it is read", () => {
    const file = fileOf({ name: "R", offset: 0, bits: 32, refresh: () => file.set("R", file.get("R") + 1n) });
    expect([file.read(0, 4), file.read(0, 4)]).toEqual([1n, 2n]);
  });
});

describe("RegisterFile state", () => {
  it("keeps sticky bits in a warm reset only", () => {
    const file = fileOf({ name: "R", offset: 0, bits: 32, reset: 0x8000_0001n, sticky: 0xf0n });
    file.set("R", 0x1234_56f0n);
    file.reset("warm");
    expect(file.get("R")).toBe(0x8000_00f1n);
    file.reset("cold");
    expect(file.get("R")).toBe(0x8000_0001n);
  });

  it("restores what it saved, and refuses what does not fit without changing anything", () => {
    const file = fileOf(
      { name: "A", offset: 0, bits: 32, rw: 0xffff_ffffn },
      { name: "B", offset: 8, bits: 128, rw1c: 1n << 127n },
    );
    file.set("A", 7n);
    file.set("B", (1n << 127n) | 5n);
    const saved = JSON.parse(JSON.stringify(file.snapshot()));
    file.reset("cold");
    file.restore(saved);
    expect([file.get("A"), file.get("B")]).toEqual([7n, (1n << 127n) | 5n]);
    for (const [bad, why] of [
      [{ A: "0x1" }, /no value for B/],
      [{ ...saved, C: "0x1" }, /no register C/],
      [{ ...saved, A: "0x100000000" }, /A: 0x100000000 is not in/],
      [{ ...saved, B: "five" }, /no value for B/],
    ] as const) {
      expect(() => file.restore(bad as Record<string, string>)).toThrow(why);
      expect(file.get("A")).toBe(7n);
    }
  });

  it("describes every register and field with its access and value", () => {
    const file = fileOf({
      name: "R",
      offset: 8,
      bits: 64,
      title: "a register",
      layout: LAYOUT,
      rw: 0xffn,
      sticky: 0xffn,
    });
    file.set("R", 0xa000_0000_0000_0012n);
    expect(file.describe().split("\n")).toEqual([
      "0x0008 R             64 RWS      0xa000000000000012  a register",
      "           7:0 LOW        RWS   0x12",
      "         63:60 TOP        RO    0xa",
    ]);
  });
});

describe("RegisterFile construction", () => {
  it.each<[string, Register[], RegExp]>([
    [
      "overlap",
      [
        { name: "A", offset: 0, bits: 64 },
        { name: "B", offset: 4, bits: 32 },
      ],
      /B at 0x4 overlaps A at 0x0/,
    ],
    ["misaligned", [{ name: "A", offset: 4, bits: 64 }], /A: offset 0x4 is not aligned/],
    ["outside", [{ name: "A", offset: 60, bits: 64 }], /A.offset: 60/],
    ["mask too wide", [{ name: "A", offset: 0, bits: 32, rw: 1n << 32n }], /A.rw: 0x100000000/],
    ["two accesses", [{ name: "A", offset: 0, bits: 32, rw: 3n, rw1c: 2n }], /A: a bit is in two of/],
    ["field outside", [{ name: "A", offset: 0, bits: 32, layout: LAYOUT }], /A.TOP: bit 63/],
    [
      "named twice",
      [
        { name: "A", offset: 0, bits: 32 },
        { name: "A", offset: 8, bits: 32 },
      ],
      /A: named twice/,
    ],
  ])("refuses %s", (_, rows, why) => {
    expect(() => fileOf(...rows)).toThrow(why);
  });
});
