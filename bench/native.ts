/**
 * Native C beside us: compiles `bench/native/*.c` with `cc -O3 -march=native` and talks to the
 * program over its standard input and output, one line a command, one line an answer.
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
export const NATIVE_SOURCES = fileURLToPath(new URL("../../../bench/native/", import.meta.url));

export class Native {
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #lines: Interface;
  readonly #folder: string;
  readonly #waiting: ((line: string) => void)[] = [];
  #files = 0;

  private constructor(program: string, folder: string) {
    this.#folder = folder;
    this.#child = spawn(program);
    this.#child.stderr.pipe(process.stderr);
    this.#lines = createInterface(this.#child.stdout);
    this.#lines.on("line", (line) => this.#waiting.shift()?.(line));
  }

  /** Compiles and starts it; undefined where there is no C compiler. */
  static start(): Native | undefined {
    const folder = mkdtempSync(join(tmpdir(), "iommulator-bench-"));
    const program = join(folder, "kernels");
    const sources = readdirSync(NATIVE_SOURCES).filter((name) => name.endsWith(".c"));
    const flags = ["-O3", "-march=native", "-std=c11", "-Wall", "-D_GNU_SOURCE", "-o", program];
    const { error, status, stderr } = spawnSync(
      "cc",
      [...flags, ...sources.map((name) => join(NATIVE_SOURCES, name))],
      {
        encoding: "utf8",
      },
    );
    if (error || status !== 0) {
      rmSync(folder, { recursive: true });
      if (!error) throw new Error(`cc: ${stderr}`);
      return undefined;
    }
    return new Native(program, folder);
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

  /** Writes bytes where the program can map them, and returns the path. */
  file(bytes: Uint8Array): string {
    const path = join(this.#folder, `data-${this.#files++}`);
    writeFileSync(path, bytes);
    return path;
  }

  stop(): void {
    this.#child.kill();
    this.#lines.close();
    rmSync(this.#folder, { recursive: true });
  }
}
