/** The allocator of Linux v5.5 to v6.3: allocation, look-up, data, references. */
import { describe, expect, it } from "vitest";
import { Ioasid, IoasidSet, MAX_ID, Mm, SvaPasids } from "../../src/ioasid/index.ts";
import { loggedSpace, ScriptedAllocator } from "../support/ioasid.ts";

const set = new IoasidSet<string>("a");
const other = new IoasidSet<string>("b");

/** Takes all of [min, max]. */
function fill(ids: Ioasid, min: number, max: number): void {
  for (let id = min; id <= max; id++) ids.alloc(null, id, id);
}

describe("allocation", () => {
  it("IOASID-001 an empty space gives the lowest ID of the range, then the next", () => {
    const ids = new Ioasid();
    expect([ids.alloc(set, 1, 10), ids.alloc(set, 1, 10)]).toEqual([1, 2]);
    ids.free(1, set);
    expect(ids.alloc(set, 1, 10)).toBe(1);
  });

  it("IOASID-002 both ends of the range are inclusive", () => {
    const ids = new Ioasid();
    expect([ids.alloc(set, 5, 5), ids.alloc(set, 5, 5)]).toEqual([5, undefined]);
    expect([ids.alloc(set, 7, 8), ids.alloc(set, 7, 8), ids.alloc(set, 7, 8)]).toEqual([7, 8, undefined]);
  });

  it("IOASID-003 an empty range fails and changes nothing", () => {
    const ids = new Ioasid();
    expect(ids.alloc(set, 6, 5)).toBeUndefined();
    expect([ids.count, ids.alloc(set, 5, 6)]).toEqual([0, 5]);
  });

  it("IOASID-004 ID 0 is handed out when the range has it", () => {
    expect(new Ioasid().alloc(null, 0, 3)).toBe(0);
  });

  it("IOASID-005 0xFFFFF can be had, 0x100000 cannot even be asked for", () => {
    const ids = new Ioasid();
    expect(ids.alloc(set, MAX_ID, MAX_ID)).toBe(0xfffff);
    expect(() => ids.alloc(set, 1, 0x100000)).toThrow("max: 1048576 is not a whole number in 0..1048575");
    expect(ids.count).toBe(1);
  });

  it("IOASID-006 a full space fails; what is freed is what comes next", () => {
    const ids = new Ioasid();
    fill(ids, 0, MAX_ID);
    expect([ids.count, ids.alloc(null, 0, MAX_ID)]).toEqual([0x100000, undefined]);
    ids.free(0x8_1234);
    expect([ids.alloc(null, 0, MAX_ID), ids.alloc(null, 0, MAX_ID)]).toEqual([0x8_1234, undefined]);
  });

  it("IOASID-007 every cause of failure looks alike: no ID, no errno, no exception", () => {
    const full = new Ioasid();
    full.alloc(null, 1, 1);
    const refused = new Ioasid();
    refused.registerAllocator(new ScriptedAllocator("", [undefined]));
    expect([
      full.alloc(null, 1, 1),
      full.alloc(null, 2, 1),
      new Ioasid({ maxRecords: 0 }).alloc(null, 1, 1),
      refused.alloc(null, 1, 1),
    ]).toEqual([undefined, undefined, undefined, undefined]);
  });

  it("IOASID-008 without memory for the record nothing is allocated, nor asked of a custom allocator", () => {
    const ids = new Ioasid({ maxRecords: 1 });
    const backend = new ScriptedAllocator("", [3, 4]);
    ids.registerAllocator(backend);
    expect([ids.alloc(null, 1, 9), ids.alloc(null, 1, 9)]).toEqual([3, undefined]);
    expect([backend.asked.length, ids.count]).toEqual([1, 1]);
    ids.free(3);
    expect(ids.alloc(null, 1, 9)).toBe(4);
  });
});

