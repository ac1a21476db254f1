/** The recorded scenarios on units that cache: their invalidations must remove all that they change. */
import { readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { parseScenarios } from "../../src/capture/scenario.ts";
import { addReport, emptyReport } from "../../src/capture/scenario-report.ts";
import { runVtdScenario } from "../../src/capture/scenario-vtd.ts";
import type { VtdCachePolicy } from "../../src/index.ts";

const FILE = new URL("./vtd-A.jsonl.gz", import.meta.url);
const SCENARIOS = [...parseScenarios(gunzipSync(readFileSync(FILE)).toString("utf8"), "vtd-A.jsonl.gz")];

/**
 * Here two devices of one domain have different tables, one of them broken: the architecture forbids it
 * to software and lets hardware use either (6.2.4, paging-structure caches are tagged by domain).
 */
const TWO_ROOTS = ["vtd-1190", "vtd-1194", "vtd-1324", "vtd-1332", "vtd-1479", "vtd-1580"];

const POLICIES: readonly VtdCachePolicy[] = [
  "sized",
  "retain",
  { policy: "retain", iotlb: 8, contexts: 4, pasids: 4, firstTables: 4, secondTables: 4 },
];

describe("recorded scenarios through VT-d units with caches", () => {
  it.each(POLICIES.map((policy) => [JSON.stringify(policy), policy] as const))("%s", (_, caches) => {
    const report = emptyReport();
    for (const scenario of SCENARIOS) {
      if (scenario.iommu !== "vtd" || TWO_ROOTS.includes(scenario.id)) continue;
      addReport(report, runVtdScenario(scenario, { unit: { caches } }));
    }
    expect(report.differences).toEqual([]);
    expect(report.requests).toBeGreaterThan(14_000);
  });
});
