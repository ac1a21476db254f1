import { describe, expect, it } from "vitest";
import { smmuFeatures } from "../../src/index.ts";
import type { SmmuDmaRead, SmmuDmaWrite, SmmuOutcome } from "../../src/smmuv3/index.ts";
import { CD_PLAIN, CD0, CDS, FREE, LEAF, leaf, R, SmmuBench, STE_ABORT, SYNC, stage1 } from "../support/smmu-bench.ts";

const SID = 5;
const STALL = 0x8000_0000n;
const resume = (tag: number, bits = 0n, sid = SID): [bigint, bigint] => [
  0x44n | bits | (BigInt(sid) << 32n),
  BigInt(tag),
];
const RETRY = 1n << 12n;
const ABORT = 1n << 13n;
const terminate = (sid = SID): [bigint, bigint] => [0x45n | (BigInt(sid) << 32n), 0n];
const tagOf = (words: readonly bigint[]): number => Number((words[1] as bigint) & 0xffffn);

/** A stream that stalls; every end of a stalled transaction is noted. */
function stalling(options = {}) {
  const bench = new SmmuBench(options);
  stage1(bench, SID, CD_PLAIN | CD0.S);
  const ended: [number, string][] = [];
  bench.smmu.onResume = (transaction, _, outcome) => void ended.push([transaction, outcome.answer]);
  const stall = (page = 0): SmmuOutcome => bench.smmu.translate({ sid: SID, address: BigInt(page) << 12n });
  return { bench, ended, stall };
}

