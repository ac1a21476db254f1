/**
 * What the measured rounds allow to say. A ratio is the median of the rounds' ratios; when the rounds
 * disagree by more than chance explains, there is no ratio, only the reason why not.
 *
 * Knows numbers only: nothing here takes time.
 */

/** What came out for one implementation of one kernel. */
export interface Measurement {
  /** The kernel. */
  name: string;
  impl: string;
  /** Nanoseconds an operation, one number a round. */
  rounds: readonly number[];
}

/** What `impl` of `kernel` must reach. */
export interface Bar {
  kernel: string;
  impl: string;
  /** The implementation of the same kernel that the ratio is to; native C unless told. */
  against?: string;
  /** Largest ratio that meets the bar: 1.1 = 10 % slower. */
  ratio?: number;
  /** Instead of a ratio: largest time in nanoseconds an operation. */
  nanoseconds?: number;
}

/** A number with how far to trust it. */
export interface Estimate {
  median: number;
  /** Half of the middle 50 % of the rounds, relative to their median. */
  spread: number;
  /** How many there were. */
  rounds: number;
}

/** Rounds that differ by more than this share of their median give no number. */
export const STEADY = 0.25;
/** Fewer rounds than this say nothing about how far they differ. */
export const ENOUGH_ROUNDS = 5;

export const NATIVE = "native C";

export type Verdict =
  | { bar: Bar; state: "met" | "missed"; estimate: Estimate }
  | { bar: Bar; state: "undecided"; why: string };

export function estimate(rounds: readonly number[]): Estimate {
  const median = quantile(rounds, 0.5);
  const spread = (quantile(rounds, 0.75) - quantile(rounds, 0.25)) / 2 / median;
  return { median, spread, rounds: rounds.length };
}

/** Round by round: implementations took turns, so that the two of one round met the same machine. */
export function ratioOf(measurement: Measurement, base: Measurement): Estimate {
  return estimate(measurement.rounds.map((ns, round) => ns / (base.rounds[round] as number)));
}

/** Why an estimate is not to be printed as a number; undefined when it may. */
export function refusal(of: Estimate): string | undefined {
  if (of.rounds < ENOUGH_ROUNDS) return `of ${ENOUGH_ROUNDS} rounds that it takes, ${of.rounds} were made`;
  if (of.spread <= STEADY) return undefined;
  return `rounds differ by ± ${(of.spread * 100).toFixed(0)} %, more than ${STEADY * 100} %`;
}

/** Missed is only what is missed by more than the spread of the rounds. */
export function judge(bar: Bar, measurements: readonly Measurement[]): Verdict {
  const undecided = (why: string): Verdict => ({ bar, state: "undecided", why });
  const find = (impl: string) => measurements.find((one) => one.name === bar.kernel && one.impl === impl);
  const own = find(bar.impl);
  if (!own) return undecided(`"${bar.impl}" was not measured`);
  let of = estimate(own.rounds);
  if (bar.ratio !== undefined) {
    const base = find(bar.against ?? NATIVE);
    if (!base) return undecided(`"${bar.against ?? NATIVE}" was not measured`);
    of = ratioOf(own, base);
  }
  const why = refusal(of);
  if (why) return undecided(why);
  return { bar, state: of.median * (1 - of.spread) > limitOf(bar) ? "missed" : "met", estimate: of };
}

function limitOf(bar: Bar): number {
  const limit = bar.ratio ?? bar.nanoseconds;
  if (limit === undefined) throw new TypeError(`bar: ${bar.kernel}, ${bar.impl} has no limit`);
  return limit;
}

/** What was measured of walks over tables of one size. */
export interface GrowthPoint {
  x: number;
  /** Table entries that a walk reads. */
  fetches: number;
  /** Nanoseconds a walk, in a batch and call by call. */
  batch: number;
  single: number;
  /** The same of native C over the same tables, and the batch's ratio to it. */
  native?: number;
  ratio?: Estimate;
}

export interface Flatness {
  state: "flat" | "not flat" | "undecided";
  why: string;
}

/**
 * Where walks read another number of entries than they should; undefined when nowhere.
 *
 * @param fetchesAt how many more entries a walk has to read at x than at 0
 */
export function wrongFetches(
  points: readonly GrowthPoint[],
  fetchesAt: (x: number) => number,
): { x: number; fetches: number; due: number } | undefined {
  const [first] = points;
  if (!first) return undefined;
  const dueAt = (x: number) => first.fetches - fetchesAt(first.x) + fetchesAt(x);
  const wrong = points.find(({ x, fetches }) => fetches !== dueAt(x));
  return wrong && { x: wrong.x, fetches: wrong.fetches, due: dueAt(wrong.x) };
}

