/**
 * `npm run bench -- --growth [--svg FILE]`: how the cost of a walk grows with the number of PASIDs, of
 * devices, of levels and with the size of the batch, for both vendors.
 *
 * A radix walk should be flat in the first two: it reads the same number of entries however many there
 * are. What it takes to read them grows with the caches of the machine they fall out of; native C walks
 * the same tables in the same run, to tell the one from the other. Exit code 1: a line that should be
 * flat is not.
 */
import { writeFileSync } from "node:fs";
import { draw } from "./growth-plot.ts";
import { type Effort, type Kernel, measure } from "./harness.ts";
import { estimate, flatness, type GrowthPoint, type Measurement, NATIVE, ratioOf, wrongFetches } from "./judge.ts";
import { Native } from "./native.ts";
import type { SmmuShape } from "./tables-smmuv3.ts";
import type { VtdShape } from "./tables-vtd.ts";
import { batchesOf, smmuKernel, vtdKernel } from "./walks.ts";

const BATCH = "Wasm, batch";
const SINGLE = "one call, into an object";
/** Characters of a column of what is printed. */
const COLUMN = 14;
const POOLS = 64;
const PAGES = 64;
const REQUESTS = 16384;
/** The largest number of PASIDs: those of 20 bits, without PASID 0. */
const MOST_PASIDS = 2 ** 20 - 1;

/** What a chart varies. */
interface Size {
  devices?: number;
  pasids?: number;
  levels?: number;
}

interface Chart {
  title: string;
  axis: string;
  /** Numbers on the x axis. */
  xs: readonly number[];
  /** The tables at x; undefined where the vendor has none such. */
  sizeAt(x: number, vendor: Vendor): Size | undefined;
  /** Entries that a walk reads more at x than at 0. */
  fetchesAt(x: number): number;
  /** Walks get longer with x: no time is to be flat. */
  grows?: true;
  /** x is the size of batches over one set of tables. */
  batches?: true;
}

type Vendor = "VT-d" | "SMMUv3";
const VENDORS: readonly Vendor[] = ["VT-d", "SMMUv3"];

/** What was measured of one vendor along the x axis. */
export interface Line {
  vendor: Vendor;
  points: GrowthPoint[];
}

const powers = (top: number, step: number) => Array.from({ length: top / step + 1 }, (_, i) => 2 ** (i * step));

const CHARTS: readonly Chart[] = [
  {
    title: "PASIDs of one device",
    axis: "PASIDs",
    xs: powers(20, 2),
    sizeAt: (x) => ({ pasids: Math.min(x, MOST_PASIDS) }),
    fetchesAt: () => 0,
  },
  {
    title: "devices, one PASID each",
    axis: "devices",
    xs: powers(16, 2),
    sizeAt: (x) => ({ devices: x }),
    fetchesAt: () => 0,
  },
  {
    // VT-d's first stage has 4 or 5 levels, its second can do with 3; SMMUv3 has up to 4 of 4 KiB.
    title: "levels of the page table (1,024 PASIDs)",
    axis: "levels",
    xs: [2, 3, 4, 5],
    sizeAt: (x, vendor) => ((vendor === "VT-d" ? x > 2 : x < 5) ? { levels: x, pasids: 1024 } : undefined),
    fetchesAt: (x) => x,
    grows: true,
  },
  {
    title: "requests in a batch (16,384 devices)",
    axis: "batch",
    xs: powers(14, 2),
    sizeAt: () => ({ devices: 16384 }),
    fetchesAt: () => 0,
    batches: true,
  },
];

export async function growth(smoke: boolean, effort: Effort, svg: string | undefined): Promise<boolean> {
  const native = Native.start();
  const drawn: { title: string; axis: string; xs: readonly number[]; lines: Line[] }[] = [];
  let flat = true;
  try {
    for (const chart of CHARTS) {
      const xs = smoke && chart.axis !== "levels" ? chart.xs.slice(0, 3) : chart.xs;
      console.log(`\nns per walk against ${chart.title}`);
      const lines: Line[] = [];
      for (const vendor of VENDORS) {
        const points = await pointsOf({ ...chart, xs }, vendor, effort, smoke, native);
        lines.push({ vendor, points });
        print(vendor, chart, points);
        const { state, why } = judge(chart, points);
        if (state === "not flat") flat = false;
        console.log(`  ${state}: ${why}`);
      }
      drawn.push({ title: chart.title, axis: chart.axis, xs, lines });
    }
  } finally {
    native?.stop();
  }
  if (svg) writeFileSync(svg, draw(drawn));
  return flat;
}

