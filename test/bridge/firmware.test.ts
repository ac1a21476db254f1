/** What firmware and system are told: option ROM, DMAR table, device tree. */
import { describe, expect, it } from "vitest";
import { parseTree, type TreeNode, writeTree } from "../../src/bridge/device-tree.ts";
import { DmaMap } from "../../src/bridge/dma-map.ts";
import { buildDmar, patchDmar } from "../../src/bridge/dmar.ts";
import { GuestRam } from "../../src/bridge/guest-ram.ts";
import { buildOptionRom } from "../../src/bridge/option-rom.ts";
import { addSmmu } from "../../src/bridge/smmu-tree.ts";
import { parseDmar } from "../../src/capture/acpi/dmar.ts";
import { tableBytes } from "../../src/capture/acpi/table.ts";

const MIB = 1024 * 1024;
const sum = (bytes: Uint8Array) => bytes.reduce((total, byte) => (total + byte) % 256, 0);
const ascii = (bytes: Uint8Array, at: number, length: number) => Buffer.from(bytes).toString("latin1", at, at + length);

interface Cpu {
  regs: Record<string, number>;
  stack: Record<string, number>[];
  calls: Record<string, number>[];
}

/** As much of an 8086 as the ROM's code takes, by its first bytes: their number, and what they do. */
const INSTRUCTIONS: Readonly<Record<string, [bytes: number, run: (cpu: Cpu, operand: number) => void]>> = {
  "60": [1, ({ stack, regs }) => void stack.push({ ...regs })],
  "61": [1, ({ stack, regs }) => void Object.assign(regs, stack.pop())],
  "89c3": [2, ({ regs }) => void Object.assign(regs, { bx: regs.ax })],
  bf: [3, ({ regs }, operand) => void Object.assign(regs, { di: operand })],
  b8: [3, ({ regs }, operand) => void Object.assign(regs, { ax: operand })],
  "83c9": [3, ({ regs }, operand) => void Object.assign(regs, { cx: (regs.cx as number) | operand })],
  "31c0": [2, ({ regs }) => void Object.assign(regs, { ax: 0 })],
  cd1a: [2, ({ regs, calls }) => void calls.push({ ...regs })],
};

/** Runs code up to RETF. PCI BIOS reads COMMAND as 0102h. */
function execute(code: Buffer, entry: number, ax: number): Cpu {
  const cpu: Cpu = { regs: { ax, bx: 0x1111, cx: 0x2222, dx: 0x3333, di: 0x4444 }, stack: [], calls: [] };
  let ip = entry;
  if (code[ip] === 0xeb) ip += 2 + code.readInt8(ip + 1);
  while (code[ip] !== 0xcb) {
    const opcode = [1, 2].map((bytes) => code.toString("hex", ip, ip + bytes)).find((text) => text in INSTRUCTIONS);
    const [bytes, run] = INSTRUCTIONS[opcode ?? ""] ?? [];
    if (!opcode || !bytes || !run) throw new Error(`code ${code.toString("hex", ip, ip + 2)} at ${ip}`);
    const operandBytes = bytes - opcode.length / 2;
    run(cpu, operandBytes > 0 ? code.readUIntLE(ip + opcode.length / 2, operandBytes) : 0);
    if (opcode === "cd1a" && cpu.regs.ax === 0xb109) cpu.regs.cx = 0x0102;
    ip += bytes;
  }
  return cpu;
}

describe("option ROM, PCI Firmware 3.3 chapter 5", () => {
  const rom = buildOptionRom();
  const view = new DataView(rom.buffer);

  it("is one block that sums to 0, with its headers where it says", () => {
    expect([rom.length, sum(rom)]).toEqual([512, 0]);
    expect([...rom.subarray(0, 3)]).toEqual([0x55, 0xaa, 1]);
    const pcir = view.getUint16(24, true);
    expect(ascii(rom, pcir, 4)).toBe("PCIR");
    expect([view.getUint16(pcir + 4, true), view.getUint16(pcir + 6, true)]).toEqual([0x1234, 0xd3a1]);
    // Length, revision, class 060000h, one block, x86 code, last image.
    expect([...rom.subarray(pcir + 10, pcir + 22)]).toEqual([24, 0, 0, 0, 0, 6, 1, 0, 0, 0, 0, 0x80]);
    const pnp = view.getUint16(26, true);
    expect(ascii(rom, pnp, 4)).toBe("$PnP");
    expect([...rom.subarray(pnp + 4, pnp + 6)]).toEqual([1, 2]);
    expect(sum(rom.subarray(pnp, pnp + 32))).toBe(0);
  });

  it("sets Bus Master Enable of the function in AX, keeps the rest of COMMAND, and returns", () => {
    const { regs, stack, calls } = execute(Buffer.from(rom), 3, 0x0028);
    expect(calls.map(({ ax, bx, di }) => [ax, bx, di])).toEqual([
      [0xb109, 0x28, 4],
      [0xb10c, 0x28, 4],
    ]);
    expect(calls[1]?.cx).toBe(0x0106);
    expect(regs).toEqual({ ax: 0, bx: 0x1111, cx: 0x2222, dx: 0x3333, di: 0x4444 });
    expect(stack).toEqual([]);
  });
});

