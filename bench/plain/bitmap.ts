/** The ID bitmap in plain TypeScript: four levels of 32-bit words, each bit above says "full below". */
const ALL = -1;

export class PlainBitmap {
  /** 2^20, 2^15, 2^10 and 2^5 bits. */
  readonly levels: readonly Int32Array[] = [32768, 1024, 32, 1].map((words) => new Int32Array(words));

  /** Lowest free ID, taken; -1 when there is none. */
  alloc(): number {
    const [bits, first, second, third] = this.levels as [Int32Array, Int32Array, Int32Array, Int32Array];
    const top = ~(third[0] as number);
    if (!top) return -1;
    let at = lowest(top);
    at = (at << 5) | lowest(~(second[at] as number));
    at = (at << 5) | lowest(~(first[at] as number));
    const id = (at << 5) | lowest(~(bits[at] as number));
    this.take(id);
    return id;
  }

  take(id: number): void {
    for (let level = 0, index = id; level < 4; level++, index >>>= 5) {
      const words = this.levels[level] as Int32Array;
      const word = (words[index >>> 5] as number) | (1 << (index & 31));
      words[index >>> 5] = word;
      if (word !== ALL) break;
    }
  }

  free(id: number): boolean {
    const bits = this.levels[0] as Int32Array;
    if (!((bits[id >>> 5] as number) & (1 << (id & 31)))) return false;
    for (let level = 0, index = id; level < 4; level++, index >>>= 5) {
      const words = this.levels[level] as Int32Array;
      const word = words[index >>> 5] as number;
      words[index >>> 5] = word & ~(1 << (index & 31));
      if (word !== ALL) break;
    }
    return true;
  }
}

function lowest(bits: number): number {
  return 31 - Math.clz32(bits & -bits);
}