describe("look-up", () => {
  it("IOASID-009 an ID without data is in use, and found to have none", () => {
    const ids = new Ioasid();
    const id = ids.alloc(set, 1, 9) as number;
    expect(ids.find(set, id)).toEqual({ kind: "none" });
    expect(ids.alloc(set, 1, 9)).not.toBe(id);
  });

  it("IOASID-010 an ID of no set is found without a set, and by no set", () => {
    const ids = new Ioasid();
    const id = ids.alloc(null, 1, 9, "data") as number;
    expect(ids.find(null, id)).toEqual({ kind: "value", value: "data" });
    expect(ids.find(set, id)).toEqual({ kind: "error", error: "EACCES" });
  });

  it("IOASID-011 an ID that is not allocated is ENOENT, whatever the set", () => {
    const ids = new Ioasid();
    ids.alloc(set, 1, 1);
    for (const any of [null, set, other]) expect(ids.find(any, 2)).toEqual({ kind: "error", error: "ENOENT" });
    ids.free(1, set);
    expect(ids.find(set, 1)).toEqual({ kind: "error", error: "ENOENT" });
  });

  it("IOASID-012 another set's ID is EACCES, and the getter is not asked", () => {
    const ids = new Ioasid();
    const id = ids.alloc(set, 1, 9, "a's") as number;
    const asked: unknown[] = [];
    const getter = (data: string | null): boolean => asked.push(data) > 0;
    expect(ids.find(other, id, getter)).toEqual({ kind: "error", error: "EACCES" });
    expect(asked).toEqual([]);
    expect([ids.find(set, id).kind, ids.find(null, id).kind]).toEqual(["value", "value"]);
  });

  it("IOASID-013 the getter decides whether the data come out", () => {
    const ids = new Ioasid();
    const id = ids.alloc(set, 1, 9, "data") as number;
    expect(ids.find(set, id, () => false)).toEqual({ kind: "none" });
    expect(ids.find(set, id, (data) => data === "data")).toEqual({ kind: "value", value: "data" });
  });

  it("IOASID-014 the getter is asked even when there are no data", () => {
    const ids = new Ioasid();
    const id = ids.alloc(set, 1, 9) as number;
    const asked: unknown[] = [];
    expect(ids.find(set, id, (data) => asked.push(data) > 0)).toEqual({ kind: "none" });
    expect(asked).toEqual([null]);
  });

  it("IOASID-015 a page fault on an auxiliary domain's or a driver's PASID never reaches an address space", () => {
    const ids = new Ioasid();
    const sva = new SvaPasids(ids);
    const mm = new Mm("process");
    sva.alloc(mm, 1, MAX_ID);
    const aux = ids.alloc(new IoasidSet<{ domain: number }>("aux"), 1, MAX_ID, { domain: 7 }) as number;
    const kfd = ids.alloc(null, 1, MAX_ID, "kfd") as number;
    expect(sva.find(mm.pasid as number)).toEqual({ kind: "value", value: mm });
    for (const id of [aux, kfd]) expect(sva.find(id)).toEqual({ kind: "error", error: "EACCES" });
  });

  it("IOASID-016 three kinds of users, interleaved: IDs stay distinct and every look-up has its own type", () => {
    const ids = new Ioasid();
    const kinds = ["mm", "domain", "kfd"].map((kind) => ({ kind, set: new IoasidSet<{ kind: string }>(kind) }));
    const live = new Map<number, string>();
    let state = 1;
    const random = (n: number): number => {
      state = (state * 48271) % 0x7fffffff;
      return state % n;
    };
    for (let i = 0; i < 10_000; i++) {
      const user = kinds[random(3)] as (typeof kinds)[number];
      if (random(5) < 3) {
        const id = ids.alloc(user.set, 1, MAX_ID, { kind: user.kind }) as number;
        expect(live.has(id)).toBe(false);
        live.set(id, user.kind);
      } else if (live.size > 0) {
        const [id, kind] = [...live][random(live.size)] as [number, string];
        expect(ids.free(id, user.set)).toBe(kind === user.kind);
        if (kind === user.kind) live.delete(id);
      }
    }
    expect(ids.count).toBe(live.size);
    for (const [id, kind] of live) {
      for (const user of kinds) {
        const expected = user.kind === kind ? { kind: "value", value: { kind } } : { kind: "error", error: "EACCES" };
        expect(ids.find(user.set, id)).toEqual(expected);
      }
    }
  });
});

