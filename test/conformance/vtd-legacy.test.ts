import { describe, expect, it } from "vitest";
import { HOLE, Rig, range } from "../support/vtd-rig.ts";

const PAGE = 0x5000n;

describe("Legacy mode, VT-d 5.10 3.4.2, 9.1, 9.3", () => {
  it("VTD-017 root entry not present 1h, reserved bit Ah, unreachable table 8h", () => {
    const rig = new Rig();
    const { rootEntry } = rig.legacy();
    rig.flipBit(rootEntry, 0);
    expect(rig.read(0x1000n)).toBe("UR 1");
    rig.flipBit(rootEntry, 0);
    for (const reserved of [1, 11, 46, 63, 64, 127]) {
      rig.flipBit(rootEntry, reserved);
      expect(rig.read(0x1000n), `bit ${reserved}`).toBe("UR a");
      rig.flipBit(rootEntry, reserved);
    }
    rig.enable(HOLE);
    expect(rig.read(0x1000n)).toBe("UR 8");
  });

  it("VTD-018 context entry not present 2h, reserved bit Bh, TT = 11b 3h, unreachable table 9h", () => {
    const rig = new Rig();
    const { rootEntry, contextEntry } = rig.legacy();
    rig.flipBit(contextEntry, 0);
    expect(rig.read(0x1000n)).toBe("UR 2");
    rig.flipBit(contextEntry, 0);
    rig.flipBit(contextEntry, 4);
    expect(rig.read(0x1000n)).toBe("UR b");
    rig.flipBit(contextEntry, 4);
    rig.flip(contextEntry, 0xcn);
    expect(rig.read(0x1000n)).toBe("UR 3");
    rig.put(rootEntry, HOLE | 1n);
    expect(rig.read(0x1000n)).toBe("UR 9");
  });

  it.each([
    ["01b", 1n, "DT"],
    ["10b", 2n, "PT"],
  ] as const)("VTD-018 TT = %s needs its capability, else 3h", (_name, tt, capability) => {
    for (const [value, expected] of [
      [0, "UR 3"],
      [1, "ok 5000"],
    ] as const) {
      const rig = new Rig({ [capability]: value });
      const { root } = rig.legacy({ tt, aw: tt === 2n ? 3n : 2n });
      rig.mapSecond(root, 4, PAGE, PAGE | 3n);
      expect(rig.read(PAGE)).toBe(expected);
    }
  });

  it("VTD-019 each reserved bit of a context entry alone is Bh, each ignored bit is none", () => {
    const rig = new Rig({ ND: 2 });
    const { root, contextEntry } = rig.legacy();
    rig.mapSecond(root, 4, PAGE, PAGE | 3n);
    const reserved = [...range(4, 11), ...range(46, 63), 71, ...range(80, 87), ...range(88, 127)];
    for (const bit of [...reserved, ...range(67, 70)]) {
      rig.flipBit(contextEntry, bit);
      expect(rig.read(PAGE), `bit ${bit}`).toBe(reserved.includes(bit) ? "UR b" : "ok 5000");
      rig.flipBit(contextEntry, bit);
    }
  });

  it("VTD-019 domain id 0 is reserved in caching mode only", () => {
    for (const [CM, expected] of [
      [0, "ok 5000"],
      [1, "UR b"],
    ] as const) {
      const rig = new Rig({ CM });
      const { root } = rig.legacy({ did: 0n });
      rig.mapSecond(root, 4, PAGE, PAGE | 3n);
      expect(rig.read(PAGE)).toBe(expected);
    }
  });

  it("VTD-020 AW outside SAGAW is 3h; pass-through demands the largest", () => {
    for (const SAGAW of [0b0010, 0b0100, 0b0110, 0b1110]) {
      const rig = new Rig({ SAGAW });
      const largest = SAGAW & 8 ? 3n : SAGAW & 4 ? 2n : 1n;
      for (const aw of [0n, 1n, 2n, 3n, 4n, 7n]) {
        const legal = aw <= 3n && (SAGAW >> Number(aw)) % 2 === 1;
        const { root } = rig.legacy({ aw });
        if (legal) rig.mapSecond(root, Number(aw) + 2, PAGE, PAGE | 3n);
        expect(rig.read(PAGE), `SAGAW ${SAGAW} AW ${aw}`).toBe(legal ? "ok 5000" : "UR 3");
        rig.legacy({ aw, tt: 2n });
        expect(rig.read(PAGE), `SAGAW ${SAGAW} AW ${aw}, TT = 10b`).toBe(aw === largest ? "ok 5000" : "UR 3");
      }
    }
  });

  it.each([
    [57, 1n, 39n],
    [57, 2n, 48n],
    [57, 3n, 57n],
    [47, 2n, 47n],
    [50, 3n, 50n],
  ] as const)("VTD-021 MGAW %i, AW %i: 4h from 2^%i on, translated one page below", (mgaw, aw, limit) => {
    const rig = new Rig({ MGAW: mgaw - 1 });
    const { root } = rig.legacy({ aw });
    const last = (1n << limit) - 0x1000n;
    rig.mapSecond(root, Number(aw) + 2, last, PAGE | 3n);
    expect(rig.read(last + 0xffcn)).toBe("ok 5ffc");
    expect(rig.read(1n << limit)).toBe("UR 4");
    expect(rig.read(1n << 63n)).toBe("UR 4");
  });

  it.each([0, 1])(
    "VTD-022 write-only and read-only leaves; a zero-length read of a write-only one, ZLR = %i",
    (ZLR) => {
      const rig = new Rig({ ZLR });
      const { root } = rig.legacy();
      rig.mapSecond(root, 4, 0x1000n, 0x5002n);
      rig.mapSecond(root, 4, 0x2000n, 0x6001n);
      expect(rig.read(0x1000n)).toBe("UR 6");
      expect(rig.write(0x1000n)).toBe("ok 5000");
      expect(rig.read(0x1000n, { zeroLength: true })).toBe(ZLR ? "ok 5000" : "UR 6");
      expect(rig.write(0x2000n)).toBe("UR 5");
      expect(rig.read(0x2000n)).toBe("ok 6000");
      expect(rig.read(0x2000n, { zeroLength: true })).toBe("ok 6000");
    },
  );

  it.each([4, 3, 2, 1])(
    "VTD-023 an entry without rights at level %i gives 5h or 6h, whatever else is in it",
    (level) => {
      const rig = new Rig();
      const { root } = rig.legacy();
      rig.mapSecond(root, 4, 0x1000n, 0x5003n);
      const entry = rig.path(root, 4, 0x1000n)[4 - level] as bigint;
      rig.put(entry, 0xffff_ffff_ffff_fffcn);
      expect(rig.read(0x1000n)).toBe("UR 6");
      expect(rig.write(0x1000n)).toBe("UR 5");
      rig.put(entry, HOLE);
      expect(rig.read(0x1000n)).toBe("UR 6");
    },
  );

  it("VTD-024 a reserved bit of a second-stage entry with a right: Ch in legacy, 7Ah in scalable mode", () => {
    for (const scalable of [false, true]) {
      const rig = new Rig({ SC: 0 });
      const root = scalable ? rig.scalable({ pgtt: 2n }).ss : rig.legacy().root;
      rig.mapSecond(root, 4, 0x1000n, 0x5003n);
      const [top, middle, , leaf] = rig.path(root, 4, 0x1000n) as [bigint, bigint, bigint, bigint];
      const fault = scalable ? "UR 7a" : "UR c";
      for (const [entry, bits] of [
        [top, [7, 11, 46, 51, 62]],
        [middle, [11, 46, 51, 62]],
        [leaf, [11, 46, 51, 62]],
      ] as const) {
        for (const bit of bits) {
          rig.flipBit(entry, bit);
          expect(rig.read(0x1000n), `bit ${bit}`).toBe(fault);
          rig.flipBit(entry, bit);
        }
      }
      for (const ignored of [2, 3, 6, 7, 8, 9, 10, 52, 60, 61, 63]) {
        rig.flipBit(leaf, ignored);
        expect(rig.read(0x1000n), `bit ${ignored}`).toBe("ok 5000");
        rig.flipBit(leaf, ignored);
      }
    }
  });

  it.each([0, 1, 3])("VTD-024 large pages that SSLPS = %i lacks are reserved", (SSLPS) => {
    const rig = new Rig({ SSLPS });
    const { root } = rig.legacy();
    rig.mapSecond(root, 4, 0x20_0000n, 0x60_0083n, 2);
    rig.mapSecond(root, 4, 0x4000_0000n, 0x8000_0083n, 3);
    expect(rig.read(0x21_2345n)).toBe(SSLPS & 1 ? "ok 612345" : "UR c");
    expect(rig.read(0x4012_3456n)).toBe(SSLPS & 2 ? "ok 80123456" : "UR c");
    rig.flipBit(rig.path(root, 4, 0x20_0000n, 2)[2] as bigint, 12);
    expect(rig.read(0x20_0000n)).toBe("UR c");
  });

  it("VTD-025 FPD in the context entry silences 2h to 7h, Bh and Ch, and neither 1h, 8h, 9h nor Ah", () => {
    const rig = new Rig();
    const { rootEntry, contextEntry, root } = rig.legacy({ flags: 2n });
    rig.mapSecond(root, 4, 0x1000n, 0x5003n);
    rig.mapSecond(root, 4, 0x2000n, 0x8_0000_0000_0003n);
    rig.mapSecond(root, 4, 0x3000n, 0x6001n);
    rig.mapSecond(root, 4, 1n << 39n, HOLE | 3n, 4);
    const silent = (address: bigint, access: "r" | "w" = "r") =>
      expect(rig.ask({ address, access })).toBe("UR unrecorded");
    silent(0x2000n); // Ch
    silent(0x3000n, "w"); // 5h
    silent(0x4000n); // 6h
    silent(1n << 39n); // 7h
    silent(1n << 48n); // 4h
    for (const bits of [1n, 0x10n, 0xcn]) {
      rig.flip(contextEntry, bits); // 2h, Bh, 3h
      silent(0x1000n);
      rig.flip(contextEntry, bits);
    }
    expect(rig.read(0x1000n)).toBe("ok 5000");
    rig.flipBit(rootEntry, 1);
    expect(rig.read(0x1000n)).toBe("UR a");
    rig.flipBit(rootEntry, 1);
    rig.put(rootEntry, HOLE | 1n);
    expect(rig.read(0x1000n)).toBe("UR 9");
    rig.put(rootEntry, 0n);
    expect(rig.read(0x1000n)).toBe("UR 1");
    rig.enable(HOLE);
    expect(rig.read(0x1000n)).toBe("UR 8");
  });

  it("VTD-061 pass-through: output = input, 4h from 2^HAW on", () => {
    const rig = new Rig();
    rig.legacy({ tt: 2n, aw: 3n });
    expect(rig.read(0x3fff_ffff_fffcn)).toBe("ok 3ffffffffffc");
    expect(rig.write(0x1234n)).toBe("ok 1234");
    expect(rig.read(1n << 46n)).toBe("UR 4");
  });

  it("VTD-062 an output in FEEx_xxxxh is Eh", () => {
    const rig = new Rig();
    const { root } = rig.legacy();
    rig.mapSecond(root, 4, 0x1000n, 0xfee0_0003n);
    rig.mapSecond(root, 4, 0x2000n, 0xfeef_f003n);
    rig.mapSecond(root, 4, 0x3000n, 0xfedf_f003n);
    rig.mapSecond(root, 4, 0x4000n, 0xfef0_0003n);
    expect(rig.read(0x1000n)).toBe("UR e");
    expect(rig.write(0x2ffcn)).toBe("UR e");
    expect(rig.read(0x3000n)).toBe("ok fedff000");
    expect(rig.read(0x4000n)).toBe("ok fef00000");
  });

  it("VTD-070 translated requests: unmodified below 2^HAW with TT = 01b, Dh with 00b and 10b", () => {
    const rig = new Rig();
    rig.legacy({ tt: 1n });
    expect(rig.write(0x3fff_ffff_fffcn, { type: "translated" })).toBe("ok 3ffffffffffc");
    expect(rig.read(1n << 46n, { type: "translated" })).toBe("UR 4");
    expect(rig.read(0xfee0_0000n, { type: "translated" })).toBe("UR e");
    rig.legacy({ tt: 0n });
    expect(rig.read(0x1000n, { type: "translated" })).toBe("UR d");
    rig.legacy({ tt: 2n, aw: 3n });
    expect(rig.read(0x1000n, { type: "translated" })).toBe("UR d");
    expect(rig.read(0x1000n, { type: "translation" })).toBe("UR d");
  });
});
