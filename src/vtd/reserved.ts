/**
 * Which bits of an entry one unit holds to be reserved, and which values it lacks (VT-d rev 5.10, chapter 9).
 *
 * Read back from what `vtdConfigure` made of CAP and ECAP: the walk tests these very masks.
 */
import {
  CONTEXT,
  CONTEXT_RESERVED,
  FSPTE,
  HPTE_RESERVED,
  PASID,
  PASID_RESERVED,
  PGTT,
  ROOT_RESERVED,
  SCONTEXT_RESERVED,
  SROOT,
  SSPTE,
  TT,
} from "../../assembly/layout/vtd.ts";
import { CAP } from "../../assembly/layout/vtd-capabilities.ts";
import { STRUCTURE } from "../../assembly/layout/vtd-faults.ts";
import { VTD } from "../../assembly/layout/vtd-unit.ts";
import type { TraceStep } from "../iommu.ts";
import { getField, maskWords } from "../structure.ts";
import { structureName } from "./names.ts";

/** An entry as a trace has it. */
export type VtdEntry = Pick<TraceStep, "structure" | "level" | "words">;

/** Reads a u64 of the unit block, `index` elements behind `offset`. */
type Unit = (offset: VTD, index?: number) => bigint;

const MASKS: Readonly<Record<number, (unit: Unit, entry: VtdEntry, nested: boolean) => bigint[]>> = {
  [STRUCTURE.ROOT]: (unit) => [unit(VTD.ROOT_R0), word(ROOT_RESERVED.R1)],
  // § LCT.3: pass-through ignores SSPTPTR, whatever it holds.
  [STRUCTURE.CONTEXT]: (unit, { words }) => [
    getField(words, CONTEXT.TT) === BigInt(TT.PASS_THROUGH) ? word(CONTEXT_RESERVED.R0) : unit(VTD.CONTEXT_R0),
    unit(VTD.CONTEXT_R1),
  ],
  // § SRT.3: the bits of a half that is not present are ignored.
  [STRUCTURE.SROOT]: (unit, { words }) =>
    [SROOT.LP, SROOT.UP].map((present) => (getField(words, present) === 1n ? unit(VTD.SROOT_R) : 0n)),
  [STRUCTURE.SCONTEXT]: (unit) => [
    unit(VTD.SCONTEXT_R0),
    unit(VTD.SCONTEXT_R1),
    word(SCONTEXT_RESERVED.R2),
    word(SCONTEXT_RESERVED.R3),
  ],
  [STRUCTURE.PASIDDIR]: (unit) => [unit(VTD.PASIDDIR_R0)],
  [STRUCTURE.PASID]: (unit) => [
    unit(VTD.PASID_R0),
    unit(VTD.PASID_R1),
    unit(VTD.PASID_R2),
    word(PASID_RESERVED.R6),
    unit(VTD.PASID_R4),
    unit(VTD.PASID_R5),
    word(PASID_RESERVED.R9),
    word(PASID_RESERVED.R10),
  ],
  [STRUCTURE.FSPTE]: (unit, entry, nested) => [
    unit(nested ? VTD.NESTED_R : VTD.FS_R, 2 * entry.level + (isLeaf(entry, FSPTE.PS) ? 1 : 0)),
  ],
  [STRUCTURE.SSPTE]: (unit, entry) => [unit(VTD.SS_R, 2 * entry.level + (isLeaf(entry, SSPTE.PS) ? 1 : 0))],
  [STRUCTURE.HPTE]: () => maskWords([HPTE_RESERVED.R0], 2),
};

const U64_BYTES = 8;

/**
 * Ones over the bits that must be 0 in `entry`, a word each.
 * @param nested a first-stage entry whose addresses pass a second stage
 * @returns undefined for a structure that is no table entry
 */
export function vtdReservedBits(view: DataView, unit: number, entry: VtdEntry, nested: boolean): bigint[] | undefined {
  const read: Unit = (offset, index = 0) => view.getBigUint64(unit + offset + index * U64_BYTES, true);
  const number = Object.keys(MASKS).find((candidate) => structureName(Number(candidate)) === entry.structure);
  return number === undefined ? undefined : MASKS[Number(number)]?.(read, entry, nested);
}

/** Names of the fields whose value the unit does not support: a domain, a type, a width, a number of levels. */
export function vtdUnsupported(view: DataView, unit: number, { structure, words }: VtdEntry): string[] {
  const read = (offset: VTD) => view.getUint32(unit + offset, true);
  const within = (set: VTD, value: number) => ((read(set) >>> value) & 1) === 1;
  const value = (field: number) => Number(getField(words, field));
  // In caching mode domain 0 is the hardware's own.
  const caching = getField([view.getBigUint64(unit + VTD.CAP, true)], CAP.CM) === 1n;
  if (structure === structureName(STRUCTURE.CONTEXT)) {
    const wide = value(CONTEXT.TT) !== TT.PASS_THROUGH || value(CONTEXT.AW) === read(VTD.WIDEST_AW);
    return [
      ...(within(VTD.AWS, value(CONTEXT.AW)) && wide ? [] : ["AW"]),
      ...(caching && value(CONTEXT.DID) === 0 ? ["DID"] : []),
    ];
  }
  if (structure !== structureName(STRUCTURE.PASID)) return [];
  const type = value(PASID.PGTT);
  const first = type === PGTT.FIRST_STAGE || type === PGTT.NESTED;
  const second = type === PGTT.SECOND_STAGE || type === PGTT.NESTED;
  return [
    ...(within(VTD.PGTTS, type) ? [] : ["PGTT"]),
    ...(second && !within(VTD.AWS, value(PASID.AW)) ? ["AW"] : []),
    ...(first && value(PASID.FSPM) > read(VTD.MAX_FSPM) ? ["FSPM"] : []),
    ...(caching && value(PASID.DID) === 0 ? ["DID"] : []),
  ];
}

function isLeaf({ level, words }: VtdEntry, pageSize: number): boolean {
  return level === 1 || getField(words, pageSize) === 1n;
}

/** Ones over a field in the word that it lies in. */
function word(field: number): bigint {
  return maskWords([field], 8).find((mask) => mask !== 0n) ?? 0n;
}
