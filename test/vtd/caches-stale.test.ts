/** Stale answers: none but those the architecture permits, and with "retain" all that can be had. */
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { VtdCachePolicy } from "../../src/index.ts";
import { runs, seed } from "../support/runs.ts";
import { StaleWorld } from "../support/vtd-stale-world.ts";

const POLICIES: readonly VtdCachePolicy[] = [
  "sized",
  "retain",
  { policy: "retain", iotlb: 8, contexts: 4, pasids: 4, firstTables: 8, secondTables: 8 },
  // Some caches are absent.
  { policy: "sized", iotlb: 8, contexts: 16, pasids: 0, firstTables: 16, secondTables: 0 },
  { policy: "retain", contexts: 0, firstTables: 0 },
];

/** One step of a history. */
const step = fc.record({
  kind: fc.integer({ min: 0, max: 9 }),
  a: fc.nat(1000),
  b: fc.nat(1000),
  c: fc.nat(1000),
});

describe("stale translations, VT-d 6.2 and 6.5", () => {
  it.each(POLICIES.map((policy) => [JSON.stringify(policy), policy] as const))(
    "VTD-087 VTD-088 VTD-089 VTD-090 VTD-091 VTD-092 %s: only permitted answers come out",
    (_, policy) => {
      let stale = 0;
      let requests = 0;
      fc.assert(
        fc.property(fc.array(step, { minLength: 4, maxLength: 60, size: "max" }), (steps) => {
          const world = new StaleWorld(policy);
          for (const { kind, a, b, c } of steps) {
            if (kind < 5) {
              const { permitted, got, fresh } = world.request(a, b, c);
              requests++;
              if (got !== fresh) stale++;
              expect([...permitted], world.log.join("\n")).toContain(got);
            } else if (kind < 8) world.change(a, b);
            else world.invalidate(a, b, c);
          }
        }),
        { numRuns: runs(150, 20_000), seed },
      );
      expect(requests).toBeGreaterThan(500);
      // The test would prove nothing if nothing were ever stale.
      expect(stale).toBeGreaterThan(0);
    },
  );
});
