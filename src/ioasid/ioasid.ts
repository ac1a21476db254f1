/**
 * Ioasid: one space of I/O address space IDs (PASIDs), shared by users of different kinds.
 *
 * The kernel's layer of v5.5 to v6.3 (drivers/iommu/ioasid.c) over a bitmap in Wasm: allocation in a
 * range, sets, private data, references, and custom allocators that take the choice of numbers over.
 * `profile.ts` says which kernel's and how faithfully. Any number of spaces share one core.
 *
 * **Threads.** A space belongs to the one thread that made it. Private data are JavaScript objects,
 * which no other thread can see, so sharing the bitmap alone (by atomics) would share numbers without
 * owners: look-ups, set checks and reference counts would still need the owner. Workers therefore ask
 * the owner by messages: `serveIoasid` and `RemoteIoasid` in `remote.ts`.
 */
import { checkInteger, checkOneOf } from "../check.ts";
import type { Core } from "../core/core.ts";
import { type AllocatorGroup, type AllocatorOps, AllocatorRegistry } from "./allocators.ts";
import { checkId, coreForBitmaps, IdBitmap, MAX_ID } from "./bitmap.ts";
import {
  INVALID_IOASID,
  KERNEL_PROFILES,
  type KernelProfile,
  type Log,
  NO_LOG,
  ReentrancyError,
  RULES,
  type Rules,
} from "./profile.ts";
import { type Reader, Readers } from "./readers.ts";
import { type Found, fail, OK, type Status } from "./result.ts";
import { type AnySet, type IoasidSet, keyOf } from "./sets.ts";
import { Tracking } from "./tracking.ts";

export interface IoasidOptions {
  /** "v5.11" unless told. */
  profile?: KernelProfile;
  /** "strict" unless told. */
  rules?: Rules;
  /** What the kernel would print; dropped unless told. */
  log?: Log;
  /** Whose linear memory holds the bitmaps, e.g. `memory.core`; a small one per bitmap unless told. */
  core?: Core;
  /** A freed ID is not handed out again before `drained(id)`. False unless told. */
  quarantine?: boolean;
  /** Records there is memory for; beyond, allocation fails like the kernel's without memory. */
  maxRecords?: number;
}

/** A live ID as iteration shows it. */
export interface IoasidEntry<T> {
  id: number;
  data: T | null;
}

export class Ioasid {
  readonly profile: KernelProfile;
  readonly rules: Rules;
  readonly log: Log;
  readonly #registry: AllocatorRegistry;
  readonly #readers = new Readers();
  readonly #quarantine: boolean;
  readonly #maxRecords: number;
  readonly #spare: Tracking[] = [];
  /** Of the active allocator, as the registry has them. */
  #group: AllocatorGroup | undefined;
  #tracking: Tracking;
  /** The callback that runs under the lock, "" for none. */
  #locked = "";
  /** Getters that are running. */
  #getters = 0;

  /** @throws RangeError when the core has no room for a bitmap */
  constructor(options: IoasidOptions = {}) {
    this.profile = checkOneOf("profile", options.profile ?? "v5.11", KERNEL_PROFILES);
    this.rules = checkOneOf("rules", options.rules ?? "strict", RULES);
    this.log = options.log ?? NO_LOG;
    this.#quarantine = options.quarantine ?? false;
    this.#maxRecords = checkInteger("maxRecords", options.maxRecords ?? MAX_ID + 1, 0, MAX_ID + 1);
    const newTable = (): Tracking => new Tracking(new IdBitmap(options.core ?? coreForBitmaps(1)));
    const tables = {
      take: () => this.#spare.pop() ?? unlessFull(newTable),
      give: (table: Tracking) => {
        table.bitmap.clear();
        this.#spare.push(new Tracking(table.bitmap));
      },
    };
    this.#tracking = newTable();
    this.#registry = new AllocatorRegistry(tables, this.#tracking, this.rules, this.log);
  }

  /** Live IDs of the active allocator. */
  get count(): number {
    return this.#tracking.live;
  }

  /** The custom allocator whose functions are in use; undefined for the default one. */
  get allocator(): AllocatorOps | undefined {
    return this.#group?.head;
  }

