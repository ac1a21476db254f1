/** Names of structures, words and values on the command line of `decode`, `encode` and `fields`. */

import type { CatalogueEntry } from "../explain/catalogue.ts";
import { FAMILIES, findEntry, STRUCTURES } from "../explain/catalogue.ts";
import { UsageError } from "./verb.ts";

const MAX_WORD = 0xffff_ffff_ffff_ffffn;
/** As many suggestions as fit a line. */
const SUGGESTIONS = 6;

/** @throws UsageError naming structures that look alike */
export function requireEntry(name: string): CatalogueEntry {
  const entry = findEntry(name);
  if (entry) return entry;
  const names = [...STRUCTURES, ...FAMILIES].map((candidate) => candidate.name);
  const word = name.toLowerCase().split(/[.-]/).at(-1) as string;
  const near = names.filter((candidate) => word !== "" && candidate.includes(word)).slice(0, SUGGESTIONS);
  const hint = near.length > 0 ? `; is it ${near.join(", ")}?` : '; "fields" lists them';
  throw new UsageError(`"${name}" is no structure${hint}`);
}

/** A number of up to 64 bits, decimal or 0x.. @throws UsageError */
export function parseValue(what: string, text: string): bigint {
  const digits = text.replaceAll("_", "");
  if (/^(0x[0-9a-f]+|\d+)$/i.test(digits)) {
    const value = BigInt(digits);
    if (value <= MAX_WORD) return value;
    throw new UsageError(`${what}: "${text}" has more than 64 bits`);
  }
  const hint = /^[0-9a-f]+$/i.test(digits) ? `; write 0x${digits}` : "";
  throw new UsageError(`${what}: "${text}" is not a number (decimal or 0x..)${hint}`);
}
