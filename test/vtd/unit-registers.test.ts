import { describe, expect, it } from "vitest";
import { GSTS } from "../../assembly/layout/vtd-base.ts";
import { GCMD, REG } from "../../assembly/layout/vtd-registers.ts";
import { VTD_PRESETS } from "../../src/index.ts";
import { capabilities, VtdMachine } from "../support/vtd-machine.ts";

describe("registers of a VT-d unit", () => {
  it("reset to what the architecture says", () => {
    const machine = new VtdMachine();
    for (const offset of [REG.FECTL, REG.IECTL, REG.PECTL]) expect(machine.read(offset)).toBe(0x8000_0000n);
    for (const offset of [REG.RTADDR, REG.IRTA, REG.IQA, REG.IQH, REG.IQT, REG.PQA, REG.IQERCD])
      expect(machine.read(offset, 8), offset.toString(16)).toBe(0n);
    for (const offset of [REG.GSTS, REG.FSTS, REG.PRS, REG.ICS]) expect(machine.read(offset)).toBe(0n);
  });

  it("show the capabilities, which writes do not change", () => {
    const machine = new VtdMachine({ capabilities: VTD_PRESETS["qemu-scalable"] });
    for (const offset of [REG.VER, REG.CAP, REG.ECAP, REG.GSTS]) {
      machine.write(offset, 0xffff_ffff_ffff_ffffn, 8);
      machine.write(offset, 0xffff_ffffn);
    }
    expect(machine.read(REG.VER)).toBe(0x10n);
    expect(machine.read(REG.CAP, 8)).toBe(0x80d2_008c_222f_0606n);
    expect(machine.read(REG.ECAP, 8)).toBe(0x4800_80f0_0f4an);
  });

  it("translates what the tables say once translation is on, and passes everything before", () => {
    const machine = new VtdMachine({ capabilities: capabilities() });
    const { unit, memory } = machine;
    memory.writeBytes(0x5000n, Uint8Array.of(1, 2, 3, 4));
    expect(unit.device(8).read(0x5000n, 4)).toMatchObject({ ok: true });
    const tables = machine.start("legacy");
    const table = tables.secondStage(2);
    table.map(0x40_0000n, 0x5000n, { R: 1, W: 1 });
    tables.setContext(8, { AW: 2, DID: 1 }, table);
    expect(unit.device(8).read(0x40_0000n, 4)).toEqual({ ok: true, data: Uint8Array.of(1, 2, 3, 4) });
    expect(unit.device(8).read(0x40_1000n, 4)).toMatchObject({ ok: false, done: 0, fault: { code: 6 } });
    expect(machine.read(REG.FSTS)).toBe(2n);
  });

  it("QIE starts the queue at 0, and disabling returns the head there", () => {
    const machine = new VtdMachine();
    machine.startQueue(true);
    expect(machine.status(GSTS.QIES)).toBe(true);
    expect(machine.drain()).toBe(true);
    expect(machine.head).toBe(32);
    machine.command(GCMD.QIE, false);
    expect(machine.status(GSTS.QIES)).toBe(false);
    expect(machine.head).toBe(0);
  });
});