describe("DMAR table, Intel D51397 chapter 8", () => {
  it("is the 72 bytes that Linux takes: one unit with one device in its scope", () => {
    const table = Buffer.from(buildDmar(48, [6], 0xfebf_d000n));
    expect([table.length, sum(table)]).toEqual([72, 0]);
    expect(table.subarray(0, 9).toString("hex")).toBe("444d4152".concat("48000000", "01"));
    expect(table.subarray(36).toString("hex")).toBe(
      "2f00".concat("00".repeat(10), "0000", "1800", "00", "00", "0000", "00d0bffe00000000", "0108000000000600"),
    );
  });

  it("reads back without findings, whatever devices it names", () => {
    const { findings, root } = parseDmar(tableBytes("dmar.bin", buildDmar(52, [6, 7, 8])));
    expect(findings.map(({ problem }) => problem)).toEqual(["DMA protection opt-in is not set"]);
    expect(JSON.stringify(root)).toContain("00:08.0");
  });

  function ramWith(place: (ram: Buffer) => void): { ram: GuestRam; memory: Buffer } {
    const memory = Buffer.alloc(8 * MIB);
    place(memory);
    const ram = new GuestRam(
      {
        read(at, into) {
          into.set(memory.subarray(Number(at), Number(at) + into.length));
          return true;
        },
        write(at, from) {
          memory.set(from, Number(at));
          return true;
        },
      },
      0n,
    );
    const map = new DmaMap();
    // RAM in two pieces, with ROM between that is in no file; and above 4 GiB.
    map.map({ address: 0n, size: 0xc0000n, offset: 0n, readable: true, writeable: true });
    map.map({ address: 0xc0000n, size: 0x40000n, offset: 0n, readable: true, writeable: false });
    map.map({ address: 0x100000n, size: 0x300000n, offset: 0x100000n, readable: true, writeable: true });
    map.map({ address: 2n ** 32n, size: 0x400000n, offset: 0x400000n, readable: true, writeable: true });
    ram.useMap(map);
    return { ram, memory };
  }

  it("is found at any byte of low RAM's end, and patched with base and checksum", () => {
    const at = 0x3e22f6;
    const { ram, memory } = ramWith((bytes) => bytes.set(buildDmar(48, [6]), at));
    expect(patchDmar(ram, 0xfebe_0000n)).toBe(BigInt(at));
    const table = memory.subarray(at, at + 72);
    expect([table.readBigUInt64LE(56), sum(table)]).toEqual([0xfebe_0000n, 0]);
    // A second boot may place the registers elsewhere.
    expect(patchDmar(ram, 0xfeb0_0000n)).toBe(BigInt(at));
    expect([table.readBigUInt64LE(56), sum(table)]).toEqual([0xfeb0_0000n, 0]);
  });

  it("is left alone where it is not ours, torn, above 4 GiB or absent", () => {
    const foreign = buildDmar(48, [6]);
    foreign[10] = 0x41;
    const torn = buildDmar(48, [6]);
    torn[4] = 0xff;
    torn[5] = 0xff;
    for (const place of [
      (bytes: Buffer) => bytes.set(foreign, 0x3e0000),
      (bytes: Buffer) => bytes.set(torn, 0x3fff00),
      (bytes: Buffer) => bytes.set(buildDmar(48, [6]), 0x7ff000),
      () => {},
    ]) {
      const { ram, memory } = ramWith(place);
      const before = Buffer.from(memory);
      expect(patchDmar(ram, 0xfebe_0000n)).toBeUndefined();
      expect(memory.equals(before)).toBe(true);
    }
  });
});

const be = (...values: number[]) => {
  const bytes = Buffer.alloc(values.length * 4);
  for (const [i, value] of values.entries()) bytes.writeUInt32BE(value, i * 4);
  return bytes;
};

/** A node for `writeTree`. */
function node(name: string, properties: Record<string, Uint8Array>, ...children: TreeNode[]): TreeNode {
  return { name, properties: new Map(Object.entries(properties)), children };
}

