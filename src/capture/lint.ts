/** Lints the tables of a machine image: states that hardware walks, and that are wrong to program. */
import { CAP } from "../../assembly/layout/vtd-capabilities.ts";
import { REG } from "../../assembly/layout/vtd-registers.ts";
import { LintReport } from "../lint/finding.ts";
import { lintAccessed, lintGlobals, lintRegions, type Region } from "../lint/pages.ts";
import { lintSmmuRefusals, SmmuEntries } from "../lint/smmu-entries.ts";
import { SMMU_RULES } from "../lint/smmu-rules.ts";
import { SmmuTags } from "../lint/smmu-tags.ts";
import { VtdDomains } from "../lint/vtd-domains.ts";
import { lintRefusals, VtdEntries } from "../lint/vtd-entries.ts";
import { VTD_RULES } from "../lint/vtd-rules.ts";
import type { MapProgress } from "../reach/map.ts";
import { SmmuTablesView } from "../smmuv3/visit.ts";
import { SmmuWalker } from "../smmuv3/walker.ts";
import { getField } from "../structure.ts";
import { VtdTablesView } from "../vtd/visit.ts";
import { VtdWalker } from "../vtd/walker.ts";
import { guestMemory, type MachineImage } from "./image/image.ts";
import { reachOf, WORKSPACE } from "./reach.ts";
import { openWalker } from "./state.ts";

/** @param regions RMRRs of the machine's DMAR table, if there is one */
export function lintImage(image: MachineImage, regions: readonly Region[] = [], progress?: MapProgress): LintReport {
  const memory = guestMemory(image.pages, WORKSPACE);
  const walker = openWalker(image, memory);
  const report = new LintReport();
  const { survey, enumerator } = reachOf(memory, walker);
  report.notes.push(...survey.notes);
  if (walker instanceof VtdWalker) {
    const tables = new VtdTablesView(memory, walker);
    const cachingMode = getField([image.registers.read64(REG.CAP)], CAP.CM) === 1n;
    new VtdEntries(tables, report, new VtdDomains(report), cachingMode).run();
    lintRefusals(survey, report);
    lintAccessed(survey, enumerator, report, true, VTD_RULES.accessed, progress);
    const rules = { missing: VTD_RULES.regionMissing, overlap: VTD_RULES.regionOverlap };
    lintRegions(survey, enumerator, report, regions, rules);
  } else if (walker instanceof SmmuWalker) {
    const tables = new SmmuTablesView(memory, walker);
    new SmmuEntries(tables, report, new SmmuTags(tables, report)).run();
    lintSmmuRefusals(survey, report);
    lintAccessed(survey, enumerator, report, false, SMMU_RULES.accessed, progress);
    lintGlobals(survey, enumerator, report, SMMU_RULES.global);
  }
  return report;
}
