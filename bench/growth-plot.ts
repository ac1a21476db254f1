/** Draws the charts of `growth.ts` as one SVG: x evenly spaced, nanoseconds from zero on the y axis. */
import type { Line } from "./growth.ts";
import type { GrowthPoint } from "./judge.ts";

interface Drawn {
  title: string;
  axis: string;
  xs: readonly number[];
  lines: readonly Line[];
}

const WIDTH = 380;
const HEIGHT = 220;
const MARGIN = { left: 46, right: 12, top: 34, bottom: 36 };
const COLOURS = { "VT-d": "#1f77b4", SMMUv3: "#d62728" } as const;
const DASHES = "4 3";

/** Charts in a square. */
export function draw(charts: readonly Drawn[]): string {
  const panels = charts.map((chart, i) => panel(chart, (i % 2) * WIDTH, Math.floor(i / 2) * HEIGHT)).join("\n");
  const rows = Math.ceil(charts.length / 2);
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${2 * WIDTH} ${rows * HEIGHT}" font-family="sans-serif" font-size="11">
<title>ns per walk against PASIDs, devices, levels and batch size</title>
<rect width="100%" height="100%" fill="#ffffff"/>
${panels}
</svg>
`;
}

function panel({ title, axis, xs, lines }: Drawn, x0: number, y0: number): string {
  const top = Math.max(...lines.flatMap(({ points }) => points.flatMap(({ batch, single }) => [batch, single]))) * 1.1;
  const right = WIDTH - MARGIN.right;
  const px = (x: number) => x0 + MARGIN.left + (xs.indexOf(x) / (xs.length - 1)) * (right - MARGIN.left);
  const py = (ns: number) => y0 + HEIGHT - MARGIN.bottom - (ns / top) * (HEIGHT - MARGIN.top - MARGIN.bottom);
  const polyline = (points: readonly GrowthPoint[], nsOf: (point: GrowthPoint) => number, style: string) => {
    const places = points.map((point) => `${px(point.x).toFixed(1)},${py(nsOf(point)).toFixed(1)}`).join(" ");
    return `<polyline points="${places}" fill="none" stroke-width="2" ${style}/>`;
  };
  const text = (x: number, y: number, words: string, style = 'text-anchor="middle" fill="#444"') =>
    `<text x="${x.toFixed(1)}" y="${y.toFixed(1)}" ${style}>${words}</text>`;
  const grid = [0, 0.25, 0.5, 0.75, 1].map((share) => {
    const y = py(top * share).toFixed(1);
    const rule = `<line x1="${x0 + MARGIN.left}" x2="${x0 + right}" y1="${y}" y2="${y}" stroke="#e4e4e4"/>`;
    return (
      rule + text(x0 + MARGIN.left - 5, Number(y) + 4, `${Math.round(top * share)}`, 'text-anchor="end" fill="#444"')
    );
  });
  return [
    ...grid,
    text(x0 + MARGIN.left, y0 + 16, `ns per walk: ${title}`, 'font-weight="bold"'),
    ...lines.map(({ vendor }, i) => text(x0 + MARGIN.left + 48 * i, y0 + 29, vendor, `fill="${COLOURS[vendor]}"`)),
    text(x0 + right, y0 + 29, "batch; dashed: one call a walk", 'text-anchor="end" fill="#444"'),
    ...xs.map((x) => text(px(x), y0 + HEIGHT - MARGIN.bottom + 14, short(x))),
    text(x0 + WIDTH / 2, y0 + HEIGHT - 6, axis),
    ...lines.flatMap(({ vendor, points }) => [
      polyline(points, ({ batch }) => batch, `stroke="${COLOURS[vendor]}"`),
      polyline(points, ({ single }) => single, `stroke="${COLOURS[vendor]}" stroke-dasharray="${DASHES}"`),
    ]),
  ].join("\n");
}

function short(x: number): string {
  return x >= 2 ** 20 ? `${x / 2 ** 20}M` : x >= 1024 ? `${x / 1024}k` : String(x);
}
