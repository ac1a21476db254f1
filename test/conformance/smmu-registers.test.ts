/** SMMU-001..012: registers of pages 0 and 1, IHI 0070 chapter 6. */
import { describe, expect, it } from "vitest";
import { aborts } from "../support/smmu-expect.ts";
import { CR0, OP, REG, STE, words } from "../support/smmu-fields.ts";
import { CMDQ, EVENTQ, IDS, RAM, SmmuMachine, STREAMS, VA } from "../support/smmu-machine.ts";

const UPDATE = 0x8000_0000;
const ABORT = 1 << 20;

/** A value written to a 32-bit register while it is locked, and what it reads then. */
function locked(machine: SmmuMachine, offset: number, value: number): void {
  const before = machine.read(offset);
  expect(value >>> 0).not.toBe(before);
  machine.write(offset, value);
  expect(machine.read(offset)).toBe(before);
}

function locked64(machine: SmmuMachine, offset: number, value: bigint): void {
  const before = machine.read64(offset);
  machine.write64(offset, value);
  machine.write(offset, Number(value & 0xffff_ffffn));
  expect(machine.read64(offset)).toBe(before);
}

describe("Reset and enables", () => {
  it("SMMU-001 CR0, CR0ACK, GERROR, GERRORN, IRQ_CTRL, IRQ_CTRLACK read 0 after reset; GBPA.Update = 0", () => {
    const machine = new SmmuMachine();
    machine.write(REG.IRQ_CTRL, 5);
    machine.command(0x7f);
    expect(machine.read(REG.GERROR)).toBe(1);
    machine.smmu.reset();
    for (const offset of [REG.CR0, REG.CR0ACK, REG.GERROR, REG.GERRORN, REG.IRQ_CTRL, REG.IRQ_CTRLACK]) {
      expect(machine.read(offset)).toBe(0);
    }
    expect(machine.read(REG.GBPA) >>> 31).toBe(0);
  });

  it("SMMU-002 CR0ACK follows CR0, without bits that are not there", () => {
    const machine = new SmmuMachine({ off: true, ids: { IDR0: IDS.IDR0 & ~(1 << 16) & ~(1 << 10) & ~(1 << 11) } });
    machine.write(REG.CR0, CR0.CMDQEN);
    expect(machine.read(REG.CR0ACK)).toBe(CR0.CMDQEN);
    machine.write(REG.CR0, 0xffff_ffff);
    expect(machine.read(REG.CR0ACK)).toBe(CR0.SMMUEN | CR0.EVENTQEN | CR0.CMDQEN);
    machine.write(REG.CR0, 0);
    expect(machine.read(REG.CR0ACK)).toBe(0);
  });
});

describe("Guards", () => {
  it("SMMU-003 SMMUEN = 1 locks STRTAB_BASE, STRTAB_BASE_CFG, CR2 and CR1.TABLE_*", () => {
    const machine = new SmmuMachine();
    locked64(machine, REG.STRTAB_BASE, RAM + 0x10_0000n);
    locked(machine, REG.STRTAB_BASE_CFG, 4);
    locked(machine, REG.CR2, 7);
    locked(machine, REG.CR1, 0xfc0);
    machine.write(REG.CR0, 0);
    machine.write64(REG.STRTAB_BASE, RAM + 0x10_0000n);
    machine.write(REG.CR1, 0xd75);
    expect(machine.read64(REG.STRTAB_BASE)).toBe(RAM + 0x10_0000n);
    expect(machine.read(REG.CR1)).toBe(0xd75);
  });

  it("SMMU-004 CMDQEN = 1 locks CMDQ_BASE and CMDQ_CONS, not CMDQ_PROD", () => {
    const machine = new SmmuMachine();
    locked64(machine, REG.CMDQ_BASE, RAM + 0x10_0004n);
    locked(machine, REG.CMDQ_CONS, 3);
    machine.sync();
    expect(machine.read(REG.CMDQ_PROD)).toBe(1);
    expect(machine.read(REG.CMDQ_CONS)).toBe(1);
  });

  it("SMMU-005 EVENTQEN = 1 locks EVENTQ_BASE and EVENTQ_PROD, not EVENTQ_CONS", () => {
    const machine = new SmmuMachine();
    locked64(machine, REG.EVENTQ_BASE, RAM + 0x10_0004n);
    locked(machine, REG.EVENTQ_PROD, 3);
    machine.write(REG.EVENTQ_CONS, 3);
    expect(machine.read(REG.EVENTQ_CONS)).toBe(3);
  });

  it("SMMU-006 an interrupt that is enabled locks its IRQ_CFG0, 1 and 2", () => {
    const sources = [
      [1, REG.GERROR_IRQ_CFG0, REG.GERROR_IRQ_CFG1, REG.GERROR_IRQ_CFG2],
      [4, REG.EVENTQ_IRQ_CFG0, REG.EVENTQ_IRQ_CFG1, REG.EVENTQ_IRQ_CFG2],
      [2, REG.PRIQ_IRQ_CFG0, REG.PRIQ_IRQ_CFG1, REG.PRIQ_IRQ_CFG2],
    ] as const;
    for (const [enable, address, data, attributes] of sources) {
      const machine = new SmmuMachine();
      machine.write64(address, RAM + 0x4000n);
      machine.write(data, 0x55);
      machine.write(attributes, 0x1f);
      machine.write(REG.IRQ_CTRL, enable);
      expect(machine.read(REG.IRQ_CTRLACK)).toBe(enable);
      locked64(machine, address, RAM + 0x8000n);
      locked(machine, data, 0x66);
      locked(machine, attributes, 0x2e);
      machine.write(REG.IRQ_CTRL, 0);
      machine.write(data, 0x66);
      expect(machine.read(data)).toBe(0x66);
      expect(machine.read64(address)).toBe(RAM + 0x4000n);
    }
  });
});

