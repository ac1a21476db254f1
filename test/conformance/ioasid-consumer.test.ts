/** The PASID consumer proposed in 2018: vendor hooks, limits, fallback, rollback. */
import { describe, expect, it } from "vitest";
import {
  DISABLED_CONSUMER,
  DisabledIoasid,
  Ioasid,
  IoasidSet,
  MAX_ID,
  PasidConsumer,
  type PasidOps,
} from "../../src/ioasid/index.ts";

/** A consumer whose bus has these hooks; null is a test that went wrong. */
function consumerOf(ops: PasidOps, ids: Ioasid): PasidConsumer<string> {
  const consumer = PasidConsumer.init<string>({ iommuOps: ops }, ids);
  if (!consumer) expect.fail("init answered null");
  return consumer;
}

/** Hooks that hand out `answers` and remember what they were given back. */
function hardware(answers: (number | "EAGAIN" | "ENOSPC")[]): PasidOps & { freed: number[]; asked: number[][] } {
  const freed: number[] = [];
  const asked: number[][] = [];
  return {
    freed,
    asked,
    pasidAlloc: (_, start, end) => {
      asked.push([start, end]);
      const answer = answers.shift() ?? "ENOSPC";
      return typeof answer === "number" ? { ok: true, value: answer } : { ok: false, error: answer };
    },
    pasidFree: (_, id) => void freed.push(id),
  };
}

const NO_DEVICE = { ok: false, error: "ENODEV" };

describe("a kernel without the layer", () => {
  it("IOASID-042 every stub answers as the headers have it, and no consumer can be made", async () => {
    const ids = new DisabledIoasid();
    expect([ids.alloc(), ids.free(), ids.get(), ids.put(), ids.pasidValid()]).toEqual([
      undefined,
      false,
      false,
      false,
      false,
    ]);
    expect(ids.find()).toEqual({ kind: "none" });
    expect(await ids.setData()).toEqual({ ok: false, error: "ENOTSUPP" });
    expect(ids.registerAllocator()).toEqual({ ok: false, error: "ENOTSUPP" });
    expect(ids.unregisterAllocator()).toBeUndefined();
    expect(PasidConsumer.init({ iommuOps: {} }, ids)).toBeNull();
    expect([DISABLED_CONSUMER.init(), DISABLED_CONSUMER.exit(), DISABLED_CONSUMER.free()]).toEqual([
      null,
      undefined,
      undefined,
    ]);
    expect([DISABLED_CONSUMER.alloc(), DISABLED_CONSUMER.each()]).toEqual([NO_DEVICE, NO_DEVICE]);
    expect(DISABLED_CONSUMER.find()).toEqual({ kind: "none" });
  });
});

describe("init", () => {
  it("IOASID-043 null without bus, IOMMU or the vendor's consent; else all 20 bits, narrowed by the vendor", () => {
    const ids = new Ioasid();
    expect(PasidConsumer.init(null, ids)).toBeNull();
    expect(PasidConsumer.init({}, ids)).toBeNull();
    expect(PasidConsumer.init({ iommuOps: { pasidInit: () => ({ ok: false, error: "ENOSPC" }) } }, ids)).toBeNull();

    const plain = consumerOf({}, ids);
    expect([plain.min, plain.max]).toEqual([0, 0x100000]);
    const narrowed = consumerOf(
      {
        pasidInit: (limits) => {
          limits.min = 16;
          limits.max = 32;
          return { ok: true };
        },
      },
      ids,
    );
    expect([narrowed.min, narrowed.max]).toEqual([16, 32]);
    expect(plain.set.key).not.toBe(narrowed.set.key);
  });
});

