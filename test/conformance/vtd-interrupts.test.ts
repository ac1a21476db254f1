import { describe, expect, it } from "vitest";
import { GCMD, HOLE, Rig, range, SID } from "../support/vtd-rig.ts";

/** An entry for vector 42h, fixed, edge, physical destination 1 (xAPIC), no source check. */
const LOW = 0x0000_0100_0042_0001n;
const FPD = 2n;

/** A table of 2^(size + 1) entries, latched; remapping is on. */
function remapping(size = 3n, { extended = false, changes = {} } = {}): { rig: Rig; table: bigint } {
  const rig = new Rig(changes);
  const table = rig.page(16);
  rig.w64(0xb8, table | (extended ? 0x800n : 0n) | size);
  rig.command(GCMD.SIRTP);
  rig.command(GCMD.IRE);
  return { rig, table };
}
/** Address of a remappable request: handle in bits 19:5 and 2, SHV in bit 3. */
const address = (handle: number, shv = false) =>
  0xfee0_0010n | (BigInt(handle & 0x7fff) << 5n) | BigInt((handle >> 15) << 2) | (shv ? 8n : 0n);
/** What became of an interrupt: "ok" and its vector, or the reasons recorded. */
function send(rig: Rig, to: bigint, data = 0, sid = SID): string {
  const before = rig.messages.length;
  const outcome = rig.unit.device(sid).interrupt(to, data);
  const reasons = rig.faults().map(({ reason }) => reason.toString(16));
  if (outcome.ok) return `ok ${((rig.messages[before]?.[1] ?? 0) & 0xff).toString(16)}${reasons.join()}`;
  return reasons.join() || "silent";
}

