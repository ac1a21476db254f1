/** Captures printed as debugfs prints them: the walk out of the text goes as the walk over the tables. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Capture } from "../../../src/capture/capture.ts";
import type { MachineImage } from "../../../src/capture/image/image.ts";
import { openText } from "../../../src/capture/image/text-image.ts";
import { chooseUnit } from "../../../src/capture/image/unit.ts";
import { InputError } from "../../../src/capture/input.ts";
import { openWalker } from "../../../src/capture/state.ts";
import { requestOf } from "../../../src/capture/verify.ts";
import { dmarTranslationStruct, domainTranslationStruct } from "../../support/dumps/debugfs.ts";
import { CAPTURE_NAMES, readCapture } from "../../support/dumps/pages.ts";
import { runs, seed } from "../../support/runs.ts";

const VTD = CAPTURE_NAMES.filter((name) => name.includes("vtd"));

const BOOT = (capture: Capture) =>
  `DMAR: dmar0: reg_base_addr fed90000 ver 1:0 cap ${capture.registers.read64(0x8).toString(16)} ecap ${capture.registers.read64(0x10).toString(16)}\n`;

function imageOf(text: string, unit?: string): MachineImage {
  const found = openText(text, "text", unit);
  if (!found) throw new Error("not recognised");
  return { name: "text", ...found, ...chooseUnit("text", found.texts, { unit }) };
}

const TABLES = ["root entry", "context entry", "scalable root entry", "scalable context entry", "PASID table entry"];

describe.each(VTD)("%s", (name) => {
  const capture = readCapture(name);
  const original = openWalker(capture);
  const { text, domains } = dmarTranslationStruct(capture);

  it("dmar_translation_struct: the walk up to the page tables is the same", () => {
    const image = imageOf(BOOT(capture) + text);
    expect(image.registers.read64(0x20)).toBe(capture.registers.read64(0x20));
    expect(image.registers.read64(0x8)).toBe(capture.registers.read64(0x8));
    const walker = openWalker(image);
    let compared = 0;
    for (const row of capture.expected) {
      const expected = original.trace(requestOf(row));
      const found = walker.trace(requestOf(row));
      const entries = (steps: typeof found.steps) =>
        steps
          .filter(({ structure }) => TABLES.includes(structure))
          .map(({ structure, words }) => [structure, words.slice(0, 3)]);
      const reached = entries(found.steps);
      expect(reached).toEqual(entries(expected.steps));
      expect(reached.length).toBeGreaterThan(0);
      // Whatever is decided before the page tables is decided alike.
      if (expected.steps.some(({ stage }) => stage > 0)) continue;
      expect(found.outcome.ok).toBe(expected.outcome.ok);
      if (!expected.outcome.ok && !found.outcome.ok) expect(found.outcome.code).toBe(expected.outcome.code);
      else expect(found.outcome).toEqual(expected.outcome);
      compared++;
    }
    expect(compared).toBeGreaterThan(0);
  });

  it("with domain_translation_struct: every translation is the capture's", () => {
    const pages = domains.map((domain) => domainTranslationStruct(capture, domain)).join("");
    const image = imageOf(BOOT(capture) + text + pages);
    const walker = openWalker(image);
    for (const row of capture.expected) {
      const expected = original.translate(requestOf(row));
      const found = walker.translate(requestOf(row));
      expect(found.ok).toBe(expected.ok);
      if (expected.ok) expect(found).toEqual(expected);
    }
  });
});

describe("text from debugfs", () => {
  const capture = readCapture("A-vtd-sva-pt");
  const { text } = dmarTranslationStruct(capture);

  it("names the page that debugfs has no place for", () => {
    const { pages } = imageOf(BOOT(capture) + text);
    expect(pages.role(capture.registers.read64(0x20))).toBe("root table");
    expect(pages.note?.(capture.registers.read64(0x20))).toBe("");
    expect(pages.role(0x1000n)).toBe("PASID table");
    expect(pages.note?.(0x1000n)).toContain("debugfs does not say where this entry lies");
  });

  it("of several units, the one that is chosen", () => {
    const other = text.replace("dmar0", "dmar1").replace(/0x[0-9a-f]+$/m, "0x7000");
    const both = text + other;
    expect(() => imageOf(both)).toThrow("text: several units, dmar0, dmar1: choose one with --unit");
    expect(() => imageOf(both + BOOT(capture), "dmar1")).toThrow("missing: CAP, ECAP");
    expect(imageOf(both + BOOT(capture), "dmar0").registers.read64(0x20)).toBe(capture.registers.read64(0x20));
  });

  it("a unit that does not translate", () => {
    const image = imageOf(`DMA Remapping is not enabled on dmar0\nRTADDR 0\n${BOOT(capture)}`);
    expect(openWalker(image).translate({ sid: 0, address: 0x1234n })).toMatchObject({
      ok: true,
      bypass: true,
      address: 0x1234n,
    });
  });

  it("lspci in the same text: ATS, PASID and page requests", () => {
    const lspci = `00:06.0 Class 0880: Device 1234:11e8 (rev 10)
\tCapabilities: [100 v1] Address Translation Service (ATS)
\t\tATSCap:\tInvalidate Queue Depth: 00
\t\tATSCtl:\tEnable+, Smallest Translation Unit: 00
\tCapabilities: [108 v1] Page Request Interface (PRI)
\t\tPRICtl: Enable- Reset-
\tCapabilities: [118 v1] Process Address Space ID (PASID)
\t\tPASIDCap: Exec- Priv+, Max PASID Width: 14
\t\tPASIDCtl: Enable+ Exec- Priv-
0000:00:1f.2 SATA controller: Intel Corporation
`;
    expect(imageOf(BOOT(capture) + text + lspci).devices).toEqual([
      { address: "00:06.0", sid: 0x30, text: "Class 0880: Device 1234:11e8 (rev 10), ATS on, PRI off, PASID on" },
      { address: "0000:00:1f.2", sid: 0xfa, text: "SATA controller: Intel Corporation" },
    ]);
  });

  it("a table beyond 52 address bits, or more tables than any text has", () => {
    const far = `IOMMU dmar0: Root Table Address: 0x1000\n00:00.0\t0x0:0xfff0000000000001\t0x0:0x1\t-1\t0x0:0x0:0x0\n`;
    expect(() => imageOf(far)).toThrow("text: line 2: a table at 0xfff0000000000000, beyond 52 address bits");
    const rows = Array.from(
      { length: 40_000 },
      (_, i) => `00:00.0\t0x0:0x${(i + 2).toString(16)}001\t0x0:0x1\t-1\t0x0:0x0:0x0`,
    );
    expect(() => imageOf(`IOMMU dmar0: Root Table Address: 0x1000\n${rows.join("\n")}`)).toThrow(
      "more than 32768 pages of tables",
    );
  });

  it("damaged at random: an InputError, or walks", () => {
    const whole = BOOT(capture) + text + domainTranslationStruct(capture, dmarTranslationStruct(capture).domains[0]!);
    const piece = fc.record({
      at: fc.nat(),
      cut: fc.nat(60),
      put: fc.oneof(fc.string({ maxLength: 20 }), fc.constantFrom("0xffffffffffffffff", "\n", "-1", ":", "0x")),
    });
    fc.assert(
      fc.property(fc.array(piece, { minLength: 1, maxLength: 5 }), (pieces) => {
        const torn = pieces.reduce(
          (was, { at, cut, put }) => was.slice(0, at % was.length) + put + was.slice((at % was.length) + cut),
          whole,
        );
        try {
          const walker = openWalker(imageOf(torn, "dmar0"));
          for (const row of capture.expected.slice(0, 10)) walker.translate(requestOf(row));
        } catch (error) {
          if (!(error instanceof InputError) && (error as Error).message !== "not recognised") throw error;
        }
      }),
      { numRuns: runs(150, 5_000), seed },
    );
  });
});