describe("alloc", () => {
  it("IOASID-044 the range is half-open and cut to the vendor's limits", () => {
    const ids = new Ioasid();
    const consumer = consumerOf({}, ids);
    consumer.min = 10;
    consumer.max = 20;
    // Below, across, within, equal, around, and beyond the limits.
    const cases: [min: number, max: number, expected: number | undefined][] = [
      [0, 10, undefined],
      [0, 11, 10],
      [0, 15, 10],
      [12, 13, 12],
      [10, 20, 10],
      [0, 100, 10],
      [15, 100, 15],
      [19, 100, 19],
      [20, 100, undefined],
      [15, 15, undefined],
      [16, 12, undefined],
      [0, 0, undefined],
      [0, 0xffff_ffff, 10],
      [0xffff_ffff, 0xffff_ffff, undefined],
    ];
    for (const [min, max, expected] of cases) {
      const result = consumer.alloc(min, max);
      expect(result, `[${min}, ${max})`).toEqual(expected === undefined ? NO_DEVICE : { ok: true, value: expected });
      if (result.ok) consumer.free(result.value);
    }
    expect(consumer.alloc(12, 13)).toEqual({ ok: true, value: 12 });
    expect(consumer.alloc(12, 13)).toEqual(NO_DEVICE);
  });

  it("IOASID-044 compat compares as signed int: no limit defeats the vendor's, as does a maximum of 0", () => {
    for (const max of [0xffff_ffff, 0x8000_0000, 0]) {
      const consumer = consumerOf({}, new Ioasid({ rules: "compat" }));
      consumer.min = 10;
      consumer.max = 20;
      for (let id = 10; id < 20; id++) consumer.alloc(id, id + 1);
      expect(consumer.alloc(0, max)).toEqual({ ok: true, value: 20 });
    }
  });

  it("IOASID-045 no hook or EAGAIN: software chooses; any other error of the vendor's is ENODEV", () => {
    const ids = new Ioasid();
    const ops = hardware(["EAGAIN", "ENOSPC", 7]);
    const consumer = consumerOf(ops, ids);
    expect(consumer.alloc(1, 100)).toEqual({ ok: true, value: 1 });
    expect(consumer.alloc(1, 100)).toEqual(NO_DEVICE);
    expect(consumer.alloc(1, 100)).toEqual({ ok: true, value: 7 });
    expect(ops.asked).toEqual([
      [1, 100],
      [1, 100],
      [1, 100],
    ]);
    expect([ops.freed, ids.count]).toEqual([[], 2]);
    expect(consumerOf({}, ids).alloc(1, 100)).toEqual({ ok: true, value: 2 });
  });

  it("IOASID-046 the hardware's ID is taken by another: it goes back to the hardware, once", () => {
    const ids = new Ioasid();
    ids.alloc(null, 7, 7, "other");
    const ops = hardware([7]);
    expect(consumerOf(ops, ids).alloc(1, 100)).toEqual(NO_DEVICE);
    expect(ops.freed).toEqual([7]);
    expect(ids.find(null, 7)).toEqual({ kind: "value", value: "other" });
    // Without a hook to take it back, it still fails.
    const { pasidAlloc } = hardware([7]);
    expect(consumerOf(pasidAlloc ? { pasidAlloc } : {}, ids).alloc(1, 100)).toEqual(NO_DEVICE);
  });

  it("IOASID-047 when software finds no ID there is nothing to give back (compat: the original did)", () => {
    for (const rules of ["strict", "compat"] as const) {
      const ops = hardware(["EAGAIN"]);
      const ids = new Ioasid({ rules });
      ids.alloc(null, 3, 3);
      expect(consumerOf(ops, ids).alloc(3, 4)).toEqual(NO_DEVICE);
      expect(ops.freed).toEqual(rules === "strict" ? [] : [0]);
    }
  });
});

describe("free and iteration", () => {
  it("IOASID-048 the vendor frees before the tracker, also what software chose; exit frees nothing", () => {
    const ids = new Ioasid();
    const order: unknown[] = [];
    const consumer = consumerOf({ pasidFree: (_, id) => void order.push(id, ids.find(null, id).kind) }, ids);
    const [a, b] = [consumer.alloc(1, 9, "a"), consumer.alloc(1, 9, "b")];
    expect([a, b]).toEqual([
      { ok: true, value: 1 },
      { ok: true, value: 2 },
    ]);
    expect(consumer.free(1)).toBe(true);
    expect(order).toEqual([1, "value"]);
    expect(ids.find(null, 1)).toEqual({ kind: "error", error: "ENOENT" });
    // Another consumer gets what was freed.
    expect(consumerOf({}, ids).alloc(1, 2)).toEqual({ ok: true, value: 1 });
    consumer.exit();
    expect(ids.find(null, 2)).toEqual({ kind: "value", value: "b" });
    expect(consumer.alloc(1, 9)).toEqual(NO_DEVICE);
  });

  it("IOASID-048 another consumer's ID is freed in compat and refused in strict", () => {
    for (const rules of ["strict", "compat"] as const) {
      const ids = new Ioasid({ rules });
      const ops = hardware([]);
      consumerOf({}, ids).alloc(4, 5, "owner");
      expect(consumerOf(ops, ids).free(4)).toBe(rules === "compat");
      expect(ops.freed).toEqual(rules === "compat" ? [4] : []);
    }
  });

  it("IOASID-049 each sees its own IDs only, and ends with the first failure", () => {
    const ids = new Ioasid();
    const [mine, theirs] = [consumerOf({}, ids), consumerOf({}, ids)];
    for (const [consumer, name] of [
      [mine, "m1"],
      [theirs, "t1"],
      [mine, "m2"],
      [mine, "m3"],
    ] as const) {
      consumer.alloc(1, MAX_ID, name);
    }
    const seen: unknown[] = [];
    expect(mine.each((id, data) => void seen.push([id, data]))).toEqual({ ok: true });
    expect(seen).toEqual([
      [1, "m1"],
      [3, "m2"],
      [4, "m3"],
    ]);
    const stopped: number[] = [];
    const status = mine.each((id) => {
      stopped.push(id);
      return stopped.length === 2 ? { ok: false, error: "EBUSY" } : undefined;
    });
    expect([status, stopped]).toEqual([{ ok: false, error: "EBUSY" }, [1, 3]]);
    expect(mine.find(2)).toEqual({ kind: "error", error: "EACCES" });
    expect(mine.find(3)).toEqual({ kind: "value", value: "m2" });
    expect(new IoasidSet("x").key).not.toBe(mine.set.key);
  });
});
