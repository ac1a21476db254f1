/** What the bench makes of its numbers: when it prints a ratio, and when a bar is missed. */
import { describe, expect, it } from "vitest";
import {
  type Bar,
  estimate,
  exitCode,
  flatness,
  type GrowthPoint,
  judge,
  type Measurement,
  NATIVE,
  ratioOf,
  summary,
  table,
  verdictLine,
  wrongFetches,
} from "../../bench/judge.ts";

const KERNEL = "walk, hot";
const measured = (impl: string, rounds: number[]): Measurement => ({ name: KERNEL, impl, rounds });
const C = measured(NATIVE, [10, 10, 10, 10, 10]);
const bar: Bar = { kernel: KERNEL, impl: "Wasm", ratio: 1.1 };

describe("estimate", () => {
  it("is the median, with half of the middle half as its spread", () => {
    expect(estimate([100, 90, 80, 110, 120])).toEqual({ median: 100, spread: 0.1, rounds: 5 });
  });

  it("takes ratios round by round, so that a slow phase of the machine cancels out", () => {
    const slowPhase = measured(NATIVE, [10, 30, 10, 30, 10]);
    expect(ratioOf(measured("Wasm", [12, 36, 12, 36, 12]), slowPhase)).toEqual({ median: 1.2, spread: 0, rounds: 5 });
  });
});

describe("judge", () => {
  const stateOf = (rounds: number[], of: Bar = bar) => judge(of, [C, measured("Wasm", rounds)]).state;

  it("misses a bar by more than the spread only", () => {
    expect(stateOf([11, 11, 11, 11, 11])).toBe("met");
    expect(stateOf([11.1, 11.1, 11.1, 11.1, 11.1])).toBe("missed");
    // 1.2 ± 10 % may well be 1.1; 1.2 ± 5 % is not.
    expect(stateOf([10.8, 12, 13.2, 10.8, 13.2])).toBe("met");
    expect(stateOf([11.4, 12, 12.6, 11.4, 12.6])).toBe("missed");
  });

  it("decides nothing on rounds that disagree, however far off they are", () => {
    const verdict = judge(bar, [C, measured("Wasm", [20, 200, 40, 400, 80])]);
    expect(verdict).toMatchObject({ state: "undecided", why: expect.stringMatching(/rounds differ by ± \d+ %/) });
  });

  it("decides nothing on too few rounds, or without what the ratio is to", () => {
    expect(judge(bar, [C, measured("Wasm", [99])])).toMatchObject({
      state: "undecided",
      why: expect.stringContaining("1 were made"),
    });
    expect(judge(bar, [measured("Wasm", [1, 1, 1, 1, 1])])).toMatchObject({ why: `"${NATIVE}" was not measured` });
    expect(judge(bar, [C])).toMatchObject({ state: "undecided", why: '"Wasm" was not measured' });
  });

  it("compares with another implementation, and with plain time, where the bar says so", () => {
    const scans: Bar = { ...bar, against: "flat scan", ratio: 0.05 };
    const slow = measured("flat scan", [400, 400, 400, 400, 400]);
    expect(judge(scans, [C, slow, measured("Wasm", [20, 20, 20, 20, 20])]).state).toBe("met");
    expect(judge(scans, [C, slow, measured("Wasm", [21, 21, 21, 21, 21])]).state).toBe("missed");
    const time: Bar = { kernel: KERNEL, impl: "Wasm", nanoseconds: 15e6 };
    expect(judge(time, [measured("Wasm", [15e6, 15e6, 15e6, 15e6, 15e6])]).state).toBe("met");
    expect(judge(time, [measured("Wasm", [16e6, 16e6, 16e6, 16e6, 16e6])]).state).toBe("missed");
  });

  it("never takes a measurement of another kernel", () => {
    const other = { ...measured("Wasm", [99, 99, 99, 99, 99]), name: "walk, cold" };
    expect(judge(bar, [C, other]).state).toBe("undecided");
  });
});

