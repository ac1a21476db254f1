/** What playing recorded scenarios to a unit comes to. */

/** Where a unit and a scenario differ. */
export interface ScenarioDifference {
  /** "vtd-1000 op 25" */
  at: string;
  what: "request" | "register" | "memory";
  expected: string;
  found: string;
}

export interface ScenarioReport {
  /** DMA requests: all, and those that agree, differ, or have an answer that nobody knows. */
  requests: number;
  agree: number;
  differ: number;
  unsure: number;
  /** Reads of registers and of what the unit writes to memory. */
  reads: number;
  readsDiffer: number;
  differences: ScenarioDifference[];
  /** Where the recording is not what the architecture demands, and why; counted as agreeing. */
  corrected: (ScenarioDifference & { because: string })[];
}

export function emptyReport(): ScenarioReport {
  return { requests: 0, agree: 0, differ: 0, unsure: 0, reads: 0, readsDiffer: 0, differences: [], corrected: [] };
}

/** Adds what one report counts to another. */
export function addReport(sum: ScenarioReport, one: ScenarioReport): void {
  sum.requests += one.requests;
  sum.agree += one.agree;
  sum.differ += one.differ;
  sum.unsure += one.unsure;
  sum.reads += one.reads;
  sum.readsDiffer += one.readsDiffer;
  sum.corrected.push(...one.corrected);
  sum.differences.push(...one.differences);
}
