/**
 * How an entry of a table is told to a person: what it is for, and what its fields mean.
 *
 * Positions come from the layout; a shape adds words to them, never bit numbers.
 */
import { hex } from "../../check.ts";
import type { TraceCheck } from "../../iommu.ts";
import { type FieldInfo, fieldsOf, getField, getInPlace, type Layout } from "../../structure.ts";
import { type Paint, wrap } from "../paint.ts";

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

/** What entries that map nothing themselves are for. */
export const LEADS_ON = "leads to the next level";

const INDENT = "    ";
const NAME = 12;
const VALUE = 14;

/** Words of an entry as memory has them, `perLine` a line. */
export function rawWords(words: readonly bigint[], perLine: number): string[] {
  const lines: string[] = [];
  // Zeros at the end say nothing.
  let count = words.length;
  while (count > 1 && words[count - 1] === 0n) count--;
  for (let i = 0; i < count; i += perLine) {
    lines.push(
      words
        .slice(i, Math.min(i + perLine, count))
        .map((word) => word.toString(16).padStart(16, "0"))
        .join(" "),
    );
  }
  const zeros = words.length - count;
  if (zeros > 0) lines[lines.length - 1] += ` and ${zeros} zero${zeros === 1 ? "" : "s"}`;
  return lines;
}

/**
 * Fields with bits, name, value and meaning, one a line.
 * @param marked names to show in any case and to point at: what a failed check is about
 * @param all every field, not only those that say something
 * @returns the lines, and how many fields that are 0 they leave out
 */
export function fieldLines(
  shape: Shape,
  entry: readonly bigint[],
  marked: ReadonlySet<string>,
  all: boolean,
  paint: Paint,
): { text: string; zero: number } {
  let zero = 0;
  let text = "";
  for (const { name, field, msb, lsb } of fieldsOf(shape.layout)) {
    if (shape.unused?.includes(name) && !marked.has(name)) continue;
    const isAddress = shape.addresses.includes(name);
    const value = isAddress ? getInPlace(entry, field) : getField(entry, field);
    const wanted = all || marked.has(name) || (marked.size === 0 && shape.always.includes(name));
    if (value === 0n && !wanted) {
      zero++;
      continue;
    }
    const bits = msb === lsb ? `${lsb}` : `${msb}:${lsb}`;
    const shown = isAddress || value > 9n ? hex(value) : `${value}`;
    const meaning = shape.meanings[name] ?? "";
    const head = `${INDENT}${bits.padStart(7)}  ${name.padEnd(NAME)} ${shown.padEnd(VALUE)} `;
    const words = typeof meaning === "string" ? meaning : meaning(value);
    const line = wrap(words, " ".repeat(head.length), undefined, head).trimEnd();
    text += `${marked.has(name) ? paint("red", line) : line.replace(name, paint("cyan", name))}\n`;
  }
  return { text, zero };
}

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
