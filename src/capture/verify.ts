/**
 * Holds the walkers against a capture's own expected translations.
 *
 * `ok`, `gpa`, `page` and `perm` are compared strictly, fault numbers through `faults.ts`. Three things
 * follow from what a capture is:
 *
 * - Requests are probes. The tables are frozen, and their accessed and dirty bits are whatever the guest's
 *   CPU left there; whether this unit could set them (VT-d 90h, SMMUv3 without HTTU aside) is not what a
 *   row records.
 * - A bypass (VT-d pass-through, S1DSS) has no leaf. Recorders write the size of their own cache entry
 *   there, so `page` is not compared.
 * - `perm` speaks of reading and writing; execute is compared only where a row grants it.
 */
import { hex } from "../check.ts";
import type { Outcome, Permissions, Request } from "../iommu.ts";
import type { Capture, ExpectedRow } from "./capture.ts";
import { architectureFaults, type FaultDialect } from "./faults.ts";
import { openWalker, scalableMode } from "./state.ts";

/** Members in which a row and the walker's answer differ. */
export type Difference = "ok" | "gpa" | "page" | "perm" | "fault";

export interface Disagreement {
  /** Index in the capture's `translations`. */
  index: number;
  row: ExpectedRow;
  outcome: Outcome;
  differs: readonly Difference[];
}

export interface Verification {
  rows: number;
  agree: number;
  disagree: readonly Disagreement[];
}

/** Walks every expected translation of a capture. */
export function verifyCapture(capture: Capture): Verification {
  const walker = openWalker(capture);
  const dialect = dialectOf(capture);
  const disagree: Disagreement[] = [];
  capture.expected.forEach((row, index) => {
    const outcome = walker.translate(requestOf(row));
    const differs = compare(row, outcome, dialect);
    if (differs.length > 0) disagree.push({ index, row, outcome, differs });
  });
  const rows = capture.expected.length;
  return { rows, agree: rows - disagree.length, disagree };
}

/** The request a row is about. */
export function requestOf(row: ExpectedRow): Request {
  return { sid: row.sid, pasid: row.pasid, address: row.iova, access: row.access, probe: true };
}

/** Captures with PASIDs carry the architecture's fault numbers, the others QEMU's. */
export function dialectOf(capture: Capture): FaultDialect {
  const { iommu, pasids } = capture;
  if (pasids.length > 0) return iommu;
  if (iommu === "smmuv3") return "qemu-smmuv3";
  return scalableMode(capture) ? "qemu-vtd-scalable" : "vtd";
}

function compare(row: ExpectedRow, outcome: Outcome, dialect: FaultDialect): Difference[] {
  if (row.ok !== outcome.ok) return ["ok"];
  const differs: Difference[] = [];
  if (outcome.ok) {
    if (outcome.address !== row.gpa) differs.push("gpa");
    if (row.page !== undefined && !outcome.bypass && outcome.pageSize !== row.page) differs.push("page");
    if (row.perm !== undefined && !samePermissions(row.perm, outcome.permissions)) differs.push("perm");
  } else if (row.fault !== null && !architectureFaults(row.fault, dialect).includes(outcome.code)) {
    differs.push("fault");
  }
  return differs;
}

function samePermissions(perm: string, { read, write, execute }: Permissions): boolean {
  return perm.includes("r") === read && perm.includes("w") === write && (execute || !perm.includes("x"));
}

/** Letters of what is granted, "" for nothing. */
export function showPermissions({ read, write, execute }: Permissions): string {
  return (read ? "r" : "") + (write ? "w" : "") + (execute ? "x" : "");
}

/** An outcome in the words of a capture's rows, for people and for JSON. */
export function outcomeToJson(outcome: Outcome): Record<string, unknown> {
  if (outcome.ok) {
    return {
      ok: true,
      gpa: hex(outcome.address),
      // 2^64: nothing but the address space ends a bypass.
      page: outcome.bypass ? null : hex(outcome.pageSize),
      perm: showPermissions(outcome.permissions),
      answer: outcome.answer,
      bypass: outcome.bypass,
    };
  }
  return {
    ok: false,
    fault: outcome.code,
    name: outcome.name,
    answer: outcome.answer,
    recorded: outcome.recorded,
    check: outcome.check,
    stage: outcome.stage,
    level: outcome.level,
    at: hex(outcome.fetchAddress),
    entry: hex(outcome.entry),
  };
}
