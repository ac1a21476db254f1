/** A hostile guest against a VT-d unit: it never throws, hangs or reaches out of bounds, and stays right. */
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { VtdCachePolicy } from "../../src/index.ts";
import { Choices } from "../support/choices.ts";
import { runs, seed } from "../support/runs.ts";
import { vtdCase } from "../support/vtd-cases/case.ts";
import { HostileGuest } from "../support/vtd-hostile.ts";

const STEPS = 60;
const tape = fc.array(fc.integer({ min: 0, max: 0xffff_ffff }), { minLength: 1200, maxLength: 1200 });

/** Guests of one caching policy, each with its own tables, requests and ideas. */
function attack(caches: VtdCachePolicy, cases: number): void {
  fc.assert(
    fc.property(tape, vtdCase, (words, world) => {
      const guest = new HostileGuest(new Choices(words), world, caches);
      guest.start();
      for (let step = 0; step < STEPS; step++) expect(guest.act(), `step ${step}`).toBeUndefined();
    }),
    { numRuns: cases, seed },
  );
}

describe("a hostile guest gets the architecture's behaviour, whatever it does", () => {
  it.each<[string, VtdCachePolicy, number]>([
    ["without caches", "none", 500],
    ["with small caches", { policy: "sized", iotlb: 16, contexts: 4, pasids: 4, firstTables: 4, secondTables: 4 }, 200],
    ["with caches that keep all they may", "retain", 200],
  ])("%s", (_, caches, cases) => attack(caches, runs(cases, 100 * cases)), runs(300_000, 7_200_000));
});
