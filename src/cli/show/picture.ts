/** What a picture of a walk shows: a card for each entry that was read, in rows, and how it ended. */
import type { MachineImage } from "../../capture/image/image.ts";
import { rootOfTables } from "../../capture/state.ts";
import { hex } from "../../check.ts";
import { blamedFields, type Shape } from "../../explain/shape.ts";
import { meaningOf } from "../../explain/structure.ts";
import type { Request, Trace, TraceStep } from "../../iommu.ts";
import { fieldsOf, getField, getInPlace } from "../../structure.ts";
import { VtdWalker } from "../../vtd/walker.ts";
import type { Walker } from "../../walker.ts";
import { painter, wrap } from "../paint.ts";
import { shapeOf } from "./structures.ts";
import { indexLines, showRequest } from "./trace.ts";
import { tellFault, tellTranslation } from "./verdict.ts";

/** Characters in a line of a card. */
export const CARD_COLUMNS = 47;
const WORD_BITS = 64;
const MOST_CARDS = 5;

/** A whole picture. */
export interface Picture {
  /** What was asked. */
  title: string;
  /** Where translation starts, and which entries the request picks. */
  intro: readonly string[];
  rows: readonly (readonly Card[])[];
  /** How it ended. */
  verdict: readonly string[];
  ok: boolean;
}

export type Tone = "plain" | "dim" | "address" | "good" | "bad";

export interface Line {
  text: string;
  tone: Tone;
  /** Shown under the pointer. */
  tip?: string;
}

/** Neighbouring bits of one word. */
export interface Run {
  msb: number;
  lsb: number;
  /** "AW = 2: 48 bits, 4 levels" */
  tip: string;
  /** What the failed check is about. */
  bad: boolean;
}

export interface Word {
  index: number;
  value: bigint;
  /** Named fields; what no run covers has no name. */
  runs: readonly Run[];
}

export interface Card {
  title: string;
  place: string;
  words: readonly Word[];
  lines: readonly Line[];
  failed: boolean;
  /** Which line holds the address that leads to the next card. */
  leads: number | undefined;
}

/** How an entry is told, and which of its bits a failed "reserved bits" check can mean. */
interface Teller {
  shape(step: TraceStep): Shape | undefined;
  reserved(step: TraceStep): readonly bigint[] | undefined;
}

/** The picture of a traced walk of `walker` over a machine's tables. */
export function pictureOf(request: Request, trace: Trace, image: MachineImage, walker: Walker): Picture {
  const { outcome, steps } = trace;
  const plain = painter(false);
  const verdict = outcome.ok
    ? tellTranslation(request, outcome, image, plain)
    : tellFault(outcome, steps, image, plain);
  const nested = steps.some(({ stage }) => stage === 2);
  return {
    title: showRequest(request),
    intro: [rootOfTables(image), ...indexLines(request, steps)],
    rows: cardRows(steps, {
      shape: (step) => shapeOf(image, step),
      reserved: (step) =>
        walker instanceof VtdWalker ? walker.reservedBits(step, nested && step.stage === 1) : undefined,
    }),
    verdict: verdict.trimEnd().split("\n"),
    ok: outcome.ok,
  };
}

/** Cards in rows: configuration first, then each table walk on a row of its own. */
function cardRows(steps: readonly TraceStep[], teller: Teller): Card[][] {
  const told = steps.flatMap((step) => {
    const shape = teller.shape(step);
    return shape ? [{ step, shape }] : [];
  });
  const rows: Card[][] = [];
  told.forEach(({ step, shape }, i) => {
    const before = told[i - 1]?.step;
    const card = cardOf(i + 1, step, shape, teller, told[i + 1]?.step);
    const row = rows.at(-1);
    if (row && before && row.length < MOST_CARDS && staysInRow(before, step, told[i - 2]?.step)) row.push(card);
    else rows.push([card]);
  });
  return rows;
}

/** A second-stage walk, and the entry that it was for, are a row. */
function staysInRow(before: TraceStep, step: TraceStep, earlier: TraceStep | undefined): boolean {
  if (step.stage === 2) return before.stage === 2;
  if (before.stage === 2) return true;
  return before.stage === step.stage && earlier?.stage !== 2;
}

