/** What a vendor adds to what both walkers share. */
import type { TraceCheck } from "../iommu.ts";

/** The vendor's half: its Wasm entry points and its names. */
export interface Vendor {
  /** Largest `sid`. */
  maxSid: number;
  /** (unit, sid, pasid, address low, address high, flags, result) -> code */
  walk(unit: number, sid: number, pasid: number, low: number, high: number, flags: number, result: number): number;
  walkTraced(
    unit: number,
    sid: number,
    pasid: number,
    low: number,
    high: number,
    flags: number,
    result: number,
  ): number;
  /** (unit, requests, results, count) -> how many results have a code that is not 0 */
  walkMany(unit: number, requests: number, results: number, count: number): number;
  /** Name of a fault reason or event. */
  codeName(code: number): string;
  /** Name of a STRUCTURE number. */
  structureName(structure: number): string;
  /** Id, rule and section of a CHECK number. */
  check(check: number): Omit<TraceCheck, "failed">;
}
