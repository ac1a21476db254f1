/** Custom allocators: registration, precedence, succession, and what goes wrong in them. */
import { describe, expect, it } from "vitest";
import { Ioasid, IoasidSet, ReentrancyError } from "../../src/ioasid/index.ts";
import { loggedSpace, ScriptedAllocator } from "../support/ioasid.ts";

const set = new IoasidSet<string>("a");

describe("registration", () => {
  it("IOASID-025 the first custom allocator of an empty space is active at once", () => {
    const ids = new Ioasid();
    const custom = new ScriptedAllocator("c", [77]);
    expect(ids.registerAllocator(custom)).toEqual({ ok: true });
    expect(ids.allocator).toBe(custom);
    expect(ids.alloc(set, 1, 100)).toBe(77);
    expect(custom.asked).toEqual([{ min: 1, max: 100, pdata: "c" }]);
  });

  it("IOASID-026 while the default allocator holds IDs, no custom one takes over", () => {
    const { ids, said } = loggedSpace();
    const id = ids.alloc(set, 1, 9, "kept") as number;
    expect(ids.registerAllocator(new ScriptedAllocator("c", [77]))).toEqual({ ok: false, error: "EAGAIN" });
    expect(said("warn").length).toBe(1);
    expect(ids.allocator).toBeUndefined();
    expect(ids.find(set, id)).toEqual({ kind: "value", value: "kept" });
    expect(ids.alloc(set, 1, 9)).toBe(2);
  });

  it("IOASID-027 the same allocator twice is EEXIST", () => {
    const { ids, said } = loggedSpace();
    const custom = new ScriptedAllocator("c", []);
    ids.registerAllocator(custom);
    expect(ids.registerAllocator(custom)).toEqual({ ok: false, error: "EEXIST" });
    expect(said("error").length).toBe(1);
    // The kernel looked at the head of the group only.
    for (const [rules, expected] of [
      ["strict", { ok: false, error: "EEXIST" }],
      ["compat", { ok: true }],
    ] as const) {
      const space = new Ioasid({ rules });
      const [head, member] = [custom, custom.sibling("member")];
      space.registerAllocator(head);
      space.registerAllocator(member);
      expect(space.registerAllocator(member)).toEqual(expected);
      // In neither case does it count twice.
      space.unregisterAllocator(member);
      space.unregisterAllocator(head);
      expect(space.allocator).toBeUndefined();
    }
  });

  it("IOASID-028 allocators of the same functions share a space, and the first one's data stay in use", () => {
    const ids = new Ioasid();
    const custom = new ScriptedAllocator("first", [5, 6]);
    ids.registerAllocator(custom);
    ids.alloc(set, 1, 9);
    expect(ids.registerAllocator(custom.sibling("second"))).toEqual({ ok: true });
    ids.alloc(set, 1, 9);
    expect(custom.asked.map(({ pdata }) => pdata)).toEqual(["first", "first"]);
    expect([ids.find(set, 5).kind, ids.find(set, 6).kind]).toEqual(["none", "none"]);
  });

  it("IOASID-029 an allocator of other functions waits in line", () => {
    const ids = new Ioasid();
    const [active, waiting] = [new ScriptedAllocator("a", [5]), new ScriptedAllocator("w", [6])];
    ids.registerAllocator(active);
    expect(ids.registerAllocator(waiting)).toEqual({ ok: true });
    expect([ids.allocator, ids.alloc(set, 1, 9), waiting.asked.length]).toEqual([active, 5, 0]);
  });
});

