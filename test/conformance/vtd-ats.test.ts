import { describe, expect, it } from "vitest";
import { HOLE, Rig, SID } from "../support/vtd-rig.ts";

const DTE = 4n;
const PASIDE = 8n;
const SRE = 1n;
const D = 0x40n;
/** No rights: what "go and ask software" looks like to a device. */
const NOTHING = { status: "success", read: false, write: false, untranslatedOnly: false };

describe("Address translation services, VT-d 5.10 4.2", () => {
  it("VTD-065 a page that is not there is a completion without rights, and no record", () => {
    const rig = new Rig();
    const { contextEntry, fs } = rig.scalable({ context: [DTE | PASIDE, 0n] });
    const { ss } = rig.addPasid(contextEntry, 1, { pgtt: 2n, did: 2n });
    rig.mapFirst(fs, 4, 0x1000n, 0x5007n);
    rig.mapSecond(ss, 4, 0x1000n, 0x6003n);
    const device = rig.unit.device(SID);
    expect(device.requestTranslation(0x2000n)).toMatchObject(NOTHING);
    expect(device.requestTranslation(0x2000n, { pasid: 1 })).toMatchObject(NOTHING);
    expect(device.requestTranslation(1n << 52n)).toMatchObject(NOTHING);
    expect(device.requestTranslation(1n << 52n, { pasid: 1 })).toMatchObject(NOTHING);
    expect(rig.faults()).toEqual([]);
    expect(device.requestTranslation(0x1000n)).toMatchObject({ address: 0x5000n, read: true, write: true });
    expect(device.requestTranslation(0x1000n, { pasid: 1 })).toMatchObject({ address: 0x6000n, read: true });
  });

  it("VTD-066 context not present or DTE = 0: UR, recorded", () => {
    const rig = new Rig();
    const { contextEntry } = rig.scalable({ pgtt: 4n });
    expect(rig.read(0x1000n, { type: "translation" })).toBe("UR 44");
    rig.put(contextEntry, 0n);
    expect(rig.read(0x1000n, { type: "translation" })).toBe("UR 41");
  });

  it("VTD-066 directory or table entry not present: no rights, not recorded", () => {
    const rig = new Rig();
    const { directoryEntry, pasidEntry } = rig.scalable({ pgtt: 4n, context: [DTE, 0n] });
    rig.flipBit(pasidEntry, 0);
    expect(rig.read(0x1000n, { type: "translation" })).toBe("none");
    rig.flipBit(directoryEntry, 0);
    expect(rig.read(0x1000n, { type: "translation" })).toBe("none");
  });

  it("VTD-066 reserved bits and access errors: CA, recorded", () => {
    const rig = new Rig();
    const { rootEntry, contextEntry, directoryEntry, pasidEntry } = rig.scalable({ pgtt: 4n, context: [DTE, 0n] });
    const cases: readonly (readonly [bigint, bigint, string])[] = [
      [rootEntry, 2n, "CA 3a"],
      [contextEntry, 0x80n, "CA 42"],
      [directoryEntry, 4n, "CA 52"],
      [pasidEntry, 0x20n, "CA 5a"],
      [pasidEntry, 0x80n, "CA 5b"],
    ];
    for (const [entry, bits, expected] of cases) {
      rig.flip(entry, bits);
      expect(rig.read(0x1000n, { type: "translation" })).toBe(expected);
      rig.flip(entry, bits);
    }
    for (const [entry, expected] of [
      [directoryEntry, "CA 58"],
      [contextEntry, "CA 50"],
      [rootEntry, "CA 40"],
    ] as const) {
      rig.put(entry, HOLE | 1n | (entry === contextEntry ? DTE : 0n));
      expect(rig.read(0x1000n, { type: "translation" })).toBe(expected);
    }
    rig.enable(HOLE | 0x400n);
    expect(rig.read(0x1000n, { type: "translation" })).toBe("CA 38");
  });

  it("VTD-066 second-stage reserved bits and access errors: CA; first-stage ones: no rights, not recorded", () => {
    const rig = new Rig();
    const { contextEntry, fs } = rig.scalable({ context: [DTE | PASIDE, 0n] });
    const { ss } = rig.addPasid(contextEntry, 1, { pgtt: 2n, did: 2n });
    rig.mapSecond(ss, 4, 0x1000n, 0x4000_0000_0000_6003n);
    rig.mapFirst(fs, 4, 0x1000n, 0x8_0000_0000_5007n);
    expect(rig.read(0x1000n, { type: "translation", pasid: 1 })).toBe("CA 7a");
    expect(rig.read(0x1000n, { type: "translation" })).toBe("none");
    rig.mapSecond(ss, 4, 1n << 39n, HOLE | 3n, 4);
    rig.mapFirst(fs, 4, 1n << 39n, HOLE | 7n, 4);
    expect(rig.read(1n << 39n, { type: "translation", pasid: 1 })).toBe("CA 78");
    expect(rig.read(1n << 39n, { type: "translation" })).toBe("none");
  });

  it("VTD-067 a read-only page gives R = 1, W = 0", () => {
    const rig = new Rig();
    const { fs } = rig.scalable({ context: [DTE, 0n] });
    rig.mapFirst(fs, 4, 0x1000n, 0x5005n);
    const completion = rig.unit.device(SID).requestTranslation(0x1000n);
    expect(completion).toMatchObject({ status: "success", read: true, write: false });
    expect(rig.faults()).toEqual([]);
  });

  it.each([0, 1])("VTD-067 no-write on a writable page, NWFS = %i", (NWFS) => {
    const rig = new Rig({ NWFS });
    const { fs } = rig.scalable({ context: [DTE, 0n] });
    const leaf = rig.mapFirst(fs, 4, 0x1000n, 0x5007n);
    const device = rig.unit.device(SID);
    expect(device.requestTranslation(0x1000n, { noWrite: true })).toMatchObject({ read: true, write: NWFS === 0 });
    expect(rig.get(leaf) & D).toBe(NWFS ? 0n : D);
    expect(device.requestTranslation(0x1000n)).toMatchObject({ read: true, write: true });
    expect(rig.get(leaf) & D).toBe(D);
  });

  it("VTD-068 a 2 MiB leaf: S = 1, address bit 20 = 0, bits 19:12 ones; a 4 KiB leaf: S = 0", () => {
    const rig = new Rig();
    const { contextEntry, fs } = rig.scalable({ context: [DTE | PASIDE, 0n] });
    const { ss } = rig.addPasid(contextEntry, 1, { pgtt: 2n, did: 2n });
    rig.mapFirst(fs, 4, 0x20_0000n, 0x60_0087n, 2);
    rig.mapFirst(fs, 4, 0x1000n, 0x5007n);
    rig.mapSecond(ss, 4, 0x4000_0000n, 0x8000_0083n, 3);
    const device = rig.unit.device(SID);
    const small = device.requestTranslation(0x1000n);
    expect([small.sized, small.address]).toEqual([false, 0x5000n]);
    const large = device.requestTranslation(0x23_4000n);
    expect([large.sized, large.address & ~0x1f_f000n, large.address & 0x1f_f000n]).toEqual([
      true,
      0x60_0000n,
      0xf_f000n,
    ]);
    const huge = device.requestTranslation(0x4321_0000n, { pasid: 1 });
    expect([huge.sized, huge.address]).toEqual([true, 0x8000_0000n | 0x1fff_f000n]);
  });

  it("VTD-069 PRIV repeats the request's, where it has a PASID; EXE and Global are 0", () => {
    const rig = new Rig();
    const { contextEntry, fs } = rig.scalable({ context: [DTE | PASIDE, 1n << 20n], words: [0n, 0n, SRE] });
    rig.mapFirst(fs, 4, 0x1000n, 0x5007n);
    const other = rig.addPasid(contextEntry, 1, { words: [0n, 0n, SRE] });
    rig.mapFirst(other.fs, 4, 0x1000n, 0x5107n);
    const device = rig.unit.device(SID);
    for (const [options, privileged] of [
      [{}, false],
      [{ pasid: 1 }, false],
      [{ pasid: 1, privileged: true }, true],
    ] as const) {
      const completion = device.requestTranslation(0x1000n, options);
      expect(completion).toMatchObject({ read: true, privileged, execute: false, global: false });
    }
    expect(device.requestTranslation(0x9000n, { pasid: 1, privileged: true })).toMatchObject({
      ...NOTHING,
      privileged: true,
    });
  });

  it("VTD-069 a translation for FEEx_xxxxh: write-only and for untranslated requests only, nothing with NW", () => {
    for (const scalable of [false, true]) {
      const rig = new Rig();
      if (scalable) rig.scalable({ pgtt: 4n, context: [DTE, 0n] });
      else rig.legacy({ tt: 1n });
      const device = rig.unit.device(SID);
      expect(device.requestTranslation(0xfee0_1000n)).toMatchObject({
        status: "success",
        read: false,
        write: true,
        untranslatedOnly: true,
      });
      expect(device.requestTranslation(0xfee0_1000n, { noWrite: true })).toMatchObject(NOTHING);
      expect(rig.faults()).toEqual([]);
    }
  });

  it("VTD-062 a translation whose range overlaps FEEx_xxxxh: CA 87h", () => {
    const rig = new Rig();
    const { fs } = rig.scalable({ context: [DTE, 0n] });
    rig.mapFirst(fs, 4, 0x20_0000n, 0xfee0_0087n, 2);
    rig.mapFirst(fs, 4, 0x40_0000n, 0xfec0_0087n, 2);
    // FEF0_0000h is outside of the interrupt range, the 2 MiB around it are not.
    expect(rig.read(0x30_0000n, { type: "translation" })).toBe("CA 87");
    expect(rig.read(0x30_0000n)).toBe("ok fef00000");
    expect(rig.read(0x40_0000n, { type: "translation" })).toBe("ok fec00000");
  });

  it("VTD-070 a translated request passes unmodified below 2^HAW; 83h beyond, 87h in FEEx_xxxxh", () => {
    const rig = new Rig();
    rig.scalable({ context: [DTE, 0n] });
    expect(rig.write(0x3fff_ffff_fffcn, { type: "translated" })).toBe("ok 3ffffffffffc");
    expect(rig.write(1n << 46n, { type: "translated" })).toBe("UR 83");
    expect(rig.write(0xfee0_0000n, { type: "translated" })).toBe("UR 87");
  });
});
