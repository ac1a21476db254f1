/**
 * The measuring part: implementations of a kernel take turns, round by round, and what is reported
 * is the median of the rounds' *ratios* to native C. Absolute times on a shared machine are noise.
 *
 * tinybench does the timing, in CPU time: what the process was given, not what a busy machine made of
 * it. A native implementation runs in a child process, which measures itself the same way and hands
 * tinybench the duration.
 */
import { Bench } from "tinybench";

/** One way to do a kernel's work. */
export interface Implementation {
  /** "native C", "Wasm batch", "Wasm calls", "TypeScript" ... */
  name: string;
  /** Does one round of work; a child process returns the milliseconds it measured itself. */
  round(): unknown;
}

export interface Kernel {
  /** "vtd first-stage walk, hot" */
  name: string;
  /** Operations in one round. */
  operations: number;
  implementations: readonly Implementation[];
}

/** What came out for one implementation of one kernel. */
export interface Measurement {
  name: string;
  impl: string;
  /** Median over the rounds. */
  nsPerOp: number;
  /** Median of the ratios to native C in the same round; null without a C compiler. */
  ratioVsNative: number | null;
  /** Half of the middle 50 % of the ratios, relative to their median: how far to trust the ratio. */
  spread: number | null;
}

export const NATIVE = "native C";

export interface Effort {
  rounds: number;
  /** Samples a round; the fastest counts, since interference only ever adds. */
  samples: number;
}

/** Measures every implementation of a kernel, taking turns. */
export async function measure(kernel: Kernel, effort: Effort): Promise<Measurement[]> {
  const times = kernel.implementations.map((): number[] => []);
  for (let round = 0; round < effort.rounds; round++) {
    for (const [i, implementation] of kernel.implementations.entries()) {
      const nanoseconds = await sample(implementation, effort.samples);
      times[i]?.push(nanoseconds / kernel.operations);
    }
  }
  const native = times[kernel.implementations.findIndex(({ name }) => name === NATIVE)];
  return kernel.implementations.map((implementation, i) => {
    const own = times[i] ?? [];
    const ratios = native ? own.map((ns, round) => ns / (native[round] as number)) : [];
    return {
      name: kernel.name,
      impl: implementation.name,
      nsPerOp: quantile(own, 0.5),
      ratioVsNative: native ? quantile(ratios, 0.5) : null,
      spread: native ? (quantile(ratios, 0.75) - quantile(ratios, 0.25)) / 2 / quantile(ratios, 0.5) : null,
    };
  });
}

async function sample(implementation: Implementation, samples: number): Promise<number> {
  const bench = new Bench({ iterations: samples, time: 0, warmup: false, throws: true, now: cpuMilliseconds });
  bench.add(implementation.name, async () => {
    const measured = await implementation.round();
    return typeof measured === "number" ? { overriddenDuration: measured } : undefined;
  });
  await bench.run();
  const result = bench.tasks[0]?.result;
  if (result?.state !== "completed") throw new Error(`${implementation.name}: ${result?.state ?? "did not run"}`);
  return result.latency.min * 1e6;
}

function cpuMilliseconds(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

export function quantile(values: readonly number[], q: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (sorted.length - 1) * q;
  const low = sorted[Math.floor(at)] ?? Number.NaN;
  const high = sorted[Math.ceil(at)] ?? Number.NaN;
  return low + (high - low) * (at - Math.floor(at));
}

/** A ratio whose rounds differ by more than this share is not printed as one. */
export const STEADY = 0.25;

/** One line a measurement, kernels grouped. */
export function table(measurements: readonly Measurement[]): string {
  const lines: string[] = [];
  let kernel = "";
  for (const { name, impl, nsPerOp, ratioVsNative, spread } of measurements) {
    if (name !== kernel) lines.push("", name);
    kernel = name;
    const ratio =
      ratioVsNative === null || spread === null
        ? ""
        : spread > STEADY
          ? `unsteady (± ${(spread * 100).toFixed(0)} %)`
          : `${ratioVsNative.toFixed(2)}x ± ${(spread * 100).toFixed(0)} %`;
    lines.push(`  ${impl.padEnd(34)}${nsPerOp.toFixed(1).padStart(10)} ns  ${ratio}`);
  }
  return lines.join("\n");
}