describe("private data", () => {
  it("IOASID-017 setData replaces or clears, and knows unknown IDs", async () => {
    const ids = new Ioasid();
    const id = ids.alloc(set, 1, 9, "old") as number;
    expect(await ids.setData(id, "new")).toEqual({ ok: true });
    expect(ids.find(set, id)).toEqual({ kind: "value", value: "new" });
    expect(await ids.setData(id, null)).toEqual({ ok: true });
    expect(ids.find(set, id)).toEqual({ kind: "none" });
    expect(await ids.setData(8, "x")).toEqual({ ok: false, error: "ENOENT" });
  });

  it("IOASID-018 setData resolves after the readers that were there, and waits for no later ones", async () => {
    const ids = new Ioasid();
    const id = ids.alloc(set, 1, 9, "old") as number;
    const [first, second] = [ids.reader(), ids.reader()];
    let settled = false;
    const done = ids.setData(id, "new").then(() => {
      settled = true;
    });
    const later = ids.reader();
    first.end();
    await new Promise((resolve) => setImmediate(resolve));
    expect(settled).toBe(false);
    second.end();
    await done;
    expect(settled).toBe(true);
    later.end();
    // An unknown ID does not wait, whoever reads.
    const open = ids.reader();
    expect(await ids.setData(8, "x")).toEqual({ ok: false, error: "ENOENT" });
    open.end();
  });

  it("IOASID-019 a look-up beside setData finds the old or the new data", async () => {
    const ids = new Ioasid();
    const id = ids.alloc(set, 1, 9, "v0") as number;
    const seen: string[] = [];
    const reading = async (): Promise<void> => {
      for (let i = 0; i < 50; i++) {
        const reader = ids.reader();
        const before = ids.find(set, id);
        await Promise.resolve();
        const after = ids.find(set, id);
        reader.end();
        for (const found of [before, after]) if (found.kind === "value") seen.push(found.value);
      }
    };
    const writing = async (): Promise<void> => {
      for (let i = 1; i <= 10; i++) await ids.setData(id, `v${i}`);
    };
    await Promise.all([reading(), reading(), writing()]);
    expect(seen.length).toBe(200);
    expect(seen.every((value) => /^v\d+$/.test(value))).toBe(true);
    // Time does not run backwards for a reader.
    expect(seen.at(-1)).toBe("v10");
  });
});

describe("freeing", () => {
  it("IOASID-020 freeing an unknown ID is logged once and changes nothing", () => {
    const { ids, said } = loggedSpace();
    ids.alloc(set, 1, 1);
    expect(ids.free(2, set)).toBe(false);
    expect(said("error")).toEqual(["free: unknown IOASID 2"]);
    expect([ids.count, ids.find(set, 1).kind]).toEqual([1, "none"]);
  });

  it("IOASID-021 a double free hits the next owner in compat, and nobody in strict", () => {
    for (const rules of ["compat", "strict"] as const) {
      const { ids, said } = loggedSpace({ rules });
      const id = ids.alloc(set, 1, 1, "first") as number;
      const stamp = ids.stamp(id);
      expect(ids.free(id, set)).toBe(true);
      expect(ids.free(id, set)).toBe(false);
      expect(said("error")).toEqual(["free: unknown IOASID 1"]);

      ids.alloc(other, 1, 1, "second");
      expect(ids.free(id, set)).toBe(rules === "compat");
      if (rules === "compat") continue;
      // The same set allocated it anew: the stamp tells.
      ids.free(id, other);
      ids.alloc(set, 1, 1, "third");
      expect(ids.free(id, set, stamp)).toBe(false);
      expect(ids.find(set, id)).toEqual({ kind: "value", value: "third" });
      expect(ids.free(id, set, ids.stamp(id))).toBe(true);
    }
  });

  it("IOASID-022 whose set an ID is in does not matter to free in compat, but does in strict", () => {
    const compat = new Ioasid({ rules: "compat" });
    const strict = new Ioasid();
    for (const ids of [compat, strict]) ids.alloc(set, 1, 1);
    expect([compat.free(1, other), strict.free(1, other), strict.free(1), strict.free(1, set)]).toEqual([
      true,
      false,
      false,
      true,
    ]);
  });

  it("IOASID-023 an ID lives until its last reference is put", () => {
    const ids = new Ioasid({ profile: "v5.11" });
    const id = ids.alloc(set, 1, 9, "data") as number;
    expect(ids.get(id)).toBe(true);
    expect(ids.references(id)).toBe(2);
    expect(ids.put(id, set)).toBe(false);
    expect(ids.find(set, id)).toEqual({ kind: "value", value: "data" });
    expect(ids.put(id, set)).toBe(true);
    expect(ids.find(set, id)).toEqual({ kind: "error", error: "ENOENT" });
  });

  it("IOASID-024 get of an unknown ID warns, put answers false and logs an error", () => {
    const { ids, log } = loggedSpace({ profile: "v5.11" });
    expect([ids.get(4), ids.put(4)]).toEqual([false, false]);
    expect(log).toEqual([
      { level: "warn", message: "get: unknown IOASID 4" },
      { level: "error", message: "put: unknown IOASID 4" },
    ]);
  });
});
