/** "IOASID extensions for guest SVA": quotas, pending frees, SPIDs, notifiers, control groups. */
import { describe, expect, it } from "vitest";
import {
  ExtendedIoasid,
  type ExtendedIoasidOptions,
  INVALID_IOASID,
  IoasidCgroup,
  type IoasidEvent,
  MAX_ID,
  Mm,
  NOTIFY_ALL,
  NOTIFY_SET,
  type NotifierPriority,
  type QuotaSet,
  type QuotaSetOptions,
  ReentrancyError,
  Task,
} from "../../src/index.ts";

function newSet(space: ExtendedIoasid, options: Partial<QuotaSetOptions> = {}): QuotaSet<string> {
  const made = space.allocSet<string>({ type: "null", quota: 10, ...options });
  if (!made.ok) expect.fail(`allocSet: ${made.error}`);
  return made.value;
}

/** Records commands as "bind 3 spid 101 in a". */
function listener(heard: string[], priority: NotifierPriority = "last", name = "") {
  return {
    priority,
    notify: ({ command, id, spid }: IoasidEvent) =>
      void heard.push(`${name}${command} ${id}${spid === undefined ? "" : ` spid ${spid}`}`),
  };
}

const failed = (error: string): unknown => ({ ok: false, error });

describe("sets and capacity", () => {
  it("IOASID-057 what allocSet refuses", () => {
    const space = new ExtendedIoasid();
    space.capacity.install(100);
    const mm = new Mm("vm");
    expect(space.allocSet({ type: "null", token: mm, quota: 1 })).toEqual(failed("EINVAL"));
    expect(space.allocSet({ type: "mm", quota: 1 })).toEqual(failed("EINVAL"));
    expect(space.allocSet({ type: "null", quota: 101 })).toEqual(failed("ENOSPC"));
    newSet(space, { type: "mm", token: mm });
    expect(space.allocSet({ type: "mm", token: mm, quota: 1 })).toEqual(failed("EEXIST"));
    expect(() => space.allocSet({ type: "other" as "mm", quota: 1 })).toThrow('type: "other" is not one of null, mm');
    expect(() => space.allocSet({ type: "null", quota: -1 })).toThrow(RangeError);
    expect(space.capacity.available).toBe(90);
  });

  it("IOASID-057 quota 0: an error in v2 and v3, all that is left in V4", () => {
    for (const series of ["v2", "v3"] as const) {
      expect(new ExtendedIoasid({ series }).allocSet({ type: "null", quota: 0 })).toEqual(failed("EINVAL"));
    }
    const space = new ExtendedIoasid({ series: "v4" });
    expect([newSet(space, { quota: 0 }).quota, space.capacity.available]).toEqual([0x100000, 0]);
    const lenient = new ExtendedIoasid({ series: "v2", rules: "compat" });
    expect(lenient.allocSet({ type: "mm", quota: 1 }).ok).toBe(true);
  });

  it("IOASID-057 capacity adds up: what sets took comes back when they go (compat V4 forgot)", () => {
    for (const [options, left] of [
      [{}, 1000],
      [{ series: "v3" }, 1000],
      [{ rules: "compat" }, 960],
    ] as [ExtendedIoasidOptions, number][]) {
      const space = new ExtendedIoasid(options);
      space.capacity.install(1000);
      const sets = [1, 2, 3, 4].map(() => newSet(space));
      const reserved = space.capacity.reserve(100);
      expect([reserved, space.capacity.available]).toEqual([{ ok: true, value: 100 }, 860]);
      expect(space.capacity.cancel(100)).toEqual({ ok: true, value: 960 });
      for (const set of sets) expect(space.freeSet(set)).toEqual({ ok: true });
      expect(space.capacity.available).toBe(left);
      expect(space.freeSet(sets[0] as QuotaSet)).toEqual(failed("EINVAL"));
    }
    const { capacity } = new ExtendedIoasid();
    capacity.install(10);
    expect([capacity.cancel(1), capacity.reserve(11)]).toEqual([failed("EINVAL"), failed("ENOSPC")]);
    expect(capacity.reserve(0)).toEqual({ ok: true, value: 10 });
    capacity.install(20);
    expect(capacity.total).toBe(10);
  });

  it("IOASID-057 a set with IDs: EBUSY in V4; v3 frees them, and its token is free at once", () => {
    const mm = new Mm("vm");
    const v4 = new ExtendedIoasid();
    const busy = newSet(v4);
    const id = v4.alloc(busy, 1, 9) as number;
    expect(v4.freeSet(busy)).toEqual(failed("EBUSY"));
    v4.free(busy, id);
    expect(v4.freeSet(busy)).toEqual({ ok: true });

    const v3 = new ExtendedIoasid({ series: "v3" });
    const set = newSet(v3, { type: "mm", token: mm });
    const [kept, gone] = [v3.alloc(set, 1, 9), v3.alloc(set, 1, 9)] as [number, number];
    v3.get(set, kept);
    expect(v3.freeSet(set)).toEqual({ ok: true });
    expect([v3.state(kept), v3.state(gone), v3.findMmSet(mm)]).toEqual(["pending", undefined, undefined]);
    const next = newSet(v3, { type: "mm", token: mm });
    expect([v3.alloc(next, 1, 9), v3.alloc(set, 1, 9)]).toEqual([gone, undefined]);
    expect(v3.put(null, kept)).toBe(true);
    expect(v3.alloc(next, 1, 9)).toBe(kept);
  });

  it("IOASID-057 compat V4: the set goes with its last ID", () => {
    for (const rules of ["strict", "compat"] as const) {
      const space = new ExtendedIoasid({ rules });
      const set = newSet(space);
      space.free(set, space.alloc(set, 1, 9) as number);
      expect(space.alloc(set, 1, 9)).toBe(rules === "strict" ? 1 : undefined);
    }
  });

  it("IOASID-058 the quota is a limit on IDs held, pending ones included", () => {
    const space = new ExtendedIoasid();
    const set = newSet(space, { quota: 2 });
    const [a, b] = [space.alloc(set, 1, 9), space.alloc(set, 1, 9)] as [number, number];
    expect(space.alloc(set, 1, 9)).toBeUndefined();
    space.get(set, a);
    space.free(set, a);
    expect(space.alloc(set, 1, 9)).toBeUndefined();
    space.free(set, b);
    expect(space.alloc(set, 1, 9)).toBe(b);
    expect(space.alloc(newSet(space), 1, 9)).toBe(3);
  });

  it("IOASID-058 adjusting a quota; a refusal changes nothing", () => {
    const space = new ExtendedIoasid({ series: "v3" });
    space.capacity.install(20);
    const set = newSet(space);
    for (let i = 0; i < 4; i++) space.alloc(set, 1, 99);
    for (const [quota, answer, left] of [
      [3, failed("EINVAL"), 10],
      [0, failed("EINVAL"), 10],
      [21, failed("ENOSPC"), 10],
      [20, { ok: true }, 0],
      [4, { ok: true }, 16],
      [4, { ok: true }, 16],
    ] as const) {
      expect([space.adjustSet(set, quota), space.capacity.available]).toEqual([answer, left]);
    }
    expect(space.alloc(set, 1, 99)).toBeUndefined();
    // v2 held the total against what is available: it refused even to shrink. V4 had no such call.
    const v2 = new ExtendedIoasid({ series: "v2", rules: "compat" });
    v2.capacity.install(20);
    const big = newSet(v2, { quota: 15 });
    expect([v2.adjustSet(big, 14), big.quota, v2.adjustSet(big, 4)]).toEqual([failed("ENOSPC"), 15, { ok: true }]);
    const v4 = new ExtendedIoasid({ rules: "compat" });
    expect(() => v4.adjustSet(newSet(v4), 5)).toThrow(TypeError);
  });
});

