/**
 * `npm run bench -- --scaling`: how many translations a second 1, 2, ... workers make over the same tables,
 * beside as many native C programs that walk them, which is what the machine can do; and what memory that
 * can be shared costs a single thread.
 *
 * Throughput is a matter of the wall clock, and so of what else the machine does: all take turns in each
 * round, and a ratio is printed only when the rounds agree on it.
 */
import { availableParallelism } from "node:os";
import { Worker } from "node:worker_threads";
import { REQUEST_BYTES } from "../assembly/layout/core.ts";
import { P_IOTLB_G } from "../assembly/layout/vtd-descriptors.ts";
import { SmmuWalker, VtdWalker, type WalkerHandle } from "../src/index.ts";
import type { Walker } from "../src/walker.ts";
import { attachVtdWalker } from "../src/workers/index.ts";
import { type Effort, type Implementation, measure } from "./harness.ts";
import { estimate, judge, type Measurement, ratioOf, refusal, verdictLine } from "./judge.ts";
import { Native } from "./native.ts";
import type { BenchRam, BenchRequest } from "./ram.ts";
import { CONTROL, type ScalingJob } from "./scaling-worker.ts";
import { type SmmuShape, smmuData } from "./tables-smmuv3.ts";
import { type VtdShape, vtdData } from "./tables-vtd.ts";

/** What memory that can be shared may cost a single thread. */
const SHARED_COST = 1.02;
const INVALIDATION_MS = 1;
/** A round takes a hundredth of that. */
const LOST_MS = 60_000;
/** A hit costs about a fifth of a walk. */
const HIT_WEIGHT = 5;
const [PLAIN, SHARED] = ["memory of one thread's own", "memory that can be shared"];
const NATIVE_WALKS = "native C, walks";
const DOMAIN = 5;
/** 32-bit words of a REQUEST record. */
const WORDS = REQUEST_BYTES / Uint32Array.BYTES_PER_ELEMENT;

/** What one implementation does with so many threads at once, `times` over all requests each. */
interface Contender {
  name: string;
  /** How many times the work of others it takes to keep it busy for as long. */
  weight: number;
  /** @returns milliseconds until the last of them is through */
  run(threads: number, times: number): Promise<number>;
}

/** 1, 2, 4, ... and as many as there are processors, two at least. */
function threadCounts(): number[] {
  const all = Math.max(2, availableParallelism());
  const counts = [];
  for (let n = 1; n < all; n *= 2) counts.push(n);
  return [...counts, all];
}

/** @returns whether shared memory costs a single thread no more than it may */
export async function scaling(smoke: boolean, effort: Effort, vtd: VtdShape, smmu: SmmuShape): Promise<boolean> {
  const counts = threadCounts();
  const most = counts.at(-1) as number;
  const times = smoke ? 4 : 6000;
  const natives = Array.from({ length: most }, () => Native.start()).filter((native) => native !== undefined);
  if (natives.length === 0) console.log("no C compiler (cc): the machine's own limit is not known");
  const crews: Crew[] = [];
  const crew = (...args: ConstructorParameters<typeof Crew>) => {
    const one = new Crew(...args);
    crews.push(one);
    return one;
  };
  try {
    const data = vtdData({ ...vtd, shared: true });
    const { ram, requests, cap, ecap, rtaddr, haw } = data;
    const state = { cap, ecap, rtaddr, haw };
    const cached = new VtdWalker(ram.memory, state, "sized");
    let next = 0;
    const invalidate = () => {
      const { pasid, address } = requests[next++ % requests.length] as BenchRequest;
      cached.caches?.invalidatePasidIotlb(P_IOTLB_G.PAGE, DOMAIN, pasid, BigInt(address), 0, false);
    };
    await show("vtd first-stage, hot", counts, times, requests.length, effort, [
      ...(await spinners(natives, ram, requests, "vtd", [cap, ecap, rtaddr, haw])),
      crew("workers, walks", 1, new VtdWalker(ram.memory, state).share(most), requests),
      crew("workers, through an IOTLB", HIT_WEIGHT, cached.share(most), requests),
      crew(`the same, ${1000 / INVALIDATION_MS} invalidations/s`, HIT_WEIGHT, cached.share(most), requests, invalidate),
    ]);
    const arm = smmuData({ ...smmu, shared: true });
    const { strtabBase, strtabBaseCfg, idr0, idr1, idr3, idr5 } = arm;
    const registers = { strtabBase, strtabBaseCfg, idr0, idr1, idr3, idr5, cr0: 1 };
    await show("smmuv3 stage 1, hot", counts, times, arm.requests.length, effort, [
      ...(await spinners(natives, arm.ram, arm.requests, "smmu", [strtabBase, strtabBaseCfg, idr0, idr1, idr3, idr5])),
      crew("workers, walks", 1, new SmmuWalker(arm.ram.memory, registers).share(most), arm.requests),
    ]);
  } finally {
    for (const native of natives) native.stop();
    await Promise.all(crews.map((one) => one.end()));
  }
  return singleThread(smoke, effort, vtd);
}

