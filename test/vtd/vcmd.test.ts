/** The virtual command registers, alone and mounted in a VT-d unit. */
import { describe, expect, it } from "vitest";
import { REG } from "../../assembly/layout/vtd-registers.ts";
import { GuestMemory, VTD_PRESETS, VtdCapabilities } from "../../src/index.ts";
import { GuestPasids, Ioasid, IoasidSet, registerVcmdAllocator } from "../../src/ioasid/index.ts";
import { Vcmd, VtdUnit } from "../../src/vtd/index.ts";
import { Vmm } from "../support/vcmd.ts";

const ALLOC = 1n;
const freeOf = (pasid: number): bigint => (BigInt(pasid) << 16n) | 2n;

describe("virtual command registers, Intel D51397", () => {
  it("unknown commands answer 1, the null command 0, and an error gives no result", () => {
    const vmm = new Vmm();
    for (const [command, response] of [
      [0n, 0n],
      [3n, 0x2n],
      [0xffn, 0x2n],
      [freeOf(9), 0x20n],
      [ALLOC, 0x1_0000n],
      [freeOf(0xfffff), 0x20n],
      [freeOf(1), 0n],
    ] as const) {
      vmm.write(REG.VCMD, 8, command);
      expect(vmm.read(REG.VCRSP, 8)).toBe(response);
    }
    // Before revision 3.3 there was no null command.
    const old = new Vmm({ era: "B" });
    old.write(0xe10, 8, 0n);
    expect(old.read(0xe20, 8)).toBe(0x2n);
  });

  it("the access that covers the command submits: two halves are one command", () => {
    const vmm = new Vmm();
    vmm.write(REG.VCMD, 8, ALLOC);
    vmm.write(REG.VCMD, 8, ALLOC);
    vmm.write(REG.VCMD + 4, 4, 0n);
    expect(vmm.pasids.list()).toEqual([1, 2]);
    vmm.write(REG.VCMD, 4, (2n << 16n) | 2n);
    expect(vmm.pasids.list()).toEqual([1]);
  });

  it("responses and capabilities cannot be written, reserved bits stay 0, the command reads back", () => {
    const vmm = new Vmm();
    const ones = 0xffff_ffff_ffff_ffffn;
    vmm.write(REG.VCRSP, 8, ones);
    vmm.write(REG.VCCAP, 8, ones);
    expect([vmm.read(REG.VCRSP, 8), vmm.read(REG.VCCAP, 8)]).toEqual([0n, 7n]);
    vmm.write(REG.VCMD, 8, ones);
    expect([vmm.read(REG.VCMD, 8), vmm.read(REG.VCRSP, 8)]).toEqual([0xffff_ffff_ffff_00ffn, 0x2n]);
    vmm.write(REG.VCMD_EO, 8, ones);
    expect(vmm.read(REG.VCMD_EO, 8)).toBe(ones);
  });

  it("while a command is under way, writes are dropped; it completes once, whole", () => {
    const complete: (() => void)[] = [];
    const vmm = new Vmm({ schedule: (run) => complete.push(run) });
    vmm.write(REG.VCMD_EO, 8, 5n);
    vmm.write(REG.VCMD, 8, ALLOC);
    vmm.write(REG.VCMD, 8, freeOf(1));
    vmm.write(REG.VCMD_EO, 8, 6n);
    expect([vmm.read(REG.VCMD, 8), vmm.read(REG.VCMD_EO, 8), vmm.read(REG.VCRSP, 8)]).toEqual([ALLOC, 5n, 1n]);
    expect([complete.length, vmm.pasids.list()]).toEqual([1, []]);
    complete[0]?.();
    expect([vmm.read(REG.VCRSP, 8), vmm.pasids.list()]).toEqual([0x1_0000n, [1]]);
    // A late second call is void, and the next command clears the response.
    complete[0]?.();
    vmm.write(REG.VCMD, 8, freeOf(1));
    expect([vmm.read(REG.VCRSP, 8), vmm.pasids.list()]).toEqual([1n, [1]]);
    complete[1]?.();
    expect([vmm.read(REG.VCRSP, 8), vmm.pasids.list()]).toEqual([0n, []]);
  });

  it("a guest frees nothing but its own", () => {
    const host = new Ioasid();
    const [mine, theirs] = [new Vmm({ host }), new Vmm({ host })];
    host.alloc(null, 1, 1);
    mine.write(REG.VCMD, 8, ALLOC);
    theirs.write(REG.VCMD, 8, ALLOC);
    for (const pasid of [0, 1, 2]) {
      theirs.write(REG.VCMD, 8, freeOf(pasid));
      expect(theirs.read(REG.VCRSP, 8)).toBe(0x20n);
    }
    expect([mine.pasids.list(), theirs.pasids.list(), host.count]).toEqual([[2], [3], 3]);
  });

  it("a reset frees the guest's PASIDs and forgets the command under way", () => {
    const complete: (() => void)[] = [];
    let late = false;
    const vmm = new Vmm({ schedule: (run) => (late ? complete.push(run) : run()) });
    vmm.write(REG.VCMD, 8, ALLOC);
    vmm.write(REG.VCMD, 8, ALLOC);
    late = true;
    vmm.write(REG.VCMD, 8, ALLOC);
    vmm.file.reset("cold");
    vmm.vcmd.reset("cold");
    expect([vmm.pasids.list(), vmm.read(REG.VCRSP, 8)]).toEqual([[], 0n]);
    complete[0]?.();
    expect([vmm.pasids.list(), vmm.read(REG.VCRSP, 8)]).toEqual([[], 0n]);
  });

  it("restoring takes the very PASIDs again, or nothing", () => {
    const host = new Ioasid();
    const vmm = new Vmm({ host });
    for (let i = 0; i < 3; i++) vmm.write(REG.VCMD, 8, ALLOC);
    vmm.write(REG.VCMD, 8, freeOf(2));
    const saved = JSON.parse(JSON.stringify(vmm.vcmd.snapshot()));
    vmm.vcmd.reset("cold");
    host.alloc(null, 3, 3, "taken meanwhile");
    expect(() => vmm.vcmd.restore(saved)).toThrow("snapshot: the host cannot give PASID 3");
    expect(vmm.pasids.list()).toEqual([]);
    host.free(3);
    vmm.write(REG.VCMD, 8, ALLOC);
    vmm.write(REG.VCMD, 8, ALLOC);
    vmm.vcmd.restore(saved);
    expect(vmm.pasids.list()).toEqual([1, 3]);
    for (const broken of [null, {}, { pasids: "1" }, { pasids: [1, "2"] }]) {
      expect(() => vmm.vcmd.restore(broken)).toThrow(RangeError);
    }
    for (const pasid of [-1, 1.5, 0x100000, 0]) {
      expect(() => vmm.vcmd.restore({ pasids: [pasid] })).toThrow(RangeError);
    }
    expect(vmm.pasids.list()).toEqual([1, 3]);
  });

  it("restored in the middle of a command, it completes", () => {
    const complete: (() => void)[] = [];
    const vmm = new Vmm({ schedule: (run) => complete.push(run) });
    vmm.write(REG.VCMD, 8, ALLOC);
    const [registers, state] = [vmm.file.snapshot(), vmm.vcmd.snapshot()];
    const later = new Vmm({ schedule: (run) => run() });
    later.file.restore(registers);
    later.vcmd.restore(state);
    expect([later.read(REG.VCRSP, 8), later.pasids.list()]).toEqual([0x1_0000n, [1]]);
  });
});

