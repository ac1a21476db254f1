import { describe, expect, it } from "vitest";
import { GuestMemory, SMMU_PRESETS, smmuFeatures } from "../../src/index.ts";
import { Smmuv3, type Snapshot } from "../../src/smmuv3/index.ts";
import { CD_PLAIN, CD0, CDS, FREE, LEAF, leaf, R, SmmuBench, STE_BYPASS, stage1 } from "../support/smmu-bench.ts";

const SID = 5;
/** Survives JSON, as files and messages do. */
const passed = (snapshot: Snapshot): Snapshot => JSON.parse(JSON.stringify(snapshot)) as Snapshot;
/** All there is to read: both pages. */
const readAll = (smmu: Smmuv3): bigint[] => Array.from({ length: 0x2_0000 / 8 }, (_, i) => smmu.mmio.read(i * 8, 8));

describe("snapshots", () => {
  /** A unit in the middle of everything. */
  const busy = (options = {}): SmmuBench => {
    const bench = new SmmuBench({ log2Events: 1, updates: "stepped", queue: "stepped", ...options });
    stage1(bench, SID, CD_PLAIN | CD0.S);
    bench.smmu.device(SID).onInvalidate = () => false;
    bench.send([0x40n | (BigInt(SID) << 32n), 52n], [0x7fn, 0n]);
    bench.smmu.step();
    bench.smmu.step();
    for (let i = 1n; i < 5n; i++) bench.smmu.translate({ sid: SID, address: i << 12n });
    bench.smmu.requestPage({ sid: SID, address: 0n, read: true });
    bench.write(R.GBPA, 0x8010_0000);
    bench.write(R.CR0, 0x1f);
    bench.write(R.IRQ_CTRL, 5);
    return bench;
  };

  it("bring back every register, and what happens from there on", () => {
    const bench = busy();
    const before = readAll(bench.smmu);
    const snapshot = passed(bench.smmu.snapshot());
    const other = new Smmuv3(bench.memory, { updates: "stepped", queue: "stepped" });
    other.restore(snapshot);
    expect(readAll(other)).toEqual(before);
    expect(other.snapshot()).toEqual(snapshot);
    // Pending updates, two recorded and two waiting stalls, the error, and the invalidation without an answer.
    const ended: string[] = [];
    other.onResume = (transaction, { address }, outcome) =>
      void ended.push(`${transaction} ${address} ${outcome.answer}`);
    const write = (offset: number, value: number): void => other.mmio.write(offset, 4, BigInt(value));
    expect([other.acknowledge(), other.stalled]).toEqual([true, 4]);
    expect(other.mmio.read(R.CR0ACK, 4)).toBe(0x1fn);
    bench.store(0x4002_0010n, 0x46n, 0n);
    write(R.GERRORN, 1);
    expect(other.step()).toMatchObject({ name: "CMD_SYNC", error: 3 });
    write(R.EVENTQ_CONS, 2);
    expect(other.mmio.read(R.EVENTQ_PROD, 4)).toBe(0n);
    write(R.CR0, 0);
    other.acknowledge();
    expect(ended).toEqual(["0 4096 abort", "1 8192 abort", "2 12288 abort", "3 16384 abort"]);
    expect(other.translate({ sid: 1, address: 0n }).answer).toBe("abort");
  });

  it("of another configuration or damaged are refused, and nothing changes", () => {
    const { smmu } = busy();
    const before = readAll(smmu);
    const refuse = (snapshot: Snapshot, message: RegExp): void => {
      expect(() => smmu.restore(snapshot)).toThrow(message);
      expect(readAll(smmu)).toEqual(before);
    };
    const memory = new GuestMemory({ ram: [{ base: 0n, size: 0x1000n }] });
    refuse(
      new Smmuv3(memory, { features: SMMU_PRESETS.qemu, queue: "stepped", updates: "stepped" }).snapshot(),
      /another configuration: \w+ is/,
    );
    refuse(new Smmuv3(memory).snapshot(), /another configuration: (queue|updates) is/);
    const torn = passed(smmu.snapshot());
    refuse({ ...torn, state: null }, /torn/);
    refuse({ ...torn, version: 2 } as unknown as Snapshot, /version 2/);
    refuse({} as Snapshot, /not a snapshot/);
  });
});

