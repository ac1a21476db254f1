/** A finding of `explain`, for people and as JSON. */
import { hex } from "../../check.ts";
import type { DumpWalk, LogFinding } from "../../explain/finding.ts";
import { showSourceId } from "../../explain/source-id.ts";
import { type Paint, wrap } from "../paint.ts";

const LABEL = 15;
const ACCESSES = { r: "read", w: "write", x: "instruction fetch", a: "atomic access" } as const;
const CODES: Readonly<Record<string, string>> = { fault: "reason", "interrupt-fault": "reason", event: "event" };

/** Title, meaning, rule, causes, next command. */
export function tellFinding(found: LogFinding, number: number, paint: Paint): string {
  const times = found.count > 1 ? ` (${found.count} times)` : "";
  const title = wrap(`${titleOf(found)}${times}`, "    ", undefined, `${String(number).padStart(2)}  `);
  const line = (label: string, text: string) => wrap(text, " ".repeat(LABEL), undefined, `    ${label}`.padEnd(LABEL));
  let text = `${paint("bold", title.trimEnd())}\n`;
  text += line("means", found.meaning);
  for (const [i, { rule, section }] of found.rules.entries())
    text += line(i === 0 ? "rule" : "or", `${rule} (${section})`);
  if (found.where !== null) text += line("where", found.where);
  for (const [name, value] of Object.entries(found.details)) text += line(name.slice(0, LABEL - 5), value);
  if (found.record) text += line("record", tellRecord(found.record));
  if (found.walk) text += tellWalk(found.walk, line, paint);
  for (const note of found.notes) text += line("note", note);
  for (const [i, cause] of found.causes.entries())
    text += line(i === 0 ? "likely" : "", `${i + 1}. ${fill(cause, found)}`);
  for (const [i, next] of found.next.entries()) {
    const [command = "", why] = fill(next, found).split("   # ");
    text += line(i === 0 ? "next" : "", paint("cyan", command));
    if (why !== undefined) text += paint("dim", line("", `  (${why})`));
  }
  return text;
}

/** "DMA write by device 6a:01.0, PASID 0x2, at 0x7f3a6ac12000: reason 0x59 SPT.2" */
function titleOf(found: LogFinding): string {
  const { sid, pasid, iova, access, code, name, kind, vendor } = found;
  const who = sid === null ? [] : [vendor === "vtd" ? `device ${showSourceId(sid)}` : `stream ${hex(sid)}`];
  if (pasid !== null) who.push(`PASID ${hex(pasid)}`);
  if (iova !== null) who.push(`${access === null ? "" : `${ACCESSES[access]} `}at ${hex(iova)}`);
  const digits = kind === "global-error" ? 8 : 2;
  const what = [CODES[kind] ?? kind.replaceAll("-", " "), ...(code === null ? [] : [hex(code, digits)]), name].join(
    " ",
  );
  return `${what.trimEnd()}${who.length > 0 ? `: ${who.join(", ")}` : ""}`;
}

/** Fields that say something. */
function tellRecord({ structure, fields }: NonNullable<LogFinding["record"]>): string {
  const said = fields.filter(({ value }) => value !== 0n).map(({ name, value }) => `${name}=${hex(value)}`);
  return `${structure}: ${said.join(" ")}`;
}

function tellWalk(walk: DumpWalk, line: (label: string, text: string) => string, paint: Paint): string {
  const { result, code, name, rule, structure, address, words, output, agrees } = walk;
  let text = "";
  if (result === "translates") {
    text += line("tables", `as printed they translate the address to ${hex(output ?? 0n)}: `.concat(STALE));
  } else if (result === "incomplete") {
    text += line("tables", `as printed they are fine as far as they go, and end at the ${structure ?? "first entry"}`);
  } else {
    const where = `${structure}${address === null ? "" : ` at ${hex(address)}`}`;
    const verdict = line(
      "tables",
      `walked again: ${hex(code ?? 0)} ${name}, ${where}: ${rule?.rule ?? ""} (${rule?.section ?? ""})`,
    );
    text += `${paint("red", verdict.trimEnd())}\n`;
    if (words.length > 0) text += line("entry", words.map((word) => hex(word, 16)).join(" "));
    if (agrees === true) text += line("", "as the hardware said");
    if (agrees === false) text += line("", `not what the hardware said: ${STALE}`);
  }
  for (const note of walk.notes) text += line("note", note);
  return text;
}

const STALE =
  "the tables were changed between the fault and the printing, or the unit used an old cached entry, or read memory that the CPU had not flushed (ECAP.C = 0)";

/** Puts the device, PASID and address of the finding into a command. */
function fill(text: string, { vendor, sid, pasid, iova, access }: LogFinding): string {
  return text
    .replaceAll("{bdf}", sid === null ? "BB:DD.F" : showSourceId(sid))
    .replaceAll("{sid}", sid === null ? "SID" : vendor === "vtd" ? showSourceId(sid) : hex(sid))
    .replaceAll("{pasid}", pasid === null ? "" : `--pasid ${hex(pasid)} `)
    .replaceAll("{iova}", iova === null ? "the address" : hex(iova))
    .replaceAll("{access}", access ?? "r");
}

const number = (value: number | bigint | null): string | null => (value === null ? null : hex(value));

/** Numbers as hexadecimal strings; what is absent is null. */
export function findingToJson(found: LogFinding): Record<string, unknown> {
  const { vendor, kind, code, name, sid, pasid, iova, access } = found;
  return {
    vendor,
    code: number(code),
    name,
    sid: number(sid),
    pasid: number(pasid),
    iova: number(iova),
    access,
    kind,
    meaning: found.meaning,
    rules: found.rules,
    where: found.where,
    details: found.details,
    record: found.record && {
      structure: found.record.structure,
      words: found.record.words.map((word) => hex(word, 16)),
      fields: Object.fromEntries(found.record.fields.map((field) => [field.name, hex(field.value)])),
    },
    walk: found.walk && walkToJson(found.walk),
    notes: found.notes,
    causes: found.causes.map((cause) => fill(cause, found)),
    next: found.next.map((command) => fill(command, found)),
    line: found.line,
    count: found.count,
  };
}

function walkToJson(walk: DumpWalk): Record<string, unknown> {
  return {
    ...walk,
    code: number(walk.code),
    address: number(walk.address),
    output: number(walk.output),
    words: walk.words.map((word) => hex(word, 16)),
  };
}
