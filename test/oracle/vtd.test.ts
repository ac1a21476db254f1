/** The Wasm walker against an independent one, over random units, tables and requests. */
import { createHash } from "node:crypto";
import * as fc from "fast-check";
import { afterAll, describe, expect, it } from "vitest";
import { hex } from "../../src/check.ts";
import { type Outcome, VtdWalker } from "../../src/index.ts";
import { runs, seed } from "../support/runs.ts";
import { MAX_REQUESTS, type VtdCase, vtdCase } from "../support/vtd-cases/case.ts";
import { OracleWorld, WalkerWorld } from "../support/vtd-cases/world.ts";
import { type OracleOutcome, type OracleRequest, oracleTranslate } from "../support/vtd-oracle/index.ts";
import { INTERRUPT_RANGE_CODE, WALK_CODES } from "../support/vtd-oracle/outcomes.ts";

/** Requests a case holds on average; see `vtdCase`. */
const REQUESTS_PER_CASE = 6.2;
const CASES = Math.ceil(runs(20_000, 200_000) / REQUESTS_PER_CASE);

/** What both have to say alike. */
interface Verdict {
  ok: boolean;
  answer: string;
  code?: number;
  recorded?: boolean;
  address?: string;
  pageSize?: string;
  rights?: string;
  updated?: boolean;
}

function rights(read: boolean, write: boolean): string {
  return `${read ? "r" : "-"}${write ? "w" : "-"}`;
}

function ofOracle(outcome: OracleOutcome, updated: boolean): Verdict {
  const { ok, answer } = outcome;
  if (!ok) return { ok, answer, code: outcome.code, recorded: outcome.recorded };
  const { address, pageSize, read, write } = outcome;
  return { ok, answer, address: hex(address), pageSize: hex(pageSize), rights: rights(read, write), updated };
}

function ofWalker(outcome: Outcome): Verdict {
  const { ok, answer } = outcome;
  if (!ok) return { ok, answer, code: outcome.code, recorded: outcome.recorded };
  const { address, pageSize, permissions } = outcome;
  return {
    ok,
    answer,
    address: hex(address),
    pageSize: hex(pageSize),
    rights: rights(permissions.read, permissions.write),
    updated: outcome.updated,
  };
}

/** A case as a person wants to read it. */
function describeCase({ state, words, poisoned, requests }: VtdCase, request?: OracleRequest): string {
  const text = (_key: string, value: unknown) => (typeof value === "bigint" ? hex(value) : value);
  return [
    `state ${JSON.stringify(state, text)}`,
    request ? `request ${JSON.stringify(request, text)}` : `batch ${JSON.stringify(requests, text)}`,
    `poisoned ${JSON.stringify(poisoned, text)}`,
    ...[...words].map(([address, word]) => `  ${hex(address)}: ${hex(word)}`),
  ].join("\n");
}

describe("VT-d walker against the oracle", () => {
  const seen = new Map<number, number>();
  const oracle = new OracleWorld();
  /** What memory held before the walks. */
  const before = new OracleWorld();
  const world = new WalkerWorld();
  let walker: VtdWalker | undefined;
  let batch: ReturnType<VtdWalker["batch"]> | undefined;
  let walks = 0;

  function configured(state: VtdCase["state"]): VtdWalker {
    walker ??= new VtdWalker(world.memory, state);
    walker.configure(state);
    return walker;
  }

  function inBatch(unit: VtdWalker, requests: readonly OracleRequest[]): Outcome[] {
    batch ??= unit.batch(MAX_REQUESTS);
    for (const [i, request] of requests.entries()) batch.set(i, request);
    batch.run(requests.length);
    return requests.map((_, i) => (batch as NonNullable<typeof batch>).get(i));
  }

  function expectSameMemory(one: VtdCase, request?: OracleRequest): void {
    const difference = world.difference(oracle);
    if (!difference) return;
    const { address, got, expected } = difference;
    throw new Error(`${hex(address)} is ${hex(got)}, not ${hex(expected)}\n${describeCase(one, request)}`);
  }

  it("gives the same answer, code, page and rights, and the same accessed and dirty bits, one by one and in a batch", () => {
    fc.assert(
      fc.property(vtdCase, (one) => {
        const unit = configured(one.state);
        oracle.load(one);
        world.load(oracle, one.poisoned);
        const expected = one.requests.map((request) => {
          const updates = oracle.updates;
          const outcome = oracleTranslate(oracle, one.state, request);
          const verdict = ofOracle(outcome, oracle.updates > updates);
          walks++;
          if (!outcome.ok) seen.set(outcome.code, (seen.get(outcome.code) ?? 0) + 1);
          expect(ofWalker(unit.translate(request)), describeCase(one, request)).toEqual(verdict);
          expectSameMemory(one, request);
          return verdict;
        });
        before.load(one);
        world.load(before, one.poisoned);
        expect(inBatch(unit, one.requests).map(ofWalker), describeCase(one)).toEqual(expected);
        expectSameMemory(one);
      }),
      { numRuns: CASES, seed },
    );
  });

  it("walks alike one by one and traced", () => {
    const memory = () => world.areas.map(({ bytes }) => createHash("sha1").update(bytes).digest("hex"));
    fc.assert(
      fc.property(vtdCase, (one) => {
        const unit = configured(one.state);
        oracle.load(one);
        const run = (walk: (request: OracleRequest) => Outcome) => {
          world.load(oracle, one.poisoned);
          return { outcomes: one.requests.map(walk), memory: memory() };
        };
        const single = run((request) => unit.translate(request));
        expect(run((request) => unit.trace(request).outcome)).toEqual(single);
      }),
      { numRuns: Math.ceil(CASES / 8), seed },
    );
  });

  afterAll(() => {
    const list = [...seen].sort(([a], [b]) => a - b).map(([code, count]) => `${hex(code, 2)} ${count}`);
    console.info(`${walks} walks, seed ${seed}: ${list.join(", ")}`);
  });

  it("met every fault reason that a walk can give", () => {
    const missing = [...WALK_CODES, INTERRUPT_RANGE_CODE].filter((code) => !seen.has(code));
    expect(missing.map((code) => hex(code, 2))).toEqual([]);
  });
});