describe("reset", () => {
  it("brings registers back, aborts what is stalled, and leaves devices connected", () => {
    const bench = new SmmuBench();
    stage1(bench, SID, CD_PLAIN | CD0.S);
    const ended: string[] = [];
    bench.smmu.onResume = (_, __, outcome) => void ended.push(outcome.answer);
    bench.smmu.translate({ sid: SID, address: 0n });
    const fresh = new Smmuv3(bench.memory);
    bench.smmu.reset();
    expect(readAll(bench.smmu)).toEqual(readAll(fresh));
    expect(ended).toEqual(["abort"]);
    expect(bench.smmu.translate({ sid: SID, address: 0x123n })).toMatchObject({
      ok: true,
      address: 0x123n,
      bypass: true,
    });
  });
});

describe("DMA", () => {
  const mapped = (): SmmuBench => {
    const bench = new SmmuBench();
    stage1(bench, SID);
    leaf(bench, 0, (FREE + 0x2000n) | LEAF);
    leaf(bench, 1, FREE | LEAF);
    return bench;
  };

  it("is split where pages end", () => {
    const bench = mapped();
    const device = bench.smmu.device(SID);
    const data = Uint8Array.from({ length: 8 }, (_, i) => i + 1);
    expect(device.write(0xffcn, data)).toEqual({ ok: true, ignored: false });
    expect([...bench.memory.readBytes(FREE + 0x2ffcn, 4), ...bench.memory.readBytes(FREE, 4)]).toEqual([...data]);
    expect(device.read(0xffcn, 8)).toEqual({ ok: true, data, ignored: false });
  });

  it("ends at the first fault, which is recorded once", () => {
    const bench = mapped();
    const result = bench.smmu.device(SID).write(0x1ffcn, new Uint8Array(0x3000));
    expect(result).toMatchObject({ ok: false, done: 4, fault: { code: 0x10, answer: "abort" } });
    expect(bench.events()).toHaveLength(1);
  });

  it("tells a bus error behind the translation from a fault", () => {
    const bench = mapped();
    leaf(bench, 2, 0x1_0000_0000n | LEAF);
    expect(bench.smmu.device(SID).read(0x2000n, 4)).toEqual({ ok: false, done: 0, fault: "bus error" });
    expect(bench.events()).toEqual([]);
  });

  it("of a terminating stream without A reads zeros and ignores writes", () => {
    const bench = mapped();
    bench.store(CDS, CD_PLAIN & ~CD0.A);
    const device = bench.smmu.device(SID);
    expect(device.read(0x5000n, 2)).toEqual({ ok: true, data: new Uint8Array(2), ignored: true });
    expect(device.write(0x5000n, new Uint8Array(2))).toEqual({ ok: true, ignored: true });
  });

  it("of a bypassed stream goes where it says", () => {
    const bench = new SmmuBench();
    bench.ste(SID, STE_BYPASS);
    bench.memory.write32(FREE, 0x0403_0201);
    expect(bench.smmu.device(SID).read(FREE, 4)).toMatchObject({ data: Uint8Array.of(1, 2, 3, 4) });
  });
});

describe("the host's mistakes", () => {
  it("are named", () => {
    const memory = new GuestMemory({ ram: [{ base: 0n, size: 0x1000n }] });
    expect(() => new Smmuv3(memory, { queue: "later" as "stepped" })).toThrow(/^queue: "later" is not one of/);
    expect(() => new Smmuv3(memory, { ids: { IDR0: 0x20 } })).toThrow(/^IDR0.BTM/);
    const smmu = new Smmuv3(memory, { features: smmuFeatures() });
    expect(() => smmu.device(-1)).toThrow(/^sid: -1/);
    expect(() => smmu.device(0).read(-1n, 1)).toThrow(/^address/);
    expect(() => smmu.mmio.write(0, 4, -1n)).toThrow(/^value/);
    expect(() => smmu.translate({ sid: 0, address: 1n << 64n })).toThrow(/^address/);
    expect(() => smmu.reset("hot" as "cold")).toThrow(/^kind/);
  });
});
