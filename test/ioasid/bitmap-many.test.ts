/** The core's calls that take and give back many IDs at once, against a plain Set. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { BITMAP_BYTES, BITMAP_IDS } from "../../assembly/layout/bitmap.ts";
import { Core } from "../../src/core/core.ts";
import { runs, seed } from "../support/runs.ts";

const ROOM = 6000;
const core = new Core(1 << 20);
const bitmap = core.allocate(BITMAP_BYTES);
const ids = core.allocate(4 * (ROOM + 1));
const { exports, u32 } = core;

/** Around the ends of words, and of words of words. */
const edge = fc
  .tuple(fc.constantFrom(0, 64, 128, 4096, 8192, 262144, BITMAP_IDS - 1), fc.integer({ min: -70, max: 70 }))
  .map(([base, offset]) => Math.min(BITMAP_IDS - 1, Math.max(0, base + offset)));

function lowestFree(model: ReadonlySet<number>, min: number, max: number, count: number): number[] {
  const found: number[] = [];
  for (let id = min; id <= max && found.length < count; id++) if (!model.has(id)) found.push(id);
  return found;
}

describe("bitmapAllocMany and bitmapFreeMany", () => {
  it("take the lowest free IDs of the range in order, and give back what is in use", () => {
    const operation = fc.oneof(
      fc.record({ take: fc.constant(true), a: edge, b: edge, count: fc.integer({ min: 0, max: ROOM }) }),
      fc.record({ take: fc.constant(false), a: edge, b: fc.integer({ min: 1, max: 70 }), count: fc.nat(300) }),
    );
    fc.assert(
      fc.property(fc.array(operation, { maxLength: 12 }), (operations) => {
        exports.bitmapReset(bitmap);
        const model = new Set<number>();
        for (const { take, a, b, count } of operations) {
          if (take) {
            u32[ids / 4 + count] = 0xdead_beef;
            const expected = lowestFree(model, a, b, count);
            expect(exports.bitmapAllocMany(bitmap, a, b, ids, count)).toBe(expected.length);
            expect([...u32.subarray(ids / 4, ids / 4 + expected.length)]).toEqual(expected);
            expect(u32[ids / 4 + count]).toBe(0xdead_beef);
            for (const id of expected) model.add(id);
          } else {
            // Every b-th from a on: in use or not, and at the end beyond the last ID.
            const list = Array.from({ length: count }, (_, i) => a + i * b);
            u32.set(list, ids / 4);
            const inUse = list.filter((id) => model.delete(id)).length;
            expect(exports.bitmapFreeMany(bitmap, ids, count)).toBe(inUse);
          }
          expect(exports.bitmapCount(bitmap)).toBe(model.size);
          // The levels above, as the search for a single one sees them.
          const [next] = lowestFree(model, 0, BITMAP_IDS - 1, 1);
          expect(exports.bitmapFirstFree(bitmap, 0, BITMAP_IDS - 1)).toBe(next);
        }
        const used: number[] = [];
        for (let id = exports.bitmapNext(bitmap, 0); id >= 0; id = exports.bitmapNext(bitmap, id + 1)) used.push(id);
        expect(used).toEqual([...model].sort((x, y) => x - y));
      }),
      { seed, numRuns: runs(60, 2000) },
    );
  });

  it("fill all 2^20 IDs, and take again what was freed", () => {
    const all = new Core(6 << 20);
    const [many, list] = [all.allocate(BITMAP_BYTES), all.allocate(4 * BITMAP_IDS)];
    expect(all.exports.bitmapAllocMany(many, 0, BITMAP_IDS - 1, list, BITMAP_IDS)).toBe(BITMAP_IDS);
    expect(all.u32.subarray(list / 4, list / 4 + BITMAP_IDS).every((id, i) => id === i)).toBe(true);
    expect(all.exports.bitmapFirstFree(many, 0, BITMAP_IDS - 1)).toBe(-1);
    const freed = [0, 63, 64, 4095, 4096, 262143, 262144, 777_777, BITMAP_IDS - 1];
    all.u32.set(freed, list / 4);
    expect(all.exports.bitmapFreeMany(many, list, freed.length)).toBe(freed.length);
    expect(all.exports.bitmapAllocMany(many, 0, BITMAP_IDS - 1, list, 100)).toBe(freed.length);
    expect([...all.u32.subarray(list / 4, list / 4 + freed.length)]).toEqual(freed);
  });
});
