/**
 * The bars: what `npm run bench -- --check` judges. Each names a kernel and an implementation as the
 * bench prints them, and what it may cost.
 */
import type { Bar } from "./judge.ts";

const BATCH = "Wasm, batch";
/** The same requests, walked in a batch by a unit without caches. */
export const WALK_ALONE = "Wasm, batch, the walk alone";

/** What a bitmap without levels costs. */
export const FLAT_SCAN = "native C, flat scan";

export const BARS: readonly Bar[] = [
  { kernel: "vtd first-stage walk, hot", impl: BATCH, ratio: 1.1 },
  { kernel: "vtd first-stage walk, cold", impl: BATCH, ratio: 0.45 },
  { kernel: "vtd nested walk, hot", impl: BATCH, ratio: 1.15 },
  { kernel: "vtd nested walk, cold", impl: BATCH, ratio: 0.5 },
  { kernel: "smmuv3 stage 1 walk, hot", impl: BATCH, ratio: 1.1 },
  { kernel: "smmuv3 stage 1 walk, cold", impl: BATCH, ratio: 0.45 },
  { kernel: "vtd IOTLB hit, fits L1", impl: BATCH, ratio: 1.05 },
  { kernel: "vtd IOTLB hit, fits L2", impl: BATCH, ratio: 0.95 },
  { kernel: "smmuv3 TLB hit, fits L1", impl: BATCH, ratio: 1.05 },
  { kernel: "smmuv3 TLB hit, fits L2", impl: BATCH, ratio: 0.95 },
  { kernel: "vtd IOTLB miss, hot", impl: BATCH, against: WALK_ALONE, ratio: 1.2 },
  { kernel: "vtd IOTLB miss, cold", impl: BATCH, against: WALK_ALONE, ratio: 1.2 },
  { kernel: "smmuv3 TLB miss, hot", impl: BATCH, against: WALK_ALONE, ratio: 1.2 },
  { kernel: "smmuv3 TLB miss, cold", impl: BATCH, against: WALK_ALONE, ratio: 1.2 },
  { kernel: "ids, fill", impl: "Wasm, one call", ratio: 1.15 },
  { kernel: "ids, churn in blocks at 50 %", impl: "Wasm, blocks of 64", ratio: 1.15 },
  { kernel: "ids, churn in blocks at 99.99 %", impl: "Wasm, blocks of 64", ratio: 1.15 },
  { kernel: "ids, range", impl: "Wasm, blocks of 64", ratio: 1.15 },
  // Twenty times as fast as scanning the IDs that an allocator of the lowest leaves in use. Where they are
  // scattered a scan has less to cross (ids.ts), and it is 10 to 16 times: printed, not judged.
  { kernel: "ids, alloc + free at 50 %, lowest in use", impl: "IdBitmap", against: FLAT_SCAN, ratio: 0.05 },
  { kernel: "ids, alloc + free at 99.99 %", impl: "IdBitmap", against: FLAT_SCAN, ratio: 0.05 },
  { kernel: "vtd IOTLB hit, fits L1", impl: "one call, into an object", ratio: 3 },
  { kernel: "vtd first-stage walk, hot", impl: "one call, into an object", ratio: 1.8 },
  { kernel: "vtd first-stage walk, hot", impl: "batches of 64, packed and read", ratio: 1.5 },
  { kernel: "vtd first-stage walk, hot", impl: "batches of 1024, packed and read", ratio: 1.5 },
  { kernel: "smmuv3 TLB hit, fits L1", impl: "one call, into an object", ratio: 3 },
  { kernel: "smmuv3 stage 1 walk, hot", impl: "one call, into an object", ratio: 1.8 },
  { kernel: "smmuv3 stage 1 walk, hot", impl: "batches of 64, packed and read", ratio: 1.5 },
  { kernel: "smmuv3 stage 1 walk, hot", impl: "batches of 1024, packed and read", ratio: 1.5 },
  { kernel: "import to first translation", impl: "fresh process", nanoseconds: 15e6 },
];
