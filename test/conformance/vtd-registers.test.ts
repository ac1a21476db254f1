import { describe, expect, it } from "vitest";
import { VTD_PRESETS, VtdCapabilities } from "../../src/index.ts";
import { HOLE, Rig, SID } from "../support/vtd-rig.ts";

const ONES32 = 0xffff_ffff;
const ONES64 = 0xffff_ffff_ffff_ffffn;

describe("Registers, VT-d 5.10 chapter 11", () => {
  it("VTD-001 VER, CAP, ECAP, GSTS are not changed by writing all ones, 32 or 64 bits at a time", () => {
    const rig = new Rig();
    const offsets = [0x00, 0x04, 0x08, 0x0c, 0x10, 0x14, 0x1c];
    const before = offsets.map((offset) => rig.r32(offset));
    for (const offset of offsets) rig.w32(offset, ONES32);
    for (const offset of [0x00, 0x08, 0x10]) rig.w64(offset, ONES64);
    expect(offsets.map((offset) => rig.r32(offset))).toEqual(before);
    expect(before[0]).toBe(0x50);
    expect(rig.r64(0x08)).toBe(rig.capabilities.cap);
  });

  it("VTD-001 so are the values of real machines", () => {
    // Boot logs: VER, CAP and ECAP of a client and of a server (posted interrupts and the like are not modelled).
    for (const [preset, ver, cap] of [
      ["client", 0x50, 0x00d2_008c_4066_0462n],
      ["qemu-scalable", 0x10, 0x80d2_008c_222f_0606n],
    ] as const) {
      expect(VTD_PRESETS[preset].cap, preset).toBe(cap);
      expect(Number(VTD_PRESETS[preset].ver), preset).toBe(ver);
    }
  });

  it("VTD-002 a 64-bit register reads alike in one piece and in halves; a 32-bit write changes only its half", () => {
    const rig = new Rig();
    for (const offset of [0x20, 0x90, 0xb8, 0xd0]) {
      rig.w64(offset, 0x0000_1234_5678_9000n);
      const whole = rig.r64(offset);
      expect(whole & 0x0000_1234_5678_9000n, offset.toString(16)).toBe(0x0000_1234_5678_9000n);
      expect(rig.r32(offset)).toBe(Number(whole & 0xffff_ffffn));
      expect(rig.r32(offset + 4)).toBe(Number(whole >> 32n));
      rig.w32(offset + 4, 0x77);
      expect(rig.r64(offset)).toBe((whole & 0xffff_ffffn) | (0x77n << 32n));
      rig.w32(offset, 0x4000_0000);
      expect(rig.r64(offset)).toBe(0x77_4000_0000n);
    }
  });

  it.each([
    ["QI", [0x80, 0x88, 0x90, 0x9c, 0xa0, 0xa4, 0xa8, 0xac, 0xb0]],
    ["IR", [0xb8]],
    ["PRS", [0xc0, 0xc8, 0xd0, 0xdc, 0xe0, 0xe4, 0xe8, 0xec]],
    ["VCS", [0xe00, 0xe08, 0xe10, 0xe30]],
    ["ECMDS", [0x400, 0x408, 0x410, 0x430, 0x448]],
  ] as const)("VTD-003 without %s its registers read 0 and ignore writes", (name, offsets) => {
    const rig = new Rig(name === "VCS" || name === "ECMDS" ? {} : { [name]: 0 });
    for (const offset of offsets) {
      rig.w32(offset, ONES32);
      rig.w64(offset & ~7, ONES64);
      expect(rig.r32(offset), offset.toString(16)).toBe(0);
      expect(rig.r64(offset & ~7), offset.toString(16)).toBe(0n);
    }
  });

  it("VTD-004 after reset everything is off and events are masked", () => {
    const rig = new Rig();
    rig.w64(0x20, 0x5400n);
    rig.w64(0xb8, 0x6000n);
    rig.w64(0x90, 0x7800n);
    rig.w32(0x38, 0);
    rig.w32(0xa0, 0);
    rig.w32(0xe0, 0);
    rig.unit.reset("cold");
    expect([0x1c, 0x34, 0x9c, 0xdc].map((offset) => rig.r32(offset))).toEqual([0, 0, 0, 0]);
    expect([0x38, 0xa0, 0xe0].map((offset) => rig.r32(offset))).toEqual([0x8000_0000, 0x8000_0000, 0x8000_0000]);
    expect([0x20, 0xb8, 0x90, 0x80, 0x88].map((offset) => rig.r64(offset))).toEqual([0n, 0n, 0n, 0n, 0n]);
  });

  it("VTD-005 sticky bits survive a warm reset and no cold one", () => {
    const rig = new Rig();
    rig.enable(HOLE);
    rig.unit.translate({ sid: SID, address: 0x1000n });
    const record = rig.r64(rig.frcd() + 8);
    expect(rig.r32(0x34)).toBe(2);
    rig.unit.reset("warm");
    expect(rig.r32(0x34)).toBe(2);
    expect(rig.r64(rig.frcd() + 8)).toBe(record);
    expect(record & 0xffn).toBe(BigInt(SID));
    rig.unit.reset("cold");
    expect(rig.r32(0x34)).toBe(0);
    expect(rig.r64(rig.frcd() + 8)).toBe(0n);
  });

  it("VTD-005 PRS too", () => {
    const rig = new Rig();
    const { contextEntry } = rig.scalable({ context: [0x1cn, 0n] });
    rig.addPasid(contextEntry, 1, { pgtt: 4n });
    rig.w64(0xd0, rig.page());
    rig.unit.device(SID).requestPage({ pasid: 1, address: 0x1000n, read: true });
    expect(rig.r32(0xdc)).toBe(1);
    rig.unit.reset("warm");
    expect(rig.r32(0xdc)).toBe(1);
    rig.unit.reset("cold");
    expect(rig.r32(0xdc)).toBe(0);
  });

  it.each([
    ["MGAW", { HAW: 48, MGAW: 46 }],
    ["DT", { QI: 0, DT: 1 }],
    ["IR", { QI: 0, IR: 1 }],
    ["SMTS", { QI: 0, SMTS: 1 }],
    ["EIM", { EIM: 1 }],
    ["MHMV", { MHMV: 1 }],
    ["NEST", { SMTS: 1, FSTS: 1, NEST: 1 }],
    ["NEST", { SMTS: 1, SSTS: 1, NEST: 1 }],
    ["PRS", { SMTS: 1, PRS: 1 }],
    ["PRS", { DT: 1, PRS: 1 }],
    ["PDS", { PDS: 1 }],
    ["DIT", { DIT: 1 }],
    ["NWFS", { NWFS: 1 }],
    ["EAFS", { SMTS: 1, FSTS: 1, EAFS: 1 }],
    ["EAFS", { SMTS: 1, SMPWCS: 1, EAFS: 1 }],
    ["SSADS", { SMTS: 1, SSADS: 1 }],
    ["RPRIVS", { SMTS: 1, RPRIVS: 1 }],
    ["RWBF", { SMTS: 1, RWBF: 1 }],
  ])("VTD-006 %s without what it needs is refused by name", (name, given) => {
    expect(() => VtdCapabilities.of(given)).toThrow(new RegExp(`\\b${name}\\b`));
  });

  it("VTD-006 in every preset that is not as found", () => {
    const { cap, ecap, haw, deviations } = VTD_PRESETS.widest;
    expect(deviations).toEqual([]);
    expect((cap >> 16n) & 0x3fn).toBeGreaterThanOrEqual(BigInt(haw - 1));
    expect((ecap >> 43n) & 1n).toBe(1n);
    expect((cap >> 4n) & 1n).toBe(0n);
  });
});
