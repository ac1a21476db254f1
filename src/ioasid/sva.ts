/**
 * Shared virtual addressing: one PASID per process address space, and the way back from a page fault.
 *
 * Linux iommu-sva-lib: v5.11 counts references (a PASID goes with the last unbind), v5.18 keeps the
 * PASID until the address space is gone. The space's profile decides. Today's kernels: `global.ts`.
 */
import { MAX_ID } from "./bitmap.ts";
import type { Ioasid } from "./ioasid.ts";
import { INVALID_IOASID } from "./profile.ts";
import { type Found, fail, OK, type Status } from "./result.ts";
import { IoasidSet } from "./sets.ts";

/**
 * A process's address space (mm_struct) as far as PASIDs go. Two counts: *users* run in it, and the
 * last one tears it down; *holders* keep the structure, and with the last one it is gone.
 */
export class Mm {
  readonly name: string;
  /** Undefined until the first bind. */
  pasid: number | undefined;
  /** Whether devices can use its page tables as they are; false e.g. with address tagging (LAM). */
  dmaCompatible = true;
  #users = 1;
  #holders = 1;
  readonly #onGone: (() => void)[] = [];

  constructor(name: string) {
    this.name = name;
  }

  /** No user is left: it cannot be entered any more. */
  get exited(): boolean {
    return this.#users === 0;
  }
  /** No holder is left either. */
  get gone(): boolean {
    return this.#holders === 0;
  }

  /** One more user; false when the address space is dying (mmget_not_zero). */
  use(): boolean {
    if (this.exited) return false;
    this.#users++;
    return true;
  }
  /** One user less; the last one's hold goes with it (mmput). */
  unuse(): void {
    if (this.exited) throw new RangeError(`${this.name}: no user is left`);
    if (--this.#users === 0) this.release();
  }
  /** One more holder (mmgrab). */
  hold(): void {
    if (this.gone) throw new RangeError(`${this.name}: is gone`);
    this.#holders++;
  }
  /** One holder less (mmdrop). */
  release(): void {
    if (this.gone) throw new RangeError(`${this.name}: is gone`);
    if (--this.#holders === 0) for (const done of this.#onGone) done();
  }
  /** Runs when the last holder lets go. */
  onGone(done: () => void): void {
    this.#onGone.push(done);
  }
}

export class SvaPasids {
  /** What page-fault look-ups are limited to. */
  readonly set: IoasidSet<Mm> = new IoasidSet<Mm>("SVA");
  readonly #ids: Ioasid;
  readonly #counted: boolean;

  constructor(ids: Ioasid) {
    this.#ids = ids;
    this.#counted = ids.profile !== "v5.18";
  }

  /**
   * Gives `mm` a PASID in [min, max], or uses the one it has.
   * EINVAL: min is 0, a bound is INVALID, or max < min. EOVERFLOW: it has one outside the range.
   * ENOMEM: none could be allocated.
   */
  alloc(mm: Mm, min: number, max: number): Status<"EINVAL" | "EOVERFLOW" | "ENOMEM"> {
    if (min === 0 || min === INVALID_IOASID || max === INVALID_IOASID || max < min) return fail("EINVAL");
    if (mm.pasid !== undefined) return this.#reuse(mm.pasid, min, max);
    const pasid = this.#ids.alloc(this.set, min, max, mm);
    if (pasid === undefined) return fail("ENOMEM");
    mm.pasid = pasid;
    // § From v5.18 on the PASID lives as long as the structure, not only as long as its users.
    if (!this.#counted) mm.onGone(() => this.#end(mm));
    return OK;
  }

  /** Undoes one `alloc`. From v5.18 on the PASID stays until `mm` is gone, and this does nothing. */
  free(mm: Mm): void {
    if (this.#counted) this.#end(mm);
  }

  /**
   * From the PASID of a page request to the address space, as a new user of it: `unuse` it afterwards.
   * "none": it is dying. EACCES: the PASID is another kind of user's, and no address space.
   */
  find(pasid: number): Found<Mm> {
    return this.#ids.find(this.set, pasid, (mm) => mm?.use() ?? false);
  }

  #reuse(pasid: number, min: number, max: number): Status<"EOVERFLOW"> {
    // § v5.18 refused pasid = max although allocation may give it; mended in v6.4.
    const offByOne = !this.#counted && this.#ids.rules === "compat";
    if (pasid < min || pasid > (offByOne ? max - 1 : Math.min(max, MAX_ID))) return fail("EOVERFLOW");
    if (this.#ids.profile === "v5.11") this.#ids.get(pasid);
    return OK;
  }

  #end(mm: Mm): void {
    if (mm.pasid !== undefined && this.#ids.free(mm.pasid, this.set)) mm.pasid = undefined;
  }
}
