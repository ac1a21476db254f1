import { describe, expect, it } from "vitest";
import { GuestMemory } from "../../src/index.ts";
import { coreForBitmaps } from "../../src/ioasid/bitmap.ts";
import {
  ExtendedIoasid,
  IdBitmap,
  Ioasid,
  IoasidSet,
  MAX_ID,
  Mm,
  PasidConsumer,
  ReentrancyError,
  SvaPasids,
} from "../../src/ioasid/index.ts";
import { loggedSpace, ScriptedAllocator } from "../support/ioasid.ts";

const set = new IoasidSet<string>("a");

/** All that can be seen of a space. */
function stateOf(ids: Ioasid): unknown {
  return {
    count: ids.count,
    allocator: ids.allocator,
    entries: [...ids.entries()].map((entry) => ({ ...entry, references: ids.references(entry.id) })),
  };
}

describe("bad arguments", () => {
  const BAD: [what: string, id: number, error: typeof RangeError][] = [
    ["negative", -1, RangeError],
    ["fractional", 0.5, RangeError],
    ["NaN", Number.NaN, RangeError],
    ["infinite", Number.POSITIVE_INFINITY, RangeError],
    ["21 bits", 0x100000, RangeError],
    ["a bigint", 5n as unknown as number, TypeError],
    ["missing", undefined as unknown as number, TypeError],
  ];

  it.each(BAD)("an ID that is %s is refused by every call, and nothing changes", (_, bad, error) => {
    const ids = new Ioasid();
    ids.alloc(set, 5, 5, "five");
    ids.get(5);
    const before = stateOf(ids);
    for (const [name, call] of [
      ["min", () => ids.alloc(set, bad, 9)],
      ["max", () => ids.alloc(set, 1, bad)],
      ["id", () => ids.free(bad, set)],
      ["id", () => ids.get(bad)],
      ["id", () => ids.put(bad, set)],
      ["id", () => ids.find(set, bad)],
      ["id", () => ids.setData(bad, "x")],
      ["id", () => ids.stamp(bad)],
      ["id", () => ids.references(bad)],
      ["id", () => ids.retired(bad)],
      ["id", () => ids.drained(bad)],
    ] as [string, () => unknown][]) {
      expect(call).toThrow(error);
      expect(call).toThrow(new RegExp(`^${name}: `));
    }
    expect(stateOf(ids)).toEqual(before);
  });

  it.each(BAD)("an extended space refuses an ID or SPID that is %s as well", (_, bad, error) => {
    const space = new ExtendedIoasid();
    const made = space.allocSet({ type: "null", quota: 5 });
    if (!made.ok) expect.fail("no set");
    const mine = made.value;
    space.alloc(mine, 1, 9);
    for (const call of [
      () => space.alloc(mine, bad, 9),
      () => space.alloc(mine, 1, bad),
      () => space.free(mine, bad),
      () => space.get(mine, bad),
      () => space.put(mine, bad),
      () => space.find(mine, bad),
      () => space.attachSpid(bad, 1),
      () => space.attachSpid(1, bad),
      () => space.attachData(bad, "x"),
    ]) {
      expect(call).toThrow(error);
    }
    expect([[...space.entries(mine)], space.references(1), space.state(1)]).toEqual([
      [{ id: 1, data: null }],
      1,
      "idle",
    ]);
  });

  it("names what is wrong with an option", () => {
    expect(() => new Ioasid({ profile: "v6.1" as "v5.5" })).toThrow('profile: "v6.1" is not one of v5.5, v5.11, v5.18');
    expect(() => new Ioasid({ rules: "lax" as "strict" })).toThrow('rules: "lax" is not one of strict, compat');
    expect(() => new Ioasid({ maxRecords: -1 })).toThrow("maxRecords: -1 is not a whole number in 0..1048576");
  });

  it.each(["v5.5", "v5.18"] as const)("profile %s has no references", (profile) => {
    const ids = new Ioasid({ profile });
    const id = ids.alloc(set, 1, 9) as number;
    expect(() => ids.get(id)).toThrow(`get: profile ${profile} has no references`);
    expect(() => ids.put(id)).toThrow(TypeError);
    expect(ids.free(id, set)).toBe(true);
  });
});

