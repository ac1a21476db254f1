/** The fields of an entry on a terminal, a line each. */
import { hex } from "../../check.ts";
import type { Shape } from "../../explain/shape.ts";
import { fieldsOf, getField, getInPlace } from "../../structure.ts";
import { type Paint, wrap } from "../paint.ts";

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
