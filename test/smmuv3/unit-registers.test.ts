import { describe, expect, it } from "vitest";
import { GuestMemory, SMMU_PRESETS, smmuFeatures } from "../../src/index.ts";
import { idRegisters } from "../../src/smmuv3/features.ts";
import { Smmuv3 } from "../../src/smmuv3/index.ts";
import {
  ALL_QUEUES,
  CMDQEN,
  EVENTQEN,
  FREE,
  PRIQEN,
  R,
  SMMUEN,
  SmmuBench,
  STE_BYPASS,
  STRTAB,
} from "../support/smmu-bench.ts";

const off = (options = {}) => new SmmuBench({ cr0: 0, ...options });
const ONES32 = 0xffff_ffff;
const ONES64 = 0xffff_ffff_ffff_ffffn;

describe("SMMU registers, IHI 0070 6.3", () => {
  it("SMMU-001 read 0 after reset, as far as the architecture says so", () => {
    const memory = new GuestMemory({ ram: [{ base: 0n, size: 0x1000n }] });
    const smmu = new Smmuv3(memory);
    for (const offset of [R.CR0, R.CR0ACK, R.GERROR, R.GERRORN, R.IRQ_CTRL, R.IRQ_CTRLACK]) {
      expect(smmu.mmio.read(offset, 4)).toBe(0n);
    }
    expect(smmu.mmio.read(R.GBPA, 4)).toBe(0x1000n);
  });

  it("SMMU-011 identify the component, the peripheral as IIDR has it", () => {
    const identities = (ids: object) => {
      const bench = off(ids);
      return [R.PIDR4, R.PIDR0, R.CIDR0].map((at) => [0, 4, 8, 12].map((offset) => bench.read(at + offset)));
    };
    // An MMU-600 r2p2, as the register map of Agilex 5 has it; REVAND as Linux's SMMUv3 PMU driver takes it.
    const [high, low, component] = identities({ ids: { ...idRegisters(smmuFeatures()), IIDR: 0x4832_243b } });
    expect(high).toEqual([0x04, 0, 0, 0]);
    expect(low).toEqual([0x83, 0xb4, 0x2b, 0x20]);
    expect(component).toEqual([0x0d, 0xf0, 0x05, 0xb1]);
    // Nobody made the default one; JEDEC reads 1 nevertheless.
    expect(identities({})).toEqual([[0, 0, 0, 0], [0, 0, 8, 0], component]);
  });

  it("SMMU-002 CR0 acknowledges what is implemented, and nothing else", () => {
    const all = off();
    all.write(R.CR0, ONES32);
    expect([all.read(R.CR0), all.read(R.CR0ACK)]).toEqual([0x1f, 0x1f]);
    const qemu = off({ features: SMMU_PRESETS.qemu });
    qemu.write(R.CR0, ONES32);
    expect([qemu.read(R.CR0), qemu.read(R.CR0ACK)]).toEqual([0xd, 0xd]);
    qemu.write(R.CR0ACK, 0);
    expect(qemu.read(R.CR0ACK)).toBe(0xd);
  });

  it("in steps, an update waits for acknowledge(), and is in effect only then", () => {
    const bench = off({ updates: "stepped" });
    bench.write(R.CR0, SMMUEN);
    expect(bench.read(R.CR0ACK)).toBe(0);
    expect(bench.smmu.translate({ sid: 3, address: 0x1000n }).ok).toBe(true);
    expect(bench.smmu.acknowledge()).toBe(true);
    expect(bench.read(R.CR0ACK)).toBe(SMMUEN);
    expect(bench.smmu.translate({ sid: 3, address: 0x1000n }).ok).toBe(false);
    expect(bench.smmu.acknowledge()).toBe(false);
  });

  const guards: [string, number, number, 4 | 8, readonly number[]][] = [
    ["SMMU-003 STRTAB_BASE", R.STRTAB_BASE, SMMUEN, 8, []],
    ["SMMU-003 STRTAB_BASE_CFG", R.STRTAB_BASE_CFG, SMMUEN, 4, []],
    ["SMMU-003 CR2", R.CR2, SMMUEN, 4, []],
    ["SMMU-004 CMDQ_BASE", R.CMDQ_BASE, CMDQEN, 8, []],
    ["SMMU-004 CMDQ_CONS", R.CMDQ_CONS, CMDQEN, 4, []],
    ["SMMU-005 EVENTQ_BASE", R.EVENTQ_BASE, EVENTQEN, 8, []],
    ["SMMU-005 EVENTQ_PROD", R.EVENTQ_PROD, EVENTQEN, 4, []],
    ["PRIQ_BASE", R.PRIQ_BASE, PRIQEN, 8, []],
    ["PRIQ_PROD", R.PRIQ_PROD, PRIQEN, 4, []],
  ];
  it.each(guards)(
    "%s keeps its value while it is in use, until the enable is off and acknowledged",
    (_, offset, enable, bytes) => {
      const bench = off({ updates: "stepped" });
      const before = bench.smmu.mmio.read(offset, bytes);
      bench.enable(enable);
      bench.smmu.mmio.write(offset, bytes, ONES64);
      expect(bench.smmu.mmio.read(offset, bytes)).toBe(before);
      bench.write(R.CR0, 0);
      bench.smmu.mmio.write(offset, bytes, ONES64);
      expect(bench.smmu.mmio.read(offset, bytes)).toBe(before);
      bench.smmu.acknowledge();
      bench.smmu.mmio.write(offset, bytes, ONES64);
      expect(bench.smmu.mmio.read(offset, bytes)).not.toBe(before);
    },
  );

  it("SMMU-003 CR1: table attributes are locked by SMMUEN, queue attributes by any queue", () => {
    const bench = off();
    bench.write(R.CR1, ONES32);
    expect(bench.read(R.CR1)).toBe(0xfff);
    bench.enable(SMMUEN);
    bench.write(R.CR1, 0);
    expect(bench.read(R.CR1)).toBe(0xfc0);
    bench.write(R.CR1, 0x3f);
    bench.enable(EVENTQEN);
    bench.write(R.CR1, 0);
    expect(bench.read(R.CR1)).toBe(0x3f);
  });

  it("SMMU-004 and SMMU-005 queue indexes that belong to software stay writable", () => {
    const bench = off();
    bench.enable(ALL_QUEUES);
    bench.write(R.CMDQ_PROD, 0);
    bench.write(R.EVENTQ_CONS, 0x8000_0003);
    bench.write(R.PRIQ_CONS, 0x8000_0005);
    expect([bench.read(R.EVENTQ_CONS), bench.read(R.PRIQ_CONS)]).toEqual([0x8000_0003, 0x8000_0005]);
  });

  it.each([
    ["GERROR", 1, R.GERROR_IRQ_CFG0, R.GERROR_IRQ_CFG1, R.GERROR_IRQ_CFG2, 0x3f],
    ["PRIQ", 2, R.PRIQ_IRQ_CFG0, R.PRIQ_IRQ_CFG1, R.PRIQ_IRQ_CFG2, 0x8000_003f],
    ["EVENTQ", 4, R.EVENTQ_IRQ_CFG0, R.EVENTQ_IRQ_CFG1, R.EVENTQ_IRQ_CFG2, 0x3f],
  ])(
    "SMMU-006 %s_IRQ_CFGn keep their values while the interrupt is enabled",
    (_, enable, cfg0, cfg1, cfg2, attributes) => {
      const bench = off();
      const read = () => [bench.read64(cfg0), bench.read(cfg1), bench.read(cfg2)];
      const writeAll = () => {
        bench.write64(cfg0, ONES64);
        bench.write(cfg1, ONES32);
        bench.write(cfg2, ONES32);
      };
      bench.write(R.IRQ_CTRL, enable);
      expect(bench.read(R.IRQ_CTRLACK)).toBe(enable);
      writeAll();
      expect(read()).toEqual([0n, 0, 0]);
      bench.write(R.IRQ_CTRL, 0);
      writeAll();
      expect(read()).toEqual([0x000f_ffff_ffff_fffcn, ONES32, attributes]);
    },
  );

  it("registers of features that are not there are RAZ/WI", () => {
    const bench = off({ features: SMMU_PRESETS.qemu });
    for (const offset of [
      R.PRIQ_BASE,
      R.PRIQ_IRQ_CFG0,
      R.EVENTQ_IRQ_CFG0,
      0x100,
      0x108,
      0x180,
      0x8000,
      0x8020,
      0x1_0000,
    ]) {
      bench.write64(offset, ONES64);
      expect(bench.read64(offset)).toBe(0n);
    }
    bench.write(R.IRQ_CTRL, ONES32);
    expect(bench.read(R.IRQ_CTRL)).toBe(5);
  });

  it("address fields are as wide as the version has them, hints are kept, the rest is RES0", () => {
    const newer = off();
    newer.write64(R.STRTAB_BASE, ONES64);
    newer.write64(R.CMDQ_BASE, ONES64);
    expect([newer.read64(R.STRTAB_BASE), newer.read64(R.CMDQ_BASE)]).toEqual([
      0x400f_ffff_ffff_ffc0n,
      0x400f_ffff_ffff_ffffn,
    ]);
    const older = off({ features: SMMU_PRESETS.gem5 });
    older.write64(R.STRTAB_BASE, ONES64);
    expect(older.read64(R.STRTAB_BASE)).toBe(0x4000_ffff_ffff_ffc0n);
  });

  it("SMMU-012 halves of 64-bit registers are written one by one", () => {
    const bench = off();
    bench.write(R.STRTAB_BASE, 0x1234_5640);
    bench.write(R.STRTAB_BASE + 4, 0x4000_0001);
    expect(bench.read64(R.STRTAB_BASE)).toBe(0x4000_0001_1234_5640n);
  });

  it("SMMU-012 page 0 has the aliases of the queue indexes, the rest of page 1 is empty", () => {
    const bench = off();
    bench.write(0xac, 7);
    expect([bench.read(0xac), bench.read(R.EVENTQ_CONS)]).toEqual([7, 7]);
    bench.write(0x1_0020, SMMUEN);
    expect([bench.read(0x1_0020), bench.read(R.CR0)]).toEqual([0, 0]);
  });

  it("accesses that are none read 0, write nothing and throw nothing", () => {
    const bench = off();
    for (const [offset, bytes] of [
      [R.CR2, 1],
      [R.CR2 + 1, 4],
      [R.CR2, 2],
      [-4, 4],
      [0x2_0000, 4],
      [0x84, 8],
      [Number.NaN, 4],
      [R.CR2, 16],
    ] as const) {
      const before = bench.read(R.CR2);
      bench.smmu.mmio.write(offset, bytes, ONES64);
      expect(bench.smmu.mmio.read(offset, bytes)).toBe(0n);
      expect(bench.read(R.CR2)).toBe(before);
    }
  });

  it("SMMU-011 identification", () => {
    const bench = off();
    expect([0xff0, 0xff4, 0xff8, 0xffc].map((offset) => bench.read(offset))).toEqual([0x0d, 0xf0, 0x05, 0xb1]);
    expect([bench.read(R.IDR0), bench.read(R.IDR1), bench.read(R.IDR3), bench.read(R.IDR5)]).toEqual([
      0x084d369b, 0x0def5510, 0x1714, 0x00200075,
    ]);
    bench.write(R.IDR0, 0);
    expect(bench.read(R.IDR0)).toBe(0x084d369b);
  });
});

