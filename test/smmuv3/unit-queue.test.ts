import { describe, expect, it } from "vitest";
import { smmuFeatures } from "../../src/index.ts";
import { CFGI_ALL, CMDQ, CMDQEN, EVENTQEN, FREE, R, SMMUEN, SmmuBench, SYNC, syncMsi } from "../support/smmu-bench.ts";

const CMDQ_ERR = 1;
const SID = 5;
const error = (bench: SmmuBench): number => (bench.read(R.CMDQ_CONS) >> 24) & 0x7f;

describe("command queue, IHI 0070 3.5 and 7.1", () => {
  it("SMMU-013 wraps, keeps its order, and toggles the wrap flag", () => {
    const bench = new SmmuBench({ log2Commands: 2 });
    const seen: bigint[] = [];
    bench.smmu.onCommand = ([low]) => void seen.push((low as bigint) >> 32n);
    const sent = Array.from({ length: 11 }, (_, i) => BigInt(i));
    for (const i of sent) bench.send([0x03n | (i << 32n), 1n]);
    expect(seen).toEqual(sent);
    expect(bench.read(R.CMDQ_CONS)).toBe(11 % 8);
    expect(bench.read(R.CMDQ_PROD)).toBe(11 % 8);
  });

  it("runs a full queue, and not one whose indexes contradict each other", () => {
    const bench = new SmmuBench({ log2Commands: 2 });
    bench.send(SYNC, SYNC, SYNC, SYNC);
    expect(bench.read(R.CMDQ_CONS)).toBe(4);
    bench.write(R.CMDQ_PROD, 1);
    expect(bench.read(R.CMDQ_CONS)).toBe(4);
    expect(bench.read(R.GERROR)).toBe(0);
  });

  it("SMMU-014 and SMMU-015 stops at an illegal command, and goes on from there once software has replaced it and acknowledged", () => {
    const bench = new SmmuBench();
    bench.send(SYNC, [0x7fn, 0n], syncMsi(FREE, 0xabcdn));
    expect(bench.read(R.CMDQ_CONS)).toBe(1 | (1 << 24));
    expect(bench.read(R.GERROR)).toBe(CMDQ_ERR);
    expect(bench.memory.read32(FREE)).toBe(0);
    // More commands do not run either.
    bench.send(SYNC);
    expect(bench.read(R.CMDQ_CONS) & 0xf_ffff).toBe(1);
    bench.store(CMDQ + 16n, ...SYNC);
    bench.write(R.GERRORN, CMDQ_ERR);
    expect(bench.read(R.CMDQ_CONS) & 0xf_ffff).toBe(4);
    expect(bench.memory.read32(FREE)).toBe(0xabcd);
  });

  it("SMMU-016 PROD moved back to the failed command leaves nothing to do", () => {
    const bench = new SmmuBench();
    bench.send(SYNC, [0xffn, 0n], syncMsi(FREE, 1n));
    bench.write(R.CMDQ_PROD, 1);
    bench.write(R.GERRORN, CMDQ_ERR);
    expect([bench.read(R.CMDQ_CONS) & 0xf_ffff, bench.memory.read32(FREE), bench.read(R.GERROR)]).toEqual([
      1,
      0,
      CMDQ_ERR,
    ]);
  });

  it("SMMU-017 a command that cannot be read is CERROR_ABT, and is read again", () => {
    const bench = new SmmuBench();
    bench.memory.poison(CMDQ + 16n, 16);
    bench.send(SYNC, SYNC);
    expect([bench.read(R.CMDQ_CONS) & 0xf_ffff, error(bench), bench.read(R.GERROR)]).toEqual([1, 2, CMDQ_ERR]);
    bench.write(R.GERRORN, CMDQ_ERR);
    // The same error again.
    expect([bench.read(R.CMDQ_CONS) & 0xf_ffff, bench.read(R.GERROR)]).toEqual([1, 0]);
    bench.memory.heal();
    bench.write(R.GERRORN, 0);
    expect(bench.read(R.CMDQ_CONS) & 0xf_ffff).toBe(2);
  });

  it("a queue outside of RAM is CERROR_ABT", () => {
    const bench = new SmmuBench({ cr0: 0 });
    bench.write64(R.CMDQ_BASE, 0x1_0000_0004n);
    bench.enable(CMDQEN);
    bench.write(R.CMDQ_PROD, 1);
    expect([error(bench), bench.read(R.GERROR)]).toEqual([2, CMDQ_ERR]);
  });

  it("runs when it is enabled, not before", () => {
    const bench = new SmmuBench({ cr0: 0 });
    bench.send(SYNC, SYNC);
    expect(bench.read(R.CMDQ_CONS)).toBe(0);
    bench.enable(CMDQEN);
    expect(bench.read(R.CMDQ_CONS)).toBe(2);
  });

  it("SMMU-010 commands at CMDQS, the base aligned to that size", () => {
    const ids = { IDR0: 0x084d369b, IDR1: 0x0c4f5510, IDR3: 0x1714, IDR5: 0x00200075, AIDR: 2 };
    const bench = new SmmuBench({ ids, cr0: 0, log2Commands: 2 });
    bench.write64(R.CMDQ_BASE, CMDQ | 0x20n | 19n);
    bench.enable(CMDQEN);
    for (let i = 0; i < 5; i++) bench.send(SYNC);
    expect(bench.read(R.CMDQ_CONS)).toBe(5);
  });

  it("step by step, one command at a time", () => {
    const bench = new SmmuBench({ queue: "stepped" });
    bench.send(SYNC, CFGI_ALL, [0x7fn, 0n]);
    expect(bench.read(R.CMDQ_CONS)).toBe(0);
    expect(bench.smmu.step()).toMatchObject({ index: 0, name: "CMD_SYNC", outcome: "done", error: 0 });
    expect(bench.smmu.step()).toMatchObject({ index: 1, name: "CMD_CFGI_ALL", outcome: "done" });
    expect(bench.smmu.step()).toMatchObject({ index: 2, words: [0x7fn, 0n], outcome: "error", error: 1 });
    expect(bench.smmu.step()).toBeUndefined();
    bench.write(R.GERRORN, CMDQ_ERR);
    expect(bench.smmu.step()).toMatchObject({ outcome: "error" });
  });

  it("software that adds commands from within an interrupt is served", () => {
    const bench = new SmmuBench();
    let left = 3;
    bench.smmu.onLine = (line) => {
      if (line === "sync" && left-- > 0) bench.send(syncMsi(0n, 0n));
    };
    bench.send(syncMsi(0n, 0n));
    expect([bench.read(R.CMDQ_CONS), left]).toEqual([4, -1]);
  });
});

