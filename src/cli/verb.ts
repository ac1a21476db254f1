/** What a verb is, and how its arguments are read: strict, with the accepted form in every refusal. */
import { type ParseArgsConfig, parseArgs } from "node:util";
import type { Io } from "./io.ts";
import { type Paint, painter } from "./paint.ts";

/** Exit codes. */
export const EXIT = { OK: 0, FINDINGS: 1, USAGE: 2, INPUT: 3 } as const;

export interface Verb {
  name: string;
  /** One line for the overview. */
  summary: string;
  /** The accepted form, without the program's name. */
  form: string;
  /** Options and examples, for `--help`. */
  help: string;
  /** @returns the exit code */
  run(args: readonly string[], io: Io): Promise<number>;
}

/** Wrong arguments: one line, and the accepted form is printed with it. */
export class UsageError extends Error {}

export type Options = NonNullable<ParseArgsConfig["options"]>;

/** What every verb takes. */
const COMMON = {
  json: { type: "boolean" },
  "no-color": { type: "boolean" },
} as const satisfies Options;

export interface Arguments {
  positionals: readonly string[];
  json: boolean;
  paint: Paint;
  text(name: string): string | undefined;
  /** Of an option that may be repeated. */
  texts(name: string): readonly string[];
  flag(name: string): boolean;
}

/**
 * Reads a verb's arguments.
 * @param options the verb's own, beside `--json` and `--no-color`
 * @param count how many positional arguments there must be: at least, at most
 * @param what what such an argument is
 * @throws UsageError
 */
export function readArguments(
  args: readonly string[],
  io: Io,
  options: Options,
  [least, most]: readonly [number, number],
  what = "a capture",
): Arguments {
  const { values, positionals } = parse(args, { ...COMMON, ...options });
  if (positionals.length < least) throw new UsageError(`${what} is missing`);
  if (positionals.length > most) throw new UsageError(`"${positionals[most]}" is one argument too many`);
  const value = (name: string) => (values as Record<string, unknown>)[name];
  return {
    positionals,
    json: value("json") === true,
    paint: painter(io.color && value("no-color") !== true),
    text: (name) => value(name) as string | undefined,
    texts: (name) => (value(name) ?? []) as readonly string[],
    flag: (name) => value(name) === true,
  };
}

function parse(args: readonly string[], options: Options): ReturnType<typeof parseArgs> {
  try {
    return parseArgs({ args: [...args], options, strict: true, allowPositionals: true });
  } catch (error) {
    // "Unknown option '--x'. To specify a positional argument ..." : the first sentence is what counts.
    throw new UsageError(((error as Error).message.split(/\. |\n/)[0] as string).replace(/\.$/, ""));
  }
}
