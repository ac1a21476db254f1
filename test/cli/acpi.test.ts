/** `acpi`: DMAR and IORT tables, whole and broken. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { parseDmar } from "../../src/capture/acpi/dmar.ts";
import { parseIort } from "../../src/capture/acpi/iort.ts";
import { tableBytes } from "../../src/capture/acpi/table.ts";
import { InputError } from "../../src/capture/input.ts";
import { runs, seed } from "../support/runs.ts";
import { DMAR_BY_IASL, IORT_BY_IASL } from "./acpi-tables.ts";
import { run, width } from "./run.ts";

const CORPUS = fileURLToPath(new URL("../corpus/", import.meta.url));
let folder = "";

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "acpi-"));
});
afterAll(() => rmSync(folder, { recursive: true }));

/** The bytes of a dump, read by other means than the tool's. */
function binary(name: string): Uint8Array {
  const text = readFileSync(`${CORPUS}${name}.acpidump`, "utf8");
  const table = text.slice(text.indexOf(`${name.toUpperCase()} @`)).split("\n\n")[0] as string;
  const digits = table
    .split("\n")
    .slice(1)
    .map((line) => line.slice(10, 58).trim());
  return Uint8Array.from(
    digits
      .join(" ")
      .split(/ +/)
      .filter(Boolean)
      .map((byte) => Number.parseInt(byte, 16)),
  );
}

function file(name: string, bytes: Uint8Array): string {
  const path = join(folder, name);
  writeFileSync(path, bytes);
  return path;
}

/** The table with its checksum put right. */
function sealed(bytes: Uint8Array): Uint8Array {
  const table = Uint8Array.from(bytes);
  table[9] = 0;
  table[9] = 256 - (table.reduce((sum, byte) => sum + byte, 0) % 256);
  return table;
}

describe("tables made by another program", () => {
  it("DMAR: every field is where iasl puts it", async () => {
    const { out } = await run(["acpi", file("by-iasl.dmar", DMAR_BY_IASL)]);
    for (const line of [
      "host address width: 39 bits",
      "DRHD: unit at 0xfed91000 (at 0x30)",
      "IOAPIC f0:1f.7\n      id: 2",
      "RMRR: firmware's memory 0x7b800000 to 0x7fffffff (at 0x48)\n    segment: 0x0001\n    PCI endpoint 00:00.2",
      "ATSR: root ports that do ATS (at 0x68)",
      "PCI bridge and what is below 00:00.3",
      "RHSA: unit at 0xfed91000 (at 0x78)\n    proximity domain: 3",
    ]) {
      expect(out).toContain(line);
    }
    expect(out).not.toContain("checksum");
  });

  it("IORT: every field is where iasl puts it", async () => {
    const { code, out } = await run(["acpi", file("by-iasl.iort", IORT_BY_IASL)]);
    for (const line of [
      "ITS group (at 0x34)\n    ITS: 9",
      "named component \\_SB.PCI0.DEV0 (at 0x4c)\n    address size: 40 bits",
      "ids 0x0 to 0x0 -> 0x42 on, to SMMUv3 at 0xa050000",
      "PCI root complex, segment 0x0002 (at 0xcc)\n    ATS: supported",
      "ids 0x100 to 0xffff -> 0x10100 on, to SMMUv3 at 0xa050000",
      "SMMUv1 or v2 at 0x9050000 (at 0x104)",
      "SMMUv3 at 0xa050000 (at 0x164)\n    coherent: as firmware says",
      "interrupts: event 106, PRI 107, error 109, sync 108",
      "PMCG at 0xb050000 (at 0x1bc)\n    itself -> 0x0, to ITS group",
    ]) {
      expect(out).toContain(line);
    }
    expect(code).toBe(0);
  });
});

