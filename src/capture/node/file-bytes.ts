/** A file on disk, read where it is asked for. */
import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import type { ByteSource } from "../image/bytes.ts";
import { InputError } from "../input.ts";

export class FileBytes implements ByteSource {
  readonly name: string;
  readonly size: number;
  readonly #descriptor: number;

  /** @throws InputError for what is no file, or cannot be read */
  constructor(path: string) {
    this.name = path;
    this.#descriptor = attempt(path, () => openSync(path, "r"));
    const stat = fstatSync(this.#descriptor);
    this.size = stat.size;
    if (stat.isFile()) return;
    this.close();
    throw new InputError(path, "", "not a file: dumps are read in any order, so no pipe or folder will do");
  }

  read(offset: number, length: number): Uint8Array {
    const bytes = new Uint8Array(length);
    for (let at = 0; at < length; ) {
      const count = attempt(this.name, () => readSync(this.#descriptor, bytes, at, length - at, offset + at));
      if (count === 0)
        throw new InputError(this.name, `offset 0x${(offset + at).toString(16)}`, "the file became shorter");
      at += count;
    }
    return bytes;
  }

  close(): void {
    closeSync(this.#descriptor);
  }
}

function attempt<T>(path: string, action: () => T): T {
  try {
    return action();
  } catch (error) {
    throw new InputError(path, "", `cannot be read (${(error as NodeJS.ErrnoException).code ?? error})`);
  }
}
