import { describe, expect, it } from "vitest";
import { CAPTURES, run, width } from "./run.ts";

const VERBS = [
  "demo",
  "list",
  "walk",
  "translate",
  "verify",
  "replay",
  "scenario",
  "explain",
  "decode",
  "encode",
  "fields",
  "acpi",
  "vfio-user",
];
const SVA = `${CAPTURES}A-vtd-sva.json`;

describe("help", () => {
  it("overview lists every verb and the exit codes", async () => {
    for (const argv of [[], ["--help"], ["-h"], ["help"]]) {
      const { code, out } = await run(argv);
      expect(code).toBe(0);
      for (const verb of VERBS) expect(out).toContain(`  ${verb} `);
      expect(out).toContain("0 fine, 1 findings, 2 wrong arguments, 3 bad input");
    }
  });

  it("--version is the package's", async () => {
    const { code, out } = await run(["--version"]);
    expect([code, out]).toEqual([0, `${process.env.npm_package_version ?? "0.1.0"}\n`]);
    expect((await run(["walk", "--version"])).out).toBe(out);
  });

  it.each(VERBS)("%s --help fits 80 columns and its example works", async (verb) => {
    const { code, out } = await run([verb, "--help"]);
    expect(code).toBe(0);
    expect(out).toContain(`usage: iommulator ${verb}`);
    expect(width(out)).toBeLessThanOrEqual(80);
    const example = out.slice(out.indexOf("example:")).replaceAll("\\\n", " ");
    const command = /npm run -s cli -- (.*)/.exec(example)?.[1] ?? "";
    const argv = command.trim().split(/\s+/);
    expect(argv[0]).toBe(verb);
    // The shell would expand the star.
    const files = argv.map((word) => (word.endsWith("*.json") ? SVA : word));
    const input = /echo '([^']*)'/.exec(example)?.[1];
    const result = await run(files, input === undefined ? {} : { input });
    expect(result.err).toBe("");
    expect(result.code).toBe(0);
    expect(result.out.length).toBeGreaterThan(30);
  });
});

describe("wrong arguments: exit 2, one line and the accepted form", () => {
  it.each([
    [["fly"], '"fly" is not a verb'],
    [["list"], "an image is missing"],
    [["list", "a", "b"], '"b" is one argument too many'],
    [["list", "a", "--colour"], "Unknown option '--colour'"],
    [["demo", "a"], '"a" is one argument too many'],
    [["walk", SVA, "--iova", "0x1000"], "--sid is missing"],
    [["walk", SVA, "--sid", "00:06.0"], "--iova is missing"],
    [
      ["walk", SVA, "--sid", "00:06", "--iova", "0"],
      '--sid: "00:06" is not a device (bb:dd.f, ssss:bb:dd.f, 0x20 or 32)',
    ],
    [["walk", SVA, "--sid", "0x10000", "--iova", "0"], "--sid: 0x10000 is above 0xffff"],
    [["walk", SVA, "--sid", "0", "--iova", "1g"], '--iova: "1g" is not a 64-bit address'],
    [["walk", SVA, "--sid", "0", "--iova", "0x10000000000000000"], "is not a 64-bit address"],
    [["walk", SVA, "--sid", "0", "--iova", "0", "--pasid", "0x100000"], '--pasid: "0x100000" is not a PASID'],
    [["walk", SVA, "--sid", "0", "--iova", "0", "--access", "rw"], '--access: "rw" is not r, w or x'],
    [["walk", SVA, "--sid", "0", "--iova", "0", "--priv=1"], "--priv"],
    [["translate", SVA], "--requests is missing"],
    [["verify"], "a capture is missing"],
    [["scenario"], "a file is missing"],
    [["decode"], "STRUCTURE or WORD is missing"],
    [["decode", "vtd.pasid-entry"], "STRUCTURE or WORD is missing"],
    [["decode", "vtd.pasid", "1"], '"vtd.pasid" is no structure; is it vtd.pasid-dir-entry, vtd.pasid-entry?'],
    [["decode", "nothing", "1"], '"nothing" is no structure; "fields" lists them'],
    [["decode", "vtd.cap", "8d2078c106f0466"], "is not a number (decimal or 0x..); write 0x8d2078c106f0466"],
    [["decode", "vtd.cap", "0x10000000000000000"], "has more than 64 bits"],
    [["decode", "vtd.cap", "1", "2"], "vtd.cap has 1 word, not 2"],
    [["decode", "smmu.idr0", "0x100000000"], "smmu.idr0 has 32 bits, 0x100000000 has more"],
    [["decode", "smmu.event", "0xff"], "smmu.event: event 0xff does not exist"],
    [["encode"], "STRUCTURE is missing"],
    [["encode", "vtd.root-entry", "P"], '"P" is not FIELD=VALUE'],
    [["encode", "vtd.root-entry", "Q=1"], 'vtd.root-entry has no field "Q"; it has P, CTP'],
    [["encode", "vtd.root-entry", "P=2"], "P: bits 0:0: 0x2 is not in 0x0..0x1"],
    [["encode", "vtd.root-entry", "CTP=0x123"], "CTP: address: 0x123 is not aligned to bit 12"],
    [["encode", "smmu.command"], "smmu.command is one of many: smmu.command.CMD_PREFETCH_CONFIG"],
    [["acpi"], "a table is missing"],
    [["fields", "a", "b"], '"b" is one argument too many'],
  ])("%j", async (argv, said) => {
    const { code, out, err } = await run(argv as string[]);
    expect(code).toBe(2);
    expect(out).toBe("");
    expect(err).toContain(said as string);
    expect(err).toMatch(/^iommulator[^\n]+\nusage: iommulator [^\n]+\n$/);
  });
});
