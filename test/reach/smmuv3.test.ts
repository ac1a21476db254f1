/** The enumeration of SMMUv3 tables against the walker: over random registers and tables the two say the same. */
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { reachOf } from "../../src/capture/reach.ts";
import { SmmuWalker } from "../../src/index.ts";
import { Choices } from "../support/choices.ts";
import { differences } from "../support/reach.ts";
import { runs, seed } from "../support/runs.ts";
import { buildCase } from "../support/smmu-cases/case.ts";
import { Platform } from "../support/smmu-cases/platform.ts";

const TAPE = 600;

describe("enumeration of SMMUv3 tables, IHI 0070 3.3 and 3.4", () => {
  it("maps what the walker translates, to the same place with the same rights, and nothing else", () => {
    const compared = { mapped: 0, refused: 0, nested: 0, repeats: 0 };
    const compare = (tape: number[]): string[] => {
      const { state, image, requests } = buildCase(new Choices(tape), 2);
      const platform = new Platform();
      platform.load(image);
      const walker = new SmmuWalker(platform.memory, state);
      return differences(reachOf(platform.memory, walker), walker, requests, ["r", "w", "x"], compared);
    };
    const tapes = fc.array(fc.integer({ min: 0, max: 0xffff_ffff }), { minLength: TAPE, maxLength: TAPE });
    fc.assert(
      fc.property(tapes, (tape) => void expect(compare(tape)).toEqual([])),
      { numRuns: runs(200, 10_000), seed },
    );
    expect(Math.min(compared.mapped, compared.refused, compared.nested)).toBeGreaterThan(30);
  });
});
