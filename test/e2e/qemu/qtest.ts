/**
 * QEMU without a processor, driven through its qtest channel (QEMU's docs/devel/testing/qtest.rst): one command a line,
 * one answer a line. Commands are sent in batches, since waiting for each answer would take most of the time.
 */
import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";

const hex = (value: number | bigint): string => `0x${value.toString(16)}`;

/** A command; `read*` are answered with a value, the others with 0. */
export const command = {
  write32: (address: bigint, value: number | bigint): string => `writel ${hex(address)} ${hex(value)}`,
  clear: (address: bigint, bytes: number): string => `memset ${hex(address)} ${bytes} 0`,
  write64: (address: bigint, value: bigint): string => `writeq ${hex(address)} ${hex(value)}`,
  read32: (address: bigint): string => `readl ${hex(address)}`,
  read64: (address: bigint): string => `readq ${hex(address)}`,
  out32: (port: number, value: number): string => `outl ${hex(port)} ${hex(value)}`,
  in32: (port: number): string => `inl ${hex(port)}`,
  bytes: (address: bigint, bytes: Uint8Array): string =>
    `write ${hex(address)} ${hex(bytes.length)} 0x${Buffer.from(bytes).toString("hex")}`,
} as const;

export class Qtest {
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #waiting: {
    count: number;
    answers: bigint[];
    resolve: (answers: bigint[]) => void;
    reject: (e: Error) => void;
  }[] = [];
  #partial = "";
  #errors = "";
  #gone: Error | undefined;

  constructor(program: string, args: readonly string[]) {
    this.#child = spawn(program, [...args, "-accel", "qtest", "-qtest", "stdio", "-display", "none"]);
    this.#child.stdout.setEncoding("latin1");
    this.#child.stdout.on("data", (text: string) => this.#take(text));
    this.#child.stdin.on("error", () => {});
    this.#child.stderr.on("data", (text: Buffer) => {
      this.#errors = `${this.#errors}${text}`.slice(-2000);
    });
    this.#child.on("error", (error) => this.#end(error.message));
    this.#child.on("close", (code, signal) => this.#end(`exit ${code ?? signal}`));
  }

  /** Sends commands. @returns the values, in order @throws Error when QEMU refuses one or ends */
  batch(commands: readonly string[]): Promise<bigint[]> {
    if (this.#gone) return Promise.reject(this.#gone);
    if (commands.length === 0) return Promise.resolve([]);
    return new Promise((resolve, reject) => {
      this.#waiting.push({ count: commands.length, answers: [], resolve, reject });
      this.#child.stdin.write(`${commands.join("\n")}\n`);
    });
  }

  async stop(): Promise<void> {
    if (this.#gone) return;
    const closed = new Promise((resolve) => this.#child.once("close", resolve));
    this.#child.kill();
    await closed;
  }

  #take(text: string): void {
    const lines = `${this.#partial}${text}`.split("\n");
    this.#partial = lines.pop() ?? "";
    for (const line of lines) if (!line.startsWith("IRQ ")) this.#answer(line);
  }

  #answer(line: string): void {
    const [first] = this.#waiting;
    if (!first) return;
    const value = /^OK(?: (0x[0-9a-f]+))?/.exec(line);
    if (!value) {
      this.#waiting.shift();
      first.reject(new Error(`QEMU's qtest says ${line}`));
      return;
    }
    first.answers.push(BigInt(value[1] ?? 0));
    if (first.answers.length < first.count) return;
    this.#waiting.shift();
    first.resolve(first.answers);
  }

  #end(how: string): void {
    this.#gone ??= new Error(`QEMU ended, ${how}\n${this.#errors}`);
    for (const { reject } of this.#waiting.splice(0)) reject(this.#gone);
  }
}
