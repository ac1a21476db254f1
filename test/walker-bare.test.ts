/** Bare numbers in and out say what the convenient calls say. */
import { describe, expect, it } from "vitest";
import { PERMISSION, REQUEST_FLAG } from "../assembly/layout/core.ts";
import { GuestMemory, PageAllocator, VtdTables, VtdWalker } from "../src/index.ts";

const HIGH_PAGE = 0x7f12_3456_7000n;

function walker(): VtdWalker {
  const memory = new GuestMemory({ ram: [{ base: 0n, size: 16n << 20n }] });
  const tables = new VtdTables(memory, new PageAllocator(memory, 0x10_0000n, 0x10_0000n), "scalable");
  const pages = tables.firstStage(4);
  pages.map(HIGH_PAGE, 0x12_3456_7000n, { P: 1, RW: 1, US: 1, A: 1, D: 1, PCD: 1 });
  tables.setScalableContext(0x20, { PASIDE: 1, PDTS: 7 });
  tables.setPasid(0x20, 0x2a, { PGTT: 1, DID: 1, PWSNP: 1 }, { first: pages });
  return new VtdWalker(memory, { cap: 0xf9ed008cee780c66n, ecap: 0x3fef9ea6f0efdfn, rtaddr: tables.rtaddr });
}

const bare = () => ({ code: 1, flags: 1, addressLow: 1, addressHigh: 1, pageShift: 1, permissions: 1, attributes: 1 });
const FLAGS = REQUEST_FLAG.PASID | REQUEST_FLAG.READ;

describe("bare requests and results", () => {
  it("give every number that the bare walk gives, and the address in halves", () => {
    const vtd = walker();
    const into = bare();
    const translated = vtd.translate({ sid: 0x20, pasid: 0x2a, address: HIGH_PAGE + 0x123n });
    expect(vtd.walkInto(0x20, 0x2a, 0x3456_7123, 0x7f12, FLAGS, into)).toBe(0);
    expect(translated).toMatchObject({ ok: true, address: 0x12_3456_7123n, attributes: into.attributes });
    expect(into).toMatchObject({ code: 0, addressLow: 0x3456_7123, addressHigh: 0x12, pageShift: 12 });
    expect(into.permissions & (PERMISSION.READ | PERMISSION.WRITE)).toBe(PERMISSION.READ | PERMISSION.WRITE);
  });

  it("pack and read a batch as set and get do, with faults in their places", () => {
    const vtd = walker();
    const [packed, set] = [vtd.batch(4), vtd.batch(4)];
    for (const i of [0, 1, 2, 3]) {
      packed.put(i, 0x20, 0x2a + (i & 1), 0x3456_7000 + i, 0x7f12, FLAGS);
      set.set(i, { sid: 0x20, pasid: 0x2a + (i & 1), address: HIGH_PAGE + BigInt(i) });
    }
    // The first walk sets accessed bits, the next ones find them set.
    expect([packed.run(4), packed.run(4), set.run(4)]).toEqual([2, 2, 2]);
    const into = bare();
    for (const i of [0, 1, 2, 3]) {
      expect(packed.get(i)).toEqual(set.get(i));
      packed.read(i, into);
      expect(into.code === 0).toBe(i % 2 === 0);
      if (into.code === 0) expect(into.addressLow).toBe(0x3456_7000 + i);
    }
  });

  it("refuse an index out of the batch", () => {
    const batch = walker().batch(4);
    for (const index of [4, -1, 2 ** 31]) {
      expect(() => batch.put(index, 0, 0, 0, 0, 0)).toThrow(RangeError);
      expect(() => batch.read(index, bare())).toThrow(RangeError);
    }
  });
});
