/** One worker of `scaling.ts`: translates its batch so many times whenever a round begins that it is part of. */
import { workerData } from "node:worker_threads";
import { REQUEST_BYTES } from "../assembly/layout/core.ts";
import { attachSmmuWalker, attachVtdWalker, type WalkerHandle } from "../src/workers/index.ts";

/** Words that the workers and who measures them share. */
export enum CONTROL {
  /** Number of the round; waited for. */
  ROUND,
  /** Workers that take part in it, and how often each translates its batch. */
  WORKERS,
  TIMES,
  /** Workers that are through with it; waited for. */
  DONE,
  /** Requests that failed. */
  FAULTS,
  END,
}

export interface ScalingJob {
  handle: WalkerHandle;
  control: Int32Array;
  /** Takes part in rounds of more workers than this. */
  place: number;
  /** REQUEST records. */
  requests: Uint32Array;
}

/** Elsewhere than in a worker this file is but its names. */
const job = workerData as ScalingJob | null;
if (job?.handle) run(job);

function run({ handle, control, place, requests }: ScalingJob): void {
  const walker = handle.vendor === "vtd" ? attachVtdWalker(handle) : attachSmmuWalker(handle);
  const count = requests.byteLength / REQUEST_BYTES;
  const batch = walker.batch(count);
  walker.memory.core.u8.set(new Uint8Array(requests.buffer), batch.requests);
  for (let round = 0; ; round++) {
    Atomics.wait(control, CONTROL.ROUND, round);
    if (place >= Atomics.load(control, CONTROL.WORKERS)) continue;
    const times = Atomics.load(control, CONTROL.TIMES);
    let faults = 0;
    for (let i = 0; i < times; i++) faults += batch.run(count);
    Atomics.add(control, CONTROL.FAULTS, faults);
    Atomics.add(control, CONTROL.DONE, 1);
    Atomics.notify(control, CONTROL.DONE);
  }
}
