/** How a walk ended: the translation, or why a fault is a fault and who learns of it. */
import type { ImageUnit, MachineImage } from "../../capture/image/image.ts";
import { showPermissions } from "../../capture/verify.ts";
import { hex } from "../../check.ts";
import { blamedFields, type Shape } from "../../explain/shape.ts";
import type { Answer, Fault, Request, TraceCheck, TraceStep, Translation } from "../../iommu.ts";
import { eventMeaning } from "../../smmuv3/names.ts";
import { getField } from "../../structure.ts";
import { faultReason } from "../../vtd/names.ts";
import { type Paint, wrap } from "../paint.ts";
import { shapeOf } from "./structures.ts";

export function tellTranslation(request: Request, outcome: Translation, image: MachineImage, paint: Paint): string {
  const { address, pageSize, permissions, bypass, answer } = outcome;
  const granted = showPermissions(permissions) || "nothing";
  const how = bypass
    ? "bypass: the address goes out as it came in"
    : `a page of ${showSize(pageSize)} at ${hex(address - (address % pageSize))}, ${granted} allowed`;
  const target = answer === "interrupt" ? "an interrupt, not memory" : describeTarget(image, address);
  return `${paint("green", `=> ${hex(request.address)} translates to ${hex(address)}`)}\n${wrap(`${how}; ${target}`, "   ")}`;
}

function describeTarget({ pages, ram }: MachineImage, address: bigint): string {
  const role = pages.role(address);
  if (role !== "") return `that page is itself captured (${role})`;
  if (ram.length === 0) return "what lies there is not known";
  return ram.some(({ base, size }) => address >= base && address < base + size)
    ? "in the machine's RAM"
    : "outside the machine's RAM";
}

/** 4096 -> "4 KiB" */
export function showSize(bytes: bigint): string {
  const units = ["bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
  let unit = 0;
  let size = bytes;
  while (size >= 1024n && size % 1024n === 0n && unit < units.length - 1) {
    size /= 1024n;
    unit++;
  }
  return `${size} ${size === 1n && unit === 0 ? "byte" : units[unit]}`;
}

const ANSWERS: Readonly<Record<Exclude<Answer, "interrupt">, string>> = {
  success: "a successful completion that grants nothing",
  ur: "an Unsupported Request (UR) completion",
  ca: "a Completer Abort (CA) completion",
  abort: "an abort",
  "raz-wi": "success: reads are zero, writes vanish",
  stall: "no answer yet: the transaction stalls until software resumes or ends it",
};

export function tellFault(fault: Fault, steps: readonly TraceStep[], image: MachineImage, paint: Paint): string {
  const step = steps.findLast(({ checks }) => checks.some((check) => check.failed)) ?? steps.at(-1);
  const failed = step?.checks.find((check) => check.failed);
  const line = (label: string, text: string) => wrap(text, " ".repeat(LABEL), undefined, `   ${label}`.padEnd(LABEL));
  let text = `${paint("red", `=> FAULT, ${showCode(fault, image)}`)}\n`;
  if (fault.code !== 0) text += line("means", MEANINGS[image.iommu](fault.code));
  text += line("rule", failed ? `${failed.id}: ${failed.rule} (${failed.section})` : fault.check);
  const shape = step && shapeOf(image, step);
  // Rules about the request alone are noted on the register that every walk starts from.
  if (step && shape && !(shape.register && blamedFields(shape, failed).length === 0)) {
    const place = shape.register ? "" : ` at ${hex(step.address)}`;
    text += line("entry", `${shape.title}${place}${showFields(shape, step, failed)}`);
    const lost = !shape.register && step.words.length === 0 && !image.pages.page(step.address);
    if (lost) text += line("note", "its page is not in this image: the machine may have gone on from here");
  }
  text += line("device", `gets ${ANSWERS[fault.answer]}`);
  return text + line("software", fault.recorded ? RECORDED[image.iommu] : "is told nothing: the fault is not recorded");
}

const LABEL = 13;

const RECORDED = {
  vtd: "finds a fault record (FRCD) with source-id, PASID, address and reason",
  smmuv3: "finds an event record in the event queue with StreamID, SubstreamID and address",
} as const;

const MEANINGS = {
  vtd: (code: number) => faultReason(code).meaning,
  smmuv3: eventMeaning,
} as const;

function showCode({ code, name }: Fault, { iommu }: ImageUnit): string {
  if (code === 0) return "no code";
  return iommu === "vtd" ? `reason ${hex(code)} ${name}` : `event ${hex(code, 2)} ${name}`;
}

/** ", P (bit 0) is 0": the fields that the rule is about. */
function showFields(shape: Shape, { words }: TraceStep, failed: TraceCheck | undefined): string {
  if (words.length === 0) return "";
  return blamedFields(shape, failed)
    .map(({ name, field, msb, lsb }) => {
      const bits = msb === lsb ? `bit ${lsb}` : `bits ${msb}:${lsb}`;
      return `, ${name} (${bits}) is ${getField(words, field) > 9n ? hex(getField(words, field)) : getField(words, field)}`;
    })
    .join("");
}