function cardOf(number: number, step: TraceStep, shape: Shape, teller: Teller, next: TraceStep | undefined): Card {
  const failed = step.checks.find((check) => check.failed);
  const marked = new Set(blamedFields(shape, failed).map(({ name }) => name));
  const reserved = failed && /\breserved bits\b/.test(failed.rule) ? teller.reserved(step) : undefined;
  const lines = fieldLines(step, shape, marked);
  const leads = next && leadingLine(lines, next.address);
  const passed = step.checks.filter((check) => !check.failed);
  const rest: Line[] = [];
  if (step.updated !== undefined) rest.push({ text: `written back ${hex(step.updated, 16)}`, tone: "address" });
  if (passed.length > 0) {
    const tip = passed.map(({ id, rule }) => `${id}: ${rule}`).join("\n");
    rest.push({ text: `${passed.length} check${passed.length === 1 ? "" : "s"} passed`, tone: "good", tip });
  }
  if (failed) {
    const text = wrap(`FAILED ${failed.id}: ${failed.rule} (${failed.section})`, "  ", CARD_COLUMNS, "").trimEnd();
    rest.push(...text.split("\n").map((line): Line => ({ text: line, tone: "bad" })));
  }
  return {
    title: clip(`${number}  ${shape.title}`),
    place: shape.register ? "register" : `entry ${step.index} at ${hex(step.address)}`,
    words: wordsOf(step, shape, marked, reserved),
    lines: [...lines.map(({ line }) => line), ...rest],
    failed: failed !== undefined,
    leads,
  };
}

interface FieldLine {
  line: Line;
  address: bigint | undefined;
}

/** Fields that say something, as on a terminal. */
function fieldLines({ words }: TraceStep, shape: Shape, marked: ReadonlySet<string>): FieldLine[] {
  if (words.length === 0) return [{ line: { text: "(could not be read)", tone: "bad" }, address: undefined }];
  return fieldsOf(shape.layout).flatMap(({ name, field, msb, lsb }) => {
    const isAddress = shape.addresses.includes(name);
    const value = isAddress ? getInPlace(words, field) : getField(words, field);
    const wanted = marked.has(name) || (shape.always.includes(name) && marked.size === 0);
    if (shape.unused?.includes(name) && !marked.has(name)) return [];
    if (value === 0n && !wanted) return [];
    const shown = isAddress || value > 9n ? hex(value) : `${value}`;
    const bits = msb === lsb ? `${lsb}` : `${msb}:${lsb}`;
    const meaning = meaningOf(shape, name, value);
    const told = `${name} = ${shown}${meaning === "" ? "" : `: ${meaning}`}`;
    const tone = marked.has(name) ? "bad" : isAddress ? "address" : "plain";
    const line: Line = { text: clip(`${bits.padStart(7)} ${told}`), tone, tip: told };
    return [{ line, address: isAddress ? value : undefined }];
  });
}

/** The largest table that an address can lead to: entries of a 64 KiB granule, or a linear stream table. */
const REACH = 0x400_0000n;

function leadingLine(lines: readonly FieldLine[], next: bigint): number | undefined {
  let best: number | undefined;
  lines.forEach(({ address }, i) => {
    if (address === undefined || address > next || next - address >= REACH) return;
    if (best === undefined || address > (lines[best]?.address as bigint)) best = i;
  });
  return best;
}

/** Words that hold something, or the bits at fault; the first in any case. */
function wordsOf(
  { words }: TraceStep,
  shape: Shape,
  marked: ReadonlySet<string>,
  reserved: readonly bigint[] | undefined,
): Word[] {
  const fields = fieldsOf(shape.layout).filter(({ name }) => !shape.unused?.includes(name) || marked.has(name));
  return words.flatMap((value, index) => {
    const runs: Run[] = fields
      .filter(({ lsb }) => Math.floor(lsb / WORD_BITS) === index)
      .map(({ name, field, msb, lsb }) => ({
        msb: msb % WORD_BITS,
        lsb: lsb % WORD_BITS,
        tip: `${name} = ${hex(getField(words, field))}: ${meaningOf(shape, name, getField(words, field))}`,
        bad: marked.has(name),
      }));
    const wrong = value & (reserved?.[index] ?? 0n);
    for (let bit = 0; bit < WORD_BITS; bit++) {
      if ((wrong >> BigInt(bit)) & 1n) runs.push({ msb: bit, lsb: bit, tip: `bit ${bit}: must be 0`, bad: true });
    }
    return index === 0 || value !== 0n || runs.some(({ bad }) => bad) ? [{ index, value, runs }] : [];
  });
}

function clip(text: string): string {
  return text.length > CARD_COLUMNS ? `${text.slice(0, CARD_COLUMNS - 1)}…` : text;
}
