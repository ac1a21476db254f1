/** Real worker threads that run `worker-main.ts` over this package's sources, and what their owner needs. */
import { fileURLToPath } from "node:url";
import { Worker } from "node:worker_threads";
import type { Rolldown } from "vite";
import type { WalkerHandle } from "../../src/index.ts";
import { COUNT, EPOCH, type Job, type Report, STOP } from "./worker-main.ts";

const MAIN = fileURLToPath(new URL("./worker-main.ts", import.meta.url));
/** Only who waits for ever waits so long: nothing is decided by it. */
const FOR_EVER = 60_000;

let program: Promise<string> | undefined;

/** Node before 22 runs no TypeScript: the worker's program as one file of JavaScript. */
async function bundle(): Promise<string> {
  const { build } = await import("vite");
  const built = (await build({
    configFile: false,
    logLevel: "error",
    ssr: { noExternal: true },
    build: { ssr: MAIN, write: false, minify: false, rollupOptions: { output: { format: "cjs" } } },
  })) as Rolldown.RolldownOutput;
  return built.output[0].code;
}

export class TestWorker {
  readonly #worker: Worker;

  private constructor(code: string, handle: WalkerHandle) {
    this.#worker = new Worker(code, { eval: true, workerData: { handle } });
  }

  /** A thread that has attached. @throws Error as it throws when it cannot */
  static async attach(handle: WalkerHandle): Promise<TestWorker> {
    program ??= bundle();
    const worker = new TestWorker(await program, handle);
    await worker.#report();
    return worker;
  }

  /** Does a job. @throws Error with the text of what it throws */
  do(job: Job): Promise<Report> {
    const report = this.#report();
    // It may be waited for later, or by nobody.
    report.catch(() => {});
    this.#worker.postMessage(job);
    return report;
  }

  end(): Promise<number> {
    return this.#worker.terminate();
  }

  #report(): Promise<Report> {
    const worker = this.#worker;
    return new Promise((resolve, reject) => {
      const ended = (code: number) => reject(new Error(`ended, exit code ${code}`));
      worker.once("exit", ended);
      worker.once("error", reject);
      worker.once("message", ({ report, error }: { report?: Report; error?: string }) => {
        worker.off("exit", ended);
        worker.off("error", reject);
        if (report) resolve(report);
        else reject(new Error(error));
      });
    });
  }
}

/** Workers that run one kind of job until told to stop, and the epochs that their owner announces to them. */
export class Crew {
  readonly workers: readonly TestWorker[];
  readonly control: Int32Array = new Int32Array(new SharedArrayBuffer(4 * 64));
  #reports: Promise<Report>[] = [];

  private constructor(workers: readonly TestWorker[]) {
    this.workers = workers;
  }

  static async attach(handles: readonly WalkerHandle[]): Promise<Crew> {
    return new Crew(await Promise.all(handles.map((handle) => TestWorker.attach(handle))));
  }

  /** Gives those at `places` (all unless told) their jobs, and returns when they are at it. */
  start(jobOf: (shared: { control: Int32Array; place: number }) => Job, places = [...this.workers.keys()]): void {
    const { control } = this;
    control.fill(0);
    this.#reports = places.map((place) => (this.workers[place] as TestWorker).do(jobOf({ control, place })));
    for (const place of places) this.#reach(place, 1);
  }

  /** Waits until each has counted `more` times from now on. */
  progress(more = 2): void {
    this.workers.forEach((_, place) => {
      this.#reach(place, Atomics.load(this.control, COUNT + place) + more);
    });
  }

  #reach(place: number, count: number): void {
    const at = COUNT + place;
    for (let now = Atomics.load(this.control, at); now < count; now = Atomics.load(this.control, at)) {
      if (Atomics.wait(this.control, at, now, FOR_EVER) === "timed-out") throw new Error("no progress");
    }
  }

  /** The next epoch begins, and all get far enough to have seen it. */
  next(): void {
    Atomics.add(this.control, EPOCH, 1);
    this.progress();
  }

  /** Ends the jobs. @returns what each reports */
  async stop(): Promise<Report[]> {
    Atomics.store(this.control, STOP, 1);
    Atomics.notify(this.control, STOP);
    return Promise.all(this.#reports);
  }

  async end(): Promise<void> {
    Atomics.store(this.control, STOP, 1);
    Atomics.notify(this.control, STOP);
    await Promise.all(this.workers.map((worker) => worker.end()));
  }
}
