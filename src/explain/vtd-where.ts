/** Which entry a VT-d fault is about, and which rules raise it: what the reason alone tells. */
import {
  CONTEXT_BYTES,
  LEVEL_BITS,
  PAGE_SHIFT,
  PASID_INDEX,
  ROOT_BYTES,
  SCONTEXT_BYTES,
  SOURCE_ID,
} from "../../assembly/layout/vtd.ts";
import { CHECK, REASON } from "../../assembly/layout/vtd-faults.ts";
import { hex } from "../check.ts";
import { getBits } from "../structure.ts";
import { checkName } from "../vtd/names.ts";
import type { Rule } from "./finding.ts";

/** The conditions that raise a reason: LCT.4.1 to LCT.4.3 are all 3h. */
export function rulesOf(code: number): Rule[] {
  const reason = REASON[code];
  if (reason === undefined || code === REASON.NONE) return [];
  return Object.entries(CHECK).flatMap(([name, number]) => {
    if (typeof number !== "number" || (name !== reason && !name.startsWith(`${reason}_`))) return [];
    const { id, rule, section } = checkName(number);
    return [{ rule: `${id}: ${rule}`, section }];
  });
}

const part = (value: number, field: number): number => Number(getBits(BigInt(value), field));

/** Which kind of structure a reason is about, by the first letters of its condition. */
const STAGES: Readonly<Record<string, (sid: number, pasid: number | null, iova: bigint) => string>> = {
  LRT: (sid) => rootEntry(sid),
  SRT: (sid) => `${rootEntry(sid)}, ${isUpper(sid) ? "upper" : "lower"} half`,
  LCT: (sid) => contextEntry(part(sid, SOURCE_ID.DEVFN), CONTEXT_BYTES),
  SCT: (sid) =>
    `${contextEntry(part(sid, SOURCE_ID.HALF_DEVFN), SCONTEXT_BYTES)} of the ${isUpper(sid) ? "upper" : "lower"} half`,
  SPD: (_, pasid) =>
    `entry ${part(pasid ?? 0, PASID_INDEX.DIRECTORY)} of the device's PASID directory${ridPasid(pasid)}`,
  SPT: (_, pasid) =>
    `entry ${part(pasid ?? 0, PASID_INDEX.TABLE)} of the PASID table that directory entry ${part(pasid ?? 0, PASID_INDEX.DIRECTORY)} names${ridPasid(pasid)}`,
  SFS: (_sid, _pasid, iova) => `the first-stage page tables: ${entries(iova)}`,
  LSS: (_sid, _pasid, iova) => `the second-stage page tables: ${entries(iova)}`,
  SSS: (_sid, _pasid, iova) => `the second-stage page tables: ${entries(iova)}`,
  LGN: (_sid, _pasid, iova) => `the address itself, or the page tables: ${entries(iova)}`,
  SGN: (_sid, _pasid, iova) => `the address itself, or the page tables: ${entries(iova)}`,
  HPT: () => "the host permission table",
  RTA: () => "the RTADDR register: the mode of the unit",
};

/** Where to look; null for a reason that says nothing about it. */
export function whereOf(code: number, sid: number, pasid: number | null, iova: bigint): string | null {
  const prefix = REASON[code]?.split("_")[0] ?? "";
  return STAGES[prefix]?.(sid, pasid, iova) ?? null;
}

/** Index into the table of a level. */
export function indexAt(iova: bigint, level: number): bigint {
  const shift = BigInt(PAGE_SHIFT + LEVEL_BITS * (level - 1));
  return (iova >> shift) % 2n ** BigInt(LEVEL_BITS);
}

/** Which entries an address picks, from the top of four levels. */
function entries(iova: bigint): string {
  return [4, 3, 2, 1].map((level) => `L${level}[${indexAt(iova, level)}]`).join(" ");
}

function isUpper(sid: number): boolean {
  return part(sid, SOURCE_ID.UPPER_HALF) === 1;
}

function rootEntry(sid: number): string {
  const bus = part(sid, SOURCE_ID.BUS);
  return `root entry of bus ${hex(bus, 2)}, at RTADDR + ${hex(bus * ROOT_BYTES)}`;
}

function contextEntry(index: number, bytes: number): string {
  return `context entry at ${hex(index * bytes)} of the bus's context table`;
}

function ridPasid(pasid: number | null): string {
  return pasid === null ? " (RID_PASID, which Linux sets to 0)" : "";
}
