import { describe, expect, it } from "vitest";
import { SMMU_PRESETS, type SmmuFeatures, smmuFeatures } from "../../src/index.ts";
import { isIllegal } from "../../src/smmuv3/commands.ts";
import { smmuCommandName } from "../../src/smmuv3/index.ts";
import { tlbInvalidation } from "../../src/smmuv3/invalidation.ts";

describe("legality of commands, IHI 0070 4.1.3", () => {
  const all = smmuFeatures();
  const both = { ...all };
  const illegal = (features: SmmuFeatures, low: bigint, high = 0n): boolean => isIllegal([low, high], features);
  const without = (change: Partial<SmmuFeatures>): SmmuFeatures => smmuFeatures(change);

  it("every opcode is legal where it is implemented, and nothing else is", () => {
    const legal = Array.from({ length: 256 }, (_, op) => op).filter((op) => !illegal(both, BigInt(op)));
    expect(legal).toEqual([
      0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x10, 0x11, 0x12, 0x13, 0x20, 0x21, 0x22, 0x23, 0x28, 0x2a, 0x30, 0x40, 0x41,
      0x44, 0x45, 0x46,
    ]);
  });

  it.each<[string, SmmuFeatures, number[]]>([
    ["stage 1", without({ S1P: 0 }), [0x05, 0x06, 0x10, 0x11, 0x12, 0x13, 0x20, 0x21, 0x22, 0x23]],
    ["stage 2", without({ S2P: 0 }), [0x28, 0x2a]],
    ["EL2", without({ S2P: 0, HYP: 0 }), [0x20, 0x21, 0x22, 0x23, 0x28, 0x2a]],
    ["ATS", without({ ATS: 0 }), [0x40, 0x41]],
    ["PRI", without({ PRI: 0 }), [0x41]],
    ["stalls", without({ STALL_MODEL: 1 }), [0x44, 0x45]],
    ["anything optional", SMMU_PRESETS.qemu, [0x20, 0x21, 0x22, 0x23, 0x40, 0x41, 0x44, 0x45]],
  ])("SMMU-081 without %s", (_, features, gone) => {
    const now = Array.from({ length: 256 }, (_, op) => op).filter(
      (op) => illegal(features, BigInt(op)) && !illegal(both, BigInt(op)),
    );
    expect(now).toEqual(gone);
  });

  it("SSec = 1, where the command has it", () => {
    const withSsec = [0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x40, 0x41, 0x44, 0x45];
    for (const op of withSsec) expect(illegal(both, BigInt(op) | (1n << 10n)), String(op)).toBe(true);
    for (const op of [0x10, 0x30, 0x46]) expect(illegal(both, BigInt(op) | (1n << 10n)), String(op)).toBe(false);
  });

  it("SMMU-080 reserved values", () => {
    expect(illegal(both, 0x46n | (3n << 12n))).toBe(true);
    expect(illegal(both, 0x41n, 3n << 12n)).toBe(true);
    expect(illegal(both, 0x41n, 2n << 12n)).toBe(false);
    expect(illegal(both, 0x40n, 52n)).toBe(false);
    expect(illegal(both, 0x40n, 53n)).toBe(true);
  });

  it("SMMU-079 a granule without a range and a level", () => {
    const tg = (value: bigint, ttl: bigint): bigint => (value << 10n) | (ttl << 8n);
    for (const op of [0x12n, 0x13n, 0x22n, 0x23n, 0x2an]) {
      expect(illegal(both, op, tg(1n, 0n))).toBe(true);
      expect(illegal(both, op, tg(1n, 1n))).toBe(false);
      expect(illegal(both, op, tg(0n, 1n))).toBe(false);
      // 16 KiB has no level 1: TTL = 1 acts as 0.
      expect(illegal(both, op, tg(2n, 1n))).toBe(true);
      expect(illegal(both, op | (1n << 12n), tg(1n, 0n))).toBe(false);
      expect(illegal(both, op | (1n << 20n), tg(1n, 0n))).toBe(false);
      // Without range invalidation the fields mean nothing.
      expect(illegal(without({ RIL: 0, ArchMinorRev: 1 }), op, tg(1n, 0n))).toBe(false);
    }
  });

  it("names", () => {
    expect([
      smmuCommandName([0x04n, 31n]),
      smmuCommandName([0x04n, 3n]),
      smmuCommandName([0x2an, 0n]),
      smmuCommandName([0x99n, 0n]),
    ]).toEqual(["CMD_CFGI_ALL", "CMD_CFGI_STE_RANGE", "CMD_TLBI_S2_IPA", ""]);
  });
});

describe("range invalidation, IHI 0070 4.4.1", () => {
  const all = smmuFeatures();
  it("one address, whatever holds it", () => {
    // As Linux sends it: VMID 0, ASID 7, leaf, address 0x18000.
    expect(tlbInvalidation([0x0007_0000_0000_0012n, 0x1_8001n], all, 0)).toEqual({
      opcode: 0x12,
      vmid: 0,
      vmidMask: 0xffff,
      asid: 7,
      first: 0x1_8000n,
      last: 0x1_8000n,
      leaf: true,
      tg: 0,
      ttl: 0,
    });
  });
  it("SMMU-079 (NUM + 1) * 2^SCALE granules, with level", () => {
    // As Linux sent it for 16 KiB: NUM 0, SCALE 2, TG 4K, TTL 3.
    expect(tlbInvalidation([0x7_0000_0020_0012n, 0x1_8701n], all, 0)).toMatchObject({
      asid: 7,
      first: 0x1_8000n,
      last: 0x1_bfffn,
      tg: 1,
      ttl: 3,
      leaf: true,
    });
    expect(tlbInvalidation([0x12n | (31n << 12n) | (31n << 20n), (3n << 10n) | 0x1_2000n], all, 0)).toMatchObject({
      first: 0x1_0000n,
      last: 0x1_0000n + 32n * 2n ** 31n * 0x1_0000n - 1n,
      tg: 3,
    });
  });
  it("stops at the top of the address space", () => {
    const { first, last } = tlbInvalidation([0x12n | (31n << 20n), 0xffff_ffff_ffff_f400n], all, 0);
    expect([first, last]).toEqual([0xffff_ffff_ffff_f000n, 0xffff_ffff_ffff_ffffn]);
  });
  it("without RIL is one address", () => {
    const old = smmuFeatures({ RIL: 0, ArchMinorRev: 1 });
    expect(tlbInvalidation([0x12n | (5n << 12n), 0x1_8700n], old, 0)).toMatchObject({
      first: 0x1_8000n,
      last: 0x1_8000n,
      tg: 0,
      ttl: 0,
    });
  });
  it("an IPA has 52 bits", () => {
    expect(tlbInvalidation([0x2an, 0xfff0_0000_0000_1001n], all, 0)).toMatchObject({
      first: 0x1000n,
      last: 0x1000n,
      leaf: true,
    });
  });
  it("VMIDs: 8 or 16 bits, wildcards, or none at all", () => {
    const command = [(0x1234n << 32n) | 0x10n, 0n];
    expect(tlbInvalidation(command, all, 0)).toMatchObject({ vmid: 0x1234, vmidMask: 0xffff });
    expect(tlbInvalidation(command, all, 4)).toMatchObject({ vmid: 0x1234, vmidMask: 0xfff0 });
    expect(tlbInvalidation(command, smmuFeatures({ VMID16: 0 }), 1)).toMatchObject({ vmidMask: 0xfe });
    expect(tlbInvalidation(command, smmuFeatures({ S2P: 0 }), 0)).toMatchObject({ vmidMask: 0 });
  });
});
