/**
 * Random choices read from a tape of 32-bit words. fast-check makes and shrinks the tape: a zero is the
 * plainest choice, and an exhausted tape reads as zeros, so a shrunk case is a plain case.
 */
export class Choices {
  readonly #tape: ArrayLike<number>;
  #at = 0;

  constructor(tape: ArrayLike<number>) {
    this.#tape = tape;
  }

  #next(): number {
    return this.#at < this.#tape.length ? (this.#tape[this.#at++] as number) >>> 0 : 0;
  }

  /** A whole number in [0, count). */
  below(count: number): number {
    return this.#next() % count;
  }

  pick<T>(list: readonly T[]): T {
    return list[this.below(list.length)] as T;
  }

  /** True in `percent` of a hundred cases. */
  chance(percent: number): boolean {
    return this.#next() % 10_000 >= 10_000 - 100 * percent;
  }

  /** `count` random bits. */
  bits(count: number): bigint {
    let value = 0n;
    for (let have = 0; have < count; have += 32) value = (value << 32n) | BigInt(this.#next());
    return value & ((1n << BigInt(count)) - 1n);
  }

  /** Zero mostly, otherwise `count` random bits. */
  rarely(percent: number, count: number): bigint {
    return this.chance(percent) ? this.bits(count) : 0n;
  }
}
