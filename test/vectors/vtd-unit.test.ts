/** The recorded scenarios through the whole unit: registers, queue, faults, requests. */
import { readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { parseScenarios, type VtdScenario } from "../../src/capture/scenario.ts";
import { addReport, emptyReport, type ScenarioReport } from "../../src/capture/scenario-report.ts";
import type { VtdCachePolicy } from "../../src/index.ts";
import { runVtdScenario, type VtdScenarioOptions } from "../../src/capture/scenario-vtd.ts";
import { SHARED_TAG } from "./vtd-shared-tag.ts";

const FILE = new URL("./vtd-A.jsonl.gz", import.meta.url);
const SCENARIOS = [...parseScenarios(gunzipSync(readFileSync(FILE)).toString("utf8"), "vtd-A.jsonl.gz")].filter(
  (scenario): scenario is VtdScenario => scenario.iommu === "vtd",
);

/** Scenarios that say what happens when RID_PASID is honoured. */
const RID_PASID = SCENARIOS.filter(({ ops }) => ops.some((op) => op.op === "dma" && op.request.withRidPasid));

function runAll(scenarios: readonly VtdScenario[], options: VtdScenarioOptions): ScenarioReport {
  const sum = emptyReport();
  for (const scenario of scenarios) addReport(sum, runVtdScenario(scenario, options));
  return sum;
}

/** The last has room for next to nothing: everything is evicted all the time. */
const POLICIES: readonly VtdCachePolicy[] = [
  "sized",
  "retain",
  { policy: "retain", iotlb: 8, contexts: 4, pasids: 4, firstTables: 4, secondTables: 4 },
];

/** How often the recording had to be corrected, by reason. */
function reasons({ corrected }: ScenarioReport): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { because } of corrected) counts[because] = (counts[because] ?? 0) + 1;
  return counts;
}

describe("recorded scenarios through a VT-d unit", () => {
  it("every request and every read is as the architecture says", () => {
    const report = runAll(SCENARIOS, {});
    const { requests, agree, unsure, reads, differences } = report;
    expect(differences).toEqual([]);
    expect({ requests, agree, unsure, reads }).toEqual({ requests: 14_540, agree: 14_501, unsure: 39, reads: 9_741 });
    expect(reasons(report)).toEqual({
      "SFS.9: an earlier request has made the update": 25,
      "fault event: IP clears with its last cause": 31,
      "done as asked, or wider": 2,
    });
  });

  it("with RID_PASID honoured, every request that says what then happens", () => {
    const report = runAll(RID_PASID, { ridPasid: true });
    expect(report.differences).toEqual([]);
    expect(report.requests).toBe(760);
  });

  it.each(POLICIES)("caches %j: nothing differs but where tables share a tag", (caches) => {
    const { differences, agree, differ } = runAll(SCENARIOS, { unit: { caches } });
    expect(differences.filter(({ at }) => !SHARED_TAG.includes(at))).toEqual([]);
    for (const { expected } of differences) expect(expected).toMatch(/^fault 0x7[3b],/);
    expect(agree + differ).toBe(14_501);
  });

  it("tells where a unit differs", () => {
    const text = gunzipSync(readFileSync(FILE)).toString("utf8").split("\n")[0] ?? "";
    const [first] = parseScenarios(text.replaceAll('"gpa":"0x390967c"', '"gpa":"0x390967d"'), "changed");
    const [second] = parseScenarios(text.replace('["r4","0x1c","0xc4000000"]', '["r4","0x1c","0x4000000"]'), "changed");
    const changed = [first, second].map((scenario) => runVtdScenario(scenario as VtdScenario).differences);
    expect(changed).toEqual([
      [{ at: "vtd-1000 op 23", what: "request", expected: "ok 0x390967d", found: "ok 0x390967c" }],
      [{ at: "vtd-1000 op 19", what: "register", expected: "0x4000000", found: "0xc4000000" }],
    ]);
  });
});
