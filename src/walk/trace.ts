/** The trace buffer of a unit: what a traced walk read and checked. */
import { STEP, STEP_BYTES, TRACE, UNIT } from "../../assembly/layout/core.ts";
import type { Core } from "../core/core.ts";
import type { TraceStep } from "../iommu.ts";
import type { Vendor } from "./vendor.ts";

const TRACE_STEPS = 256;

/** Gives a unit a trace buffer; hands back where it is. */
export function openTrace(core: Core, unit: number): number {
  const ptr = core.allocate(TRACE.STEPS + TRACE_STEPS * STEP_BYTES);
  core.view.setUint32(ptr + TRACE.CAPACITY, TRACE_STEPS, true);
  core.view.setUint32(unit + UNIT.TRACE, ptr, true);
  return ptr;
}

/** The steps that a traced walk left in the trace buffer at `trace`. */
export function readTrace(core: Core, vendor: Vendor, trace: number): TraceStep[] {
  const { u8, view } = core;
  const count = view.getUint32(trace + TRACE.COUNT, true);
  return Array.from({ length: count }, (_, i) => {
    const at = trace + TRACE.STEPS + i * STEP_BYTES;
    const failed = (u8[at + STEP.FAILED] as number) - 1;
    const checks = Array.from({ length: u8[at + STEP.CHECKS] as number }, (_, j) => ({
      ...vendor.check(u8[at + STEP.CHECK_LIST + j] as number),
      failed: j === failed,
    }));
    const step: TraceStep = {
      structure: vendor.structureName(u8[at + STEP.STRUCTURE] as number),
      stage: u8[at + STEP.STAGE] as number,
      level: u8[at + STEP.LEVEL] as number,
      address: view.getBigUint64(at + STEP.ADDRESS, true),
      index: view.getBigUint64(at + STEP.INDEX, true),
      words: Array.from({ length: u8[at + STEP.WORDS] as number }, (_, j) =>
        view.getBigUint64(at + STEP.ENTRY + 8 * j, true),
      ),
      checks,
    };
    return u8[at + STEP.UPDATED] ? { ...step, updated: view.getBigUint64(at + STEP.UPDATE, true) } : step;
  });
}