describe("stalls, IHI 0070 3.12.2", () => {
  it("SMMU-071 and SMMU-072 the record has Stall = 1 and a tag of its own; the device gets no answer", () => {
    const { bench, ended, stall } = stalling();
    expect([stall(), stall(1)].map(({ answer }) => answer)).toEqual(["stall", "stall"]);
    const events = bench.events();
    expect(events.every(([, word]) => ((word as bigint) & STALL) !== 0n)).toBe(true);
    expect(new Set(events.map(tagOf)).size).toBe(2);
    expect([bench.smmu.stalled, ended]).toEqual([2, []]);
  });

  it("records whatever R says", () => {
    const { bench, stall } = stalling();
    bench.store(CDS, (CD_PLAIN | CD0.S) & ~CD0.R);
    stall();
    expect(bench.events()).toHaveLength(1);
  });

  it("SMMU-072 CMD_RESUME(Retry) translates anew, and may stall anew under a tag in a new record", () => {
    const { bench, ended, stall } = stalling();
    stall(3);
    const [first] = bench.events();
    bench.send(resume(tagOf(first as bigint[]), RETRY), SYNC);
    const again = bench.events();
    expect([again.length, bench.smmu.stalled, ended]).toEqual([1, 1, []]);
    leaf(bench, 3, FREE | LEAF);
    bench.send(resume(tagOf(again[0] as bigint[]), RETRY), SYNC);
    expect([bench.events(), bench.smmu.stalled, ended]).toEqual([[], 0, [[0, "success"]]]);
  });

  it("SMMU-073 CMD_RESUME(Terminate) aborts, or reads as zero", () => {
    const { bench, ended, stall } = stalling();
    stall();
    stall();
    const [one, two] = bench.events().map(tagOf);
    bench.send(resume(one as number, ABORT), resume(two as number));
    expect(ended).toEqual([
      [0, "abort"],
      [1, "raz-wi"],
    ]);
  });

  it("SMMU-073 without RAZ/WI (TERM_MODEL = 1), Ab does not count", () => {
    const { bench, ended, stall } = stalling({ features: smmuFeatures({ TERM_MODEL: 1 }) });
    stall();
    bench.send(resume(tagOf(bench.events()[0] as bigint[])));
    expect(ended).toEqual([[0, "abort"]]);
  });

  it("SMMU-073 a tag that is not of that stream, or was answered, does nothing and is no error", () => {
    const { bench, ended, stall } = stalling();
    stall();
    const tag = tagOf(bench.events()[0] as bigint[]);
    bench.send(resume(tag + 1, ABORT), resume(tag, ABORT, SID + 1), SYNC);
    expect([ended, bench.smmu.stalled, bench.read(R.GERROR)]).toEqual([[], 1, 0]);
    bench.send(resume(tag, ABORT), resume(tag, ABORT));
    expect([ended.length, bench.read(R.GERROR)]).toEqual([1, 0]);
  });

  it("SMMU-074 CMD_STALL_TERM aborts all of one stream", () => {
    const { bench, ended, stall } = stalling();
    bench.ste(SID + 1, CDS | 0b1011n);
    stall();
    bench.smmu.translate({ sid: SID + 1, address: 0n });
    stall();
    bench.send(terminate());
    expect([ended, bench.smmu.stalled]).toEqual([
      [
        [0, "abort"],
        [2, "abort"],
      ],
      1,
    ]);
  });

  it("SMMU-074 SMMUEN = 0 aborts all, and their tags do nothing any more", () => {
    const { bench, ended, stall } = stalling();
    stall();
    stall();
    const tags = bench.events().map(tagOf);
    bench.enable(0xe);
    expect([ended, bench.smmu.stalled]).toEqual([
      [
        [0, "abort"],
        [1, "abort"],
      ],
      0,
    ]);
    bench.enable(0xf);
    stall();
    bench.send(resume(tags[1] as number, ABORT));
    expect(bench.smmu.stalled).toBe(1);
  });

  it("SMMU-083 invalidations leave stalled transactions alone", () => {
    const { bench, ended, stall } = stalling();
    stall();
    leaf(bench, 0, FREE | LEAF);
    bench.send([0x04n, 31n], [0x30n, 0n], SYNC);
    expect([ended, bench.smmu.stalled]).toEqual([[], 1]);
  });

  it("SMMU-075 a full queue: the transaction waits, loses nothing, and is recorded when there is room", () => {
    const { bench, stall } = stalling({ log2Events: 0 });
    stall(1);
    stall(2);
    stall(3);
    expect([bench.read(R.EVENTQ_PROD) >>> 0, bench.smmu.stalled]).toEqual([1, 3]);
    expect(bench.events().map(([, , address]) => address)).toEqual([0x1000n]);
    expect(bench.events().map(([, , address]) => address)).toEqual([0x2000n]);
    expect(bench.events().map(([, , address]) => address)).toEqual([0x3000n]);
    expect(bench.read(R.EVENTQ_PROD) >>> 0).toBe(1);
  });

  it("SMMU-075 what was not recorded yet meets the configuration of the time of its retry", () => {
    const { bench, ended, stall } = stalling({ log2Events: 0 });
    stall(1);
    stall(2);
    stall(3);
    leaf(bench, 2, FREE | LEAF);
    bench.store(CDS, CD_PLAIN);
    // Room for one: page 2 translates by now, page 3 is terminated and recorded.
    const [first] = bench.events();
    expect(ended).toEqual([
      [1, "success"],
      [2, "abort"],
    ]);
    const [second] = bench.events();
    expect([first?.[1], second?.[1]].map((word) => ((word as bigint) & STALL) !== 0n)).toEqual([true, false]);
    expect(bench.smmu.stalled).toBe(1);
  });

  it("never more records than STALL_MAX: the next waits until one is answered", () => {
    const { bench, stall } = stalling({ features: smmuFeatures({ STALL_MAX: 2 }) });
    for (const page of [1, 2, 3, 4]) stall(page);
    const events = bench.events();
    expect(events.map(([, , address]) => address)).toEqual([0x1000n, 0x2000n]);
    bench.send(resume(tagOf(events[1] as bigint[]), ABORT));
    const [next] = bench.events();
    expect(next?.[2]).toBe(0x3000n);
    bench.send(terminate());
    expect(bench.smmu.stalled).toBe(0);
  });

  it("an event queue that aborts keeps the stall for later", () => {
    const { bench, stall } = stalling();
    bench.memory.poison(0x4003_0000n, 32);
    stall(1);
    expect([bench.read(R.EVENTQ_PROD), bench.read(R.GERROR), bench.smmu.stalled]).toEqual([0, 4, 1]);
    bench.memory.heal();
    bench.write(R.GERRORN, 4);
    expect(bench.events().map(([, , address]) => address)).toEqual([0x1000n]);
  });

  it("software that makes room from within the event interrupt loses none", () => {
    const { bench, stall } = stalling({ log2Events: 0 });
    const seen: (bigint | undefined)[] = [];
    stall(1);
    stall(2);
    stall(3);
    bench.write(R.IRQ_CTRL, 4);
    bench.smmu.onLine = (line) =>
      void (line === "eventq" && seen.push(...bench.events().map(([, , address]) => address)));
    seen.push(...bench.events().map(([, , address]) => address));
    expect(seen).toHaveLength(3);
    expect(new Set(seen)).toEqual(new Set([0x1000n, 0x2000n, 0x3000n]));
    expect(bench.smmu.stalled).toBe(3);
  });

  it("software that answers from within the event interrupt lets the transaction end at once", () => {
    for (const [action, answer] of [
      [RETRY, "success"],
      [ABORT, "abort"],
      [0n, "raz-wi"],
    ] as const) {
      const { bench, ended, stall } = stalling();
      bench.write(R.IRQ_CTRL, 4);
      bench.smmu.onLine = (line) => {
        if (line !== "eventq") return;
        leaf(bench, 3, FREE | LEAF);
        bench.send(resume(tagOf(bench.events()[0] as bigint[]), action));
      };
      expect(stall(3).answer).toBe(answer);
      expect([bench.smmu.stalled, ended]).toEqual([0, []]);
    }
  });

  it("stall-safe teardown: abort new traffic, synchronise, terminate", () => {
    const { bench, ended, stall } = stalling({ log2Events: 0 });
    stall(1);
    stall(2);
    bench.ste(SID, STE_ABORT);
    bench.send([0x03n | (BigInt(SID) << 32n), 0n], SYNC, terminate(), SYNC);
    expect([bench.smmu.stalled, ended.map(([, answer]) => answer)]).toEqual([0, ["abort", "abort"]]);
    expect(bench.events()).toHaveLength(1);
    expect(bench.events()).toHaveLength(0);
  });
});

