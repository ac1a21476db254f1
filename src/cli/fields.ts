/** `fields`: the layout of a structure as a table. */
import { bitRuns, showBits } from "../explain/bit-runs.ts";
import { FAMILIES, STRUCTURES } from "../explain/catalogue.ts";
import type { Shape } from "../explain/shape.ts";
import { blankWords, reservedMasks, type Structure } from "../explain/structure.ts";
import { type FieldInfo, fieldsOf, setField } from "../structure.ts";
import type { Io } from "./io.ts";
import { type Paint, wrap } from "./paint.ts";
import { requireEntry } from "./structure-names.ts";
import { EXIT, readArguments, type Verb } from "./verb.ts";

export const fields: Verb = {
  name: "fields",
  summary: "print the layout of a structure as a table",
  form: "fields [STRUCTURE] [--json]",
  help: `STRUCTURE   without it: the names of all structures

Bits that neither a field nor "reserved" covers are ignored by hardware.

example:
  npm run -s cli -- fields vtd.pasid-entry
`,
  async run(args, io: Io) {
    const { positionals, json, paint } = readArguments(args, io, {}, [0, 1]);
    const [name] = positionals;
    const entry = name === undefined ? undefined : requireEntry(name);
    if (!entry) io.out(json ? `${JSON.stringify(names().map(nameToJson))}\n` : tellNames(names(), paint));
    else if ("family" in entry) {
      const { members } = entry.family;
      io.out(json ? `${JSON.stringify(members.map(nameToJson))}\n` : tellNames(members, paint));
    } else io.out(json ? `${JSON.stringify(toJson(entry.structure))}\n` : tell(entry.structure, paint));
    return EXIT.OK;
  },
};

interface Named {
  name: string;
  section: string;
  title: string;
}

function names(): Named[] {
  return [...STRUCTURES.map(named), ...FAMILIES.map(({ name, section, title }) => ({ name, section, title }))];
}

function named(structure: Structure): Named {
  return { name: structure.name, section: structure.section, title: structure.shape(blankWords(structure)).title };
}

function nameToJson(entry: Structure | Named): Named {
  return "title" in entry ? entry : named(entry);
}

function tellNames(entries: readonly (Structure | Named)[], paint: Paint): string {
  const rows = entries.map(nameToJson);
  const width = Math.max(...rows.map(({ name }) => name.length));
  return rows
    .map(({ name, section, title }) => {
      const head = `${name.padEnd(width)}  `;
      const line = wrap(`${title} (${section})`, " ".repeat(width + 2), undefined, head);
      return line.replace(name, paint("cyan", name));
    })
    .join("");
}

interface Row {
  bits: string;
  name: string;
  meaning: string;
  msb: number;
  lsb: number;
}

/** Bits that make the reserved bits count. */
const PRESENT = ["P", "LP", "UP"];

function rows(structure: Structure): Row[] {
  const words = blankWords(structure);
  const { layout } = structure.shape(words);
  for (const name of PRESENT) if (typeof layout[name] === "number") setField(words, layout[name], 1);
  const shape = structure.shape(words);
  const named = fieldsOf(shape.layout).map((info) => ({
    ...row(info),
    name: info.name,
    meaning: meaning(shape, info),
  }));
  const reserved = bitRuns(reservedMasks(structure, words))
    .filter(({ lsb }) => lsb < (structure.bits ?? Number.POSITIVE_INFINITY))
    .map((run) => ({ ...row(run), name: "-", meaning: structure.unnamed ?? "reserved" }));
  return [...named, ...reserved].sort((a, b) => a.lsb - b.lsb);
}

function row({ msb, lsb }: { msb: number; lsb: number }): { bits: string; msb: number; lsb: number } {
  return { bits: showBits({ msb, lsb }), msb, lsb };
}

/** Widest field whose values are told one by one. */
const LISTED_BITS = 3;

function meaning({ meanings }: Shape, { name, msb, lsb }: FieldInfo): string {
  const said = meanings[name] ?? "";
  if (typeof said === "string") return said;
  const bits = msb - lsb + 1;
  if (bits > LISTED_BITS) return "";
  return Array.from({ length: 2 ** bits }, (_, value) => [value, said(BigInt(value))] as const)
    .filter(([, text]) => text !== "reserved")
    .map(([value, text]) => `${value}: ${text}`)
    .join("; ");
}

function tell(structure: Structure, paint: Paint): string {
  const shape = structure.shape(blankWords(structure));
  const size = structure.bits ?? structure.words * 64;
  const table = rows(structure);
  const width = Math.max(...table.map(({ name }) => name.length));
  const head = wrap(`${shape.title}: ${shape.purpose}`).replace(shape.title, paint("bold", shape.title));
  const lines = table.map(({ bits, name, meaning: text }) => {
    const start = `${bits.padStart(7)}  ${name.padEnd(width)}  `;
    const line = wrap(text, " ".repeat(start.length), undefined, start).trimEnd();
    return name === "-" ? paint("dim", line) : line.replace(name, paint("cyan", name));
  });
  return `${head}${paint("dim", `${structure.name}, ${structure.section}, ${size} bits`)}\n${lines.join("\n")}\n`;
}

function toJson(structure: Structure): Record<string, unknown> {
  return {
    structure: structure.name,
    ...named(structure),
    bits: structure.bits ?? structure.words * 64,
    fields: rows(structure).map(({ name, msb, lsb, meaning: text }) => ({
      name: name === "-" ? null : name,
      msb,
      lsb,
      meaning: text === "" ? null : text,
    })),
  };
}
