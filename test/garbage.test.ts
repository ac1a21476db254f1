/** The bare calls are for hot paths: a great many of them must not make the collector run. */
import { PerformanceObserver } from "node:perf_hooks";
import { describe, expect, it } from "vitest";
import { REQUEST_FLAG } from "../assembly/layout/core.ts";
import type { UnitBatch } from "../src/batch.ts";
import { type BareResult, PageAllocator, SmmuPageTable, SmmuWalker, VtdTables, VtdWalker } from "../src/index.ts";
import { IdBitmap } from "../src/ioasid/index.ts";
import { Smmuv3 } from "../src/smmuv3/index.ts";
import { World } from "./support/smmu-world.ts";
import { Rig } from "./support/vtd-rig.ts";

const CALLS = 200_000;
/** Bytes that the test runner itself may leave behind meanwhile: less than a number on the heap for every fifth call. */
const NOISE = 512 * 1024;
/** The engine allocates until it has settled on its code; calls that make garbage make it in every round. */
const ROUNDS = 20;
const IN_BATCH = 50;
/** Of a request, as a device model may hold it. */
const WORDS = 5;

const LOW = 0x1234_5000n;
const LOW_OUTPUT = 0x42_0000n;
/** Halves of 2^31 and more. */
const HIGH = 0xffff_8765_f234_5000n;
const HIGH_OUTPUT = 0xf_9042_0000n;
const OFFSET = 0x678;

interface Asked {
  sid: number;
  pasid?: number;
  address: bigint;
}

function words(requests: readonly Asked[]): Uint32Array {
  const { READ, PASID } = REQUEST_FLAG;
  return Uint32Array.from(
    requests.flatMap(({ sid, pasid, address }) => [
      sid,
      pasid ?? 0,
      Number(address & 0xffff_ffffn) + OFFSET,
      Number(address >> 32n),
      pasid === undefined ? READ : READ | PASID,
    ]),
  );
}

function vtd() {
  const rig = new Rig({}, { caches: "none" });
  const { memory, unit } = rig;
  const tables = new VtdTables(memory, new PageAllocator(memory, 0x10_0000n, 0x10_0000n), "scalable");
  const pages = tables.firstStage(4);
  pages.map(LOW, LOW_OUTPUT, { P: 1, RW: 1, US: 1, A: 1, D: 1 });
  pages.map(HIGH, HIGH_OUTPUT, { P: 1, RW: 1, US: 1, A: 1, D: 1 });
  tables.setScalableContext(0x20, { PASIDE: 1, PDTS: 7 });
  tables.setPasid(0x20, 0x2a, { PGTT: 1, DID: 1, PWSNP: 1 }, { first: pages });
  rig.enable(tables.rtaddr);
  const state = { cap: 0xf9ed008cee780c66n, ecap: 0x3fef9ea6f0efdfn, rtaddr: tables.rtaddr };
  const hits = [LOW, HIGH].map((address) => ({ sid: 0x20, pasid: 0x2a, address }));
  return {
    walkers: { none: new VtdWalker(memory, state), retain: new VtdWalker(memory, state, "retain") },
    unit,
    hits: words(hits),
    /** Those of another PASID fail. */
    all: words([...hits, ...hits.map((hit) => ({ ...hit, pasid: 0x2b }))]),
    fault: 0x59,
  };
}

function smmu() {
  const world = new World({ upper: true, va: HIGH });
  const { memory, streams } = world;
  world.first.map(HIGH, HIGH_OUTPUT);
  const lower = new SmmuPageTable(memory, world.pages, { stage: 1 });
  lower.map(LOW, LOW_OUTPUT);
  world.cds.set(0, { IPS: 5, MAIR0: 0xff, ...lower.fields, ...world.first.upperFields });
  const unit = new Smmuv3(memory);
  unit.mmio.write(0x80, 8, streams.strtabBase);
  unit.mmio.write(0x88, 4, BigInt(streams.strtabBaseCfg));
  unit.mmio.write(0x20, 4, 1n);
  const hits = [LOW, HIGH].map((address) => ({ sid: 0x123, address }));
  return {
    walkers: { none: new SmmuWalker(memory, world.state), retain: new SmmuWalker(memory, world.state, "retain") },
    unit,
    hits: words(hits),
    /** Those of a stream beyond the table fail. */
    all: words([...hits, ...hits.map((hit) => ({ ...hit, sid: 0x9000_0123 }))]),
    fault: 0x02,
  };
}

type Walker = VtdWalker | SmmuWalker;
type Batch = ReturnType<Walker["batch"]> | UnitBatch;

// The loops hand back a 32-bit sum: nothing is optimised away, and no number of theirs needs the heap.

