import { describe, expect, it } from "vitest";
import { GCMD, HOLE, Rig, range, SID } from "../support/vtd-rig.ts";

const FSTS = 0x34;
const IQH = 0x80;
const IQT = 0x88;
const IQA = 0x90;
const ICS = 0x9c;
const IECTL = 0xa0;
const IQERCD = 0xb0;
const IQE = 0x10;
const ITE = 0x40;
/** Descriptors: global context-cache and IOTLB invalidation; a wait with a status write. */
const CC_GLOBAL = [0x11n];
const IOTLB_GLOBAL = [0x12n];
const wait = (status: bigint, data = 1n, flags = 0x20n) => [5n | flags | (data << 32n), status];

/** IQE and its code. */
const queueError = (rig: Rig) => (rig.r32(FSTS) & IQE ? Number(rig.r64(IQERCD) & 15n) : 0);
/** A unit in scalable mode with an enabled queue. */
function started(changes: ConstructorParameters<typeof Rig>[0] = {}, wide = true, size = 0): Rig {
  const rig = new Rig(changes);
  if (wide) rig.scalable();
  else rig.legacy();
  rig.startQueue(wide, size);
  return rig;
}

describe("Invalidation queue, VT-d 5.10 6.5.2", () => {
  it("VTD-078 DW = 0: entries of 16 bytes, tail bits 18:4; DW = 1: 32 bytes, and an odd tail is IQE code 6", () => {
    const narrow = started({}, false);
    expect(narrow.invalidate(IOTLB_GLOBAL)).toBe(true);
    expect(narrow.r64(IQH)).toBe(0x20n);
    narrow.w64(IQT, 0xffff_ffff_ffff_ffffn);
    expect(narrow.r64(IQT)).toBe(0x7_fff0n);
    const rig = started();
    expect(rig.invalidate(IOTLB_GLOBAL)).toBe(true);
    expect(rig.r64(IQH)).toBe(0x40n);
    rig.w64(IQT, 0x70n);
    expect(queueError(rig)).toBe(6);
    expect(rig.r64(IQH)).toBe(0x40n);
  });

  it("VTD-078 a tail beyond the queue is IQE code 1", () => {
    const rig = started();
    rig.w64(IQT, 0x1000n);
    expect(queueError(rig)).toBe(1);
    expect(rig.r64(IQH)).toBe(0n);
  });

  it("VTD-079 DW = 0 in scalable mode is IQE code 5 at the first fetch", () => {
    const rig = new Rig();
    rig.scalable();
    rig.startQueue(false);
    expect(queueError(rig)).toBe(0);
    rig.submit(IOTLB_GLOBAL);
    expect(queueError(rig)).toBe(5);
    expect(rig.r64(IQH)).toBe(0n);
  });

  it("VTD-079 a queue under an illegal TTM is IQE code 7; one in no memory is code 2", () => {
    const rig = new Rig();
    rig.enable(rig.page() | 0x800n);
    rig.startQueue();
    rig.submit(IOTLB_GLOBAL);
    expect(queueError(rig)).toBe(7);
    const lost = new Rig();
    lost.scalable();
    lost.w64(IQA, HOLE | 0x800n);
    lost.command(GCMD.QIE);
    lost.w64(IQT, 0x20n);
    expect(queueError(lost)).toBe(2);
  });

  it("VTD-080 an unknown type is IQE code 3 and the head stays on it", () => {
    for (const type of [0x0n, 0xbn, 0xcn, 0xdn, 0xen, 0xfn, 0x201n, 0xe0fn]) {
      const rig = started();
      rig.submit([type]);
      expect(queueError(rig), `type ${type.toString(16)}`).toBe(3);
      expect(rig.r64(IQH)).toBe(0n);
    }
  });

  it.each([
    [3n, "DT"],
    [4n, "IR"],
    [8n, "DT"],
    [9n, "PRS"],
    [0xan, "HPTS"],
  ] as const)("VTD-080 type %i without %s is IQE code 3", (type, capability) => {
    const rig = started({ [capability]: 0 });
    rig.submit([type | 0x10n]);
    expect(queueError(rig)).toBe(3);
  });

  it.each([6n, 7n, 8n, 9n, 0xan])(
    "VTD-080 type %i exists in neither a 128-bit queue nor legacy mode: code 3",
    (type) => {
      for (const wide of [false, true]) {
        const rig = new Rig();
        rig.legacy();
        rig.startQueue(wide);
        rig.submit([type | 0x20n]);
        expect(queueError(rig)).toBe(3);
      }
    },
  );

  it.each([
    ["cc_inv", 0x11n, 0xfffc_0000_0000_f1c0n, 0xffff_ffff_ffff_ffffn],
    ["iotlb_inv", 0x12n, 0xffff_ffff_0000_f100n, 0xf80n],
    ["dev_tlb_inv", 0x03n | (0x10n << 32n), 0x000f_0000_ffe0_01f0n, 0xffen],
    ["iec_inv", 0x04n, 0xffff_0000_07ff_f1e0n, 0xffff_ffff_ffff_ffffn],
    ["inv_wait", 0x05n, 0x0000_0000_ffff_f100n, 0x3n],
    ["p_iotlb_inv", 0x26n, 0xfff0_0000_0000_f1c0n, 0xf80n],
    ["pc_inv", 0x17n, 0xfff0_0000_0000_f1c0n, 0xffff_ffff_ffff_ffffn],
    ["p_dev_tlb_inv", 0x08n | (0x10n << 16n), 0n, 0x7fen],
    ["page_grp_resp", 0x09n, 0xfff0_0000_0000_01e0n, 0xffff_ffff_ffff_f003n],
    ["hpt_inv", 0x1an, 0xffff_ffff_0000_f1c0n, 0xf00n],
  ] as const)("VTD-080 each reserved bit of %s is IQE code 4", (_name, first, low, high) => {
    const rig = started();
    rig.unit.device(SID);
    const bits = range(0, 255).filter((bit) => bit > 127 || ((bit < 64 ? low : high) >> BigInt(bit & 63)) & 1n);
    for (const bit of bits) {
      const words = [first, 0n, 0n, 0n];
      words[bit >> 6] = (words[bit >> 6] ?? 0n) | (1n << BigInt(bit & 63));
      const head = rig.r64(IQH);
      rig.submit(words);
      expect([queueError(rig), rig.r64(IQH)], `bit ${bit}`).toEqual([4, head]);
      rig.put(rig.queue + head, first, 0n, 0n, 0n);
      rig.w32(FSTS, IQE);
      expect([queueError(rig), rig.r64(IQH)], `bit ${bit} mended`).toEqual([0, (head + 0x20n) % 0x1000n]);
    }
  });

  it("VTD-080 reserved granularities are IQE code 4", () => {
    for (const words of [[0x01n], [0x02n], [0x06n], [0x16n], [0x27n], [0x0an]]) {
      const rig = started();
      rig.submit(words);
      expect(queueError(rig), `${words}`).toBe(4);
    }
    for (const flags of [0x80n]) {
      const rig = started({ PDS: 0 });
      rig.submit(wait(rig.page(), 1n, 0x20n | flags));
      expect(queueError(rig), "PD without PDS").toBe(4);
    }
  });

  it("VTD-081 the head is at the bad descriptor, what is before it is done, nothing behind it until IQE is cleared", () => {
    const rig = started();
    const [before, after] = [rig.page(), rig.page()];
    rig.submit(IOTLB_GLOBAL, wait(before), [0n], wait(after));
    expect(rig.r64(IQH)).toBe(0x40n);
    expect([rig.memory.read32(before), rig.memory.read32(after)]).toEqual([1, 0]);
    rig.submit(IOTLB_GLOBAL);
    expect([rig.r64(IQH), rig.memory.read32(after)]).toEqual([0x40n, 0]);
  });

  it("VTD-082 mending the descriptor and clearing IQE goes on without a tail write", () => {
    const rig = started();
    const after = rig.page();
    rig.submit([0n], wait(after));
    expect(queueError(rig)).toBe(3);
    rig.put(rig.queue, ...IOTLB_GLOBAL);
    expect(rig.memory.read32(after)).toBe(0);
    rig.w32(FSTS, IQE);
    expect([queueError(rig), rig.r64(IQH), rig.memory.read32(after)]).toEqual([0, 0x40n, 1]);
    // Cleared without being mended it stops there again.
    rig.submit([0n]);
    rig.w32(FSTS, IQE);
    expect([queueError(rig), rig.r64(IQH)]).toEqual([3, 0x40n]);
  });

  it("VTD-083 a wait writes 32 bits of status, sets IWC, both or neither", () => {
    const rig = started();
    const status = rig.page();
    rig.put(status, 0x1111_1111_2222_2222n);
    rig.submit(CC_GLOBAL, wait(status, 0xabcd_ef01n));
    expect(rig.get(status)).toBe(0x1111_1111_abcd_ef01n);
    expect(rig.r32(ICS)).toBe(0);
    rig.submit(wait(0n, 7n, 0x10n));
    expect([rig.r32(ICS), rig.r32(IECTL)]).toEqual([1, 0xc000_0000]);
    rig.w32(ICS, 1);
    expect([rig.r32(ICS), rig.r32(IECTL)]).toEqual([0, 0x8000_0000]);
    rig.submit(wait(status, 9n, 0x30n));
    expect([rig.memory.read32(status), rig.r32(ICS)]).toEqual([9, 1]);
    rig.w32(ICS, 1);
    rig.submit(wait(status, 10n, 0n), wait(status, 11n, 0x40n));
    expect([rig.memory.read32(status), rig.r32(ICS), queueError(rig)]).toEqual([9, 0, 0]);
  });

  it("VTD-083 the completion event: one message, and none while IWC stands", () => {
    const rig = started();
    rig.w32(0xa4, 0x55);
    rig.w32(0xa8, 0xfee0_2000);
    rig.w32(IECTL, 0);
    rig.submit(wait(0n, 0n, 0x10n), wait(0n, 0n, 0x10n));
    expect(rig.messages).toEqual([[0xfee0_2000n, 0x55]]);
    rig.w32(ICS, 1);
    rig.submit(wait(0n, 0n, 0x10n));
    expect(rig.messages).toHaveLength(2);
  });

  it("VTD-084 a fence and a page-request drain complete in order; PD is reserved without PDS", () => {
    const rig = started();
    const status = rig.page();
    rig.submit(wait(status, 1n, 0x60n), IOTLB_GLOBAL, wait(status + 8n, 2n, 0xa0n), wait(status + 16n, 3n, 0xe0n));
    expect([0n, 8n, 16n].map((at) => rig.memory.read32(status + at))).toEqual([1, 2, 3]);
    const without = started({ PDS: 0 });
    without.submit(wait(without.page(), 1n, 0xa0n));
    expect(queueError(without)).toBe(4);
  });

  it.each([
    [false, 0, 256],
    [false, 2, 1024],
    [true, 0, 128],
    [true, 1, 256],
  ] as const)("VTD-085 wide %s, QS = %i: the ring has %i entries", (wide, size, entries) => {
    const rig = started({}, wide, size);
    const bytes = wide ? 32n : 16n;
    for (let i = 0; i < entries - 1; i++) rig.submit(IOTLB_GLOBAL);
    expect(rig.r64(IQH)).toBe(BigInt(entries - 1) * bytes);
    rig.submit(IOTLB_GLOBAL);
    expect([rig.r64(IQH), queueError(rig)]).toEqual([0n, 0]);
    expect(rig.invalidate()).toBe(true);
    expect(rig.r64(IQH)).toBe(bytes);
  });

  it("VTD-086 a device that is not there: ITE, pending waits never complete, fetching goes on once ITE is cleared", () => {
    const rig = started();
    const [first, second] = [rig.page(), rig.page()];
    rig.submit([3n | (0x1234n << 32n), 0n], wait(first, 1n, 0x30n), IOTLB_GLOBAL, wait(second));
    expect(rig.r32(FSTS) & ITE).toBe(ITE);
    expect(Number((rig.r64(IQERCD) >> 32n) & 0xffffn)).toBe(0x1234);
    expect([rig.memory.read32(first), rig.r32(ICS)]).toEqual([0, 0]);
    rig.w32(FSTS, ITE);
    expect([rig.r32(FSTS) & ITE, rig.memory.read32(first), rig.r32(ICS)]).toEqual([0, 0, 0]);
    expect(rig.r64(IQH)).toBe(0x80n);
    expect(rig.memory.read32(second)).toBe(1);
  });

  it("VTD-086 a device that is there gets the range and answers", () => {
    const rig = started();
    const device = rig.unit.device(SID);
    const sid = BigInt(SID);
    // 8 KiB at 0x4000, everything, and a page of PASID 5.
    expect(rig.invalidate([3n | (sid << 32n), 0x4001n], [3n | (sid << 32n), 0x7fff_ffff_ffff_f001n])).toBe(true);
    expect(rig.invalidate([8n | (sid << 16n) | (5n << 32n), 0x6000n])).toBe(true);
    expect(device.invalidations).toMatchObject([
      { address: 0x4000n, size: 0x2000n },
      { address: 0n, size: 1n << 64n },
      { address: 0x6000n, size: 0x1000n, pasid: 5 },
    ]);
    expect(rig.r32(FSTS)).toBe(0);
  });
});

