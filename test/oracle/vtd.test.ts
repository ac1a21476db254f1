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
function describeCase({ state, words, poisoned }: VtdCase, request: OracleRequest): string {
  const text = (_key: string, value: unknown) => (typeof value === "bigint" ? hex(value) : value);
  return [
    `state ${JSON.stringify(state, text)}`,
    `request ${JSON.stringify(request, text)}`,
    `poisoned ${JSON.stringify(poisoned, text)}`,
    ...[...words].map(([address, word]) => `  ${hex(address)}: ${hex(word)}`),
  ].join("\n");
}

describe("VT-d walker against the oracle", () => {
  const seen = new Map<number, number>();
  const oracle = new OracleWorld();
  const world = new WalkerWorld();
  let walker: VtdWalker | undefined;
  let walks = 0;

  function configured(state: VtdCase["state"]): VtdWalker {
    walker ??= new VtdWalker(world.memory, state);
    walker.configure(state);
    return walker;
  }

  it("gives the same answer, code, page and rights, and the same accessed and dirty bits", () => {
    fc.assert(
      fc.property(vtdCase, (one) => {
        const unit = configured(one.state);
        oracle.load(one);
        world.load(oracle, one.poisoned);
        for (const request of one.requests) {
          const before = oracle.updates;
          const expected = oracleTranslate(oracle, one.state, request);
          const got = unit.translate(request);
          walks++;
          if (!expected.ok) seen.set(expected.code, (seen.get(expected.code) ?? 0) + 1);
          expect(ofWalker(got), describeCase(one, request)).toEqual(ofOracle(expected, oracle.updates > before));
          const difference = world.difference(oracle);
          if (difference) {
            const { address, got: mine, expected: theirs } = difference;
            throw new Error(`${hex(address)} is ${hex(mine)}, not ${hex(theirs)}\n${describeCase(one, request)}`);
          }
        }
      }),
      { numRuns: CASES, seed },
    );
  });

  it("walks alike one by one, traced, and in a batch", () => {
    const memory = () => world.areas.map(({ bytes }) => createHash("sha1").update(bytes).digest("hex"));
    let batch: ReturnType<VtdWalker["batch"]> | undefined;
    fc.assert(
      fc.property(vtdCase, (one) => {
        const unit = configured(one.state);
        batch ??= unit.batch(MAX_REQUESTS);
        const { requests } = one;
        const array = batch;
        oracle.load(one);
        const run = (walk: () => readonly Outcome[]) => {
          world.load(oracle, one.poisoned);
          return { outcomes: walk(), memory: memory() };
        };
        const single = run(() => requests.map((request) => unit.translate(request)));
        const traced = run(() => requests.map((request) => unit.trace(request).outcome));
        const batched = run(() => {
          requests.forEach((request, i) => {
            array.set(i, request);
          });
          array.run(requests.length);
          return requests.map((_, i) => array.get(i));
        });
        expect(traced).toEqual(single);
        expect(batched).toEqual(single);
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
