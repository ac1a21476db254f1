import { describe, expect, it } from "vitest";
import { GCMD, HOLE, Rig, range, SID } from "../support/vtd-rig.ts";

/** Fields of a PASID entry's third word. */
const SRE = 1n;
const FIVE_LEVELS = 4n;
const WPE = 16n;
const EAFE = 128n;
const PASIDE = 8n;
/** Bits of a first-stage entry. */
const A = 0x20n;
const D = 0x40n;
const EA = 0x400n;

describe("First-stage translation, VT-d 5.10 3.6", () => {
  it.each([
    [4, 48n, 0n],
    [5, 57n, FIVE_LEVELS],
  ])("VTD-043 %i levels: 80h just outside of the canonical halves", (levels, width, fspm) => {
    const rig = new Rig();
    const { fs } = rig.scalable({ words: [0n, 0n, fspm] });
    const lowest = 0n;
    const lastLow = (1n << (width - 1n)) - 0x1000n;
    const firstHigh = (1n << 64n) - (1n << (width - 1n));
    const highest = (1n << 64n) - 0x1000n;
    for (const address of [lowest, lastLow, firstHigh, highest]) {
      rig.mapFirst(fs, levels, address, 0x5007n);
      expect(rig.read(address), address.toString(16)).toBe("ok 5000");
    }
    for (const address of [lastLow + 0x1000n, firstHigh - 0x1000n, 1n << 63n, (1n << 63n) - 0x1000n]) {
      expect(rig.read(address), address.toString(16)).toBe("UR 80");
    }
  });

  it("VTD-044 unreachable root 73h, unreachable table 70h, P = 0 71h, reserved bit 72h", () => {
    const rig = new Rig();
    const { fs, pasidEntry } = rig.scalable();
    rig.mapFirst(fs, 4, 0x1000n, 0x5007n);
    const path = rig.path(fs, 4, 0x1000n);
    for (const entry of path) {
      rig.flipBit(entry, 0);
      expect(rig.read(0x1000n)).toBe("UR 71");
      rig.flipBit(entry, 0);
      for (const bit of [46, 51]) {
        rig.flipBit(entry, bit);
        expect(rig.read(0x1000n)).toBe("UR 72");
        rig.flipBit(entry, bit);
      }
    }
    rig.flipBit(path[0] as bigint, 7);
    expect(rig.read(0x1000n)).toBe("UR 72");
    rig.flipBit(path[0] as bigint, 7);
    for (const entry of path.slice(0, 3)) {
      const was = rig.get(entry);
      rig.put(entry, HOLE | 7n);
      expect(rig.read(0x1000n)).toBe("UR 70");
      rig.put(entry, was);
    }
    rig.put(pasidEntry + 16n, HOLE);
    expect(rig.read(0x1000n)).toBe("UR 73");
  });

  it.each([4, 3, 2, 1])(
    "VTD-045 U/S = 0 at level %i keeps user requests out (81h), and lets privileged ones in",
    (level) => {
      const rig = new Rig();
      const { contextEntry } = rig.scalable({ context: [PASIDE, 0n] });
      const { fs } = rig.addPasid(contextEntry, 1, { words: [0n, 0n, SRE] });
      rig.mapFirst(fs, 4, 0x1000n, 0x5007n);
      rig.flipBit(rig.path(fs, 4, 0x1000n)[4 - level] as bigint, 2);
      expect(rig.read(0x1000n, { pasid: 1 })).toBe("UR 81");
      expect(rig.write(0x1000n, { pasid: 1 })).toBe("UR 81");
      expect(rig.read(0x1000n, { pasid: 1, privileged: true })).toBe("ok 5000");
      expect(rig.write(0x1000n, { pasid: 1, privileged: true })).toBe("ok 5000");
    },
  );

  it("VTD-046 R/W = 0: user write 85h; privileged write as WPE says", () => {
    const rig = new Rig();
    const { contextEntry } = rig.scalable({ context: [PASIDE, 0n] });
    for (const [pasid, wpe] of [
      [1, 0n],
      [2, WPE],
    ] as const) {
      const { fs } = rig.addPasid(contextEntry, pasid, { words: [0n, 0n, SRE | wpe] });
      rig.mapFirst(fs, 4, 0x1000n, 0x5005n);
      expect(rig.read(0x1000n, { pasid })).toBe("ok 5000");
      expect(rig.write(0x1000n, { pasid })).toBe("UR 85");
      expect(rig.write(0x1000n, { pasid, privileged: true })).toBe(wpe ? "UR 85" : "ok 5000");
      rig.mapFirst(fs, 4, 1n << 39n, 0x6007n, 1, 5n);
      expect(rig.write(1n << 39n, { pasid }), "R/W = 0 above the leaf").toBe("UR 85");
    }
  });

  it.each([0, 1])("VTD-047 1 GiB pages with FS1GP = %i", (FS1GP) => {
    const rig = new Rig({ FS1GP });
    const { fs } = rig.scalable();
    rig.mapFirst(fs, 4, 0x4000_0000n, 0x8000_0087n, 3);
    rig.mapFirst(fs, 4, 0x20_0000n, 0x60_0087n, 2);
    expect(rig.read(0x4123_4567n)).toBe(FS1GP ? "ok 81234567" : "UR 72");
    expect(rig.read(0x21_2345n)).toBe("ok 612345");
    if (!FS1GP) return;
    const [large, small] = [rig.path(fs, 4, 0x4000_0000n, 3).at(-1), rig.path(fs, 4, 0x20_0000n, 2).at(-1)];
    for (const [entry, address, last] of [
      [large as bigint, 0x4000_0000n, 29],
      [small as bigint, 0x20_0000n, 20],
    ] as const) {
      rig.flipBit(entry, 12);
      expect(rig.read(address), "PAT").toMatch(/^ok/);
      for (const bit of range(13, last)) {
        rig.flipBit(entry, bit);
        expect(rig.read(address), `bit ${bit}`).toBe("UR 72");
        rig.flipBit(entry, bit);
      }
    }
  });

  it("VTD-048 bit 63 (XD) neither blocks a request nor is reserved; so are the other ignored bits", () => {
    const rig = new Rig();
    const { fs } = rig.scalable();
    rig.mapFirst(fs, 4, 0x1000n, 0x5067n);
    for (const entry of rig.path(fs, 4, 0x1000n)) {
      for (const bit of [3, 4, 8, 9, 10, 11, ...range(52, 63)]) {
        rig.flipBit(entry, bit);
        expect([rig.read(0x1000n), rig.write(0x1000n)], `bit ${bit}`).toEqual(["ok 5000", "ok 5000"]);
        rig.flipBit(entry, bit);
      }
    }
  });

  it("VTD-049 A at each level used, D in the leaf and by writes only; a failing request sets no D", () => {
    const rig = new Rig();
    const { fs } = rig.scalable();
    rig.mapFirst(fs, 4, 0x1000n, 0x5007n);
    rig.mapFirst(fs, 4, 0x2000n, 0x6005n);
    const path = rig.path(fs, 4, 0x1000n);
    const flags = () => path.map((entry) => rig.get(entry) & (A | D | EA));
    expect(rig.read(0x1000n)).toBe("ok 5000");
    expect(flags()).toEqual([A, A, A, A]);
    expect(rig.write(0x1000n)).toBe("ok 5000");
    expect(flags()).toEqual([A, A, A, A | D]);
    expect(rig.write(0x2000n)).toBe("UR 85");
    expect(rig.get(rig.path(fs, 4, 0x2000n)[3] as bigint) & D).toBe(0n);
    rig.mapFirst(fs, 4, 0x3000n, 0xfee0_0007n);
    expect(rig.write(0x3000n)).toBe("UR 87");
    expect(rig.get(rig.path(fs, 4, 0x3000n)[3] as bigint) & D).toBe(0n);
  });

  it("VTD-050 EA goes with A where EAFE = 1, and is left alone where it is 0", () => {
    for (const eafe of [EAFE, 0n]) {
      const rig = new Rig();
      const { fs } = rig.scalable({ words: [0n, 0n, eafe] });
      rig.mapFirst(fs, 4, 0x1000n, 0x5007n);
      rig.mapFirst(fs, 4, 0x2000n, 0x6027n);
      const expected = eafe ? A | EA : A;
      expect(rig.read(0x1000n)).toBe("ok 5000");
      expect(rig.path(fs, 4, 0x1000n).map((entry) => rig.get(entry) & (A | D | EA))).toEqual(Array(4).fill(expected));
      expect(rig.read(0x2000n)).toBe("ok 6000");
      expect(rig.get(rig.path(fs, 4, 0x2000n)[3] as bigint) & EA).toBe(eafe ? EA : 0n);
    }
  });

  it("VTD-051 a read fills the caches, a write after it still sets D", () => {
    const rig = new Rig();
    const { fs } = rig.scalable();
    const leaf = rig.mapFirst(fs, 4, 0x1000n, 0x5007n);
    for (let i = 0; i < 3; i++) expect(rig.read(0x1000n)).toBe("ok 5000");
    expect(rig.get(leaf) & D).toBe(0n);
    expect(rig.write(0x1000n)).toBe("ok 5000");
    expect(rig.get(leaf) & D).toBe(D);
    rig.flip(leaf, D);
    expect(rig.write(0x1000n)).toBe("ok 5000");
  });

  it.each(["SMPWCS", "PWSNP"])("VTD-055 an update owed without %s is 90h; none owed is fine", (missing) => {
    const rig = new Rig(missing === "SMPWCS" ? { SMPWCS: 0 } : {});
    const { fs, pasidEntry } = rig.scalable();
    if (missing === "PWSNP") rig.flipBit(pasidEntry, 87);
    rig.mapFirst(fs, 4, 0x1000n, 0x5027n, 1, 0x27n);
    expect(rig.read(0x1000n)).toBe("ok 5000");
    expect(rig.write(0x1000n)).toBe("UR 90");
    rig.mapFirst(fs, 4, 0x2000n, 0x6007n);
    expect(rig.read(0x2000n)).toBe("UR 90");
    rig.mapFirst(fs, 4, 0x3000n, 0x7067n);
    expect(rig.write(0x3000n)).toBe("ok 7000");
  });

  it("VTD-062 an output in FEEx_xxxxh is 87h", () => {
    const rig = new Rig();
    const { fs } = rig.scalable();
    rig.mapFirst(fs, 4, 0x1000n, 0xfeef_f007n);
    rig.mapFirst(fs, 4, 0x2000n, 0xfef0_0007n);
    expect(rig.read(0x1ffcn)).toBe("UR 87");
    expect(rig.read(0x2000n)).toBe("ok fef00000");
  });

  it("VTD-064 a request with PASID to FEEx_xxxxh is translated like any other", () => {
    const rig = new Rig();
    const { contextEntry } = rig.scalable({ context: [PASIDE, 0n] });
    const { fs } = rig.addPasid(contextEntry, 1);
    rig.mapFirst(fs, 4, 0xfee0_1000n, 0x5007n);
    expect(rig.write(0xfee0_1000n, { pasid: 1, dword: true })).toBe("ok 5000");
    expect(rig.read(0xfee0_1000n, { pasid: 1 })).toBe("ok 5000");
    rig.addPasid(contextEntry, 2, { pgtt: 4n });
    expect(rig.write(0xfee0_1000n, { pasid: 2, dword: true })).toBe("UR 87");
  });

  it("VTD-063 a dword written to FEEx_xxxxh is an interrupt, mapped or not; a read there is 29h while IRES = 1", () => {
    const rig = new Rig();
    const { fs } = rig.scalable();
    rig.mapFirst(fs, 4, 0xfee0_1000n, 0x5007n);
    const device = rig.unit.device(SID);
    expect(device.write(0xfee0_1004n, Uint8Array.of(0x41, 0, 0, 0))).toMatchObject({ ok: true });
    expect(rig.messages).toEqual([[0xfee0_1004n, 0x41]]);
    // Without interrupt remapping the rest is refused too, but silently.
    expect(rig.read(0xfee0_1000n)).toBe("UR unrecorded");
    expect(rig.write(0xfee0_1000n)).toBe("UR unrecorded");
    rig.w64(0xb8, rig.page());
    rig.command(GCMD.SIRTP);
    rig.command(GCMD.IRE);
    expect(rig.read(0xfee0_1000n)).toBe("UR 29");
    expect(rig.write(0xfee0_1000n)).toBe("UR 29");
    expect(rig.read(0xfee0_1000n, { zeroLength: true })).toBe("ok fee01000");
    expect(rig.ask({ address: 0xfee0_1000n, access: "a" })).toBe("UR 29");
  });
});
