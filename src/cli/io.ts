/** What a verb may touch of the world: output, input lines, colour. Tests hand in their own. */
import { writeFileSync } from "node:fs";
import { open } from "node:fs/promises";
import { createInterface } from "node:readline";
import { InputError } from "../capture/input.ts";

export interface Io {
  /** Writes text as it is. */
  out(text: string): void;
  err(text: string): void;
  /** Whether standard output is a terminal that takes colour. */
  readonly color: boolean;
  /** Whether standard error is a terminal that can show how far work is; absent: it is not. */
  readonly live?: boolean;
  /** Lines of a file, "-" is standard input. @throws InputError */
  lines(path: string): AsyncIterable<string>;
  /** Writes a file, in place of one that is there. @throws InputError */
  save(path: string, text: string): void;
}

/** The process's own streams; colour only on a terminal, and never with NO_COLOR. */
export function processIo(): Io {
  // A reader that has seen enough (`| head`) is no error.
  process.stdout.on("error", (error: NodeJS.ErrnoException) => process.exit(error.code === "EPIPE" ? 0 : 1));
  return {
    out: (text) => void process.stdout.write(text),
    err: (text) => void process.stderr.write(text),
    color: process.stdout.isTTY === true && !process.env.NO_COLOR && process.env.TERM !== "dumb",
    live: process.stderr.isTTY === true && process.env.TERM !== "dumb",
    lines,
    save,
  };
}

/** Lines of a file, one by one; "-" is standard input. @throws InputError */
export async function* lines(path: string): AsyncIterable<string> {
  try {
    if (path === "-") yield* createInterface({ input: process.stdin, crlfDelay: Number.POSITIVE_INFINITY });
    else yield* (await open(path)).readLines();
  } catch (error) {
    throw new InputError(path, "", `cannot be read (${(error as NodeJS.ErrnoException).code ?? error})`);
  }
}

/** Writes a file. @throws InputError */
export function save(path: string, text: string): void {
  try {
    writeFileSync(path, text);
  } catch (error) {
    throw new InputError(path, "", `cannot be written (${(error as NodeJS.ErrnoException).code ?? error})`);
  }
}