function judge(chart: Chart, points: readonly GrowthPoint[]): { state: string; why: string } {
  const wrong = wrongFetches(points, chart.fetchesAt);
  if (wrong) return { state: "not flat", why: `a walk reads ${wrong.fetches} entries at ${wrong.x}, not ${wrong.due}` };
  return chart.grows ? { state: "grows", why: "by one entry a level" } : flatness(points);
}

async function pointsOf(
  chart: Chart,
  vendor: Vendor,
  effort: Effort,
  smoke: boolean,
  native: Native | undefined,
): Promise<GrowthPoint[]> {
  const points: GrowthPoint[] = [];
  const at = async (size: Size, xs: readonly number[], implOf: (x: number) => string) => {
    const kernel = await kernelOf(vendor, size, smoke, native, chart.batches ? xs : []);
    const wanted = new Set([NATIVE, SINGLE, ...xs.map(implOf)]);
    const measured = await measure(kernel, effort, (impl) => wanted.has(impl));
    points.push(...xs.map((x) => pointOf(x, kernel, measured, implOf(x))));
  };
  if (chart.batches) {
    await at(chart.sizeAt(0, vendor) as Size, chart.xs, batchesOf);
    return points;
  }
  for (const x of chart.xs) {
    const size = chart.sizeAt(x, vendor);
    if (size) await at(size, [x], () => BATCH);
  }
  return points;
}

function kernelOf(
  vendor: Vendor,
  { devices = 1, pasids = 1, levels = 4 }: Size,
  smoke: boolean,
  native: Native | undefined,
  batchSizes: readonly number[],
): Promise<Kernel> {
  const many = { pools: POOLS, pages: PAGES, requests: smoke ? REQUESTS / 16 : REQUESTS, levels };
  const name = `${vendor}, ${devices} devices, ${pasids} PASIDs`;
  const times = smoke ? 1 : 4;
  const mebibytes = mebibytesFor(devices, pasids);
  if (vendor === "VT-d") {
    const kind = levels < 4 ? "second-stage" : "first-stage";
    const shape: VtdShape = { ...many, kind, devices, pasids, mebibytes };
    return vtdKernel(name, shape, times, native, { batchSizes });
  }
  const shape: SmmuShape = { ...many, streams: devices, substreams: pasids, mebibytes, smallLeaves: true };
  return smmuKernel(name, shape, times, native, { batchSizes });
}

/**
 * Memory for the tables with room to spare. Both vendors keep 64 contexts of 64 bytes in a page, and a
 * directory of 8 bytes for each such page.
 */
function mebibytesFor(devices: number, pasids: number): number {
  const tables = Math.ceil((pasids + 1) / 64) * 4096;
  const directory = Math.max(4096, ((pasids + 1) / 64) * 16);
  return Math.ceil((devices * (tables + directory + 128) + POOLS * 5 * 4096) / 2 ** 20) + 8;
}

function pointOf(x: number, kernel: Kernel, measured: readonly Measurement[], impl: string): GrowthPoint {
  const find = (name: string) => measured.find((one) => one.impl === name);
  const [batch, single, native] = [find(impl), find(SINGLE), find(NATIVE)];
  return {
    x,
    fetches: kernel.fetches ?? 0,
    batch: estimate(batch?.rounds ?? []).median,
    single: estimate(single?.rounds ?? []).median,
    ...(batch && native && { native: estimate(native.rounds).median, ratio: ratioOf(batch, native) }),
  };
}

function print(vendor: Vendor, chart: Chart, points: readonly GrowthPoint[]): void {
  const line = (cells: readonly (string | number)[]) => cells.map((cell) => String(cell).padStart(COLUMN)).join("");
  console.log(
    `  ${vendor.padEnd(8)}${line([chart.axis, "entries", chart.batches ? "in batches" : "batch", "call by call", "native C"])}`,
  );
  for (const { x, fetches, batch, single, native } of points) {
    const times = [batch, single, ...(native === undefined ? [] : [native])].map((ns) => ns.toFixed(1));
    console.log(`  ${" ".repeat(8)}${line([x, fetches, ...times])}`);
  }
}
