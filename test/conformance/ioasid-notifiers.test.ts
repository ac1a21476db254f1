/** "IOASID extensions for guest SVA": a set's own numbers (SPIDs), and who hears of them. */
import { describe, expect, it } from "vitest";
import { ExtendedIoasid, INVALID_IOASID, Mm, NOTIFY_ALL, NOTIFY_SET, ReentrancyError } from "../../src/ioasid/index.ts";
import { failed, listener, newSet } from "../support/extended.ts";

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
