import { describe, expect, it } from "vitest";
import { GSTS } from "../../assembly/layout/vtd-base.ts";
import { GCMD, REG } from "../../assembly/layout/vtd-registers.ts";
import { VTD_PRESETS, VtdCapabilities } from "../../src/index.ts";
import { capabilities, VtdMachine } from "../support/vtd-machine.ts";

describe("global commands", () => {
  it("VTD-007, VTD-008 one-shots act once, levels follow what was last written", () => {
    const machine = new VtdMachine();
    machine.write(REG.GCMD, 0x7fff_ffffn & ~0x0400_0000n);
    // SRTP, SIRTP, IRE and CFI act; WBF (RWBF = 0) and bits 29, 28 and 22:0 do not.
    expect(machine.read(REG.GSTS)).toBe(0x4380_0000n);
    machine.write(REG.GCMD, 0n);
    expect(machine.read(REG.GSTS)).toBe(0x4100_0000n);
    expect(machine.read(REG.GCMD)).toBe(0n);
  });

  it("VTD-009 a read-modify-write of GSTS & 96FFFFFFh changes one function only", () => {
    const machine = new VtdMachine();
    const fields = [GCMD.QIE, GCMD.IRE, GCMD.CFI, GCMD.TE];
    for (const field of fields) machine.command(field);
    machine.command(GCMD.SRTP);
    expect(machine.read(REG.GSTS)).toBe(0xc680_0000n);
    machine.command(GCMD.IRE, false);
    expect(machine.read(REG.GSTS)).toBe(0xc480_0000n);
    machine.command(GCMD.SIRTP);
    expect(machine.read(REG.GSTS)).toBe(0xc580_0000n);
    expect(machine.status(GSTS.TES)).toBe(true);
  });

  it("VTD-003 commands of absent features do nothing", () => {
    const bare = VtdCapabilities.of({ ...VTD_PRESETS.qemu.features, QI: 0, IR: 0, MHMV: 0 });
    const machine = new VtdMachine({ capabilities: bare });
    machine.write(REG.GCMD, 0xffff_ffffn);
    expect(machine.read(REG.GSTS)).toBe(0xc000_0000n);
  });

  it("VTD-010 RTADDR counts from SRTP on", () => {
    const machine = new VtdMachine({ capabilities: capabilities() });
    const tables = machine.start("legacy");
    const table = tables.secondStage(2);
    table.map(0x1000n, 0x5000n);
    tables.setContext(1, { AW: 2 }, table);
    machine.write(REG.RTADDR, 0xc00n, 8);
    expect(machine.read(REG.RTADDR, 8)).toBe(0xc00n);
    expect(machine.unit.translate({ sid: 1, address: 0x1000n })).toMatchObject({ ok: true, address: 0x5000n });
    machine.command(GCMD.SRTP);
    expect(machine.unit.translate({ sid: 1, address: 0x1000n })).toMatchObject({ ok: false, code: 0x33 });
  });

  it("VTD-013, VTD-014 TE = 0 passes DMA and refuses ATS; a reserved TTM faults all", () => {
    const machine = new VtdMachine({ capabilities: capabilities({ NFR: 0 }) });
    expect(machine.unit.translate({ sid: 1, address: 0x1234n, pasid: 3 })).toMatchObject({
      ok: true,
      address: 0x1234n,
    });
    expect(machine.unit.translate({ sid: 1, address: 0x1234n, type: "translation" })).toMatchObject({
      ok: false,
      answer: "ur",
      recorded: false,
    });
    expect(machine.read(REG.FSTS)).toBe(0n);
    machine.setRoot(0x800n);
    machine.command(GCMD.TE);
    expect(machine.unit.translate({ sid: 1, address: 0x1234n })).toMatchObject({ ok: false, code: 0x30 });
  });
});

