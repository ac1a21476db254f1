/** The bare walk is for hot paths: a million calls must not make the collector run. */
import { PerformanceObserver } from "node:perf_hooks";
import { describe, expect, it } from "vitest";
import { REQUEST_FLAG } from "../assembly/layout/core.ts";
import { GuestMemory, PageAllocator, VtdTables, VtdWalker } from "../src/index.ts";

const CALLS = 1_000_000;
/** What the test runner itself may leave behind meanwhile. */
const NOISE = 512 * 1024;

function walker(): VtdWalker {
  const memory = new GuestMemory({ ram: [{ base: 0n, size: 16n << 20n }] });
  const tables = new VtdTables(memory, new PageAllocator(memory, 0x10_0000n, 0x10_0000n), "scalable");
  const pages = tables.firstStage(4);
  pages.map(0x1234_5000n, 0x42_0000n, { P: 1, RW: 1, US: 1, A: 1, D: 1 });
  tables.setScalableContext(0x20, { PASIDE: 1, PDTS: 7 });
  tables.setPasid(0x20, 0x2a, { PGTT: 1, DID: 1, PWSNP: 1 }, { first: pages });
  return new VtdWalker(memory, { cap: 0xf9ed008cee780c66n, ecap: 0x3fef9ea6f0efdfn, rtaddr: tables.rtaddr });
}

/** Walks, hits and faults in turn, and reads the results. @returns a sum, so that nothing is optimised away */
function walkMany(vtd: VtdWalker, calls: number): number {
  const flags = REQUEST_FLAG.PASID | REQUEST_FLAG.READ;
  let sum = 0;
  for (let i = 0; i < calls; i++) {
    const code = vtd.walk(0x20, 0x2a + (i & 1), 0x1234_5678, 0, flags);
    sum += code ? code : vtd.result.addressLow;
  }
  return sum;
}

describe("Walker.walk", () => {
  it("makes no garbage", async () => {
    const vtd = walker();
    const expected = (CALLS / 2) * (0x42_0678 + 0x59);
    expect(walkMany(vtd, CALLS)).toBe(expected);
    let collections = 0;
    const observer = new PerformanceObserver((list) => {
      collections += list.getEntries().length;
    });
    observer.observe({ entryTypes: ["gc"] });
    await new Promise((resolve) => setTimeout(resolve, 20));
    collections = 0;
    const before = process.memoryUsage().heapUsed;
    expect(walkMany(vtd, CALLS)).toBe(expected);
    const after = process.memoryUsage().heapUsed;
    await new Promise((resolve) => setTimeout(resolve, 20));
    observer.disconnect();
    expect(collections).toBe(0);
    expect(after - before).toBeLessThan(NOISE);
  });
});
