/** A walk as a picture: cards and arrows in SVG, black on white, readable without the program. */
import { CARD_COLUMNS, type Card, type Line, type Picture, type Run, type Tone, type Word } from "./picture.ts";

/** Pixels. A digit of the 11 px monospaced font is at most 6.7 wide. */
const CELL = 5;
const STRIP = 64 * CELL;
const PAD = 12;
const CARD = STRIP + 2 * PAD;
const GAP_X = 36;
const GAP_Y = 44;
const MARGIN = 24;
const LINE = 15;
const STRIP_HEIGHT = 12;
const WORD_HEIGHT = LINE + STRIP_HEIGHT + 6;
const HEAD = 22;

const COLORS: Readonly<Record<Tone, string>> = {
  plain: "#24292f",
  dim: "#57606a",
  address: "#0550ae",
  good: "#1a7f37",
  bad: "#cf222e",
};
/** Neighbouring fields take turns. */
const FIELD_COLORS = ["#c8d8ee", "#dfe8d0"] as const;
const NAMELESS = "#eceff2";
const SET = "#24292f";

const STYLE = `text{font:11px "DejaVu Sans Mono","Liberation Mono",Menlo,Consolas,monospace;white-space:pre}
.t{font-weight:bold}.h{font-size:14px;font-weight:bold}`;

interface Box {
  card: Card;
  x: number;
  y: number;
  height: number;
}

/** @returns a whole SVG document */
export function drawPicture(picture: Picture): string {
  const introTop = MARGIN + HEAD;
  let y = introTop + picture.intro.length * LINE + 10;
  const rows: Box[][] = picture.rows.map((cards) => {
    const boxes = cards.map((card, i) => ({ card, x: MARGIN + i * (CARD + GAP_X), y, height: heightOf(card) }));
    y += Math.max(...boxes.map(({ height }) => height)) + GAP_Y;
    return boxes;
  });
  const verdictTop = y - GAP_Y / 2 + LINE;
  const height = verdictTop + picture.verdict.length * LINE + MARGIN;
  const texts = [picture.title, ...picture.intro, ...picture.verdict];
  const columns = Math.max(...picture.rows.map((row) => row.length), 1);
  const width = Math.max(
    2 * MARGIN + columns * (CARD + GAP_X) - GAP_X,
    2 * MARGIN + Math.ceil(Math.max(...texts.map((text) => text.length)) * 8.6),
  );
  const tone: Tone = picture.ok ? "good" : "bad";
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" role="img" aria-label="${escapeText(picture.title)}">`,
    `<style>${STYLE}</style>`,
    `<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" orient="auto"><path d="M0 0L8 4L0 8z" fill="${COLORS.dim}"/></marker></defs>`,
    `<rect width="${width}" height="${height}" fill="#fff"/>`,
    text(MARGIN, MARGIN + 8, picture.title, "plain", "h"),
    ...picture.intro.map((line, i) => text(MARGIN, introTop + i * LINE, line, "dim")),
    ...arrows(rows),
    ...rows.flat().map(drawCard),
    ...picture.verdict.map((line, i) =>
      text(MARGIN, verdictTop + i * LINE, line, i === 0 ? tone : "plain", i === 0 ? "t" : ""),
    ),
    "</svg>\n",
  ].join("\n");
}

function heightOf({ words, lines }: Card): number {
  return HEAD + LINE + words.length * WORD_HEIGHT + lines.length * LINE + PAD;
}

/** Where line `i` of a card stands. */
function lineTop({ words }: Card, i: number): number {
  return HEAD + LINE + words.length * WORD_HEIGHT + i * LINE + 12;
}

