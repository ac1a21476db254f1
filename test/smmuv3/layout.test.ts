/**
 * The layouts of stream tables, context descriptors and translation tables, against words that come from
 * elsewhere: tables that a real Linux 7.3 wrote (`test/captures`), and values in Linux's driver headers.
 */
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { CD, L1CD, L1STD, PTE, PTE1, PTE2, STE } from "../../assembly/layout/smmuv3.ts";
import { parseCapture } from "../../src/capture/capture.ts";
import { describe as fields, type Layout } from "../../src/structure.ts";

function words(capture: string, address: bigint, count: number): bigint[] {
  const at = new URL(`../captures/${capture}`, import.meta.url);
  const json = readFileSync(`${at.pathname}.json`, "utf8");
  const pages = readFileSync(`${at.pathname}.pages.bin`);
  const memory = parseCapture(json, pages, { json: capture, pages: capture }).pages.memory();
  return Array.from({ length: count }, (_, i) => memory.read64(address + BigInt(8 * i)));
}

/** Fields that are not 0, by name. */
function set(layout: Layout, entry: readonly bigint[]): Record<string, bigint> {
  return Object.fromEntries(
    fields(layout, entry)
      .filter(({ value }) => value !== 0n)
      .map(({ name, value }) => [name, value]),
  );
}

describe("structures that Linux wrote", () => {
  it("L1STD: SPLIT = 8, so 256 STEs and Span = 9", () => {
    expect(set(L1STD, words("A-smmu-sva", 0x409f5000n, 1))).toEqual({ Span: 9n, L2Ptr: 0x40ac8000n >> 6n });
  });

  it("STE of a stream with 2^16 CDs in two levels and ATS", () => {
    expect(set(STE, words("A-smmu-sva", 0x40ac8c00n, 8))).toEqual({
      V: 1n,
      Config: 5n,
      S1Fmt: 2n,
      S1ContextPtr: 0x409fe000n >> 6n,
      S1CDMax: 16n,
      // use CD 0 without SubstreamID; write-back, inner shareable
      S1DSS: 2n,
      S1CIR: 1n,
      S1COR: 1n,
      S1CSH: 3n,
      EATS: 1n,
    });
  });

  it("STE with stage 2 only", () => {
    const entry = words("A-smmu-s2", 0x44e46000n, 1);
    const table = ((entry[0] as bigint) >> 6n) << 6n;
    const ste = set(STE, words("A-smmu-s2", table + 32n * 64n, 8));
    expect(ste).toMatchObject({ V: 1n, Config: 6n, S2AA64: 1n, S2R: 1n });
    expect(ste.S2TG).toBeUndefined();
    expect(ste.S2VMID).toBeGreaterThan(0n);
    expect(ste.S2PS).toBe(4n);
    expect(ste.S2T0SZ).toBe(20n);
    expect(ste.S2SL0).toBe(2n);
  });

  it("L1CD and the CD beneath: 48-bit addresses, 4 KiB, recorded and aborted faults", () => {
    expect(set(L1CD, words("A-smmu-sva", 0x409fe0a8n, 1))).toEqual({ V: 1n, L2Ptr: 0x410c0000n >> 12n });
    expect(set(CD, words("A-smmu-sva", 0x410c1000n, 8))).toEqual({
      T0SZ: 16n,
      IR0: 1n,
      OR0: 1n,
      SH0: 3n,
      EPD1: 1n,
      V: 1n,
      IPS: 5n,
      AA64: 1n,
      HD: 1n,
      HA: 1n,
      R: 1n,
      A: 1n,
      ASET: 1n,
      ASID: 9n,
      TTB0: 0x4105e000n >> 4n,
      MAIR0: 0xf404ff44n,
      MAIR1: 0xffffffffn,
    });
  });
});

