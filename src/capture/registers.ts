/** Register values as somebody found them, and where. */

const WORD = 32;

export class RegisterDump {
  readonly #values: ReadonlyMap<number, number>;
  readonly #sources: ReadonlyMap<number, string>;

  /**
   * @param values 32-bit words by offset in bytes from the register base
   * @param sources by the same offsets, where each is from; may be left out
   */
  constructor(values: ReadonlyMap<number, number>, sources: ReadonlyMap<number, string> = new Map()) {
    this.#values = values;
    this.#sources = sources;
  }

  /** What was not given reads as 0: recorders leave out registers that do. */
  read32(offset: number): number {
    return this.#values.get(offset) ?? 0;
  }

  read64(offset: number): bigint {
    return (BigInt(this.read32(offset + 4)) << BigInt(WORD)) | BigInt(this.read32(offset));
  }

  /** Whether the register was given; of one of 64 bits a half is enough. */
  has(offset: number, bits: 32 | 64 = 64): boolean {
    return this.#values.has(offset) || (bits > WORD && this.#values.has(offset + 4));
  }

  /** "iommu_regset in x.txt", "--rtaddr" and so on; "" where nobody said. */
  source(offset: number): string {
    return this.#sources.get(offset) ?? "";
  }

  /** The same registers but for one. */
  with(offset: number, bits: 32 | 64, value: bigint, source: string): RegisterDump {
    const values = new Map(this.#values).set(offset, Number(BigInt.asUintN(WORD, value)));
    const sources = new Map(this.#sources).set(offset, source);
    if (bits > WORD) {
      values.set(offset + 4, Number(value >> BigInt(WORD)));
      sources.set(offset + 4, source);
    }
    return new RegisterDump(values, sources);
  }
}
