import { describe, expect, it } from "vitest";
import { GCMD, REG } from "../../assembly/layout/vtd-registers.ts";
import type { VtdFeatures } from "../../src/index.ts";
import { capabilities, VtdMachine } from "../support/vtd-machine.ts";

const SID = 0x0a15;
/** Remappable format, no subhandle, handle 0. */
const REMAPPABLE = 0xfee0_0010n;
const SHV = 0x8n;

/** A unit that remaps interrupts through 2^(s + 1) entries; entry 5 is a plain one. */
function remapping({ extended = false, s = 7, changes = {} as Partial<VtdFeatures> } = {}) {
  const machine = new VtdMachine({ capabilities: capabilities({ NFR: 0, ...changes }) });
  const table = machine.pages.allocate(16);
  const setEntry = (index: number, low: bigint, high = 0n) => {
    machine.memory.write64(table + BigInt(16 * index), low);
    machine.memory.write64(table + BigInt(16 * index + 8), high);
  };
  // P, vector 41h, destination 3 (APIC id bits in 47:40).
  setEntry(5, 1n | (0x41n << 16n) | (0x3n << 40n));
  machine.write(REG.IRTA, table | (extended ? 1n << 11n : 0n) | BigInt(s), 8);
  machine.command(GCMD.SIRTP);
  machine.command(GCMD.IRE);
  const send = (address: bigint, data = 0, sid = SID) => machine.unit.interrupt(sid, address, data);
  const handle = (index: number) => REMAPPABLE | (BigInt(index & 0x7fff) << 5n) | (BigInt(index >> 15) << 2n);
  /** Reason, and index in the record; then clears it. */
  const recorded = () => {
    const [low, high] = [machine.read(0x1000, 8), machine.read(0x1008, 8)];
    if (!(high >> 63n)) return undefined;
    machine.write(0x100c, 0x8000_0000n);
    return { reason: Number((high >> 32n) & 0xffn), sid: Number(high & 0xffffn), index: Number(low >> 48n) };
  };
  return { machine, table, setEntry, send, handle, recorded };
}

