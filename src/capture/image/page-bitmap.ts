/** A bit a page, the lowest bit of each byte first, in a file: which pages there are, and how many before each. */
import type { ByteSource } from "./bytes.ts";
import { RecentMap } from "./recent.ts";

/** The bitmap is read, and its bits are counted, in such pieces. */
const PIECE = 4096;
const PIECE_BITS = PIECE * 8;
const RECENT_PIECES = 1024;
const FULL = 255;

export class PageBitmap {
  readonly #source: ByteSource;
  readonly #offset: number;
  readonly #bits: number;
  /** Bits that are set before each piece, once they were counted. */
  #before: number[] | undefined;
  #count = 0;
  readonly #recent = new RecentMap<number, Uint8Array>(RECENT_PIECES);

  /** @param offset of the bitmap in the file, which holds all of its `bits` */
  constructor(source: ByteSource, offset: number, bits: number) {
    this.#source = source;
    this.#offset = offset;
    this.#bits = bits;
  }

  /** Bits that are set. */
  get count(): number {
    this.#counts();
    return this.#count;
  }

  /** How many bits are set before this one; undefined when it is not. */
  rank(bit: number): number | undefined {
    if (bit >= this.#bits) return undefined;
    const piece = Math.floor(bit / PIECE_BITS);
    let bytes = this.#recent.get(piece);
    if (!bytes) {
      bytes = this.#read(piece);
      this.#recent.set(piece, bytes);
    }
    const within = bit % PIECE_BITS;
    if (!isSet(bytes, within)) return undefined;
    return (this.#counts()[piece] as number) + countBits(bytes, within);
  }

  /** Runs of bits that are set, [first, count]; undefined when there are more than `most`. */
  runs(most: number): [number, number][] | undefined {
    const runs: [number, number][] = [];
    for (let piece = 0; piece * PIECE_BITS < this.#bits; piece++) {
      const bytes = this.#read(piece);
      const bits = Math.min(PIECE_BITS, this.#bits - piece * PIECE_BITS);
      for (let bit = 0; bit < bits; ) {
        const byte = bytes[Math.floor(bit / 8)];
        const step = bit % 8 === 0 && bit + 8 <= bits && (byte === 0 || byte === FULL) ? 8 : 1;
        if (isSet(bytes, bit)) extend(runs, piece * PIECE_BITS + bit, step);
        bit += step;
      }
      if (runs.length > most) return undefined;
    }
    return runs;
  }

  #counts(): number[] {
    if (this.#before) return this.#before;
    const before: number[] = [];
    for (let piece = 0; piece * PIECE_BITS < this.#bits; piece++) {
      before.push(this.#count);
      this.#count += countBits(this.#read(piece), Math.min(PIECE_BITS, this.#bits - piece * PIECE_BITS));
    }
    this.#before = before;
    return before;
  }

  #read(piece: number): Uint8Array {
    const bytes = Math.ceil(this.#bits / 8) - piece * PIECE;
    return this.#source.read(this.#offset + piece * PIECE, Math.min(PIECE, bytes));
  }
}

function extend(runs: [number, number][], first: number, count: number): void {
  const last = runs.at(-1);
  if (last && last[0] + last[1] === first) last[1] += count;
  else runs.push([first, count]);
}

function isSet(bytes: Uint8Array, bit: number): boolean {
  return Math.floor((bytes[Math.floor(bit / 8)] as number) / 2 ** (bit % 8)) % 2 === 1;
}

/** Ones in each byte. */
const ONES = Uint8Array.from({ length: 256 }, (_, byte) => byte.toString(2).replaceAll("0", "").length);

/** Ones among the first `bits` bits. */
function countBits(bytes: Uint8Array, bits: number): number {
  let count = 0;
  const whole = Math.floor(bits / 8);
  for (let i = 0; i < whole; i++) count += ONES[bytes[i] as number] as number;
  const rest = bits % 8;
  return rest === 0 ? count : count + (ONES[(bytes[whole] as number) % 2 ** rest] as number);
}
