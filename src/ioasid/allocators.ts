/**
 * The allocator registry: who chooses the numbers.
 *
 * The default allocator (lowest free first) is always there. Custom allocators take precedence over
 * it: the first registered one is active at once, later ones succeed it in order. Allocators with the
 * same pair of functions form a *group* that shares one ID space, and so survives its members. Each
 * group tracks its IDs in a table of its own; only the active one is looked at.
 *
 * Linux v5.5 to v6.3, ioasid_register_allocator and ioasid_unregister_allocator.
 */
import type { Log, Rules } from "./profile.ts";
import { fail, OK, type Status } from "./result.ts";
import type { Tracking } from "./tracking.ts";

/**
 * A custom allocator, e.g. a hypercall. The space only tracks what it hands out.
 *
 * Both functions run under the allocator's lock: they may look IDs up, and must not call anything
 * that changes the space (ReentrancyError). When one throws, the error reaches the caller and the
 * space is as it was before the call.
 */
export interface AllocatorOps<P = unknown> {
  /** An ID, by preference in [min, max]; undefined (or INVALID_IOASID) when there is none. */
  alloc(min: number, max: number, pdata: P): number | undefined;
  /** Takes an ID back; cannot refuse. Runs before the ID's record goes. */
  free(id: number, pdata: P): void;
  /** Handed to both functions. */
  readonly pdata: P;
}

export class AllocatorGroup {
  readonly tracking: Tracking;
  readonly members: AllocatorOps[];
  /** Whose functions and data are used. */
  head: AllocatorOps;

  constructor(ops: AllocatorOps, tracking: Tracking) {
    this.tracking = tracking;
    this.members = [ops];
    this.head = ops;
  }

  /** Same allocator = same two functions; their data does not count. */
  shares(ops: AllocatorOps): boolean {
    return this.head.alloc === ops.alloc && this.head.free === ops.free;
  }
}

/** Where the groups' tables come from. */
export interface Tables {
  /** An empty one; undefined when there is no memory for it. */
  take(): Tracking | undefined;
  /** Takes one back, whatever it still tracks. */
  give(tracking: Tracking): void;
}

export class AllocatorRegistry {
  /** The default allocator's table. */
  readonly fallback: Tracking;
  readonly #groups: AllocatorGroup[] = [];
  #active: AllocatorGroup | undefined;
  readonly #rules: Rules;
  readonly #log: Log;
  readonly #tables: Tables;

  constructor(tables: Tables, fallback: Tracking, rules: Rules, log: Log) {
    this.#tables = tables;
    this.fallback = fallback;
    this.#rules = rules;
    this.#log = log;
  }

  /** The active custom allocators; undefined while the default is active. */
  get active(): AllocatorGroup | undefined {
    return this.#active;
  }

  /** The active allocator's table: the only one that look-ups see. */
  get tracking(): Tracking {
    return this.#active ? this.#active.tracking : this.fallback;
  }

  register(ops: AllocatorOps): Status<"ENOMEM" | "EAGAIN" | "EEXIST"> {
    const group = this.#groups.find((group) => group.shares(ops));
    if (group) return this.#join(group, ops);
    // § Custom and default never share IDs: the default must hold none when the first one takes over.
    if (this.#groups.length === 0 && !this.fallback.empty) {
      this.#log({ level: "warn", message: "default allocator active: free all its IDs first" });
      return fail("EAGAIN");
    }
    const tracking = this.#tables.take();
    if (!tracking) return fail("ENOMEM");
    const added = new AllocatorGroup(ops, tracking);
    this.#groups.push(added);
    this.#active ??= added;
    return OK;
  }

  unregister(ops: AllocatorOps): Status<"ENOENT" | "EBUSY"> {
    if (this.#groups.length === 0) {
      this.#log({ level: "warn", message: "no custom IOASID allocator is registered" });
      return this.#rules === "compat" ? OK : fail("ENOENT");
    }
    const group = this.#groups.find((group) => group.shares(ops));
    const known = group?.members.includes(ops) ?? false;
    if (!group || (!known && (this.#rules === "strict" || group.members.length > 1))) {
      // § Kernel: looked up by the functions, and an ops object that is no member is silently ignored.
      return this.#rules === "compat" ? OK : fail("ENOENT");
    }
    if (group.members.length > 1) {
      group.members.splice(group.members.indexOf(ops), 1);
      // § The kernel went on using the data of a head that had left.
      if (group.head === ops && this.#rules === "strict") group.head = group.members[0] as AllocatorOps;
      return OK;
    }
    return this.#remove(group);
  }

  #join(group: AllocatorGroup, ops: AllocatorOps): Status<"EEXIST"> {
    if (this.#rules === "strict" ? group.members.includes(ops) : group.head === ops) {
      this.#log({ level: "error", message: "this IOASID allocator is registered already" });
      return fail("EEXIST");
    }
    // § The kernel corrupted its list when a member that is not the head came twice; here it counts once.
    if (!group.members.includes(ops)) group.members.push(ops);
    return OK;
  }

  #remove(group: AllocatorGroup): Status<"EBUSY"> {
    if (!group.tracking.empty) {
      if (this.#rules === "strict") return fail("EBUSY");
      this.#log({ level: "warn", message: `${group.tracking.live} IDs outlive their allocator and are lost` });
    }
    this.#groups.splice(this.#groups.indexOf(group), 1);
    this.#tables.give(group.tracking);
    if (this.#active !== group) return OK;
    // § Succession is by order of registration; the default comes back after the last one.
    this.#active = this.#groups[0];
    this.#log({ level: "info", message: `IOASID allocator in use: ${this.#active ? "next custom one" : "default"}` });
    return OK;
  }
}
