/** The recorded scenarios through the whole unit: registers, command queue, event records, requests. */
import { readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { parseScenarios, type SmmuScenario } from "../../src/capture/scenario.ts";
import { addReport, emptyReport } from "../../src/capture/scenario-report.ts";
import { runSmmuScenario } from "../../src/capture/scenario-smmu.ts";

const TEXT = gunzipSync(readFileSync(new URL("./smmu-A.jsonl.gz", import.meta.url))).toString("utf8");
const scenarios = (text: string) =>
  [...parseScenarios(text, "smmu-A.jsonl.gz")].filter((one): one is SmmuScenario => one.iommu === "smmuv3");

describe("recorded scenarios through an SMMUv3", () => {
  it.each(["none", "sized", "retain"] as const)("caches %s: all requests and reads as the architecture says", (caches) => {
    const report = emptyReport();
    for (const scenario of scenarios(TEXT)) addReport(report, runSmmuScenario(scenario, { caches }));
    const { requests, agree, differ, unsure, reads, readsDiffer, differences } = report;
    expect(differences).toEqual([]);
    expect({ requests, agree, differ, unsure, reads, readsDiffer }).toEqual({
      requests: 9_292,
      agree: 9_285,
      differ: 0,
      unsure: 7,
      reads: 7_431,
      readsDiffer: 0,
    });
    const reasons = new Set(report.corrected.map(({ because }) => because.split(":")[0]));
    expect([...reasons].sort()).toEqual(["CMDQ", "EVENTQ", "TTRnW"]);
  });

  it("tells where a unit differs", () => {
    const line = TEXT.split("\n")[0] ?? "";
    const gpa = /"arch":\{"ok":true,"gpa":"(0x[0-9a-f]+)"/.exec(line)?.[1] as string;
    const changed = line.replace(`"arch":{"ok":true,"gpa":"${gpa}"`, `"arch":{"ok":true,"gpa":"0x7"`);
    const [scenario] = scenarios(changed);
    const { differ, differences } = runSmmuScenario(scenario as SmmuScenario);
    expect(differ).toBe(1);
    expect(differences).toMatchObject([{ what: "request", expected: "ok 0x7", found: `ok ${gpa}` }]);
  });
});
