/**
 * The tables that Linux prints after a fault, walked again: printed from real captures in the kernel's
 * format, they must lead where the captured machine's own tables lead.
 */
import { describe, expect, it } from "vitest";
import type { Capture, ExpectedRow } from "../../src/capture/capture.ts";
import { loadCapture } from "../../src/capture/node/files.ts";
import { openWalker, scalableMode } from "../../src/capture/state.ts";
import { explain } from "../../src/explain/explain.ts";
import type { Trace, TraceStep } from "../../src/iommu.ts";
import { CAPTURES } from "../cli/run.ts";

const digits = (word: bigint): string => `0x${word.toString(16).padStart(16, "0")}`;

/** What `dmar_fault` and `dmar_fault_dump_ptes` print for a request. */
function log(capture: Capture, row: ExpectedRow, { steps, outcome }: Trace): string[] {
  const scalable = scalableMode(capture);
  const code = outcome.ok ? 0x71 : outcome.code;
  const bdf = [row.sid >> 8, (row.sid >> 3) & 31].map((part) => part.toString(16).padStart(2, "0")).join(":");
  const type = row.access === "w" ? "Write" : "Read";
  const pasid = row.pasid === null ? "NO_PASID" : `PASID 0x${row.pasid.toString(16)}`;
  const iova = `0x${row.iova.toString(16)}`;
  const { cap, ecap } = registers(capture);
  const lines = [
    `dmar0: reg_base_addr fed90000 ver 1:0 cap ${cap} ecap ${ecap}`,
    `[DMA ${type} ${pasid}] Request device [${bdf}.${row.sid & 7}] fault addr ${iova} [fault reason 0x${code.toString(16).padStart(2, "0")}] x`,
    `Dump dmar0 table entries for IOVA ${iova}`,
    ...steps.flatMap((step) => print(step, scalable)),
  ];
  return lines.map((line) => `[   12.000000] DMAR: ${line}`);
}

function registers({ registers }: Capture): { cap: string; ecap: string } {
  return { cap: registers.read64(0x8).toString(16), ecap: registers.read64(0x10).toString(16) };
}

function print({ structure, level, words }: TraceStep, scalable: boolean): string[] {
  const [low = 0n, high = 0n] = words;
  if (words.length === 0) return [];
  switch (structure) {
    case "root entry":
    case "scalable root entry":
      return [
        scalable ? `scalable mode root entry: hi ${digits(high)}, low ${digits(low)}` : `root entry: ${digits(low)}`,
      ];
    case "context entry":
    case "scalable context entry":
      return [`context entry: hi ${digits(high)}, low ${digits(low)}`];
    case "PASID directory entry":
      return [`pasid dir entry: ${digits(low)}`];
    case "PASID table entry":
      return words.map((word, i) => `pasid table entry[${i}]: ${digits(word)}`);
    case "first-stage entry":
    case "second-stage entry":
      return [`pte level: ${level}, pte value: ${digits(low)}`];
    default:
      return [];
  }
}

describe("tables of real machines, printed and walked again", () => {
  it.each(["A-vtd-legacy", "A-vtd-sl", "A-vtd-fl", "A-vtd-sva", "A-vtd-sva-pt"])("%s", (name) => {
    const capture = loadCapture(`${CAPTURES}${name}`);
    const walker = openWalker(capture);
    const every = Math.ceil(capture.expected.length / 40);
    const rows = capture.expected.filter((_, i) => i % every === 0);
    expect(rows.length).toBeGreaterThan(2);
    for (const row of rows) {
      const { sid, pasid, iova: address, access } = row;
      const trace = walker.trace({ sid, pasid, address, access: access === "w" ? "w" : "r", probe: true });
      const { findings, unrecognised } = explain(log(capture, row, trace));
      const walk = findings.find(({ kind }) => kind === "fault")?.walk;
      const { outcome } = trace;
      const wanted = outcome.ok
        ? { result: "translates", output: outcome.address, agrees: false }
        : { result: "fault", code: outcome.code, check: outcome.check, agrees: true };
      expect(walk, `${name} ${sid} ${pasid} 0x${address.toString(16)}`).toMatchObject(wanted);
      expect(unrecognised).toBe(0);
    }
  });
});
