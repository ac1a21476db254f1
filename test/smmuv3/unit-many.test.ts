/** Many requests at once are decided as the same requests one by one: outcomes, events, stalls, updates of memory. */
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type Access, type Request, type SmmuCachePolicy, smmuFeatures } from "../../src/index.ts";
import { runs, seed } from "../support/runs.ts";
import {
  CD_PLAIN,
  CD0,
  FREE,
  LEAF,
  LEAF_NO_AF,
  LEAF_READ_ONLY,
  leaf,
  SmmuBench,
  STE_ABORT,
  STE_BYPASS,
  stage1,
  TABLES,
} from "../support/smmu-bench.ts";

/** A stream with tables, one that aborts, one that passes, one with an invalid STE, one that does not exist. */
const SIDS = [5, 5, 5, 5, 6, 7, 8, 0x1000];
const PAGES = 8;
/** More than two portions. */
const MOST = 140;
/** A leaf that is dirty once it is written: DBM, AP[2]. */
const LEAF_CLEAN = LEAF_NO_AF | (1n << 51n) | 0xc0n;
const LEAVES = [0n, LEAF, LEAF_NO_AF, LEAF_READ_ONLY, LEAF_CLEAN];

const page = fc.nat({ max: PAGES - 1 });
const request: fc.Arbitrary<Request> = fc.record({
  sid: fc.constantFrom(...SIDS),
  pasid: fc.constantFrom(null, null, null, 3),
  address: fc.tuple(page, fc.nat({ max: 4095 })).map(([at, offset]) => (BigInt(at) << 12n) | BigInt(offset)),
  access: fc.constantFrom<Access>("r", "w", "x", "a"),
  privileged: fc.boolean(),
  probe: fc.nat({ max: 5 }).map((n) => n === 0),
  type: fc.constantFrom("untranslated", "untranslated", "untranslated", "translation", "translated"),
});
const machine = fc.record({
  caches: fc.constantFrom<SmmuCachePolicy>("none", "sized", "retain"),
  stalls: fc.boolean(),
  updates: fc.constantFrom(0n, CD0.HA, CD0.HA | CD0.HD),
  leaves: fc.array(fc.constantFrom(...LEAVES), { minLength: PAGES, maxLength: PAGES }),
  /** Too small for all events, sometimes. */
  log2Events: fc.constantFrom(2, 7),
  log2Stalls: fc.constantFrom(1, 6),
});
type Machine = typeof machine extends fc.Arbitrary<infer M> ? M : never;

function build({ caches, stalls, updates, leaves, log2Events, log2Stalls }: Machine) {
  const features = smmuFeatures({ STALL_MAX: 2 ** log2Stalls });
  const bench = new SmmuBench({ caches, features, log2Events, cr0: 0x1f });
  stage1(bench, 5, CD_PLAIN | updates | (stalls ? CD0.S : 0n));
  bench.ste(6, STE_ABORT);
  bench.ste(7, STE_BYPASS);
  leaves.forEach((descriptor, i) => {
    leaf(bench, i, descriptor && descriptor | (FREE + BigInt(i) * 0x1000n));
  });
  const ended: unknown[] = [];
  bench.smmu.onResume = (transaction, asked, outcome) => void ended.push([transaction, asked, outcome]);
  const heard: unknown[] = [];
  bench.smmu.onEvent = (event) => void heard.push(event);
  return { bench, ended, heard };
}

/** Everything that tells how the requests went. */
function traces({ bench, ended, heard }: ReturnType<typeof build>) {
  const stalled = bench.smmu.stalled;
  const snapshot = bench.smmu.snapshot();
  const events = bench.events();
  // Ends all that stall.
  bench.enable(0);
  const tables = bench.memory.readBytes(TABLES, 0x3000);
  return { stalled, snapshot, events, ended, heard, tables };
}

describe("translateMany, IHI 0070 3.12", () => {
  it("says and leaves what single requests say and leave", () => {
    const seen = { ok: 0, failed: 0, stalled: 0, updated: 0 };
    fc.assert(
      fc.property(machine, fc.array(request, { minLength: 30, maxLength: MOST }), (how, requests) => {
        const [one, many] = [build(how), build(how)];
        const singles = requests.map((each) => one.bench.smmu.translate(each));
        expect(many.bench.smmu.translateMany(requests)).toEqual(singles);
        const [left, right] = [traces(one), traces(many)];
        expect(right).toEqual(left);
        for (const outcome of singles) {
          if (outcome.ok) seen.ok++;
          else if (outcome.answer === "stall") seen.stalled++;
          else seen.failed++;
          if (outcome.ok && outcome.updated) seen.updated++;
        }
      }),
      { numRuns: runs(50, 2000), seed },
    );
    for (const [what, count] of Object.entries(seen)) expect(count, what).toBeGreaterThan(20);
  });

  it("may be called by who hears of its events", () => {
    const { bench } = build({
      caches: "none",
      stalls: false,
      updates: 0n,
      leaves: new Array(PAGES).fill(0n),
      log2Events: 7,
      log2Stalls: 1,
    });
    leaf(bench, 1, FREE | LEAF);
    const inner: unknown[] = [];
    bench.smmu.onEvent = ({ InputAddr }) => {
      if (InputAddr === 0n) inner.push(...bench.smmu.translateMany([{ sid: 5, address: 0x1004n }]));
    };
    const outcomes = bench.smmu.translateMany([
      { sid: 5, address: 0n },
      { sid: 5, address: 0x2000n },
      { sid: 5, address: 0x1008n },
    ]);
    expect(inner).toMatchObject([{ ok: true, address: FREE + 4n }]);
    expect(outcomes).toMatchObject([{ code: 0x10 }, { code: 0x10 }, { ok: true, address: FREE + 8n }]);
  });

  it("decides nothing of a portion with a malformed request", () => {
    const bench = new SmmuBench();
    const requests = [
      { sid: 5, address: 0n },
      { sid: 5, address: -1n },
    ];
    expect(() => bench.smmu.translateMany(requests)).toThrow(/^address: /);
    expect(bench.events()).toEqual([]);
    expect(bench.smmu.translateMany([])).toEqual([]);
  });
});
