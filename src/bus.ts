/**
 * The unit's own accesses to guest memory: queues, fault status, messages.
 *
 * Unlike `GuestMemory`'s accessors, which are the CPU's view and throw, these obey poisoned ranges
 * and report a bus error as a value: a guest may point its hardware anywhere.
 */
import { checkInteger } from "./check.ts";
import type { GuestMemory } from "./memory.ts";

/** Bytes that one access may move. */
const BUFFER_BYTES = 4096;
const WORD_BYTES = 8;

export class Bus {
  readonly #memory: GuestMemory;
  readonly #buffer: number;

  constructor(memory: GuestMemory) {
    this.#memory = memory;
    this.#buffer = memory.core.allocate(BUFFER_BYTES);
  }

  /** `count` little-endian 64-bit words at `address`, or undefined for a bus error. */
  readWords(address: bigint, count: number): bigint[] | undefined {
    if (!this.#fetch(address, count * WORD_BYTES)) return undefined;
    const { view } = this.#memory.core;
    return Array.from({ length: count }, (_, i) => view.getBigUint64(this.#buffer + i * WORD_BYTES, true));
  }

  /** Stores 64-bit words; false is a bus error. */
  writeWords(address: bigint, words: readonly bigint[]): boolean {
    const { view } = this.#memory.core;
    words.forEach((word, i) => {
      view.setBigUint64(this.#buffer + i * WORD_BYTES, word, true);
    });
    return this.#store(address, words.length * WORD_BYTES);
  }

  /** Stores a 32-bit word; false is a bus error. */
  write32(address: bigint, value: number): boolean {
    this.#memory.core.view.setUint32(this.#buffer, value, true);
    return this.#store(address, 4);
  }

  /** Up to 4096 bytes at `address`, or undefined for a bus error. */
  readBytes(address: bigint, bytes: number): Uint8Array | undefined {
    checkInteger("bytes", bytes, 0, BUFFER_BYTES);
    if (!this.#fetch(address, bytes)) return undefined;
    return this.#memory.core.u8.slice(this.#buffer, this.#buffer + bytes);
  }

  /** Stores up to 4096 bytes; false is a bus error. */
  writeBytes(address: bigint, data: Uint8Array): boolean {
    checkInteger("data.length", data.length, 0, BUFFER_BYTES);
    this.#memory.core.u8.set(data, this.#buffer);
    return this.#store(address, data.length);
  }

  #fetch(address: bigint, bytes: number): boolean {
    return this.#memory.core.exports.copyFromGuest(this.#buffer, address, bytes) !== 0;
  }

  #store(address: bigint, bytes: number): boolean {
    return this.#memory.core.exports.copyToGuest(address, this.#buffer, bytes) !== 0;
  }
}
