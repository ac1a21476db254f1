/** A traced walk, told entry by entry in 80 columns, and why a fault is a fault. */
import type { MachineImage } from "../../capture/image/image.ts";
import { rootOfTables } from "../../capture/state.ts";
import { hex } from "../../check.ts";
import { blamedFields, LEADS_ON, type Shape } from "../../explain/shape.ts";
import type { Request, Trace, TraceCheck, TraceStep } from "../../iommu.ts";
import { fieldsOf, getField } from "../../structure.ts";
import { COLUMNS, type Paint, wrap } from "../paint.ts";
import { showSid } from "../values.ts";
import { fieldLines, rawWords } from "./fields.ts";
import { shapeOf } from "./structures.ts";
import { tellFault, tellTranslation } from "./verdict.ts";

export interface Telling {
  image: MachineImage;
  paint: Paint;
  /** Every field, not only those that say something. */
  all: boolean;
  /** "tables": entries that only lead on take one line; "fault": so does every entry before the last. */
  brief?: "tables" | "fault";
}

const PAD = "    ";
const ACCESS_WORDS = { r: "read", w: "write", x: "execute", a: "atomic" } as const;

/** "device 00:06.0, PASID 1, read at 0x40b6008" */
export function showRequest(request: Request): string {
  const { sid, pasid, address, access = "r", privileged } = request;
  const who = `device ${showSid(sid)}, ${pasid === undefined || pasid === null ? "no PASID" : `PASID ${pasid}`}`;
  return `${who}, ${privileged ? "privileged " : ""}${ACCESS_WORDS[access]} at ${hex(address)}`;
}

/** The whole walk: where it starts, every entry, the result. */
export function tellWalk(request: Request, { steps, outcome }: Trace, telling: Telling): string {
  const { paint, image } = telling;
  const parts = [
    `${paint("bold", showRequest(request))}\n`,
    `${paint("dim", wrap(rootOfTables(image), "  ").trimEnd())}\n`,
    ...indexLines(request, steps).map((line) => `  ${paint("dim", line)}\n`),
    "\n",
  ];
  let number = 0;
  steps.forEach((step, i) => {
    const shape = shapeOf(image, step);
    if (!shape) parts.push(tellChecks(step.checks, 0, paint));
    else if (isBrief(step, shape, i === steps.length - 1, telling))
      parts.push(tellBriefly(step, shape, ++number, telling));
    else parts.push(tellStep(step, shape, ++number, telling));
  });
  parts.push(outcome.ok ? tellTranslation(request, outcome, image, paint) : tellFault(outcome, steps, image, paint));
  return parts.join("");
}

/** How PASID and address pick their entries, a line each. */
export function indexLines(request: Request, steps: readonly TraceStep[]): string[] {
  const lines: string[] = [];
  const pasidSteps = steps.filter(({ structure }) => PASID_STEPS[structure] !== undefined);
  if (pasidSteps.length > 1 && request.pasid) {
    const picks = pasidSteps.map((step) => `${PASID_STEPS[step.structure]} ${step.index}`).join(", ");
    lines.push(`PASID ${request.pasid} = ${picks}`);
  }
  const paging = steps.filter(({ stage }) => stage > 0);
  // With two stages every address of the first walks the second: no one line holds that.
  if (paging.length > 0 && new Set(paging.map(({ stage }) => stage)).size === 1) {
    const picks = paging.map(({ level, index }) => `L${level}[${index}]`).join(" ");
    lines.push(`address ${hex(request.address)} = ${picks} + offset`);
  }
  return lines;
}

const PASID_STEPS: Readonly<Record<string, string>> = {
  "PASID directory entry": "directory entry",
  "PASID table entry": "table entry",
  L1CD: "level 1 entry",
  CD: "CD",
};

function isBrief(step: TraceStep, { purpose }: Shape, last: boolean, { brief }: Telling): boolean {
  if (brief === undefined || last) return false;
  return brief === "fault" || (step.stage > 0 && purpose === LEADS_ON);
}

/** Title, place and word, and the one-bit fields that are set. */
function tellBriefly(step: TraceStep, shape: Shape, number: number, { paint }: Telling): string {
  const set = fieldsOf(shape.layout).filter(
    ({ name, field, msb, lsb }) => msb === lsb && !shape.unused?.includes(name) && getField(step.words, field) === 1n,
  );
  const names = set.map(({ name }) => name).join(" ");
  return `${tellTitle(number, shape, paint)}${tellPlace(step, shape, paint).trimEnd()}  ${names}\n`;
}

function tellStep(step: TraceStep, shape: Shape, number: number, { image, paint, all }: Telling): string {
  const failed = step.checks.find((check) => check.failed);
  let text = tellTitle(number, shape, paint) + tellPlace(step, shape, paint);
  const note = shape.register || step.words.length === 0 ? undefined : image.pages.note?.(step.address);
  if (note) text += `${paint("yellow", wrap(note, `${PAD}  `, undefined, PAD).trimEnd())}\n`;
  const fields = fieldLines(
    shape,
    step.words,
    new Set(blamedFields(shape, failed).map(({ name }) => name)),
    all,
    paint,
  );
  if (step.words.length > 0) text += fields.text;
  if (step.updated !== undefined) text += `${PAD}${paint("yellow", `written back: ${hex(step.updated, 16)}`)}\n`;
  return `${text}${tellChecks(step.checks, step.words.length > 0 ? fields.zero : 0, paint)}\n`;
}

function tellTitle(number: number, { title, purpose }: Shape, paint: Paint): string {
  return wrap(`${title}: ${purpose}`, PAD, undefined, `${String(number).padStart(2)}  `).replace(
    title,
    paint("bold", title),
  );
}

/** Where the entry lies, and its words. */
function tellPlace({ index, address, words }: TraceStep, { register }: Shape, paint: Paint): string {
  const place = register ? `${PAD}value ` : `${PAD}entry ${index} at ${hex(address)}: `;
  const room = Math.max(1, Math.floor((COLUMNS - place.length - 10) / WORD));
  const [first = "(could not be read)", ...more] = rawWords(words, room);
  return [
    `${place.replace(hex(address), paint("yellow", hex(address)))}${first}`,
    ...more.map((line) => " ".repeat(place.length) + line),
    "",
  ].join("\n");
}

/** Sixteen digits and a space. */
const WORD = 17;

function tellChecks(checks: readonly TraceCheck[], zero: number, paint: Paint): string {
  const passed = checks.filter((check) => !check.failed).map((check) => check.id);
  const failed = checks.find((check) => check.failed);
  let text = "";
  if (passed.length > 0) {
    const rest = zero === 0 ? "" : `; ${zero} other field${zero === 1 ? " is" : "s are"} 0`;
    const list = wrap(`passed ${passed.join(" ")}${rest}`, `${PAD}  `, undefined, PAD);
    text += `${paint("green", list.trimEnd())}\n`;
  }
  if (failed) {
    const verdict = wrap(`FAILED ${failed.id}: ${failed.rule}`, `${PAD}  `, undefined, PAD);
    text += `${paint("red", verdict.trimEnd())}\n`;
  }
  return text;
}
