/** A hostile guest against a VT-d unit: it never throws, hangs or reaches out of bounds, and stays right. */
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Choices } from "../support/choices.ts";
import { runs, seed } from "../support/runs.ts";
import { vtdCase } from "../support/vtd-cases/case.ts";
import { HostileGuest } from "../support/vtd-hostile.ts";

const STEPS = 60;
const tape = fc.array(fc.integer({ min: 0, max: 0xffff_ffff }), { minLength: 1200, maxLength: 1200 });

describe("a hostile guest", () => {
  it(
    "gets the architecture's behaviour, whatever it does",
    () => {
      fc.assert(
        fc.property(tape, vtdCase, (words, world) => {
          const guest = new HostileGuest(new Choices(words), world);
          guest.start();
          for (let step = 0; step < STEPS; step++) expect(guest.act(), `step ${step}`).toBeUndefined();
        }),
        { numRuns: runs(400, 200_000), seed },
      );
    },
    runs(300_000, 4_000_000),
  );
});
