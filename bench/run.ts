/**
 * `npm run bench`: every kernel, every implementation, ratios side by side in one run.
 *
 *   --smoke   tiny data, one round: does it run at all
 *   --json    {"kernels":[{"name","impl","nsPerOp","ratioVsNative","spread"}]}
 *   --only S  kernels whose name contains S
 *   --growth  how the cost grows with PASIDs, devices, levels and batch size, instead of the kernels
 *   --svg F   with --growth: draws it into file F
 */
import { parseArgs } from "node:util";
import { growth } from "./growth.ts";
import { type Effort, type Kernel, type Measurement, measure, table } from "./harness.ts";
import { blockKernel, churnKernel, fillKernel } from "./ids.ts";
import { Native } from "./native.ts";
import type { SmmuShape } from "./tables-smmuv3.ts";
import type { VtdKind, VtdShape } from "./tables-vtd.ts";
import { smmuKernel, vtdKernel } from "./walks.ts";

const { values: options } = parseArgs({
  options: {
    smoke: { type: "boolean" },
    json: { type: "boolean" },
    only: { type: "string" },
    growth: { type: "boolean" },
    svg: { type: "string" },
  },
});
const smoke = options.smoke ?? false;
const effort: Effort = smoke ? { rounds: 1, samples: 1 } : { rounds: 9, samples: 3 };

const hotVtd = (kind: VtdKind): VtdShape => ({
  kind,
  devices: 1,
  pasids: 8,
  pools: 4,
  pages: 8,
  requests: 256,
  mebibytes: 4,
});
const coldVtd = (kind: VtdKind): VtdShape =>
  smoke
    ? { kind, devices: 4, pasids: 128, pools: 16, pages: 64, requests: 512, mebibytes: 16 }
    : { kind, devices: 256, pasids: 4095, pools: 8192, pages: 512, requests: 65536, mebibytes: 320 };
const hotSmmu: SmmuShape = { streams: 1, substreams: 8, pools: 4, pages: 8, requests: 256, mebibytes: 4 };
const coldSmmu: SmmuShape = smoke
  ? { streams: 4, substreams: 100, pools: 16, pages: 64, requests: 512, mebibytes: 16 }
  : { streams: 256, substreams: 4095, pools: 8192, pages: 512, requests: 65536, mebibytes: 320 };
const hotTimes = smoke ? 4 : 400;

type MakeKernel = (native: Native | undefined) => Promise<Kernel>;
const kernels: Record<string, MakeKernel> = {};
for (const kind of ["first-stage", "second-stage", "nested"] as const) {
  const hot = `vtd ${kind} walk, hot`;
  const cold = `vtd ${kind} walk, cold`;
  kernels[hot] = (native) => vtdKernel(hot, hotVtd(kind), hotTimes, native);
  kernels[cold] = (native) => vtdKernel(cold, coldVtd(kind), 1, native);
}
kernels["smmuv3 stage 1 walk, hot"] = (native) => smmuKernel("smmuv3 stage 1 walk, hot", hotSmmu, hotTimes, native);
kernels["smmuv3 stage 1 walk, cold"] = (native) => smmuKernel("smmuv3 stage 1 walk, cold", coldSmmu, 1, native);

/** Pages of many PASIDs, more than the IOTLB in question holds, or fewer. */
const pagesVtd = (requests: number): VtdShape => ({
  ...hotVtd("first-stage"),
  pasids: 64,
  pools: 16,
  pages: 64,
  requests,
});
const cached: readonly (readonly [string, number, number])[] = [
  ["vtd IOTLB hit, fits L1", 64, 128],
  ["vtd IOTLB hit, fits L2", 1024, 1024],
  ["vtd IOTLB miss", 2048, 4],
];
for (const [name, requests, sets] of cached) {
  const times = smoke ? 2 : Math.ceil(200_000 / requests);
  kernels[name] = (native) => vtdKernel(name, pagesVtd(requests), times, native, sets);
}
kernels["vtd walk, as the misses"] = (native) =>
  vtdKernel("vtd walk, as the misses", pagesVtd(2048), smoke ? 2 : 100, native);

const churned = smoke ? 4096 : 65536;
kernels["ids, fill"] = (native) => fillKernel("ids, fill", native);
for (const [occupancy, share] of [
  ["50 %", 0.5],
  ["99.99 %", 0.9999],
] as const) {
  const [blocks, single] = [`ids, churn in blocks at ${occupancy}`, `ids, alloc + free at ${occupancy}`];
  kernels[blocks] = (native) => blockKernel(blocks, share, churned, native);
  kernels[single] = (native) => churnKernel(single, share, churned, smoke ? 0 : 10, native);
}

if (options.growth) {
  await growth(smoke, { rounds: smoke ? 1 : 5, samples: 2 }, options.svg);
  process.exit(0);
}
const native = Native.start();
if (!native && !options.json) console.log("no C compiler (cc): no native column");
const all: Measurement[] = [];
try {
  for (const [name, make] of Object.entries(kernels)) {
    if (options.only && !name.includes(options.only)) continue;
    const measured = await measure(await make(native), effort);
    all.push(...measured);
    if (!options.json) console.log(table(measured));
  }
} finally {
  native?.stop();
}
if (options.json) console.log(JSON.stringify({ kernels: all }, null, 2));
