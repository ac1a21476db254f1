import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { CAPTURES, run, width } from "./run.ts";

const names = readdirSync(CAPTURES)
  .filter((name) => name.endsWith(".json"))
  .map((name) => name.replace(".json", ""));
const capture = (name: string) => `${CAPTURES}${name}.json`;

interface Row {
  sid: number;
  pasid: number | null;
  iova: string;
  access: string;
  ok: boolean;
  gpa?: string;
  note?: string;
}

const rows = (name: string): Row[] => JSON.parse(readFileSync(capture(name), "utf8")).translations;
const ESCAPE = new RegExp(`${String.fromCharCode(27)}\\[\\d*m`, "g");

describe("verify: every shipped capture", () => {
  it.each(names)("%s agrees", async (name) => {
    const { code, out } = await run(["verify", capture(name), "--json"]);
    const report = JSON.parse(out);
    expect(report.disagree).toEqual([]);
    expect(report.rows).toBe(rows(name).length);
    expect(report.agree).toBe(report.rows);
    expect(code).toBe(0);
  });

  it("sums up several", async () => {
    const both = ["A-vtd-sva-pt", "A-smmu-s2"];
    const { out } = await run(["verify", ...both.map(capture)]);
    const total = both.reduce((sum, name) => sum + rows(name).length, 0);
    expect(out).toMatch(new RegExp(`\n${total} of ${total} translations agree\n$`));
  });
});

describe("walk", () => {
  /** One request of every kind that the captures know. */
  const samples = names.flatMap((name) => {
    const seen = new Set<string>();
    return rows(name)
      .filter(({ ok, note, pasid }) => {
        const kind = `${ok} ${note} ${pasid === null}`;
        return seen.size < 6 && !seen.has(kind) && seen.add(kind);
      })
      .map((row) => ({ name, ...row }));
  });

  it.each(samples)("$name $sid $pasid $iova $access: text and JSON say what the row says", async (row) => {
    const argv = ["walk", capture(row.name), "--sid", `${row.sid}`, "--iova", row.iova, "--access", row.access];
    if (row.pasid !== null) argv.push("--pasid", `${row.pasid}`);
    argv.push("--probe");
    const json = await run([...argv, "--json"]);
    expect(json.code).toBe(0);
    const trace = JSON.parse(json.out);
    expect(trace.ok).toBe(row.ok);
    if (row.ok) expect(trace.gpa).toBe(row.gpa);
    const text = await run(argv);
    expect(text.code).toBe(0);
    expect(width(text.out)).toBeLessThanOrEqual(80);
    expect(text.out).not.toMatch(ESCAPE);
    for (const { address } of trace.steps) {
      if (address !== "0x0") expect(text.out).toContain(address);
    }
    expect(text.out).toContain(row.ok ? `translates to ${row.gpa}` : "=> FAULT");
    if (!row.ok) for (const label of ["rule", "device", "software"]) expect(text.out).toContain(`\n   ${label} `);
  });

  it("takes a device as bb:dd.f, ssss:bb:dd.f, hexadecimal and decimal", async () => {
    const [row] = rows("A-vtd-sva").filter(({ ok, pasid }) => ok && pasid === 1);
    const rest = ["--iova", row?.iova ?? "", "--pasid", "0x1", "--json"];
    const outs = [];
    for (const sid of ["00:06.0", "0000:00:06.0", "0x30", "48"]) {
      outs.push((await run(["walk", capture("A-vtd-sva"), "--sid", sid, ...rest])).out);
    }
    expect(JSON.parse(outs[0] as string).gpa).toBe(row?.gpa);
    expect(new Set(outs).size).toBe(1);
  });

  it("colours only when the terminal does, and never with --no-color", async () => {
    const argv = ["walk", capture("A-vtd-sva"), "--sid", "00:06.0", "--pasid", "1", "--iova", "0x40b6008"];
    expect((await run(argv, { color: true })).out).toMatch(ESCAPE);
    const plain = await run(argv);
    expect(await run([...argv, "--no-color"], { color: true })).toEqual(plain);
    const stripped = (await run(argv, { color: true })).out.replace(ESCAPE, "");
    expect(stripped).toBe(plain.out);
  });

  it("--all shows every field", async () => {
    const argv = ["walk", capture("A-smmu-sva"), "--sid", "00:06.0", "--pasid", "1", "--iova", "0x400a90", "--all"];
    const { out } = await run(argv);
    for (const field of ["S2TTB", "MEV", "HAD0", "AMAIR1", "Contiguous"]) expect(out).toContain(` ${field} `);
  });
});

describe("translate", () => {
  it("answers line by line, in the words of the rows", async () => {
    const some = rows("A-smmu-sva").filter((_, i) => i % 20 === 0);
    const input = some.map(({ sid, pasid, iova, access }) => JSON.stringify({ sid, pasid, iova, access })).join("\n");
    const { code, out } = await run(["translate", capture("A-smmu-sva"), "--requests", "-"], { input: `${input}\n\n` });
    const answers = out
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(code).toBe(0);
    expect(answers.map(({ ok, gpa, iova }) => ({ ok, gpa, iova }))).toEqual(
      some.map(({ ok, gpa, iova }) => ({ ok, gpa, iova })),
    );
  });
});

describe("list", () => {
  it.each(names)("%s fits 80 columns and counts what the file holds", async (name) => {
    const { out } = await run(["list", capture(name), "--all"]);
    expect(width(out)).toBeLessThanOrEqual(80);
    const raw = JSON.parse(readFileSync(capture(name), "utf8"));
    const json = JSON.parse((await run(["list", capture(name), "--json"])).out);
    expect(json.pages.length).toBe(raw.pages.length);
    expect(json.devices.length).toBe(Object.keys(raw.devices).length);
    expect(json.pasids.length).toBe(Object.keys(raw.pasids ?? {}).length);
    expect(json.expected.rows).toBe(raw.translations.length);
    for (const { address } of json.devices) expect(out).toContain(address);
  });
});

describe("replay", () => {
  it.each(["A-vtd-sl", "A-smmu-sva-linear"])("%s: JSON and text count the same reads", async (name) => {
    const { code, out } = await run(["replay", capture(name), "--json"]);
    const report = JSON.parse(out);
    expect(code).toBe(0);
    expect(report).toMatchObject({ capture: name, differ: [], surprises: [] });
    expect(report.agree + report.explained).toBe(report.reads);
    const text = await run(["replay", capture(name)]);
    expect(text.code).toBe(0);
    expect(text.out).toContain(`${report.agree} of ${report.reads} reads agree`);
    for (const { where } of Object.values(report.reasons as Record<string, { where: string }>)) {
      expect(text.out).toContain(`${report.explained} x ${where}`);
    }
    expect(width(text.out)).toBeLessThanOrEqual(80);
  });
});

describe("demo", () => {
  it("fits 80 columns, shows both vendors and a fault, and ends with the count", async () => {
    const { code, out } = await run(["demo"]);
    expect(code).toBe(0);
    expect(width(out)).toBeLessThanOrEqual(80);
    for (const entry of [
      "Root entry, scalable mode",
      "Context entry, scalable mode",
      "PASID directory entry",
      "PASID table entry",
      "First-stage paging entry, level 1",
      "Level 1 stream table descriptor",
      "Stream table entry",
      "Level 1 context descriptor",
      "Context descriptor",
      "Page descriptor, stage 1, level 3",
      "=> FAULT, reason 0x59",
    ]) {
      expect(out).toContain(entry);
    }
    const total = names.reduce((sum, name) => sum + rows(name).length, 0);
    expect(out).toContain(`\n${total} of ${total} translations agree\n`);
  });
});
