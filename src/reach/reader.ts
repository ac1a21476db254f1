/** Reads tables as an IOMMU does: what is not there, or poisoned, is `undefined` and never an exception. */
import { GUEST } from "../../assembly/layout/core.ts";
import type { Core } from "../core/core.ts";

export const PAGE_BYTES = 4096;

export class TableReader {
  readonly #core: Core;
  readonly #ptr: number;

  constructor(core: Core) {
    this.#core = core;
    this.#ptr = core.allocate(PAGE_BYTES);
  }

  /**
   * The 64-bit words of up to a page at `address`, good until the next read. Words that cannot be read count
   * as 0, as long as there is one that can.
   */
  words(address: bigint, bytes: number = PAGE_BYTES): BigUint64Array | undefined {
    const { exports, u8, view } = this.#core;
    const words = new BigUint64Array(u8.buffer, this.#ptr, bytes / 8);
    if (exports.copyFromGuest(this.#ptr, address, bytes)) return words;
    // Memory comes in whole pages; only a poisoned one is there in part.
    if (view.getUint32(GUEST.POISONS, true) === 0) return undefined;
    words.fill(0n);
    let found = false;
    for (let at = 0; at < bytes; at += 8) {
      if (exports.copyFromGuest(this.#ptr + at, address + BigInt(at), 8)) found = true;
    }
    return found ? words : undefined;
  }
}
