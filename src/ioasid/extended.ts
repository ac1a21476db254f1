/**
 * ExtendedIoasid: the ID space of "IOASID extensions for guest SVA", proposed 2020 to 2021.
 *
 * A set has a quota; an ID has a number within its set (SPID, the guest's PASID), references, and a
 * state: freed while referenced, it is *pending* and neither found nor handed out until the last
 * reference goes. Notifiers hear of it. Historic: no kernel has this, but VMMs were written for it.
 *
 * | what | `compat`, as the series did | `strict` |
 * |---|---|---|
 * | find of a pending ID | its data (V4's code) | ENOENT (V4's document) |
 * | findBySpid of a pending ID | the ID | undefined |
 * | v3: attachSpid finds the SPID taken | a reference of its holder leaks | no reference is touched |
 * | v2: type mm without a token | accepted | EINVAL |
 * | v2: adjustSet | holds the total against the capacity | holds the growth |
 * | V4: adjustSet | TypeError | as in v3 |
 * | V4: the last ID of a set goes | so does the set | the set stays |
 * | V4: a set goes | its quota is lost | its quota goes back |
 * | quota or records are short after the charge | the charge stays | it is undone |
 *
 * In both: a set is not reference-counted (`freeSet` is v2's and v3's last put), a set that has ended
 * is refused by every call, and a handler's last `put` takes effect after all handlers have run.
 */
import { checkInteger, checkOneOf } from "../check.ts";
import { checkId, MAX_ID } from "./bitmap.ts";
import type { Task } from "./cgroup.ts";
import { Ioasid, type IoasidOptions } from "./ioasid.ts";
import {
  NOTIFY_ALL,
  NOTIFY_SET,
  Notifiers,
  type NotifyCommand,
  PRIORITY_ORDER,
  rethrow,
  WorkQueue,
} from "./notifiers.ts";
import { INVALID_IOASID } from "./profile.ts";
import { type AnyQuotaSet, type QuotaSet, type QuotaSetOptions, QuotaSets, SERIES, type Series } from "./quota-sets.ts";
import { done, type Found, fail, OK, type Result, type Status } from "./result.ts";
import { IoasidSet } from "./sets.ts";
import type { Mm } from "./sva.ts";

export interface ExtendedIoasidOptions extends Omit<IoasidOptions, "profile"> {
  /** Which posting: "v4" unless told. */
  series?: Series;
}

/** IDLE: no SPID. ACTIVE: bound to one. PENDING: freed, and still referenced. */
export type IoasidState = "idle" | "active" | "pending";

/** What is kept of an ID. */
interface Item {
  id: number;
  readonly set: AnyQuotaSet;
  data: unknown;
  spid: number | undefined;
  references: number;
  pending: boolean;
  /** Whose control group was charged. */
  readonly task: Task | undefined;
}

const RECORDS: IoasidSet<Item> = new IoasidSet<Item>("extended records");

export class ExtendedIoasid {
  readonly series: Series;
  /** The space below: custom allocators register here. */
  readonly ids: Ioasid;
  /** Who hears of allocations, bindings and frees. */
  readonly notifiers: Notifiers<AnyQuotaSet>;
  readonly #sets: QuotaSets;
  readonly #work: WorkQueue;
  /** Ended by a handler's `put`, to be reclaimed after the handlers. */
  readonly #ended: Item[] = [];
  #telling = false;

  constructor(options: ExtendedIoasidOptions = {}) {
    const { series = "v4", ...below } = options;
    this.series = checkOneOf("series", series, SERIES);
    this.ids = new Ioasid({ ...below, profile: "v5.18" });
    this.#sets = new QuotaSets(series, this.ids.rules, this.ids.log);
    this.notifiers = new Notifiers(PRIORITY_ORDER[series], (mm) => this.#sets.ofMm(mm));
    this.#work = new WorkQueue(this.ids.log);
  }

  get #strict(): boolean {
    return this.ids.rules === "strict";
  }

