/** Captures and traces broken at random: refused by an InputError, or walked and replayed without a throw. */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { gunzipSync } from "node:zlib";
import fc from "fast-check";
import { describe, it } from "vitest";
import { type Capture, parseCapture } from "../../src/capture/capture.ts";
import { InputError } from "../../src/capture/input.ts";
import { parseTrace } from "../../src/capture/regtrace.ts";
import { replay } from "../../src/capture/replay/replay.ts";
import { verifyCapture } from "../../src/capture/verify.ts";
import { runs, seed } from "../support/runs.ts";

const CAPTURES = fileURLToPath(new URL("../captures/", import.meta.url));
const NAMES = { json: "x.json", pages: "x.pages.bin" };

type Json = null | boolean | number | string | Json[] | { [name: string]: Json };

interface Sample {
  json: { [name: string]: Json; registers: Record<string, string> };
  pages: Uint8Array;
  capture: Capture;
  trace: string;
}

function load(name: string): Sample {
  const json = JSON.parse(readFileSync(`${CAPTURES}${name}.json`, "utf8"));
  // Some rows are enough, and a part of the trace.
  json.translations = json.translations.slice(0, 20);
  const trace = gunzipSync(readFileSync(`${CAPTURES}${name}.regtrace.jsonl.gz`)).toString();
  const lines = trace.split("\n").filter((line) => !line.includes('"mark"'));
  const pages = readFileSync(`${CAPTURES}${name}.pages.bin`);
  const capture = parseCapture(JSON.stringify(json), pages, NAMES);
  return { json, pages, capture, trace: lines.slice(0, 120).join("\n") };
}

/** VT-d's and SMMUv3's capabilities lie below. */
const CAPABILITIES_END = 0x20;

const SAMPLES = ["A-vtd-sva-pt", "A-smmu-sva-pt"].map(load);

/** A walk down the document by fractions, and what to put where it ends. */
const mutation = fc.record({
  path: fc.array(fc.double({ min: 0, max: 0.999, noNaN: true }), { minLength: 1, maxLength: 4 }),
  value: fc.oneof(
    fc.constantFrom<Json>(null, true, -1, 1.5, 2 ** 40, "", "0x", "0xffffffffffffffff", "0x0", "r", [], {}),
    fc.integer().map((value): Json => value),
    fc.bigInt({ min: 0n, max: 0xffff_ffff_ffff_ffffn }).map((value): Json => `0x${value.toString(16)}`),
  ),
});

function mutate(json: Json, [first, ...rest]: readonly number[], value: Json): Json {
  if (first === undefined || typeof json !== "object" || json === null) return value;
  const keys = Object.keys(json);
  const key = keys[Math.floor(first * keys.length)];
  if (key === undefined) return value;
  if (Array.isArray(json)) return json.map((item, i) => (`${i}` === key ? mutate(item, rest, value) : item));
  return { ...json, [key]: mutate(json[key] as Json, rest, value) };
}

/** Runs `use` on what parses; anything but an InputError is a failure of the test. */
function tolerate(use: () => void): void {
  try {
    use();
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
  }
}

const sample = fc.constantFrom(...SAMPLES);

describe("hostile captures", () => {
  it("with values replaced at random", () => {
    fc.assert(
      fc.property(sample, fc.array(mutation, { minLength: 1, maxLength: 3 }), ({ json, pages }, mutations) => {
        const text = JSON.stringify(
          mutations.reduce((broken: Json, { path, value }) => mutate(broken, path, value), json),
        );
        tolerate(() => verifyCapture(parseCapture(text, pages, NAMES)));
      }),
      { numRuns: runs(300, 20_000), seed },
    );
  });

  it("with pages overwritten at random", () => {
    const words = fc.array(fc.tuple(fc.nat(), fc.bigInt({ min: 0n, max: 0xffff_ffff_ffff_ffffn })), { maxLength: 40 });
    fc.assert(
      fc.property(sample, words, ({ json, pages }, changes) => {
        const torn = pages.slice();
        const view = new DataView(torn.buffer, torn.byteOffset);
        for (const [at, word] of changes) view.setBigUint64(8 * (at % (torn.length / 8)), word, true);
        verifyCapture(parseCapture(JSON.stringify(json), torn, NAMES));
      }),
      { numRuns: runs(100, 5_000), seed },
    );
  });
});

describe("hostile traces", () => {
  it("with values replaced at random", () => {
    fc.assert(
      fc.property(sample, fc.array(fc.tuple(fc.nat(), mutation), { minLength: 1, maxLength: 4 }), (item, mutations) => {
        const lines = item.trace.split("\n");
        for (const [at, { path, value }] of mutations) {
          const index = at % lines.length;
          lines[index] = JSON.stringify(mutate(JSON.parse(lines[index] || "null"), path.slice(0, 2), value));
        }
        tolerate(() => replay(item.capture, parseTrace(lines.join("\n"), "x")));
      }),
      { numRuns: runs(100, 10_000), seed },
    );
  });

  it("with capabilities at random", () => {
    const word = fc.integer({ min: 0, max: 0xffff_ffff });
    fc.assert(
      fc.property(sample, fc.array(fc.tuple(fc.nat(), word), { maxLength: 4 }), (item, changes) => {
        const registers = { ...item.json.registers };
        const ids = Object.keys(registers).filter((offset) => Number(offset) < CAPABILITIES_END);
        for (const [at, value] of changes) registers[ids[at % ids.length] as string] = `0x${value.toString(16)}`;
        const capture = parseCapture(JSON.stringify({ ...item.json, registers }), item.pages, NAMES);
        tolerate(() => replay(capture, parseTrace(item.trace, "x")));
      }),
      { numRuns: runs(100, 10_000), seed },
    );
  });
});