describe("GBPA, IHI 0070 6.3.14", () => {
  it("SMMU-007 is written with Update = 1 only, which clears itself", () => {
    const bench = off();
    bench.write(R.GBPA, 0x10_0000);
    expect(bench.read(R.GBPA)).toBe(0x1000);
    bench.write(R.GBPA, 0x8010_0000);
    expect(bench.read(R.GBPA)).toBe(0x10_0000);
    expect(bench.smmu.translate({ sid: 1, address: 0n })).toMatchObject({ ok: false, answer: "abort", code: 0 });
  });

  it("while an update is pending, reads what was written and takes no other", () => {
    const bench = off({ updates: "stepped" });
    bench.write(R.GBPA, 0x8010_0000);
    expect(bench.read(R.GBPA)).toBe(0x8010_0000);
    expect(bench.smmu.translate({ sid: 1, address: 0n }).ok).toBe(true);
    bench.write(R.GBPA, 0x8000_0000);
    expect(bench.read(R.GBPA)).toBe(0x8010_0000);
    expect(bench.smmu.acknowledge()).toBe(true);
    expect(bench.read(R.GBPA)).toBe(0x10_0000);
    expect(bench.smmu.translate({ sid: 1, address: 0n }).ok).toBe(false);
  });

  it("SMMU-008 governs traffic while SMMUEN = 0", () => {
    const bench = off();
    expect(bench.smmu.translate({ sid: 1, address: 0x1234n })).toMatchObject({
      ok: true,
      address: 0x1234n,
      bypass: true,
    });
    expect(bench.smmu.translate({ sid: 1, address: 1n << 48n })).toMatchObject({ ok: false, answer: "abort", code: 0 });
  });
});

