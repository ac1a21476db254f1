import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { afterAll, beforeEach, describe, expect, it } from "vitest";
import { CAPTURES, run } from "./run.ts";

const folder = mkdtempSync(join(tmpdir(), "iommulator-"));
const json = join(folder, "x.json");
const pages = join(folder, "x.pages.bin");
afterAll(() => rmSync(folder, { recursive: true }));

beforeEach(() => {
  rmSync(folder, { recursive: true });
  mkdirSync(folder);
});

/** Puts a capture into the folder, changed. */
function place(change: (capture: { translations: { gpa?: string }[]; format: string }) => void = () => {}): void {
  const capture = JSON.parse(readFileSync(`${CAPTURES}A-vtd-sva-pt.json`, "utf8"));
  change(capture);
  writeFileSync(json, JSON.stringify(capture));
  copyFileSync(`${CAPTURES}A-vtd-sva-pt.pages.bin`, pages);
}

describe("bad input: exit 3, one line with file and place", () => {
  const refused = async (argv: string[], said: string) => {
    const { code, err } = await run(argv);
    expect(err).toMatch(/^iommulator \w+: [^\n]+\n$/);
    expect(err).toContain(said);
    expect(code).toBe(3);
  };

  it("no such file", () => refused(["list", join(folder, "none")], `${join(folder, "none")}: no such capture`));

  it("no pages file", async () => {
    place();
    rmSync(pages);
    await refused(["verify", json], `${pages}: missing, ${json} needs it`);
  });

  it("a pages file cut short", async () => {
    place();
    writeFileSync(pages, readFileSync(pages).subarray(0, 5000));
    await refused(["walk", json, "--sid", "0", "--iova", "0"], `${pages}: byte 5000: the file ends`);
  });

  it("an unknown format, in any verb", async () => {
    place((capture) => {
      capture.format = "iommu-capture-3";
    });
    await refused(["translate", json, "--requests", "-"], `${json}: format: unknown format "iommu-capture-3"`);
  });

  it("JSON cut short", async () => {
    place();
    writeFileSync(json, readFileSync(json).subarray(0, 1000));
    await refused(["list", json], `${json}: not JSON`);
  });

  it("gzip cut short", async () => {
    place();
    writeFileSync(json, gzipSync(readFileSync(json)).subarray(0, 1000));
    await refused(["list", json], `${json}: torn gzip file`);
  });

  it("a torn capture among good ones, before any output", async () => {
    place();
    rmSync(pages);
    const { code, out } = await run(["verify", `${CAPTURES}A-vtd-sva.json`, json]);
    expect([code, out]).toEqual([3, ""]);
  });

  it("no register trace, or a torn one", async () => {
    place();
    await refused(["replay", json], `${join(folder, "x.regtrace.jsonl.gz")}: missing, a replay needs it`);
    writeFileSync(join(folder, "x.regtrace.jsonl"), '{"op":"mark","text":""}\n{"op":"read"');
    await refused(["replay", json], `${join(folder, "x.regtrace.jsonl")}: line 2: not JSON`);
  });

  it.each([
    ["{", "line 2: not JSON"],
    ['{"sid":1}', "line 2: iova: is missing"],
    ['{"iova":"0x0"}', "line 2: sid: is missing"],
    ['{"sid":65536,"iova":"0x0"}', "line 2: sid: 65536 is not a whole number in 0..65535"],
    ['{"sid":"00:40.0","iova":"0x0"}', 'line 2: sid: "00:40.0" is not'],
    ['{"sid":0,"iova":"12"}', 'line 2: iova: "12" is not a hexadecimal string'],
    ['{"sid":0,"iova":"0x0","pasid":-1}', "line 2: pasid: -1 is not"],
    ['{"sid":0,"iova":"0x0","access":"q"}', 'line 2: access: "q" is not one of'],
    ['{"sid":0,"iova":"0x0","priv":1}', "line 2: priv: 1 is not true or false"],
  ])("a request line %s", async (line, said) => {
    const input = `{"sid":48,"iova":"0x1000"}\n${line}\n`;
    const { code, out, err } = await run(["translate", `${CAPTURES}A-vtd-sva.json`, "--requests", "-"], { input });
    expect(code).toBe(3);
    expect(err).toContain(`standard input: ${said}`);
    expect(out.split("\n").length).toBe(2);
  });
});

describe("capture arguments", () => {
  it("x.json, x, x.json.gz with x.pages.bin.gz", async () => {
    place();
    const plain = await run(["list", json, "--json"]);
    expect(plain.code).toBe(0);
    expect(await run(["list", join(folder, "x"), "--json"])).toEqual(plain);
    for (const path of [json, pages]) {
      writeFileSync(`${path}.gz`, gzipSync(readFileSync(path)));
      rmSync(path);
    }
    expect(await run(["list", `${json}.gz`, "--json"])).toEqual(plain);
    expect(await run(["list", join(folder, "x"), "--json"])).toEqual(plain);
  });
});

describe("verify", () => {
  it("exits 1 on a disagreement and says which row", async () => {
    place((capture) => {
      const row = capture.translations.find(({ gpa }) => gpa !== undefined);
      if (row) row.gpa = "0x123000";
    });
    const { code, out } = await run(["verify", json, "--json"]);
    expect(code).toBe(1);
    const report = JSON.parse(out);
    expect(report.rows - report.agree).toBe(1);
    expect(report.disagree).toHaveLength(1);
    expect(report.disagree[0]).toMatchObject({ differs: ["gpa"], expected: { gpa: "0x123000" }, got: { ok: true } });
    const text = await run(["verify", json]);
    expect(text.out).toContain(`translations[${report.disagree[0].index}]`);
  });
});