describe("CMD_SYNC, IHI 0070 4.7.3", () => {
  it("SMMU-080 writes its MSI, even over itself, as Linux polls for", () => {
    const bench = new SmmuBench();
    bench.send(syncMsi(CMDQ, 0n));
    expect(bench.memory.read32(CMDQ)).toBe(0);
    expect(bench.memory.read32(CMDQ + 4n)).toBe(0);
    bench.send(syncMsi(FREE, 0xdead_beefn));
    expect(bench.memory.read32(FREE)).toBe(0xdead_beef);
  });

  it("pulses its wire with or without an MSI; CS = 0 does neither", () => {
    const bench = new SmmuBench();
    const lines: string[] = [];
    bench.smmu.onLine = (line) => void lines.push(line);
    bench.send(syncMsi(0n, 0n), syncMsi(FREE, 1n), SYNC, [0x46n | (2n << 12n), 0n]);
    expect(lines).toEqual(["sync", "sync"]);
  });

  it("CS = 2 wakes processors where SEV is implemented, as does a queue that has room again", () => {
    const bench = new SmmuBench({ features: smmuFeatures({ SEV: 1 }), log2Commands: 1, queue: "stepped" });
    const lines: string[] = [];
    bench.smmu.onLine = (line) => void lines.push(line);
    bench.send([0x46n | (2n << 12n), 0n]);
    bench.smmu.step();
    expect(lines).toEqual(["sev"]);
    bench.send(SYNC, SYNC);
    bench.smmu.step();
    bench.smmu.step();
    expect(lines).toEqual(["sev", "sev"]);
  });

  it("SMMU-090 an MSI that aborts is MSI_CMDQ_ABT_ERR; the CMD_SYNC is consumed", () => {
    const bench = new SmmuBench();
    bench.memory.poison(FREE, 4);
    bench.send(syncMsi(FREE, 1n), syncMsi(0x9_0000n, 1n), SYNC);
    expect([bench.read(R.CMDQ_CONS), bench.read(R.GERROR)]).toEqual([3, 1 << 4]);
  });

  it("an MSI outside of RAM goes to whoever listens", () => {
    const bench = new SmmuBench();
    const messages: [bigint, number][] = [];
    bench.smmu.onInterrupt = (address, data) => void messages.push([address, data]);
    bench.send(syncMsi(0x802_0040n, 0x51n));
    expect(messages).toEqual([[0x802_0040n, 0x51]]);
    expect(bench.read(R.GERROR)).toBe(0);
  });

  it("fails once after an ATC invalidation that was never answered", () => {
    const bench = new SmmuBench();
    const device = bench.smmu.device(SID);
    device.onInvalidate = () => false;
    bench.send([0x40n | (BigInt(SID) << 32n), 52n], SYNC, SYNC);
    expect([bench.read(R.CMDQ_CONS), bench.read(R.GERROR)]).toEqual([1 | (3 << 24), CMDQ_ERR]);
    bench.write(R.GERRORN, CMDQ_ERR);
    expect(bench.read(R.CMDQ_CONS) & 0xf_ffff).toBe(3);
  });

  it("with SMMUEN = 0 nothing is sent to endpoints, and commands are valid", () => {
    const bench = new SmmuBench({ cr0: CMDQEN | EVENTQEN });
    const device = bench.smmu.device(SID);
    bench.send([0x40n | (BigInt(SID) << 32n), 52n], [0x41n | (BigInt(SID) << 32n), 0n], CFGI_ALL, [0x30n, 0n], SYNC);
    expect([bench.read(R.CMDQ_CONS), device.invalidations, device.responses]).toEqual([5, [], []]);
  });
});

