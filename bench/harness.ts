/**
 * The measuring part: implementations of a kernel take turns, round by round, so that what is compared
 * met the same machine. What the rounds say is for `judge.ts`; absolute times on a shared machine are noise.
 *
 * tinybench does the timing, in CPU time: what the process was given, not what a busy machine made of
 * it. A native implementation runs in a child process, which measures itself the same way and hands
 * tinybench the duration.
 */
import { Bench } from "tinybench";
import type { Measurement } from "./judge.ts";

/** One way to do a kernel's work. */
export interface Implementation {
  /** "native C", "Wasm, batch", "plain TypeScript" ... */
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
  /** Of walks: table entries that each of them reads. */
  fetches?: number;
}

export interface Effort {
  rounds: number;
  /** Samples a round; the fastest counts, since interference only ever adds. */
  samples: number;
}

/** Measures implementations of a kernel, taking turns: all, or those whose names are `wanted`. */
export async function measure(
  kernel: Kernel,
  effort: Effort,
  wanted: (impl: string) => boolean = () => true,
): Promise<Measurement[]> {
  const taking = kernel.implementations
    .filter(({ name }) => wanted(name))
    .map((implementation) => ({ implementation, rounds: [] as number[] }));
  for (let round = 0; round < effort.rounds; round++) {
    for (const { implementation, rounds } of taking) {
      rounds.push((await sample(implementation, effort.samples)) / kernel.operations);
    }
  }
  return taking.map(({ implementation, rounds }) => ({ name: kernel.name, impl: implementation.name, rounds }));
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
