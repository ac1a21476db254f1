/** Plays a recorded scenario to a unit of its vendor. */
import type { Scenario } from "./scenario.ts";
import type { ScenarioReport } from "./scenario-report.ts";
import { runSmmuScenario } from "./scenario-smmu.ts";
import { runVtdScenario } from "./scenario-vtd.ts";

export function runScenario(scenario: Scenario): ScenarioReport {
  return scenario.iommu === "vtd" ? runVtdScenario(scenario) : runSmmuScenario(scenario);
}
