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

/**
 * Walks, hits and faults in turn, and reads the results.
 * @returns a 32-bit sum: nothing is optimised away, and no number needs the heap
 */
function walkMany(vtd: VtdWalker, calls: number): number {
  const flags = REQUEST_FLAG.PASID | REQUEST_FLAG.READ;
  let sum = 0;
  for (let i = 0; i < calls; i++) {
    const code = vtd.walk(0x20, 0x2a + (i & 1), 0x1234_5678, 0, flags);
    sum = (sum + (code ? code : vtd.result.addressLow)) | 0;
  }
  return sum;
}

const into = { code: 0, flags: 0, addressLow: 0, addressHigh: 0, pageShift: 0, permissions: 0, attributes: 0 };

/** The same into an object of the caller's. */
function walkManyInto(vtd: VtdWalker, calls: number): number {
  const flags = REQUEST_FLAG.PASID | REQUEST_FLAG.READ;
  let sum = 0;
  for (let i = 0; i < calls; i++) {
    const code = vtd.walkInto(0x20, 0x2a + (i & 1), 0x1234_5678, 0, flags, into);
    sum = (sum + (code ? into.code : into.addressLow)) | 0;
  }
  return sum;
}

/** The engine allocates until it has settled on its code; calls that make garbage make it in every round. */
const ROUNDS = 20;

/** What one round of calls leaves behind: collections, and bytes. */
async function roundOf(work: () => void): Promise<{ collections: number; bytes: number }> {
  let collections = 0;
  const observer = new PerformanceObserver((list) => {
    collections += list.getEntries().length;
  });
  observer.observe({ entryTypes: ["gc"] });
  await new Promise((resolve) => setTimeout(resolve, 20));
  collections = 0;
  const before = process.memoryUsage().heapUsed;
  work();
  const bytes = process.memoryUsage().heapUsed - before;
  await new Promise((resolve) => setTimeout(resolve, 20));
  observer.disconnect();
  return { collections, bytes };
}

describe("Walker", () => {
  it.each([
    ["walk", walkMany],
    ["walkInto", walkManyInto],
  ] as const)("%s makes no garbage", async (_, calls) => {
    const vtd = walker();
    const expected = ((CALLS / 2) * (0x42_0678 + 0x59)) | 0;
    const work = () => expect(calls(vtd, CALLS)).toBe(expected);
    work();
    let round = await roundOf(work);
    for (let i = 1; i < ROUNDS && (round.collections || round.bytes >= NOISE); i++) round = await roundOf(work);
    expect(round.collections).toBe(0);
    expect(round.bytes).toBeLessThan(NOISE);
  });
});