/** REQUEST records, in words: source-id, PASID, halves of the address, flags, and one that pads. */
function recordsOf(requests: readonly BenchRequest[]): Uint32Array<ArrayBuffer> {
  const words = new Uint32Array(requests.length * WORDS);
  requests.forEach(({ sid, pasid, address, flags }, i) => {
    words.set([sid, pasid, address % 2 ** 32, address / 2 ** 32, flags], i * WORDS);
  });
  return words;
}

/** Native programs, each with its own copy of the tables, all told at once to walk them. */
async function spinners(
  natives: readonly Native[],
  ram: BenchRam,
  requests: readonly BenchRequest[],
  vendor: "vtd" | "smmu",
  configure: readonly (number | bigint)[],
): Promise<Contender[]> {
  if (natives.length === 0) return [];
  const bytes = new Uint8Array(recordsOf(requests).buffer);
  for (const native of natives) {
    await native.hand(ram.bytes, (path) => `ram ${path} ${ram.bytes.length}`);
    await native.hand(bytes, (path) => `requests ${path} ${requests.length}`);
    await native.command(`${vendor} ${configure.map((value) => value.toString(16)).join(" ")}`);
  }
  return [
    {
      name: NATIVE_WALKS,
      weight: 1,
      run: async (threads, times) => {
        const start = performance.now();
        await Promise.all(natives.slice(0, threads).map((native) => native.command(`walk ${vendor} ${times}`)));
        return performance.now() - start;
      },
    },
  ];
}

/** Worker threads, one for each handle, that translate the same requests. */
class Crew implements Contender {
  readonly name: string;
  readonly weight: number;
  readonly #control = new Int32Array(new SharedArrayBuffer(4 * CONTROL.END));
  readonly #workers: readonly Worker[];
  readonly #meanwhile: (() => void) | undefined;

  /** @param meanwhile what this thread does every INVALIDATION_MS while they are at it */
  constructor(
    name: string,
    weight: number,
    handles: readonly WalkerHandle[],
    requests: readonly BenchRequest[],
    meanwhile?: () => void,
  ) {
    this.name = name;
    this.weight = weight;
    this.#meanwhile = meanwhile;
    this.#workers = handles.map((handle, place) => {
      const workerData: ScalingJob = { handle, control: this.#control, place, requests: recordsOf(requests) };
      return new Worker(new URL("./scaling-worker.js", import.meta.url), { workerData });
    });
  }

  /** The first time finds the workers starting, and does not count. */
  async run(threads: number, times: number): Promise<number> {
    const control = this.#control;
    Atomics.store(control, CONTROL.WORKERS, threads);
    Atomics.store(control, CONTROL.TIMES, times);
    Atomics.store(control, CONTROL.DONE, 0);
    const start = performance.now();
    Atomics.add(control, CONTROL.ROUND, 1);
    Atomics.notify(control, CONTROL.ROUND);
    for (let done = 0; done < threads; done = Atomics.load(control, CONTROL.DONE)) {
      if (Atomics.wait(control, CONTROL.DONE, done, INVALIDATION_MS) !== "timed-out") continue;
      if (performance.now() - start > LOST_MS) throw new Error(`${this.name}: a worker does not answer`);
      this.#meanwhile?.();
    }
    const passed = performance.now() - start;
    if (Atomics.load(control, CONTROL.FAULTS) > 0) throw new Error(`${this.name}: faults in a batch`);
    return passed;
  }

  end(): Promise<unknown> {
    return Promise.all(this.#workers.map((worker) => worker.terminate()));
  }
}

