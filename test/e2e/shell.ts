/** Running programs: quietly, with the output kept for when one fails. */
import { spawnSync } from "node:child_process";

/** Arguments that name nothing there is: `main.ts` says so and exits 2. */
export class Misuse extends Error {}

/** Why the tests cannot run here; not a failure. */
export class Unavailable extends Error {}

const TAIL = 12;

/** Runs a program to its end. @returns what it printed @throws Error with the end of what it printed, when it fails */
export function run(program: string, args: readonly string[], cwd?: string): string {
  const environment = { ...process.env, LC_ALL: "C", DEBIAN_FRONTEND: "noninteractive" };
  const done = spawnSync(program, args, {
    encoding: "utf8",
    env: environment,
    maxBuffer: 1 << 28,
    ...(cwd && { cwd }),
  });
  if (done.error) throw new Error(`${program}: ${done.error.message}`);
  if (done.status === 0) return done.stdout;
  const output = `${done.stdout}${done.stderr}`.trimEnd().split("\n").slice(-TAIL).join("\n");
  throw new Error(`${program} ${args.slice(0, 3).join(" ")}: exit ${done.status ?? done.signal}\n${output}`);
}

/** The same for what needs packages: where they cannot be had there is nothing to test. */
export function obtain(program: string, args: readonly string[]): string {
  try {
    return run(program, args);
  } catch (error) {
    throw new Unavailable((error as Error).message);
  }
}

/** Whether a program is on the path. */
export function installed(program: string): boolean {
  return spawnSync("sh", ["-c", `command -v ${program}`]).status === 0;
}