describe("stalls of devices", () => {
  it("a transfer goes on where it stalled", () => {
    const { bench } = stalling();
    leaf(bench, 0, FREE | LEAF);
    bench.memory.writeBytes(FREE, new Uint8Array(4096).fill(1));
    bench.memory.writeBytes(FREE + 0x1000n, new Uint8Array(4096).fill(2));
    const results: (SmmuDmaRead | SmmuDmaWrite)[] = [];
    const start = bench.smmu.device(SID).read(0xffen, 4, { onDone: (result) => void results.push(result) });
    expect(start).toMatchObject({ ok: false, done: 2, fault: { answer: "stall" } });
    leaf(bench, 1, (FREE + 0x1000n) | LEAF);
    expect(results).toEqual([]);
    bench.send(resume(tagOf(bench.events()[0] as bigint[]), RETRY));
    expect(results).toEqual([{ ok: true, data: Uint8Array.of(1, 1, 2, 2), ignored: false }]);
  });

  it("a transfer that is terminated as RAZ/WI reads zeros", () => {
    const { bench } = stalling();
    const results: (SmmuDmaRead | SmmuDmaWrite)[] = [];
    bench.smmu.device(SID).read(0n, 4, { onDone: (result) => void results.push(result) });
    bench.send(resume(tagOf(bench.events()[0] as bigint[])));
    expect(results).toEqual([{ ok: true, data: new Uint8Array(4), ignored: true }]);
  });

  it("a transfer that is aborted says how far it came", () => {
    const { bench } = stalling();
    leaf(bench, 0, FREE | LEAF);
    const results: (SmmuDmaRead | SmmuDmaWrite)[] = [];
    bench.smmu.device(SID).write(0xffcn, new Uint8Array(8).fill(7), { onDone: (result) => void results.push(result) });
    bench.send(terminate());
    expect(results).toMatchObject([{ ok: false, done: 4, fault: { answer: "abort" } }]);
    expect(bench.memory.read32(FREE + 0xffcn)).toBe(0x0707_0707);
  });

  it("batches stall and record as single requests do", () => {
    const { bench, ended } = stalling();
    leaf(bench, 1, FREE | LEAF);
    const batch = bench.smmu.batch(8);
    for (let i = 0; i < 4; i++) batch.set(i, { sid: SID, address: BigInt(i) << 12n });
    batch.run(4);
    expect([0, 1, 2, 3].map((i) => batch.get(i).answer)).toEqual(["stall", "success", "stall", "stall"]);
    expect(batch.get(2)).toMatchObject({ transaction: 1 });
    expect(bench.events().map(([, , address]) => address)).toEqual([0n, 0x2000n, 0x3000n]);
    bench.send(terminate());
    expect(ended).toEqual([
      [0, "abort"],
      [1, "abort"],
      [2, "abort"],
    ]);
  });
});