describe("unregistration", () => {
  it("IOASID-030 a member leaves its group: the IDs stay", () => {
    const ids = new Ioasid();
    const custom = new ScriptedAllocator("head", [5]);
    const member = custom.sibling("member");
    ids.registerAllocator(custom);
    ids.registerAllocator(member);
    ids.alloc(set, 1, 9, "kept");
    expect(ids.unregisterAllocator(member)).toEqual({ ok: true });
    expect(ids.find(set, 5)).toEqual({ kind: "value", value: "kept" });
  });

  it("IOASID-031 the head leaves its group: strict goes on with a member, compat with the departed", () => {
    for (const [rules, pdata] of [
      ["strict", "member"],
      ["compat", "head"],
    ] as const) {
      const ids = new Ioasid({ rules });
      const custom = new ScriptedAllocator("head", [5, 6]);
      ids.registerAllocator(custom);
      ids.registerAllocator(custom.sibling("member"));
      ids.alloc(set, 1, 9);
      ids.unregisterAllocator(custom);
      expect(ids.alloc(set, 1, 9)).toBe(6);
      expect(custom.asked.at(-1)?.pdata).toBe(pdata);
      ids.free(5, set);
      expect(custom.freed).toEqual([{ id: 5, pdata }]);
    }
  });

  it("IOASID-032 after the last custom allocator the default is back", () => {
    const { ids, said } = loggedSpace();
    const custom = new ScriptedAllocator("c", [77]);
    ids.registerAllocator(custom);
    ids.free(ids.alloc(set, 1, 99) as number, set);
    expect(ids.unregisterAllocator(custom)).toEqual({ ok: true });
    expect(said("info")).toEqual(["IOASID allocator in use: default"]);
    expect(ids.alloc(set, 1, 99)).toBe(1);
    // And a custom one can come again once the default holds nothing.
    ids.free(1, set);
    expect(ids.registerAllocator(custom)).toEqual({ ok: true });
  });

  it("IOASID-033 the last custom allocator goes with live IDs: compat warns and loses them, strict refuses", () => {
    const { ids, said } = loggedSpace({ rules: "compat" });
    const custom = new ScriptedAllocator("c", [77]);
    ids.registerAllocator(custom);
    ids.alloc(set, 1, 99);
    expect(ids.unregisterAllocator(custom)).toEqual({ ok: true });
    expect(said("warn")).toEqual(["1 IDs outlive their allocator and are lost"]);
    expect(ids.find(set, 77)).toEqual({ kind: "error", error: "ENOENT" });
    expect([ids.free(77, set), custom.freed.length, ids.count]).toEqual([false, 0, 0]);

    const strict = new Ioasid();
    const kept = new ScriptedAllocator("c", [77]);
    strict.registerAllocator(kept);
    strict.alloc(set, 1, 99, "kept");
    expect(strict.unregisterAllocator(kept)).toEqual({ ok: false, error: "EBUSY" });
    expect(strict.find(set, 77)).toEqual({ kind: "value", value: "kept" });
    strict.free(77, set);
    expect(strict.unregisterAllocator(kept)).toEqual({ ok: true });
  });

  it("IOASID-034 when the active one goes, the earliest registered takes over", () => {
    const ids = new Ioasid();
    const [a, b, c] = ["a", "b", "c"].map((name) => new ScriptedAllocator(name, [5])) as [
      ScriptedAllocator,
      ScriptedAllocator,
      ScriptedAllocator,
    ];
    for (const custom of [a, b, c]) ids.registerAllocator(custom);
    ids.unregisterAllocator(a);
    expect(ids.allocator).toBe(b);
    ids.registerAllocator(a);
    ids.unregisterAllocator(b);
    expect(ids.allocator).toBe(c);
    ids.unregisterAllocator(c);
    expect(ids.allocator).toBe(a);
  });

  it("IOASID-035 an inactive one goes unnoticed; with none registered there is a warning", () => {
    const { ids, said } = loggedSpace({ rules: "compat" });
    const [active, waiting] = [new ScriptedAllocator("a", [5]), new ScriptedAllocator("w", [])];
    ids.registerAllocator(active);
    ids.registerAllocator(waiting);
    ids.alloc(set, 1, 9);
    expect(ids.unregisterAllocator(waiting)).toEqual({ ok: true });
    expect([ids.allocator, ids.find(set, 5).kind]).toEqual([active, "none"]);
    ids.free(5, set);
    ids.unregisterAllocator(active);
    expect(said("warn")).toEqual([]);
    expect(ids.unregisterAllocator(active)).toEqual({ ok: true });
    expect(said("warn")).toEqual(["no custom IOASID allocator is registered"]);
    expect(new Ioasid().unregisterAllocator(active)).toEqual({ ok: false, error: "ENOENT" });
  });
});

