/** list, walk and translate on dumps and text, as people call them. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { dmarTranslationStruct, domainTranslationStruct } from "../support/dumps/debugfs.ts";
import { capturePath, readCapture, runsOf } from "../support/dumps/pages.ts";
import { avml, elfCore, flatten, kdump, lime, PACKINGS, raw } from "../support/dumps/write.ts";
import { run, width } from "./run.ts";

const folder = mkdtempSync(join(tmpdir(), "iommulator-cli-dumps-"));
afterAll(() => rmSync(folder, { recursive: true }));

const VTD = "A-vtd-sva";
const SMMU = "A-smmu-sva";

function place(name: string, bytes: Uint8Array | string): string {
  const path = join(folder, name);
  writeFileSync(path, bytes);
  return path;
}

/** The same capture in every kind of file, and the arguments that go with it. */
function kinds(name: string): { kind: string; argv: string[] }[] {
  const capture = readCapture(name);
  const runs = runsOf(capture);
  const vtd = capture.iommu === "vtd";
  const machine = vtd ? "x86_64" : "aarch64";
  const regs = ["--regs", capturePath(name)];
  const flat = raw(runs);
  const files: [string, Uint8Array, string[]?][] = [
    ["elf", elfCore(runs, vtd ? 62 : 183)],
    ["lime", lime(runs)],
    ["avml", avml(runs)],
    ["kdump", kdump(runs, { machine, pack: PACKINGS.zlib! })],
    ["flattened", flatten(kdump(runs, { machine, pack: PACKINGS.zstd! }))],
    ["raw", flat.bytes, flat.ram.flatMap((range) => ["--ram", range])],
  ];
  return files.map(([kind, bytes, more = []]) => ({ kind, argv: [place(`${name}.${kind}`, bytes), ...regs, ...more] }));
}

interface Row {
  sid: number;
  pasid: number | null;
  iova: string;
  access: string;
}

const rows = (name: string): Row[] => JSON.parse(readFileSync(capturePath(name), "utf8")).translations;

describe.each([VTD, SMMU])("%s", (name) => {
  const input = rows(name)
    .map(({ sid, pasid, iova, access }) => JSON.stringify({ sid, pasid, iova, access, probe: true }))
    .join("\n");
  let expected: string;
  beforeAll(async () => {
    expected = (await run(["translate", capturePath(name), "--requests", "-"], { input })).out;
  });

  it.each(kinds(name))("$kind: translate answers as over the capture, walk shows the same way", async ({ argv }) => {
    const answers = await run(["translate", ...argv, "--requests", "-"], { input });
    expect(answers.err).toBe("");
    expect(answers.code).toBe(0);
    expect(answers.out).toBe(expected);
    const [row] = rows(name) as [Row];
    const request = ["--sid", `${row.sid}`, "--pasid", `${row.pasid ?? 0}`, "--iova", row.iova, "--json"];
    expect(await run(["walk", ...argv, ...request])).toEqual(await run(["walk", capturePath(name), ...request]));
  });

  it.each(kinds(name))("$kind: list names memory and registers, in 80 columns", async ({ argv, kind }) => {
    const { code, out } = await run(["list", ...argv]);
    expect(code).toBe(0);
    // Paths are as long as they are.
    const lines = out.split("\n").filter((line) => !line.includes(folder) && !line.includes(capturePath(name)));
    expect(width(lines.join("\n"))).toBeLessThanOrEqual(80);
    expect(out).toContain(name === VTD ? "\n00:06.0  trusted with ATS\n" : "\n00:06.0");
    expect(out).toMatch(/\n {2}PASID 0x1 +space \d+: (first stage|stage 1)/);
    expect(out).toContain(name === VTD ? "Intel VT-d" : "Arm SMMUv3");
    const json = JSON.parse((await run(["list", ...argv, "--json"])).out);
    expect(json.missing).toBeNull();
    expect(json.requesters.length).toBeGreaterThan(0);
    expect(json.iommu).toBe(name === VTD ? "vtd" : "smmuv3");
    const root = json.registers.find((register: { name: string }) => /RTADDR|STRTAB_BASE$/.test(register.name));
    expect(root.value).toBe(
      `0x${readCapture(name)
        .registers.read64(name === VTD ? 0x20 : 0x80)
        .toString(16)}`,
    );
    expect(root.source).toBe(capturePath(name));
    if (!kind.includes("kdump") && kind !== "flattened")
      expect(json.ram).toHaveLength(runsOf(readCapture(name)).length);
  });
});

