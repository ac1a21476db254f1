/** What an emulator's outcome and the oracle's have to agree on. */
import type { Outcome, Request } from "../../src/index.ts";
import type { Attributes, Hints, OracleOutcome } from "./smmu-oracle/index.ts";

/** Events whose record has a FetchAddr. */
const FETCHES = [0x03, 0x09, 0x0b];
/** Events whose record has CLASS and S2, and those with an IPA besides. */
const CLASSED = [0x0b, 0x10, 0x11, 0x12, 0x13];
const TRANSLATION_RELATED = [0x10, 0x11, 0x12, 0x13];

/** The observable part of an outcome, as text; memory types only where the oracle's answer has a predictable one. */
export function observable(request: Request, outcome: Outcome | OracleOutcome, oracle: OracleOutcome): string {
  const hex = (value: bigint) => `0x${value.toString(16)}`;
  if (outcome.ok) {
    const { read, write, execute } = outcome.permissions;
    // A completion that grants nothing says no more than that; its address means nothing.
    if (request.type === "translation" && !read && !write && !execute) return "success, nothing granted";
    const rights = `${read ? "r" : "-"}${write ? "w" : "-"}${execute ? "x" : "-"}`;
    const place = `${hex(outcome.address)} size ${hex(outcome.pageSize)}`;
    const type = oracle.ok && oracle.attributes.unpredictable ? "any" : memoryType(outcome.attributes);
    return `success ${place} ${rights} type ${type} ${outcome.bypass ? "bypass" : ""}`;
  }
  const { code } = outcome;
  const parts = [`${outcome.answer} event ${hex(BigInt(code))} ${outcome.recorded ? "recorded" : "kept"}`];
  if (CLASSED.includes(code)) parts.push(`S2 ${outcome.stage === 2 ? 1 : 0} CLASS ${outcome.class}`);
  if (TRANSLATION_RELATED.includes(code) && outcome.stage === 2) parts.push(`IPA ${hex(outcome.ipa)}`);
  if (FETCHES.includes(code)) parts.push(`FetchAddr ${hex(outcome.fetchAddress)}`);
  if (code === 0x13 && outcome.class === 1) parts.push(`TTRnW ${outcome.tableWrite ? 0 : 1}`);
  return parts.join(", ");
}

/** Memory type and shareability: a MAIR byte, and SH in bits 9:8, as `SmmuAttributes` has them. */
function memoryType(attributes: number | Attributes): string {
  const packed = typeof attributes === "number" ? attributes & 0x3ff : pack(attributes);
  return `0x${packed.toString(16)}`;
}

function pack({ device, inner, outer, shareability, innerHints, outerHints }: Attributes): number {
  const type = device === undefined ? (nibble(outer, outerHints) << 4) | nibble(inner, innerHints) : device << 2;
  return type | (shareability << 8);
}

/** Half a MAIR byte: 0100 non-cacheable, x0RW write-through, x1RW write-back; transient needs a hint. */
function nibble(cacheability: number, { read, write, transient }: Hints): number {
  if (cacheability === 0) return 4;
  const hints = (read ? 2 : 0) | (write ? 1 : 0);
  return (cacheability === 2 ? 4 : 0) | hints | (transient && hints ? 0 : 8);
}
