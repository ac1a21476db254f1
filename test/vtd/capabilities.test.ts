import { describe, expect, it } from "vitest";
import { VTD_PRESETS, VtdCapabilities, type VtdFeatures } from "../../src/index.ts";

/** Values from boot logs and from QEMU, with what their decoders print. */
const FOUND: [string, number, bigint, bigint, Partial<VtdFeatures>][] = [
  [
    "qemu",
    0x10,
    0x80d2_008c_222f_0606n,
    0xf0_0f4an,
    {
      ND: 6,
      SAGAW: 6,
      MGAW: 47,
      FRO: 0x22,
      SSLPS: 3,
      PSI: 1,
      MAMV: 18,
      ESRTPS: 1,
      ZLR: 0,
      C: 0,
      IR: 1,
      PT: 1,
      IRO: 0xf,
      MHMV: 15,
      SMTS: 0,
    },
  ],
  ["qemu-scalable", 0x10, 0x80d2_008c_222f_0606n, 0x4800_80f0_0f4an, { SMTS: 1, SSTS: 1, SRS: 1, FSTS: 0 }],
  ["qemu-first-stage", 0x10, 0x81d2_008c_222f_0606n, 0x8800_00f0_0f4an, { SMTS: 1, FSTS: 1, FS1GP: 1, SSTS: 0 }],
  [
    "client-graphics",
    0x40,
    0x01c0_000c_4066_0462n,
    0x69e_2ff0_505en,
    { MAX: 4, ND: 2, SAGAW: 4, MGAW: 38, ZLR: 1, PSI: 0, FRO: 0x40, IRO: 0x50 },
  ],
  ["client-graphics-ats", 0x40, 0x01c0_000c_4066_0462n, 0x29a_00f0_505en, { DT: 1, NWFS: 1, DIT: 1 }],
  ["client", 0x50, 0x00d2_008c_4066_0462n, 0xf0_50dan, { PSI: 1, MAMV: 18, SC: 1, DT: 0 }],
  [
    "server",
    0x60,
    0x09ed_008c_4078_0466n,
    0x3_ee9e_86f0_50dfn,
    {
      ND: 6,
      MGAW: 56,
      SAGAW: 4,
      MAMV: 45,
      NEST: 1,
      SRS: 1,
      NWFS: 1,
      EAFS: 1,
      PSS: 19,
      PASID: 0,
      DIT: 1,
      PDS: 1,
      SMTS: 1,
      SSADS: 1,
      SSTS: 1,
      FSTS: 1,
      SMPWCS: 1,
      RPS: 1,
    },
  ],
  [
    "client-scalable",
    0x70,
    0xc9de_008c_ee69_0462n,
    0x12_ca9a_00f0_ef5en,
    {
      ESRTPS: 1,
      ESIRTPS: 1,
      FRO: 0xee,
      IRO: 0xef,
      MGAW: 41,
      MAMV: 30,
      SMTS: 1,
      SSTS: 1,
      FSTS: 1,
      RPS: 1,
      ADMS: 1,
      SMPWCS: 0,
    },
  ],
  [
    "server-5-level",
    0x70,
    0xf9ed_008c_ee78_0c66n,
    0x3f_ef9e_a6f0_efdfn,
    { SAGAW: 12, FS5LP: 1, PRS: 1, PASID: 1, ADMS: 1, RPRIVS: 1, MAX: 7 },
  ],
];

/** Bits that this unit takes off: CAP 59 (PI), 61 (ECMDS); ECAP 50 (TDXCS), 51 (PMS). */
const CAP_CLEARED = (1n << 59n) | (1n << 61n);
const ECAP_CLEARED = (1n << 50n) | (1n << 51n);