describe("CMD_ATC_INV, IHI 0070 4.5.1", () => {
  it("reaches the endpoint with span and PASID", () => {
    const bench = new SmmuBench({ cr0: SMMUEN | CMDQEN });
    const device = bench.smmu.device(SID);
    const head = 0x40n | (BigInt(SID) << 32n);
    // As captured: whole space without and with PASID 1; two pages; and one with Global, which needs a PASID.
    bench.send(
      [head, 0x34n],
      [head | 0x1800n, 0x34n],
      [head, 0x1_9001n],
      [head | (1n << 9n) | 0x7_f800n, 0x1_9001n],
      [head | (1n << 9n), 0n],
    );
    expect(device.invalidations).toEqual([
      { address: 0n, size: 1n << 64n, global: false },
      { pasid: 1, address: 0n, size: 1n << 64n, global: false },
      { address: 0x1_8000n, size: 0x2000n, global: false },
      { pasid: 0x7f, address: 0x1_8000n, size: 0x2000n, global: true },
      { address: 0n, size: 0x1000n, global: false },
    ]);
  });
  it("to nobody completes", () => {
    const bench = new SmmuBench();
    bench.send([0x40n, 52n], SYNC);
    expect(bench.read(R.CMDQ_CONS)).toBe(2);
    bench.smmu.device(0).onInvalidate = () => false;
    bench.smmu.removeDevice(0);
    bench.send([0x40n, 52n], SYNC);
    expect(bench.read(R.CMDQ_CONS)).toBe(4);
  });
});
