import { describe, expect, it } from "vitest";
import { SMMU_PRESETS, type SmmuFeatures, smmuCommandName, smmuFeatures } from "../../src/index.ts";
import { isIllegal } from "../../src/smmuv3/commands.ts";
import { tlbInvalidation } from "../../src/smmuv3/invalidation.ts";
import { CFGI_ALL, CMDQ, CMDQEN, EVENTQEN, FREE, R, SMMUEN, SmmuBench, SYNC, stage1 } from "../support/smmu-bench.ts";

const CMDQ_ERR = 1;
const SID = 5;
const error = (bench: SmmuBench): number => (bench.read(R.CMDQ_CONS) >> 24) & 0x7f;
/** CMD_SYNC with an MSI: CS = 1. */
const syncMsi = (address: bigint, data: bigint): [bigint, bigint] => [0x46n | (1n << 12n) | (data << 32n), address];

describe("command queue, IHI 0070 3.5 and 7.1", () => {
  it("wraps, keeps its order, and toggles the wrap flag", () => {
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

  it("stops at an illegal command, and goes on from there once software has replaced it and acknowledged", () => {
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

  it("PROD moved back to the failed command leaves nothing to do", () => {
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

  it("a command that cannot be read is CERROR_ABT, and is read again", () => {
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

  it("commands at CMDQS, the base aligned to that size", () => {
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

describe("legality of commands, IHI 0070 4.1.3", () => {
  const all = smmuFeatures();
  const both = { ...all };
  const illegal = (features: SmmuFeatures, low: bigint, high = 0n): boolean => isIllegal([low, high], features);
  const without = (change: Partial<SmmuFeatures>): SmmuFeatures => smmuFeatures(change);

  it("every opcode is legal where it is implemented, and nothing else is", () => {
    const legal = Array.from({ length: 256 }, (_, op) => op).filter((op) => !illegal(both, BigInt(op)));
    expect(legal).toEqual([
      0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x10, 0x11, 0x12, 0x13, 0x20, 0x21, 0x22, 0x23, 0x28, 0x2a, 0x30, 0x40, 0x41,
      0x44, 0x45, 0x46,
    ]);
  });

  it.each<[string, SmmuFeatures, number[]]>([
    ["stage 1", without({ S1P: 0 }), [0x05, 0x06, 0x10, 0x11, 0x12, 0x13, 0x20, 0x21, 0x22, 0x23]],
    ["stage 2", without({ S2P: 0 }), [0x28, 0x2a]],
    ["EL2", without({ S2P: 0, HYP: 0 }), [0x20, 0x21, 0x22, 0x23, 0x28, 0x2a]],
    ["ATS", without({ ATS: 0 }), [0x40, 0x41]],
    ["PRI", without({ PRI: 0 }), [0x41]],
    ["stalls", without({ STALL_MODEL: 1 }), [0x44, 0x45]],
    ["anything optional", SMMU_PRESETS.qemu, [0x20, 0x21, 0x22, 0x23, 0x40, 0x41, 0x44, 0x45]],
  ])("without %s", (_, features, gone) => {
    const now = Array.from({ length: 256 }, (_, op) => op).filter(
      (op) => illegal(features, BigInt(op)) && !illegal(both, BigInt(op)),
    );
    expect(now).toEqual(gone);
  });

  it("SSec = 1, where the command has it", () => {
    const withSsec = [0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x40, 0x41, 0x44, 0x45];
    for (const op of withSsec) expect(illegal(both, BigInt(op) | (1n << 10n)), String(op)).toBe(true);
    for (const op of [0x10, 0x30, 0x46]) expect(illegal(both, BigInt(op) | (1n << 10n)), String(op)).toBe(false);
  });

  it("reserved values", () => {
    expect(illegal(both, 0x46n | (3n << 12n))).toBe(true);
    expect(illegal(both, 0x41n, 3n << 12n)).toBe(true);
    expect(illegal(both, 0x41n, 2n << 12n)).toBe(false);
    expect(illegal(both, 0x40n, 52n)).toBe(false);
    expect(illegal(both, 0x40n, 53n)).toBe(true);
  });

  it("a granule without a range and a level", () => {
    const tg = (value: bigint, ttl: bigint): bigint => (value << 10n) | (ttl << 8n);
    for (const op of [0x12n, 0x13n, 0x22n, 0x23n, 0x2an]) {
      expect(illegal(both, op, tg(1n, 0n))).toBe(true);
      expect(illegal(both, op, tg(1n, 1n))).toBe(false);
      expect(illegal(both, op, tg(0n, 1n))).toBe(false);
      // 16 KiB has no level 1: TTL = 1 acts as 0.
      expect(illegal(both, op, tg(2n, 1n))).toBe(true);
      expect(illegal(both, op | (1n << 12n), tg(1n, 0n))).toBe(false);
      expect(illegal(both, op | (1n << 20n), tg(1n, 0n))).toBe(false);
      // Without range invalidation the fields mean nothing.
      expect(illegal(without({ RIL: 0, ArchMinorRev: 1 }), op, tg(1n, 0n))).toBe(false);
    }
  });

  it("names", () => {
    expect([
      smmuCommandName([0x04n, 31n]),
      smmuCommandName([0x04n, 3n]),
      smmuCommandName([0x2an, 0n]),
      smmuCommandName([0x99n, 0n]),
    ]).toEqual(["CMD_CFGI_ALL", "CMD_CFGI_STE_RANGE", "CMD_TLBI_S2_IPA", ""]);
  });
});

describe("range invalidation, IHI 0070 4.4.1", () => {
  const all = smmuFeatures();
  it("one address, whatever holds it", () => {
    // As Linux sends it: VMID 0, ASID 7, leaf, address 0x18000.
    expect(tlbInvalidation([0x0007_0000_0000_0012n, 0x1_8001n], all, 0)).toEqual({
      opcode: 0x12,
      vmid: 0,
      vmidMask: 0xffff,
      asid: 7,
      first: 0x1_8000n,
      last: 0x1_8000n,
      leaf: true,
      tg: 0,
      ttl: 0,
    });
  });
  it("(NUM + 1) * 2^SCALE granules, with level", () => {
    // As Linux sent it for 16 KiB: NUM 0, SCALE 2, TG 4K, TTL 3.
    expect(tlbInvalidation([0x7_0000_0020_0012n, 0x1_8701n], all, 0)).toMatchObject({
      asid: 7,
      first: 0x1_8000n,
      last: 0x1_bfffn,
      tg: 1,
      ttl: 3,
      leaf: true,
    });
    expect(tlbInvalidation([0x12n | (31n << 12n) | (31n << 20n), (3n << 10n) | 0x1_2000n], all, 0)).toMatchObject({
      first: 0x1_0000n,
      last: 0x1_0000n + 32n * 2n ** 31n * 0x1_0000n - 1n,
      tg: 3,
    });
  });
  it("stops at the top of the address space", () => {
    const { first, last } = tlbInvalidation([0x12n | (31n << 20n), 0xffff_ffff_ffff_f400n], all, 0);
    expect([first, last]).toEqual([0xffff_ffff_ffff_f000n, 0xffff_ffff_ffff_ffffn]);
  });
  it("without RIL is one address", () => {
    const old = smmuFeatures({ RIL: 0, ArchMinorRev: 1 });
    expect(tlbInvalidation([0x12n | (5n << 12n), 0x1_8700n], old, 0)).toMatchObject({
      first: 0x1_8000n,
      last: 0x1_8000n,
      tg: 0,
      ttl: 0,
    });
  });
  it("an IPA has 52 bits", () => {
    expect(tlbInvalidation([0x2an, 0xfff0_0000_0000_1001n], all, 0)).toMatchObject({
      first: 0x1000n,
      last: 0x1000n,
      leaf: true,
    });
  });
  it("VMIDs: 8 or 16 bits, wildcards, or none at all", () => {
    const command = [(0x1234n << 32n) | 0x10n, 0n];
    expect(tlbInvalidation(command, all, 0)).toMatchObject({ vmid: 0x1234, vmidMask: 0xffff });
    expect(tlbInvalidation(command, all, 4)).toMatchObject({ vmid: 0x1234, vmidMask: 0xfff0 });
    expect(tlbInvalidation(command, smmuFeatures({ VMID16: 0 }), 1)).toMatchObject({ vmidMask: 0xfe });
    expect(tlbInvalidation(command, smmuFeatures({ S2P: 0 }), 0)).toMatchObject({ vmidMask: 0 });
  });
});

describe("CMD_SYNC, IHI 0070 4.7.3", () => {
  it("writes its MSI, even over itself, as Linux polls for", () => {
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

  it("an MSI that aborts is MSI_CMDQ_ABT_ERR; the CMD_SYNC is consumed", () => {
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

describe("interrupts and global errors, IHI 0070 3.18 and 7.5", () => {
  const MSI = 0x802_0040n;
  const listen = (bench: SmmuBench) => {
    const heard: string[] = [];
    bench.smmu.onLine = (line) => void heard.push(line);
    bench.smmu.onInterrupt = (address, data) => void heard.push(`${address.toString(16)}:${data}`);
    return heard;
  };
  const faulty = (): SmmuBench => {
    const bench = new SmmuBench();
    stage1(bench, SID);
    bench.write64(R.EVENTQ_IRQ_CFG0, MSI);
    bench.write(R.EVENTQ_IRQ_CFG1, 0x50);
    bench.write64(R.GERROR_IRQ_CFG0, MSI);
    bench.write(R.GERROR_IRQ_CFG1, 0x51);
    return bench;
  };
  const fault = (bench: SmmuBench): void => void bench.smmu.translate({ sid: SID, address: 0n });

  it("the event queue's fires when it is no longer empty, once, wire and message", () => {
    const bench = faulty();
    const heard = listen(bench);
    fault(bench);
    expect(heard).toEqual([]);
    bench.write(R.IRQ_CTRL, 4);
    fault(bench);
    expect(heard).toEqual([]);
    bench.events();
    fault(bench);
    fault(bench);
    expect(heard).toEqual(["eventq", "8020040:80"]);
  });

  it("the global error's fires when an error becomes active and GERROR_IRQEN = 1", () => {
    const bench = faulty();
    const heard = listen(bench);
    bench.send([0x7fn, 0n]);
    bench.write(R.IRQ_CTRL, 1);
    expect(heard).toEqual([]);
    bench.write(R.GERRORN, CMDQ_ERR);
    expect(heard).toEqual(["gerror", "8020040:81"]);
    expect(bench.read(R.GERROR)).toBe(0);
  });

  it("ADDR = 0 sends no message", () => {
    const bench = faulty();
    const heard = listen(bench);
    bench.write64(R.EVENTQ_IRQ_CFG0, 0n);
    bench.write(R.IRQ_CTRL, 4);
    fault(bench);
    expect(heard).toEqual(["eventq"]);
  });

  it("messages that abort: each source has its error, and that of GERROR raises no interrupt", () => {
    const bench = faulty();
    const heard: string[] = [];
    bench.smmu.onLine = (line) => void heard.push(line);
    bench.write(R.IRQ_CTRL, 5);
    fault(bench);
    // MSI_EVENTQ_ABT_ERR, then the message that tells of it aborts too: MSI_GERROR_ABT_ERR.
    expect(bench.read(R.GERROR)).toBe((1 << 5) | (1 << 7));
    expect(heard).toEqual(["eventq", "gerror"]);
  });

  it("GERRORN toggled for nothing activates nothing", () => {
    const bench = faulty();
    const heard = listen(bench);
    bench.write(R.IRQ_CTRL, 5);
    bench.write(R.GERRORN, 0x1fd);
    bench.send(SYNC);
    fault(bench);
    expect([bench.read(R.GERROR), bench.read(R.GERRORN), bench.read(R.CMDQ_CONS), heard[0]]).toEqual([
      0,
      0x1fd,
      1,
      "eventq",
    ]);
  });

  it("an error that is active is not toggled a second time", () => {
    const bench = faulty();
    bench.memory.poison(FREE, 4);
    bench.send(syncMsi(FREE, 1n), syncMsi(FREE, 1n));
    expect(bench.read(R.GERROR)).toBe(1 << 4);
    bench.write(R.GERRORN, 1 << 4);
    bench.send(syncMsi(FREE, 1n));
    expect(bench.read(R.GERROR)).toBe(0);
  });
});