describe("Interrupt remapping, VT-d 5.10 chapter 5", () => {
  it("VTD-106 the handle alone without SHV; with it the low data half is added, and the high half must be 0", () => {
    const { rig, table } = remapping();
    rig.put(table + 16n * 5n, LOW, 0n);
    rig.put(table + 16n * 9n, LOW | (1n << 16n), 0n);
    expect(send(rig, address(5), 0x1234_5678)).toBe("ok 42");
    expect(send(rig, address(5, true), 4)).toBe("ok 43");
    expect(send(rig, address(5, true), 0x1_0004)).toBe("20");
  });

  it("VTD-107 an index beyond the table is 21h, also when handle and subhandle pass FFFFh", () => {
    const { rig, table } = remapping(3n);
    rig.put(table + 16n * 15n, LOW, 0n);
    expect(send(rig, address(15))).toBe("ok 42");
    expect(send(rig, address(16))).toBe("21");
    const full = remapping(15n);
    full.rig.put(full.table, LOW, 0n);
    expect(send(full.rig, address(0xffff, true), 1)).toBe("21");
    expect(send(full.rig, address(0))).toBe("ok 42");
  });

  it("VTD-108 not present is 22h unless FPD; an unreadable table is 23h always", () => {
    const { rig, table } = remapping();
    expect(send(rig, address(1))).toBe("22");
    rig.put(table + 16n, FPD, 0n);
    expect(send(rig, address(1))).toBe("silent");
    rig.w64(0xb8, HOLE | 3n);
    rig.command(GCMD.SIRTP);
    expect(send(rig, address(1))).toBe("23");
  });

  it("VTD-109 reserved bits, SVT = 11b and posted format are 24h, subject to FPD", () => {
    const { rig, table } = remapping();
    const reserved = [12, 13, 14, 15, ...range(24, 39), ...range(48, 63), ...range(84, 127)];
    for (const bit of reserved) {
      rig.put(table + 16n, LOW, 0n);
      rig.flipBit(table + 16n, bit);
      expect(send(rig, address(1)), `bit ${bit}`).toBe("24");
      rig.flip(table + 16n, FPD);
      expect(send(rig, address(1)), `bit ${bit}, FPD`).toBe("silent");
    }
    rig.put(table + 16n, LOW, 3n << 18n);
    expect(send(rig, address(1))).toBe("24");
    for (const bit of range(8, 11)) {
      rig.put(table + 16n, LOW, 0n);
      rig.flipBit(table + 16n, bit);
      expect(send(rig, address(1)), `available bit ${bit}`).toBe("ok 42");
    }
  });

  it("VTD-109 in extended mode the whole destination counts", () => {
    const { rig, table } = remapping(3n, { extended: true });
    rig.put(table + 16n, (0x1234_5678n << 32n) | 0x42_0001n, 0n);
    expect(send(rig, address(1))).toBe("ok 42");
    const [to] = rig.messages[0] ?? [0n];
    expect(to & 0xf_f000n).toBe(0x7_8000n);
    expect(to >> 32n).toBe(0x1234_5600n);
  });

  it.each([
    [0n, 0],
    [1n, 0b100],
    [2n, 0b110],
    [3n, 0b111],
  ] as const)("VTD-110 SVT = 01b, SQ = %i leaves function bits %i out of the comparison", (sq, ignored) => {
    const { rig, table } = remapping();
    rig.put(table + 16n, LOW, 0x1238n | (sq << 16n) | (1n << 18n));
    for (const fn of range(0, 7)) {
      expect(send(rig, address(1), 0, 0x1238 ^ fn), `function ${fn}`).toBe((fn & ~ignored) === 0 ? "ok 42" : "26");
    }
    expect(send(rig, address(1), 0, 0x1338)).toBe("26");
    expect(send(rig, address(1), 0, 0x1230)).toBe("26");
  });

  it("VTD-111 SVT = 10b: the requester's bus between SID[15:8] and SID[7:0], both included", () => {
    const { rig, table } = remapping();
    rig.put(table + 16n, LOW, 0x1020n | (2n << 18n));
    for (const [bus, expected] of [
      [0x0f, "26"],
      [0x10, "ok 42"],
      [0x18, "ok 42"],
      [0x20, "ok 42"],
      [0x21, "26"],
    ] as const) {
      expect(send(rig, address(1), 0, bus << 8), `bus ${bus}`).toBe(expected);
    }
  });

  it("VTD-112 compatibility format: 25h without CFI, passed on with it, and 25h in extended mode always", () => {
    const compatibility = 0xfee0_1000n;
    const { rig } = remapping();
    expect(send(rig, compatibility, 0x31)).toBe("25");
    rig.command(GCMD.CFI);
    expect(send(rig, compatibility, 0x31)).toBe("ok 31");
    const extended = remapping(3n, { extended: true }).rig;
    expect(send(extended, compatibility, 0x31)).toBe("25");
    extended.command(GCMD.CFI);
    expect(send(extended, compatibility, 0x31)).toBe("25");
  });

  it("VTD-113 the record holds the index in FI[63:48], and raises PPF and the event like any other", () => {
    const { rig, table } = remapping(15n);
    rig.w32(0x3c, 0x41);
    rig.w32(0x40, 0xfee0_0000);
    rig.w32(0x38, 0);
    const device = rig.unit.device(SID);
    expect(device.interrupt(address(0x8123), 0)).toMatchObject({ ok: false, answer: "ur", code: 0x22 });
    expect(rig.messages).toEqual([[0xfee0_0000n, 0x41]]);
    expect(rig.r32(0x34) & 2).toBe(2);
    expect(rig.faults()).toMatchObject([{ reason: 0x22, sid: SID, information: 0x8123n << 48n, pasid: undefined }]);
    rig.put(table + 16n, LOW, 0x1n | (1n << 18n));
    device.interrupt(address(1), 0);
    expect(rig.faults()).toMatchObject([{ reason: 0x26, information: 1n << 48n }]);
  });

  it("VTD-114 the unit's own events are not remapped, x2APIC destinations above 255 included", () => {
    const { rig } = remapping(3n, { extended: true });
    rig.scalable();
    rig.w32(0x3c, 0x41);
    rig.w32(0x40, 0xfee3_4000);
    rig.w32(0x44, 0x0001_2300);
    rig.w32(0x38, 0);
    rig.unit.translate({ sid: SID, address: 0x1000n });
    expect(rig.messages).toEqual([[0x0001_2300_fee3_4000n, 0x41]]);
    expect(rig.faults().map(({ reason }) => reason)).toEqual([0x71]);
  });
});
