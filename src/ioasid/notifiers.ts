/**
 * Notifier chains of the extensions: who is told when an ID is allocated, bound, unbound or freed.
 *
 * One global chain and one per set. Handlers run in order of priority, under the allocator's lock:
 * they may look up, `get` and `put`, and leave slow work to the ordered queue.
 * "IOASID extensions for guest SVA", v2 (August 2020) to V4 (February 2021), never merged.
 */

import type { Log } from "./profile.ts";
import { fail, OK, type Status } from "./result.ts";
import type { Mm } from "./sva.ts";

export type NotifyCommand = "alloc" | "free" | "bind" | "unbind";

/** Chains to run; other bits are EINVAL. */
export const NOTIFY_ALL = 1;
export const NOTIFY_SET = 2;

/** What a handler is told. */
export interface IoasidEvent<S = unknown> {
  command: NotifyCommand;
  id: number;
  /** The set's own number for the ID (guest PASID); still there in "unbind". */
  spid: number | undefined;
  set: S;
  data: unknown;
}

/** From first told to last: the CPU side stops submitting before others tear down. */
export type NotifierPriority = "cpu" | "iommu" | "device" | "last";

export interface Notifier<S = unknown> {
  priority: NotifierPriority;
  notify(event: IoasidEvent<S>): void;
}

/** Whether devices or the IOMMU hear first changed between the series. */
export const PRIORITY_ORDER: Readonly<Record<"v2" | "v3" | "v4", readonly NotifierPriority[]>> = {
  v2: ["cpu", "device", "iommu", "last"],
  v3: ["cpu", "device", "iommu", "last"],
  v4: ["cpu", "iommu", "device", "last"],
};

export class NotifierChain<S = unknown> {
  readonly #order: readonly NotifierPriority[];
  readonly #notifiers: Notifier<S>[] = [];

  constructor(order: readonly NotifierPriority[]) {
    this.#order = order;
  }

  register(notifier: Notifier<S>): Status<"EEXIST"> {
    if (this.#notifiers.includes(notifier)) return fail("EEXIST");
    const rank = (n: Notifier<S>): number => this.#order.indexOf(n.priority);
    const before = this.#notifiers.findIndex((other) => rank(other) > rank(notifier));
    this.#notifiers.splice(before < 0 ? this.#notifiers.length : before, 0, notifier);
    return OK;
  }

  unregister(notifier: Notifier<S>): Status<"ENOENT"> {
    const at = this.#notifiers.indexOf(notifier);
    if (at < 0) return fail("ENOENT");
    this.#notifiers.splice(at, 1);
    return OK;
  }

  /** Tells everyone, whatever the others do; returns what they threw. */
  run(event: IoasidEvent<S>): unknown[] {
    const errors: unknown[] = [];
    for (const notifier of [...this.#notifiers]) {
      try {
        notifier.notify(event);
      } catch (error) {
        errors.push(error);
      }
    }
    return errors;
  }
}

/** What the chains need to know of a set. */
export interface NotifiedSet<S> {
  readonly token: Mm | null;
  readonly chain: NotifierChain<S>;
  readonly ids: ReadonlySet<number>;
}

/** The global chain, the sets' chains, and handlers that wait for an address space's set. */
export class Notifiers<S extends NotifiedSet<S>> {
  readonly #global: NotifierChain<S>;
  readonly #setOf: (mm: Mm) => S | undefined;
  readonly #parked: { mm: Mm; notifier: Notifier<S> }[] = [];

  constructor(order: readonly NotifierPriority[], setOf: (mm: Mm) => S | undefined) {
    this.#global = new NotifierChain(order);
    this.#setOf = setOf;
  }

  /** Hears of the IDs of one set, or (null) of all. EEXIST: does so already. */
  register(set: S | null, notifier: Notifier<S>): Status<"EEXIST"> {
    return (set ? set.chain : this.#global).register(notifier);
  }

  unregister(set: S | null, notifier: Notifier<S>): Status<"ENOENT"> {
    return (set ? set.chain : this.#global).unregister(notifier);
  }

  /**
   * Hears of the IDs of an address space, which may get its set later. EINVAL: no address space.
   * EBUSY: registered already, or its set has IDs (what happened to them would be missed).
   */
  registerMm(mm: Mm | null, notifier: Notifier<S>): Status<"EINVAL" | "EBUSY"> {
    if (!mm) return fail("EINVAL");
    const set = this.#setOf(mm);
    if (this.#find(mm, notifier) >= 0 || (set && set.ids.size > 0)) return fail("EBUSY");
    this.#parked.push({ mm, notifier });
    set?.chain.register(notifier);
    return OK;
  }

  unregisterMm(mm: Mm, notifier: Notifier<S>): Status<"ENOENT"> {
    const at = this.#find(mm, notifier);
    if (at < 0) return fail("ENOENT");
    this.#parked.splice(at, 1);
    this.#setOf(mm)?.chain.unregister(notifier);
    return OK;
  }

  /** Hooks the handlers that waited for this set. */
  adopt(set: S): void {
    for (const { mm, notifier } of this.#parked) if (mm === set.token) set.chain.register(notifier);
  }

  /** Tells the chains that `flags` names, the set's first; returns what handlers threw. */
  run(event: IoasidEvent<S>, flags: number): unknown[] {
    const ofSet = flags & NOTIFY_SET ? event.set.chain.run(event) : [];
    return [...ofSet, ...(flags & NOTIFY_ALL ? this.#global.run(event) : [])];
  }

  #find(mm: Mm, notifier: Notifier<S>): number {
    return this.#parked.findIndex((parked) => parked.mm === mm && parked.notifier === notifier);
  }
}

/** Throws what handlers threw: the error itself, or all of them in one. */
export function rethrow(errors: readonly unknown[]): void {
  if (errors.length === 1) throw errors[0];
  if (errors.length > 1) throw new AggregateError(errors, `${errors.length} notifiers threw`);
}

/** Work that must not run under the lock: one after the other, in the order it was queued. */
export class WorkQueue {
  #tail: Promise<void> = Promise.resolve();
  readonly #log: Log;

  constructor(log: Log) {
    this.#log = log;
  }

  queue(work: () => void | Promise<void>): void {
    this.#tail = this.#tail.then(work).catch((error: unknown) => {
      this.#log({ level: "error", message: `queued work failed: ${String(error)}` });
    });
  }

  /** Resolves when everything queued so far has run. */
  idle(): Promise<void> {
    return this.#tail;
  }
}
