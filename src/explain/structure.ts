/** A structure that can be decoded by name, and what is wrong with words of it. */
import { hex } from "../check.ts";
import { fieldsOf, getField, getInPlace, type Layout, maskWords, setField } from "../structure.ts";
import { type BitRun, bitRuns, showBits } from "./bit-runs.ts";
import type { Shape } from "./shape.ts";

/** A structure of the catalogue. */
export interface Structure {
  /** "vtd.pasid-entry" */
  readonly name: string;
  /** "VT-d 9.6" */
  readonly section: string;
  /** 64-bit words. */
  readonly words: number;
  /** Other numbers of words that it may have: a descriptor of a narrow queue. */
  readonly narrow?: number;
  /** Bits of a register that is narrower than a word. */
  readonly bits?: 32;
  /** What traces call such an entry of a table, and the paging level; absent for what no walk reads. */
  readonly entry?: { readonly structure: string; readonly level: number };
  /** How these words are told. Some structures change with what they hold. */
  shape(words: readonly bigint[]): Shape;
  /** Bits that must be 0 in these words; a bit that no field and no such list names is ignored. */
  reserved?(words: readonly bigint[]): readonly Layout[];
  /** Whether hardware looks beyond the present bit; always unless told. */
  present?(words: readonly bigint[]): boolean;
  /** Fields that these words make hardware ignore, so that no value of theirs is wrong. */
  ignored?(words: readonly bigint[]): readonly string[];
  /** Every bit that has no name is reserved. */
  readonly strict?: true;
  /** What such a bit is called: "RES0" and the like. */
  readonly unnamed?: string;
  /** Fields that `encode` sets by itself: a type, an opcode. */
  readonly preset?: Readonly<Record<string, bigint>>;
}

/** Structures of one queue: which one, the words say. */
export interface Family {
  readonly name: string;
  readonly title: string;
  readonly section: string;
  readonly words: number;
  readonly narrow?: number;
  readonly members: readonly Structure[];
  /** What picks the member, in words: "type 0x1f". */
  selector(words: readonly bigint[]): string;
  pick(words: readonly bigint[]): Structure | undefined;
}

export interface Finding {
  /** "11:1" */
  bits: string;
  /** Name of the field; null for bits without one. */
  field: string | null;
  value: bigint;
  problem: string;
}

export interface DecodedField {
  name: string;
  msb: number;
  lsb: number;
  /** An address field holds the address, others their number. */
  value: bigint;
  meaning: string;
}

/** Every field that counts in these words. */
export function decodeFields(shape: Shape, words: readonly bigint[]): DecodedField[] {
  return fieldsOf(shape.layout)
    .filter(({ name }) => !shape.unused?.includes(name))
    .map(({ name, field, msb, lsb }) => {
      const value = shape.addresses.includes(name) ? getInPlace(words, field) : getField(words, field);
      return { name, msb, lsb, value, meaning: meaningOf(shape, name, value) };
    });
}

/** What a value means. A word for a flag that is set says nothing about one that is not. */
export function meaningOf(shape: Shape, name: string, value: bigint): string {
  const meaning = shape.meanings[name] ?? "";
  return typeof meaning === "string" ? meaning : meaning(value);
}

/** What one unit's capabilities add to the rules that hold for every unit. */
export interface UnitRules {
  /** Ones over the bits that must be 0, a word each. */
  reserved: readonly bigint[];
  /** Fields whose values need capabilities that the unit lacks. */
  unsupported: readonly string[];
}

/** Reserved bits that are set, and reserved values. */
export function findProblems(structure: Structure, words: readonly bigint[], unit?: UnitRules): Finding[] {
  if (structure.present?.(words) === false) return [];
  const shape = structure.shape(words);
  const ignored = structure.ignored?.(words) ?? [];
  const always = reservedMasks(structure, words);
  const more = unit?.reserved.map((mask, i) => mask & ~(always[i] as bigint));
  const bits = (run: BitRun, problem: string): Finding => ({
    bits: showBits(run),
    field: null,
    value: runValue(words, run),
    problem,
  });
  return [
    ...reservedRuns(always, words).map((run) => bits(run, `must be 0: ${structure.unnamed ?? "reserved"}`)),
    ...reservedRuns(more ?? [], words).map((run) =>
      bits(run, `must be 0: reserved by this unit's capabilities${fieldsWithin(shape, run)}`),
    ),
    ...decodeFields(shape, words).flatMap(({ name, value, meaning, ...run }) => {
      const reserved = meaning === "reserved" && !ignored.includes(name);
      if (!reserved && !unit?.unsupported.includes(name)) return [];
      const problem = `${hex(value)} is ${reserved ? "a reserved value" : "not supported by this unit"}`;
      return [{ ...bits(run, problem), field: name, value }];
    }),
  ];
}

/** Runs of the masks that hold a one in `words`: a field is told as a whole, whichever of its bits are set. */
function reservedRuns(masks: readonly bigint[], words: readonly bigint[]): BitRun[] {
  const set = words.map((word, i) => word & (masks[i] ?? 0n));
  return bitRuns(masks).filter((run) => runValue(set, run) !== 0n);
}

/** " (PGSNP, CD)": what the run is for where the capability exists. */
function fieldsWithin({ layout }: Shape, { msb, lsb }: BitRun): string {
  const names = fieldsOf(layout).filter((field) => field.lsb <= msb && field.msb >= lsb);
  return names.length === 0 ? "" : ` (${names.map(({ name }) => name).join(", ")})`;
}

const ALL_ONES = 0xffff_ffff_ffff_ffffn;

/** Ones over the bits that must be 0. */
export function reservedMasks(structure: Structure, words: readonly bigint[]): bigint[] {
  const count = words.length;
  if (!structure.strict) {
    const fields = (structure.reserved?.(words) ?? []).flatMap((layout) => fieldsOf(layout).map(({ field }) => field));
    return maskWords(fields, count).slice(0, count);
  }
  const named = fieldsOf(structure.shape(words).layout).map(({ field }) => field);
  return maskWords(named, count)
    .slice(0, count)
    .map((mask) => ~mask & ALL_ONES);
}

function runValue(words: readonly bigint[], { msb, lsb }: BitRun): bigint {
  return getField(words, fieldAt(msb, lsb));
}

const FIELD_BASE = 0x10000;

/** The number that layouts use for a place. */
function fieldAt(msb: number, lsb: number): number {
  return msb * FIELD_BASE + lsb;
}

/** Zeros, with the fields that make these words the structure they are. */
export function blankWords({ words: count, preset = {}, shape }: Structure): bigint[] {
  const words = new Array<bigint>(count).fill(0n);
  const { layout } = shape(words);
  for (const [name, value] of Object.entries(preset)) setField(words, layout[name] as number, value);
  return words;
}
