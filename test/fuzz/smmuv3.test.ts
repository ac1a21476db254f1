/**
 * A hostile guest and a careless host at one SMMU: random registers, tables, commands and requests, bus
 * errors, snapshots at any moment. Nothing throws or hangs, a snapshot brings everything back, and what
 * devices get and software reads equals the oracle's answer to the registers and the memory of the moment.
 */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Choices } from "../support/choices.ts";
import { runs, seed } from "../support/runs.ts";
import { Attack, seen } from "../support/smmu-hostile.ts";

const TAPE = 1000;
const CASES = runs(1500, 300_000);

describe("a hostile guest", () => {
  it("gets the architecture's answers, and nothing else", () => {
    fc.assert(
      fc.property(fc.uint32Array({ minLength: TAPE, maxLength: TAPE }), (tape) => {
        expect(new Attack(new Choices(tape)).run()).toEqual([]);
      }),
      { numRuns: CASES, seed },
    );
  });

  it("reached what it is for", () => {
    const missing = MUST_BE_SEEN.filter((what) => !seen.has(what));
    expect(missing).toEqual([]);
  });
});

const MUST_BE_SEEN = [
  ...[
    "translated",
    "event compared",
    "commands",
    "registers",
    "tables",
    "transfers",
    "snapshots",
    "restored",
    "bus errors",
    "batches",
  ],
  ...[
    "interrupt",
    "resumed transfer",
    "page request queued",
    "page request failure",
    "page request retry",
    "page request dropped",
    "with caches",
  ],
  ...[
    "abort 2",
    "abort 3",
    "abort 4",
    "abort 8",
    "abort 9",
    "abort a",
    "abort b",
    "abort 10",
    "stall 10",
    "raz-wi 10",
    "ur 5",
    "abort 7",
  ],
];