describe("stream table base, IHI 0070 6.3.23", () => {
  it("SMMU-009 is aligned to the table by the LOG2SIZE written, StreamIDs are limited by SIDSIZE", () => {
    const bench = off();
    bench.write64(R.STRTAB_BASE, STRTAB | 0x40n);
    bench.write(R.STRTAB_BASE_CFG, 6);
    bench.enable(SMMUEN | EVENTQEN);
    bench.ste(3, STE_BYPASS);
    expect(bench.smmu.translate({ sid: 3, address: 0x1000n }).ok).toBe(true);
    bench.enable(0);
    bench.write64(R.STRTAB_BASE, 0x4000_0000n);
    bench.write(R.STRTAB_BASE_CFG, 20);
    expect(bench.read(R.STRTAB_BASE_CFG)).toBe(20);
    bench.enable(SMMUEN | EVENTQEN);
    bench.smmu.translate({ sid: 0x1_0000, address: 0n });
    expect(bench.events().map(([word]) => word)).toEqual([0x1_0000_0000_0002n + (0n << 32n)]);
  });
});

describe("two-level stream tables, IHI 0070 6.3.24", () => {
  it("SMMU-009 SPLIT = 7 behaves as 6", () => {
    const bench = off();
    // L1STD 1 leads to StreamIDs 64 up: Span 7, 64 STEs.
    bench.store(STRTAB, 0n, FREE | 7n);
    bench.store(FREE + 64n, STE_BYPASS, 0n);
    bench.write(R.STRTAB_BASE_CFG, (1 << 16) | (7 << 6) | 8);
    expect(bench.read(R.STRTAB_BASE_CFG)).toBe((1 << 16) | (7 << 6) | 8);
    bench.enable(SMMUEN | EVENTQEN);
    expect(bench.smmu.translate({ sid: 65, address: 0x1000n }).ok).toBe(true);
    expect(bench.smmu.translate({ sid: 1, address: 0x1000n })).toMatchObject({ name: "C_BAD_STREAMID" });
  });
});

describe("describe()", () => {
  it("prints registers, queues and choices", () => {
    const text = off().smmu.describe();
    for (const part of ["STRTAB_BASE_CFG", "LOG2SIZE", "CMDQ", "0 transactions", "4.5.1 CMD_ATC_INV.Size above 52"]) {
      expect(text).toContain(part);
    }
  });
});
