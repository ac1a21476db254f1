/** `encode`: fields to raw words, the way back of `decode`. */
import { hex } from "../check.ts";
import type { Shape } from "../explain/shape.ts";
import { blankWords, type Structure } from "../explain/structure.ts";
import { setField, setInPlace } from "../structure.ts";
import type { Io } from "./io.ts";
import { parseValue, requireEntry } from "./structure-names.ts";
import { EXIT, readArguments, UsageError, type Verb } from "./verb.ts";

export const encode: Verb = {
  name: "encode",
  summary: "make raw words of a structure from its fields",
  form: "encode STRUCTURE [FIELD=VALUE...] [--json]",
  help: `STRUCTURE   vtd.pasid-entry, smmu.cd, ...: "fields" lists them all
FIELD       as "fields STRUCTURE" names it; fields that are not given are 0
VALUE       decimal or 0x..; of an address field, the address

Prints the words, the lowest first. Descriptors, events and commands know their
own type: vtd.descriptor.iotlb_inv, smmu.command.CMD_TLBI_NH_VA.

example:
  npm run -s cli -- encode vtd.pasid-entry P=1 PGTT=1 FSPTPTR=0x2bec000 DID=1
`,
  async run(args, io: Io) {
    const { positionals, json } = readArguments(args, io, {}, [1, MOST], "STRUCTURE");
    const [name, ...assignments] = positionals as [string, ...string[]];
    const entry = requireEntry(name);
    if ("family" in entry) {
      const members = entry.family.members.map((member) => member.name).join(", ");
      throw new UsageError(`${name} is one of many: ${members}`);
    }
    const words = build(entry.structure, assignments);
    const shown = words.map((word) => hex(word, entry.structure.bits ? 8 : 16));
    io.out(json ? `${JSON.stringify({ structure: entry.structure.name, words: shown })}\n` : `${shown.join("\n")}\n`);
    return EXIT.OK;
  },
};

/** More fields than any structure has. */
const MOST = 256;

function build(structure: Structure, assignments: readonly string[]): bigint[] {
  const words = blankWords(structure);
  const shape = structure.shape(words);
  for (const assignment of assignments) {
    const at = assignment.indexOf("=");
    if (at < 1) throw new UsageError(`"${assignment}" is not FIELD=VALUE`);
    const name = findField(structure, shape, assignment.slice(0, at));
    set(words, shape, name, parseValue(name, assignment.slice(at + 1)));
  }
  return words;
}

/** The field by its name, in any case. */
function findField({ name }: Structure, { layout }: Shape, wanted: string): string {
  const names = Object.entries(layout).flatMap(([field, place]) => (typeof place === "number" ? [field] : []));
  const found =
    names.find((field) => field === wanted) ?? names.find((field) => field.toLowerCase() === wanted.toLowerCase());
  if (found === undefined) throw new UsageError(`${name} has no field "${wanted}"; it has ${names.join(", ")}`);
  return found;
}

function set(words: bigint[], shape: Shape, name: string, value: bigint): void {
  const field = shape.layout[name] as number;
  try {
    if (shape.addresses.includes(name)) setInPlace(words, field, value);
    else setField(words, field, value);
  } catch (error) {
    // RangeError: what is wrong stands after the argument's name.
    if (error instanceof RangeError) throw new UsageError(`${name}: ${error.message}`);
    throw error;
  }
}