describe("a dump without registers", () => {
  const dump = kinds(VTD)[0]!.argv[0] as string;

  it("walk: exit 3, what is missing, and the commands that get it", async () => {
    const { code, out, err } = await run(["walk", dump, "--sid", "0", "--iova", "0"]);
    expect([code, out]).toEqual([3, ""]);
    expect(err).toContain(`iommulator walk: ${dump}: a dump holds memory, not registers; missing: RTADDR, CAP, ECAP\n`);
    expect(err).toContain("\n  cat /sys/kernel/debug/iommu/intel/iommu_regset > regs.txt\n");
    expect(width(err.split("\n").slice(1).join("\n"))).toBeLessThanOrEqual(80);
  });

  it("list: its memory, and the same advice", async () => {
    const { code, out } = await run(["list", dump]);
    expect(code).toBe(0);
    expect(out).toContain("ELF core");
    expect(out).toContain("missing: RTADDR, CAP, ECAP");
    expect(out).toContain("iommu_regset");
    expect(JSON.parse((await run(["list", dump, "--json"])).out)).toMatchObject({ registers: null });
  });

  it("registers one by one", async () => {
    const { registers } = readCapture(VTD);
    const hex = (offset: number) => `0x${registers.read64(offset).toString(16)}`;
    const given = ["--rtaddr", hex(0x20), "--cap", hex(0x8), "--ecap", hex(0x10)];
    const [row] = rows(VTD) as [Row];
    const request = ["--sid", `${row.sid}`, "--pasid", `${row.pasid}`, "--iova", row.iova, "--json"];
    const walked = await run(["walk", dump, ...given, ...request]);
    expect(JSON.parse(walked.out)).toMatchObject({ ok: true });
    const { out } = await run(["list", dump, ...given]);
    expect(out).toContain("(--rtaddr)");
  });

  it("devices out of lspci -vv, beside the registers", async () => {
    const lspci = place("lspci.txt", "00:06.0 Class 0880: Device 1234:11e8\n\t\tATSCtl:\tEnable-, Smallest\n");
    const { out } = await run(["list", dump, "--regs", lspci, "--regs", capturePath(VTD)]);
    expect(out).toContain("devices   00:06.0 Class 0880: Device 1234:11e8, ATS off\n");
    expect(out).toContain("PASID 0x1 ");
  });

  it.each([
    [["--rtaddr", "here"], '--rtaddr: "here" is not a number of 64 bits'],
    [["--cr0", "0x100000000"], '--cr0: "0x100000000" is not a number of 32 bits'],
    [["--iommu", "amd"], '--iommu: "amd" is not vtd or smmuv3'],
    [["--ram", "x"], '--ram: "x" is not base[:size][@offset]'],
  ])("%j is a wrong argument: exit 2", async (given, said) => {
    const { code, err } = await run(["list", dump, ...given]);
    expect(code).toBe(2);
    expect(err).toContain(said);
  });

  it.each([
    [["--regs", dump], "names no registers"],
    [["--regs", join(folder, "none")], "cannot be read (ENOENT)"],
    [["--unit", "dmar3"], 'no unit "dmar3"'],
    [["--idr0", "1", "--iommu", "vtd"], "--idr0 is no register of this IOMMU"],
  ])("%j is bad input: exit 3", async (given, said) => {
    const { code, err } = await run(["walk", dump, "--sid", "0", "--iova", "0", ...given]);
    expect(code).toBe(3);
    expect(err).toContain(said);
  });
});

it.each([
  [
    "cut short",
    (bytes: Uint8Array) => bytes.subarray(0, 100_000),
    /offset 0x[0-9a-f]+: the segment at 0x[0-9a-f]+ needs/,
  ],
  [
    "cut within its headers",
    (bytes: Uint8Array) => bytes.subarray(0, 70),
    /offset 0x40: a table of 58 program headers/,
  ],
  [
    "with an offset of 2^63",
    (bytes: Uint8Array) => {
      const torn = bytes.slice();
      new DataView(torn.buffer).setBigUint64(32, 2n ** 63n, true);
      return torn;
    },
    /offset 0x20: e_phoff is 0x8000000000000000/,
  ],
])("an ELF core %s: exit 3, with file and offset, whatever the verb", async (_, tear, said) => {
  const path = place("torn.elf", tear(elfCore(runsOf(readCapture(VTD)), 62)));
  for (const argv of [["list"], ["walk", "--sid", "0", "--iova", "0"], ["translate", "--requests", "-"], ["map"]]) {
    const { code, out, err } = await run([...argv, path, "--regs", capturePath(VTD)]);
    expect([code, out]).toEqual([3, ""]);
    expect(err).toMatch(new RegExp(`^iommulator ${argv[0]}: ${path}: ${said.source}[^\n]*\n$`));
  }
});

describe("text from debugfs", () => {
  it("serves list, walk and translate by itself", async () => {
    const capture = readCapture(VTD);
    const { text, domains } = dmarTranslationStruct(capture);
    const boot = `DMAR: dmar0: reg_base_addr fed90000 ver 1:0 cap ${capture.registers.read64(0x8).toString(16)} ecap ${capture.registers.read64(0x10).toString(16)}\n`;
    const lspci =
      "00:06.0 Class 0880: Device 1234:11e8\n\tCapabilities: [100 v1] Address Translation Service (ATS)\n\t\tATSCtl:\tEnable+, Smallest\n";
    const pages = domains.map((domain) => domainTranslationStruct(capture, domain)).join("");
    const path = place("debugfs.txt", boot + text + pages + lspci);
    const listed = await run(["list", path]);
    expect(listed.out).toContain("text from debugfs");
    expect(listed.out).toContain("00:06.0 Class 0880: Device 1234:11e8, ATS on");
    const row = capture.expected.find(({ ok, pasid }) => ok && pasid !== null)!;
    const request = ["--sid", `${row.sid}`, "--pasid", `${row.pasid}`, "--iova", `0x${row.iova.toString(16)}`];
    const walked = await run(["walk", path, ...request]);
    expect(walked.code).toBe(0);
    expect(walked.out).toContain(`translates to 0x${row.gpa?.toString(16)}`);
    expect(walked.out).toContain("debugfs does not say where this entry lies");
  });
});
