/**
 * Global PASIDs: what became of the ID space in Linux v6.4 and later.
 *
 * One allocator of numbers for the whole system, and nothing else: no sets, no data, no references,
 * no look-up. Who uses a number where is a matter of attachment (`attach.ts`).
 */
import { checkInteger } from "../check.ts";
import type { Core } from "../core/core.ts";
import { checkId, IdBitmap, MAX_ID } from "./bitmap.ts";
import { INVALID_IOASID, type Log, NO_LOG } from "./profile.ts";

/** Stands for "no PASID": requests without one, and what is attached for them. */
export const NO_PASID = 0;
export const FIRST_GLOBAL_PASID = 1;

export interface GlobalPasidsOptions {
  core?: Core;
  log?: Log;
}

export class GlobalPasids {
  readonly #bitmap: IdBitmap;
  readonly #log: Log;

  constructor(options: GlobalPasidsOptions = {}) {
    this.#bitmap = new IdBitmap(options.core);
    this.#log = options.log ?? NO_LOG;
  }

  /** PASIDs in use. */
  get count(): number {
    return this.#bitmap.count;
  }

  has(pasid: number): boolean {
    return this.#bitmap.has(pasid);
  }

  /**
   * The lowest free PASID that a device can use: [1, maxPasids - 1].
   * @param device its `maxPasids` is a count, 0 (no PASIDs) .. 0x100000
   * @returns undefined when there is none
   */
  alloc(device: { readonly maxPasids: number }): number | undefined {
    const max = checkInteger("maxPasids", device.maxPasids, 0, MAX_ID + 1) - 1;
    return max < FIRST_GLOBAL_PASID ? undefined : this.#bitmap.alloc(FIRST_GLOBAL_PASID, max);
  }

  /** Frees a PASID. INVALID_IOASID or one that is not allocated is warned of and ignored. */
  free(pasid: number): void {
    if (pasid !== INVALID_IOASID) checkId("pasid", pasid);
    if (pasid !== INVALID_IOASID && this.#bitmap.free(pasid)) return;
    this.#log({ level: "warn", message: `free of PASID ${pasid}, which is not allocated` });
  }
}
