/** `decode`, `encode` and `fields`: structures by name. */
import { describe, expect, it } from "vitest";
import { run, width } from "./run.ts";

interface Decoded {
  structure: string;
  fields: { name: string; value: string; meaning: string | null }[];
  findings: { bits: string; field: string | null; value: string; problem: string }[];
}

async function decode(...argv: string[]): Promise<Decoded & { code: number; value(name: string): string | undefined }> {
  const { code, out, err } = await run(["decode", ...argv, "--json"]);
  expect(err).toBe("");
  const decoded = JSON.parse(out) as Decoded;
  return { ...decoded, code, value: (name) => decoded.fields.find((field) => field.name === name)?.value };
}

describe("decode", () => {
  // Written by Linux for PASID 1, as the capture A-vtd-sva holds it.
  const PASID_ENTRY = ["0x49", "0x800001", "0x2bec004"];

  it("names the fields of a PASID entry that Linux wrote", async () => {
    const { code, value, findings } = await decode("vtd.pasid-entry", ...PASID_ENTRY);
    expect([code, findings]).toEqual([0, []]);
    expect(["P", "AW", "PGTT", "DID", "PWSNP", "FSPM", "FSPTPTR"].map(value)).toEqual([
      "0x1",
      "0x2",
      "0x1",
      "0x1",
      "0x1",
      "0x1",
      "0x2bec000",
    ]);
  });

  it("prints them in 80 columns, and says which words it had to make up", async () => {
    const { code, out } = await run(["decode", "vtd.pasid-entry", ...PASID_ENTRY]);
    expect(code).toBe(0);
    expect(out).toContain("5 words were not given: taken as 0");
    expect(out).toMatch(/191:140 +FSPTPTR +0x2bec000 +first-stage page table/);
    expect(width(out)).toBeLessThanOrEqual(80);
  });

  it.each([
    ["vtd.root-entry", ["0x803"], ["11:1"]],
    ["vtd.scalable-root-entry", ["0x1003", "0x1002"], ["11:1"]],
    ["vtd.scalable-root-entry", ["0x1002", "0x1003"], ["75:65"]],
    ["vtd.context-entry", ["0x11", "0x82"], ["11:4", "71"]],
    ["vtd.context-entry", ["0xd", "0x2"], ["3:2"]],
    ["vtd.scalable-context-entry", ["0x81", "0x200000", "0", "0x1"], ["8:7", "127:85", "255:192"]],
    ["vtd.pasid-dir-entry", ["0x1005"], ["11:2"]],
    ["vtd.pasid-entry", ["0x69", "0x1", "0x2bec004"], ["5"]],
    ["vtd.pasid-entry", ["0x149", "0x1"], ["8:6"]],
    ["vtd.pasid-entry", ["0x49", "0x1", "0x6"], ["129"]],
    ["vtd.fs-pte.level2", ["0x2081"], ["20:13"]],
    ["vtd.fs-pte.level4", ["0x81"], ["7"]],
    ["vtd.ss-pte.level3", ["0x1083"], ["29:12"]],
    ["vtd.irte", ["0x4001"], ["14:12"]],
    ["vtd.irte", ["0x1000001"], ["31:24"]],
    ["vtd.descriptor", ["0x100000000000001", "0"], ["63:50", "5:4"]],
    ["smmu.ste", ["0x9", "0x8000000000000000"], ["127:116"]],
    ["smmu.cd", ["0x80000040"], ["23:22"]],
    ["smmu.cd", ["0xc0000040"], []],
    ["smmu.ste", ["0xb", "0", "0xc00000000000"], []],
    ["smmu.ste", ["0xd", "0", "0xc00000000000"], ["175:174"]],
  ])("%s %j: bits %j break a rule", async (name, words, bits) => {
    const { code, findings } = await decode(name as string, ...(words as string[]));
    expect(findings.map((finding) => finding.bits).sort()).toEqual([...(bits as string[])].sort());
    expect(code).toBe(bits.length > 0 ? 1 : 0);
  });

  // What A-vtd-sl recorded: scalable mode without first stage or snoop control, domain 0 kept by caching mode.
  const CAPABILITIES = ["--cap", "0x80d2008c222f0686", "--ecap", "0x480000f00f4a"];

  it.each([
    ["vtd.ss-pte.level2", ["0x1234400883"], ["11"]],
    ["vtd.ss-pte", ["0x1000000001003"], ["51:48"]],
    ["vtd.pasid-entry", ["0x2bec085", "0x1000001"], ["90:87"]],
    ["vtd.pasid-entry", ["0x2bec049", "0x1"], ["8:6"]],
    ["vtd.pasid-entry", ["0x2bec085", "0"], ["79:64"]],
    ["vtd.context-entry", ["0x2bec001", "0x104"], ["66:64"]],
  ])("%s %j break a rule of a unit without these capabilities: bits %j", async (name, words, bits) => {
    const { code, findings } = await decode(name, ...words, ...CAPABILITIES);
    expect(findings.map((finding) => finding.bits)).toEqual(bits);
    expect(code).toBe(1);
  });

  it("capabilities go together, and with VT-d's table entries", async () => {
    expect((await run(["decode", "vtd.pasid-entry", "1", "--cap", "1"])).err).toContain("--cap and --ecap go together");
    expect((await run(["decode", "smmu.ste", "1", ...CAPABILITIES])).err).toContain("smmu.ste is none");
  });

  it("what is not present breaks no rule", async () => {
    const { code, findings } = await decode("vtd.pasid-entry", "0xffffffffffffffc0");
    expect([code, findings]).toEqual([0, []]);
  });

  it("descriptors, events and commands tell themselves apart", async () => {
    // linux: QI_IWD_TYPE | QI_IWD_STATUS_WRITE, status data 2 (QI_DONE), status address.
    const wait = await decode("vtd.descriptor", "0x0000000200000025", "0x100001000");
    expect(wait.structure).toBe("vtd.descriptor.inv_wait");
    expect([wait.value("SW"), wait.value("STATUS_DATA"), wait.value("STATUS_ADDR")]).toEqual([
      "0x1",
      "0x2",
      "0x100001000",
    ]);
    // linux: EVTQ_1_RnW is bit 35, EVTQ_1_CLASS bits 41:40 of the second word.
    const event = await decode("smmu.event", "0x0000000500002810", "0x0000020800000000", "0xfffff000", "0");
    expect(event.structure).toBe("smmu.event.F_TRANSLATION");
    const names = ["StreamID", "SubstreamID", "RnW", "CLASS", "InputAddr"];
    expect(names.map(event.value)).toEqual(["0x5", "0x2", "0x1", "0x2", "0xfffff000"]);
    const command = await decode("smmu.command", "0x46", "0");
    expect(command.structure).toBe("smmu.command.CMD_SYNC");
  });

  it("reads the capabilities of real machines", async () => {
    const client = await decode("vtd.cap", "0x01c0000c40660462");
    expect(["ND", "SAGAW", "MGAW", "ZLR", "PSI", "FRO"].map(client.value)).toEqual([
      "0x2",
      "0x4",
      "0x26",
      "0x1",
      "0x0",
      "0x40",
    ]);
    const server = await decode("vtd.ecap", "0x0003ee9e86f050df");
    expect(["SMTS", "FSTS", "PASID", "PSS", "NEST", "RPS"].map(server.value)).toEqual([
      "0x1",
      "0x1",
      "0x0",
      "0x13",
      "0x1",
      "0x1",
    ]);
  });
});

