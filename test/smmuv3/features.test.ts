import { describe, expect, it } from "vitest";
import { oddities } from "../../src/smmuv3/feature-rules.ts";
import * as features from "../../src/smmuv3/features.ts";
import { featuresFromIds, idRegisters, type SmmuFeatures, smmuFeatures } from "../../src/smmuv3/features.ts";
import { SMMU_PRESETS } from "../../src/smmuv3/presets.ts";

describe("ID registers, IHI 0070 6.3.1 to 6.3.8", () => {
  it("of the default equal the worked example of a complete v3.2 SMMU", () => {
    const ids = idRegisters(smmuFeatures());
    expect(ids).toEqual({
      IDR0: 0x084d369b,
      IDR1: 0x0def5510,
      IDR2: 0,
      IDR3: 0x1714,
      IDR5: 0x00200075,
      IIDR: 0,
      AIDR: 2,
    });
    expect(SMMU_PRESETS.server).toEqual(smmuFeatures());
  });

  it("of real machines come back as they were read", () => {
    for (const [IDR0, IDR1, IDR3, IDR5, AIDR] of [
      [0x0d44101b, 0x02730010, 0x1414, 0x74, 1],
      [0x0d441019, 0x02730010, 0x1414, 0x74, 1],
      [0x094c341b, 0x01084410, 0x400, 0x75, 2],
      [0x084c341b, 0x01084210, 0x400, 0x75, 2],
      [0x094c345b, 0x01084190, 0x400, 0x75, 2],
    ] as const) {
      expect(idRegisters(featuresFromIds({ IDR0, IDR1, IDR3, IDR5, AIDR }))).toMatchObject({
        IDR0,
        IDR1,
        IDR3,
        IDR5,
        AIDR,
      });
    }
  });

  it("of each preset describe the preset", () => {
    for (const preset of Object.values(SMMU_PRESETS)) expect(featuresFromIds(idRegisters(preset))).toEqual(preset);
  });

  it("of the smallest SMMU announce almost nothing", () => {
    expect(idRegisters(SMMU_PRESETS.smallest)).toEqual({
      IDR0: 0x0540000a,
      IDR1: 0,
      IDR2: 0,
      IDR3: 0,
      IDR5: 0x10,
      IIDR: 0,
      AIDR: 0,
    });
  });
});

describe("impossible features", () => {
  const refused: [Partial<SmmuFeatures>, RegExp][] = [
    [{ S1P: 0, S2P: 0 }, /^S1P, S2P: at least one stage/],
    [{ TTF: 0 }, /^TTF: 0 is reserved/],
    [{ TTF: 3 }, /^TTF: 3 announces AArch32/],
    [{ STALL_MODEL: 3 }, /^STALL_MODEL: 3 is reserved/],
    [{ STALL_MODEL: 1, STALL_MAX: 4 }, /^STALL_MAX: 4, but STALL_MODEL/],
    [{ STALL_MAX: 0 }, /^STALL_MAX: 0, but STALL_MODEL/],
    [{ ST_LEVEL: 0 }, /^ST_LEVEL: 0, but SIDSIZE 16 >= 7/],
    [{ SIDSIZE: 33 }, /^SIDSIZE: 33 > 32/],
    [{ SIDSIZE: 64 }, /^SIDSIZE: 64 is not a whole number in 0..63/],
    [{ SSIDSIZE: 21 }, /^SSIDSIZE: 21 > 20/],
    [{ CMDQS: 20 }, /^CMDQS: 20 > 19/],
    [{ ATS: 0, PRI: 1 }, /^PRI: 1 without ATS/],
    [{ ATS: 0, NS1ATS: 1 }, /^NS1ATS: 1 without ATS/],
    [{ S1P: 0, SSIDSIZE: 1 }, /^SSIDSIZE: 1 without S1P/],
    [{ SSIDSIZE: 0, CD2L: 1 }, /^CD2L: 1 without SSIDSIZE/],
    [{ S2P: 0, VMID16: 1 }, /^VMID16: 1 without S2P/],
    [{ S2P: 0, FWB: 1 }, /^FWB: 1 without S2P/],
    [{ RIL: 0 }, /^RIL: mandatory from v3.2/],
    [{ BBML: 0 }, /^BBML: at least 1/],
    [{ HYP: 0 }, /^HYP: mandatory from v3.2/],
    [{ BBML: 3 }, /^BBML: 3 is reserved/],
    [{ OAS: 7 }, /^OAS: 7 is not modelled/],
    [{ OAS: 6, ArchMinorRev: 0 }, /^OAS: 52 bits need v3.1/],
    [{ VAX: 1, GRAN64K: 0 }, /^VAX: 52-bit addresses need GRAN64K/],
    [{ GRAN4K: 0, GRAN16K: 0, GRAN64K: 0 }, /at least one must be implemented/],
    [{ HTTU: 3 }, /^HTTU: 3/],
    [{ TTENDIAN: 1 }, /^TTENDIAN: 1 is reserved/],
    [{ ArchMinorRev: 4 }, /^ArchMinorRev: 4 is not modelled/],
  ];
  it.each(refused)("%o", (config, message) => {
    expect(() => smmuFeatures(config)).toThrow(message);
  });

  it("what is not modelled is named, also when a register announces it", () => {
    expect(() => smmuFeatures({ BTM: 1 } as Partial<SmmuFeatures>)).toThrow(/^BTM: not modelled: broadcast/);
    expect(() => smmuFeatures({ FOO: 1 } as Partial<SmmuFeatures>)).toThrow(/^FOO: no such feature/);
    expect(() => featuresFromIds({ IDR0: 0x0d44101b | 0x20 })).toThrow(/^IDR0.BTM: 1, but not modelled/);
  });

  it("every field of an ID register is a feature or named as not modelled", () => {
    const fields = Object.values(features.ID_LAYOUTS).flatMap((layout) =>
      Object.keys(layout).filter((key) => !/^\d/.test(key)),
    );
    const known = new Set([...Object.keys(smmuFeatures()), ...Object.keys(features.NOT_MODELLED)]);
    expect(fields.filter((name) => !known.has(name))).toEqual([]);
    expect(fields.length).toBeGreaterThan(55);
  });

  it("defaults that build on a missing stage are off, and nothing odd remains", () => {
    const stage1 = smmuFeatures({ S2P: 0 });
    expect(stage1).toMatchObject({ VMID16: 0, XNX: 0, FWB: 0, HAD: 1, HYP: 1 });
    const stage2 = smmuFeatures({ S1P: 0 });
    expect(stage2).toMatchObject({ SSIDSIZE: 0, CD2L: 0, HAD: 0, HYP: 0, VMID16: 1 });
    expect(oddities(stage1)).toEqual([]);
    expect(oddities(stage2)).toEqual([]);
  });

  it("oddities of captured machines are told", () => {
    const model = featuresFromIds({ IDR0: 0x084c341b, IDR1: 0x01084210, IDR3: 0x400, IDR5: 0x75, AIDR: 2 });
    expect(oddities(model).join("; ")).toMatch(/HAD: mandatory.*XNX: mandatory.*STALL_MAX: 0/);
  });
});
