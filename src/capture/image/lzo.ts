/**
 * LZO1X, one block (Linux, Documentation/staging/lzo.rst). Written for hostile input: every length is checked.
 */
import { CorruptData, copyBack } from "./snappy.ts";

/** First bytes above this are a run of literals. */
const FIRST_LITERALS = 17;
/** What the opcodes below are: the first of each kind. */
enum OPCODE {
  FAR = 16,
  MIDDLE = 32,
  NEAR = 64,
}
/** After four or more literals, short copies mean something else. */
const MANY_LITERALS = 4;
const FAR_DISTANCE = 16384;
const BEYOND_NEAR = 2049;

/** @throws CorruptData unless it is a block of exactly `size` bytes */
export function lzoDecompress(data: Uint8Array, size: number): Uint8Array {
  return new Lzo(data, size).run();
}

class Lzo {
  readonly #data: Uint8Array;
  readonly #out: Uint8Array;
  #at = 0;
  #done = 0;

  constructor(data: Uint8Array, size: number) {
    this.#data = data;
    this.#out = new Uint8Array(size);
  }

  run(): Uint8Array {
    let literals = 0;
    const first = this.#data[0] ?? 0;
    if (first > FIRST_LITERALS) {
      this.#at = 1;
      literals = this.#literals(first - FIRST_LITERALS);
    }
    for (;;) {
      const code = this.#byte();
      if (code < OPCODE.FAR) {
        literals = this.#short(code, literals);
        continue;
      }
      const next = code < OPCODE.NEAR ? this.#long(code) : this.#near(code);
      if (next === undefined) break;
      literals = next;
    }
    if (this.#done !== this.#out.length) throw new CorruptData(`LZO: ${this.#done} of ${this.#out.length} bytes`);
    return this.#out;
  }

  /** Codes 0 to 15 depend on how many literals came before. */
  #short(code: number, before: number): number {
    if (before === 0) return this.#literals(this.#length(code, 15) + 3);
    const distance = this.#byte() * 4 + Math.floor(code / 4);
    if (before < MANY_LITERALS) this.#copy(distance + 1, 2);
    else this.#copy(distance + BEYOND_NEAR, 3);
    return this.#literals(code % 4);
  }

  /** Codes 16 to 63 carry their length, and a distance of 14 bits; undefined at the end of the stream. */
  #long(code: number): number | undefined {
    const far = code < OPCODE.MIDDLE;
    const length = 2 + (far ? this.#length(code % 8, 7) : this.#length(code % 32, 31));
    const word = this.#byte() + this.#byte() * 256;
    const distance = Math.floor(word / 4);
    if (!far) {
      this.#copy(distance + 1, length);
      return this.#literals(word % 4);
    }
    const whole = FAR_DISTANCE + (code % 16 >= 8 ? FAR_DISTANCE : 0) + distance;
    if (whole === FAR_DISTANCE) return undefined;
    this.#copy(whole, length);
    return this.#literals(word % 4);
  }

  /** Codes from 64 on: up to eight bytes from nearby. */
  #near(code: number): number {
    const distance = this.#byte() * 8 + (Math.floor(code / 4) % 8) + 1;
    this.#copy(distance, Math.floor(code / 32) + 1);
    return this.#literals(code % 4);
  }

  /** A length that did not fit its opcode goes on in bytes; zeros stand for 255. */
  #length(short: number, most: number): number {
    if (short !== 0) return short;
    let length = most;
    let byte = this.#byte();
    while (byte === 0) {
      length += 255;
      if (length > this.#out.length) throw new CorruptData("LZO: a length is too long");
      byte = this.#byte();
    }
    return length + byte;
  }

  /** @returns what later opcodes want to know: how many literals, four for more */
  #literals(count: number): number {
    const end = this.#at + count;
    if (end > this.#data.length || this.#done + count > this.#out.length)
      throw new CorruptData("LZO: too many literals");
    this.#out.set(this.#data.subarray(this.#at, end), this.#done);
    this.#at = end;
    this.#done += count;
    return Math.min(count, MANY_LITERALS);
  }

  #copy(distance: number, length: number): void {
    copyBack(this.#out, this.#done, distance, length, "LZO");
    this.#done += length;
  }

  #byte(): number {
    const byte = this.#data[this.#at++];
    if (byte === undefined) throw new CorruptData("LZO: the data ends within an instruction");
    return byte;
  }
}
