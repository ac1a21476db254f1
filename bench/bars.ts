/**
 * The bars: what `npm run bench -- --check` judges. Each names a kernel and an implementation as the
 * bench prints them, and what it may cost.
 */
import type { Bar } from "./judge.ts";

const BATCH = "Wasm, batch";
/** The same requests, walked in a batch by a unit without caches. */
export const WALK_ALONE = "Wasm, batch, the walk alone";

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
  { kernel: "smmuv3 TLB hit, fits L2", impl: BATCH, ratio: 1.05 },
  { kernel: "vtd IOTLB miss, hot", impl: BATCH, against: WALK_ALONE, ratio: 1.2 },
  { kernel: "vtd IOTLB miss, cold", impl: BATCH, against: WALK_ALONE, ratio: 1.2 },
  { kernel: "smmuv3 TLB miss, hot", impl: BATCH, against: WALK_ALONE, ratio: 1.2 },
];
