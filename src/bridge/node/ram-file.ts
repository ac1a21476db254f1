/** The guest's RAM as a file: opened once, read and written synchronously. */
import {
  closeSync,
  constants,
  existsSync,
  fstatSync,
  ftruncateSync,
  openSync,
  readSync,
  rmSync,
  writeSync,
} from "node:fs";
import { InputError } from "../../capture/input.ts";
import type { RamFile } from "../guest-ram.ts";

export class SharedRamFile implements RamFile {
  readonly path: string;
  readonly #fd: number;
  readonly #bytes: number;
  /** Told once, when the file turns out to be shorter than it was. */
  onShrunk: (line: string) => void = () => {};
  #isShrunk = false;
  /** Whether it was not there before: then it goes, too. */
  readonly #isOurs: boolean;

  /**
   * Opens the file, and makes it `bytes` long if it is new or empty.
   * @throws InputError when it cannot be, or has another size
   */
  constructor(path: string, bytes: number) {
    this.path = path;
    this.#bytes = bytes;
    this.#isOurs = !existsSync(path);
    try {
      // For its owner only: it will hold a guest's secrets.
      this.#fd = openSync(path, constants.O_RDWR | constants.O_CREAT, 0o600);
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code ?? error;
      throw new InputError(path, "", `cannot be opened for guest RAM (${code}); give --ram a file in a folder you own`);
    }
    const info = fstatSync(this.#fd);
    if (info.isFile() && info.size === 0) ftruncateSync(this.#fd, bytes);
    const { size } = fstatSync(this.#fd);
    if (!info.isFile() || size !== bytes) {
      closeSync(this.#fd);
      const problem = info.isFile() ? `has ${size} bytes where guest RAM has ${bytes}` : "is no regular file";
      throw new InputError(path, "", `${problem}; remove it, or give --memory its size`);
    }
  }

  read(position: bigint, into: Uint8Array): boolean {
    return this.#whole(into.length, () => readSync(this.#fd, into, 0, into.length, Number(position)));
  }

  write(position: bigint, from: Uint8Array): boolean {
    // A write beyond the end would make the file longer.
    if (position + BigInt(from.length) > BigInt(this.#bytes)) return false;
    return this.#whole(from.length, () => writeSync(this.#fd, from, 0, from.length, Number(position)));
  }

  close(): void {
    closeSync(this.#fd);
    if (this.#isOurs) rmSync(this.path, { force: true });
  }

  #whole(bytes: number, access: () => number): boolean {
    let moved = 0;
    let problem = "";
    try {
      moved = access();
    } catch (error) {
      problem = ` (${(error as NodeJS.ErrnoException).code ?? error})`;
    }
    if (moved === bytes) return true;
    this.#check(problem);
    return false;
  }

  #check(problem: string): void {
    const { size } = fstatSync(this.#fd);
    if (this.#isShrunk || (size >= this.#bytes && problem === "")) return;
    this.#isShrunk = true;
    const what = size < this.#bytes ? `shrank from ${this.#bytes} to ${size} bytes` : `cannot be accessed${problem}`;
    this.onShrunk(`${this.path}: ${what} while it was guest RAM; stop the machine and start over with a new file`);
  }
}