describe("DMAR", () => {
  it("is a tree of units, regions and devices", async () => {
    const { code, out } = await run(["acpi", `${CORPUS}dmar.acpidump`]);
    for (const line of [
      "host address width: 39 bits",
      "DMA protection opt-in: set",
      "DRHD: unit at 0xfed90000",
      "PCI endpoint 00:02.0",
      "every PCI device that no other unit names",
      "IOAPIC f0:1f.7",
      "RMRR: firmware's memory 0x7b800000 to 0x7fffffff",
      "PCI bridge and what is below 00:1c.0 -> 00.0",
      "ANDD: ACPI device \\_SB.I2C0",
    ]) {
      expect(out).toContain(line);
    }
    expect(out).toContain("region 0x7ff00000 overlaps 0x7b800000 to 0x7fffffff");
    expect(width(out)).toBeLessThanOrEqual(80);
    expect(code).toBe(1);
  });

  it("reads the same from a binary", async () => {
    const [text, bytes] = await Promise.all([
      run(["acpi", `${CORPUS}dmar.acpidump`, "--json"]),
      run(["acpi", file("DMAR", binary("dmar")), "--json"]),
    ]);
    expect(JSON.parse(bytes.out)).toEqual(JSON.parse(text.out));
  });

  it.each([
    ["a checksum", 9, 0, "the checksum is wrong", false],
    ["no opt-in", 37, 1, "DMA protection opt-in is not set", true],
    ["a base that is no page", 56, 1, "is no page", true],
    ["a unit that serves all, and another after it", 52, 1, "serves all other devices of its segment", true],
  ] as const)("finds %s", (_, at, value, said, seal) => {
    const bytes = binary("dmar");
    bytes[at] = value;
    const { findings } = parseDmar(tableBytes("x", seal ? sealed(bytes) : bytes));
    expect(findings.map(({ problem }) => problem).join()).toContain(said);
  });
});

describe("IORT", () => {
  it("says which StreamIDs devices get", async () => {
    const { code, out } = await run(["acpi", `${CORPUS}iort.acpidump`]);
    expect(out).toContain("SMMUv3 at 0x9050000");
    expect(out).toContain("ids 0x0 to 0xff -> 0x100 on, to SMMUv3 at 0x9050000");
    expect(out).toContain("ids 0x100 to 0x1ff -> 0x800 on, to SMMUv3 at 0x9050000");
    expect(out).toContain("memory: 0x90000000, 0x100000 bytes");
    expect(width(out)).toBeLessThanOrEqual(80);
    expect(code).toBe(0);
  });
});

describe("broken tables: exit 3 with file and offset", () => {
  it.each([
    ["nothing", new Uint8Array(0), "is neither a DMAR or IORT table"],
    ["another table", new TextEncoder().encode("FACP and so on"), "is neither a DMAR or IORT table"],
    ["a torn one", binary("dmar").subarray(0, 60), "offset 0x4: the table says"],
    [
      "a structure that reaches out",
      binary("dmar").map((byte, i) => (i === 50 ? 255 : byte)),
      "offset 0x30: a structure of 255 bytes",
    ],
    [
      "a structure of nothing",
      binary("dmar").map((byte, i) => (i === 50 ? 0 : byte)),
      "offset 0x30: a structure of 0 bytes",
    ],
  ] as const)("%s", async (name, bytes, said) => {
    const { code, out, err } = await run(["acpi", file(name, bytes)]);
    expect([code, out]).toEqual([3, ""]);
    expect(err).toContain(said);
  });

  it("any damage ends in a tree or an InputError", () => {
    const property = fc.property(
      fc.constantFrom("dmar", "iort"),
      fc.array(fc.tuple(fc.nat(400), fc.nat(255)), { maxLength: 8 }),
      (name, damage) => {
        const bytes = binary(name);
        for (const [at, value] of damage) if (at > 7 && at < bytes.length) bytes[at] = value;
        const parse = name === "dmar" ? parseDmar : parseIort;
        try {
          expect(parse(tableBytes(name, bytes)).root.offset).toBe(0);
        } catch (error) {
          expect(error).toBeInstanceOf(InputError);
        }
      },
    );
    fc.assert(property, { numRuns: runs(500, 20000), seed });
  });
});
