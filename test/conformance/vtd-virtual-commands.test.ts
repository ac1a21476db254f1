import { describe, expect, it } from "vitest";
import { GuestPasids, Ioasid } from "../../src/ioasid/index.ts";
import { Vcmd, type VcmdOptions } from "../../src/vtd/index.ts";
import { Rig } from "../support/vtd-rig.ts";

const VCMD = 0xe00;
const VCRSP = 0xe10;
const VCCAP = 0xe30;

/** A unit with virtual commands that hands out PASIDs 1 to `max`. */
function unit(max: number, schedule?: VcmdOptions["schedule"]): Rig {
  const host = new GuestPasids(new Ioasid(), { max });
  const virtualCommands = new Vcmd(schedule ? { host, schedule } : { host });
  return new Rig({ VCS: 1 }, { virtualCommands });
}
const busy = (rig: Rig) => rig.r64(VCRSP) & 1n;
const status = (rig: Rig) => Number((rig.r64(VCRSP) >> 1n) & 0x7fn);
const result = (rig: Rig) => Number((rig.r64(VCRSP) >> 16n) & 0xfffffn);
function allocate(rig: Rig): number | undefined {
  rig.w64(VCMD, 1n);
  return status(rig) === 0 ? result(rig) : undefined;
}
const free = (rig: Rig, pasid: number) => rig.w64(VCMD, 2n | (BigInt(pasid) << 16n));

describe("Virtual command interface, VT-d 5.10 11.4.16", () => {
  it("VTD-102 allocation gives distinct PASIDs up to the limit, then code 16; freeing makes room", () => {
    const rig = unit(20);
    const got = Array.from({ length: 20 }, () => allocate(rig));
    expect([...got].sort((a, b) => (a ?? 0) - (b ?? 0))).toEqual(Array.from({ length: 20 }, (_, i) => i + 1));
    expect(allocate(rig)).toBeUndefined();
    expect(status(rig)).toBe(16);
    free(rig, 7);
    expect(status(rig)).toBe(0);
    expect(allocate(rig)).toBe(7);
  });

  it("VTD-103 freeing what is not allocated is code 16, command 3 code 1, null code 0", () => {
    const rig = unit(20);
    free(rig, 5);
    expect(status(rig)).toBe(16);
    for (const command of [3n, 0x7fn, 0xffn]) {
      rig.w64(VCMD, command);
      expect(status(rig)).toBe(1);
    }
    rig.w64(VCMD, 0n);
    expect([status(rig), busy(rig)]).toEqual([0, 0n]);
    expect(rig.r64(VCCAP)).toBe(7n);
  });

  it("VTD-104 a write while a command is in progress is dropped; submission clears the response", () => {
    const pending: (() => void)[] = [];
    const rig = unit(20, (complete) => pending.push(complete));
    rig.w64(VCMD, 3n);
    pending.shift()?.();
    expect(rig.r64(VCRSP)).toBe(2n);
    rig.w64(VCMD, 1n);
    expect(rig.r64(VCRSP)).toBe(1n);
    rig.w64(VCMD, 2n | (9n << 16n));
    expect([rig.r64(VCRSP), pending.length]).toEqual([1n, 1]);
    pending.shift()?.();
    expect([busy(rig), status(rig), result(rig)]).toEqual([0n, 0, 1]);
    expect(pending).toEqual([]);
  });

  it("VTD-105 without VCS the registers read 0", () => {
    const rig = new Rig();
    for (const offset of [VCMD, 0xe08, VCRSP, VCCAP]) {
      rig.w64(offset, 0xffff_ffff_ffff_ffffn);
      expect(rig.r64(offset)).toBe(0n);
    }
  });
});
