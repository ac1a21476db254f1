import { describe, expect, it } from "vitest";
import { GCMD, REG } from "../../assembly/layout/vtd-registers.ts";
import type { VtdFeatures } from "../../src/index.ts";
import type { VtdUnitOptions } from "../../src/vtd/index.ts";
import { capabilities, VtdMachine } from "../support/vtd-machine.ts";

const PFO = 1n;
const PPF = 2n;
const IQE = 0x10n;
const F = 0x8000_0000n;

/** A unit whose tables hold nothing: every request without PASID is fault 1h in legacy mode, 39h in scalable mode. */
function faulty(changes: Partial<VtdFeatures> = {}, options: VtdUnitOptions = {}) {
  const features = capabilities({ NFR: 3, ...changes });
  const machine = new VtdMachine({ ...options, capabilities: features });
  machine.start("legacy");
  const at = Number(features.features.FRO) * 16;
  return Object.assign(machine, {
    fault: (sid = 1, address = 0x1000n) => machine.unit.translate({ sid, address }),
    record: (i: number) => [machine.read(at + 16 * i, 8), machine.read(at + 16 * i + 8, 8)],
    pending: () => [0, 1, 2, 3].filter((i) => machine.read(at + 16 * i + 12) & F),
    clear: (i: number) => machine.write(at + 16 * i + 12, F),
  });
}

describe("fault recording, primary fault logging", () => {
  it("VTD-073 fills the ring in order and tells the first with FRI", () => {
    const unit = faulty();
    for (const sid of [1, 2]) unit.fault(sid);
    expect(unit.pending()).toEqual([0, 1]);
    expect(unit.read(REG.FSTS)).toBe(PPF);
    unit.clear(0);
    expect(unit.read(REG.FSTS)).toBe(PPF);
    unit.clear(1);
    expect(unit.read(REG.FSTS)).toBe(0n);
    for (const sid of [3, 4, 5]) unit.fault(sid);
    expect(unit.pending()).toEqual([0, 2, 3]);
    // The record that made PPF 1 is number 2.
    expect(unit.read(REG.FSTS)).toBe(PPF | (2n << 8n));
    expect(unit.record(3)[1]).toBe(0x8000_0001_0000_0004n | (1n << 62n));
  });

  it("VTD-074 overflows when the slot is still pending, and drops until PFO is cleared", () => {
    const unit = faulty({ NFR: 0 });
    unit.fault(1);
    unit.fault(2);
    expect(unit.read(REG.FSTS)).toBe(PPF | PFO);
    unit.clear(0);
    expect(unit.read(REG.FSTS)).toBe(PFO);
    unit.fault(3);
    expect(unit.read(REG.FSTS)).toBe(PFO);
    unit.write(REG.FSTS, PFO);
    unit.fault(4);
    expect(unit.read(REG.FSTS)).toBe(PPF);
    expect(unit.record(0)[1]).toBe(0xc000_0001_0000_0004n);
  });

  it("may drop what a requester repeats, if told to", () => {
    const unit = faulty({ NFR: 0 }, { compressFaults: true });
    for (let i = 0; i < 3; i++) unit.fault(1);
    expect(unit.read(REG.FSTS)).toBe(PPF);
    unit.fault(2);
    expect(unit.read(REG.FSTS)).toBe(PPF | PFO);
  });

  it("VTD-071, VTD-072 records what the request was", () => {
    const unit = faulty();
    const { unit: vtd } = unit;
    const sid = 0x1234;
    const address = 0x12_3456_789an;
    const FI = 0x12_3456_7000n;
    // Golden words: T1 is bit 62, PP bit 31, PRIV bit 29, EXE bit 30, T2 bit 28, AT bits 61:60.
    const cases: [Parameters<typeof vtd.translate>[0], bigint][] = [
      [{ sid, address, access: "r" }, 0xc000_0001_0000_1234n],
      [{ sid, address, access: "w" }, 0x8000_0001_0000_1234n],
      [{ sid, address, access: "a" }, 0xc000_0001_1000_1234n],
      [{ sid, address, type: "translation" }, 0xd000_0001_0000_1234n],
      [{ sid, address, type: "translated", access: "w" }, 0xa000_0001_0000_1234n],
      [{ sid, address, pasid: 0xabcde, access: "w" }, 0x8ab_cde31_8000_1234n],
      [{ sid, address, pasid: 1, access: "x", privileged: true }, 0xc000_0131_e000_1234n],
    ];
    for (const [request, word] of cases) {
      vtd.translate(request);
      const [slot] = unit.pending() as [number];
      const [low, high] = unit.record(slot) as [bigint, bigint];
      expect(low).toBe(FI);
      expect(high.toString(16), JSON.stringify({ ...request, address: 0 })).toBe(word.toString(16));
      unit.clear(slot);
    }
  });

  it("masks FI to the widest table, and leaves AT and PP out where they are reserved", () => {
    const none = { PRS: 0, NWFS: 0, DIT: 0, PDS: 0, HPTS: 0, HPT1GPS: 0, PTRS: 0, SMS: 0 };
    const unit = faulty({ SAGAW: 0b110, DT: 0, PASID: 0, ...none });
    unit.unit.translate({ sid: 1, address: 0xffff_f234_5678_9abcn, pasid: 5 });
    expect(unit.record(0)).toEqual([0xf234_5678_9000n, 0xc000_0031_0000_0001n]);
  });

  it("takes injected faults and page requests as its own", () => {
    const unit = faulty();
    unit.write(REG.PQA, unit.pages.allocate(), 8);
    unit.unit.injectFault({
      reason: 0x51,
      sid: 0x30,
      information: 0x7f3a_6b11_7000n,
      type: "read",
      at: 0,
      pasid: 0x1389,
    });
    // As a Linux guest read it from another unit.
    expect(unit.record(0)).toEqual([0x7f3a_6b11_7000n, 0xc013_8951_8000_0030n]);
    expect(unit.unit.injectPageRequest({ sid: 0x30, pasid: 1, address: 0x1000n, read: true })).toBe("queued");
    expect(unit.read(REG.PQT, 8)).toBe(0x20n);
    expect(() => unit.unit.injectFault({ reason: 256, sid: 0, information: 0n, type: "read", at: 0 })).toThrow(
      /reason/,
    );
    expect(() => unit.unit.injectPageRequest({ sid: 0, pasid: 2 ** 20, address: 0n })).toThrow(/pasid/);
  });

  it("leaves no mark for a probe", () => {
    const unit = faulty();
    expect(unit.unit.translate({ sid: 1, address: 0n, probe: true })).toMatchObject({ ok: false, code: 1 });
    expect(unit.read(REG.FSTS)).toBe(0n);
  });

  it("starts over at record 0 when neither DMA nor interrupts are remapped", () => {
    const unit = faulty();
    unit.fault();
    unit.clear(0);
    unit.command(GCMD.IRE);
    unit.command(GCMD.TE, false);
    unit.command(GCMD.TE);
    unit.fault();
    expect(unit.pending()).toEqual([1]);
    unit.clear(1);
    unit.command(GCMD.TE, false);
    unit.command(GCMD.IRE, false);
    unit.command(GCMD.TE);
    unit.fault();
    expect(unit.pending()).toEqual([0]);
  });
});

