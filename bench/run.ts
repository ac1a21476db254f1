/**
 * `npm run bench`: every kernel, every implementation, ratios side by side in one run.
 *
 *   --smoke   tiny data, one round: does it run at all
 *   --check   measures only what has a bar (bars.ts) and says which bars are met. Exit code 1: a bar is
 *             missed by more than the spread; 2: none is, but some could not be decided
 *   --json    {"kernels":[{"name","impl","nsPerOp","ratioVsNative","spread"}]}; a ratio is null when its
 *             rounds disagree
 *   --only S  kernels whose name contains S
 *   --growth  how the cost grows with PASIDs, devices, levels and batch size, instead of the kernels. Exit
 *             code 1: something grows that should be flat (growth.ts)
 *   --scaling how throughput grows with worker threads, beside native programs, and what shared memory costs a
 *             single thread, instead of the kernels. Exit code 1: that is more than it may (scaling.ts)
 *   --svg F   with --growth: draws it into file F
 *   --model D the RISC-V IOMMU reference model as one more row of the first-stage walks: D is a checkout of
 *             github.com/riscv-non-isa/riscv-iommu, built on the spot (riscv.ts). To try it:
 *             `npm run bench -- --smoke --only first-stage --model D`
 *
 * Exit code 64: the options ask for what cannot be done.
 */
import { parseArgs } from "node:util";
import { BARS } from "./bars.ts";
import { growth } from "./growth.ts";
import { type Effort, type Kernel, measure } from "./harness.ts";
import { blockKernel, churnKernel, fillKernel } from "./ids.ts";
import { exitCode, judge, type Measurement, NATIVE, summary, table, verdictLine } from "./judge.ts";
import { Native } from "./native.ts";
import { RISCV_NOTE, RiscvModel } from "./riscv.ts";
import { scaling } from "./scaling.ts";
import { startupKernel } from "./startup.ts";
import type { SmmuShape } from "./tables-smmuv3.ts";
import type { VtdKind, VtdShape } from "./tables-vtd.ts";
import { smmuKernel, vtdKernel } from "./walks.ts";

const { values: options } = parseArgs({
  options: {
    smoke: { type: "boolean" },
    check: { type: "boolean" },
    json: { type: "boolean" },
    only: { type: "string" },
    growth: { type: "boolean" },
    scaling: { type: "boolean" },
    svg: { type: "string" },
    model: { type: "string" },
  },
});
const smoke = options.smoke ?? false;
const check = options.check ?? false;
if (smoke && check) refuse("--check needs rounds that count: not with --smoke");
if (options.model !== undefined && (check || options.growth)) refuse("--model: no bar and no growth is measured on it");
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
  const beside = () => (kind === "first-stage" ? { riscv: model } : {});
  kernels[hot] = (native) => vtdKernel(hot, hotVtd(kind), hotTimes, native, beside());
  kernels[cold] = (native) => vtdKernel(cold, coldVtd(kind), 1, native, beside());
}
kernels["smmuv3 stage 1 walk, hot"] = (native) => smmuKernel("smmuv3 stage 1 walk, hot", hotSmmu, hotTimes, native);
kernels["smmuv3 stage 1 walk, cold"] = (native) => smmuKernel("smmuv3 stage 1 walk, cold", coldSmmu, 1, native);

/** Pages of many PASIDs, more than the cache in question holds, or fewer. */
const pagesVtd = (requests: number): VtdShape => ({
  ...hotVtd("first-stage"),
  pasids: 64,
  pools: 16,
  pages: 64,
  requests,
});
const pagesSmmu = (requests: number): SmmuShape => ({ ...hotSmmu, substreams: 64, pools: 16, pages: 64, requests });
const cached: readonly (readonly [string, number, number])[] = [
  ["hit, fits L1", 64, 128],
  ["hit, fits L2", 1024, 1024],
  ["miss, hot", 2048, 4],
];
for (const [what, requests, sets] of cached) {
  const times = smoke ? 2 : Math.ceil(200_000 / requests);
  const [vtd, smmu] = [`vtd IOTLB ${what}`, `smmuv3 TLB ${what}`];
  kernels[vtd] = (native) => vtdKernel(vtd, pagesVtd(requests), times, native, { cacheSets: sets });
  kernels[smmu] = (native) => smmuKernel(smmu, pagesSmmu(requests), times, native, { cacheSets: sets });
}
const [coldVtdMiss, coldSmmuMiss] = ["vtd IOTLB miss, cold", "smmuv3 TLB miss, cold"];
kernels[coldVtdMiss] = (native) => vtdKernel(coldVtdMiss, coldVtd("first-stage"), 1, native, { cacheSets: 64 });
kernels[coldSmmuMiss] = (native) => smmuKernel(coldSmmuMiss, coldSmmu, 1, native, { cacheSets: 64 });