/**
 * Whether walks cost the same at the last point as at the first, apart from what the machine's caches do
 * to any program that reads the same entries: native C's growth is taken as that. More growth than
 * native C's counts only where it is more than the spread of the rounds.
 */
export function flatness(points: readonly GrowthPoint[]): Flatness {
  const [first, last] = [points[0], points.at(-1)];
  if (!first?.ratio || !last?.ratio) return { state: "undecided", why: "there is no native C to compare with" };
  const why = refusal(first.ratio) ?? refusal(last.ratio);
  if (why) return { state: "undecided", why };
  const grown = last.ratio.median / first.ratio.median;
  const spread = first.ratio.spread + last.ratio.spread;
  const times = (from: number, to: number) => `${(to / from).toFixed(1)}x`;
  const c = times(first.native as number, last.native as number);
  const worst = points.reduce((a, b) => ((b.ratio?.median ?? 0) > (a.ratio?.median ?? 0) ? b : a));
  return {
    state: grown * (1 - spread) > 1 ? "not flat" : "flat",
    why: `from ${first.x} to ${last.x} the time becomes ${times(first.batch, last.batch)}, native C's over the same tables ${c}; at worst ${showRatio(worst.ratio?.median ?? 0)} of native C, at ${worst.x}`,
  };
}

/** Exit code of a check: 1 = a bar is missed, 2 = none is, but some could not be decided. */
export function exitCode(verdicts: readonly Verdict[]): 0 | 1 | 2 {
  if (verdicts.some(({ state }) => state === "missed")) return 1;
  return verdicts.some(({ state }) => state === "undecided") ? 2 : 0;
}

/** "missed     vtd first-stage walk, hot: Wasm, batch is 1.21x ± 2 % of native C, bar 1.10x" */
export function verdictLine(verdict: Verdict): string {
  const { bar, state } = verdict;
  const what = `${state.padEnd(11)}${bar.kernel}: ${bar.impl}`;
  const limit = bar.ratio === undefined ? showTime(limitOf(bar)) : `${showRatio(limitOf(bar))}`;
  if (verdict.state === "undecided") return `${what}, bar ${limit}: ${verdict.why}`;
  const { median, spread } = verdict.estimate;
  const is = bar.ratio === undefined ? showTime(median) : showRatio(median);
  const of = bar.ratio === undefined ? "" : ` of ${bar.against ?? NATIVE}`;
  return `${what} is ${is} ± ${(spread * 100).toFixed(0)} %${of}, bar ${limit}`;
}

/** One line a measurement, kernels grouped; ratios to native C. */
export function table(measurements: readonly Measurement[]): string {
  const lines: string[] = [];
  let kernel = "";
  for (const measurement of measurements) {
    const { name, impl, rounds } = measurement;
    if (name !== kernel) lines.push("", name);
    kernel = name;
    const base = measurements.find((one) => one.name === name && one.impl === NATIVE);
    const of = base && base !== measurement ? ratioOf(measurement, base) : undefined;
    const why = of && refusal(of);
    const ratio = !of ? "" : why ? `no ratio: ${why}` : `${showRatio(of.median)} ± ${(of.spread * 100).toFixed(0)} %`;
    lines.push(`  ${impl.padEnd(34)}${showTime(estimate(rounds).median).padStart(13)}  ${ratio}`.trimEnd());
  }
  return lines.join("\n");
}

/** What `--json` says of a measurement, one of `all`. */
export function summary(measurement: Measurement, all: readonly Measurement[]): object {
  const { name, impl, rounds } = measurement;
  const base = all.find((one) => one.name === name && one.impl === NATIVE);
  const ratio = base && ratioOf(measurement, base);
  return {
    name,
    impl,
    nsPerOp: estimate(rounds).median,
    ratioVsNative: ratio && !refusal(ratio) ? ratio.median : null,
    spread: ratio?.spread ?? null,
  };
}

function showRatio(ratio: number): string {
  return `${ratio < 0.1 ? ratio.toFixed(3) : ratio.toFixed(2)}x`;
}

function showTime(nanoseconds: number): string {
  return nanoseconds < 1e5 ? `${nanoseconds.toFixed(1)} ns` : `${(nanoseconds / 1e6).toFixed(1)} ms`;
}

export function quantile(values: readonly number[], q: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (sorted.length - 1) * q;
  const low = sorted[Math.floor(at)] ?? Number.NaN;
  const high = sorted[Math.ceil(at)] ?? Number.NaN;
  return low + (high - low) * (at - Math.floor(at));
}