describe("VTD-094 register-based invalidation", () => {
  const DONE = 0x8000_0000_0000_0000n;
  const legacy = (changes = {}) => new VtdMachine({ capabilities: capabilities({ MAMV: 9, ...changes }) });
  const context = (machine: VtdMachine, value: bigint) => {
    machine.write(REG.CCMD, value, 8);
    return machine.read(REG.CCMD, 8);
  };
  const iotlb = (machine: VtdMachine, value: bigint, iva = 0n) => {
    machine.write(0xf0, iva, 8);
    machine.write(0xf8, value, 8);
    return machine.read(0xf8, 8);
  };

  it("reports the granularity that was done and clears the start bit", () => {
    const machine = legacy();
    for (const g of [1n, 2n, 3n]) {
      expect(context(machine, DONE | (g << 61n) | 0x3_1234_0042n)).toBe((g << 61n) | (g << 59n) | 0x42n);
      expect(iotlb(machine, DONE | (g << 60n) | (0x42n << 32n))).toBe((g << 60n) | (g << 57n) | (0x42n << 32n));
    }
  });

  it("reports 0 for what is illegal: granularity 0, too large a mask, another mode, a newer version, a queue in use", () => {
    expect(context(legacy(), DONE)).toBe(0n);
    expect(iotlb(legacy(), DONE)).toBe(0n);
    expect(iotlb(legacy(), DONE | (3n << 60n), 10n)).toBe(3n << 60n);
    expect(iotlb(legacy(), DONE | (3n << 60n), 9n)).toBe((3n << 60n) | (3n << 57n));
    const scalable = legacy();
    scalable.setRoot(0x400n);
    expect(context(scalable, DONE | (1n << 61n))).toBe(1n << 61n);
    expect(iotlb(legacy({ MAX: 6 }), DONE | (1n << 60n))).toBe(1n << 60n);
    const queued = legacy();
    queued.startQueue();
    expect(context(queued, DONE | (1n << 61n))).toBe(1n << 61n);
  });

  it("does the domain for a page without PSI", () => {
    expect(iotlb(legacy({ PSI: 0, MAMV: 0 }), DONE | (3n << 60n))).toBe((3n << 60n) | (2n << 57n));
  });

  it("starts at the half that holds the start bit", () => {
    const machine = legacy();
    machine.write(REG.CCMD, 0x42n);
    machine.write(REG.CCMD + 4, 0x2000_0000n);
    expect(machine.read(REG.CCMD, 8)).toBe(0x2000_0000_0000_0042n);
    machine.write(REG.CCMD + 4, 0xa000_0000n);
    expect(machine.read(REG.CCMD + 4)).toBe(0x2800_0000n);
  });
});

describe("protected memory", () => {
  const MIB2 = 0x20_0000n;
  const protect = (changes = {}) => {
    const machine = new VtdMachine({ capabilities: capabilities(changes) });
    machine.write(REG.PLMBASE, MIB2);
    machine.write(REG.PLMLIMIT, MIB2);
    machine.write(REG.PHMBASE, 1n, 8);
    machine.write(REG.PHMLIMIT, 0n, 8);
    machine.write(REG.PMEN, 0x8000_0000n);
    return machine;
  };

  it("tells its alignment and status", () => {
    const machine = new VtdMachine({ capabilities: capabilities() });
    machine.write(REG.PLMBASE, 0xffff_ffffn);
    machine.write(REG.PHMLIMIT, 0xffff_ffff_ffff_ffffn, 8);
    expect(machine.read(REG.PLMBASE)).toBe(0xffe0_0000n);
    expect(machine.read(REG.PHMLIMIT, 8)).toBe(0xf_ffff_ffe0_0000n);
    machine.write(REG.PMEN, 0xffff_ffffn);
    expect(machine.read(REG.PMEN)).toBe(0x8000_0001n);
    machine.write(REG.PMEN, 0n);
    expect(machine.read(REG.PMEN)).toBe(0n);
  });

  it("blocks what ends in a region, silently, translated or not, alone or in a batch", () => {
    const machine = protect({ NFR: 0 });
    const at = (address: bigint, more = {}) => machine.unit.translate({ sid: 1, address, ...more });
    // PHM covers 0..1FFFFFh: its base's low bits are not kept, its limit's count as ones.
    expect(at(0x1000n)).toMatchObject({ ok: false, answer: "ur", recorded: false });
    expect(at(2n * MIB2 - 1n)).toMatchObject({ ok: false });
    expect(at(2n * MIB2)).toMatchObject({ ok: true });
    const tables = machine.start("legacy");
    const table = tables.secondStage(2);
    table.map(0x7000n, 0x1000n);
    table.map(0x8000n, 2n * MIB2);
    tables.setContext(1, { AW: 2, TT: 1 }, table);
    expect(at(0x7000n)).toMatchObject({ ok: false, recorded: false });
    expect(at(0x8000n)).toMatchObject({ ok: true });
    expect(at(0x7000n, { type: "translation" })).toMatchObject({ ok: true });
    expect(at(0x1000n, { type: "translated" })).toMatchObject({ ok: false });
    const batch = machine.unit.batch(2);
    batch.set(0, { sid: 1, address: 0x7000n });
    batch.set(1, { sid: 1, address: 0x8000n });
    batch.run(2);
    expect([batch.get(0).ok, batch.get(1).ok]).toEqual([false, true]);
    expect(machine.read(REG.FSTS)).toBe(0n);
  });

  it("lets remapped DMA through before major version 2", () => {
    const machine = protect({ MAX: 1 });
    const tables = machine.start("legacy");
    const table = tables.secondStage(2);
    table.map(0x7000n, 0x1000n);
    tables.setContext(1, { AW: 2 }, table);
    expect(machine.unit.translate({ sid: 1, address: 0x7000n })).toMatchObject({ ok: true });
  });
});