describe("what a custom allocator may answer", () => {
  it("IOASID-036 an ID outside the range is taken in compat, and given back in strict", () => {
    const answer = 500;
    const compat = new Ioasid({ rules: "compat" });
    compat.registerAllocator(new ScriptedAllocator("c", [answer]));
    expect([compat.alloc(set, 1, 9), compat.find(set, answer).kind]).toEqual([answer, "none"]);

    const strict = new Ioasid();
    const custom = new ScriptedAllocator("c", [answer]);
    strict.registerAllocator(custom);
    expect(strict.alloc(set, 1, 9)).toBeUndefined();
    expect([custom.freed, strict.count]).toEqual([[{ id: answer, pdata: "c" }], 0]);
  });

  it("IOASID-036 an ID beyond 20 bits is given back in both", () => {
    for (const rules of ["compat", "strict"] as const) {
      const ids = new Ioasid({ rules });
      const custom = new ScriptedAllocator("c", [0x100000]);
      ids.registerAllocator(custom);
      expect([ids.alloc(set, 1, 9), custom.freed, ids.count]).toEqual([undefined, [{ id: 0x100000, pdata: "c" }], 0]);
    }
  });

  it("IOASID-037 an ID in use fails; compat gives the owner's ID back, strict leaves it", () => {
    for (const rules of ["compat", "strict"] as const) {
      const { ids, said } = loggedSpace({ rules });
      const custom = new ScriptedAllocator("c", [5, 5]);
      ids.registerAllocator(custom);
      ids.alloc(set, 1, 9, "owner");
      expect(ids.alloc(set, 1, 9, "thief")).toBeUndefined();
      expect(custom.freed).toEqual(rules === "compat" ? [{ id: 5, pdata: "c" }] : []);
      expect(ids.find(set, 5)).toEqual({ kind: "value", value: "owner" });
      expect(said("error").length).toBe(1);
    }
  });

  it("IOASID-038 no ID is no ID: nothing is given back, and the default does not step in", () => {
    for (const none of [undefined, 0xffff_ffff]) {
      const ids = new Ioasid();
      const custom = new ScriptedAllocator("c", [none]);
      ids.registerAllocator(custom);
      expect([ids.alloc(set, 1, 9), custom.freed, ids.count]).toEqual([undefined, [], 0]);
    }
  });

  it("IOASID-039 with a custom allocator no ID is ever chosen by software", () => {
    const answers = [900, 3, 17, 1];
    const ids = new Ioasid();
    ids.registerAllocator(new ScriptedAllocator("c", [...answers]));
    expect(answers.map(() => ids.alloc(set, 1, 1000))).toEqual(answers);
    expect(ids.alloc(set, 1, 1000)).toBeUndefined();
    expect([...ids.entries(set)].map(({ id }) => id)).toEqual([1, 3, 17, 900]);
  });
});

describe("callbacks under the lock", () => {
  it("IOASID-040 the ID is still found from within the custom free, and gone afterwards", () => {
    const ids = new Ioasid();
    const seen: unknown[] = [];
    ids.registerAllocator(new ScriptedAllocator("c", [5], (id) => seen.push(ids.find(set, id))));
    ids.alloc(set, 1, 9, "data");
    ids.free(5, set);
    expect(seen).toEqual([{ kind: "value", value: "data" }]);
    expect(ids.find(set, 5)).toEqual({ kind: "error", error: "ENOENT" });
  });

  it.each([
    ["alloc", (ids: Ioasid) => ids.alloc(set, 1, 9)],
    ["free", (ids: Ioasid) => ids.free(5, set)],
    ["get", (ids: Ioasid) => ids.get(5)],
    ["put", (ids: Ioasid) => ids.put(5, set)],
    ["setData", (ids: Ioasid) => ids.setData(5, "x")],
    ["drained", (ids: Ioasid) => ids.drained(5)],
    ["registerAllocator", (ids: Ioasid) => ids.registerAllocator(new ScriptedAllocator("x", []))],
    ["unregisterAllocator", (ids: Ioasid) => ids.unregisterAllocator(ids.allocator as ScriptedAllocator)],
  ] as const)("IOASID-041 %s from within a custom allocator is reported, and changes nothing", (name, call) => {
    const ids = new Ioasid();
    let nested = false;
    const recurse = (): number => {
      if (nested) call(ids);
      return 6;
    };
    ids.registerAllocator({ alloc: () => (nested ? recurse() : 5), free: () => void recurse(), pdata: null });
    ids.alloc(set, 1, 9, "data");
    nested = true;
    expect(() => ids.alloc(set, 1, 9)).toThrow(ReentrancyError);
    expect(() => ids.free(5, set)).toThrow(`${name} was called from within a custom allocator's free`);
    nested = false;
    expect([...ids.entries(set)]).toEqual([{ id: 5, data: "data" }]);
    expect(ids.free(5, set)).toBe(true);
  });

  it("IOASID-041 find from within a custom allocator is allowed", () => {
    const ids = new Ioasid();
    const seen: unknown[] = [];
    ids.registerAllocator({ alloc: () => seen.push(ids.find(null, 5)) + 4, free: () => {}, pdata: null });
    expect(ids.alloc(set, 1, 9)).toBe(5);
    expect(seen).toEqual([{ kind: "error", error: "ENOENT" }]);
  });
});
