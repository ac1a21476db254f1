/** What the bench makes of its numbers: when it prints a ratio, and when a bar is missed. */
import { describe, expect, it } from "vitest";
import {
  type Bar,
  estimate,
  exitCode,
  judge,
  type Measurement,
  NATIVE,
  ratioOf,
  table,
  verdictLine,
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
