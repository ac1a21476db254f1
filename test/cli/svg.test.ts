/** `walk --svg`: the picture is well-formed, marks what failed, and can be read in a real browser. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { ECAP } from "../../assembly/layout/vtd-capabilities.ts";
import { loadCapture } from "../../src/capture/node/files.ts";
import { vtdState } from "../../src/capture/state.ts";
import { pictureOf } from "../../src/cli/show/picture.ts";
import { drawPicture } from "../../src/cli/show/svg.ts";
import { type GuestMemory, VtdWalker } from "../../src/index.ts";
import { maskOf } from "../../src/structure.ts";
import { browser, inBrowser } from "../support/browser.ts";
import { CAPTURES, run } from "./run.ts";

const folder = mkdtempSync(join(tmpdir(), "iommulator-svg-"));
afterAll(() => rmSync(folder, { recursive: true }));

async function draw(capture: string, ...request: string[]): Promise<string> {
  const file = join(folder, "walk.svg");
  const { code, err } = await run(["walk", `${CAPTURES}${capture}`, ...request, "--svg", file]);
  expect([code, err]).toEqual([0, ""]);
  return readFileSync(file, "utf8");
}

const WRITE_ONLY = ["A-vtd-sva.json", "--sid", "00:06.0", "--pasid", "43068", "--iova", "0x6006b0"] as const;

const SVA = loadCapture(`${CAPTURES}A-vtd-sva.json`);

/** A walk of A-vtd-sva after `edit` of its tables; `at` finds an entry on the way. */
function drawEdited(edit: (memory: GuestMemory, at: (structure: string) => bigint) => void): string {
  const memory = SVA.pages.memory();
  const state = vtdState(SVA.registers);
  const walker = new VtdWalker(memory, { ...state, ecap: state.ecap | maskOf(ECAP.NEST) });
  const request = { sid: 0x30, pasid: 1, address: 0x40b6008n, access: "w" as const };
  const { steps } = walker.trace({ ...request, probe: true });
  edit(memory, (structure) => steps.find((step) => step.structure === structure)?.address ?? 0n);
  return drawPicture(pictureOf(request, walker.trace(request), SVA, walker));
}

/** Bit 129 of the PASID entry. */
const reservedBit = () => drawEdited((memory, at) => memory.write64(at("PASID table entry") + 16n, 0x2bec004n | 2n));

/** The first stage below an identity second stage of one 1 GiB page, in two pages that no walk reads. */
function nested(): string {
  const [level4, level3] = SVA.pages.pages.filter(({ role }) => /queue/i.test(role)).map(({ gpa }) => gpa);
  if (level4 === undefined || level3 === undefined) throw new Error("the capture has no two pages of queues");
  return drawEdited((memory, at) => {
    memory.write64(level4, level3 | 3n);
    memory.write64(level3, 0x83n);
    memory.write64(at("PASID table entry"), level4 | 0xc9n);
  });
}

describe("walk --svg", () => {
  it("shows every entry of the walk, with its fields under the pointer", async () => {
    const svg = await draw("A-smmu-sva.json", "--sid", "0x30", "--pasid", "1", "--iova", "0x1068d008");
    expect(svg.match(/class="card"/g)).toHaveLength(8);
    expect(svg).toContain("=&gt; 0x1068d008 translates to 0x480c7008");
    expect(svg).toMatch(/<title>ASID = 0x2: tag of this address space/);
    expect(svg).not.toContain('class="bad"');
  });

  it("marks the bit that refused the access, and the rule", async () => {
    const svg = await draw(...WRITE_ONLY);
    expect(svg.match(/class="bad"/g)).toHaveLength(1);
    expect(svg).toMatch(/class="bad"[^>]*><title>R = 0x0: no reads/);
    expect(svg).toContain("FAILED SGN.7: the path grants reading");
  });

  it("marks a reserved bit that is set, though it has no name", () => {
    expect(
      reservedBit()
        .match(/class="bad"[^>]*><title>[^<]*/g)
        ?.map((bad) => bad.split("<title>")[1]),
    ).toEqual(["bit 1: must be 0"]);
  });

  it("is the picture that the README shows", async () => {
    expect(await draw(...WRITE_ONLY)).toBe(readFileSync(`${CAPTURES}../cli/write-only.svg`, "utf8"));
  });

  it("cannot write where no folder is: exit 3, named", async () => {
    const { code, err } = await run([
      "walk",
      `${CAPTURES}${WRITE_ONLY[0]}`,
      ...WRITE_ONLY.slice(1),
      "--svg",
      `${folder}/no/x.svg`,
    ]);
    expect([code, err]).toEqual([3, expect.stringContaining("no/x.svg: cannot be written (ENOENT)")]);
  });
});

