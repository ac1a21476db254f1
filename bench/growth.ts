/**
 * `npm run bench -- --growth [--svg FILE]`: how the cost of a VT-d walk grows with the number of
 * PASIDs, of devices, of levels and with the size of the batch. A radix walk should be flat in the
 * first two but for the caches of the machine it runs on.
 */
import { writeFileSync } from "node:fs";
import { type Effort, measure } from "./harness.ts";
import { estimate, type Measurement } from "./judge.ts";
import type { VtdShape } from "./tables-vtd.ts";
import { vtdKernel } from "./walks.ts";

const BASE: VtdShape = {
  kind: "first-stage",
  devices: 1,
  pasids: 1,
  pools: 64,
  pages: 64,
  requests: 16384,
  mebibytes: 8,
};

interface Point {
  x: number;
  shape: VtdShape;
}

interface Series {
  title: string;
  axis: string;
  points: Point[];
}

const BATCH = "Wasm, batch";
const SINGLE = "Wasm, one call a walk";

/** Memory for a shape: PASID tables, directories, contexts and page tables, in MiB with room to spare. */
function mebibytes({ devices, pasids, pools, levels = 4 }: VtdShape): number {
  const tables = Math.ceil((pasids + 1) / 64) * 4096;
  const directory = Math.max(4096, ((pasids + 1) / 64) * 16);
  return Math.ceil((devices * (tables + directory + 64) + pools * levels * 4096) / 2 ** 20) + 8;
}

const sized = (shape: VtdShape): VtdShape => ({ ...shape, mebibytes: mebibytes(shape) });

function series(smoke: boolean): Series[] {
  const powers = (top: number, step: number) =>
    Array.from({ length: Math.floor(top / step) + 1 }, (_, i) => 2 ** (i * step));
  const capped = (values: number[]) => (smoke ? values.slice(0, 3) : values);
  return [
    {
      title: "PASIDs of one device",
      axis: "PASIDs",
      points: capped(powers(20, 2)).map((x) => ({ x, shape: sized({ ...BASE, pasids: Math.min(x, 2 ** 20 - 1) }) })),
    },
    {
      title: "devices, one PASID each",
      axis: "devices",
      points: capped(powers(16, 2)).map((x) => ({ x, shape: sized({ ...BASE, devices: x }) })),
    },
    {
      title: "levels (second stage 3, first stage 4 and 5)",
      axis: "levels",
      points: [3, 4, 5].map((x) => ({
        x,
        shape: sized({ ...BASE, pasids: 1024, kind: x === 3 ? "second-stage" : "first-stage", levels: x }),
      })),
    },
    {
      title: "requests in a batch (1,024 PASIDs)",
      axis: "batch",
      points: capped(powers(14, 2)).map((x) => ({ x, shape: sized({ ...BASE, pasids: 1024, requests: x }) })),
    },
  ];
}

/** What was measured at one point: nanoseconds a walk, in a batch and call by call. */
interface Sample {
  x: number;
  batch: number;
  single: number;
}

export async function growth(smoke: boolean, effort: Effort, svg: string | undefined): Promise<void> {
  const charts: { title: string; axis: string; samples: Sample[] }[] = [];
  for (const { title, axis, points } of series(smoke)) {
    const samples: Sample[] = [];
    for (const { x, shape } of points) {
      const times = Math.max(1, Math.floor((smoke ? 1024 : 65536) / shape.requests));
      const kernel = await vtdKernel(`${axis} ${x}`, shape, times, undefined);
      const measured = await measure(kernel, effort);
      samples.push({ x, batch: nsOf(measured, BATCH), single: nsOf(measured, SINGLE) });
    }
    charts.push({ title, axis, samples });
    console.log(`\nns per walk against ${title}`);
    console.log(`  ${axis.padEnd(12)}${BATCH.padStart(14)}${SINGLE.padStart(26)}`);
    for (const { x, batch, single } of samples) {
      console.log(`  ${String(x).padEnd(12)}${batch.toFixed(1).padStart(14)}${single.toFixed(1).padStart(26)}`);
    }
  }
  if (svg) writeFileSync(svg, draw(charts));
}

function nsOf(measured: readonly Measurement[], impl: string): number {
  return estimate(measured.find((measurement) => measurement.impl === impl)?.rounds ?? []).median;
}

const WIDTH = 380;
const HEIGHT = 220;
const MARGIN = { left: 46, right: 12, top: 34, bottom: 36 };

/** Four charts in a square, log2 on the x axis, nanoseconds from zero on the y axis. */
function draw(charts: readonly { title: string; axis: string; samples: readonly Sample[] }[]): string {
  const panels = charts.map((chart, i) => panel(chart, (i % 2) * WIDTH, Math.floor(i / 2) * HEIGHT)).join("\n");
  const rows = Math.ceil(charts.length / 2);
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${2 * WIDTH} ${rows * HEIGHT}" font-family="sans-serif" font-size="11">
<title>ns per walk against PASIDs, devices, levels and batch size</title>
<rect width="100%" height="100%" fill="#ffffff"/>
${panels}
</svg>
`;
}

function panel(chart: { title: string; axis: string; samples: readonly Sample[] }, x0: number, y0: number): string {
  const { samples } = chart;
  const top = Math.max(...samples.flatMap(({ batch, single }) => [batch, single])) * 1.1;
  const last = Math.max(1, samples.length - 1);
  const px = (i: number) => x0 + MARGIN.left + (i / last) * (WIDTH - MARGIN.left - MARGIN.right);
  const py = (ns: number) => y0 + HEIGHT - MARGIN.bottom - (ns / top) * (HEIGHT - MARGIN.top - MARGIN.bottom);
  const line = (value: (sample: Sample) => number, colour: string) => {
    const points = samples.map((sample, i) => `${px(i).toFixed(1)},${py(value(sample)).toFixed(1)}`).join(" ");
    return `<polyline points="${points}" fill="none" stroke="${colour}" stroke-width="2"/>`;
  };
  const ticks = samples
    .map(
      ({ x }, i) =>
        `<text x="${px(i)}" y="${y0 + HEIGHT - MARGIN.bottom + 14}" text-anchor="middle" fill="#444">${short(x)}</text>`,
    )
    .join("");
  const grid = [0, 0.25, 0.5, 0.75, 1]
    .map((share) => {
      const y = py(top * share);
      return `<line x1="${px(0)}" x2="${px(last)}" y1="${y}" y2="${y}" stroke="#e4e4e4"/><text x="${px(0) - 5}" y="${y + 4}" text-anchor="end" fill="#444">${Math.round(top * share)}</text>`;
    })
    .join("");
  return [
    grid,
    `<text x="${x0 + MARGIN.left}" y="${y0 + 16}" font-weight="bold">ns per walk: ${chart.title}</text>`,
    `<text x="${x0 + MARGIN.left}" y="${y0 + 29}" fill="#1f77b4">batch</text><text x="${x0 + MARGIN.left + 40}" y="${y0 + 29}" fill="#d62728">one call a walk</text>`,
    ticks,
    `<text x="${x0 + WIDTH / 2}" y="${y0 + HEIGHT - 6}" text-anchor="middle" fill="#444">${chart.axis}</text>`,
    line(({ batch }) => batch, "#1f77b4"),
    line(({ single }) => single, "#d62728"),
  ].join("\n");
}

function short(x: number): string {
  return x >= 2 ** 20 ? `${x / 2 ** 20}M` : x >= 1024 ? `${x / 1024}k` : String(x);
}
