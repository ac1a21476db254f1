/** "IOASID extensions for guest SVA": sets, quotas, pending frees, control groups. */
import { describe, expect, it } from "vitest";
import {
  ExtendedIoasid,
  type ExtendedIoasidOptions,
  IoasidCgroup,
  MAX_ID,
  Mm,
  type QuotaSet,
  Task,
} from "../../src/ioasid/index.ts";
import { failed, listener, newSet } from "../support/extended.ts";

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
