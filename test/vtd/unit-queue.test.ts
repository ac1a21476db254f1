import { describe, expect, it } from "vitest";
import { GCMD, REG } from "../../assembly/layout/vtd-registers.ts";
import { VTD_PRESETS, VtdCapabilities, type VtdFeatures } from "../../src/index.ts";
import { capabilities, VtdMachine } from "../support/vtd-machine.ts";

const FSTS_IQE = 0x10n;
const FSTS_ICE = 0x20n;
const FSTS_ITE = 0x40n;
const ONES = 0xffff_ffff_ffff_ffffn;

/** Bits that Linux and QEMU name as reserved, by type: word 0 (type bits apart) and word 1. */
const RESERVED: [number, string, bigint, bigint, Partial<VtdFeatures>][] = [
  [1, "cc_inv", 0xfffc0000_0000f1c0n, ONES, {}],
  [2, "iotlb_inv", 0xffffffff_0000f100n, 0x0000_0000_0000_0f80n, {}],
  [3, "dev_tlb_inv", 0x000f0000_ffe001f0n, 0xffen, {}],
  [3, "dev_tlb_inv without DIT", 0xffff0000_ffe0f1f0n | 0x1f0000n, 0xffen, { DIT: 0 }],
  [4, "iec_inv", 0xffff0000_07fff1e0n, ONES, {}],
  [5, "inv_wait", 0xfffff100n, 3n, {}],
  [5, "inv_wait without PDS", 0xfffff180n, 3n, { PDS: 0 }],
  [6, "p_iotlb_inv", 0xfff00000_0000f1c0n, 0xf80n, {}],
  [7, "pc_inv", 0xfff00000_0000f1c0n, ONES, {}],
  [8, "p_dev_tlb_inv", 0n, 0x7fen, {}],
  [8, "p_dev_tlb_inv without DIT", 0xfff00000_0000f1f0n, 0x7fen, { DIT: 0 }],
  [9, "page_grp_resp", 0xfff00000_000001e0n, 0xffffffff_fffff003n, {}],
  [10, "hpt_inv", 0xffffffff_0000f1c0n, 0xf00n, {}],
];

/** A granularity that is legal in each type that has one. */
const GRANULARITY: Readonly<Record<number, bigint>> = { 1: 1n, 2: 1n, 6: 2n, 10: 1n };

function descriptorOf(type: number, word0 = 0n, word1 = 0n): bigint[] {
  return [BigInt(type) | ((GRANULARITY[type] ?? 0n) << 4n) | word0, word1, 0n, 0n];
}

function scalableQueue(changes: Partial<VtdFeatures> = {}): VtdMachine {
  const machine = new VtdMachine({ capabilities: capabilities(changes) });
  machine.setRoot(0x400n);
  machine.startQueue(true);
  machine.unit.device(0);
  return machine;
}

/** IQERCD.IQEI while the queue is stopped, undefined while it runs. */
function stopCode(machine: VtdMachine): number | undefined {
  return machine.read(REG.FSTS) & FSTS_IQE ? Number(machine.read(REG.IQERCD, 8) & 0xfn) : undefined;
}

