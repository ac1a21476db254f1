/** Picks the verb, and turns what went wrong into one line and an exit code. */
import { MissingRegisters } from "../capture/image/unit.ts";
import { InputError } from "../capture/input.ts";
import { acpi } from "./acpi.ts";
import { decode } from "./decode.ts";
import { demo } from "./demo.ts";
import { encode } from "./encode.ts";
import { explain } from "./explain.ts";
import { fields } from "./fields.ts";
import type { Io } from "./io.ts";
import { lint } from "./lint.ts";
import { list } from "./list.ts";
import { map } from "./map.ts";
import { packageVersion } from "./package.ts";
import { wrap } from "./paint.ts";
import { replay } from "./replay.ts";
import { scenario } from "./scenario.ts";
import { translate } from "./translate.ts";
import { EXIT, UsageError, type Verb } from "./verb.ts";
import { verify } from "./verify.ts";
import { vfioUser } from "./vfio-user.ts";
import { walk } from "./walk.ts";

const VERBS: readonly Verb[] = [
  demo,
  list,
  walk,
  translate,
  map,
  lint,
  verify,
  replay,
  scenario,
  explain,
  decode,
  encode,
  fields,
  acpi,
  vfioUser,
];

/** Runs one command line. @returns the exit code: 0 fine, 1 findings, 2 usage, 3 bad input */
export async function main(argv: readonly string[], io: Io): Promise<number> {
  const [name, ...args] = argv;
  if (name === undefined || name === "help" || name === "--help" || name === "-h") {
    io.out(overview());
    return EXIT.OK;
  }
  if (name === "--version" || name === "-V") {
    io.out(`${packageVersion()}\n`);
    return EXIT.OK;
  }
  const verb = VERBS.find((candidate) => candidate.name === name);
  if (!verb) {
    const names = VERBS.map((candidate) => candidate.name).join(", ");
    io.err(`iommulator: "${name}" is not a verb\nusage: iommulator VERB ..., where VERB is one of ${names}\n`);
    return EXIT.USAGE;
  }
  if (args.includes("--version")) {
    io.out(`${packageVersion()}\n`);
    return EXIT.OK;
  }
  if (args.includes("--help") || args.includes("-h")) {
    io.out(`${verb.summary}\n\n${wrap(`usage: iommulator ${verb.form}`, "  ", undefined, "")}\n${verb.help}`);
    return EXIT.OK;
  }
  return run(verb, args, io);
}

async function run(verb: Verb, args: readonly string[], io: Io): Promise<number> {
  try {
    return await verb.run(args, io);
  } catch (error) {
    if (error instanceof UsageError) {
      io.err(`iommulator ${verb.name}: ${error.message}\nusage: iommulator ${verb.form}\n`);
      return EXIT.USAGE;
    }
    if (error instanceof InputError) {
      const advice = error instanceof MissingRegisters ? error.advice : "";
      io.err(`iommulator ${verb.name}: ${error.message}\n${advice}`);
      return EXIT.INPUT;
    }
    throw error;
  }
}

function overview(): string {
  const width = Math.max(...VERBS.map((verb) => verb.name.length));
  const verbs = VERBS.map((verb) => `  ${verb.name.padEnd(width)}  ${verb.summary}`).join("\n");
  return `iommulator: Intel VT-d and Arm SMMUv3 tables, walked bit by bit

usage: iommulator VERB ...

${verbs}

Every verb takes --help (with an example), --json and --no-color.
Exit codes: 0 fine, 1 findings, 2 wrong arguments, 3 bad input.
`;
}
