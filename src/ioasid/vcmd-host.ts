/**
 * GuestPasids: the PASIDs that a host hands to one guest, out of the host's own space.
 *
 * What stands behind the virtual command registers (`src/vtd/vcmd.ts`). The guest's PASIDs are a set
 * of the host's, so a guest can free nothing but its own.
 */
import { checkId, MAX_ID } from "./bitmap.ts";
import type { Ioasid } from "./ioasid.ts";
import { IoasidSet } from "./sets.ts";

export interface GuestPasidsOptions {
  /** For people. */
  name?: string;
  /** Lowest PASID to hand out; 1 unless told: 0 stands for requests without PASID. */
  min?: number;
  /** Highest, what the guest's devices can carry; 0xFFFFF unless told. */
  max?: number;
}

export class GuestPasids {
  readonly set: IoasidSet;
  readonly #ids: Ioasid;
  readonly #min: number;
  readonly #max: number;

  constructor(ids: Ioasid, options: GuestPasidsOptions = {}) {
    this.#ids = ids;
    this.set = new IoasidSet(options.name ?? "guest");
    this.#min = checkId("min", options.min ?? 1);
    this.#max = checkId("max", options.max ?? MAX_ID);
  }

  alloc(): number | undefined {
    return this.#ids.alloc(this.set, this.#min, this.#max);
  }

  /** Takes a PASID back, whatever the guest sent; false when it is not the guest's. */
  free(pasid: number): boolean {
    return this.#owns(pasid) && this.#ids.free(pasid, this.set);
  }

  /** The guest's PASIDs, ascending. */
  list(): number[] {
    return [...this.#ids.entries(this.set)].map(({ id }) => id);
  }

  /** Gives the guest this very PASID; false when it is outside the range or not free. */
  claim(pasid: number): boolean {
    return pasid >= this.#min && pasid <= this.#max && this.#ids.alloc(this.set, pasid, pasid) !== undefined;
  }

  #owns(pasid: number): boolean {
    return this.#ids.find(this.set, pasid).kind !== "error";
  }
}
