/** Short fast-check commands: a text and what to do with model and real thing. */
import { isDeepStrictEqual } from "node:util";
import fc from "fast-check";
import { expect } from "vitest";
import { coreForBitmaps } from "../../src/ioasid/bitmap.ts";
import type { IoasidOptions } from "../../src/ioasid/index.ts";
import { runs, seed } from "./runs.ts";

type Command<M extends object, R> = fc.Command<M, R>;

/** A command that can run at any time; `text` is what a failure prints. */
export function command<M extends object, R>(text: string, run: (model: M, real: R) => void): Command<M, R> {
  return { check: () => true, run, toString: () => text };
}

/** `expect(...).toEqual(...)` for where it is called millions of times: its machinery only for a difference. */
export function same(actual: unknown, expected: unknown): void {
  if (!isDeepStrictEqual(actual, expected)) expect(actual).toEqual(expected);
}

/** Runs command sequences: a few thousand in `npm test`, a hundred thousand in `npm run fuzz`. */
export function checkCommands<M extends object, R>(
  commands: fc.Arbitrary<Command<M, R>>[],
  setup: () => { model: M; real: R },
): void {
  fc.assert(
    fc.property(fc.commands(commands, { maxCommands: 40, size: "+1" }), (sequence) => fc.modelRun(setup, sequence)),
    { seed, numRuns: runs(2_000, 100_000) },
  );
}

const BITMAPS_PER_CORE = 100;
let core = coreForBitmaps(BITMAPS_PER_CORE);
let used = 0;

/** A core with room for `count` bitmaps. Thousands of spaces need not be thousands of Wasm memories. */
export function sharedCore(count: number): NonNullable<IoasidOptions["core"]> {
  if (used + count > BITMAPS_PER_CORE) {
    core = coreForBitmaps(BITMAPS_PER_CORE);
    used = 0;
  }
  used += count;
  return core;
}