function drawCard({ card, x, y, height }: Box): string {
  const { title, place, words, lines, failed } = card;
  const left = x + PAD;
  return [
    `<g class="card"><rect x="${x}" y="${y}" width="${CARD}" height="${height}" rx="6" fill="#fff" stroke="${failed ? COLORS.bad : "#8c959f"}" stroke-width="${failed ? 2.5 : 1}"/>`,
    text(left, y + 16, title, "plain", "t"),
    text(left, y + 16 + LINE, place, "dim"),
    ...words.map((word, i) => drawWord(word, left, y + HEAD + LINE + i * WORD_HEIGHT)),
    ...lines.map((line, i) => drawLine(line, left, y + lineTop(card, i))),
    "</g>",
  ].join("\n");
}

function drawLine({ text: content, tone, tip }: Line, x: number, y: number): string {
  return text(x, y, content, tone, "", tip);
}

/** The hexadecimal digits, and the 64 bits below: a colour a field, a dark mark where a bit is 1. */
function drawWord({ index, value, runs }: Word, x: number, y: number): string {
  const bar = y + LINE + 4;
  const digits = value.toString(16).padStart(16, "0");
  const at = (bit: number) => x + (63 - bit) * CELL;
  const field = ({ msb, lsb, tip, bad }: Run, i: number) =>
    `<rect class="${bad ? "bad" : "field"}" x="${at(msb)}" y="${bar}" width="${(msb - lsb + 1) * CELL}" height="${STRIP_HEIGHT}" fill="${bad ? COLORS.bad : FIELD_COLORS[i % 2]}"><title>${escapeText(tip)}</title></rect>`;
  const bits = Array.from({ length: 64 }, (_, bit) => bit).filter((bit) => (value >> BigInt(bit)) & 1n);
  const marks = bits.map((bit) => `M${at(bit) + 1} ${bar + 3}h${CELL - 2}v${STRIP_HEIGHT - 6}h-${CELL - 2}z`).join("");
  return [
    text(x, bar - 4, `${index * 64 + 63}`.padEnd(8) + digits + `${index * 64}`.padStart(CARD_COLUMNS - 8 - 16), "dim"),
    `<rect x="${x}" y="${bar}" width="${STRIP}" height="${STRIP_HEIGHT}" fill="${NAMELESS}"/>`,
    ...runs.map(field),
    `<path d="${marks}" fill="${SET}" pointer-events="none"/>`,
  ].join("\n");
}

/** From each card to the next: out of the address that leads there, or round the end of a row. */
function arrows(rows: readonly (readonly Box[])[]): string[] {
  return rows.flatMap((row, r) => {
    const inRow = row.slice(0, -1).map((from, i) => {
      const start = from.y + (from.card.leads === undefined ? HEAD : lineTop(from.card, from.card.leads) - 4);
      const to = row[i + 1] as Box;
      const end = to.y + HEAD;
      const middle = from.x + CARD + GAP_X / 2;
      return arrow(`M${from.x + CARD} ${start}H${middle}V${end}H${to.x}`);
    });
    const next = rows[r + 1]?.[0];
    const last = row.at(-1);
    if (!next || !last) return inRow;
    const turn = next.y - GAP_Y / 2;
    return [...inRow, arrow(`M${last.x + CARD / 2} ${last.y + last.height}V${turn}H${next.x + CARD / 2}V${next.y}`)];
  });
}

function arrow(path: string): string {
  return `<path d="${path}" fill="none" stroke="${COLORS.dim}" stroke-width="1.5" marker-end="url(#tip)"/>`;
}

function text(x: number, y: number, content: string, tone: Tone, className = "", tip = ""): string {
  const style = className === "" ? "" : ` class="${className}"`;
  const title = tip === "" ? "" : `<title>${escapeText(tip)}</title>`;
  return `<text x="${x}" y="${y}" fill="${COLORS[tone]}"${style}>${title}${escapeText(content)}</text>`;
}

const ENTITIES: Readonly<Record<string, string>> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" };

function escapeText(content: string): string {
  return content.replace(/[&<>"]/g, (character) => ENTITIES[character] as string);
}