describe("VTD-080 reserved bits of descriptors", () => {
  it.each(RESERVED)("type %i, %s", (type, _, word0, word1, changes) => {
    const machine = scalableQueue(changes);
    const masks = [word0, word1, ONES, ONES];
    for (let bit = 0; bit < 256; bit++) {
      const isType = bit < 4 || (bit >= 9 && bit < 12);
      const isGranularity = (type in GRANULARITY || type === 7) && (bit === 4 || bit === 5);
      // Bits 64 and 65 of an IOTLB type make an address mask that is legal; all of its bits are tried.
      if (isType || isGranularity) continue;
      const word = bit >> 6;
      const reserved = ((masks[word] as bigint) >> BigInt(bit & 63)) & 1n;
      const descriptor = descriptorOf(type);
      descriptor[word] = (descriptor[word] as bigint) | (1n << BigInt(bit & 63));
      // Keep the effects out: a wait that writes its status, a device that is not there.
      if (type === 5 && bit >= 66 && bit < 128) continue;
      machine.submit(descriptor);
      expect(stopCode(machine), `bit ${bit}`).toBe(reserved ? 4 : undefined);
      if (reserved || machine.read(REG.FSTS)) {
        if (reserved) machine.write(REG.IQT, BigInt(machine.head), 8);
        machine.write(REG.FSTS, 0xffff_ffffn);
      }
    }
  });

  it.each([
    [1, [0]],
    [2, [0]],
    [6, [0, 1]],
    [7, [2]],
    [10, [0]],
  ])("type %i: granularities %j are reserved", (type, reserved) => {
    for (const g of [0, 1, 2, 3]) {
      const machine = scalableQueue();
      machine.submit([BigInt(type) | (BigInt(g) << 4n)]);
      expect(stopCode(machine), `G = ${g}`).toBe(reserved.includes(g) ? 4 : undefined);
    }
  });

  it("page-selective IOTLB invalidation needs PSI, and AM up to MAMV", () => {
    const machine = scalableQueue({ MAMV: 9 });
    machine.submit([0x32n, 9n]);
    expect(stopCode(machine)).toBeUndefined();
    machine.submit([0x32n, 10n]);
    expect(stopCode(machine)).toBe(4);
    const coarse = scalableQueue({ PSI: 0, MAMV: 0 });
    coarse.submit([0x32n, 0n]);
    expect(stopCode(coarse)).toBe(4);
  });
});

describe("descriptor types", () => {
  it("VTD-080 those unknown, or without their feature, are IQE code 3 and the head stays", () => {
    for (const [word0, changes] of [
      [0n, {}],
      [0xbn, {}],
      [0x200n | 1n, {}],
      [0xe0fn, {}],
      [3n, { DT: 0, PRS: 0, NWFS: 0, DIT: 0, PDS: 0, HPTS: 0, HPT1GPS: 0, PTRS: 0, SMS: 0 }],
      [4n, { IR: 0, EIM: 0, MHMV: 0, ESIRTPS: 0 }],
      [9n, { PRS: 0, SMS: 0 }],
      [0x1an, { HPTS: 0, HPT1GPS: 0 }],
    ] as const) {
      const machine = scalableQueue(changes);
      machine.submit([0x11n], [word0], [0x11n]);
      expect(stopCode(machine), word0.toString(16)).toBe(3);
      expect(machine.head).toBe(32);
    }
  });

  it("VTD-078, VTD-079 tail and width are checked before anything is fetched", () => {
    const machine = scalableQueue();
    machine.write(REG.IQT, 0x1000n, 8);
    expect(stopCode(machine)).toBe(1);
    const odd = scalableQueue();
    odd.write(REG.IQT, 0x10n, 8);
    expect(stopCode(odd)).toBe(6);
    const narrow = new VtdMachine();
    narrow.setRoot(0x400n);
    narrow.startQueue(false);
    narrow.submit([0x11n]);
    expect(stopCode(narrow)).toBe(5);
    const reserved = new VtdMachine();
    reserved.setRoot(0x800n);
    reserved.startQueue(true);
    reserved.submit([0x11n]);
    expect(stopCode(reserved)).toBe(7);
  });

  it("VTD-015 abort-DMA mode needs the 256-bit queue and serves all types", () => {
    const machine = new VtdMachine();
    machine.setRoot(0xc00n);
    machine.startQueue(true);
    machine.submit([0x37n], [0x26n]);
    expect(machine.drain()).toBe(true);
  });

  it("scalable-mode types are unknown in legacy mode, in either width", () => {
    for (const wide of [false, true]) {
      const machine = new VtdMachine();
      machine.startQueue(wide);
      machine.submit([0x37n]);
      expect(stopCode(machine)).toBe(3);
    }
  });

  it("a descriptor that cannot be read is IQE code 2", () => {
    const machine = scalableQueue();
    machine.memory.poison(machine.queue + 32n, 1);
    machine.submit([0x11n], [0x11n]);
    expect(stopCode(machine)).toBe(2);
    expect(machine.head).toBe(32);
  });
});