  /** install, reserve and cancel of the system's capacity. */
  get capacity(): QuotaSets["capacity"] {
    return this.#sets.capacity;
  }

  /**
   * Makes a set. EINVAL: token and type do not go together, or no quota (v2, v3). EEXIST: the token
   * has a set. ENOSPC: the capacity has not so many left.
   */
  allocSet<T = unknown>(options: QuotaSetOptions): Result<QuotaSet<T>, "EINVAL" | "EEXIST" | "ENOSPC"> {
    this.ids.requireUnlocked("allocSet");
    const made = this.#sets.create<T>(options);
    if (made.ok) this.notifiers.adopt(made.value);
    return made;
  }

  /**
   * Ends a set. EINVAL: it has ended. EBUSY (V4): IDs are outstanding; v2 and v3 free them all, the
   * referenced ones stay pending.
   */
  freeSet(set: AnyQuotaSet): Status<"EINVAL" | "EBUSY"> {
    this.ids.requireUnlocked("freeSet");
    if (!this.#sets.has(set)) return fail("EINVAL");
    if (this.series === "v4" && set.ids.size > 0) return fail("EBUSY");
    this.freeAll(set);
    this.#sets.remove(set);
    return OK;
  }

  /** Changes a set's quota. EINVAL: it holds more, or 0 (v3). ENOSPC: the capacity is short. */
  adjustSet(set: AnyQuotaSet, quota: number): Status<"EINVAL" | "ENOSPC"> {
    this.ids.requireUnlocked("adjustSet");
    return this.#sets.adjust(set, quota);
  }

  /** The set of an address space. */
  findMmSet(mm: Mm): AnyQuotaSet | undefined {
    return this.#sets.ofMm(mm);
  }

  /** The set of an ID. */
  findSet(id: number): Result<AnyQuotaSet, "ENOENT"> {
    const item = this.#item(id);
    return item ? done(item.set) : fail("ENOENT");
  }

  /**
   * Allocates from [min, max] for a set: idle, with one reference and no SPID.
   * @param task who asks: the IDs of "mm" sets are charged to its control group
   * @returns undefined when the set has ended or its quota is used up, the charge is refused, or the
   *   range is full
   */
  alloc<T>(set: QuotaSet<T>, min: number, max: number, data: T | null = null, task?: Task): number | undefined {
    checkId("min", min);
    checkId("max", max);
    this.ids.requireUnlocked("alloc");
    if (!this.#sets.has(set)) return undefined;
    const payer = set.type === "mm" ? task : undefined;
    if (payer && !this.#charge(set, payer)) return undefined;
    const item: Item = { id: 0, set, data, spid: undefined, references: 1, pending: false, task: payer };
    let id: number | undefined;
    try {
      if (set.ids.size < set.quota) id = this.ids.alloc(RECORDS, min, max, item);
      else this.ids.log({ level: "warn", message: `${set.name}: quota of ${set.quota} reached` });
    } finally {
      // § V4 left the charge standing when a later step failed.
      if (id === undefined && this.#strict) payer?.uncharge();
    }
    if (id === undefined) return undefined;
    item.id = id;
    set.ids.add(id);
    try {
      this.#tell(item, "alloc", NOTIFY_SET);
    } catch (error) {
      // The caller never learns the ID, so it must not stay allocated.
      this.#reclaim(item);
      throw error;
    }
    return id;
  }

  /**
   * Frees an ID: reclaimed at once if nobody else has a reference, else pending, and everyone is told.
   * A pending ID is not freed again. @returns whether this call freed it (or made it pending)
   */
  free(set: AnyQuotaSet, id: number): boolean {
    this.ids.requireUnlocked("free");
    const item = this.#owned(set, id, "free");
    if (!item || item.pending) return false;
    if (item.references === 1) {
      this.#reclaim(item);
      return true;
    }
    item.pending = true;
    item.references--;
    this.#tell(item, "free", NOTIFY_SET | NOTIFY_ALL);
    return true;
  }

  /** Frees every ID of a set. */
  freeAll(set: AnyQuotaSet): void {
    for (const id of [...set.ids]) this.free(set, id);
  }

  /** Takes a reference. EINVAL: unknown ID. EBUSY: freed. EACCES: not of this set (null: any). */
  get(set: AnyQuotaSet | null, id: number): Status<"EINVAL" | "EBUSY" | "EACCES"> {
    const item = this.#item(id);
    if (!item) return fail("EINVAL");
    if (item.pending) return fail("EBUSY");
    if (set && item.set !== set) return fail("EACCES");
    item.references++;
    return OK;
  }

  /** Gives a reference back; the last one of a freed ID ends it. @returns whether it ended */
  put(set: AnyQuotaSet | null, id: number): boolean {
    const item = this.#owned(set, id, "put");
    if (!item || item.references === 0) return false;
    if (item.references === 1 && !this.#telling) this.#reclaim(item);
    else if (--item.references === 0) this.#end(item);
    return item.references === 0;
  }

  references(id: number): number {
    return this.#item(id)?.references ?? 0;
  }

  /** Undefined: not allocated. */
  state(id: number): IoasidState | undefined {
    const item = this.#item(id);
    if (!item) return undefined;
    return item.pending ? "pending" : item.spid === undefined ? "idle" : "active";
  }

  /** As `Ioasid.find`; what a pending ID yields is a matter of the rules. */
  find<T>(set: QuotaSet<T> | null, id: number, getter?: (data: T | null) => boolean): Found<T> {
    const item = this.#item(id);
    if (!item || (item.pending && this.#strict)) return { kind: "error", error: "ENOENT" };
    if (set && item.set.key !== set.key) return { kind: "error", error: "EACCES" };
    const data = item.data as T | null;
    if ((getter && !getter(data)) || data === null) return { kind: "none" };
    return { kind: "value", value: data };
  }

  /** Attaches data. EBUSY (V4): there is some. v2 and v3 replace it. */
  attachData(id: number, data: unknown): Status<"ENOENT" | "EBUSY"> {
    const item = this.#item(id);
    if (!item) return fail("ENOENT");
    if (this.series === "v4" && item.data !== null) return fail("EBUSY");
    item.data = data;
    return OK;
  }

  /** Clears the data; resolves when no reader uses it any more. */
  async detachData(id: number): Promise<void> {
    const item = this.#item(id);
    if (item) item.data = null;
    else this.ids.log({ level: "warn", message: `detachData: unknown IOASID ${id}` });
    await this.ids.synchronize();
  }

  /**
   * Binds an ID to a number of its set's own, in place of an earlier one, and tells the set (BIND).
   * EINVAL: INVALID_IOASID (v2: takes the number away), or another ID of the set has it.
   */
  attachSpid(id: number, spid: number): Status<"EINVAL" | "ENOENT"> {
    this.ids.requireUnlocked("attachSpid");
    if (spid !== INVALID_IOASID) checkInteger("spid", spid, 0, MAX_ID);
    else if (this.series !== "v2") return fail("EINVAL");
    const item = this.#item(id);
    if (!item) return fail("ENOENT");
    if (spid !== INVALID_IOASID && this.series !== "v2" && this.#taken(item, spid)) return fail("EINVAL");
    this.#setSpid(item, spid === INVALID_IOASID ? undefined : spid);
    if (item.spid !== undefined) this.#tell(item, "bind", NOTIFY_SET);
    return OK;
  }

  /** Tells the set (UNBIND, the SPID still in it), then takes the number away. */
  detachSpid(id: number): void {
    this.ids.requireUnlocked("detachSpid");
    const item = this.#item(id);
    if (item?.spid === undefined) {
      this.ids.log({ level: "error", message: `detachSpid: IOASID ${id} has none` });
      return;
    }
    try {
      this.#tell(item, "unbind", NOTIFY_SET);
    } finally {
      this.#setSpid(item, undefined);
    }
  }

  /** The ID that has this number in the set; with `get` (v2, v3: always) a reference is taken. */
  findBySpid(set: AnyQuotaSet, spid: number, get = false): number | undefined {
    const items = set.spids.holders(spid).map((id) => this.#item(id));
    const item = items.find((item) => item && !(item.pending && this.#strict));
    if (item && (get || this.series !== "v4")) item.references++;
    return item?.id;
  }

  /** The set's IDs, ascending, pending ones included. */
  *entries<T>(set: QuotaSet<T>): IterableIterator<{ id: number; data: T | null }> {
    for (const id of [...set.ids].sort((a, b) => a - b)) {
      const item = this.#item(id);
      if (item) yield { id, data: item.data as T | null };
    }
  }

  /** Tells the chains that `flags` names. EINVAL: other flags, or none. ENOENT: unknown ID. */
  notify(id: number, command: NotifyCommand, flags: number): Status<"EINVAL" | "ENOENT"> {
    this.ids.requireUnlocked("notify");
    if (flags === 0 || flags & ~(NOTIFY_ALL | NOTIFY_SET)) return fail("EINVAL");
    const item = this.#item(id);
    if (!item) return fail("ENOENT");
    this.#tell(item, command, flags);
    return OK;
  }

  /** Runs `work` soon, outside the lock, after what was queued before. */
  queueWork(work: () => void | Promise<void>): void {
    this.#work.queue(work);
  }

  /** Resolves when the work queued so far has run. */
  idle(): Promise<void> {
    return this.#work.idle();
  }

  #item(id: number): Item | undefined {
    const found = this.ids.find(RECORDS, id);
    return found.kind === "value" ? found.value : undefined;
  }

  #owned(set: AnyQuotaSet | null, id: number, call: string): Item | undefined {
    const item = this.#item(id);
    if (item && (set === null || item.set === set)) return item;
    this.ids.log({ level: "error", message: `${call}: IOASID ${id} is ${item ? "not of this set" : "unknown"}` });
    return undefined;
  }

  /** § Only the address space of the set itself may be charged for it. */
  #charge(set: AnyQuotaSet, task: Task): boolean {
    return task.mm !== null && task.mm === set.token && task.charge().ok;
  }

  /** Nothing refers to it any more. A custom allocator that throws leaves it as it was. */
  #reclaim(item: Item): void {
    this.ids.free(item.id, RECORDS);
    item.references = 0;
    this.#setSpid(item, undefined);
    item.set.ids.delete(item.id);
    item.task?.uncharge();
    if (this.series === "v4" && !this.#strict && item.set.ids.size === 0) this.#sets.remove(item.set);
  }

  /** A handler gave the last reference back: nobody finds it, and the memory goes after the handlers. */
  #end(item: Item): void {
    item.pending = true;
    this.#ended.push(item);
  }

  #taken(item: Item, spid: number): boolean {
    const holder = item.set.spids.holders(spid).find((id) => id !== item.id || !this.#strict);
    if (holder === undefined) return false;
    const other = this.#item(holder);
    // § v3 probed with the look-up that takes a reference, and never gave it back.
    if (other && this.series === "v3" && !this.#strict) other.references++;
    return true;
  }

  #setSpid(item: Item, spid: number | undefined): void {
    item.set.spids.move(item.id, item.spid, spid);
    item.spid = spid;
  }

  /** Runs the chains under the lock, every handler whatever the others do; then throws what they threw. */
  #tell(item: Item, command: NotifyCommand, flags: number): void {
    const { id, spid, set, data } = item;
    this.#telling = true;
    const errors = this.ids.underLock(`a notifier of "${command}"`, () =>
      this.notifiers.run({ command, id, spid, set, data }, flags),
    );
    this.#telling = false;
    for (const ended of this.#ended.splice(0)) {
      try {
        this.#reclaim(ended);
      } catch (error) {
        ended.references = 1;
        errors.push(error);
      }
    }
    rethrow(errors);
  }
}
