/**
 * Drives a unit through a register trace and compares everything the guest read.
 *
 * Writes are done as recorded; what the guest had put into a queue is placed in memory before the write that
 * shows it to the unit. Faults, events and page requests are stimuli: the device's request is made again.
 * Memory over time is not in a trace, so a replay is about registers and queues.
 */
import type { Capture } from "../capture.ts";
import type { AccessLine, DescriptorLine, TraceLine } from "../regtrace.ts";
import type { ReasonId } from "./reasons.ts";
import type { Rig } from "./rig.ts";
import { SmmuRig } from "./smmuv3.ts";
import { VtdRig } from "./vtd.ts";

/** A read that gave another value than the trace. */
export interface ReadDifference {
  /** Line of the trace, from 1. */
  line: number;
  offset: number;
  size: number;
  expected: bigint;
  got: bigint;
}

export interface ReplayReport {
  reads: number;
  agree: number;
  /** Reads that differ for a reason that `reasons.ts` gives. */
  explained: readonly (ReadDifference & { reason: ReasonId })[];
  /** Reads that differ, and nobody knows why. */
  differ: readonly ReadDifference[];
  /** Stimuli that the unit took otherwise: records, messages. */
  surprises: readonly { line: number; problem: string }[];
}

/** Replays a trace on a unit with the capture's capabilities. */
export function replay(capture: Capture, trace: readonly TraceLine[]): ReplayReport {
  const rig: Rig = capture.iommu === "vtd" ? new VtdRig(capture) : new SmmuRig(capture);
  const explained: (ReadDifference & { reason: ReasonId })[] = [];
  const differ: ReadDifference[] = [];
  const surprises: { line: number; problem: string }[] = [];
  let reads = 0;
  const read = (access: AccessLine): void => {
    reads++;
    const got = rig.read(access.offset, access.size);
    if (got === access.value) return;
    const { line, offset, size, value } = access;
    const difference = { line, offset, size, expected: value, got };
    const reason = rig.explain(access, got);
    if (reason === undefined) differ.push(difference);
    else explained.push({ ...difference, reason });
  };
  trace.forEach((line, i) => {
    if (line.op === "read") read(line);
    else if (line.op === "write") rig.write(line, descriptorsAfter(trace, i));
    else {
      const problem = rig.stimulate(line);
      if (problem !== undefined) surprises.push({ line: line.line, problem });
    }
  });
  return { reads, agree: reads - explained.length - differ.length, explained, differ, surprises };
}

function descriptorsAfter(trace: readonly TraceLine[], index: number): DescriptorLine[] {
  const descriptors: DescriptorLine[] = [];
  for (let i = index + 1; ; i++) {
    const line = trace[i];
    if (line?.op !== "inv") return descriptors;
    descriptors.push(line);
  }
}