describe("stopping and starting", () => {
  it("VTD-081, VTD-082 stops at the bad descriptor, and goes on by itself when IQE is cleared", () => {
    const machine = scalableQueue();
    const status = machine.pages.allocate();
    machine.submit([0x25n | (1n << 32n), status], [0xfn], [0x25n | (2n << 32n), status + 4n]);
    expect(machine.memory.read32(status)).toBe(1);
    expect(machine.memory.read32(status + 4n)).toBe(0);
    expect(machine.head).toBe(32);
    // § No fetch while IQE stands, whatever the tail does.
    machine.submit([0x11n]);
    expect(machine.head).toBe(32);
    machine.memory.write64(machine.queue + 32n, 0x11n);
    expect(machine.head).toBe(32);
    machine.write(REG.FSTS, FSTS_IQE);
    expect(machine.memory.read32(status + 4n)).toBe(2);
    expect(machine.head).toBe(128);
    expect(machine.read(REG.IQERCD, 8)).toBe(0n);
  });

  it("VTD-085 wraps at the end of the ring, in both widths and any size", () => {
    for (const [wide, log2Pages] of [
      [false, 0],
      [true, 0],
      [true, 1],
      [false, 2],
    ] as const) {
      const machine = new VtdMachine();
      machine.startQueue(wide, log2Pages);
      const bytes = wide ? 32 : 16;
      const entries = (4096 << log2Pages) / bytes;
      for (let i = 0; i < entries - 1; i++) machine.submit([0x11n]);
      expect(machine.head).toBe((entries - 1) * bytes);
      machine.submit([0x11n]);
      expect(machine.head).toBe(0);
      expect(machine.drain()).toBe(true);
    }
  });

  it("runs step by step on demand", () => {
    const machine = new VtdMachine({ queue: "stepped" });
    machine.startQueue(false);
    const status = machine.pages.allocate();
    machine.submit([0x11n], [0x12n], [0x25n | (7n << 32n), status]);
    expect(machine.head).toBe(0);
    expect(machine.unit.step()).toMatchObject({ name: "cc_inv", offset: 0, outcome: "done" });
    expect(machine.head).toBe(16);
    expect(machine.unit.step()).toMatchObject({ name: "iotlb_inv", offset: 16 });
    expect(machine.memory.read32(status)).toBe(0);
    expect(machine.unit.step()).toMatchObject({ name: "inv_wait", offset: 32, outcome: "done" });
    expect(machine.memory.read32(status)).toBe(7);
    expect(machine.unit.step()).toBeUndefined();
    machine.submit([0n]);
    expect(machine.unit.step()).toMatchObject({ name: "TYPE", outcome: "error" });
    expect(machine.unit.step()).toBeUndefined();
  });

  it("goes on when an interrupt handler clears the error at once, and is not held for ever by one that repairs nothing", () => {
    const machine = scalableQueue({ NFR: 0 });
    machine.write(REG.FECTL, 0n);
    const handler = (repair: () => void) => () => {
      repair();
      machine.write(REG.FSTS, FSTS_IQE);
    };
    machine.unit.onInterrupt = handler(() => machine.memory.write64(machine.queue, 0x11n));
    machine.submit([0xfn], [0x11n]);
    expect(machine.head).toBe(64);
    let calls = 0;
    machine.unit.onInterrupt = handler(() => void calls++);
    machine.submit([0xfn]);
    expect(machine.head).toBe(64);
    expect(calls).toBeGreaterThan(1);
  });

  it("finds its head on a descriptor when the queue's width or size changes under way", () => {
    const machine = new VtdMachine();
    machine.startQueue(false, 1);
    const odd = 4096 + 16;
    for (let at = 0; at < odd; at += 16) machine.submit([0x11n]);
    expect(machine.head).toBe(odd);
    machine.memory.writeBytes(machine.queue, new Uint8Array(8192));
    for (const at of [0n, 32n]) machine.memory.write64(machine.queue + at, 0x11n);
    machine.write(REG.IQA, machine.queue | 0x800n, 8);
    machine.write(REG.IQT, 0x40n, 8);
    expect(machine.head).toBe(0x40);
    expect(machine.read(REG.FSTS)).toBe(0n);
  });

  it("does nothing while disabled", () => {
    const machine = new VtdMachine();
    machine.startQueue(false);
    machine.command(GCMD.QIE, false);
    machine.submit([0x11n]);
    expect(machine.head).toBe(0);
  });
});

