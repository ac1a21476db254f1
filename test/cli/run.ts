/** Runs a command line in process. */
import { fileURLToPath } from "node:url";
import { main } from "../../src/cli/cli.ts";
import { type Io, lines, save } from "../../src/cli/io.ts";

export const CAPTURES: string = fileURLToPath(new URL("../captures/", import.meta.url));

export interface Run {
  code: number;
  out: string;
  err: string;
}

/** @param input lines of standard input */
export async function run(argv: readonly string[], options: { input?: string; color?: boolean } = {}): Promise<Run> {
  const run: Run = { code: -1, out: "", err: "" };
  const io: Io = {
    out: (text) => {
      run.out += text;
    },
    err: (text) => {
      run.err += text;
    },
    color: options.color ?? false,
    save,
    async *lines(path) {
      yield* path === "-" ? (options.input ?? "").split("\n") : lines(path);
    },
  };
  run.code = await main(argv, io);
  return run;
}

/** Widest line, in characters. */
export function width(text: string): number {
  return Math.max(...text.split("\n").map((line) => [...line].length));
}
