import { describe, expect, it } from "vitest";
import type { VtdFeatures } from "../../src/index.ts";
import { HOLE, Rig, range, SID } from "../support/vtd-rig.ts";

const PAGE = 0x5000n;
/** DTE, PASIDE, PRE of a context entry. */
const DTE = 4n;
const PASIDE = 8n;
const PRE = 16n;
const EPTR = 64n;

describe("Scalable mode: root, context, PASID tables, VT-d 5.10 3.4.3, 9.2, 9.4 to 9.6", () => {
  it("VTD-026 the halves of a root entry serve devfn below and from 80h on; the other half is no fault", () => {
    for (const sid of [0x007f, 0x0080, 0x1234, 0x12f4]) {
      const rig = new Rig();
      const { rootEntry } = rig.scalable({ pgtt: 4n, sid });
      const other = rootEntry ^ 8n;
      expect(rig.read(PAGE, { sid })).toBe("ok 5000");
      rig.put(other, 0xffff_ffff_ffff_fffen);
      expect(rig.read(PAGE, { sid })).toBe("ok 5000");
      expect(rig.read(PAGE, { sid: sid ^ 0x80 })).toBe("UR 39");
    }
  });

  it("VTD-027 root: unreachable 38h, not present 39h, reserved bits of the half in use 3Ah, of the other none", () => {
    for (const sid of [0x0010, 0x0090]) {
      const rig = new Rig();
      const { rootEntry } = rig.scalable({ pgtt: 4n, sid });
      for (const bit of [1, 6, 11, 46, 63]) {
        rig.flipBit(rootEntry, bit);
        expect(rig.read(PAGE, { sid }), `bit ${bit}`).toBe("UR 3a");
        rig.flipBit(rootEntry, bit);
        rig.put(rootEntry ^ 8n, (1n << BigInt(bit)) | 1n);
        expect(rig.read(PAGE, { sid }), `bit ${bit} of the other half`).toBe("ok 5000");
      }
      rig.flipBit(rootEntry, 0);
      expect(rig.read(PAGE, { sid })).toBe("UR 39");
      rig.enable(HOLE | 0x400n);
      expect(rig.read(PAGE, { sid })).toBe("UR 38");
    }
  });

  it("VTD-028 context: unreachable 40h, not present 41h, reserved bit 42h", () => {
    const rig = new Rig();
    const { rootEntry, contextEntry } = rig.scalable({ pgtt: 4n });
    for (const bit of [7, 8, 46, 63, 85, 127, 128, 200, 255]) {
      rig.flipBit(contextEntry, bit);
      expect(rig.read(PAGE), `bit ${bit}`).toBe("UR 42");
      rig.flipBit(contextEntry, bit);
    }
    rig.flipBit(contextEntry, 0);
    expect(rig.read(PAGE)).toBe("UR 41");
    rig.put(rootEntry, HOLE | 1n);
    expect(rig.read(PAGE)).toBe("UR 40");
  });

  it.each([
    ["DTE", 2, "DT"],
    ["PASIDE", 3, "PASID"],
    ["PRE", 4, "PRS"],
    ["HPTE", 5, "HPTS"],
    ["EPTR", 6, "PTRS"],
    ["RID_PASID", 64, "RPS"],
    ["RID_PRIV", 84, "RPRIVS"],
  ] as const)("VTD-029 context %s is reserved without its capability", (_name, bit, capability) => {
    const without = new Rig({ [capability]: 0 });
    const setup = without.scalable({ pgtt: 4n });
    without.flipBit(setup.contextEntry, bit);
    expect(without.read(PAGE)).toBe("UR 42");

    const rig = new Rig();
    const { contextEntry } = rig.scalable({ pgtt: 4n, words: [0n, 0n, 1n] });
    rig.addPasid(contextEntry, 1, { pgtt: 4n });
    rig.flip(contextEntry, DTE | PASIDE);
    if (bit > 3) rig.flipBit(contextEntry, bit);
    expect(rig.read(PAGE)).toBe("ok 5000");
  });

  it("VTD-030 RID_PASID beyond the directory, PRE without DTE, EPTR without PASIDE: 43h", () => {
    const rig = new Rig();
    const { contextEntry } = rig.scalable({ pgtt: 4n, context: [0n, 0x1fffn] });
    rig.addPasid(contextEntry, 0x1fff, { pgtt: 4n });
    expect(rig.read(PAGE)).toBe("ok 5000");
    rig.put(contextEntry + 8n, 0x2000n);
    expect(rig.read(PAGE)).toBe("UR 43");
    rig.flip(contextEntry, 0x200n);
    expect(rig.read(PAGE)).toBe("UR 51");
    rig.put(contextEntry + 8n, 0n);
    expect(rig.read(PAGE)).toBe("ok 5000");
    rig.flip(contextEntry, PRE);
    expect(rig.read(PAGE)).toBe("UR 43");
    rig.flip(contextEntry, DTE);
    expect(rig.read(PAGE)).toBe("ok 5000");
    rig.flip(contextEntry, EPTR);
    expect(rig.read(PAGE)).toBe("UR 43");
    rig.flip(contextEntry, PASIDE);
    expect(rig.read(PAGE)).toBe("ok 5000");
  });

  it("VTD-031 translation and translated requests without DTE: 44h, UR", () => {
    const rig = new Rig();
    const { contextEntry } = rig.scalable({ pgtt: 4n });
    for (const type of ["translation", "translated"] as const) {
      expect(rig.read(PAGE, { type })).toBe("UR 44");
      expect(rig.read(PAGE, { type, pasid: 1 })).toBe("UR 44");
    }
    rig.flip(contextEntry, DTE);
    expect(rig.read(PAGE, { type: "translation" })).toMatch(/^ok/);
    expect(rig.read(PAGE, { type: "translated" })).toBe("ok 5000");
  });

  it("VTD-032 a request with PASID without PASIDE: 45h", () => {
    const rig = new Rig();
    const { contextEntry } = rig.scalable({ pgtt: 4n, context: [DTE, 0n] });
    rig.addPasid(contextEntry, 1, { pgtt: 4n });
    expect(rig.read(PAGE, { pasid: 1 })).toBe("UR 45");
    expect(rig.read(PAGE, { pasid: 1, type: "translation" })).toBe("UR 45");
    rig.flip(contextEntry, PASIDE);
    expect(rig.read(PAGE, { pasid: 1 })).toBe("ok 5000");
  });

  it.each([0, 1, 2, 3, 4, 5, 6, 7])("VTD-033 PDTS = %i: the last PASID is accepted, the next is 46h", (pdts) => {
    const rig = new Rig();
    const { contextEntry } = rig.scalable({ pgtt: 4n, pdts: BigInt(pdts), context: [PASIDE, 0n] });
    const last = 2 ** (pdts + 13) - 1;
    rig.addPasid(contextEntry, last, { pgtt: 4n });
    expect(rig.read(PAGE, { pasid: last })).toBe("ok 5000");
    if (pdts < 7) expect(rig.read(PAGE, { pasid: last + 1 })).toBe("UR 46");
  });

  it("VTD-034 a page request without PRE: 47h and Invalid Request when it is the last of its group", () => {
    const rig = new Rig();
    const { contextEntry } = rig.scalable({ pgtt: 4n, context: [DTE | PASIDE, 0n] });
    rig.addPasid(contextEntry, 1, { pgtt: 4n });
    rig.w64(0xd0, rig.page());
    const device = rig.unit.device(SID);
    expect(device.requestPage({ pasid: 1, address: PAGE, read: true, last: true, group: 9 })).toBe("invalid");
    expect(rig.faults()).toMatchObject([{ reason: 0x47, sid: SID, type: 1 }]);
    expect(device.responses).toMatchObject([{ code: 1, group: 9 }]);
    expect(device.requestPage({ pasid: 1, address: PAGE, read: true })).toBe("dropped");
    expect(device.responses).toHaveLength(1);
    rig.flip(contextEntry, PRE);
    expect(device.requestPage({ pasid: 1, address: PAGE, read: true })).toBe("queued");
  });

  it("VTD-035 an explicit PASID that is RID_PASID: 48h", () => {
    const rig = new Rig();
    const { contextEntry } = rig.scalable({ pgtt: 4n, context: [PASIDE | DTE, 7n] });
    rig.addPasid(contextEntry, 7, { pgtt: 4n });
    expect(rig.read(PAGE, { pasid: 7 })).toBe("UR 48");
    expect(rig.read(PAGE, { pasid: 7, type: "translation" })).toBe("UR 48");
    expect(rig.read(PAGE, { pasid: 0 })).toBe("ok 5000");
    expect(rig.read(PAGE)).toBe("ok 5000");
  });

  it("VTD-036 a PASID wider than PSS: 89h", () => {
    const rig = new Rig({ PSS: 9 });
    const { contextEntry } = rig.scalable({ pgtt: 4n, context: [PASIDE, 0n] });
    rig.addPasid(contextEntry, 1023, { pgtt: 4n });
    rig.addPasid(contextEntry, 1024, { pgtt: 4n });
    expect(rig.read(PAGE, { pasid: 1023 })).toBe("ok 5000");
    expect(rig.read(PAGE, { pasid: 1024 })).toBe("UR 89");
  });

  it("VTD-037 PASID directory: unreachable 50h, not present 51h, reserved 52h", () => {
    const rig = new Rig();
    const { contextEntry, directoryEntry } = rig.scalable({ pgtt: 4n });
    for (const bit of [...range(2, 11), ...range(46, 63)]) {
      rig.flipBit(directoryEntry, bit);
      expect(rig.read(PAGE), `bit ${bit}`).toBe("UR 52");
      rig.flipBit(directoryEntry, bit);
    }
    rig.flipBit(directoryEntry, 0);
    expect(rig.read(PAGE)).toBe("UR 51");
    rig.put(contextEntry, HOLE | 1n);
    expect(rig.read(PAGE)).toBe("UR 50");
  });

  it("VTD-038 PASID entry: unreachable 58h, not present 59h even if all zero, reserved 5Ah", () => {
    const rig = new Rig();
    const { directoryEntry, pasidEntry } = rig.scalable({ pgtt: 4n });
    rig.flipBit(pasidEntry, 5);
    expect(rig.read(PAGE)).toBe("UR 5a");
    rig.put(pasidEntry, 0n, 0n, 0n);
    expect(rig.read(PAGE)).toBe("UR 59");
    rig.put(pasidEntry, 0xffff_ffff_ffff_fffcn);
    expect(rig.read(PAGE)).toBe("UR 59");
    rig.put(directoryEntry, HOLE | 1n);
    expect(rig.read(PAGE)).toBe("UR 58");
  });

  it("VTD-039 a reserved PGTT, or one whose capability is missing: 5Bh", () => {
    const missing: readonly [bigint, keyof VtdFeatures][] = [
      [1n, "FSTS"],
      [2n, "SSTS"],
      [3n, "NEST"],
      [4n, "PT"],
    ];
    for (const [pgtt, capability] of missing) {
      const rig = new Rig({ [capability]: 0 });
      const { pasidEntry } = rig.scalable({ pgtt: 4n });
      rig.put(pasidEntry, (pgtt << 6n) | 1n);
      expect(rig.read(PAGE), capability).toBe("UR 5b");
    }
    const rig = new Rig();
    const { pasidEntry } = rig.scalable({ pgtt: 4n });
    for (const pgtt of [0n, 5n, 6n, 7n]) {
      rig.put(pasidEntry, (pgtt << 6n) | 9n);
      expect(rig.read(PAGE), `PGTT ${pgtt}`).toBe("UR 5b");
    }
  });

  it("VTD-039 second-stage and nested with an AW outside SAGAW, first-stage and nested with an illegal FSPM: 5Bh", () => {
    for (const pgtt of [2n, 3n]) {
      const rig = new Rig({ SAGAW: 0b0100 });
      const { pasidEntry } = rig.scalable({ pgtt });
      for (const aw of [0n, 1n, 3n, 4n, 5n, 6n, 7n]) {
        rig.put(pasidEntry, (rig.get(pasidEntry) & ~0x1cn) | (aw << 2n));
        expect(rig.read(PAGE), `PGTT ${pgtt} AW ${aw}`).toBe("UR 5b");
      }
    }
    for (const pgtt of [1n, 3n]) {
      for (const FS5LP of [0, 1]) {
        const rig = new Rig({ FS5LP });
        const { pasidEntry, ss } = rig.scalable({ pgtt });
        const root = rig.page();
        if (ss) rig.mapSecond(ss, 4, root, root | 3n);
        for (const fspm of [1n, 2n, 3n]) {
          rig.put(pasidEntry + 16n, root | (fspm << 2n));
          expect(rig.read(PAGE), `PGTT ${pgtt} FSPM ${fspm}`).toBe(fspm === 1n && FS5LP ? "UR 71" : "UR 5b");
        }
      }
    }
  });

  it.each([1n, 2n, 3n, 4n])("VTD-040 PGTT %i: each reserved bit alone is 5Ah, each ignored bit is none", (pgtt) => {
    const rig = new Rig({ ND: 5 });
    const { pasidEntry, fs, ss } = rig.scalable({ pgtt });
    const levels = rig.get(pasidEntry) & 0x1cn;
    if (pgtt === 1n) rig.mapFirst(fs, 4, PAGE, PAGE | 7n);
    if (pgtt === 2n) rig.mapSecond(ss, 4, PAGE, PAGE | 3n);
    if (pgtt === 3n) {
      rig.mapFirst(fs, 4, PAGE, PAGE | 7n);
      for (const page of [fs, ...rig.path(fs, 4, PAGE).map((entry) => entry & ~0xfffn), PAGE]) {
        rig.mapSecond(ss, 4, page, page | 3n);
      }
    }
    expect(levels).toBe(pgtt === 2n || pgtt === 3n ? 8n : 0n);
    expect(rig.read(PAGE)).toBe("ok 5000");
    for (const bit of RESERVED) {
      rig.flipBit(pasidEntry, bit);
      expect(rig.read(PAGE), `bit ${bit}`).toBe("UR 5a");
      rig.flipBit(pasidEntry, bit);
    }
    const ignored = [133, 134, 132, ...range(256, 258), ...range(268, 301), ...range(320, 335)];
    if (pgtt === 1n || pgtt === 4n) ignored.push(2, 3, 4, 9, ...range(12, 45));
    if (pgtt === 2n || pgtt === 4n) ignored.push(130, 131, 135, ...range(140, 173));
    for (const bit of ignored) {
      rig.flipBit(pasidEntry, bit);
      expect(rig.read(PAGE), `bit ${bit}`).toBe("ok 5000");
      rig.flipBit(pasidEntry, bit);
    }
  });

  it.each([
    ["SSADS", [9]],
    ["SMPWCS", [87]],
    ["SC", [88]],
    ["MTS", [89, 90, 96, 126]],
    ["SRS", [128]],
    ["EAFS", [135]],
    ["HPTS", [256, 258, 268, 320]],
    ["FSTS", [130, 132, 140]],
    ["SSTS", [12, 45]],
  ] as const)("VTD-040 without %s its bits are reserved", (capability, positions) => {
    for (const value of [0, 1]) {
      const rig = new Rig({ [capability]: value });
      const { pasidEntry } = rig.scalable({ pgtt: 4n });
      for (const bit of positions) {
        rig.flipBit(pasidEntry, bit);
        expect(rig.read(PAGE), `${capability} = ${value}, bit ${bit}`).toBe(value ? "ok 5000" : "UR 5a");
        rig.flipBit(pasidEntry, bit);
      }
    }
  });

  it("VTD-041 a privileged request without SRE: 5Dh; RID_PRIV makes requests without PASID privileged", () => {
    const rig = new Rig();
    const { contextEntry, pasidEntry } = rig.scalable({ pgtt: 4n, context: [PASIDE | DTE, 0n] });
    rig.addPasid(contextEntry, 1, { pgtt: 4n });
    rig.addPasid(contextEntry, 2, { pgtt: 4n, words: [0n, 0n, 1n] });
    expect(rig.read(PAGE, { pasid: 1, privileged: true })).toBe("UR 5d");
    expect(rig.read(PAGE, { pasid: 1 })).toBe("ok 5000");
    expect(rig.read(PAGE, { pasid: 2, privileged: true })).toBe("ok 5000");
    expect(rig.read(PAGE, { pasid: 1, privileged: true, type: "translation" })).toBe("none");
    rig.put(contextEntry + 8n, 1n << 20n);
    expect(rig.read(PAGE)).toBe("UR 5d");
    rig.put(pasidEntry + 16n, 1n);
    expect(rig.read(PAGE)).toBe("ok 5000");
  });

  it("VTD-042 FPD in context, directory or table entry silences what is found from there on", () => {
    const silencers: readonly (readonly [string, (setup: ReturnType<Rig["scalable"]>) => bigint])[] = [
      ["context", ({ contextEntry }) => contextEntry],
      ["directory", ({ directoryEntry }) => directoryEntry],
      ["table", ({ pasidEntry }) => pasidEntry],
    ];
    for (const [name, entryOf] of silencers) {
      const rig = new Rig();
      const setup = rig.scalable({ pgtt: 1n });
      const { contextEntry, directoryEntry, pasidEntry, fs } = setup;
      rig.mapFirst(fs, 4, 0x1000n, 0x5007n);
      rig.flip(entryOf(setup), 2n);
      expect(rig.read(0x1000n), name).toBe("ok 5000");
      expect(rig.read(0x2000n), `${name}: 71h`).toBe("UR unrecorded");
      // P = 0 and reserved bits of each entry: silent from the silencing one on.
      const faults: readonly (readonly [bigint, bigint, string])[] = [
        [contextEntry, 1n, "41"],
        [contextEntry, 0x80n, "42"],
        [directoryEntry, 1n, "51"],
        [directoryEntry, 4n, "52"],
        [pasidEntry, 1n, "59"],
        [pasidEntry, 0x20n, "5a"],
      ];
      const from = { context: 0, directory: 2, table: 4 }[name] ?? 0;
      for (const [i, [entry, bits, code]] of faults.entries()) {
        rig.flip(entry, bits);
        expect(rig.read(0x1000n), `${name}: ${code}h`).toBe(i >= from ? "UR unrecorded" : `UR ${code}`);
        rig.flip(entry, bits);
      }
      // Access errors to directory and table are not qualified.
      rig.put(contextEntry, HOLE | (rig.get(contextEntry) & 0xfffn));
      expect(rig.read(0x1000n), `${name}: 50h`).toBe("UR 50");
    }
  });
});

/** With every capability, ND = 5 (14 bits) and 46-bit addresses. */
const RESERVED: readonly number[] = [
  5,
  10,
  11,
  ...range(46, 63),
  78,
  79,
  ...range(80, 86),
  ...range(91, 95),
  99,
  103,
  107,
  111,
  115,
  119,
  123,
  127,
  129,
  ...range(136, 139),
  ...range(174, 255),
  ...range(259, 267),
  ...range(302, 319),
  ...range(336, 511),
];