describe("freeing", () => {
  it("IOASID-059 an ID freed while referenced is pending until the last put, and everyone is told once", () => {
    const space = new ExtendedIoasid();
    const set = newSet(space);
    const [ofSet, ofAll]: [string[], string[]] = [[], []];
    space.notifiers.register(set, listener(ofSet));
    space.notifiers.register(null, listener(ofAll));
    const id = space.alloc(set, 1, 9, "data") as number;
    space.get(set, id);
    space.get(set, id);
    expect(space.free(set, id)).toBe(true);
    expect(space.free(set, id)).toBe(false);
    expect([space.state(id), space.get(set, id), space.references(id)]).toEqual(["pending", failed("EBUSY"), 2]);
    expect(space.find(set, id)).toEqual({ kind: "error", error: "ENOENT" });
    expect(space.alloc(set, id, id)).toBeUndefined();
    expect([space.put(set, id), space.put(set, id)]).toEqual([false, true]);
    expect([ofSet, ofAll]).toEqual([["alloc 1", "free 1"], ["free 1"]]);
    expect(space.alloc(set, id, id)).toBe(id);
  });

  it("IOASID-059 compat V4: find does not look at the state", () => {
    const space = new ExtendedIoasid({ rules: "compat" });
    const set = newSet(space);
    const id = space.alloc(set, 1, 9, "data") as number;
    space.get(set, id);
    space.free(set, id);
    expect(space.find(set, id)).toEqual({ kind: "value", value: "data" });
  });

  it("IOASID-060 with one reference the ID goes at once, in silence; freeing again is unknown", () => {
    const space = new ExtendedIoasid();
    const set = newSet(space);
    const heard: string[] = [];
    space.notifiers.register(null, listener(heard));
    const id = space.alloc(set, 1, 9) as number;
    expect([space.free(set, id), space.free(set, id)]).toEqual([true, false]);
    expect([heard, space.state(id), space.findSet(id)]).toEqual([[], undefined, failed("ENOENT")]);
  });

  it("IOASID-060 the order in which get refuses, and put's and free's look at the set", () => {
    const space = new ExtendedIoasid();
    const [mine, theirs] = [newSet(space), newSet(space)];
    const id = space.alloc(mine, 1, 9) as number;
    expect([space.get(mine, 5), space.get(theirs, id), space.get(null, id)]).toEqual([
      failed("EINVAL"),
      failed("EACCES"),
      { ok: true },
    ]);
    expect([space.put(theirs, id), space.free(theirs, id), space.references(id)]).toEqual([false, false, 2]);
    space.free(mine, id);
    expect(space.get(theirs, id)).toEqual(failed("EBUSY"));
    expect(space.findSet(id)).toEqual({ ok: true, value: mine });
  });
});

