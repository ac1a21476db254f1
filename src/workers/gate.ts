/**
 * The lock between the one thread that changes what walks depend on, the owner, and the workers that walk.
 *
 * Many readers, one writer that may wait. Each worker has a word in a cache line of its own, so that going
 * in and out touches nothing that other workers touch. The owner closes the gate and waits until each of
 * these words says that its worker is outside; one that comes now waits at the gate. All accesses are
 * sequentially consistent, so either a worker sees the gate closed, or the owner sees the worker inside.
 */

/** A cache line: what the gate takes of linear memory, and each worker. */
export const LINE_BYTES = 64;
const WORD_BYTES = Int32Array.BYTES_PER_ELEMENT;

/** The gate's word. */
const OPEN = 0;
const CLOSED = 1;

/** Bits of a worker's word. */
const INSIDE = 1;
const ATTACHED = 2;
const DETACHED = 4;

/** Looks at a word before its thread goes to sleep over it: a walk is over sooner than that takes. */
const SPINS = 200;

/** The owner's side. */
export class Gate {
  readonly #words: Int32Array;
  readonly #gate: number;
  readonly #patience: number;
  /** Where each worker's word is, by its index. */
  readonly #workers = new Map<number, number>();
  #depth = 0;
  #next = 0;

  /**
   * @param ptr LINE_BYTES of linear memory
   * @param patience milliseconds that a worker may take to come out
   */
  constructor(words: Int32Array, ptr: number, patience: number) {
    this.#words = words;
    this.#gate = ptr / WORD_BYTES;
    this.#patience = patience;
  }

  /** Pointer to the gate. */
  get ptr(): number {
    return this.#gate * WORD_BYTES;
  }

  /** A worker whose line is at `ptr`. @returns its index */
  add(ptr: number): number {
    this.#workers.set(this.#next, ptr / WORD_BYTES);
    return this.#next++;
  }

  /** From now on nobody waits for this worker, and it throws when it wants in. */
  remove(index: number): void {
    const at = this.#workers.get(index);
    if (at === undefined) return;
    Atomics.or(this.#words, at, DETACHED);
    this.#workers.delete(index);
  }

  /**
   * Does `work` while no worker is inside; may be nested.
   * @throws Error naming the worker that does not come out, with nothing done
   */
  closed<T>(work: () => T): T {
    if (this.#depth++ === 0) this.#close();
    try {
      return work();
    } finally {
      if (--this.#depth === 0) this.#open();
    }
  }

  #close(): void {
    Atomics.store(this.#words, this.#gate, CLOSED);
    for (const [index, at] of this.#workers) {
      if (this.#comesOut(at)) continue;
      this.#depth = 0;
      this.#open();
      throw new Error(`worker ${index} has been within a call for ${this.#patience} ms: detach it`);
    }
  }

  #comesOut(at: number): boolean {
    for (let spin = 0; spin < SPINS; spin++) if (!(Atomics.load(this.#words, at) & INSIDE)) return true;
    for (;;) {
      const word = Atomics.load(this.#words, at);
      if (!(word & INSIDE)) return true;
      if (!waitWhile(this.#words, at, word, this.#patience)) return false;
    }
  }

  #open(): void {
    Atomics.store(this.#words, this.#gate, OPEN);
    Atomics.notify(this.#words, this.#gate);
  }
}

/** A worker's side. */
export class Turnstile {
  readonly #words: Int32Array;
  readonly #gate: number;
  readonly #own: number;
  readonly #index: number;
  #depth = 0;

  /**
   * @param gate pointer to the gate; @param own pointer to the worker's line
   * @throws Error when the line is taken already, or the worker was detached
   */
  constructor(words: Int32Array, gate: number, own: number, index: number) {
    this.#words = words;
    this.#gate = gate / WORD_BYTES;
    this.#own = own / WORD_BYTES;
    this.#index = index;
    const was = Atomics.or(words, this.#own, ATTACHED);
    if (was & DETACHED) throw this.#detached();
    if (was & ATTACHED) throw new Error(`worker ${index} is attached already: a handle is for one thread, once`);
  }

  /** Goes in, and waits for as long as the gate is closed; may be nested. @throws Error once detached */
  enter(): void {
    if (this.#depth > 0) {
      this.#depth++;
      return;
    }
    for (;;) {
      const isDetached = Atomics.or(this.#words, this.#own, INSIDE) & DETACHED;
      if (!isDetached && Atomics.load(this.#words, this.#gate) === OPEN) break;
      this.#goOut();
      if (isDetached) throw this.#detached();
      waitWhile(this.#words, this.#gate, CLOSED, Number.POSITIVE_INFINITY);
    }
    this.#depth = 1;
  }

  leave(): void {
    if (--this.#depth === 0) this.#goOut();
  }

  #goOut(): void {
    Atomics.and(this.#words, this.#own, ~INSIDE);
    if (Atomics.load(this.#words, this.#gate) !== OPEN) Atomics.notify(this.#words, this.#own);
  }

  #detached(): Error {
    return new Error(`worker ${this.#index} was detached`);
  }
}

/** Waits until the word is something else, or somebody says so. @returns false: it took too long */
function waitWhile(words: Int32Array, at: number, value: number, milliseconds: number): boolean {
  if (mayBlock()) return Atomics.wait(words, at, value, milliseconds) !== "timed-out";
  const deadline = Date.now() + milliseconds;
  while (Atomics.load(words, at) === value) if (Date.now() > deadline) return false;
  return true;
}

let isBlockable: boolean | undefined;

/** A page's main thread may not sleep. */
function mayBlock(): boolean {
  if (isBlockable === undefined) {
    try {
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 1, 0);
      isBlockable = true;
    } catch {
      isBlockable = false;
    }
  }
  return isBlockable;
}
