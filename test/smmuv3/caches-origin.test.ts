/** What the cache by request holds knows the entries it came from: held against a trace of the walk, over random tables. */
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { REQUEST_FLAG } from "../../assembly/layout/core.ts";
import { ORIGIN, ORIGIN_BYTES } from "../../assembly/layout/smmuv3-caches.ts";
import { hex } from "../../src/check.ts";
import { type SmmuCachePolicy, SmmuWalker, type TraceStep } from "../../src/index.ts";
import { Choices } from "../support/choices.ts";
import { runs, seed } from "../support/runs.ts";
import { buildCase } from "../support/smmu-cases/case.ts";
import { Platform } from "../support/smmu-cases/platform.ts";

const POLICIES: readonly SmmuCachePolicy[] = [
  { policy: "sized", origins: true },
  { policy: "retain", origins: true },
  {
    policy: "retain",
    origins: true,
    requesters: 8,
    stes: 4,
    cds: 4,
    translations: 4,
    stage2Leaves: 4,
    stage1Tables: 4,
  },
  { policy: "sized", origins: true, requesters: 8, l1Stds: 4, cds: 4, stage2Tables: 8 },
];
const PLACES: Readonly<Record<string, ORIGIN>> = {
  L1STD: ORIGIN.L1STD,
  STE: ORIGIN.STE,
  L1CD: ORIGIN.L1CD,
  CD: ORIGIN.CD,
};

/** Addresses by offset in ORIGIN. */
type Origin = Record<number, bigint>;

/** The entries that a trace read last of each kind; of stage 2, those for the page itself. */
function originOf(steps: readonly TraceStep[]): Origin {
  const found: Origin = {};
  let second: Origin = {};
  for (const { structure, stage, level, address } of steps) {
    if (stage === 2) {
      second[ORIGIN.STAGE2 + 8 * level] = address;
      continue;
    }
    // What was just walked in stage 2 led to this entry.
    second = {};
    found[stage === 1 ? ORIGIN.STAGE1 + 8 * level : (PLACES[structure] as number)] = address;
  }
  // An entry at address 0 looks like none.
  return Object.fromEntries(Object.entries({ ...found, ...second }).filter(([, address]) => address !== 0n));
}

describe("origins of cached translations", () => {
  it.each(POLICIES.map((policy) => [JSON.stringify(policy), policy] as const))(
    "%s: as the walk reads them",
    (_, policy) => {
      const platform = new Platform();
      const { core } = platform.memory;
      const at = core.allocate(ORIGIN_BYTES);
      const off = { idr0: 0, idr1: 0, idr5: 0, cr0: 0, strtabBase: 0n, strtabBaseCfg: 0 };
      const walker = new SmmuWalker(platform.memory, off, policy);
      const held = { alone: 0, nested: 0 };
      fc.assert(
        fc.property(fc.uint32Array({ minLength: 600, maxLength: 600 }), (tape) => {
          const drawn = buildCase(new Choices(tape), 4);
          platform.load(drawn.image);
          walker.configure(drawn.state);
          walker.caches?.invalidateAll();
          for (const request of drawn.requests) {
            const { access = "r", type = "untranslated", privileged, sid, pasid, address } = request;
            if (!walker.translate(request).ok || type !== "untranslated") continue;
            const flags =
              (pasid === undefined || pasid === null ? 0 : REQUEST_FLAG.PASID) |
              (privileged ? REQUEST_FLAG.PRIVILEGED : 0) |
              (access === "x" ? REQUEST_FLAG.EXECUTE : 0);
            const [low, high] = [Number(address & 0xffff_ffffn), Number(address >> 32n)];
            if (!core.exports.smmuOrigin(walker.unit, sid, pasid ?? 0, low, high, flags, at)) continue;
            const origin: Origin = {};
            for (let offset = 0; offset < ORIGIN_BYTES; offset += 8) {
              const entry = core.view.getBigUint64(at + offset, true);
              if (entry) origin[offset] = entry;
            }
            const { steps } = walker.trace(request);
            expect(origin, `${hex(address)} ${access}`).toEqual(originOf(steps));
            if (steps.some(({ stage }) => stage === 1) && steps.some(({ stage }) => stage === 2)) held.nested++;
            else held.alone++;
          }
        }),
        { numRuns: runs(300, 10_000), seed },
      );
      for (const [what, count] of Object.entries(held)) expect(count, what).toBeGreaterThan(20);
    },
  );
});