describe("SPIDs", () => {
  it("IOASID-061 an SPID is unique in its set, free in another, and never INVALID", () => {
    const space = new ExtendedIoasid();
    const [a, b] = [newSet(space), newSet(space)];
    const [x, y, z] = [space.alloc(a, 1, 9), space.alloc(a, 1, 9), space.alloc(b, 1, 9)] as [number, number, number];
    expect(space.attachSpid(x, INVALID_IOASID)).toEqual(failed("EINVAL"));
    expect(space.attachSpid(8, 101)).toEqual(failed("ENOENT"));
    expect([space.attachSpid(x, 101), space.attachSpid(y, 101), space.attachSpid(z, 101)]).toEqual([
      { ok: true },
      failed("EINVAL"),
      { ok: true },
    ]);
    expect([space.findBySpid(a, 101), space.findBySpid(b, 101), space.findBySpid(a, 7)]).toEqual([x, z, undefined]);
    expect(space.references(x)).toBe(1);
    // Migration: the number moves to another host ID, and a new number replaces the old.
    space.detachSpid(x);
    expect([space.attachSpid(y, 101), space.findBySpid(a, 101)]).toEqual([{ ok: true }, y]);
    space.attachSpid(y, 102);
    expect([space.findBySpid(a, 101), space.findBySpid(a, 102)]).toEqual([undefined, y]);
  });

  it("IOASID-061 looking up with get takes exactly one reference, without none", () => {
    const space = new ExtendedIoasid();
    const set = newSet(space);
    const id = space.alloc(set, 1, 9) as number;
    space.attachSpid(id, 101);
    space.findBySpid(set, 101);
    expect(space.references(id)).toBe(1);
    space.findBySpid(set, 101, true);
    expect(space.references(id)).toBe(2);
    expect(new ExtendedIoasid({ series: "v3" }).findBySpid(set, 101)).toBe(undefined);
  });

  it("IOASID-061 compat: v3 leaks a reference when the SPID is taken, v2 does not look and INVALID clears", () => {
    const v3 = new ExtendedIoasid({ series: "v3", rules: "compat" });
    const set = newSet(v3);
    const [x, y] = [v3.alloc(set, 1, 9), v3.alloc(set, 1, 9)] as [number, number];
    v3.attachSpid(x, 101);
    expect([v3.attachSpid(y, 101), v3.references(x)]).toEqual([failed("EINVAL"), 2]);

    const v2 = new ExtendedIoasid({ series: "v2" });
    const loose = newSet(v2);
    const [a, b] = [v2.alloc(loose, 1, 9), v2.alloc(loose, 1, 9)] as [number, number];
    expect([v2.attachSpid(a, 101), v2.attachSpid(b, 101)]).toEqual([{ ok: true }, { ok: true }]);
    expect([v2.findBySpid(loose, 101), v2.references(a)]).toEqual([a, 2]);
    expect([v2.attachSpid(a, INVALID_IOASID), v2.findBySpid(loose, 101)]).toEqual([{ ok: true }, b]);
  });

  it("IOASID-061 a pending ID is not looked up in strict", () => {
    for (const [rules, expected] of [
      ["strict", undefined],
      ["compat", 1],
    ] as const) {
      const space = new ExtendedIoasid({ rules });
      const set = newSet(space);
      const id = space.alloc(set, 1, 9) as number;
      space.attachSpid(id, 101);
      space.get(set, id);
      space.free(set, id);
      expect(space.findBySpid(set, 101)).toBe(expected);
    }
  });
});

