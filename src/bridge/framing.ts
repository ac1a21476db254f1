/**
 * Cuts a byte stream into vfio-user messages: a stream socket splits and merges them as it likes.
 *
 * A size that no message can have means that the stream is out of step; nothing after it can be trusted.
 */
import { HEADER, HEADER_BYTES } from "../../assembly/layout/vfio-user.ts";

/** Payload bytes of the biggest access, and the biggest message around it. */
export const MAX_TRANSFER_BYTES: number = 1024 * 1024;
export const MAX_MESSAGE_BYTES: number = MAX_TRANSFER_BYTES + 4096;

const INITIAL_BYTES = 65536;

export class Framer {
  #buffer = new Uint8Array(INITIAL_BYTES);
  #start = 0;
  #end = 0;

  /** Appends what arrived. */
  push(chunk: Uint8Array): void {
    const held = this.#end - this.#start;
    if (this.#end + chunk.length > this.#buffer.length) {
      // Doubling keeps the copying linear even if a message comes byte by byte.
      const room = Math.max(held + chunk.length, held * 2, INITIAL_BYTES);
      const buffer = room > this.#buffer.length ? new Uint8Array(room) : this.#buffer;
      const rest = this.#buffer.subarray(this.#start, this.#end);
      if (buffer === this.#buffer) buffer.copyWithin(0, this.#start, this.#end);
      else buffer.set(rest);
      this.#buffer = buffer;
      this.#start = 0;
      this.#end = held;
    }
    this.#buffer.set(chunk, this.#end);
    this.#end += chunk.length;
  }

  /** The next whole message as a copy; undefined: not there yet; a number: the impossible size it claims. */
  next(): Uint8Array | number | undefined {
    const held = this.#end - this.#start;
    if (held < HEADER_BYTES) return undefined;
    const view = new DataView(this.#buffer.buffer, this.#start);
    const size = view.getUint32(HEADER.SIZE, true);
    if (size < HEADER_BYTES || size > MAX_MESSAGE_BYTES) return size;
    if (held < size) return undefined;
    const message = this.#buffer.slice(this.#start, this.#start + size);
    this.#start += size;
    if (this.#start === this.#end) {
      this.#start = 0;
      this.#end = 0;
    }
    return message;
  }
}