/** What a reader would trip over: text outside its card or the picture, text over text, marks that are not red. */
const LOOK = `
  const inside = (a, b) => a.left >= b.left - 1 && a.right <= b.right + 1 && a.top >= b.top - 1 && a.bottom <= b.bottom + 1;
  const apart = (a, b) => a.right <= b.left + 1 || b.right <= a.left + 1 || a.bottom <= b.top + 3 || b.bottom <= a.top + 3;
  return [...document.querySelectorAll("svg")].map((svg) => {
    const page = svg.getBoundingClientRect();
    const texts = [...svg.querySelectorAll("text")].map((text) => [text, text.getBoundingClientRect()]);
    const cards = [...svg.querySelectorAll(".card")];
    const boxes = cards.map((card) => card.querySelector("rect").getBoundingClientRect());
    const told = (text) => [...text.childNodes].filter((node) => node.nodeType === 3).map((node) => node.data).join("");
    return {
      cards: cards.length,
      rows: new Set(boxes.map(({ top }) => Math.round(top))).size,
      size: Math.min(...texts.map(([, box]) => box.height)),
      outside: texts.filter(([, box]) => !inside(box, page)).map(([text]) => told(text)),
      spilled: cards.flatMap((card, i) => [...card.querySelectorAll("text")].filter((text) => !inside(text.getBoundingClientRect(), boxes[i])).map(told)),
      overlaid: texts.flatMap(([text, box], i) => texts.slice(i + 1).filter(([, other]) => !apart(box, other)).map(([other]) => told(text) + " / " + told(other))),
      touching: boxes.flatMap((box, i) => boxes.slice(i + 1).filter((other) => !apart(box, other))).length,
      red: [...svg.querySelectorAll(".bad")].map((bad) => getComputedStyle(bad).fill + " " + (bad.getBoundingClientRect().width > 3)),
    };
  });`;

interface Look {
  cards: number;
  rows: number;
  size: number;
  outside: string[];
  spilled: string[];
  overlaid: string[];
  touching: number;
  red: string[];
}

describe.runIf(browser !== undefined || process.env.CI)("walk --svg in a real browser", () => {
  it("is legible: all text inside its card, none over another, what failed in red", async () => {
    const drawings = [
      await draw("A-smmu-sva.json", "--sid", "0x30", "--pasid", "1", "--iova", "0x1068d008"),
      await draw("A-smmu-s2.json", "--sid", "0x20", "--iova", "0xfffff040", "--access", "w"),
      await draw("A-vtd-legacy.json", "--sid", "0x20", "--iova", "0xffff944c"),
      await draw(...WRITE_ONLY),
      reservedBit(),
      nested(),
    ];
    if (browser === undefined) throw new Error("no browser: install Chromium, or name one in CHROMIUM");
    const looks = (await inBrowser(browser, drawings.join(""), LOOK)) as Look[];
    expect(looks.map(({ cards }) => cards)).toEqual([8, 6, 7, 9, 5, 22]);
    for (const { size, outside, spilled, overlaid, touching } of looks) {
      expect({ outside, spilled, overlaid, touching }).toEqual({ outside: [], spilled: [], overlaid: [], touching: 0 });
      expect(size).toBeGreaterThanOrEqual(10);
    }
    const red = "rgb(207, 34, 46) true";
    expect(looks.map((look) => look.red)).toEqual([[], [], [], [red], [red], []]);
    // Configuration, and a row for each table walk of the second stage.
    expect(looks.at(-1)?.rows).toBe(7);
  });
});