describe("structures as Linux's headers have them", () => {
  // drivers/iommu/arm/arm-smmu-v3/arm-smmu-v3.h, masks in the words they belong to
  const bit = (field: number, value = 1n): bigint => value << BigInt(field & 63);
  it.each([
    ["STRTAB_STE_0_S1CDMAX", STE.S1CDMax, 0, 0xf800_0000_0000_0000n, 31n],
    ["STRTAB_STE_1_EATS", STE.EATS, 1, 0x3000_0000n, 3n],
    ["STRTAB_STE_1_STRW", STE.STRW, 1, 0xc000_0000n, 3n],
    ["STRTAB_STE_1_SHCFG", STE.SHCFG, 1, 0x3000_0000_0000n, 3n],
    ["STRTAB_STE_1_S1STALLD", STE.S1STALLD, 1, 0x0800_0000n, 1n],
    ["STRTAB_STE_1_S2FWB", STE.S2FWB, 1, 0x0200_0000n, 1n],
    ["STRTAB_STE_1_MEV", STE.MEV, 1, 0x8_0000n, 1n],
    ["STRTAB_STE_2_S2AA64", STE.S2AA64, 2, 0x8_0000_0000_0000n, 1n],
    ["STRTAB_STE_2_S2ENDI", STE.S2ENDI, 2, 0x10_0000_0000_0000n, 1n],
    ["STRTAB_STE_2_S2PTW", STE.S2PTW, 2, 0x40_0000_0000_0000n, 1n],
    ["STRTAB_STE_2_S2S", STE.S2S, 2, 0x200_0000_0000_0000n, 1n],
    ["STRTAB_STE_2_S2R", STE.S2R, 2, 0x400_0000_0000_0000n, 1n],
    ["STRTAB_STE_2_VTCR", STE.S2T0SZ, 2, 0x3f_0000_0000n, 63n],
    ["STRTAB_STE_3_S2TTB_MASK", STE.S2TTB, 3, 0xf_ffff_ffff_fff0n, 0xffff_ffff_ffffn],
    ["CTXDESC_CD_0_TCR_EPD0", CD.EPD0, 0, 0x4000n, 1n],
    ["CTXDESC_CD_0_TCR_TBI0", CD.TBI0, 0, 0x40_0000_0000n, 1n],
    ["CTXDESC_CD_0_S", CD.S, 0, 0x1000_0000_0000n, 1n],
    ["CTXDESC_CD_0_ENDI", CD.ENDI, 0, 0x8000n, 1n],
    ["CTXDESC_CD_1_TTB0_MASK", CD.TTB0, 1, 0xf_ffff_ffff_fff0n, 0xffff_ffff_ffffn],
    // drivers/iommu/io-pgtable-arm.c
    ["ARM_LPAE_PTE_NSTABLE", PTE1.NSTable, 0, 1n << 63n, 1n],
    ["ARM_LPAE_PTE_DBM", PTE.DBM, 0, 1n << 51n, 1n],
    ["ARM_LPAE_PTE_AF", PTE.AF, 0, 1n << 10n, 1n],
    ["ARM_LPAE_PTE_nG", PTE1.nG, 0, 1n << 11n, 1n],
    ["ARM_LPAE_PTE_AP_UNPRIV", PTE1.AP1, 0, 1n << 6n, 1n],
    ["ARM_LPAE_PTE_AP_RDONLY", PTE1.AP2, 0, 2n << 6n, 1n],
    ["ARM_LPAE_PTE_HAP_READ", PTE2.S2AP0, 0, 1n << 6n, 1n],
    ["ARM_LPAE_PTE_HAP_WRITE", PTE2.S2AP1, 0, 2n << 6n, 1n],
    ["ARM_LPAE_PTE_XN", PTE2.XN, 0, 3n << 53n, 3n],
    ["ARM_LPAE_PTE_MEMATTR_DEV", PTE2.MemAttr, 0, 1n << 2n, 1n],
    ["ARM_LPAE_PTE_MEMATTR_OIWB", PTE2.MemAttr, 0, 0xfn << 2n, 0xfn],
  ])("%s", (_, field, word, mask, value) => {
    expect((field & 0xffff) >> 6).toBe(word);
    expect(bit(field, value)).toBe(mask);
  });
});