describe("virtual commands of a VT-d unit", () => {
  it("are registers among its others, and its reset frees the guest's PASIDs", () => {
    const host = new Ioasid();
    const pasids = new GuestPasids(host, { min: 1, max: 0xfff });
    const capabilities = VtdCapabilities.of({ ...VTD_PRESETS.widest.features, CM: 1, VCS: 1 });
    const memory = new GuestMemory({ ram: [{ base: 0n, size: 0x1000n }] });
    const unit = new VtdUnit(memory, { capabilities, virtualCommands: new Vcmd({ host: pasids }) });
    const ids = new Ioasid();
    const set = new IoasidSet("guest");
    expect(registerVcmdAllocator({ registers: unit.mmio, ids }).registered).toBe(true);
    expect([ids.alloc(set, 1, 0xfffff), ids.alloc(set, 1, 0xfffff), pasids.list()]).toEqual([1, 2, [1, 2]]);
    ids.free(1, set);
    expect([unit.mmio.read(REG.VCRSP, 8), unit.mmio.read(REG.VCCAP, 8), pasids.list()]).toEqual([0n, 7n, [2]]);
    unit.reset("cold");
    expect([pasids.list(), host.count]).toEqual([[], 0]);
  });

  it("with ECAP.VCS = 0 there is nothing at their place", () => {
    const unit = new VtdUnit(new GuestMemory({ ram: [{ base: 0n, size: 0x1000n }] }));
    unit.mmio.write(REG.VCMD, 8, ALLOC);
    for (const offset of [REG.VCMD, REG.VCMD_EO, REG.VCRSP, REG.VCCAP]) expect(unit.mmio.read(offset, 8)).toBe(0n);
  });
});