describe("growth", () => {
  /** At x: nanoseconds of a walk of ours and of native C, with so much spread. */
  const point = (x: number, batch: number, native: number, spread = 0, fetches = 8): GrowthPoint => {
    const ratio = { median: batch / native, spread, rounds: 9 };
    return { x, fetches, batch, single: batch, native, ratio };
  };

  it("is flat where native C grows as much over the same tables, or more", () => {
    expect(flatness([point(1, 30, 30), point(64, 60, 40), point(4096, 120, 120)])).toEqual({
      state: "flat",
      why: "from 1 to 4096 the time becomes 4.0x, native C's over the same tables 4.0x; at worst 1.50x of native C, at 64",
    });
    expect(flatness([point(1, 30, 30), point(4096, 60, 120)]).state).toBe("flat");
  });

  it("is not where native C grows less, by more than the spread", () => {
    expect(flatness([point(1, 30, 30), point(4096, 66, 60)]).state).toBe("not flat");
    expect(flatness([point(1, 30, 30, 0.04), point(4096, 66, 60, 0.04)]).state).toBe("not flat");
    expect(flatness([point(1, 30, 30, 0.05), point(4096, 66, 60, 0.05)]).state).toBe("flat");
  });

  it("is undecided without native C, or on rounds that disagree", () => {
    const alone = { x: 1, fetches: 8, batch: 30, single: 30 };
    expect(flatness([alone, alone]).why).toBe("there is no native C to compare with");
    expect(flatness([point(1, 30, 30), point(4096, 90, 30, 0.3)]).why).toMatch(/rounds differ by ± 30 %/);
    expect(flatness([])).toMatchObject({ state: "undecided" });
  });

  it("names the point where a walk reads more entries than it should", () => {
    const points = [point(3, 30, 30, 0, 7), point(4, 30, 30, 0, 8), point(5, 30, 30, 0, 9)];
    expect(wrongFetches(points, (x) => x)).toBeUndefined();
    expect(wrongFetches(points, () => 0)).toEqual({ x: 4, fetches: 8, due: 7 });
    expect(wrongFetches([], () => 0)).toBeUndefined();
  });
});

describe("what is printed", () => {
  it("names a missed bar with ratio, spread and limit", () => {
    const line = verdictLine(judge(bar, [C, measured("Wasm", [12, 12, 12, 12, 12])]));
    expect(line).toBe("missed     walk, hot: Wasm is 1.20x ± 0 % of native C, bar 1.10x");
  });

  it("prints no ratio whose rounds disagree, but why", () => {
    const steady = table([C, measured("Wasm", [12, 12, 12, 12, 12])]);
    expect(steady).toMatch(/Wasm +12\.0 ns {2}1\.20x ± 0 %/);
    const unsteady = table([C, measured("Wasm", [20, 200, 40, 400, 80])]);
    expect(unsteady).toMatch(/Wasm +80\.0 ns {2}no ratio: rounds differ by ± \d+ %, more than 25 %/);
    expect(unsteady).not.toMatch(/\dx/);
    expect(table([C, measured("Wasm", [12])])).toMatch(/12\.0 ns {2}no ratio: of 5 rounds that it takes, 1 were made/);
  });

  it("gives a program no ratio whose rounds disagree, but how far they do", () => {
    const steady = measured("Wasm", [12, 12, 12, 12, 12]);
    const one = { name: KERNEL, impl: "Wasm" };
    expect(summary(steady, [C, steady])).toEqual({ ...one, nsPerOp: 12, ratioVsNative: 1.2, spread: 0 });
    const unsteady = measured("Wasm", [20, 200, 40, 400, 80]);
    expect(summary(unsteady, [C, unsteady])).toEqual({ ...one, nsPerOp: 80, ratioVsNative: null, spread: 1 });
    expect(summary(steady, [steady])).toEqual({ ...one, nsPerOp: 12, ratioVsNative: null, spread: null });
  });

  it("exits 1 for a missed bar, 2 where some could not be decided, else 0", () => {
    const estimated = { median: 1, spread: 0, rounds: 5 };
    const met = { bar, state: "met", estimate: estimated } as const;
    const missed = { bar, state: "missed", estimate: estimated } as const;
    const undecided = { bar, state: "undecided", why: "" } as const;
    expect(exitCode([met, undecided, missed])).toBe(1);
    expect(exitCode([met, undecided])).toBe(2);
    expect(exitCode([met])).toBe(0);
  });
});