describe("callbacks that throw", () => {
  const boom = (): never => {
    throw new Error("boom");
  };

  it("custom alloc: nothing was allocated", () => {
    const ids = new Ioasid();
    ids.registerAllocator({ alloc: boom, free: () => {}, pdata: null });
    const before = stateOf(ids);
    expect(() => ids.alloc(set, 1, 9)).toThrow("boom");
    expect(stateOf(ids)).toEqual(before);
    // And the lock is not left held.
    expect(ids.free(3, set)).toBe(false);
  });

  it("custom free: the ID stays allocated and can be freed later", () => {
    const ids = new Ioasid();
    let fail = true;
    ids.registerAllocator({ alloc: () => 5, free: () => (fail ? boom() : undefined), pdata: null });
    ids.alloc(set, 1, 9, "five");
    const before = stateOf(ids);
    expect(() => ids.free(5, set)).toThrow("boom");
    expect(() => ids.put(5, set)).toThrow("boom");
    expect(stateOf(ids)).toEqual(before);
    fail = false;
    expect(ids.free(5, set)).toBe(true);
  });

  it("custom free of an answer out of range: nothing was allocated", () => {
    const ids = new Ioasid();
    ids.registerAllocator({ alloc: () => 50, free: boom, pdata: null });
    expect(() => ids.alloc(set, 1, 9)).toThrow("boom");
    expect(ids.count).toBe(0);
  });

  it("getter: nothing happened, and setData works again", async () => {
    const ids = new Ioasid();
    ids.alloc(set, 1, 1, "one");
    expect(() => ids.find(set, 1, boom)).toThrow("boom");
    expect(await ids.setData(1, "uno")).toEqual({ ok: true });
  });

  it("a getter that waits for itself is told so; other calls are fine", () => {
    const ids = new Ioasid();
    ids.alloc(set, 1, 1, "one");
    expect(() => ids.find(set, 1, () => !!ids.setData(1, "x"))).toThrow(ReentrancyError);
    expect(ids.find(set, 1, () => ids.get(1))).toEqual({ kind: "value", value: "one" });
    expect(ids.references(1)).toBe(2);
  });

  it("vendor hooks of a consumer: nothing is tracked, and what hardware gave goes back", () => {
    const ids = new Ioasid();
    const freed: number[] = [];
    const consumer = PasidConsumer.init<string>(
      {
        iommuOps: {
          pasidAlloc: () => ({ ok: true, value: 7 }),
          pasidFree: (_, id) => void freed.push(id),
        },
      },
      ids,
    );
    if (!consumer) expect.fail("no consumer");
    ids.registerAllocator({ alloc: boom, free: () => {}, pdata: null });
    expect(() => consumer.alloc(1, 9)).toThrow("boom");
    expect([freed, ids.count]).toEqual([[7], 0]);

    const broken = PasidConsumer.init({ iommuOps: { pasidAlloc: boom, pasidFree: boom } }, new Ioasid());
    expect(() => broken?.alloc(1, 9)).toThrow("boom");
    expect(() => PasidConsumer.init({ iommuOps: { pasidInit: boom } }, ids)).toThrow("boom");
  });

  it("a consumer's hook that calls back is told so in strict, and let through in compat", () => {
    for (const rules of ["strict", "compat"] as const) {
      const ids = new Ioasid({ rules });
      const nested = PasidConsumer.init(
        { iommuOps: { pasidFree: () => void ids.alloc(null, 1, 9) } },
        ids,
      ) as PasidConsumer;
      nested.alloc(1, 2);
      if (rules === "strict") expect(() => nested.free(1)).toThrow(ReentrancyError);
      else nested.free(1);
      expect([...ids.entries()].map(({ id }) => id)).toEqual([rules === "strict" ? 1 : 2]);
    }
  });

  it("notifiers: the others still hear, the call is complete, and the error comes out", () => {
    const space = new ExtendedIoasid();
    const made = space.allocSet({ type: "null", quota: 5 });
    if (!made.ok) expect.fail("no set");
    const mine = made.value;
    const id = space.alloc(mine, 1, 9, "data") as number;
    space.get(mine, id);
    const heard: string[] = [];
    space.notifiers.register(mine, { priority: "cpu", notify: boom });
    space.notifiers.register(mine, { priority: "last", notify: ({ command }) => void heard.push(command) });
    expect(() => space.attachSpid(id, 101)).toThrow("boom");
    expect(space.findBySpid(mine, 101)).toBe(id);
    expect(() => space.detachSpid(id)).toThrow("boom");
    expect(space.state(id)).toBe("idle");
    expect(() => space.free(mine, id)).toThrow("boom");
    expect([space.state(id), space.put(mine, id)]).toEqual(["pending", true]);
    expect(heard).toEqual(["bind", "unbind", "free"]);
    // An allocation whose notifier throws is taken back: its caller never learns the ID.
    expect(() => space.alloc(mine, 1, 9)).toThrow("boom");
    expect([...space.entries(mine)]).toEqual([]);
    space.notifiers.register(null, { priority: "cpu", notify: boom });
    const other = space.allocSet({ type: "null", quota: 5 });
    if (!other.ok) expect.fail("no set");
    const second = space.alloc(other.value, 1, 9) as number;
    space.notifiers.register(other.value, { priority: "cpu", notify: boom });
    expect(() => space.notify(second, "bind", 3)).toThrow("2 notifiers threw");
  });

  it("custom free below an extended space: the ID stays, and goes with the next attempt", () => {
    const space = new ExtendedIoasid();
    let fail = true;
    space.ids.registerAllocator({ alloc: () => 5, free: () => (fail ? boom() : undefined), pdata: null });
    const made = space.allocSet({ type: "null", quota: 5 });
    if (!made.ok) expect.fail("no set");
    space.alloc(made.value, 1, 9, "data");
    expect(() => space.free(made.value, 5)).toThrow("boom");
    expect([space.state(5), space.references(5), space.find(made.value, 5).kind]).toEqual(["idle", 1, "value"]);
    fail = false;
    expect([space.free(made.value, 5), space.state(5), made.value.ids.size]).toEqual([true, undefined, 0]);
  });

  it("queued work: it is logged, and the work after it runs", async () => {
    const messages: string[] = [];
    const space = new ExtendedIoasid({ log: ({ message }) => messages.push(message) });
    let ran = false;
    space.queueWork(boom);
    space.queueWork(() => {
      ran = true;
    });
    await space.idle();
    expect([ran, messages]).toEqual([true, ["queued work failed: Error: boom"]]);
  });
});

