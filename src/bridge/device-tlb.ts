/** The TLB of a device that uses ATS: translation completions, until the unit says that they are void. */
import type { DeviceInvalidation, TranslationCompletion } from "../endpoint.ts";

interface Entry {
  pasid: number | undefined;
  privileged: boolean;
  /** First input address that it covers. */
  start: bigint;
  completion: TranslationCompletion;
}

const MAX_ENTRIES = 64;

export class DeviceTlb {
  #entries: Entry[] = [];

  get size(): number {
    return this.#entries.length;
  }

  find(pasid: number | undefined, privileged: boolean, address: bigint): TranslationCompletion | undefined {
    return this.#entries.find(
      (entry) =>
        entry.pasid === pasid &&
        entry.privileged === privileged &&
        address >= entry.start &&
        address < entry.start + entry.completion.size,
    )?.completion;
  }

  /** Keeps a completion for `address`; the oldest goes when there is no room. */
  add(pasid: number | undefined, privileged: boolean, address: bigint, completion: TranslationCompletion): void {
    // A better answer replaces what was known.
    const known = this.find(pasid, privileged, address);
    this.#entries = this.#entries.filter((entry) => entry.completion !== known);
    if (this.#entries.length === MAX_ENTRIES) this.#entries.shift();
    this.#entries.push({ pasid, privileged, start: address - (address % completion.size), completion });
  }

  invalidate({ pasid, address, size, global }: DeviceInvalidation): void {
    this.#entries = this.#entries.filter((entry) => {
      const isMeant = global ? entry.pasid !== undefined : entry.pasid === pasid;
      return !isMeant || entry.start + entry.completion.size <= address || entry.start >= address + size;
    });
  }

  clear(): void {
    this.#entries = [];
  }
}
