/** What a log line turns out to mean. */
import type { Access } from "../iommu.ts";
import type { DecodedField } from "./structure.ts";

export type FindingKind =
  | "fault"
  | "interrupt-fault"
  | "queue-error"
  | "faults-lost"
  | "tables"
  | "capabilities"
  | "inconsistent"
  | "page-request"
  | "event"
  | "events-lost"
  | "global-error"
  | "command-error";

export interface Rule {
  rule: string;
  /** "VT-d 9.6", "IHI 0070 5.4" */
  section: string;
}

/** What to think of, likeliest first, and what to do next. */
export interface Advice {
  causes: readonly string[];
  next: readonly string[];
}

/** The tables that a kernel printed after a fault, walked. */
export interface DumpWalk {
  /** "fault": the walk ends in one; "translates"; "incomplete": what comes next was not printed. */
  result: "fault" | "translates" | "incomplete";
  code: number | null;
  name: string | null;
  check: string | null;
  rule: Rule | null;
  /** Which structure broke the rule, and its words. */
  structure: string | null;
  address: bigint | null;
  words: readonly bigint[];
  /** Where the walk led, when it translates. */
  output: bigint | null;
  /** Whether it ends as the hardware said; null when the hardware said nothing. */
  agrees: boolean | null;
  /** What had to be assumed. */
  notes: string[];
}

/** One problem that the log tells about. Numbers that the log does not give are null. */
export interface LogFinding extends Advice {
  vendor: "vtd" | "smmuv3";
  kind: FindingKind;
  /** Fault reason, event number, error code or register value. */
  code: number | null;
  /** The architecture's name of it. */
  name: string;
  sid: number | null;
  pasid: number | null;
  iova: bigint | null;
  access: Access | null;
  /** One plain sentence. */
  meaning: string;
  rules: readonly Rule[];
  /** Which entry it is about: "entry 2 of the PASID table". */
  where: string | null;
  /** More that the line says. */
  details: Record<string, string>;
  /** A record, descriptor or command that the log holds in words. */
  record: { structure: string; words: readonly bigint[]; fields: readonly DecodedField[] } | null;
  walk: DumpWalk | null;
  notes: string[];
  /** Line of the log, from 1. */
  line: number;
  /** How often it occurs. */
  count: number;
}

const EMPTY: Omit<LogFinding, "vendor" | "kind" | "name" | "line" | "meaning"> = {
  code: null,
  sid: null,
  pasid: null,
  iova: null,
  access: null,
  rules: [],
  where: null,
  details: {},
  record: null,
  walk: null,
  notes: [],
  causes: [],
  next: [],
  count: 1,
};

/** A finding with what is known of it. */
export function finding(
  given: Pick<LogFinding, "vendor" | "kind" | "name" | "line" | "meaning"> & Partial<LogFinding>,
): LogFinding {
  return { ...EMPTY, details: {}, notes: [], ...given };
}