describe("wait descriptors", () => {
  it("VTD-083 write status, set IWC, do both or neither", () => {
    for (const flags of [0x00n, 0x10n, 0x20n, 0x30n]) {
      const machine = scalableQueue();
      const status = machine.pages.allocate();
      machine.submit([0x5n | flags | (0x1234_5678n << 32n), status]);
      expect(stopCode(machine)).toBeUndefined();
      expect(machine.memory.read32(status)).toBe(flags & 0x20n ? 0x1234_5678 : 0);
      expect(machine.read(REG.ICS)).toBe(flags & 0x10n ? 1n : 0n);
      expect(machine.read(REG.IECTL)).toBe(flags & 0x10n ? 0xc000_0000n : 0x8000_0000n);
    }
  });

  it("signal completion once until IWC is cleared; clearing drops what is pending", () => {
    const machine = scalableQueue();
    machine.write(REG.IEDATA, 0x41n);
    machine.write(REG.IEADDR, 0xfee0_1000n);
    machine.write(REG.IEUADDR, 0x1_00n);
    machine.submit([0x15n]);
    machine.write(REG.ICS, 1n);
    expect(machine.read(REG.IECTL)).toBe(0x8000_0000n);
    machine.write(REG.IECTL, 0n);
    expect(machine.messages).toEqual([]);
    machine.submit([0x15n], [0x15n]);
    expect(machine.messages).toEqual([{ address: 0x100_fee0_1000n, data: 0x41 }]);
    machine.write(REG.ICS, 1n);
    machine.submit([0x15n]);
    expect(machine.messages).toHaveLength(2);
  });

  it("lose a status that goes nowhere, and finish", () => {
    const machine = scalableQueue();
    machine.submit([0x35n, 0xffff_ffff_ffff_f000n]);
    expect(stopCode(machine)).toBeUndefined();
    expect(machine.read(REG.ICS)).toBe(1n);
  });
});