describe("capabilities found in machines", () => {
  it.each(FOUND)("%s reads as it was found, but for what is not modelled", (preset, ver, cap, ecap, fields) => {
    const found = VTD_PRESETS[preset as keyof typeof VTD_PRESETS];
    expect(found.ver).toBe(BigInt(ver));
    expect(found.cap).toBe(cap & ~CAP_CLEARED);
    expect(found.ecap).toBe(ecap & ~ECAP_CLEARED);
    expect(found.cleared.length > 0).toBe(cap !== found.cap || ecap !== found.ecap);
    expect(found.features).toMatchObject(fields);
  });

  it("tell the rules that a real part breaks, and go without what lacks its prerequisite", () => {
    const { features, deviations, ecap } = VTD_PRESETS["client-graphics"];
    expect(deviations).toContain("PRS must be 0 when SMTS is 0");
    expect(ecap & (1n << 29n)).not.toBe(0n);
    expect(features).toMatchObject({ PRS: 0, NEST: 0, PSS: 0, DT: 1 });
  });

  it("come out of the features they were decoded to", () => {
    for (const name of ["qemu", "qemu-scalable", "client", "client-scalable"] as const) {
      const { features, ver, cap, ecap, deviations } = VTD_PRESETS[name];
      if (deviations.length) continue;
      const again = VtdCapabilities.of(features);
      expect([again.ver, again.cap, again.ecap]).toEqual([ver, cap, ecap]);
    }
  });
});

describe("VTD-006 features that do not go together", () => {
  const widest = VTD_PRESETS.widest.features;

  it.each<[string, Partial<VtdFeatures>]>([
    ["MGAW + 1 must not be below HAW", { MGAW: 50 }],
    ["DT must be 0 when QI is 0", { QI: 0 }],
    ["IR must be 0 when QI is 0", { QI: 0 }],
    ["SMTS must be 0 when QI is 0", { QI: 0 }],
    ["EIM must be 0 when IR is 0", { IR: 0 }],
    ["MHMV must be 0 when IR is 0", { IR: 0 }],
    ["NEST must be 0 when SMTS is 0", { SMTS: 0 }],
    ["NEST must be 0 when FSTS is 0", { FSTS: 0 }],
    ["NEST must be 0 when SSTS is 0", { SSTS: 0 }],
    ["PRS must be 0 when DT is 0", { DT: 0 }],
    ["PRS must be 0 when SMTS is 0", { SMTS: 0 }],
    ["PDS must be 0 when DT is 0", { DT: 0 }],
    ["DIT must be 0 when DT is 0", { DT: 0 }],
    ["NWFS must be 0 when DT is 0", { DT: 0 }],
    ["EAFS must be 0 when FSTS is 0", { FSTS: 0 }],
    ["EAFS must be 0 when SMPWCS is 0", { SMPWCS: 0 }],
    ["SSADS must be 0 when SMPWCS is 0", { SMPWCS: 0 }],
    ["RPRIVS must be 0 when SRS is 0", { SRS: 0 }],
    ["RWBF must be 0 when SMTS is 1", { RWBF: 1 }],
    ["ND must not be above 6", { ND: 7 }],
    ["SSLPS must be 0, 1 or 3", { SSLPS: 2 }],
    ["SAGAW may have bits 1, 2 and 3 only", { SAGAW: 1 }],
    ["DWD and DRD must be 1 from major version 2 on", { DRD: 0 }],
    ["SAGAW must be 0 when SSTS is 0 in major version 6 or later", { SSTS: 0, MAX: 6, NEST: 0, SSIRWS: 0 }],
  ])("%s", (rule, changes) => {
    let message = "";
    try {
      VtdCapabilities.of({ ...widest, ...changes });
    } catch (error) {
      message = (error as Error).message;
    }
    expect(message.split("; ")).toContain(rule);
  });

  it("names what is not modelled, what is no feature, and what is out of range", () => {
    const of = (changes: object) => () => VtdCapabilities.of(changes as Partial<VtdFeatures>);
    expect(of({ PI: 1 })).toThrow("PI: posted interrupts: not modelled");
    expect(of({ PI: 0 })).not.toThrow();
    expect(of({ XYZ: 1 })).toThrow("XYZ: no such feature");
    expect(of({ NFR: 256 })).toThrow(/NFR: 256/);
    expect(of({ HAW: 53 })).toThrow(/HAW: 53/);
  });
});