describe("notifiers", () => {
  it("IOASID-062 the CPU hears first; devices before the IOMMU in v2 and v3, after it in V4", () => {
    for (const [series, order] of [
      ["v2", ["cpu", "device", "iommu", "last"]],
      ["v3", ["cpu", "device", "iommu", "last"]],
      ["v4", ["cpu", "iommu", "device", "last"]],
    ] as const) {
      const space = new ExtendedIoasid({ series });
      const set = newSet(space);
      const heard: string[] = [];
      for (const priority of ["last", "device", "cpu", "iommu"] as const) {
        space.notifiers.register(set, listener(heard, priority, `${priority} `));
      }
      space.alloc(set, 1, 9);
      expect(heard).toEqual(order.map((priority) => `${priority} alloc 1`));
    }
  });

  it("IOASID-062 BIND when an SPID is attached, UNBIND with the SPID still there; flags beyond the two are EINVAL", () => {
    const space = new ExtendedIoasid();
    const set = newSet(space);
    const [ofSet, ofAll]: [string[], string[]] = [[], []];
    const notifier = listener(ofSet);
    space.notifiers.register(set, notifier);
    space.notifiers.register(null, listener(ofAll));
    expect(space.notifiers.register(set, notifier)).toEqual(failed("EEXIST"));
    const id = space.alloc(set, 1, 9) as number;
    space.attachSpid(id, 101);
    expect(space.state(id)).toBe("active");
    space.detachSpid(id);
    expect([space.state(id), ofSet, ofAll]).toEqual(["idle", ["alloc 1", "bind 1 spid 101", "unbind 1 spid 101"], []]);
    for (const flags of [0, 4, NOTIFY_ALL | 4]) expect(space.notify(id, "bind", flags)).toEqual(failed("EINVAL"));
    expect(space.notify(id, "bind", NOTIFY_ALL | NOTIFY_SET)).toEqual({ ok: true });
    expect([ofSet.length, ofAll]).toEqual([4, ["bind 1"]]);
    space.notifiers.unregister(set, notifier);
    expect(space.notifiers.unregister(set, notifier)).toEqual(failed("ENOENT"));
  });

  it("IOASID-062 a handler may put, not free; slow work is done afterwards and in order", async () => {
    const space = new ExtendedIoasid();
    const set = newSet(space);
    const id = space.alloc(set, 1, 9, "data") as number;
    space.get(set, id);
    const order: string[] = [];
    space.notifiers.register(set, {
      priority: "iommu",
      notify: ({ command }) => {
        order.push(command);
        expect(() => space.detachSpid(id)).toThrow(ReentrancyError);
        expect(() => space.free(set, id)).toThrow(ReentrancyError);
        space.queueWork(() => void order.push("drain"));
        space.queueWork(() => void order.push(`last ${space.put(set, id)}`));
      },
    });
    space.free(set, id);
    expect(order).toEqual(["free"]);
    await space.idle();
    expect(order).toEqual(["free", "drain", "last true"]);
    expect(space.state(id)).toBeUndefined();
    // The last put may also come from the handler itself.
    const second = space.alloc(set, 1, 9) as number;
    space.get(set, second);
    space.notifiers.register(null, { priority: "cpu", notify: (event) => void space.put(null, event.id) });
    expect(space.free(set, second)).toBe(true);
    expect([space.state(second), space.alloc(newSet(space), 1, 9)]).toEqual([undefined, second]);
    await space.idle();
  });

  it("IOASID-063 a notifier may come before its address space's set, but not after the first ID", () => {
    const space = new ExtendedIoasid({ series: "v3" });
    const mm = new Mm("vm");
    const [early, late]: [string[], string[]] = [[], []];
    const notifier = listener(early);
    expect(space.notifiers.registerMm(null, notifier)).toEqual(failed("EINVAL"));
    expect(space.notifiers.registerMm(mm, notifier)).toEqual({ ok: true });
    expect(space.notifiers.registerMm(mm, notifier)).toEqual(failed("EBUSY"));
    const set = newSet(space, { type: "mm", token: mm });
    expect(space.notifiers.registerMm(mm, listener(late))).toEqual({ ok: true });
    const id = space.alloc(set, 1, 9) as number;
    expect([early, late]).toEqual([["alloc 1"], ["alloc 1"]]);
    expect(space.notifiers.registerMm(mm, listener([]))).toEqual(failed("EBUSY"));
    expect(space.notifiers.unregisterMm(mm, notifier)).toEqual({ ok: true });
    expect(space.notifiers.unregisterMm(mm, notifier)).toEqual(failed("ENOENT"));
    space.attachSpid(id, 5);
    expect([early.length, late.length]).toEqual([1, 2]);
  });
});

