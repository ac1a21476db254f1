/** A walker in a worker thread, over memory, tables and registers that another thread owns. */
import { REQUEST_BYTES, RESULT_BYTES } from "../../assembly/layout/core.ts";
import type { Core } from "../core/core.ts";
import { GuestMemory } from "../memory.ts";
import type { Vendor } from "../walk/vendor.ts";
import { Walker } from "../walker.ts";
import { Turnstile } from "./gate.ts";
import type { WalkerHandle } from "./handle.ts";

/** Requests of a batch that are walked in one go: how long the owner may have to wait for. */
const PIECE = 1024;

/**
 * Translates as the unit does that it was shared from, with caches of its own: once an invalidation or a
 * register write of the owner is complete, nothing here goes by what was before.
 *
 * It has no registers: a fault is returned but not recorded. Where it is to be (`recorded`), hand the request to
 * the owner, whose unit translates it again, as a device's retry would be, and records what it finds then.
 */
export class AttachedWalker extends Walker {
  /** The guest memory, for DMA. Poisoning it is for the owner. */
  readonly memory: GuestMemory;
  /** Names this worker: in errors, and for the owner's `detach`. */
  readonly index: number;
  readonly #turnstile: Turnstile;

  /** For `attachVtdWalker` and `attachSmmuWalker`, which say what they throw. */
  constructor(handle: WalkerHandle, kind: WalkerHandle["vendor"], vendorOf: (core: Core) => Vendor) {
    if (handle.vendor !== kind) throw new TypeError(`handle: a walker of vendor "${handle.vendor}", not "${kind}"`);
    const memory = GuestMemory.attach(handle.memory);
    const words = new Int32Array(memory.core.u8.buffer);
    const turnstile = new Turnstile(words, handle.gate, handle.line, handle.index);
    super(memory.core, guarded(vendorOf(memory.core), turnstile), handle.unit);
    this.memory = memory;
    this.index = handle.index;
    this.#turnstile = turnstile;
  }

  /**
   * Does `work` as one piece that no invalidation comes between: a translation together with the DMA that
   * goes by it. Invalidations wait for it, as those of hardware wait for DMA in flight: keep it short, and
   * wait for no other thread in it.
   * @throws Error once this worker is detached
   */
  inFlight<T>(work: () => T): T {
    this.#turnstile.enter();
    try {
      return work();
    } finally {
      this.#turnstile.leave();
    }
  }
}

/** The vendor's entry points, gone through with the turnstile held. */
function guarded(vendor: Vendor, turnstile: Turnstile): Vendor {
  const held = (call: () => number): number => {
    turnstile.enter();
    try {
      return call();
    } finally {
      turnstile.leave();
    }
  };
  return {
    ...vendor,
    // Spelled out: the one that is called for every single request.
    walk: (unit, sid, pasid, low, high, flags, result) => {
      turnstile.enter();
      try {
        return vendor.walk(unit, sid, pasid, low, high, flags, result);
      } finally {
        turnstile.leave();
      }
    },
    walkTraced: (...request) => held(() => vendor.walkTraced(...request)),
    walkMany: (unit, requests, results, count) => {
      let faults = 0;
      for (let i = 0; i < count; i += PIECE) {
        const [from, to, size] = [requests + i * REQUEST_BYTES, results + i * RESULT_BYTES, Math.min(PIECE, count - i)];
        faults += held(() => vendor.walkMany(unit, from, to, size));
      }
      return faults;
    },
  };
}