function walk(walker: Walker, requests: Uint32Array): number {
  const { result } = walker;
  let sum = 0;
  for (let i = 0, at = 0; i < CALLS; i++, at = at + WORDS < requests.length ? at + WORDS : 0) {
    const code = walker.walk(
      requests[at] as number,
      requests[at + 1] as number,
      requests[at + 2] as number,
      requests[at + 3] as number,
      requests[at + 4] as number,
    );
    sum = (sum + (code || result.addressLow ^ result.addressHigh)) | 0;
  }
  return sum;
}

/** Signed, as `walkInto` asks for. */
function walkInto(walker: Walker, requests: Int32Array): number {
  const into = bareResult();
  let sum = 0;
  for (let i = 0, at = 0; i < CALLS; i++, at = at + WORDS < requests.length ? at + WORDS : 0) {
    const code = walker.walkInto(
      requests[at] as number,
      requests[at + 1] as number,
      requests[at + 2] as number,
      requests[at + 3] as number,
      requests[at + 4] as number,
      into,
    );
    sum = (sum + (code || into.addressLow ^ into.addressHigh)) | 0;
  }
  return sum;
}

function inBatches(batch: Batch, requests: Uint32Array): number {
  const into = bareResult();
  let sum = 0;
  for (let done = 0, at = 0; done < CALLS; done += IN_BATCH) {
    for (let i = 0; i < IN_BATCH; i++, at = at + WORDS < requests.length ? at + WORDS : 0) {
      batch.put(
        i,
        requests[at] as number,
        requests[at + 1] as number,
        requests[at + 2] as number,
        requests[at + 3] as number,
        requests[at + 4] as number,
      );
    }
    batch.run(IN_BATCH);
    for (let i = 0; i < IN_BATCH; i++) {
      batch.read(i, into);
      sum = (sum + (into.code || into.addressLow ^ into.addressHigh)) | 0;
    }
  }
  return sum;
}

function bareResult(): BareResult {
  return { code: 0, flags: 0, addressLow: 0, addressHigh: 0, pageShift: 0, permissions: 0, attributes: 0 };
}

/** What the loops come to when every other one of `hits` leads to the high page. */
function sumOf(hits: number, faults: number, fault: number): number {
  const high = Number(HIGH_OUTPUT >> 32n) ^ (Number(HIGH_OUTPUT & 0xffff_ffffn) + OFFSET);
  return ((hits / 2) * (Number(LOW_OUTPUT) + OFFSET) + (hits / 2) * high + faults * fault) | 0;
}

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

/** The cleanest of some rounds. */
async function leftBy(
  work: () => number,
  expected: number,
  rounds = ROUNDS,
): Promise<{ collections: number; bytes: number }> {
  const checked = () => expect(work()).toBe(expected);
  checked();
  let round = await roundOf(checked);
  for (let i = 1; i < rounds && (round.collections || round.bytes >= NOISE); i++) round = await roundOf(checked);
  return round;
}

async function expectNoGarbage(work: () => number, expected: number): Promise<void> {
  const { collections, bytes } = await leftBy(work, expected);
  expect(collections).toBe(0);
  expect(bytes).toBeLessThan(NOISE);
}

describe.each([
  ["VT-d", vtd],
  ["SMMUv3", smmu],
] as const)("%s makes no garbage", (_, machine) => {
  const { walkers, unit, hits, all, fault } = machine();
  const mixed = sumOf(CALLS / 2, CALLS / 2, fault);

  describe.each(["none", "retain"] as const)("with caches: %s", (policy) => {
    const walker = walkers[policy];

    it("walk", () => expectNoGarbage(() => walk(walker, all), mixed));

    it("walkInto", () => expectNoGarbage(() => walkInto(walker, new Int32Array(all.buffer)), mixed));

    it("Batch", () => {
      const batch = walker.batch(IN_BATCH);
      return expectNoGarbage(() => inBatches(batch, all), mixed);
    });
  });

  // Recording a fault makes an object of it: that is not for hot paths.
  it("UnitBatch", () => {
    const batch = unit.batch(IN_BATCH);
    return expectNoGarbage(() => inBatches(batch, hits), sumOf(CALLS, 0, 0));
  });
});

describe("IdBitmap makes no garbage", () => {
  it("alloc and free", () => {
    const ids = new IdBitmap();
    const work = () => {
      let sum = 0;
      for (let i = 0; i < CALLS; i++) {
        const id = ids.alloc(1 + (i & 1)) ?? 0;
        sum += ids.free(id) ? id : 0;
      }
      return sum;
    };
    return expectNoGarbage(work, 1.5 * CALLS);
  });
});

describe("what is measured", () => {
  it("shows garbage: one BigInt for every call", async () => {
    const { walkers, hits } = vtd();
    const { result } = walkers.none;
    const kept = [0n];
    const work = () => {
      const sum = walk(walkers.none, hits);
      for (let i = 0; i < CALLS; i++) kept[0] = result.address;
      return sum;
    };
    const { collections, bytes } = await leftBy(work, sumOf(CALLS, 0, 0), 3);
    expect(collections || bytes >= NOISE).toBeTruthy();
  });
});
