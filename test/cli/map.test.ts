/** map and lint, as people call them: on captures and on dumps. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, afterEach, describe, expect, it, vi } from "vitest";
import type { Io } from "../../src/cli/io.ts";
import { progressLine } from "../../src/cli/progress.ts";
import { dmarTranslationStruct } from "../support/dumps/debugfs.ts";
import { CAPTURE_NAMES, capturePath, readCapture, runsOf } from "../support/dumps/pages.ts";
import { elfCore, kdump, lime, PACKINGS, raw } from "../support/dumps/write.ts";
import { Planted } from "../support/plant.ts";
import { run, width } from "./run.ts";

const folder = mkdtempSync(join(tmpdir(), "iommulator-cli-map-"));
afterAll(() => rmSync(folder, { recursive: true }));

function place(name: string, bytes: Uint8Array): string {
  const path = join(folder, name);
  writeFileSync(path, bytes);
  return path;
}

const X86_64 = 62;
const AARCH64 = 183;

describe("map", () => {
  it.each(CAPTURE_NAMES)("%s: text fits a terminal, JSON holds every range", async (name) => {
    const text = await run(["map", capturePath(name)]);
    expect(text.code).toBe(0);
    expect(width(text.out)).toBeLessThanOrEqual(80);
    const json = await run(["map", capturePath(name), "--json"]);
    const map = JSON.parse(json.out);
    expect(json.out.split("\n")).toHaveLength(2);
    expect(map.unit.name).toBe(name);
    const listed = map.spaces.filter(({ bypass }: { bypass: string | null }) => bypass === null);
    for (const { number, ranges } of listed) {
      const bytes = ranges.reduce((sum: bigint, range: { bytes: string }) => sum + BigInt(range.bytes), 0n);
      expect(bytes % 4096n).toBe(0n);
      expect(text.out).toContain(`\nspace ${number}: `);
    }
    const used = map.devices.flatMap(({ requests }: { requests: { space: number | null }[] }) => requests);
    expect(used.some(({ space }: { space: number | null }) => space !== null)).toBe(true);
  });

  it.each(["A-vtd-sva", "A-smmu-sva"])("%s: says the same of every kind of dump", async (name) => {
    const capture = readCapture(name);
    const runs = runsOf(capture);
    const vtd = capture.iommu === "vtd";
    const flat = raw(runs);
    const files: [string, Uint8Array, string[]?][] = [
      ["elf", elfCore(runs, vtd ? X86_64 : AARCH64)],
      ["lime", lime(runs)],
      ["kdump", kdump(runs, { machine: vtd ? "x86_64" : "aarch64", pack: PACKINGS.zlib! })],
      ["raw", flat.bytes, flat.ram.flatMap((range) => ["--ram", range])],
    ];
    const { out } = await run(["map", capturePath(name), "--json"]);
    const { unit: _, ...expected } = JSON.parse(out);
    const lint = await run(["lint", capturePath(name), "--json"]);
    for (const [kind, bytes, more = []] of files) {
      const image = [place(`${name}.${kind}`, bytes), "--regs", capturePath(name), ...more];
      const { unit, ...map } = JSON.parse((await run(["map", ...image, "--json"])).out);
      expect(unit.iommu, kind).toBe(capture.iommu);
      expect(map, kind).toEqual(expected);
      expect((await run(["lint", ...image, "--json"])).out, kind).toBe(lint.out);
    }
  });

  it("text of debugfs: what it prints of the tables is there, and what it leaves out is said", async () => {
    const capture = readCapture("A-vtd-sva");
    const path = place("dmar.txt", new TextEncoder().encode(dmarTranslationStruct(capture).text));
    const { code, out } = await run(["map", path, "--regs", capturePath("A-vtd-sva")]);
    expect(code).toBe(0);
    expect(out).toMatch(/PASID 0x1 +space \d+: first stage, 5 levels, tables at 0x2bec000/);
    expect(out).toMatch(/pages of tables cannot be read/);
  });

  it("--who-can-write and --who-can-read: who, where, with which rights", async () => {
    const name = "A-vtd-sva";
    const row = readCapture(name).expected.find(({ ok, access, pasid }) => ok && access === "w" && pasid === 1);
    const gpa = row?.gpa ?? 0n;
    const iova = `0x${row?.iova.toString(16)}`;
    const range = `0x${(gpa - (gpa % 4096n)).toString(16)}+4K`;
    const { code, out } = await run(["map", capturePath(name), "--who-can-write", range]);
    expect(code).toBe(0);
    expect(width(out)).toBeLessThanOrEqual(80);
    expect(out).toMatch(/00:06\.0, PASID 0x1: at 0x[0-9a-f]+ -> 0x[0-9a-f]+, 4 KiB,\s+rw-/);
    expect(out).toContain("by translated requests (ATS), which name any address: 00:06.0");
    const byte = await run(["map", capturePath(name), "--who-can-read", `0x${gpa.toString(16)}`, "--json"]);
    const { hits, trusted } = JSON.parse(byte.out);
    expect(hits).toContainEqual(
      expect.objectContaining({ sids: ["0x30"], pasid: 1, iova, bytes: "0x1", user: "rw", privileged: null }),
    );
    expect(trusted).toEqual([["0x30"]]);
    const nobody = await run(["map", capturePath("A-vtd-sl"), "--who-can-write", "0x7fff00000000+0x1000"]);
    expect(nobody.out).toContain("nobody, by untranslated requests");
  });

  it("pass-through is an answer, but not for the interrupt range", async () => {
    const who = async (address: string) =>
      JSON.parse((await run(["map", capturePath("A-vtd-sva-pt"), "--who-can-write", address, "--json"])).out).hits;
    const hits = await who("0x123456789000+1M");
    expect(hits.map(({ pasid, iova, bytes }: Record<string, unknown>) => [pasid, iova, bytes])).toEqual(
      [null, 0, 0x6d].map((pasid) => [pasid, "0x123456789000", "0x100000"]),
    );
    expect(await who("0xfee00000+1M")).toEqual([]);
    const edges = await who("0xfedff000+0x102000");
    expect(edges.map(({ iova, bytes }: Record<string, unknown>) => [iova, bytes]).slice(0, 2)).toEqual([
      ["0xfedff000", "0x1000"],
      ["0xfef00000", "0x1000"],
    ]);
  });

  it("--sid and --pasid leave the rest out", async () => {
    const one = await run(["map", capturePath("A-vtd-sva"), "--sid", "00:06.0", "--pasid", "1", "--json"]);
    const map = JSON.parse(one.out);
    expect(map.devices).toHaveLength(1);
    expect(map.devices[0].requests.map(({ pasid }: { pasid: number }) => pasid)).toEqual([1]);
    expect(map.spaces).toHaveLength(1);
    const none = await run(["map", capturePath("A-vtd-sva"), "--sid", "00:09.0"]);
    expect(none.out).toContain("no device has an entry");
  });

  it("a device that can write to its own tables is a finding: exit 1", async () => {
    const planted = new Planted("A-vtd-sl");
    const iova = 0xffff_f000n;
    const leaf = planted.find("second-stage entry", 0x20, null, iova);
    planted.write(leaf, (leaf - (leaf % 4096n)) | 3n);
    const path = place("self.elf", elfCore(runsOf(planted.capture), X86_64));
    const args = ["map", path, "--regs", capturePath("A-vtd-sl")];
    const { code, out } = await run(args);
    expect(code).toBe(1);
    expect(out).toMatch(/! space \d+ can write to the page table at 0x[0-9a-f]+, at address\s+0xfffff000/);
    const { tableWriters } = JSON.parse((await run([...args, "--json"])).out);
    expect(tableWriters).toEqual([expect.objectContaining({ table: "page table", iova: "0xfffff000" })]);
  });

  it.each([
    [["--who-can-write", "nowhere"], '"nowhere" is not an address'],
    [["--who-can-write", "0x1000+"], '"0x1000+" is not an address'],
    [["--who-can-write", "0x1000+0"], '"0x1000+0" is not an address'],
    [["--who-can-read", "0xffffffffffffffff+2"], '"0xffffffffffffffff+2" is not an address'],
    [["--who-can-read", "0x1", "--who-can-write", "0x1"], "exclude each other"],
  ])("refuses %j", async (more, problem) => {
    const { code, err } = await run(["map", capturePath("A-vtd-sl"), ...more]);
    expect(code).toBe(2);
    expect(err).toContain(problem);
  });
});

describe("progress", () => {
  afterEach(() => void vi.useRealTimers());

  const terminal = (live: boolean): { io: Io; text: () => string } => {
    let text = "";
    const io: Io = {
      out() {},
      err(more) {
        text += more;
      },
      color: false,
      live,
      async *lines() {},
      save() {},
    };
    return { io, text: () => text };
  };

  function work(live: boolean, seconds: number): string {
    vi.useFakeTimers();
    const { io, text } = terminal(live);
    const line = progressLine(io);
    line.space(1, 4);
    for (let i = 1; i <= seconds * 10; i++) {
      vi.advanceTimersByTime(100);
      if (i === 15) line.space(3, 4);
      line.entries(i * 100_000);
    }
    line.done();
    return text();
  }

  it("is drawn on a terminal after a second, and wiped at the end", () => {
    const text = work(true, 2);
    expect(text).toContain("\r[############............] address space 3 of 4, 3.4 million entries");
    expect(text).toMatch(/\r +\r$/);
  });

  it("is not drawn where nobody looks, nor for what is quick", () => {
    expect(work(false, 2)).toBe("");
    expect(work(true, 0.9)).toBe("");
  });
});

describe("lint", () => {
  const DMAR = fileURLToPath(new URL("../corpus/dmar.acpidump", import.meta.url));
  const IORT = fileURLToPath(new URL("../corpus/iort.acpidump", import.meta.url));

  it("exit 0 without findings, 1 with; text fits a terminal", async () => {
    const clean = await run(["lint", capturePath("A-vtd-sva")]);
    expect([clean.code, clean.out]).toEqual([0, "A-vtd-sva: no findings\n"]);
    const found = await run(["lint", capturePath("A-smmu-sva")]);
    expect(found.code).toBe(1);
    expect(width(found.out)).toBeLessThanOrEqual(80);
    expect(found.out).toContain("CD at 0x410c1000 of 00:06.0, PASID 0x5440: HA = 1, HD = 1");
  });

  it("--json: rule, severity, section, where, what and why", async () => {
    const { code, out } = await run(["lint", capturePath("A-smmu-sva"), "--json"]);
    expect(code).toBe(1);
    const { findings, counts, notes } = JSON.parse(out);
    expect(findings).toEqual([
      {
        rule: "smmu.httu",
        severity: "warning",
        section: "IHI 0070 5.2, 5.4",
        title: expect.any(String),
        why: expect.any(String),
        structure: "CD",
        at: "0x410c1000",
        sid: "0x30",
        pasid: 0x5440,
        what: "HA = 1, HD = 1",
      },
    ]);
    expect(counts).toEqual({ "smmu.httu": 1 });
    expect(notes).toEqual([]);
  });

  it("--acpi: reads RMRRs out of acpidump's text, and takes no other table", async () => {
    const { code, out } = await run(["lint", capturePath("A-vtd-sl"), "--acpi", DMAR, "--json"]);
    expect([0, 1]).toContain(code);
    for (const { rule } of JSON.parse(out).findings) expect(rule).toMatch(/^vtd\.rmrr-/);
    const wrong = await run(["lint", capturePath("A-vtd-sl"), "--acpi", IORT]);
    expect(wrong.code).toBe(3);
    expect(wrong.err).toContain("IORT is no DMAR table");
  });
});
