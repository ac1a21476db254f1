/** Random registers, tables and requests: several workers at once answer as the owner's walker does. */
import * as fc from "fast-check";
import { afterAll, describe, expect, it } from "vitest";
import { GuestMemory, type Outcome, type Request, SmmuWalker, VtdWalker } from "../../src/index.ts";
import { ADDRESS_BITS } from "../../src/memory.ts";
import { Choices } from "../support/choices.ts";
import { runs, seed } from "../support/runs.ts";
import { buildCase } from "../support/smmu-cases/case.ts";
import { REGIONS } from "../support/smmu-cases/image.ts";
import { vtdCase } from "../support/vtd-cases/case.ts";
import { HIGH, LOW } from "../support/vtd-cases/tables.ts";
import { Crew } from "../support/worker-threads.ts";

const WORKERS = 3;
const CASES = runs(40, 2000);
const TAPE = 600;
/** More requests than a worker walks at one go. */
const MANY = 2500;
/** Not those that hold tables by tag: a random case gives one tag to two tables, and then the order counts. */
const CACHES = ["none", "sized"] as const;
const NO_STATE = { idr0: 0, idr1: 0, idr5: 0, cr0: 0, strtabBase: 0n, strtabBaseCfg: 0 };
const WORKSPACE = { workspace: 2 ** 19 };

/** What a case leaves in memory is gone before the next. */
class Bench {
  readonly memory: GuestMemory;
  #written: bigint[] = [];

  constructor(ram: readonly { base: bigint; size: bigint }[]) {
    this.memory = new GuestMemory({ ram, shared: true, workspace: 1 << 24 });
  }

  load(words: ReadonlyMap<bigint, bigint>, poisons: readonly bigint[]): void {
    this.memory.heal();
    for (const address of this.#written) this.memory.write64(address, 0n);
    this.#written = [...words.keys()].filter((at) => at >> BigInt(ADDRESS_BITS) === 0n && this.memory.contains(at, 8));
    for (const address of this.#written) this.memory.write64(address, words.get(address) as bigint);
    for (const address of new Set(poisons)) if (address >> BigInt(ADDRESS_BITS) === 0n) this.memory.poison(address);
  }
}

/** Asks walker and workers; the first to ask sets what marks there are to set, whom nobody is compared with. */
async function disagreements(
  walker: { translate(request: Request): Outcome },
  crew: Crew,
  requests: readonly Request[],
  round: number,
): Promise<string[]> {
  for (const request of requests) walker.translate(request);
  const wanted = requests.map((request) => walker.translate(request));
  const all = await Promise.all(
    crew.workers.map((worker, i) => worker.do({ kind: "ask", requests, batch: (round + i) % 2 === 0 })),
  );
  const found: string[] = [];
  for (const [worker, answers] of all.entries()) {
    for (const [i, answer] of answers.entries()) {
      const [a, b] = [show(answer), show(wanted[i])];
      if (a !== b) found.push(`worker ${worker}, ${show(requests[i])}: ${a}; owner: ${b}`);
    }
  }
  return found;
}

function show(value: unknown): string {
  return JSON.stringify(value, (_, member: unknown) =>
    typeof member === "bigint" ? `0x${member.toString(16)}` : member,
  );
}

describe("workers at random traffic answer as their owner", () => {
  const crews: Crew[] = [];
  afterAll(() => Promise.all(crews.map((crew) => crew.end())));

  it.each(CACHES)("VT-d, caches %s", async (caches) => {
    const bench = new Bench([LOW, HIGH].map(({ base, pages }) => ({ base, size: BigInt(pages) * 4096n })));
    const walker = new VtdWalker(bench.memory, { cap: 0n, ecap: 0n, rtaddr: 0n, haw: 46 }, caches);
    const crew = await Crew.attach(walker.share(WORKERS, WORKSPACE));
    crews.push(crew);
    const answers = new Set<boolean>();
    for (const [round, { state, words, poisoned, requests }] of fc
      .sample(vtdCase, { numRuns: CASES, seed })
      .entries()) {
      bench.load(words, poisoned);
      walker.configure(state);
      walker.caches?.invalidateAll();
      expect(await disagreements(walker, crew, requests, round), `SEED=${seed}, case ${round}`).toEqual([]);
      for (const request of requests) answers.add(walker.translate(request).ok);
    }
    expect(answers.size).toBe(2);
  });

  it.each(CACHES)("SMMU, caches %s", async (caches) => {
    const bench = new Bench(REGIONS.map(({ base, size }) => ({ base, size })));
    const walker = new SmmuWalker(bench.memory, NO_STATE, caches);
    const crew = await Crew.attach(walker.share(WORKERS, WORKSPACE));
    crews.push(crew);
    const answers = new Set<boolean>();
    const tapes = fc.uint32Array({ minLength: TAPE, maxLength: TAPE });
    for (const [round, tape] of fc.sample(tapes, { numRuns: CASES, seed }).entries()) {
      const { state, image, requests } = buildCase(new Choices(tape), 6);
      bench.load(image.words, image.poisons.slice(0, 16));
      walker.configure(state);
      walker.caches?.invalidateAll();
      expect(await disagreements(walker, crew, requests, round), `SEED=${seed}, case ${round}`).toEqual([]);
      for (const request of requests) answers.add(walker.translate(request).ok);
    }
    expect(answers.size).toBe(2);
  });

  it("a batch of more requests than are walked at one go", async () => {
    const bench = new Bench(REGIONS.map(({ base, size }) => ({ base, size })));
    // Without SMMUEN addresses go through: each answer says which request it is of.
    const walker = new SmmuWalker(bench.memory, { ...NO_STATE, idr5: 5 });
    const crew = await Crew.attach(walker.share(2, WORKSPACE));
    crews.push(crew);
    const requests = Array.from({ length: MANY }, (_, i) => ({ sid: i, address: BigInt(i) * 0x1000n }));
    expect(await disagreements(walker, crew, requests, 0)).toEqual([]);
    expect(walker.translate(requests[MANY - 1] as Request)).toMatchObject({ ok: true, address: 0x9c3000n });
  });
});
