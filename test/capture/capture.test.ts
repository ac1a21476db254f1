import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { parseBdf, parseCapture } from "../../src/capture/capture.ts";
import { InputError } from "../../src/capture/input.ts";

const CAPTURES = fileURLToPath(new URL("../captures/", import.meta.url));
const NAMES = { json: "x.json", pages: "x.pages.bin" };

// biome-ignore lint/suspicious/noExplicitAny: the tests break documents in every way there is
type Document = any;

/** A capture of two pages that is right in every respect. */
function document(): Document {
  return {
    format: "iommu-capture-2",
    name: "x",
    iommu: "vtd",
    machine: "test",
    kernel: "0",
    ram_mb: 16,
    registers: {
      "0x8": "0x222f0606",
      "0xc": "0x80d2008c",
      "0x10": "0x80f00f4a",
      "0x1c": "0xc7000000",
      "0x20": "0x1400",
    },
    devices: { "0000:00:04.0": "0x1b36:0x0010 class=0x010802" },
    pages: [
      { gpa: "0x1000", offset: 0, role: "root table" },
      { gpa: "0xfffffffff000", offset: 4096, role: "context table" },
    ],
    translations: [
      { sid: 32, pasid: null, iova: "0x1000", access: "r", ok: true, gpa: "0x2000", page: "0x1000", perm: "rw" },
      { sid: 32, pasid: 5, iova: "0xffffffffffffffff", access: "w", ok: false, fault: 81 },
    ],
  };
}

const parse = (value: unknown, bytes = 8192) =>
  parseCapture(typeof value === "string" ? value : JSON.stringify(value), new Uint8Array(bytes), NAMES);

/** Parses after `change`, and hands back what the InputError says. */
function refusal(change: (json: Document) => void, bytes?: number): string {
  const json = document();
  change(json);
  try {
    parse(json, bytes);
  } catch (error) {
    expect(error).toBeInstanceOf(InputError);
    const { message } = error as InputError;
    expect(message).not.toContain("\n");
    return message;
  }
  return "accepted";
}

describe("parseCapture", () => {
  it("reads registers, devices, pages and rows", () => {
    const capture = parse(document());
    expect(capture.registers.read64(0x8)).toBe(0x80d2008c_222f0606n);
    expect(capture.registers.read64(0x20)).toBe(0x1400n);
    expect(capture.registers.read32(0xabc)).toBe(0);
    expect(capture.devices).toEqual([{ address: "0000:00:04.0", sid: 0x20, text: "0x1b36:0x0010 class=0x010802" }]);
    expect(capture.pages.pages.map(({ gpa, role }) => [gpa, role])).toEqual([
      [0x1000n, "root table"],
      [0xffff_ffff_f000n, "context table"],
    ]);
    expect(capture.expected[1]).toMatchObject({ pasid: 5, iova: 0xffff_ffff_ffff_ffffn, ok: false, fault: 81 });
    expect(capture.ramBytes).toBe(16n * 1024n * 1024n);
  });

  it("takes a StreamID that is not the PCI address from source_ids", () => {
    const json = document();
    json.source_ids = { "00:04.0": { stream_id: 0x1020 } };
    expect(parse(json).devices[0]?.sid).toBe(0x1020);
  });

  it("lets devices be that are no PCI functions", () => {
    const json = document();
    json.devices = { "arm-smmu-test.0": "platform" };
    expect(parse(json).devices).toEqual([{ address: "arm-smmu-test.0", sid: undefined, text: "platform" }]);
    json.source_ids = { "arm-smmu-test.0": { stream_id: 7 } };
    expect(parse(json).devices[0]?.sid).toBe(7);
  });

  it("names the place of what is missing", () => {
    for (const name of [
      "format",
      "name",
      "iommu",
      "machine",
      "kernel",
      "ram_mb",
      "registers",
      "pages",
      "translations",
    ]) {
      expect(refusal((json) => delete json[name])).toBe(`x.json: ${name}: is missing`);
    }
    expect(refusal((json) => delete json.pages[1].gpa)).toBe("x.json: pages[1].gpa: is missing");
    expect(refusal((json) => delete json.pages[1].offset)).toBe("x.json: pages[1].offset: is missing");
    expect(refusal((json) => delete json.translations[0].gpa)).toBe("x.json: translations[0].gpa: is missing");
    expect(refusal((json) => delete json.registers["0x20"])).toBe('x.json: registers."0x20": is missing');
  });

  it("refuses an unknown format or IOMMU", () => {
    expect(refusal((json) => (json.format = "iommu-capture-9"))).toBe(
      'x.json: format: unknown format "iommu-capture-9", expected "iommu-capture-2"',
    );
    expect(refusal((json) => (json.iommu = "amd"))).toBe('x.json: iommu: "amd" is not one of "vtd", "smmuv3"');
  });

  it.each([
    [
      "registers",
      (json: Document) => (json.registers["0x8"] = "0xzz"),
      'registers."0x8": "0xzz" is not a hexadecimal string',
    ],
    [
      "a register's offset",
      (json: Document) => (json.registers.CAP = "0x1"),
      'registers.CAP: "CAP" is not a hexadecimal offset',
    ],
    ["a wide register", (json: Document) => (json.registers["0x8"] = "0x100000000"), "more than 32 bits"],
    ["a register given twice", (json: Document) => (json.registers["0x08"] = "0x1"), "register 0x8 is given twice"],
    ["a page", (json: Document) => (json.pages[0].gpa = "1000"), 'pages[0].gpa: "1000" is not a hexadecimal string'],
    ["an address", (json: Document) => (json.translations[0].iova = "0x10000000000000000"), "translations[0].iova"],
    [
      "a number where hex belongs",
      (json: Document) => (json.translations[0].gpa = 8192),
      "translations[0].gpa: 8192 is not",
    ],
    ["a source-id", (json: Document) => (json.translations[1].sid = 1 << 16), "translations[1].sid: 65536 is not"],
    ["a PASID", (json: Document) => (json.translations[1].pasid = 1 << 20), "translations[1].pasid: 1048576 is not"],
    [
      "an access",
      (json: Document) => (json.translations[1].access = "rw"),
      'translations[1].access: "rw" is not one of',
    ],
    ["a page list", (json: Document) => (json.pages = {}), "pages: {} is not a list"],
  ])("refuses bad values: %s", (_, change, said) => {
    expect(refusal(change)).toContain(said);
  });

  it("refuses pages that overlap, in memory or in the file", () => {
    expect(refusal((json) => (json.pages[1].gpa = "0x1000"))).toContain("pages[1].gpa: page 0x1000 overlaps");
    expect(refusal((json) => (json.pages[1].offset = 0))).toContain(
      "pages[1].offset: 0 overlaps the bytes of page 0x1000",
    );
    expect(refusal((json) => (json.pages[1].gpa = "0x1800"))).toContain(
      "0x1800 is not the address of a 4096-byte page",
    );
    expect(refusal((json) => (json.pages[1].offset = 100))).toContain("pages[1].offset: 100 is not a multiple of 4096");
  });

  it("refuses a pages file that ends early, late or never began", () => {
    expect(refusal(() => {}, 8191)).toBe(
      "x.pages.bin: byte 8191: the file ends, page 0xfffffffff000 (pages[1]) needs bytes 4096..8191",
    );
    expect(refusal(() => {}, 0)).toContain("x.pages.bin: byte 0: the file ends, page 0x1000");
    expect(refusal(() => {}, 12288)).toBe("x.pages.bin: byte 8192: 12288 bytes, but 2 pages are listed (8192 bytes)");
    expect(refusal((json) => (json.pages[1].offset = 2 ** 40))).toContain("x.pages.bin: byte 8192: the file ends");
  });

  it("refuses torn JSON, whatever the tear", () => {
    const text = JSON.stringify(document());
    for (const end of [0, 1, 40, text.length >> 1, text.length - 1]) {
      expect(() => parse(text.slice(0, end))).toThrow(/^x\.json: not JSON: [^\n]*$/);
    }
    expect(() => parse("[]")).toThrow("x.json: [] is not an object");
  });
});

