/**
 * How an entry of a table is told to a person: what it is for, and what its fields mean.
 *
 * Positions come from the layout; a shape adds words to them, never bit numbers.
 */
import type { TraceCheck, TraceStep } from "../iommu.ts";
import { type FieldInfo, fieldsOf, type Layout } from "../structure.ts";

/** What a field's value means, in a few words. */
export type Meaning = string | ((value: bigint) => string);

export interface Shape {
  /** "PASID table entry". */
  title: string;
  /** One sentence for newcomers. */
  purpose: string;
  layout: Layout;
  meanings: Readonly<Record<string, Meaning>>;
  /** Fields that hold an address in place. */
  addresses: readonly string[];
  /** Fields worth a line even when they are 0. */
  always: readonly string[];
  /** A register, not an entry in memory. */
  register?: true;
  /** Fields that this kind of entry does not use. */
  unused?: readonly string[];
}

/** What a shape depends on: which structure, where in the walk, and what it holds. */
export type Entry = Pick<TraceStep, "structure" | "stage" | "level" | "words">;

/** What entries that map nothing themselves are for. */
export const LEADS_ON = "leads to the next level";

/** Fields that a failed check names, in its id or its rule, by name or as "bit 0". */
export function blamedFields({ layout }: Shape, failed: TraceCheck | undefined): FieldInfo[] {
  if (!failed) return [];
  // An id is "STE.Config": the structure, then what it is about.
  const [, ...subject] = failed.id.split(".");
  const words = `${subject.join(" ")} ${failed.rule}`.split(/[^A-Za-z0-9_/]+/);
  const names = new Set(words.flatMap((word) => [word, ...(RULE_WORDS[word] ?? [])]));
  const bit = /\bbit (\d+)\b/.exec(failed.rule)?.[1];
  return fieldsOf(layout).filter(({ name, msb, lsb }) => names.has(name) || (msb === lsb && `${lsb}` === bit));
}

/** Fields that a rule means by another word. */
const RULE_WORDS: Readonly<Record<string, readonly string[]>> = {
  reading: ["R"],
  writing: ["W", "RW"],
  "U/S": ["US"],
  permission: ["AP1", "AP2", "S2AP0", "S2AP1"],
};

/** "present" or "not present" and the like. */
export function yes(on: string, off: string): Meaning {
  return (value) => (value === 1n ? on : off);
}

/** A meaning a value, by number. */
export function choice(...names: readonly string[]): Meaning {
  return (value) => names[Number(value)] ?? "reserved";
}
