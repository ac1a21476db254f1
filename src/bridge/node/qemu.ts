/** QEMU as a program: whether it can do what is needed, what its machine looks like, and running it. */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { InputError } from "../../capture/input.ts";

const NEEDED = "version 11.1 or newer is needed";
/** The first to have it also speaks the protocol as specified. */
const NEEDED_OPTION = "x-msg-timeout";
const QUESTION_MILLISECONDS = 60_000;
const PATIENCE_MILLISECONDS = 5_000;

/** @throws InputError when it is not installed, or has no vfio-user client that does what is needed */
export function checkQemu(program: string): void {
  const { error, stdout } = ask(program, ["--version"]);
  if (error) {
    const problem = error.code === "ENOENT" ? "is not installed" : `cannot be run (${error.code ?? error.message})`;
    throw new InputError(program, "", `${problem}; install QEMU (${NEEDED}), or give its place with --qemu`);
  }
  const version = /version (\S+)/.exec(stdout)?.[1] ?? "of unknown version";
  const help = ask(program, ["-device", "vfio-user-pci,help"]).stdout;
  if (help.includes(NEEDED_OPTION)) return;
  const lack = help.includes("socket") ? "an old device" : "no device";
  throw new InputError(
    program,
    "",
    `QEMU ${version} has ${lack} "vfio-user-pci"; ${NEEDED}: give its place with --qemu`,
  );
}

/**
 * The device tree that QEMU makes for the machine of a command line.
 * @throws InputError when it makes none
 */
export function dumpTree(command: readonly string[]): Uint8Array {
  const [program = "", ...args] = command;
  const folder = mkdtempSync(join(tmpdir(), "iommulator-tree-"));
  const path = join(folder, "dump.dtb");
  try {
    const { stderr } = ask(program, [...args, "-machine", `dumpdtb=${path}`]);
    try {
      return readFileSync(path);
    } catch {
      const why = stderr.trim().split("\n").at(-1) ?? "";
      throw new InputError(program, "", `made no device tree of its machine: ${why}`);
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function ask(program: string, args: readonly string[]) {
  const answer = spawnSync(program, args, {
    encoding: "utf8",
    timeout: QUESTION_MILLISECONDS,
    stdio: ["ignore", "pipe", "pipe"],
  });
  return {
    error: answer.error as NodeJS.ErrnoException | undefined,
    stdout: answer.stdout ?? "",
    stderr: answer.stderr ?? "",
  };
}

/** A QEMU that has this terminal as its serial console. */
export class QemuProcess {
  readonly #child: ChildProcess;
  readonly #ended: Promise<number>;

  constructor(command: readonly string[]) {
    const [program = "", ...args] = command;
    this.#child = spawn(program, args, { stdio: "inherit" });
    this.#ended = new Promise((resolve, reject) => {
      this.#child.once("error", (error) => reject(new InputError(program, "", `cannot be run (${error.message})`)));
      // A signal ends it as a shell would tell it.
      this.#child.once("exit", (code) => resolve(code ?? 1));
    });
    // Nobody may be waiting when it happens.
    this.#ended.catch(() => {});
  }

  /** Resolves to its exit code. */
  get ended(): Promise<number> {
    return this.#ended;
  }

  /** Ends it, politely at first. */
  async stop(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null || this.#child.pid === undefined) return;
    this.#child.kill("SIGTERM");
    const timer = setTimeout(() => this.#child.kill("SIGKILL"), PATIENCE_MILLISECONDS);
    await this.#ended.catch(() => {});
    clearTimeout(timer);
  }
}