kernels["import to first translation"] = async () => startupKernel("import to first translation");

const churned = smoke ? 4096 : 65536;
kernels["ids, fill"] = (native) => fillKernel("ids, fill", native);
for (const [occupancy, share] of [
  ["50 %", 0.5],
  ["99.99 %", 0.9999],
] as const) {
  const blocks = `ids, churn in blocks at ${occupancy}`;
  kernels[blocks] = (native) => blockKernel(blocks, share, churned, "churn", native);
}
for (const [occupancy, share, inUse] of [
  ["50 %, lowest in use", 0.5, "lowest"],
  ["50 %, scattered in use", 0.5, "scattered"],
  ["99.99 %", 0.9999, "scattered"],
] as const) {
  const single = `ids, alloc + free at ${occupancy}`;
  kernels[single] = (native) => churnKernel(single, share, inUse, churned, smoke ? 0 : 10, native);
}

kernels["ids, range"] = (native) => blockKernel("ids, range", 0.5, churned, "range", native);

if (options.growth) {
  process.exit((await growth(smoke, { rounds: smoke ? 1 : 9, samples: 2 }, options.svg)) ? 0 : 1);
}
if (options.scaling) {
  const scaled = await scaling(smoke, effort, hotVtd("first-stage"), hotSmmu);
  process.exit(scaled ? 0 : 1);
}
const barsOf = (kernel: string) => BARS.filter((bar) => bar.kernel === kernel);
for (const { kernel } of BARS) if (!kernels[kernel]) throw new Error(`bars.ts: there is no kernel "${kernel}"`);
const names = Object.keys(kernels).filter(
  (name) => name.includes(options.only ?? "") && (!check || barsOf(name).length > 0),
);

const model = options.model === undefined ? undefined : startModel(options.model);
const native = Native.start();
if (!native && !options.json) console.log("no C compiler (cc): no native column");
const all: Measurement[] = [];
try {
  for (const name of names) {
    const kernel = await (kernels[name] as MakeKernel)(native);
    const bars = barsOf(name);
    const judged = new Set(bars.flatMap((bar) => (bar.ratio ? [bar.impl, bar.against ?? NATIVE] : [bar.impl])));
    requireImplementations(kernel, judged);
    const measured = await measure(kernel, effort, (impl) => !check || judged.has(impl));
    all.push(...measured);
    if (!check && !options.json) console.log(table(measured));
    if (check || !(options.json || smoke)) for (const bar of bars) console.log(verdictLine(judge(bar, measured)));
  }
} finally {
  native?.stop();
  model?.stop();
}
if (model && !options.json) console.log(`\n${RISCV_NOTE}`);
if (options.json) console.log(JSON.stringify({ kernels: all.map((one) => summary(one, all)) }, null, 2));
if (check) process.exitCode = exitCode(names.flatMap(barsOf).map((bar) => judge(bar, all)));

function refuse(message: string): never {
  console.error(message);
  process.exit(64);
}

function startModel(checkout: string): RiscvModel {
  try {
    return RiscvModel.start(checkout);
  } catch (error) {
    return refuse(`--model: ${(error as Error).message}`);
  }
}

/** A bar for what does not exist would never be missed. */
function requireImplementations(kernel: Kernel, judged: ReadonlySet<string>): void {
  for (const impl of judged) {
    if (kernel.implementations.some(({ name }) => name === impl) || (impl.startsWith(NATIVE) && !native)) continue;
    throw new Error(`bars.ts: "${kernel.name}" has no implementation "${impl}"`);
  }
}
