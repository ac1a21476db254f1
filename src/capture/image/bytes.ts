/** Bytes of a file that is too large to load: read where they are needed, with every bound checked. */
import { hex } from "../../check.ts";
import { InputError } from "../input.ts";

export interface ByteSource {
  /** What to call it in messages. */
  readonly name: string;
  readonly size: number;
  /**
   * `length` bytes at `offset`, which lie within; a copy or a view that nobody writes to.
   * @throws InputError when they cannot be had
   */
  read(offset: number, length: number): Uint8Array;
}

/** A file that is in memory already. */
export class LoadedBytes implements ByteSource {
  readonly name: string;
  readonly size: number;
  readonly #data: Uint8Array;

  constructor(name: string, data: Uint8Array) {
    this.name = name;
    this.size = data.length;
    this.#data = data;
  }

  read(offset: number, length: number): Uint8Array {
    return this.#data.subarray(offset, offset + length);
  }
}

/** @throws InputError at an offset, always */
export function refuseAt(source: ByteSource, offset: number, problem: string): never {
  throw new InputError(source.name, `offset ${hex(offset)}`, problem);
}

/**
 * Reads a structure's bytes.
 * @param what what needs them, "the ELF header"
 * @throws InputError when the file ends before
 */
export function readStructure(source: ByteSource, offset: number, length: number, what: string): DataView {
  requireBytes(source, offset, length, what);
  const bytes = source.read(offset, length);
  return new DataView(bytes.buffer, bytes.byteOffset, length);
}

/** @throws InputError when the file ends before all of `what` */
export function requireBytes(source: ByteSource, offset: number, length: number, what: string): void {
  if (offset + length <= source.size) return;
  refuseAt(source, offset, `${what} needs ${hex(length)} bytes, the file ends at ${hex(source.size)}`);
}

/**
 * A 64-bit number that must be an offset or a size in a file.
 * @param place where it stands
 * @throws InputError for what no file reaches
 */
export function fileNumber(source: ByteSource, place: number, value: bigint, what: string): number {
  if (value > BigInt(Number.MAX_SAFE_INTEGER))
    refuseAt(source, place, `${what} is ${hex(value)}, which no file reaches`);
  return Number(value);
}