describe("captured pages as guest memory", () => {
  it("reads what was captured and nothing else", () => {
    const bytes = new Uint8Array(8192).fill(0x11, 0, 4096).fill(0x22, 4096);
    const memory = parseCapture(JSON.stringify(document()), bytes, NAMES).pages.memory();
    expect(memory.read64(0x1ff8n)).toBe(0x1111_1111_1111_1111n);
    expect(memory.read64(0xffff_ffff_f000n)).toBe(0x2222_2222_2222_2222n);
    expect(() => memory.read64(0x2000n)).toThrow(/0x2000/);
    const buffer = memory.core.allocate(16);
    expect(memory.core.exports.copyFromGuest(buffer, 0x1ff8n, 8)).toBe(1);
    expect(memory.core.exports.copyFromGuest(buffer, 0x2000n, 8)).toBe(0);
  });

  it("is private: writing leaves the capture as it was", () => {
    const capture = parse(document());
    capture.pages.memory().write64(0x1000n, 1n);
    expect(capture.pages.memory().read64(0x1000n)).toBe(0n);
  });

  it("is private too when the pages came in a Buffer, as files do", () => {
    const capture = parseCapture(JSON.stringify(document()), Buffer.alloc(8192), NAMES);
    capture.pages.memory().write64(0x1000n, 1n);
    expect(capture.pages.memory().read64(0x1000n)).toBe(0n);
  });
});

describe("PCI addresses", () => {
  it.each([
    ["00:04.0", 0x20],
    ["0000:00:04.0", 0x20],
    ["ff:1f.7", 0xffff],
    ["0:6.1", 0x31],
    ["10000:80:02.3", 0x8013],
  ])("%s", (text, sid) => expect(parseBdf(text)).toBe(sid));
  it.each(["", "32", "00:20.0", "00:04.8", "100:04.0", "00:04", "g0:04.0"])("not %s", (text) =>
    expect(parseBdf(text)).toBeUndefined(),
  );
});

describe("shipped captures", () => {
  const files = readdirSync(CAPTURES).filter((name) => name.endsWith(".json"));

  it("are there, both vendors", () => expect(files.length).toBeGreaterThanOrEqual(12));

  it.each(files)("%s parses", (file) => {
    const pages = file.replace(".json", ".pages.bin");
    const text = readFileSync(CAPTURES + file, "utf8");
    const raw = JSON.parse(text);
    const capture = parseCapture(text, readFileSync(CAPTURES + pages), { json: file, pages });
    expect(capture.expected.length).toBe(raw.translations.length);
    expect(capture.pages.pages.length).toBe(raw.pages.length);
    expect(capture.pasids.length).toBe(Object.keys(raw.pasids ?? {}).length);
    expect(capture.registers.read32(0x0)).toBe(Number(raw.registers["0x0"]));
  });
});
