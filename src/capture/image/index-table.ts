/** An index in memory: rows of three numbers, millions if need be, found by the first. */

const COLUMNS = 3;

export type Row = readonly [key: number, second: number, third: number];

export class IndexTable {
  #numbers = new Float64Array(1024 * COLUMNS);
  #rows = 0;

  get rows(): number {
    return this.#rows;
  }

  add(...row: Row): void {
    const at = this.#rows++ * COLUMNS;
    if (at === this.#numbers.length) {
      const larger = new Float64Array(2 * at);
      larger.set(this.#numbers);
      this.#numbers = larger;
    }
    this.#numbers.set(row, at);
  }

  row(index: number): Row {
    const at = index * COLUMNS;
    return [this.#numbers[at] as number, this.#numbers[at + 1] as number, this.#numbers[at + 2] as number];
  }

  /** Index of the last row whose key is at most `key`, or of the first: rows must be in order. */
  find(key: number): number {
    let low = 0;
    let high = this.#rows;
    while (high - low > 1) {
      const middle = Math.floor((low + high) / 2);
      if ((this.#numbers[middle * COLUMNS] as number) <= key) low = middle;
      else high = middle;
    }
    return low;
  }

  /** Indices of all rows in order of keys; of equal keys the one added first comes first. */
  order(): Uint32Array {
    const key = (index: number) => this.#numbers[index * COLUMNS] as number;
    return Uint32Array.from({ length: this.#rows }, (_, i) => i).sort((a, b) => key(a) - key(b) || a - b);
  }
}