  /**
   * Allocates an ID in [min, max], both inclusive: the lowest free one, or what the custom allocator
   * says. It is visible to `find` before this returns.
   *
   * @param set whose it is; null for nobody's
   * @param data attached from the start; null for none (yet)
   * @returns undefined when there is none: range full or empty (max < min), no memory, or the custom
   *   allocator refused
   * @throws RangeError, TypeError when a bound is no 20-bit ID
   * @throws ReentrancyError from within a callback; whatever a custom allocator throws
   */
  alloc<T>(set: IoasidSet<T> | null, min: number, max: number, data: T | null = null): number | undefined {
    checkId("min", min);
    checkId("max", max);
    this.requireUnlocked("alloc");
    const tracking = this.#tracking;
    if (tracking.live >= this.#maxRecords) return undefined;
    const id = this.#group ? this.#allocCustom(this.#group, min, max) : tracking.bitmap.alloc(min, max);
    if (id !== undefined) tracking.open(id, keyOf(set), data);
    return id;
  }

  /**
   * Frees an ID: at once, or in profile v5.11 when no reference is left.
   * @param set it was allocated in (strict rules refuse any other)
   * @param stamp `stamp(id)` of that allocation: refused when the number was allocated anew since
   * @returns whether the ID is free (or quarantined) now. Unknown or foreign IDs are logged.
   */
  free(id: number, set: AnySet | null = null, stamp?: number): boolean {
    checkId("id", id);
    this.requireUnlocked("free");
    return this.#drop("free", id, set, stamp);
  }

  /**
   * Takes a reference, so that `free` and `put` of others do not free the ID. Profile v5.11 only.
   * @returns false when the ID is not allocated
   */
  get(id: number): boolean {
    this.#needReferences("get");
    checkId("id", id);
    this.requireUnlocked("get");
    const tracking = this.#tracking;
    const references = tracking.references(id);
    if (references === 0) {
      this.log({ level: "warn", message: `get: unknown IOASID ${id}` });
      return false;
    }
    tracking.setReferences(id, references + 1);
    return true;
  }

  /** Gives a reference back. Profile v5.11 only. @returns whether it was the last and freed the ID */
  put(id: number, set: AnySet | null = null, stamp?: number): boolean {
    this.#needReferences("put");
    checkId("id", id);
    this.requireUnlocked("put");
    return this.#drop("put", id, set, stamp);
  }

  /**
   * Replaces the private data; null clears it. Look-ups see the new data when this returns, the
   * promise resolves when every reader that may have seen the old data has ended.
   */
  setData(id: number, data: unknown): Promise<Status<"ENOENT">> {
    checkId("id", id);
    this.requireUnlocked("setData");
    // § A getter is a reader: waiting for it from within it would never end.
    if (this.#getters) throw new ReentrancyError("setData", "a getter");
    const tracking = this.#tracking;
    if (tracking.references(id) === 0) return Promise.resolve(fail("ENOENT"));
    tracking.setData(id, data);
    return this.synchronize().then(() => OK);
  }

  /**
   * Looks an ID up.
   * @param set that the ID must belong to; null for any (and data of any type)
   * @param getter runs with the data (null if there is none) while the ID cannot go, typically to take
   *   a reference; its false makes the answer "none". It may not call `setData`.
   */
  find<T>(set: IoasidSet<T> | null, id: number, getter?: (data: T | null) => boolean): Found<T> {
    checkId("id", id);
    const tracking = this.#tracking;
    if (tracking.references(id) === 0) return { kind: "error", error: "ENOENT" };
    // § A look-up limited to a set gets nothing from another: its data would be of another type.
    if (set !== null && tracking.owner(id) !== set.key) return { kind: "error", error: "EACCES" };
    const data = tracking.data(id) as T | null;
    if (getter && !this.#ask(getter, data)) return { kind: "none" };
    return data === null || data === undefined ? { kind: "none" } : { kind: "value", value: data };
  }

  /**
   * Opens a reader: data found until its `end()` is not reported as unused by `setData`. For users
   * that hold data across an `await`.
   */
  reader(): Reader {
    return this.#readers.enter();
  }

  /** Which allocation this is: free with it, and a later owner of the number is safe. */
  stamp(id: number): number | undefined {
    checkId("id", id);
    const tracking = this.#tracking;
    return tracking.references(id) === 0 ? undefined : tracking.stamp(id);
  }

  /** References of an ID; 0 when it is not allocated. */
  references(id: number): number {
    return this.#tracking.references(checkId("id", id));
  }

  /** The live IDs, ascending, of one set or of all (null). IDs may be freed meanwhile. */
  *entries<T>(set: IoasidSet<T> | null = null): IterableIterator<IoasidEntry<T>> {
    const tracking = this.#tracking;
    for (const id of tracking.bitmap) {
      if (tracking.references(id) === 0 || (set !== null && tracking.owner(id) !== set.key)) continue;
      yield { id, data: tracking.data(id) as T | null };
    }
  }

  /** A freed ID that devices may still use: with the option `quarantine`. */
  retired(id: number): boolean {
    return this.#tracking.retired(checkId("id", id));
  }

  /**
   * Nothing uses a retired ID any more (translations invalidated, page requests drained): it may be
   * handed out again. @returns false when the ID was not retired
   */
  drained(id: number): boolean {
    checkId("id", id);
    this.requireUnlocked("drained");
    if (!this.#tracking.retired(id)) return false;
    this.#giveBack(id);
    this.#tracking.bitmap.free(id);
    return true;
  }

  /**
   * Registers a custom allocator: active at once if it is the first, else in line.
   * EAGAIN: it would be the first, and the default allocator holds IDs. EEXIST: registered already.
   * ENOMEM: the core has no room for another table.
   */
  registerAllocator<P>(ops: AllocatorOps<P>): Status<"ENOMEM" | "EAGAIN" | "EEXIST"> {
    this.requireUnlocked("registerAllocator");
    const status = this.#registry.register(ops as AllocatorOps);
    this.#follow();
    return status;
  }

  /** Removes a custom allocator. ENOENT: not registered. EBUSY: the last of its kind, with live IDs. */
  unregisterAllocator<P>(ops: AllocatorOps<P>): Status<"ENOENT" | "EBUSY"> {
    this.requireUnlocked("unregisterAllocator");
    const status = this.#registry.unregister(ops as AllocatorOps);
    this.#follow();
    return status;
  }

  /** Resolves when every reader that is open now has ended. */
  synchronize(): Promise<void> {
    return this.#readers.synchronize();
  }

  /** For layers above: what `call` does must not happen now. @throws ReentrancyError under the lock */
  requireUnlocked(call: string): void {
    if (this.#locked) throw new ReentrancyError(call, this.#locked);
  }

  /** Runs a callback under the lock: until it returns, calls that change the space are refused. */
  underLock<R>(callback: string, run: () => R): R {
    this.requireUnlocked("underLock");
    return this.#underLock(callback, run);
  }

  #allocCustom(group: AllocatorGroup, min: number, max: number): number | undefined {
    const { head, tracking } = group;
    const id = this.#underLock("a custom allocator's alloc", () => head.alloc(min, max, head.pdata));
    if (id === undefined || id === INVALID_IOASID) {
      this.log({ level: "error", message: "the custom IOASID allocator has no ID" });
      return undefined;
    }
    // § What is no 20-bit ID cannot be tracked; within 20 bits, the kernel did not check the range.
    const wide = !Number.isInteger(id) || id < 0 || id > MAX_ID;
    if (wide || (this.rules === "strict" && (id < min || id > max))) {
      this.log({ level: "error", message: `the custom IOASID allocator answered ${id} for ${min}..${max}` });
      this.#giveBack(id);
      return undefined;
    }
    if (tracking.bitmap.reserve(id)) return id;
    this.log({ level: "error", message: `the custom IOASID allocator answered ${id}, which is in use` });
    // § Giving back an ID that has an owner takes it from the owner: the kernel did.
    if (this.rules === "compat") this.#giveBack(id);
    return undefined;
  }

  /** Takes over what the registry says now. */
  #follow(): void {
    this.#group = this.#registry.active;
    this.#tracking = this.#registry.tracking;
  }

  #drop(call: string, id: number, set: AnySet | null, stamp: number | undefined): boolean {
    const tracking = this.#tracking;
    if (stamp !== undefined || !tracking.sole(id, keyOf(set))) {
      const references = tracking.references(id);
      if (references === 0) {
        this.log({ level: "error", message: `${call}: unknown IOASID ${id}` });
        return false;
      }
      if (this.rules === "strict" && !this.#claimed(id, set, stamp)) {
        this.log({ level: "error", message: `${call}: IOASID ${id} belongs to another owner` });
        return false;
      }
      if (references > 1) {
        tracking.setReferences(id, references - 1);
        return false;
      }
    }
    // § The custom allocator comes first, so that it still finds the record.
    if (this.#group && !this.#quarantine) this.#giveBack(id);
    tracking.close(id);
    if (!this.#quarantine) tracking.bitmap.free(id);
    return true;
  }

  /** Whether set (null: nobody's) and stamp, if given, are those of this allocation. */
  #claimed(id: number, set: AnySet | null, stamp: number | undefined): boolean {
    const tracking = this.#tracking;
    return tracking.owner(id) === keyOf(set) && (stamp === undefined || tracking.stamp(id) === stamp);
  }

  #giveBack(id: number): void {
    const head = this.#group?.head;
    if (head) this.#underLock("a custom allocator's free", () => head.free(id, head.pdata));
  }

  #ask<T>(getter: (data: T | null) => boolean, data: T | null): boolean {
    this.#getters++;
    try {
      return getter(data);
    } finally {
      this.#getters--;
    }
  }

  #needReferences(call: string): void {
    if (this.profile !== "v5.11") throw new TypeError(`${call}: profile ${this.profile} has no references`);
  }

  #underLock<R>(callback: string, run: () => R): R {
    const outer = this.#locked;
    this.#locked = callback;
    try {
      return run();
    } finally {
      this.#locked = outer;
    }
  }
}

function unlessFull(newTable: () => Tracking): Tracking | undefined {
  try {
    return newTable();
  } catch (error) {
    if (error instanceof RangeError) return undefined;
    throw error;
  }
}