describe("Register-based invalidation, VT-d 5.10 6.5.1", () => {
  const CCMD = 0x28;
  const iva = (rig: Rig) => Number((rig.r64(0x10) >> 8n) & 0x3ffn) * 16;

  it("VTD-094 legacy mode, major version up to 5: what is asked is done, and illegal requests are told by 0", () => {
    const rig = new Rig();
    rig.legacy();
    for (const asked of [1n, 2n, 3n]) {
      rig.w64(CCMD, (1n << 63n) | (asked << 61n) | (BigInt(SID) << 16n) | 1n);
      expect(rig.r64(CCMD) >> 63n).toBe(0n);
      const done = (rig.r64(CCMD) >> 59n) & 3n;
      expect(done > 0n && done <= asked).toBe(true);
      rig.w64(iva(rig), 0x1000n);
      rig.w64(iva(rig) + 8, (1n << 63n) | (asked << 60n) | (1n << 32n));
      expect(rig.r64(iva(rig) + 8) >> 63n).toBe(0n);
      const dropped = (rig.r64(iva(rig) + 8) >> 57n) & 3n;
      expect(dropped > 0n && dropped <= asked).toBe(true);
    }
    rig.w64(CCMD, 1n << 63n);
    expect((rig.r64(CCMD) >> 59n) & 3n).toBe(0n);
    rig.w64(iva(rig) + 8, 1n << 63n);
    expect((rig.r64(iva(rig) + 8) >> 57n) & 3n).toBe(0n);
  });

  it("VTD-094 two 32-bit writes, low half first, start a command with the high half", () => {
    const rig = new Rig();
    rig.legacy();
    rig.w32(CCMD, (SID << 16) | 1);
    expect((rig.r64(CCMD) >> 59n) & 3n).toBe(0n);
    rig.w32(CCMD + 4, 0xa000_0000);
    expect((rig.r64(CCMD) >> 59n) & 3n).toBe(1n);
  });

  it("VTD-094 an address mask beyond MAMV, scalable mode, and versions from 6 on: nothing is done", () => {
    const far = new Rig({ MAMV: 9 });
    far.legacy();
    far.w64(iva(far), 0x1000n | 10n);
    far.w64(iva(far) + 8, (1n << 63n) | (3n << 60n) | (1n << 32n));
    expect((far.r64(iva(far) + 8) >> 57n) & 3n).toBe(0n);
    const scalable = new Rig();
    scalable.scalable();
    const late = new Rig({ MAX: 6 });
    late.legacy();
    for (const rig of [scalable, late]) {
      rig.w64(CCMD, (1n << 63n) | (1n << 61n));
      expect([rig.r64(CCMD) >> 63n, (rig.r64(CCMD) >> 59n) & 3n]).toEqual([0n, 0n]);
      rig.w64(iva(rig) + 8, (1n << 63n) | (1n << 60n));
      expect([rig.r64(iva(rig) + 8) >> 63n, (rig.r64(iva(rig) + 8) >> 57n) & 3n]).toEqual([0n, 0n]);
    }
  });
});
