/** Runs by the million in typed arrays, and the set of physical pages that hold tables. */
import type { Run } from "./enumerate.ts";

/** Runs kept at most. A run takes 33 bytes here, and another 21 while what spaces share is worked out. */
export const MAX_RUNS = 8_388_608;
const CHUNK = 65_536;

class Chunk {
  readonly input = new BigUint64Array(CHUNK);
  readonly sizes = new BigUint64Array(CHUNK);
  /** 52-bit numbers: exact. */
  readonly output = new Float64Array(CHUNK);
  readonly bytes = new Float64Array(CHUNK);
  readonly rights = new Uint8Array(CHUNK);
}

/** A list of runs that only grows. */
export class RunList {
  readonly #chunks: Chunk[] = [];
  length = 0;

  push({ input, output, bytes, rights, sizes }: Run): void {
    const at = this.length % CHUNK;
    if (at === 0) this.#chunks.push(new Chunk());
    const chunk = this.#chunks.at(-1) as Chunk;
    chunk.input[at] = input;
    chunk.sizes[at] = sizes;
    chunk.output[at] = Number(output);
    chunk.bytes[at] = Number(bytes);
    chunk.rights[at] = rights;
    this.length++;
  }

  at(index: number): Run {
    const { chunk, at } = this.#find(index);
    return {
      input: chunk.input[at] as bigint,
      output: BigInt(chunk.output[at] as number),
      bytes: BigInt(chunk.bytes[at] as number),
      rights: chunk.rights[at] as number,
      sizes: chunk.sizes[at] as bigint,
    };
  }

  /** The output address alone, without making a run. */
  output(index: number): number {
    const { chunk, at } = this.#find(index);
    return chunk.output[at] as number;
  }

  bytes(index: number): number {
    const { chunk, at } = this.#find(index);
    return chunk.bytes[at] as number;
  }

  rights(index: number): number {
    const { chunk, at } = this.#find(index);
    return chunk.rights[at] as number;
  }

  #find(index: number): { chunk: Chunk; at: number } {
    return { chunk: this.#chunks[Math.floor(index / CHUNK)] as Chunk, at: index % CHUNK };
  }
}
