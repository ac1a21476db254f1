/** `explain` from the outside: where the text comes from, and how the answer looks. */
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { run, width } from "./run.ts";

const CORPUS = fileURLToPath(new URL("../corpus/", import.meta.url));
const FAULT =
  "DMAR: [DMA Write PASID 0x2] Request device [6a:01.0] fault addr 0x7f3a6ac12000 [fault reason 0x59] SM: Present bit in PASID Table is clear";

async function findings(argv: readonly string[], input?: string): Promise<Record<string, unknown>[]> {
  const { code, out, err } = await run(["explain", ...argv, "--json"], input === undefined ? {} : { input });
  expect([code, err]).toEqual([0, ""]);
  return (JSON.parse(out) as { findings: Record<string, unknown>[] }).findings;
}

describe("explain", () => {
  const WANTED = [
    { vendor: "vtd", code: "0x59", name: "SPT.2", sid: "0x6a08", pasid: "0x2", iova: "0x7f3a6ac12000", access: "w" },
  ];

  it("takes the text as an argument, as several, on standard input, or in a file", async () => {
    expect(await findings([FAULT])).toMatchObject(WANTED);
    expect(await findings(FAULT.split(" "))).toMatchObject(WANTED);
    expect(await findings([], `noise\n${FAULT}\n`)).toMatchObject(WANTED);
    expect(await findings(["-"], FAULT)).toMatchObject(WANTED);
    expect(await findings([`${CORPUS}vtd-shapes.txt`])).toHaveLength(6);
  });

  it("says what, which rule, which entry, why, and what to run, in 80 columns", async () => {
    const { code, out } = await run(["explain", `${CORPUS}vtd-dump-pages.txt`]);
    expect(code).toBe(0);
    expect(out).toContain("reason 0x85 SGN.6: device 00:06.0, PASID 0x1, write at 0x7f0001234000");
    expect(out).toContain("SGN.6: the path grants writing (VT-d 3.6.1)");
    expect(out).toMatch(/tables +walked again: 0x85 SGN\.6, first-stage entry at 0x20071a0/);
    expect(out).toContain("as the hardware said");
    expect(out).toMatch(/likely +1\. /);
    expect(out).toMatch(/next +\S/);
    expect(out).toContain("0 other lines passed over");
    expect(width(out)).toBeLessThanOrEqual(80);
  });

  it("says what it looks for where there is nothing", async () => {
    const { code, out } = await run(["explain"], { input: "hello\nworld\n" });
    expect(code).toBe(0);
    expect(out).toContain("Nothing about an IOMMU was found in 2 other lines");
    expect(await findings([], "")).toEqual([]);
  });

  it.each([
    ["/no/such/file", "cannot be read (ENOENT), and is no line of a log"],
    [CORPUS, "is not a file"],
  ])("%s: exit 3", async (path, said) => {
    const { code, out, err } = await run(["explain", path]);
    expect([code, out]).toEqual([3, ""]);
    expect(err).toContain(said);
  });
});
