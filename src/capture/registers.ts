/** Register values as somebody found them, and where. */
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
    return (BigInt(this.read32(offset + 4)) << 32n) | BigInt(this.read32(offset));
  }

  /** Whether the word, or the one above it, was given. */
  has(offset: number): boolean {
    return this.#values.has(offset) || this.#values.has(offset + 4);
  }

  /** "iommu_regset", "--rtaddr" and so on; "" where nobody said. */
  source(offset: number): string {
    return this.#sources.get(offset) ?? "";
  }
}
