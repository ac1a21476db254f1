/** The public names of `iommulator/explain`: logs and faults in plain words. */

export { type Explanation, explain } from "./explain.ts";
export type { DumpWalk, LogFinding } from "./finding.ts";