describe("quarantine", () => {
  it("a freed ID is gone for its users, and not handed out again before it is drained", () => {
    const ids = new Ioasid({ quarantine: true });
    const id = ids.alloc(set, 1, 9, "data") as number;
    ids.alloc(set, 1, 9);
    expect([ids.free(id, set), ids.find(set, id), ids.retired(id)]).toEqual([
      true,
      { kind: "error", error: "ENOENT" },
      true,
    ]);
    expect([ids.free(id, set), ids.get(id), ids.count]).toEqual([false, false, 1]);
    expect([ids.alloc(set, 1, 9), ids.alloc(set, 1, 1)]).toEqual([3, undefined]);
    expect([ids.drained(id), ids.drained(id), ids.drained(2)]).toEqual([true, false, false]);
    expect(ids.alloc(set, 1, 9)).toBe(id);
  });

  it("holds back a custom allocator's free, too", () => {
    const ids = new Ioasid({ quarantine: true });
    const custom = new ScriptedAllocator("c", [5]);
    ids.registerAllocator(custom);
    ids.alloc(set, 1, 9);
    ids.free(5, set);
    expect([custom.freed, ids.unregisterAllocator(custom)]).toEqual([[], { ok: false, error: "EBUSY" }]);
    ids.drained(5);
    expect([custom.freed, ids.unregisterAllocator(custom)]).toEqual([[{ id: 5, pdata: "c" }], { ok: true }]);
  });

  it("keeps a dead process's PASID from the next one until the device has let go", () => {
    const ids = new Ioasid({ profile: "v5.18", quarantine: true });
    const sva = new SvaPasids(ids);
    const [dead, next] = [new Mm("dead"), new Mm("next")];
    sva.alloc(dead, 1, 9);
    dead.unuse();
    sva.alloc(next, 1, 9);
    expect([next.pasid, sva.find(1)]).toEqual([2, { kind: "error", error: "ENOENT" }]);
    ids.drained(1);
    const third = new Mm("third");
    sva.alloc(third, 1, 9);
    expect(third.pasid).toBe(1);
  });
});

describe("several spaces", () => {
  it("share the core of a guest's memory and stay apart", () => {
    const { core } = new GuestMemory({ ram: [{ base: 0n, size: 0x1000n }] });
    const [a, b] = [new Ioasid({ core }), new Ioasid({ core })];
    const bitmap = new IdBitmap(core);
    expect([a.alloc(set, 1, 9, "a"), b.alloc(set, 1, 9, "b"), bitmap.alloc(1, 9)]).toEqual([1, 1, 1]);
    a.free(1, set);
    expect([a.find(set, 1).kind, b.find(set, 1)]).toEqual(["error", { kind: "value", value: "b" }]);
  });

  it("find no room for another allocator: ENOMEM; and use again what one that left had", () => {
    const ids = new Ioasid({ core: coreForBitmaps(2) });
    const [a, b] = [new ScriptedAllocator("a", [5]), new ScriptedAllocator("b", [6, 7])];
    expect([ids.registerAllocator(a), ids.registerAllocator(b)]).toEqual([
      { ok: true },
      { ok: false, error: "ENOMEM" },
    ]);
    ids.free(ids.alloc(set, 1, 9) as number, set);
    ids.unregisterAllocator(a);
    expect([ids.registerAllocator(b), ids.alloc(set, 1, 9), ids.count]).toEqual([{ ok: true }, 6, 1]);
  });

  it("share nothing that a lost table could bring back", () => {
    const { ids } = loggedSpace({ rules: "compat", core: coreForBitmaps(2) });
    const [a, b] = [new ScriptedAllocator("a", [5]), new ScriptedAllocator("b", [5])];
    ids.registerAllocator(a);
    ids.alloc(set, 1, 9, "lost");
    ids.unregisterAllocator(a);
    ids.registerAllocator(b);
    expect(ids.find(null, 5)).toEqual({ kind: "error", error: "ENOENT" });
    expect([ids.alloc(set, 1, MAX_ID), ids.find(set, 5)]).toEqual([5, { kind: "none" }]);
  });
});
