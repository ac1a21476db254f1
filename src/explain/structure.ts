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

/** Reserved bits that are set, and reserved values. */
export function findProblems(structure: Structure, words: readonly bigint[]): Finding[] {
  if (structure.present?.(words) === false) return [];
  const shape = structure.shape(words);
  const ignored = structure.ignored?.(words) ?? [];
  const values = decodeFields(shape, words).filter(
    ({ name, meaning }) => meaning === "reserved" && !ignored.includes(name),
  );
  return [
    ...reservedRuns(structure, words).map((run) => ({
      bits: showBits(run),
      field: null,
      value: runValue(words, run),
      problem: `must be 0: ${structure.unnamed ?? "reserved"}`,
    })),
    ...values.map(({ name, value, ...run }) => ({
      bits: showBits(run),
      field: name,
      value,
      problem: `${hex(value)} is a reserved value`,
    })),
  ];
}

function reservedRuns(structure: Structure, words: readonly bigint[]): BitRun[] {
  const masks = reservedMasks(structure, words);
  const set = words.map((word, i) => word & (masks[i] as bigint));
  // A field of reserved bits is told as a whole, whichever of its bits are set.
  const places = bitRuns(masks);
  return places.filter((run) => runValue(set, run) !== 0n);
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
