/**
 * Native C beside us: compiles `bench/native/*.c`, or a model (riscv.ts), with `cc -O3 -march=native` and
 * talks to the program over its standard input and output, one line a command, one line an answer.
 *
 * It works on the same bytes: the guest RAM and the requests are handed over in a file.
 */
import { type ChildProcessWithoutNullStreams, spawn, spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface, type Interface } from "node:readline";
import { fileURLToPath } from "node:url";

/** Seen from where this file is compiled to, `build/bench/bench`. */
const SOURCES = fileURLToPath(new URL("../../../bench/", import.meta.url));
export const NATIVE_SOURCES = join(SOURCES, "native");
export const MODEL_SOURCES = join(SOURCES, "models");

export class Native {
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #lines: Interface;
  readonly #folder: string;
  readonly #waiting: ((line: string) => void)[] = [];

  private constructor(program: string, folder: string) {
    this.#folder = folder;
    this.#child = spawn(program);
    this.#child.stderr.pipe(process.stderr);
    this.#lines = createInterface(this.#child.stdout);
    this.#lines.on("line", (line) => this.#waiting.shift()?.(line));
    this.#child.on("close", () => {
      for (const answer of this.#waiting.splice(0)) answer("error the program ended");
    });
  }

  /** Our kernels; undefined where there is no C compiler. */
  static start(): Native | undefined {
    const sources = readdirSync(NATIVE_SOURCES).filter((name) => name.endsWith(".c"));
    return Native.compile(["-std=c11", "-Wall", "-D_GNU_SOURCE", ...sources.map((name) => join(NATIVE_SOURCES, name))]);
  }

  /**
   * Compiles a program and starts it; undefined where there is no C compiler.
   *
   * @param args options and sources for `cc`
   * @throws Error with what `cc` says against it
   */
  static compile(args: readonly string[]): Native | undefined {
    const folder = mkdtempSync(join(tmpdir(), "iommulator-bench-"));
    const program = join(folder, "program");
    const flags = ["-O3", "-march=native", "-o", program];
    const { error, status, stderr } = spawnSync("cc", [...flags, ...args], { encoding: "utf8" });
    if (!error && status === 0) return new Native(program, folder);
    rmSync(folder, { recursive: true });
    if (!error) throw new Error(`cc: ${stderr}`);
    return undefined;
  }

  /** Sends one command and returns the words of the answer. */
  async command(line: string): Promise<string[]> {
    const answer = await new Promise<string>((resolve) => {
      this.#waiting.push(resolve);
      this.#child.stdin.write(`${line}\n`);
    });
    if (answer.startsWith("error")) throw new Error(`native: ${line}: ${answer}`);
    return answer.split(" ");
  }

  /** Sends a command that names a file of these bytes; the program maps it while it answers. */
  async hand(bytes: Uint8Array, command: (path: string) => string): Promise<string[]> {
    const path = join(this.#folder, "data");
    writeFileSync(path, bytes);
    const answer = await this.command(command(path));
    rmSync(path);
    return answer;
  }

  stop(): void {
    this.#child.kill();
    this.#lines.close();
    rmSync(this.#folder, { recursive: true });
  }
}
