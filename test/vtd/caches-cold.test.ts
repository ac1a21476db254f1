/** With memory unchanged, caches may not change an answer: held against the oracle, over random units and tables. */
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { hex } from "../../src/check.ts";
import { type Outcome, type VtdCachePolicy, VtdWalker } from "../../src/index.ts";
import { runs, seed } from "../support/runs.ts";
import { type VtdCase, vtdCase } from "../support/vtd-cases/case.ts";
import { OracleWorld, WalkerWorld } from "../support/vtd-cases/world.ts";
import { oracleTranslate } from "../support/vtd-oracle/index.ts";

const POLICIES: readonly VtdCachePolicy[] = [
  "sized",
  "retain",
  // Two sets a cache: everything is evicted all the time.
  { policy: "retain", iotlb: 8, contexts: 4, pasids: 4, firstTables: 8, secondTables: 8 },
  // Some caches are absent.
  { policy: "sized", iotlb: 8, contexts: 16, pasids: 0, firstTables: 16, secondTables: 0 },
  { policy: "retain", contexts: 0, firstTables: 0 },
];

/** More than one group of a batch. */
const BATCH = 80;

/** What a device and a fault handler see of an outcome. */
function brief(outcome: Outcome): unknown[] {
  const { ok, answer } = outcome;
  return ok ? [answer, outcome.address, outcome.pageSize] : [answer, outcome.code, outcome.recorded];
}

describe("caches, VT-d 6.2", () => {
  it.each(POLICIES.map((policy) => [JSON.stringify(policy), policy] as const))("%s change no answer", (_, policy) => {
    const oracle = new OracleWorld();
    const world = new WalkerWorld();
    let walker: VtdWalker | undefined;
    let batch: ReturnType<VtdWalker["batch"]> | undefined;
    let repeats = 0;
    const make = (state: VtdCase["state"]): VtdWalker => {
      walker ??= new VtdWalker(world.memory, state, policy);
      walker.caches?.invalidateAll();
      walker.configure(state);
      return walker;
    };
    fc.assert(
      fc.property(vtdCase, (one) => {
        const unit = make(one.state);
        oracle.load(one);
        world.load(oracle, one.poisoned);
        // Random tables use one domain for several roots, which hardware need not tell apart: one address space only.
        const { sid, pasid } = one.requests[0] as VtdCase["requests"][number];
        const requests = one.requests.filter((request) => request.sid === sid && request.pasid === pasid);
        for (const request of [...requests, ...requests]) {
          const expected = oracleTranslate(oracle, one.state, request);
          const got = unit.translate(request);
          repeats += got.ok ? 1 : 0;
          const about = JSON.stringify(request, (_key, value) => (typeof value === "bigint" ? hex(value) : value));
          if (expected.ok) {
            expect(got, about).toMatchObject({
              ok: true,
              answer: expected.answer,
              address: expected.address,
              pageSize: expected.pageSize,
            });
          } else {
            const { answer, code, recorded } = expected;
            expect(got, about).toMatchObject({ ok: false, answer, code, recorded });
          }
          const difference = world.difference(oracle);
          expect(difference && `${hex(difference.address)} ${about}`).toBeUndefined();
        }
        // In a batch, from empty caches: the same again.
        const singles = requests.map((request) => brief(unit.translate(request)));
        unit.caches?.invalidateAll();
        batch ??= unit.batch(BATCH);
        for (let i = 0; i < BATCH; i++) batch.set(i, requests[i % requests.length] as VtdCase["requests"][number]);
        batch.run(BATCH);
        for (let i = 0; i < BATCH; i++) expect(brief(batch.get(i))).toEqual(singles[i % requests.length]);
      }),
      { numRuns: runs(400, 20_000), seed },
    );
    expect(repeats).toBeGreaterThan(50);
  });
});