describe("fault event", () => {
  const unmasked = () => {
    const unit = faulty();
    unit.write(REG.FEDATA, 0x31n);
    unit.write(REG.FEADDR, 0xfee0_0000n);
    unit.write(REG.FEUADDR, 0x1_0000n);
    unit.write(REG.FECTL, 0n);
    return unit;
  };
  const message = { address: 0x1_0000_fee0_0000n, data: 0x31 };

  it("VTD-076 is sent once, until every cause is gone", () => {
    const unit = unmasked();
    unit.fault(1);
    unit.fault(2);
    expect(unit.messages).toEqual([message]);
    expect(unit.read(REG.FECTL)).toBe(0n);
    unit.clear(0);
    unit.fault(3);
    expect(unit.messages).toHaveLength(1);
    unit.clear(1);
    unit.clear(2);
    unit.fault(4);
    expect(unit.messages).toHaveLength(2);
  });

  it("VTD-077 is held by IM and sent on unmasking; clearing the causes first sends none", () => {
    const unit = faulty();
    unit.fault();
    expect(unit.read(REG.FECTL)).toBe(0xc000_0000n);
    unit.write(REG.FECTL, 0n);
    expect(unit.messages).toHaveLength(1);
    expect(unit.read(REG.FECTL)).toBe(0n);
    unit.write(REG.FECTL, 0x8000_0000n);
    unit.clear(0);
    unit.fault();
    expect(unit.read(REG.FECTL)).toBe(0xc000_0000n);
    unit.clear(1);
    expect(unit.read(REG.FECTL)).toBe(0x8000_0000n);
    unit.write(REG.FECTL, 0n);
    expect(unit.messages).toHaveLength(1);
  });

  it("comes from queue errors too, but not on top of a pending fault", () => {
    const unit = unmasked();
    unit.startQueue(true);
    unit.submit([0xfn]);
    expect(unit.read(REG.FSTS)).toBe(IQE);
    expect(unit.messages).toEqual([message]);
    unit.fault();
    expect(unit.messages).toHaveLength(1);
    unit.write(REG.IQT, BigInt(unit.head), 8);
    unit.write(REG.FSTS, IQE);
    unit.clear(0);
    unit.fault();
    expect(unit.messages).toHaveLength(2);
  });

  it("is not raised by an overflow, which holds back others", () => {
    const unit = unmasked();
    for (let sid = 0; sid < 5; sid++) unit.fault(sid);
    expect(unit.read(REG.FSTS)).toBe(PPF | PFO);
    for (let i = 0; i < 4; i++) unit.clear(i);
    expect(unit.read(REG.FSTS)).toBe(PFO);
    unit.startQueue(true);
    unit.submit([0xfn]);
    expect(unit.read(REG.FSTS)).toBe(PFO | IQE);
    expect(unit.messages).toHaveLength(1);
  });
});

describe("resets", () => {
  it("VTD-005 keep sticky bits when warm, and nothing when cold", () => {
    const unit = faulty({ NFR: 0 });
    unit.startQueue(true);
    unit.submit([0xfn]);
    unit.fault(7);
    unit.fault(8);
    unit.write(REG.FEDATA, 0x55n);
    const record = unit.record(0);
    unit.unit.reset("warm");
    expect(unit.read(REG.FSTS)).toBe(PFO | PPF | IQE);
    expect(unit.record(0)).toEqual(record);
    expect(unit.read(REG.IQERCD, 8)).toBe(3n);
    expect([REG.GSTS, REG.FEDATA, REG.RTADDR, REG.IQA].map((offset) => unit.read(offset))).toEqual([0n, 0n, 0n, 0n]);
    expect(unit.read(REG.FECTL)).toBe(0x8000_0000n);
    expect(unit.unit.translate({ sid: 1, address: 0x1000n })).toMatchObject({ ok: true, bypass: true });
    unit.unit.reset("cold");
    expect(unit.read(REG.FSTS)).toBe(0n);
    expect(unit.record(0)).toEqual([0n, 0n]);
  });
});
