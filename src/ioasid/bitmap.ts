/**
 * IdBitmap: which of the 2^20 IDs are in use. A thin TypeScript face on `assembly/bitmap.ts`.
 *
 * Nothing but numbers: owners, data and policy belong to `Ioasid`.
 */
import { BITMAP_BYTES, BITMAP_IDS } from "../../assembly/layout/bitmap.ts";
import { checkInteger } from "../check.ts";
import { Core } from "../core/core.ts";

/** The largest ID, 0xFFFFF: PCIe PASIDs have 20 bits. */
export const MAX_ID: number = BITMAP_IDS - 1;
/** Linear memory that one bitmap takes, in bytes. */
export const ID_BITMAP_BYTES: number = BITMAP_BYTES;

/** Linear memory of a core that holds `count` bitmaps and nothing else. */
export function coreForBitmaps(count: number): Core {
  return new Core(65536 + count * (BITMAP_BYTES + 64));
}

export class IdBitmap {
  readonly #exports: Core["exports"];
  readonly #ptr: number;
  // Looking a function up in the exports costs as much as calling it.
  readonly #alloc: Core["exports"]["bitmapAlloc"];
  readonly #free: Core["exports"]["bitmapFree"];

  /**
   * @param core whose linear memory to use, e.g. `memory.core` of a GuestMemory; its own small one
   *   when none is given. Any number of bitmaps share a core.
   * @throws RangeError when the core has no ID_BITMAP_BYTES left
   */
  constructor(core: Core = coreForBitmaps(1)) {
    this.#exports = core.exports;
    this.#alloc = core.exports.bitmapAlloc;
    this.#free = core.exports.bitmapFree;
    this.#ptr = core.allocate(BITMAP_BYTES);
  }

  /** IDs in use, 0 .. 2^20. */
  get count(): number {
    return this.#exports.bitmapCount(this.#ptr);
  }

  /**
   * Takes the lowest free ID in [min, max], both inclusive; undefined when there is none.
   * @throws RangeError when a bound is not in 0..0xFFFFF; an empty range (max < min) is no error
   */
  alloc(min = 0, max: number = MAX_ID): number | undefined {
    checkId("min", min);
    checkId("max", max);
    const alloc = this.#alloc;
    const id = alloc(this.#ptr, min, max);
    return id < 0 ? undefined : id;
  }

  /** The ID that `alloc` would take, left free. */
  firstFree(min = 0, max: number = MAX_ID): number | undefined {
    checkId("min", min);
    checkId("max", max);
    const id = this.#exports.bitmapFirstFree(this.#ptr, min, max);
    return id < 0 ? undefined : id;
  }

  /** Takes this very ID; false when it is in use already. */
  reserve(id: number): boolean {
    return this.#exports.bitmapReserve(this.#ptr, checkId("id", id)) !== 0;
  }

  /** Gives an ID back; false when it was not in use. */
  free(id: number): boolean {
    const free = this.#free;
    return free(this.#ptr, checkId("id", id)) !== 0;
  }

  /** Whether an ID is in use. */
  has(id: number): boolean {
    return this.#exports.bitmapTest(this.#ptr, checkId("id", id)) !== 0;
  }

  /** The lowest ID in use that is not below `from`; undefined when there is none. */
  next(from = 0): number | undefined {
    const id = this.#exports.bitmapNext(this.#ptr, checkId("from", from));
    return id < 0 ? undefined : id;
  }

  /** The IDs in use, ascending. IDs taken or freed meanwhile count from where the iteration stands. */
  *[Symbol.iterator](): IterableIterator<number> {
    for (let id = this.next(0); id !== undefined; id = id < MAX_ID ? this.next(id + 1) : undefined) yield id;
  }

  /** Frees every ID. */
  clear(): void {
    this.#exports.bitmapReset(this.#ptr);
  }
}

/** A 20-bit ID: RangeError or TypeError otherwise. */
export function checkId(name: string, id: number): number {
  return typeof id === "number" && (id & MAX_ID) === id ? id : checkInteger(name, id, 0, MAX_ID);
}