describe("encode", () => {
  it("makes the words that Linux writes", async () => {
    const { out } = await run([
      "encode",
      "vtd.pasid-entry",
      "P=1",
      "AW=2",
      "PGTT=1",
      "DID=1",
      "PWSNP=1",
      "FSPM=1",
      "FSPTPTR=0x2bec000",
    ]);
    expect(out.split("\n").slice(0, 4)).toEqual([
      "0x0000000000000049",
      "0x0000000000800001",
      "0x0000000002bec004",
      "0x0000000000000000",
    ]);
  });

  it("knows the type of descriptors and the opcode of commands", async () => {
    const wait = await run(["encode", "vtd.descriptor.inv_wait", "sw=1", "status_data=2", "STATUS_ADDR=0x100001000"]);
    expect(wait.out.split("\n").slice(0, 2)).toEqual(["0x0000000200000025", "0x0000000100001000"]);
    const sync = await run(["encode", "smmu.command.cmd_sync", "CS=2", "--json"]);
    expect(JSON.parse(sync.out)).toEqual({
      structure: "smmu.command.CMD_SYNC",
      words: ["0x0000000000002046", "0x0000000000000000"],
    });
  });
});

describe("fields", () => {
  it("lists every structure, and prints the layout of each", async () => {
    const { out } = await run(["fields", "--json"]);
    const names = (JSON.parse(out) as { name: string }[]).map(({ name }) => name);
    expect(names.length).toBeGreaterThan(40);
    for (const name of names) {
      const { code, out: table } = await run(["fields", name]);
      expect(code, name).toBe(0);
      expect(width(table), name).toBeLessThanOrEqual(80);
      expect(table.split("\n").length, name).toBeGreaterThan(2);
    }
  });

  it("covers all of a context entry, with what is reserved", async () => {
    const { out } = await run(["fields", "vtd.context-entry", "--json"]);
    const { fields } = JSON.parse(out) as { fields: { name: string | null; msb: number; lsb: number }[] };
    const covered = fields.reduce((sum, { msb, lsb }) => sum + msb - lsb + 1, 0);
    expect(covered).toBe(128);
    expect(fields.filter(({ name }) => name === null).map(({ msb, lsb }) => `${msb}:${lsb}`)).toEqual([
      "11:4",
      "71:71",
      "127:88",
    ]);
  });
});
