/** QEMU's machine protocol over its standard input and output: a command, then its answer. */
import { type ChildProcessByStdio, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import type { Readable, Writable } from "node:stream";

/** A line of QEMU's; events and the greeting have neither of the first two. */
interface Line {
  return?: unknown;
  error?: { desc: string };
}

export class Qmp {
  readonly #process: ChildProcessByStdio<Writable, Readable, null>;
  readonly #answers: AsyncIterator<string>;

  private constructor(program: string, args: readonly string[]) {
    this.#process = spawn(program, [...args, "-qmp", "stdio"], { stdio: ["pipe", "pipe", "inherit"] });
    this.#answers = createInterface({ input: this.#process.stdout })[Symbol.asyncIterator]();
  }

  /** Starts QEMU, ready for commands. */
  static async start(program: string, args: readonly string[]): Promise<Qmp> {
    const qmp = new Qmp(program, args);
    await qmp.run("qmp_capabilities");
    return qmp;
  }

  /** @throws Error with what QEMU says about a command that failed */
  async run(execute: string, args: Record<string, unknown> = {}): Promise<unknown> {
    this.#process.stdin.write(`${JSON.stringify({ execute, arguments: args })}\n`);
    for (;;) {
      const { value, done } = await this.#answers.next();
      if (done) throw new Error(`${execute}: QEMU has ended`);
      const line = JSON.parse(value) as Line;
      if (line.error) throw new Error(`${execute}: ${line.error.desc}`);
      if ("return" in line) return line.return;
    }
  }

  /** A command of the monitor for people, and what it prints. */
  async monitor(command: string): Promise<string> {
    return String(await this.run("human-monitor-command", { "command-line": command }));
  }

  /** Writes guest memory to a file. */
  async dump(path: string, format: string, paging = false): Promise<void> {
    await this.run("dump-guest-memory", { paging, protocol: `file:${path}`, format });
  }

  async quit(): Promise<void> {
    const ended = new Promise((done) => this.#process.on("exit", done));
    this.#process.stdin.write(`${JSON.stringify({ execute: "quit" })}\n`);
    await ended;
  }
}