describe("control groups", () => {
  function setUp() {
    const space = new ExtendedIoasid();
    space.capacity.install(100);
    const root = IoasidCgroup.root(space.capacity);
    const [parent] = [root.child("parent")];
    const child = parent.child("child");
    const mm = new Mm("vm");
    return { space, root, parent, child, mm, task: new Task(mm, child) };
  }

  it("IOASID-064 the limit of any group above counts; a refusal leaves all counters alone", () => {
    const { space, root, parent, child, mm, task } = setUp();
    const set = newSet(space, { type: "mm", token: mm, quota: 20 });
    expect(space.alloc(set, 1, 99, null, task)).toBeUndefined();
    expect([parent.setMax(2), child.setMax(10), space.capacity.available]).toEqual([{ ok: true }, { ok: true }, 68]);
    const ids = [1, 2, 3].map(() => space.alloc(set, 1, 99, null, task));
    expect(ids).toEqual([1, 2, undefined]);
    expect([root.current, parent.current, child.current]).toEqual([0, 2, 2]);
    expect([parent.events, child.events]).toEqual([1, 1]);
    space.free(set, 1);
    expect([parent.current, child.current]).toEqual([1, 1]);
    for (const [max, answer] of [
      [-1, failed("EINVAL")],
      [2, failed("EINVAL")],
      [1000, failed("ENOSPC")],
      [1, { ok: true }],
    ] as const) {
      expect(parent.setMax(max)).toEqual(answer);
    }
    expect(root.setMax(5)).toEqual(failed("EINVAL"));
  });

  it("IOASID-064 only the set's own address space is charged; a foreign one is refused", () => {
    const { space, child, parent, mm, task } = setUp();
    parent.setMax(10);
    child.setMax(10);
    const set = newSet(space, { type: "mm", token: mm });
    expect(space.alloc(set, 1, 99, null, new Task(new Mm("other"), child))).toBeUndefined();
    expect(space.alloc(set, 1, 99, null, new Task(null, child))).toBeUndefined();
    expect([space.alloc(set, 1, 99, null, task), child.current]).toEqual([1, 1]);
    // Sets of no address space cost nobody anything.
    expect([space.alloc(newSet(space), 1, 99, null, task), child.current]).toEqual([2, 1]);
  });

  it("IOASID-064 a process that moves takes its charges along, beyond the limit if need be", () => {
    const { space, root, parent, child, mm, task } = setUp();
    parent.setMax(10);
    child.setMax(10);
    const other = root.child("other");
    const set = newSet(space, { type: "mm", token: mm });
    const ids = [1, 2, 3].map(() => space.alloc(set, 1, 99, null, task) as number);
    task.moveTo(other);
    expect([parent.current, child.current, other.current, other.max]).toEqual([0, 0, 3, 0]);
    for (const id of ids) space.free(set, id);
    expect([child.current, other.current]).toEqual([0, 0]);
  });

  it("IOASID-064 a quota that is used up costs no charge (compat: the charge stayed)", () => {
    for (const rules of ["strict", "compat"] as const) {
      const space = new ExtendedIoasid({ rules });
      space.capacity.install(100);
      const group = IoasidCgroup.root(space.capacity).child("g");
      group.setMax(10);
      const mm = new Mm("vm");
      const set = newSet(space, { type: "mm", token: mm, quota: 1 });
      const task = new Task(mm, group);
      expect([space.alloc(set, 1, 9, null, task), space.alloc(set, 1, 9, null, task)]).toEqual([1, undefined]);
      expect(group.current).toBe(rules === "strict" ? 1 : 2);
    }
  });

  it("IOASID-057 IDs of the whole range belong to sets too", () => {
    const space = new ExtendedIoasid();
    const set = newSet(space);
    expect(space.alloc(set, MAX_ID, MAX_ID)).toBe(0xfffff);
    expect([...space.entries(set)]).toEqual([{ id: 0xfffff, data: null }]);
  });
});