describe("devices", () => {
  it("get invalidation ranges by S and the lowest zero bit", () => {
    const machine = scalableQueue({ DIT: 0 });
    const device = machine.unit.device(0x1234);
    const sid = 0x1234n;
    machine.submit(
      [0x3n | (sid << 32n), 0x7000n],
      [0x3n | (sid << 32n), 0x0000n | 1n],
      [0x3n | (sid << 32n), 0x10_f000n | 1n],
      [0x3n | (sid << 32n), 0x7fff_ffff_ffff_f000n | 1n],
      [0x8n | (sid << 16n) | (0x54321n << 32n), 0x20_0000n],
      [0x8n | (sid << 16n) | (0x54321n << 32n), 0x20_0000n | (1n << 11n) | 1n],
    );
    expect(device.invalidations).toEqual([
      { address: 0x7000n, size: 0x1000n, global: false },
      { address: 0n, size: 0x2000n, global: false },
      { address: 0x10_0000n, size: 0x2_0000n, global: false },
      { address: 0n, size: 1n << 64n, global: false },
      { pasid: 0x54321, address: 0x20_0000n, size: 0x1000n, global: false },
      { pasid: 0x54321, address: 0x20_0000n, size: 0x2000n, global: true },
    ]);
  });

  it("are told the throttle of their physical function with DIT", () => {
    const machine = scalableQueue();
    const device = machine.unit.device(5);
    machine.submit([0x3n | (0xcn << 12n) | (7n << 16n) | (5n << 32n) | (0xabn << 52n), 0n]);
    expect(device.invalidations[0]).toMatchObject({ pfsid: 0xabc, maxPending: 7 });
    machine.submit([0x8n | (5n << 16n), 0n]);
    expect(device.invalidations[1]).toMatchObject({ pfsid: 0, maxPending: 32 });
  });

  it("VTD-086 that do not answer: ITE, pending waits are aborted, and the queue goes on after the clear", () => {
    const machine = scalableQueue();
    const status = machine.pages.allocate();
    machine.submit([0x3n | (0x77n << 32n)], [0x35n | (1n << 32n), status], [0x25n | (2n << 32n), status + 4n]);
    expect(machine.read(REG.FSTS) & FSTS_ITE).toBe(FSTS_ITE);
    expect(machine.read(REG.IQERCD, 8)).toBe(0x77n << 32n);
    expect(machine.memory.read32(status)).toBe(0);
    expect(machine.read(REG.ICS)).toBe(0n);
    expect(machine.memory.read32(status + 4n)).toBe(0);
    machine.write(REG.FSTS, FSTS_ITE);
    expect(machine.memory.read32(status)).toBe(0);
    expect(machine.memory.read32(status + 4n)).toBe(2);
  });

  it("that do not answer are noticed without a wait too, when the queue runs empty", () => {
    const machine = scalableQueue();
    const device = machine.unit.device(9);
    device.onInvalidate = () => false;
    machine.submit([0x3n | (9n << 32n)]);
    expect(machine.read(REG.FSTS)).toBe(FSTS_ITE);
    machine.unit.removeDevice(9);
    machine.write(REG.FSTS, FSTS_ITE);
    machine.submit([0x3n | (9n << 32n)]);
    expect(machine.read(REG.FSTS)).toBe(FSTS_ITE);
  });

  it("that complete what nobody asked for: ICE, the queue goes on, and the first source is kept", () => {
    const machine = scalableQueue();
    machine.unit.unexpectedCompletion(0x21);
    expect(machine.read(REG.FSTS)).toBe(0n);
    machine.command(GCMD.TE);
    machine.unit.unexpectedCompletion(0x21);
    machine.unit.unexpectedCompletion(0x22);
    expect(machine.read(REG.FSTS)).toBe(FSTS_ICE);
    expect(machine.read(REG.IQERCD, 8)).toBe(0x21n << 48n);
    expect(machine.drain()).toBe(true);
  });

  it("VTD-100 get page group responses", () => {
    const machine = scalableQueue();
    const device = machine.unit.device(0x100);
    machine.submit([0x9n | (1n << 12n) | (0x100n << 16n), 0x1ffn << 3n]);
    machine.submit([0x19n | (0x100n << 16n) | (0xabcden << 32n), 5n << 3n]);
    machine.submit([0x9n | (0x101n << 16n), 0n]);
    expect(device.responses).toEqual([
      { group: 0x1ff, code: 1 },
      { group: 5, code: 0, pasid: 0xabcde },
    ]);
  });
});

describe("a unit without queued invalidation", () => {
  it("VTD-003 has no queue registers and cannot enable the queue", () => {
    const { features } = VTD_PRESETS.qemu;
    const machine = new VtdMachine({ capabilities: VtdCapabilities.of({ ...features, QI: 0, IR: 0, MHMV: 0 }) });
    for (const offset of [REG.IQH, REG.IQT, REG.IQA, REG.IQERCD]) {
      machine.write(offset, ONES, 8);
      expect(machine.read(offset, 8)).toBe(0n);
    }
    machine.write(REG.GCMD, 0x400_0000n);
    expect(machine.read(REG.GSTS)).toBe(0n);
  });
});
