import { describe, expect, it } from "vitest";
import { GCMD, HOLE, Rig, SID } from "../support/vtd-rig.ts";

const bit = (position: number) => (1 << position) >>> 0;

describe("Global commands, VT-d 5.10 11.4.4", () => {
  it("VTD-007 SRTP and SIRTP are one-shot and their status stays 1", () => {
    const rig = new Rig();
    expect(rig.r32(0x1c)).toBe(0);
    rig.w32(0x18, bit(GCMD.SRTP));
    expect(rig.r32(0x1c)).toBe(bit(GCMD.SRTP));
    rig.w32(0x18, 0);
    expect(rig.r32(0x1c)).toBe(bit(GCMD.SRTP));
    rig.w32(0x18, bit(GCMD.SIRTP));
    expect(rig.r32(0x1c)).toBe(bit(GCMD.SRTP) + bit(GCMD.SIRTP));
  });

  it("VTD-007 bits 29 and 28, once SFL and EAFL, do nothing", () => {
    const rig = new Rig();
    rig.w32(0x18, bit(29));
    rig.w32(0x18, bit(28));
    expect(rig.r32(0x1c)).toBe(0);
  });

  it("VTD-007 WBFS reads 0 once a write buffer flush is done", () => {
    const rig = new Rig({ RWBF: 1, SMTS: 0 });
    expect((rig.r64(0x08) >> 4n) & 1n).toBe(1n);
    rig.w32(0x18, bit(GCMD.WBF));
    expect(rig.r32(0x1c)).toBe(0);
  });

  it("VTD-008 TE, QIE, IRE and CFI are levels that survive one-shots when passed along", () => {
    const rig = new Rig();
    for (const level of [GCMD.TE, GCMD.QIE, GCMD.IRE, GCMD.CFI]) {
      rig.command(level);
      expect(rig.r32(0x1c) & bit(level), `${level}`).not.toBe(0);
    }
    rig.command(GCMD.SRTP);
    rig.command(GCMD.SIRTP);
    const all = [GCMD.TE, GCMD.QIE, GCMD.IRE, GCMD.CFI, GCMD.SRTP, GCMD.SIRTP].reduce((sum, one) => sum + bit(one), 0);
    expect(rig.r32(0x1c)).toBe(all);
    rig.w32(0x18, 0);
    expect(rig.r32(0x1c)).toBe(bit(GCMD.SRTP) + bit(GCMD.SIRTP));
  });

  it("VTD-009 (GSTS & 96FFFFFFh) with one bit changed never toggles another function", () => {
    const levels = [GCMD.TE, GCMD.QIE, GCMD.IRE, GCMD.CFI];
    for (const other of [...levels, GCMD.SRTP, GCMD.SIRTP]) {
      const rig = new Rig();
      rig.command(GCMD.SRTP);
      rig.command(GCMD.SIRTP);
      for (const level of levels) if (level !== other) rig.command(level);
      const before = rig.r32(0x1c);
      rig.command(other);
      expect((rig.r32(0x1c) & ~bit(other)) >>> 0, `${other} on`).toBe((before & ~bit(other)) >>> 0);
      rig.command(other, false);
      expect((rig.r32(0x1c) & ~bit(other)) >>> 0, `${other} off`).toBe((before & ~bit(other)) >>> 0);
    }
  });

  it("VTD-010 RTADDR counts once SRTP latches it", () => {
    const rig = new Rig();
    const { root } = rig.legacy();
    rig.mapSecond(root, 4, 0x1000n, 0x5003n);
    rig.w64(0x20, HOLE);
    expect(rig.r64(0x20)).toBe(HOLE);
    expect(rig.read(0x1000n)).toBe("ok 5000");
    rig.command(GCMD.SRTP);
    expect(rig.read(0x1000n)).toBe("UR 8");
  });

  it("VTD-011 IRTA counts once SIRTP latches it", () => {
    const rig = new Rig();
    const table = rig.page();
    rig.put(table, 0x0000_0100_0042_0001n, 0n);
    rig.w64(0xb8, table);
    rig.command(GCMD.SIRTP);
    rig.command(GCMD.IRE);
    rig.w64(0xb8, HOLE);
    const remap = () => rig.unit.device(SID).interrupt(0xfee0_0010n, 0);
    expect(remap()).toMatchObject({ ok: true });
    rig.command(GCMD.SIRTP);
    expect(remap()).toMatchObject({ ok: false, code: 0x23 });
  });

  it("VTD-012 QIE starts at head 0 and disabling returns it there", () => {
    const rig = new Rig();
    rig.startQueue();
    expect(rig.r32(0x1c) & bit(GCMD.QIE)).not.toBe(0);
    expect(rig.r64(0x80)).toBe(0n);
    expect(rig.invalidate()).toBe(true);
    expect(rig.r64(0x80)).toBe(0x20n);
    rig.command(GCMD.QIE, false);
    expect(rig.r32(0x1c) & bit(GCMD.QIE)).toBe(0);
    expect(rig.r64(0x80)).toBe(0n);
  });

  it("VTD-013 TE = 0 passes untranslated DMA and refuses ATS without a record", () => {
    const rig = new Rig();
    expect(rig.read(0x1234_5000n)).toBe("ok 12345000");
    expect(rig.write(0x1234_5000n, { pasid: 5 })).toBe("ok 12345000");
    expect(rig.read(0x1000n, { type: "translation" })).toBe("UR unrecorded");
    expect(rig.read(0x1000n, { type: "translated" })).toBe("UR unrecorded");
    const { root } = rig.legacy();
    expect(rig.read(0x1000n)).toBe("UR 6");
    rig.mapSecond(root, 4, 0x1000n, 0x5003n);
    expect(rig.read(0x1000n)).toBe("ok 5000");
    rig.command(GCMD.TE, false);
    expect(rig.read(0x1000n)).toBe("ok 1000");
  });

  it.each([
    ["TTM = 10b", {}, 0x800n],
    ["TTM = 11b without ADMS", { ADMS: 0 }, 0xc00n],
    ["TTM = 01b without SMTS", { SMTS: 0 }, 0x400n],
  ])("VTD-014 %s: every request faults 30h", (_name, changes, ttm) => {
    const rig = new Rig(changes);
    rig.enable(rig.page() | ttm);
    expect(rig.read(0x1000n)).toBe("UR 30");
    expect(rig.write(0x1000n, { pasid: 1 })).toBe("UR 30");
    expect(rig.read(0x1000n, { type: "translation" })).toBe("CA 30");
    expect(rig.read(0x1000n, { type: "translation", pasid: 1 })).toBe("CA 30");
    expect(rig.read(0x1000n, { type: "translated" })).toBe("UR 30");
  });

  it("VTD-014 SSIRWE in legacy mode too", () => {
    const rig = new Rig();
    rig.enable(rig.page() | 0x80n);
    expect(rig.read(0x1000n)).toBe("UR 30");
    expect(rig.read(0x1000n, { type: "translation" })).toBe("CA 30");
  });

  it("VTD-015 abort-DMA mode rejects all DMA with 33h; a 256-bit queue works", () => {
    const rig = new Rig();
    rig.enable(rig.page() | 0xc00n);
    for (const type of ["untranslated", "translation", "translated"] as const) {
      expect(rig.read(0x1000n, { type })).toBe("UR 33");
      expect(rig.read(0x1000n, { type, pasid: 3 })).toBe("UR 33");
    }
    rig.startQueue(true);
    expect(rig.invalidate([0x11n], [0x12n])).toBe(true);
  });

  it("VTD-016 legacy mode: a request with PASID is 31h, a page request 32h", () => {
    const rig = new Rig();
    rig.legacy({ tt: 1n });
    expect(rig.read(0x1000n, { pasid: 1 })).toBe("UR 31");
    expect(rig.read(0x1000n, { pasid: 1, type: "translation" })).toBe("UR 31");
    expect(rig.read(0x1000n, { pasid: 1, type: "translated" })).toBe("UR 31");
    rig.w64(0xd0, rig.page());
    const device = rig.unit.device(SID);
    expect(device.requestPage({ address: 0x1000n, read: true, last: true })).toBe("invalid");
    expect(rig.faults().map(({ reason }) => reason)).toEqual([0x32]);
    expect(device.requestPage({ address: 0x1000n, read: true })).toBe("dropped");
    expect(rig.faults().map(({ reason }) => reason)).toEqual([0x32]);
  });
});
