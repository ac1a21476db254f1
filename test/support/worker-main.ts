/** What the worker threads of the tests run: attach a walker, then do the jobs that arrive as messages. */
import { parentPort, workerData } from "node:worker_threads";
import type { Outcome, Request, WalkerHandle } from "../../src/index.ts";
import { type AttachedWalker, attachSmmuWalker, attachVtdWalker } from "../../src/workers/index.ts";

/** Words that owner and workers share; each worker's count of translations is at COUNT + its place. */
export const EPOCH = 0;
export const STOP = 1;
export const COUNT = 2;

interface Shared {
  control: Int32Array;
  place: number;
}

/**
 * "watch": translates until STOP, and complains of every answer that is older than the epoch in which it was asked
 * for. Epoch n answers what `answers[n % answers.length]` says; what comes next may be seen before its epoch.
 */
export interface Watch extends Shared {
  kind: "watch";
  request: Request;
  answers: readonly string[];
}
/** "hold": translates in flight, many times over until STOP, and complains when that changes the answer. */
export interface Hold extends Shared {
  kind: "hold";
  request: Request;
}
/** "repeat": translates requests until STOP, and tells the answers it had. */
export interface Repeat extends Shared {
  kind: "repeat";
  requests: readonly Request[];
}
/** "overwrite": sets bits of a word until STOP by reading and writing it: what a walker must not do. */
export interface Overwrite extends Shared {
  kind: "overwrite";
  address: bigint;
  bits: bigint;
}
/** "stay": counts itself in while within a call, and stays there until STOP. */
export interface Stay extends Shared {
  kind: "stay";
}
/** "ask": translates requests, one by one or in one batch. */
export interface Ask {
  kind: "ask";
  requests: readonly Request[];
  batch: boolean;
}
export type Job = Watch | Hold | Repeat | Overwrite | Stay | Ask;

/** What a job ends with: answers, complaints, or nothing. */
export type Report = readonly (Outcome | string)[];

/** Requests of a batch of "watch". */
const FEW = 8;

/** An answer in a word: where to, or that there was a fault. */
export function wordFor(outcome: Outcome): string {
  return outcome.ok ? outcome.address.toString(16) : "fault";
}

const read = (control: Int32Array, at: number): number => Atomics.load(control, at);

function count({ control, place }: Shared): void {
  Atomics.add(control, COUNT + place, 1);
  Atomics.notify(control, COUNT + place);
}

function watch(walker: AttachedWalker, job: Watch): Report {
  const { control, request, answers } = job;
  const batch = walker.batch(FEW);
  for (let i = 0; i < FEW; i++) batch.set(i, request);
  const inBatch = () => {
    batch.run(FEW);
    return [batch.get(0), batch.get(FEW - 1)];
  };
  const complaints: string[] = [];
  for (let round = 0; !read(control, STOP); round++) {
    const from = read(control, EPOCH);
    const outcomes = round % 2 ? [walker.translate(request)] : inBatch();
    const to = read(control, EPOCH) + 1;
    const allowed = new Set<string>();
    for (let epoch = from; epoch <= to; epoch++) allowed.add(answers[epoch % answers.length] as string);
    for (const word of outcomes.map(wordFor)) {
      if (!allowed.has(word)) complaints.push(`${word} in epoch ${from} to ${to}, which allow ${[...allowed]}`);
    }
    count(job);
  }
  return complaints.slice(0, 10);
}

function hold(walker: AttachedWalker, job: Hold): Report {
  const complaints: string[] = [];
  while (!read(job.control, STOP)) {
    const answers = walker.inFlight(() => Array.from({ length: 100 }, () => wordFor(walker.translate(job.request))));
    const seen = new Set(answers);
    if (seen.size > 1) complaints.push(`${[...seen]} in one piece`);
    count(job);
  }
  return complaints.slice(0, 10);
}

function repeat(walker: AttachedWalker, job: Repeat): Report {
  const words = new Set<string>();
  while (!read(job.control, STOP)) {
    for (const request of job.requests) {
      const outcome = walker.translate(request);
      words.add(outcome.ok ? "ok" : `${outcome.name} ${outcome.check}`);
    }
    count(job);
  }
  return [...words];
}

function overwrite(walker: AttachedWalker, job: Overwrite): Report {
  while (!read(job.control, STOP)) {
    const word = walker.memory.read64(job.address);
    count(job);
    walker.memory.write64(job.address, word | job.bits);
  }
  return [];
}

function stay(walker: AttachedWalker, job: Stay): Report {
  walker.inFlight(() => {
    count(job);
    while (!read(job.control, STOP)) Atomics.wait(job.control, STOP, 0);
  });
  return [];
}

function ask(walker: AttachedWalker, { requests, batch }: Ask): Report {
  if (!batch) return requests.map((request) => walker.translate(request));
  const many = walker.batch(requests.length);
  requests.forEach((request, i) => {
    many.set(i, request);
  });
  many.run(requests.length);
  return requests.map((_, i) => many.get(i));
}

function perform(walker: AttachedWalker, job: Job): Report {
  switch (job.kind) {
    case "watch":
      return watch(walker, job);
    case "hold":
      return hold(walker, job);
    case "repeat":
      return repeat(walker, job);
    case "overwrite":
      return overwrite(walker, job);
    case "stay":
      return stay(walker, job);
    default:
      return ask(walker, job);
  }
}

/** Elsewhere than in a worker this file is but its names. */
if (parentPort && workerData?.handle) {
  const port = parentPort;
  const handle = workerData.handle as WalkerHandle;
  const attempt = <T>(work: () => T): T | undefined => {
    try {
      return work();
    } catch (error) {
      port.postMessage({ error: String(error) });
      return undefined;
    }
  };
  const walker = attempt(() => (handle.vendor === "vtd" ? attachVtdWalker(handle) : attachSmmuWalker(handle)));
  if (walker) {
    port.postMessage({ report: [] });
    port.on("message", (job: Job) => {
      const report = attempt(() => perform(walker, job));
      if (report) port.postMessage({ report });
    });
  }
}
