import fc from "fast-check";
import { beforeEach, describe, expect, it } from "vitest";
import { GuestMemory } from "../../src/index.ts";
import { coreForBitmaps, ID_BITMAP_BYTES } from "../../src/ioasid/bitmap.ts";
import { IdBitmap, MAX_ID } from "../../src/ioasid/index.ts";
import { runs, seed } from "../support/runs.ts";

describe("IdBitmap", () => {
  let bitmap: IdBitmap;
  beforeEach(() => {
    bitmap = new IdBitmap();
  });

  it("hands out the lowest free ID of the range, ends included", () => {
    expect([bitmap.alloc(), bitmap.alloc(), bitmap.alloc(5, 6), bitmap.alloc(5, 6)]).toEqual([0, 1, 5, 6]);
    expect(bitmap.alloc(5, 6)).toBeUndefined();
    expect(bitmap.alloc(3, 2)).toBeUndefined();
    expect([...bitmap]).toEqual([0, 1, 5, 6]);
    expect(bitmap.count).toBe(4);
  });

  it("uses 0xFFFFF and refuses 0x100000", () => {
    expect(bitmap.alloc(MAX_ID)).toBe(0xfffff);
    expect(bitmap.alloc(MAX_ID)).toBeUndefined();
    expect(bitmap.next(MAX_ID)).toBe(0xfffff);
    expect(() => bitmap.reserve(0x100000)).toThrow("id: 1048576 is not a whole number in 0..1048575");
    expect(() => bitmap.alloc(0, 0x100000)).toThrow(RangeError);
  });

  it("fills all 2^20 IDs in order, then takes again exactly what was freed", () => {
    for (let id = 0; id <= MAX_ID; id++) if (bitmap.alloc() !== id) expect.fail(`ID ${id} was not the next`);
    expect(bitmap.count).toBe(2 ** 20);
    expect(bitmap.alloc()).toBeUndefined();
    for (const id of [0, 63, 64, 4095, 4096, 262143, 262144, 777_777, MAX_ID]) {
      expect(bitmap.free(id)).toBe(true);
      expect(bitmap.firstFree()).toBe(id);
      expect(bitmap.alloc()).toBe(id);
    }
    bitmap.clear();
    expect([bitmap.count, bitmap.next(), bitmap.firstFree()]).toEqual([0, undefined, 0]);
  });

  it("says whether a reservation or a free did anything", () => {
    expect([bitmap.reserve(77), bitmap.reserve(77), bitmap.has(77)]).toEqual([true, false, true]);
    expect([bitmap.free(77), bitmap.free(77), bitmap.has(77)]).toEqual([true, false, false]);
    expect(bitmap.count).toBe(0);
  });

  it("keeps bitmaps of one core apart, and a guest's memory out of it", () => {
    const memory = new GuestMemory({ ram: [{ base: 0n, size: 0x1000n }], workspace: 1 << 20 });
    const [a, b] = [new IdBitmap(memory.core), new IdBitmap(memory.core)];
    for (let i = 0; i < 1000; i++) a.alloc();
    b.reserve(MAX_ID);
    expect([a.count, b.count, [...b]]).toEqual([1000, 1, [MAX_ID]]);
    a.clear();
    expect([...b]).toEqual([MAX_ID]);
    expect(memory.readBytes(0n, 0x1000).every((byte) => byte === 0)).toBe(true);
  });

  it("fails to be made where the core has no room, and says so", () => {
    const core = coreForBitmaps(1);
    new IdBitmap(core);
    expect(() => new IdBitmap(core)).toThrow(`bytes: ${ID_BITMAP_BYTES} do not fit`);
  });

  it.each([
    ["negative", -1, RangeError],
    ["fractional", 1.5, RangeError],
    ["NaN", Number.NaN, RangeError],
    ["too wide", 2 ** 32, RangeError],
    ["a bigint", 5n as unknown as number, TypeError],
    ["a string", "5" as unknown as number, TypeError],
  ])("refuses an ID that is %s, and changes nothing", (_, id, error) => {
    bitmap.reserve(5);
    for (const call of [
      () => bitmap.alloc(id),
      () => bitmap.alloc(0, id),
      () => bitmap.firstFree(id),
      () => bitmap.reserve(id),
      () => bitmap.free(id),
      () => bitmap.has(id),
      () => bitmap.next(id),
    ]) {
      expect(call).toThrow(error);
    }
    expect([...bitmap]).toEqual([5]);
  });

  it("does what a plain Set does, at every boundary of the hierarchy", () => {
    // IDs crowd around word and summary boundaries, where a wrong level would show.
    const id = fc.oneof(
      fc.integer({ min: 0, max: MAX_ID }),
      fc
        .tuple(fc.constantFrom(0, 64, 4096, 8192, 262144, 524288, MAX_ID), fc.integer({ min: -2, max: 66 }))
        .map(([base, offset]) => Math.min(MAX_ID, Math.max(0, base + offset))),
    );
    const operation = fc.oneof(
      fc.record({ kind: fc.constantFrom("reserve", "free", "next"), a: id, b: id }),
      fc.record({ kind: fc.constantFrom("alloc", "firstFree"), a: id, b: id }),
      fc.record({ kind: fc.constantFrom("reserveRun", "freeRun"), a: id, b: fc.integer({ min: 1, max: 9000 }) }),
    );
    fc.assert(
      fc.property(fc.array(operation, { maxLength: 30 }), (operations) => {
        bitmap.clear();
        const model = new Set<number>();
        const lowest = (from: number, to: number, used: boolean): number | undefined => {
          for (let i = from; i <= to; i++) if (model.has(i) === used) return i;
          return undefined;
        };
        for (const { kind, a, b } of operations) {
          if (kind === "reserve") {
            expect(bitmap.reserve(a)).toBe(!model.has(a));
            model.add(a);
          } else if (kind === "free") {
            expect(bitmap.free(a)).toBe(model.delete(a));
          } else if (kind === "next") {
            const above = [...model].filter((used) => used >= a);
            expect(bitmap.next(a)).toBe(above.length ? Math.min(...above) : undefined);
          } else if (kind === "alloc" || kind === "firstFree") {
            const expected = lowest(a, b, false);
            expect(bitmap[kind](a, b)).toBe(expected);
            if (kind === "alloc" && expected !== undefined) model.add(expected);
          } else {
            for (let i = a; i < Math.min(a + b, MAX_ID + 1); i++) {
              if (kind === "reserveRun") bitmap.reserve(i);
              else bitmap.free(i);
              if (kind === "reserveRun") model.add(i);
              else model.delete(i);
            }
          }
          expect(bitmap.count).toBe(model.size);
        }
        expect([...bitmap]).toEqual([...model].sort((x, y) => x - y));
      }),
      { seed, numRuns: runs(150, 10_000) },
    );
  });
});