describe("flattened device tree, Devicetree Specification 0.4 chapter 5", () => {
  it("written: the blob of a root with one property, byte by byte", () => {
    const blob = writeTree(node("", { a: be(1) }));
    const structure = be(1, 0, 3, 4, 0, 1, 2, 9);
    const head = be(0xd00dfeed, 40 + 16 + 32 + 2, 56, 88, 40, 17, 16, 0, 2, 32);
    expect(Buffer.from(blob)).toEqual(Buffer.concat([head, Buffer.alloc(16), structure, Buffer.from("a\0")]));
  });

  it("read: NOPs, padded names and shared strings", () => {
    const structure = Buffer.concat([
      be(4, 1, 0, 3, 2, 0),
      Buffer.from([0x68, 0x69, 0, 0]),
      be(1),
      Buffer.from("child@1\0"),
      be(3, 0, 4, 4, 2, 2, 9),
    ]);
    const head = be(0xd00dfeed, 0, 56, 56 + structure.length, 40, 17, 16, 0, 0, 0);
    const blob = Buffer.concat([head, Buffer.alloc(16), structure, Buffer.from("one\0two\0")]);
    const root = parseTree(blob);
    expect([...root.properties]).toEqual([["one", new Uint8Array([0x68, 0x69])]]);
    expect(root.children.map(({ name, properties }) => [name, ...properties.keys()])).toEqual([["child@1", "two"]]);
    expect(parseTree(writeTree(root))).toEqual(root);
  });

  it.each([
    ["no tree", be(1, 2, 3)],
    ["no root", Buffer.concat([be(0xd00dfeed, 0, 40, 44, 40, 17, 16, 0, 0, 0), be(9)])],
    ["cut off", Buffer.from(writeTree(node("", { a: be(1) }))).subarray(0, 70)],
  ])("refuses %s with a RangeError", (_, blob) => {
    expect(() => parseTree(blob)).toThrow(RangeError);
  });

  /** The parts of "virt" that count: interrupt controller, PCI host. */
  const virt = (ranges: Buffer) =>
    writeTree(
      node(
        "",
        { compatible: Buffer.from("linux,dummy-virt\0") },
        node(
          "intc@8000000",
          { compatible: Buffer.from("arm,cortex-a15-gic\0"), phandle: be(0x8002) },
          node("v2m@8020000", { compatible: Buffer.from("arm,gic-v2m-frame\0"), phandle: be(0x8003) }),
        ),
        node("pcie@10000000", {
          compatible: Buffer.from("pci-host-ecam-generic\0"),
          reg: be(0x40, 0x1000_0000, 0, 0x1000_0000),
          ranges,
        }),
      ),
    );
  const RANGES = be(
    ...[0x0100_0000, 0, 0, 0, 0x3eff_0000, 0, 0x1_0000],
    ...[0x0200_0000, 0, 0x1000_0000, 0, 0x1000_0000, 0, 0x2eff_0000],
    ...[0x0300_0000, 0x80, 0, 0x80, 0, 0x80, 0],
  );

  it("of virt gets an SMMU, the devices' map to it, and a window that ends before it", () => {
    const { blob, ecam } = addSmmu(virt(RANGES), 0x30, 16);
    expect(ecam).toBe(0x40_1000_0000n);
    const root = parseTree(blob);
    const smmu = root.children.find(({ name }) => name === "iommu@3e000000");
    expect(Object.fromEntries(smmu?.properties ?? [])).toEqual({
      compatible: new Uint8Array(Buffer.from("arm,smmu-v3\0")),
      reg: new Uint8Array(be(0, 0x3e00_0000, 0, 0x2_0000)),
      "#iommu-cells": new Uint8Array(be(1)),
      "dma-coherent": new Uint8Array(),
      "msi-parent": new Uint8Array(be(0x8003)),
      phandle: new Uint8Array(be(0x8004)),
    });
    const pci = root.children.find(({ name }) => name === "pcie@10000000");
    expect(pci?.properties.get("iommu-map")).toEqual(new Uint8Array(be(0x30, 0x8004, 0x30, 16)));
    const expected = Buffer.from(RANGES);
    expected.writeUInt32BE(0x2e00_0000, 7 * 4 + 24);
    expect(pci?.properties.get("ranges")).toEqual(new Uint8Array(expected));
  });

  it("of another machine is refused, saying what it lacks", () => {
    expect(() => addSmmu(writeTree(node("", {})), 0x30, 8)).toThrow("without pci-host-ecam-generic");
  });
});
