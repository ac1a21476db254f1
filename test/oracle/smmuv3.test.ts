/**
 * Random registers, tables and requests: the walker and the oracle give the same answers and leave the same
 * bytes in memory. A difference shrinks to a plain case; `SEED=n` repeats a run.
 */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type Outcome, type Request, SmmuWalker } from "../../src/index.ts";
import { Choices } from "../support/choices.ts";
import { runs, seed } from "../support/runs.ts";
import { buildCase, type Case } from "../support/smmu-cases/case.ts";
import { Platform } from "../support/smmu-cases/platform.ts";
import { observable } from "../support/smmu-compare.ts";
import { type OracleMemory, smmuOracle } from "../support/smmu-oracle/index.ts";

const REQUESTS = 4;
const CASES = runs(20_000, 200_000) / REQUESTS;
const TAPE = 600;

/** How often what was seen: events with stage and class, and long walks. */
const seen = new Map<string, number>();
const count = (what: string) => seen.set(what, (seen.get(what) ?? 0) + 1);

const platform = new Platform();
const NO_STATE = { idr0: 0, idr1: 0, idr5: 0, cr0: 0, strtabBase: 0n, strtabBaseCfg: 0 };
const walker = new SmmuWalker(platform.memory, NO_STATE);
const batch = walker.batch(REQUESTS);

function counting(memory: OracleMemory): OracleMemory & { reads: number } {
  return {
    reads: 0,
    read(address, bytes) {
      this.reads++;
      return memory.read(address, bytes);
    },
    compareExchange: memory.compareExchange,
  };
}

function tally(request: Request, reads: number, outcome: ReturnType<typeof smmuOracle>): void {
  const kind = request.type ?? "untranslated";
  if (outcome.ok) {
    count(`${kind} ok`);
    if (reads > 12) count("deep");
    return;
  }
  count(`${kind} ${outcome.answer} ${outcome.code.toString(16)}`);
  if (outcome.stage > 0) count(`${outcome.code.toString(16)} stage ${outcome.stage} class ${outcome.class}`);
  if (outcome.tableWrite) count("TTRnW 0");
}

/** Every way of asking agrees with the oracle; what differs is returned. */
function differences({ state, image, requests }: Case): string[] {
  const p = platform;
  p.load(image);
  walker.configure(state);
  const found: string[] = [];
  const name = (i: number, what: string) => `${what}, request ${i} ${JSON.stringify(requests[i], hexed)}`;
  const single = requests.map((request, i) => {
    const memory = counting(p.oracle);
    const wanted = smmuOracle(memory, state, request);
    tally(request, memory.reads, wanted);
    const outcome = walker.translate(request);
    const [a, b] = [observable(request, outcome, wanted), observable(request, wanted, wanted)];
    if (a !== b) found.push(`${name(i, "outcome")}: emulator ${a}; oracle ${b}`);
    return outcome;
  });
  const bytes = p.difference();
  if (bytes) found.push(`memory at ${bytes}`);
  if (found.length > 0) return found;
  p.reload(image);
  requests.forEach((request, i) => {
    if (!same(walker.trace(request).outcome, single[i])) found.push(name(i, "traced"));
  });
  const traced = p.difference();
  if (traced) found.push(`memory after tracing at ${traced}`);
  p.reload(image);
  requests.forEach((request, i) => {
    batch.set(i, request);
  });
  batch.run(REQUESTS);
  single.forEach((outcome, i) => {
    if (!same(batch.get(i), outcome)) found.push(name(i, "batch"));
  });
  const batched = p.difference();
  if (batched) found.push(`memory after a batch at ${batched}`);
  return found;
}

const hexed = (_: string, value: unknown) => (typeof value === "bigint" ? `0x${value.toString(16)}` : value);
const same = (a: Outcome | undefined, b: Outcome | undefined) => JSON.stringify(a, hexed) === JSON.stringify(b, hexed);

describe("SMMUv3 walks against the oracle", () => {
  it("agree on outcome, record and memory, singly, traced and in batches", () => {
    fc.assert(
      fc.property(fc.uint32Array({ minLength: TAPE, maxLength: TAPE }), (tape) => {
        const drawn = buildCase(new Choices(tape), REQUESTS);
        expect(differences(drawn), describeCase(drawn)).toEqual([]);
      }),
      { numRuns: CASES, seed },
    );
  });

  it("met every event a walk can end in, and long walks", () => {
    const missing = MUST_BE_SEEN.filter((what) => !seen.has(what));
    expect(missing).toEqual([]);
    expect(seen.get("deep")).toBeGreaterThan(CASES / 20);
  });
});

const FAULTS = ["10", "11", "12", "13"];
const MUST_BE_SEEN = [
  ...["2", "3", "4", "6", "8", "9", "a", "b", ...FAULTS].map((code) => `untranslated abort ${code}`),
  ...FAULTS.flatMap((code) => [`untranslated raz-wi ${code}`, `untranslated stall ${code}`]),
  ...FAULTS.flatMap((code) => [`${code} stage 1 class 2`, ...[0, 1, 2].map((cls) => `${code} stage 2 class ${cls}`)]),
  ...["b stage 1 class 1", "b stage 2 class 0", "b stage 2 class 1", "b stage 2 class 2", "TTRnW 0"],
  ...["untranslated ok", "translation ok", "translated ok", "untranslated abort 0"],
  ...["translation ur 0", "translation ur 5", "translated abort 7", "translated abort 10"],
  ...["2", "3", "4", "6", "8", "9", "a", "b"].map((code) => `translation ca ${code}`),
];

/** The case in hex, for the report of a failure. */
function describeCase({ state, image, requests }: Case): string {
  const words = [...image.words].filter(([, word]) => word !== 0n);
  return JSON.stringify({ state, requests, words, poisons: image.poisons }, hexed);
}
