/** `decode`: raw words of any structure, field by field. */
import { hex } from "../check.ts";
import type { Shape } from "../explain/shape.ts";
import {
  decodeFields,
  type Family,
  type Finding,
  findProblems,
  type Structure,
  type UnitRules,
} from "../explain/structure.ts";
import { GuestMemory } from "../memory.ts";
import { VtdWalker } from "../vtd/walker.ts";
import type { Io } from "./io.ts";
import { type Paint, wrap } from "./paint.ts";
import { fieldLines } from "./show/fields.ts";
import { parseValue, requireEntry } from "./structure-names.ts";
import { EXIT, readArguments, UsageError, type Verb } from "./verb.ts";

export const decode: Verb = {
  name: "decode",
  summary: "name every field of a structure's raw words, and what is wrong with them",
  form: "decode STRUCTURE WORD... [--cap N --ecap N] [--all] [--json]",
  help: `STRUCTURE   vtd.pasid-entry, smmu.ste, ...: "fields" lists them all
WORD        64 bits, decimal or 0x.., the lowest word first (swap them if a
            kernel printed "hi .., low .."); words left out are 0
--cap N     CAP and ECAP of the unit that reads a VT-d table entry: what they
--ecap N    make reserved, or lack, is a finding too
--all       every field, also those that are 0

vtd.descriptor, smmu.event and smmu.command find out which one they are.
Reserved bits that are set and reserved values are findings: exit 1.

example:
  npm run -s cli -- decode vtd.pasid-entry 0x49 0x800001 0x2bec004
`,
  async run(args, io: Io) {
    const options = { all: { type: "boolean" }, cap: { type: "string" }, ecap: { type: "string" } } as const;
    const { positionals, json, paint, flag, text } = readArguments(args, io, options, [2, MOST], "STRUCTURE or WORD");
    const [name, ...texts] = positionals as [string, ...string[]];
    const given = texts.map((text, i) => parseValue(`word ${i}`, text));
    const entry = requireEntry(name);
    const words = fill("family" in entry ? entry.family : entry.structure, given);
    const structure = "family" in entry ? pick(entry.family, words) : entry.structure;
    const findings = findProblems(structure, words, unitRules(structure, words, text("cap"), text("ecap")));
    io.out(
      json
        ? `${JSON.stringify(toJson(structure, words, findings))}\n`
        : tell(structure, words, given.length, findings, paint, flag("all")),
    );
    return findings.length > 0 ? EXIT.FINDINGS : EXIT.OK;
  },
};

/** A memory that is never read. */
const PAGE = 0x1000n;

/** What the unit with these capabilities adds. @throws UsageError for half of them, or where they decide nothing */
function unitRules(
  { name, entry }: Structure,
  words: readonly bigint[],
  cap: string | undefined,
  ecap: string | undefined,
): UnitRules | undefined {
  if (cap === undefined && ecap === undefined) return undefined;
  if (cap === undefined || ecap === undefined) throw new UsageError("--cap and --ecap go together");
  if (!entry) throw new UsageError(`--cap and --ecap are for VT-d table entries; ${name} is none`);
  const memory = new GuestMemory({ ram: [{ base: 0n, size: PAGE }] });
  const unit = new VtdWalker(memory, { cap: parseValue("--cap", cap), ecap: parseValue("--ecap", ecap), rtaddr: 0n });
  return {
    reserved: unit.reservedBits({ ...entry, words }) ?? [],
    unsupported: unit.unsupportedFields({ ...entry, words }),
  };
}

/** More words than any structure has, so that the refusal can say how many it has. */
const MOST = 64;

/** Zeros for the words that were left out. @throws UsageError for too many, or bits beyond a register */
function fill(
  { name, words: count, narrow, bits }: Pick<Structure, "name" | "words" | "narrow" | "bits">,
  given: readonly bigint[],
): bigint[] {
  if (given.length > count)
    throw new UsageError(`${name} has ${count} word${count === 1 ? "" : "s"}, not ${given.length}`);
  if (bits !== undefined && (given[0] as bigint) > 0xffff_ffffn) {
    throw new UsageError(`${name} has ${bits} bits, ${hex(given[0] as bigint)} has more`);
  }
  const length = narrow !== undefined && given.length <= narrow ? narrow : count;
  return [...given, ...new Array<bigint>(length - given.length).fill(0n)];
}

function pick(family: Family, words: readonly bigint[]): Structure {
  const structure = family.pick(words);
  if (structure) return structure;
  const known = family.members.map(({ name }) => name.split(".").at(-1)).join(", ");
  throw new UsageError(`${family.name}: ${family.selector(words)} does not exist (${known} do)`);
}

function tell(
  structure: Structure,
  words: readonly bigint[],
  given: number,
  findings: readonly Finding[],
  paint: Paint,
  all: boolean,
): string {
  const shape: Shape = structure.shape(words);
  const marked = new Set(findings.flatMap(({ field }) => (field === null ? [] : [field])));
  const size = structure.bits ?? words.length * 64;
  let text = wrap(`${shape.title}: ${shape.purpose}`).replace(shape.title, paint("bold", shape.title));
  text += `${paint("dim", `${structure.name}, ${structure.section}, ${size} bits`)}\n`;
  if (given < words.length) {
    const missing = words.length - given;
    text += wrap(`${missing} word${missing === 1 ? " was" : "s were"} not given: taken as 0`);
  }
  const fields = fieldLines(shape, words, marked, all, paint);
  text += fields.text;
  if (fields.zero > 0) text += `    ${fields.zero} other field${fields.zero === 1 ? " is" : "s are"} 0\n`;
  if (structure.present?.(words) === false) text += "    not present: hardware looks at nothing else\n";
  for (const { bits, field, value, problem } of findings) {
    const what = field === null ? `is ${hex(value)}, ${problem}` : `(${field}): ${problem}`;
    text += `${paint("red", wrap(`bits ${bits} ${what} (${structure.section})`, "      ", undefined, "    ").trimEnd())}\n`;
  }
  return text;
}

function toJson(structure: Structure, words: readonly bigint[], findings: readonly Finding[]): Record<string, unknown> {
  const shape = structure.shape(words);
  return {
    structure: structure.name,
    title: shape.title,
    section: structure.section,
    words: words.map((word) => hex(word, 16)),
    fields: decodeFields(shape, words).map(({ name, msb, lsb, value, meaning }) => ({
      name,
      msb,
      lsb,
      value: hex(value),
      meaning: meaning === "" ? null : meaning,
    })),
    present: structure.present ? structure.present(words) : null,
    findings: findings.map(({ bits, field, value, problem }) => ({
      bits,
      field,
      value: hex(value),
      problem,
      section: structure.section,
    })),
  };
}