describe("interrupt remapping", () => {
  it("delivers what the entry says", () => {
    const { machine, send, handle, setEntry } = remapping();
    expect(send(handle(5))).toEqual({ ok: true, address: 0xfee0_3000n, data: 0x4041, remapped: true, index: 5 });
    // Logical, redirection hint, level, lowest priority.
    setEntry(6, 1n | (1n << 2n) | (1n << 3n) | (1n << 4n) | (1n << 5n) | (0x99n << 16n) | (0xffn << 40n));
    expect(send(handle(6))).toMatchObject({ address: 0xfeef_f00cn, data: 0xc199 });
    expect(machine.messages).toEqual([
      { address: 0xfee0_3000n, data: 0x4041 },
      { address: 0xfeef_f00cn, data: 0xc199 },
    ]);
  });

  it("uses all 32 bits of the destination in extended mode", () => {
    const { send, handle, setEntry } = remapping({ extended: true });
    setEntry(7, 1n | (0x30n << 16n) | (0x1234_5678n << 32n));
    expect(send(handle(7))).toMatchObject({ ok: true, address: 0x1234_5600_fee7_8000n, data: 0x4030 });
  });

  it("VTD-106 uses the handle alone without SHV, and adds the subhandle with it", () => {
    const { send, handle, recorded } = remapping();
    expect(send(handle(5), 0xffff_ffff)).toMatchObject({ ok: true, index: 5 });
    expect(send(handle(3) | SHV, 2)).toMatchObject({ ok: true, index: 5 });
    expect(send(handle(5) | SHV, 0x1_0000)).toMatchObject({ ok: false, answer: "ur", code: 0x20 });
    expect(recorded()).toMatchObject({ reason: 0x20, sid: SID });
  });

  it("VTD-107 refuses an index beyond the table; the sum does not wrap", () => {
    const { send, handle, recorded } = remapping({ s: 2 });
    expect(send(handle(7))).toMatchObject({ ok: false, code: 0x22 });
    recorded();
    expect(send(handle(8))).toMatchObject({ ok: false, code: 0x21, index: 8 });
    expect(recorded()).toEqual({ reason: 0x21, sid: SID, index: 8 });
    const widest = remapping({ s: 15 });
    expect(widest.send(widest.handle(0xffff))).toMatchObject({ code: 0x22, index: 0xffff });
    expect(widest.send(widest.handle(0xffff) | SHV, 6)).toMatchObject({ code: 0x21 });
  });

  it("VTD-108 not present is 22h unless FPD; an unreadable table is 23h always", () => {
    const { machine, table, send, handle, setEntry, recorded } = remapping();
    expect(send(handle(9))).toMatchObject({ code: 0x22, recorded: true });
    expect(recorded()).toEqual({ reason: 0x22, sid: SID, index: 9 });
    setEntry(9, 2n);
    expect(send(handle(9))).toMatchObject({ code: 0x22, recorded: false });
    expect(recorded()).toBeUndefined();
    machine.memory.poison(table + 16n * 9n, 16);
    expect(send(handle(9))).toMatchObject({ code: 0x23, recorded: true });
    expect(recorded()).toEqual({ reason: 0x23, sid: SID, index: 9 });
  });

  it.each<[string, bigint, bigint]>([
    ["bit 12", 1n << 12n, 0n],
    ["bit 14 (URG)", 1n << 14n, 0n],
    ["IM = 1 without posting", 1n << 15n, 0n],
    ["bit 24", 1n << 24n, 0n],
    ["DST bit 32 in xAPIC mode", 1n << 32n, 0n],
    ["DST bit 48 in xAPIC mode", 1n << 48n, 0n],
    ["SVT = 11b", 0n, 3n << 18n],
    ["bit 84", 0n, 1n << 20n],
    ["bit 127", 0n, 1n << 63n],
  ])("VTD-109 %s is 24h, subject to FPD", (_, low, high) => {
    const { send, handle, setEntry, recorded } = remapping();
    setEntry(5, 1n | low, high);
    expect(send(handle(5))).toMatchObject({ ok: false, code: 0x24, recorded: true });
    expect(recorded()).toEqual({ reason: 0x24, sid: SID, index: 5 });
    setEntry(5, 3n | low, high);
    expect(send(handle(5))).toMatchObject({ ok: false, code: 0x24, recorded: false });
  });

  it("VTD-110 compares the source-id under SQ", () => {
    const { send, handle, setEntry, recorded } = remapping();
    for (const [sq, ignored] of [0, 4, 6, 7].entries()) {
      setEntry(5, 1n, BigInt(SID) | (BigInt(sq) << 16n) | (1n << 18n));
      for (let fn = 0; fn < 8; fn++) {
        const sid = (SID & ~7) | fn;
        const passes = (sid | ignored) === (SID | ignored);
        expect(send(handle(5), 0, sid).ok, `SQ ${sq} function ${fn}`).toBe(passes);
        expect(recorded()).toEqual(passes ? undefined : { reason: 0x26, sid, index: 5 });
      }
      expect(send(handle(5), 0, SID ^ 8).ok).toBe(false);
      recorded();
    }
  });

  it("VTD-111 compares the bus with a range, ends included", () => {
    const { send, handle, setEntry } = remapping();
    setEntry(5, 1n, 0x1014n | (2n << 18n));
    const passes = (bus: number) => send(handle(5), 0, (bus << 8) | 0x55).ok;
    expect([0x0f, 0x10, 0x12, 0x14, 0x15].map(passes)).toEqual([false, true, true, true, false]);
  });

  it("VTD-112 compatibility format passes with CFIS, and never in extended mode", () => {
    const { machine, send, recorded } = remapping();
    expect(send(0xfee0_1000n, 0x55)).toMatchObject({ ok: false, code: 0x25 });
    expect(recorded()).toMatchObject({ reason: 0x25 });
    machine.command(GCMD.CFI);
    expect(send(0xfee0_1000n, 0x55)).toEqual({ ok: true, address: 0xfee0_1000n, data: 0x55, remapped: false });
    const extended = remapping({ extended: true });
    extended.machine.command(GCMD.CFI);
    expect(extended.send(0xfee0_1000n)).toMatchObject({ ok: false, code: 0x25 });
  });

  it("passes everything while off, unless IRREQ; EIMER demands extended mode", () => {
    const machine = new VtdMachine({ capabilities: capabilities() });
    expect(machine.unit.interrupt(SID, REMAPPABLE, 1)).toMatchObject({ ok: true, remapped: false });
    const blocked = new VtdMachine({ capabilities: capabilities({ IRREQ: 1 }) });
    expect(blocked.unit.interrupt(SID, REMAPPABLE, 1)).toMatchObject({ ok: false, code: 0x2b });
    const demanding = remapping({ changes: { EIMER: 1 } });
    expect(demanding.send(demanding.handle(5))).toMatchObject({ ok: false, code: 0x2a });
  });

  it("VTD-011 IRTA counts from SIRTP on", () => {
    const { machine, send, handle } = remapping();
    machine.write(REG.IRTA, machine.pages.allocate() | 7n, 8);
    expect(send(handle(5)).ok).toBe(true);
    machine.command(GCMD.SIRTP);
    expect(send(handle(5))).toMatchObject({ code: 0x22 });
  });

  it("VTD-114 does not touch the unit's own events", () => {
    const { machine, send, handle } = remapping({ extended: true });
    machine.write(REG.FEDATA, 0x21n);
    machine.write(REG.FEADDR, 0xfee0_5000n);
    machine.write(REG.FEUADDR, 0x0000_ab00n);
    machine.write(REG.FECTL, 0n);
    send(handle(9));
    expect(machine.messages).toEqual([{ address: 0xab00_fee0_5000n, data: 0x21 }]);
  });

  it("VTD-063 a device's dword write to FEEx is an interrupt; any other access there is 29h", () => {
    const { machine, handle, recorded } = remapping();
    const device = machine.unit.device(SID);
    const dword = Uint8Array.of(0, 0, 0, 0);
    expect(device.write(handle(5), dword)).toEqual({ ok: true });
    expect(machine.messages).toEqual([{ address: 0xfee0_3000n, data: 0x4041 }]);
    expect(device.write(handle(9), dword)).toMatchObject({ ok: false, fault: { code: 0x22 } });
    recorded();
    expect(device.read(handle(5), 4)).toMatchObject({ ok: false, fault: { code: 0x29 } });
    expect(recorded()).toMatchObject({ reason: 0x29, sid: SID });
    expect(device.write(handle(5), new Uint8Array(8))).toMatchObject({ ok: false, fault: { code: 0x29 } });
  });
});