/** Measures contenders, taking turns, and prints their throughput and how it grows. */
async function show(
  kernel: string,
  counts: readonly number[],
  times: number,
  requests: number,
  effort: Effort,
  contenders: readonly Contender[],
): Promise<void> {
  const measured = new Map<string, Measurement>();
  const key = (name: string, threads: number) => `${name} x ${threads}`;
  for (let round = -1; round < effort.rounds; round++) {
    for (const contender of contenders) {
      for (const threads of counts) {
        const impl = key(contender.name, threads);
        const measurement = measured.get(impl) ?? { name: kernel, impl, rounds: [] };
        measured.set(impl, measurement);
        const each = times * contender.weight;
        const ns = ((await contender.run(threads, each)) * 1e6) / (threads * each * requests);
        if (round >= 0) measurement.rounds = [...measurement.rounds, ns];
      }
    }
  }
  console.log(`\n${kernel}: million translations a second of ${counts.join(", ")} threads, and times one thread's`);
  for (const { name } of contenders) {
    const columns = counts.map((threads) => {
      const all = measured.get(key(name, threads)) as Measurement;
      const base = measured.get(key(name, 1)) as Measurement;
      const rate = (1000 / estimate(all.rounds).median).toFixed(1).padStart(7);
      return threads === 1 ? rate : `${rate}  ${growthOf(base, all)}`;
    });
    console.log(`  ${name.padEnd(34)}${columns.join("")}`);
  }
}

function growthOf(one: Measurement, all: Measurement): string {
  const ratio = ratioOf(one, all);
  const why = refusal(ratio);
  return why ? `no ratio: ${why}` : `${ratio.median.toFixed(2)}x ± ${(ratio.spread * 100).toFixed(0)} %`;
}

/** What a single thread pays: memory that can be shared beside memory of its own, and a worker's way in and out. */
async function singleThread(smoke: boolean, effort: Effort, shape: VtdShape): Promise<boolean> {
  const times = smoke ? 4 : 400;
  const kernel = "vtd first-stage walk, hot, one thread";
  const walkers: [name: string, Walker, readonly BenchRequest[]][] = [false, true].map((shared) => {
    const { ram, requests, cap, ecap, rtaddr, haw } = vtdData({ ...shape, shared });
    return [shared ? SHARED : PLAIN, new VtdWalker(ram.memory, { cap, ecap, rtaddr, haw }), requests];
  });
  const { ram, requests, cap, ecap, rtaddr, haw } = vtdData({ ...shape, shared: true });
  const [handle] = new VtdWalker(ram.memory, { cap, ecap, rtaddr, haw }).share(1);
  walkers.push(["a worker's walker", attachVtdWalker(handle as WalkerHandle), requests]);
  const implementations = walkers.flatMap(([name, walker, all]) => [
    inBatch(`${name}, batch`, walker, all, times),
    oneByOne(`${name}, one call a walk`, walker, all, times),
  ]);
  const measured = await measure({ name: kernel, operations: requests.length * times, implementations }, effort);
  console.log(`\n${kernel}`);
  for (const [i, measurement] of measured.entries()) {
    const ns = estimate(measurement.rounds).median.toFixed(1).padStart(7);
    const base = measured[i % 2] as Measurement;
    console.log(`  ${measurement.impl.padEnd(46)}${ns} ns${i < 2 ? "" : `  ${growthOf(measurement, base)}`}`);
  }
  if (smoke) return true;
  const bar = { kernel, impl: `${SHARED}, batch`, against: `${PLAIN}, batch`, ratio: SHARED_COST };
  const verdict = judge(bar, measured);
  console.log(verdictLine(verdict));
  return verdict.state !== "missed";
}

function inBatch(name: string, walker: Walker, requests: readonly BenchRequest[], times: number): Implementation {
  const batch = walker.batch(requests.length);
  requests.forEach(({ sid, pasid, address, flags }, i) => {
    batch.put(i, sid, pasid, address % 2 ** 32, address / 2 ** 32, flags);
  });
  return {
    name,
    round: () => {
      for (let t = 0; t < times; t++) if (batch.run(requests.length)) throw new Error(`${name}: faults in a batch`);
    },
  };
}

function oneByOne(name: string, walker: Walker, requests: readonly BenchRequest[], times: number): Implementation {
  const words = recordsOf(requests);
  return {
    name,
    round: () => {
      for (let t = 0; t < times; t++) {
        for (let i = 0; i < words.length; i += WORDS) {
          walker.walk(
            words[i] as number,
            words[i + 1] as number,
            words[i + 2] as number,
            words[i + 3] as number,
            words[i + 4] as number,
          );
        }
      }
    },
  };
}
