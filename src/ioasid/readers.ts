/**
 * Readers and grace periods: RCU as far as JavaScript has it.
 *
 * Nothing runs beside a synchronous look-up, but an asynchronous one holds what it found across an
 * `await`. It says so by a reader; `synchronize` waits for the readers there are at the time of the
 * call, never for later ones.
 */
export class Readers {
  readonly #open: Set<Reader> = new Set();

  /** Readers that have not ended. */
  get count(): number {
    return this.#open.size;
  }

  enter(): Reader {
    const reader = new Reader((ended) => this.#open.delete(ended));
    this.#open.add(reader);
    return reader;
  }

  /** Resolves when every reader that is open now has ended. */
  async synchronize(): Promise<void> {
    await Promise.all([...this.#open].map((reader) => reader.ended));
  }
}

export class Reader {
  /** Resolves at `end`. */
  readonly ended: Promise<void>;
  #resolve: () => void = () => {};
  readonly #onEnd: (reader: Reader) => void;

  constructor(onEnd: (reader: Reader) => void) {
    this.#onEnd = onEnd;
    this.ended = new Promise((resolve) => {
      this.#resolve = resolve;
    });
  }

  /** What was found under this reader is not used any more. More than once is no harm. */
  end(): void {
    this.#onEnd(this);
    this.#resolve();
  }
}
