/** Random tapes from a seed: scripts can be made again. */

/** Words of a 32-bit counter through a mixing function (splitmix32). */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  next(): number {
    this.#state = (this.#state + 0x9e3779b9) >>> 0;
    let z = this.#state;
    z = Math.imul(z ^ (z >>> 16), 0x21f0aaad);
    z = Math.imul(z ^ (z >>> 15), 0x735a2d97);
    return (z ^ (z >>> 15)) >>> 0;
  }

  /** A whole number in [0, count). */
  below(count: number): number {
    return this.next() % count;
  }

  tape(length: number): number[] {
    return Array.from({ length }, () => this.next());
  }
}