describe("GBPA", () => {
  it("SMMU-007 a write without Update is ignored; with it, Update clears itself and ABORT governs", () => {
    const machine = new SmmuMachine({ off: true });
    machine.write(REG.GBPA, UPDATE | 0x1000);
    machine.write(REG.GBPA, ABORT);
    expect(machine.read(REG.GBPA)).toBe(0x1000);
    expect(machine.ask().ok).toBe(true);
    machine.write(REG.GBPA, UPDATE | ABORT);
    expect(machine.read(REG.GBPA)).toBe(ABORT);
    aborts(machine, {});
  });

  it("SMMU-008 SMMUEN = 0: ABORT aborts, else the address passes up to OAS; never an event", () => {
    const machine = new SmmuMachine({ off: true });
    machine.write(REG.GBPA, UPDATE | ABORT);
    aborts(machine, {});
    machine.write(REG.GBPA, UPDATE);
    expect(machine.ask({ pasid: 3 })).toMatchObject({ ok: true, address: VA, bypass: true });
    expect(machine.ask({ address: 0xffff_ffff_ffffn }).ok).toBe(true);
    aborts(machine, { address: 1n << 48n });
  });
});

describe("Sizes", () => {
  it("SMMU-009 LOG2SIZE beyond SIDSIZE acts as SIDSIZE and reads as written; SPLIT = 7 acts as 6", () => {
    const machine = new SmmuMachine({ off: true, ids: { IDR1: (IDS.IDR1 & ~0x3f) | 8 } });
    const l1 = machine.allocate(20);
    const leaf = machine.allocate(12);
    const config = 20 | (7 << 6) | (1 << 16);
    machine.write64(REG.STRTAB_BASE, l1);
    machine.write(REG.STRTAB_BASE_CFG, config);
    expect(machine.read(REG.STRTAB_BASE_CFG)).toBe(config);
    machine.store(leaf + 64n * 5n, words(STE, 8, { V: 1, Config: 4, SHCFG: 1 }));
    machine.store(l1 + 8n * 2n, [leaf | 7n]);
    machine.store(l1 + 8n * 4n, [leaf | 7n]);
    machine.write(REG.CR0, CR0.CMDQEN | CR0.EVENTQEN | CR0.SMMUEN);
    expect(machine.ask({ sid: 2 * 64 + 5 }).ok).toBe(true);
    aborts(machine, { sid: 4 * 64 + 5 }, { code: 0x02 });
  });

  it("SMMU-010 queues are as long as IDR1 allows at most, and BASE reads as written", () => {
    const small = { IDR1: (IDS.IDR1 & ~0x3ff_0000) | (2 << 21) | (1 << 16) };
    const machine = new SmmuMachine({ ids: small, off: true });
    machine.write(REG.CR0, 0);
    machine.write64(REG.CMDQ_BASE, CMDQ | 7n);
    machine.write64(REG.EVENTQ_BASE, EVENTQ | 7n);
    expect(machine.read64(REG.CMDQ_BASE)).toBe(CMDQ | 7n);
    expect(machine.read64(REG.EVENTQ_BASE)).toBe(EVENTQ | 7n);
    machine.write(REG.CR0, CR0.CMDQEN | CR0.EVENTQEN | CR0.SMMUEN);
    for (let n = 0; n < 4; n++) machine.store(CMDQ + BigInt(16 * n), [BigInt(OP.SYNC), 0n]);
    machine.write(REG.CMDQ_PROD, 4);
    expect(machine.read(REG.CMDQ_CONS)).toBe(4);
    machine.write(REG.CMDQ_PROD, 5);
    expect(machine.read(REG.CMDQ_CONS)).toBe(5);
    for (let n = 0; n < 3; n++) machine.ask({ sid: 1 });
    // Two records fit; the third overflows.
    expect(machine.read(REG.EVENTQ_PROD)).toBe(0x8000_0002);
  });

  it("SMMU-011 CIDR reads 0D F0 05 B1; nothing is preset", () => {
    const machine = new SmmuMachine();
    expect([0, 4, 8, 12].map((offset) => machine.read(REG.CIDR0 + offset))).toEqual([0x0d, 0xf0, 0x05, 0xb1]);
    expect(machine.read(REG.IDR0)).toBe(IDS.IDR0);
    expect(machine.read(REG.IDR1)).toBe(IDS.IDR1);
    expect(machine.read(REG.IDR1) >>> 28).toBe(0);
  });

  it("SMMU-012 STRTAB_BASE is writable in halves; queue indexes lie in page 1", () => {
    const machine = new SmmuMachine({ off: true });
    machine.write(REG.STRTAB_BASE + 4, 0x4000_0001);
    expect(machine.read64(REG.STRTAB_BASE)).toBe(0x4000_0001_0000_0000n | STREAMS);
    machine.write(REG.STRTAB_BASE, 0x1234_5600);
    expect(machine.read64(REG.STRTAB_BASE)).toBe(0x4000_0001_1234_5600n);
    machine.write(REG.CR0, 0);
    for (const offset of [REG.EVENTQ_PROD, REG.EVENTQ_CONS, REG.PRIQ_PROD, REG.PRIQ_CONS]) {
      machine.write(offset, 5);
      expect(machine.read(offset)).toBe(5);
    }
  });
});
