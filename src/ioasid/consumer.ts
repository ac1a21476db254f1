/**
 * PasidConsumer: one user of the ID space, with the limits and hooks of its IOMMU's vendor.
 *
 * The `iommu_pasid_*` interface proposed for Linux in November 2018. Ranges are half-open,
 * [min, max), as they were then; the space below takes inclusive ones. Every failure of `alloc` is
 * ENODEV: the vendor's own error does not come through.
 */
import { checkInteger } from "../check.ts";
import { MAX_ID } from "./bitmap.ts";
import type { DisabledIoasid } from "./disabled.ts";
import type { Ioasid } from "./ioasid.ts";
import { done, type Found, fail, OK, type Result, type Status } from "./result.ts";
import { IoasidSet } from "./sets.ts";

/** The vendor's hooks, each optional and independent of the others. */
export interface PasidOps {
  /** Narrows `min` and `max` to what the hardware can do. Failing makes `init` answer null. */
  pasidInit?(consumer: PasidLimits): Status;
  /** Lets the hardware choose from [start, end). EAGAIN: let software choose. */
  pasidAlloc?(consumer: PasidLimits, start: number, end: number): Result<number>;
  /** Takes an ID back: called before it is untracked, also for one that software chose. */
  pasidFree?(consumer: PasidLimits, id: number): void;
}

/** A bus as far as PASIDs go; one without an IOMMU has no ops. */
export interface PasidBus {
  iommuOps?: PasidOps;
}

export interface PasidLimits {
  /** Lowest ID, inclusive. */
  min: number;
  /** First ID beyond, exclusive: 0x100000 allows all 20 bits. */
  max: number;
}

const U32 = 0xffff_ffff;

export class PasidConsumer<T = unknown> implements PasidLimits {
  min = 0;
  max: number = MAX_ID + 1;
  /** Every consumer is a set of its own. */
  readonly set: IoasidSet<T> = new IoasidSet<T>("PASID consumer");
  /** The vendor's own. */
  priv: unknown = null;
  readonly #ids: Ioasid;
  readonly #ops: PasidOps;
  #ended = false;

  private constructor(ids: Ioasid, ops: PasidOps) {
    this.#ids = ids;
    this.#ops = ops;
  }

  /**
   * A consumer for devices on `bus`; null when there is no bus, the bus has no IOMMU, the vendor's
   * `pasidInit` failed, or the layer is built without IOMMU support.
   */
  static init<T = unknown>(bus: PasidBus | null, ids: Ioasid | DisabledIoasid): PasidConsumer<T> | null {
    if (!bus?.iommuOps || ids.profile === "disabled") return null;
    const consumer = new PasidConsumer<T>(ids, bus.iommuOps);
    const status = bus.iommuOps.pasidInit?.(consumer) ?? OK;
    return status.ok ? consumer : null;
  }

  /**
   * Allocates from [min, max), cut to the vendor's limits.
   * @throws RangeError, TypeError when a bound is no unsigned 32-bit number; ReentrancyError when a
   *   vendor hook calls back (strict)
   */
  alloc(min: number, max: number, data: T | null = null): Result<number, "ENODEV"> {
    checkInteger("min", min, 0, U32);
    checkInteger("max", max, 0, U32);
    if (this.#ended) return fail("ENODEV");
    const { start, end } = this.#clamp(min, max);
    const chosen = this.#hook("pasidAlloc", () => this.#ops.pasidAlloc?.(this, start, end)) ?? fail("EAGAIN");
    if (chosen.ok) return this.#trackHardware(chosen.value, data);
    // § Any error of the vendor's but EAGAIN ends it; nothing was tracked, so nothing is rolled back.
    if (chosen.error !== "EAGAIN") return fail("ENODEV");
    const id = this.#track(start, end, data);
    if (id !== undefined) return done(id);
    // § The original rolled back whatever its variable held, though hardware had allocated nothing.
    if (this.#ids.rules === "compat") this.#freeInHardware(0);
    return fail("ENODEV");
  }

  /** Frees an ID: in hardware, then here. False when it is unknown or (strict) another consumer's. */
  free(id: number): boolean {
    if (this.#ids.rules === "strict" && this.find(id).kind === "error") return false;
    this.#freeInHardware(id);
    return this.#ids.free(id, this.set);
  }

  /**
   * Visits this consumer's IDs, ascending. A failure that `visit` answers ends it and is the answer.
   */
  each(visit: (id: number, data: T | null) => Status | undefined): Status {
    for (const { id, data } of this.#ids.entries(this.set)) {
      const status = visit(id, data);
      if (status && !status.ok) return status;
    }
    return OK;
  }

  /** The data of one of this consumer's IDs. */
  find(id: number): Found<T> {
    return this.#ids.find(this.set, id);
  }

  /** Ends the consumer. Its IDs stay allocated: nobody frees what was not freed before. */
  exit(): void {
    this.#ended = true;
  }

  /** The vendor's limits win over a wider request. */
  #clamp(min: number, max: number): { start: number; end: number } {
    if (this.#ids.rules === "strict") return { start: Math.max(min, this.min), end: Math.min(max, this.max) };
    // § The original compared as signed int, and the IDR took an end of 0 or less for "no limit".
    return { start: Math.max(min | 0, this.min | 0), end: Math.min(max | 0, this.max | 0) };
  }

  /** Asks for exactly the hardware's number: the vendor's choice must be respected. */
  #trackHardware(hw: number, data: T | null): Result<number, "ENODEV"> {
    let id: number | undefined;
    try {
      id = this.#track(hw, hw + 1, data);
    } finally {
      if (id === undefined) this.#freeInHardware(hw);
    }
    return id === undefined ? fail("ENODEV") : done(id);
  }

  #track(start: number, end: number, data: T | null): number | undefined {
    const last = end <= 0 && this.#ids.rules === "compat" ? MAX_ID : Math.min(end - 1, MAX_ID);
    if (start < 0 || start > MAX_ID || last < start) return undefined;
    return this.#ids.alloc(this.set, start, last, data);
  }

  #freeInHardware(id: number): void {
    this.#hook("pasidFree", () => this.#ops.pasidFree?.(this, id));
  }

  #hook<R>(name: keyof PasidOps, run: () => R): R {
    return this.#ids.rules === "strict" ? this.#ids.underLock(name, run) : run();
  }
}
