/**
 * Control groups for IOASIDs: a limit per group, held along the whole path to the root.
 *
 * Extensions series V4, RFC patches 15 and 16. A new group may have nothing until its limit is set;
 * limits are reserved from the system's capacity, so their sum cannot exceed it. What the posting got
 * wrong (charges lost when a process moves, the wrong group uncharged, events never counted) is right.
 */
import { MAX_ID } from "./bitmap.ts";
import type { Capacity } from "./capacity.ts";
import { fail, OK, type Status } from "./result.ts";
import type { Mm } from "./sva.ts";

export class IoasidCgroup {
  readonly name: string;
  /** Null for the root, which has no limit and no counts. */
  readonly parent: IoasidCgroup | null;
  readonly #capacity: Capacity;
  #max = 0;
  #current = 0;
  #events = 0;

  private constructor(name: string, parent: IoasidCgroup | null, capacity: Capacity) {
    this.name = name;
    this.parent = parent;
    this.#capacity = capacity;
  }

  static root(capacity: Capacity): IoasidCgroup {
    return new IoasidCgroup("/", null, capacity);
  }

  child(name: string): IoasidCgroup {
    return new IoasidCgroup(name, this, this.#capacity);
  }

  /** ioasids.max */
  get max(): number {
    return this.parent ? this.#max : MAX_ID + 1;
  }
  /** ioasids.current */
  get current(): number {
    return this.#current;
  }
  /** ioasids.events: how often the limit was hit. */
  get events(): number {
    return this.#events;
  }

  /** Writes ioasids.max. EINVAL: root, negative, no number, or unchanged. ENOSPC: beyond the capacity. */
  setMax(max: number): Status<"EINVAL" | "ENOSPC"> {
    if (!this.parent || !Number.isInteger(max) || max < 0 || max === this.#max) return fail("EINVAL");
    const growth = max - this.#max;
    if (growth > this.#capacity.available) return fail("ENOSPC");
    if (growth > 0) this.#capacity.reserve(growth);
    else this.#capacity.cancel(-growth);
    this.#max = max;
    return OK;
  }

  /** Charges this group and all above it, or none: EAGAIN when one of them is full. */
  charge(count: number): Status<"EAGAIN"> {
    const path = this.#path();
    const full = path.find((group) => group.#current + count > group.#max);
    if (full) {
      full.#events++;
      return fail("EAGAIN");
    }
    for (const group of path) group.#current += count;
    return OK;
  }

  uncharge(count: number): void {
    for (const group of this.#path()) group.#current -= count;
  }

  /** Takes charges over from another group, limit or not: moving a process cannot fail. */
  takeOver(from: IoasidCgroup, count: number): void {
    from.uncharge(count);
    for (const group of this.#path()) group.#current += count;
  }

  /** From here up to the root, without it. */
  #path(): IoasidCgroup[] {
    const path: IoasidCgroup[] = [];
    for (let group: IoasidCgroup | null = this; group?.parent; group = group.parent) path.push(group);
    return path;
  }
}

/** Who asks for an ID, and is charged for it. */
export class Task {
  /** Null for a kernel thread. */
  readonly mm: Mm | null;
  #cgroup: IoasidCgroup;
  #charges = 0;

  constructor(mm: Mm | null, cgroup: IoasidCgroup) {
    this.mm = mm;
    this.#cgroup = cgroup;
  }

  get cgroup(): IoasidCgroup {
    return this.#cgroup;
  }

  charge(): Status<"EAGAIN"> {
    const status = this.#cgroup.charge(1);
    if (status.ok) this.#charges++;
    return status;
  }

  /** Gives a charge back to the group that carries it now. */
  uncharge(): void {
    this.#charges--;
    this.#cgroup.uncharge(1);
  }

  /** Moves the process and what it was charged. */
  moveTo(group: IoasidCgroup): void {
    group.takeOver(this.#cgroup, this.#charges);
    this.#cgroup = group;
  }
}
