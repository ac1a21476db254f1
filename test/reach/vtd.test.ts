/** The enumeration of VT-d tables against the walker: over random units and tables the two say the same. */
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { reachOf } from "../../src/capture/reach.ts";
import { VtdWalker } from "../../src/index.ts";
import { differences } from "../support/reach.ts";
import { runs, seed } from "../support/runs.ts";
import { type VtdCase, vtdCase } from "../support/vtd-cases/case.ts";
import { OracleWorld, WalkerWorld } from "../support/vtd-cases/world.ts";

describe("enumeration of VT-d tables, 3.6 to 3.8", () => {
  it("maps what the walker translates, to the same place with the same rights, and nothing else", () => {
    const compared = { mapped: 0, refused: 0, nested: 0, repeats: 0 };
    const compare = (one: VtdCase): string[] => {
      const oracle = new OracleWorld();
      oracle.load(one);
      const world = new WalkerWorld();
      world.load(oracle, one.poisoned);
      const walker = new VtdWalker(world.memory, one.state);
      return differences(reachOf(world.memory, walker), walker, one.requests, ["r", "w"], compared);
    };
    fc.assert(
      fc.property(vtdCase, (one) => void expect(compare(one)).toEqual([])),
      { numRuns: runs(300, 20_000), seed },
    );
    expect(Math.min(compared.mapped, compared.refused, compared.nested)).toBeGreaterThan(30);
  });
});
