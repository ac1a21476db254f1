/** SMMU-050..062: stage 1 translation, permissions and hardware updates, IHI 0070 3.4, 3.13, 5.4; Arm ARM D8. */
import { describe, expect, it } from "vitest";
import type { Request } from "../../src/index.ts";
import { aborts, stage1, translates } from "../support/smmu-expect.ts";
import { REG } from "../support/smmu-fields.ts";
import { CDS, type Expected, hexWords, PA, record, SID, SmmuMachine, TestTables, VA } from "../support/smmu-machine.ts";

const UPPER = 0xffff_0000_0000_0000n;
const AF = 1n << 10n;
const AP2 = 1n << 7n;

describe("Input addresses, IHI 0070 3.4.1", () => {
  it("SMMU-050 VA[55] selects TTB0 or TTB1; the bits between repeat it, else F_TRANSLATION", () => {
    const machine = new SmmuMachine();
    const [low, high] = [machine.tables(12, 40, 0), machine.tables(12, 36, 1)];
    low.map(VA, PA);
    high.map(VA & 0xf_ffff_ffffn, PA + 0x1000n);
    machine.stage1({ TTB0: low.base, T0SZ: 24, TTB1: high.base, T1SZ: 28 });
    const upper = 0xffff_fff0_0000_0000n | (VA & 0xf_ffff_ffffn);
    translates(machine, { address: VA }, PA);
    translates(machine, { address: upper }, PA + 0x1000n);
    for (const bit of [40n, 47n, 54n, 55n, 56n, 63n]) {
      aborts(machine, { address: VA ^ (1n << bit) }, stage1(0x10));
    }
    for (const bit of [36n, 54n, 55n, 56n, 63n]) aborts(machine, { address: upper ^ (1n << bit) }, stage1(0x10));
  });

  it("SMMU-051 TBI0 = 1 lets VA[63:56] be anything; the event has the address as it came", () => {
    const machine = new SmmuMachine();
    const tables = machine.stage1({ TBI0: 1 });
    tables.map(VA, PA);
    tables.map(UPPER & 0xffff_ffff_ffffn, PA);
    translates(machine, { address: VA | (0x12n << 56n) }, PA);
    aborts(machine, { address: (VA + 0x1000n) | (0x12n << 56n) }, stage1(0x10));
    aborts(machine, { address: VA | (1n << 54n) }, stage1(0x10));
    aborts(machine, { address: UPPER ^ (1n << 63n) }, stage1(0x10));
  });
});

describe("Translation tables, Arm ARM D8.2", () => {
  const shapes = [
    { granule: 12, code: 0, sizes: [16, 24, 25, 33, 34, 42, 43, 48], blocks: [1, 2] },
    { granule: 14, code: 2, sizes: [16, 17, 27, 28, 38, 39, 48], blocks: [2] },
    { granule: 16, code: 1, sizes: [16, 21, 22, 34, 35, 47], blocks: [2] },
  ];
  const startOf = (granule: number, tsz: number) => 4 - Math.ceil((64 - tsz - granule) / (granule - 3));

  it.each(shapes)("SMMU-052 granule 2^$granule: every start level; blocks only where there are some", (shape) => {
    const { granule, code, sizes, blocks } = shape;
    const starts = new Set<number>();
    for (const T0SZ of sizes) {
      const start = startOf(granule, T0SZ);
      starts.add(start);
      for (let level = start; level <= 3; level++) {
        const machine = new SmmuMachine();
        const tables = new TestTables(machine, granule, 64 - T0SZ, start);
        const top = 1n << BigInt(63 - T0SZ);
        const block = 1n << BigInt(granule + (3 - level) * (granule - 3));
        const address = (top | 0xabcn) & (2n * top - 1n);
        const target = (0x5678_0000_0000n / block) * block;
        tables.map(address, target, {}, level);
        machine.stage1({ T0SZ, TG0: code, TTB0: tables.base, EPD1: 1 });
        const legal = level === 3 || blocks.includes(level);
        if (legal) {
          const output = target | (address & (block - 1n));
          expect(machine.ask({ address }), `T0SZ ${T0SZ} level ${level}`).toMatchObject({
            ok: true,
            address: output,
            pageSize: block,
          });
        } else aborts(machine, { address }, stage1(0x10));
      }
    }
    expect([...starts].sort()).toEqual(granule === 16 ? [1, 2, 3] : [0, 1, 2, 3]);
  });

  it("SMMU-053 bits 1:0 = 01 at level 3 -> F_TRANSLATION", () => {
    const machine = new SmmuMachine();
    const at = machine.stage1().map(VA, PA);
    machine.store(at, [machine.memory.read64(at) & ~2n]);
    aborts(machine, {}, stage1(0x10));
  });

  it("SMMU-054 a next table beyond IPS -> F_ADDR_SIZE before anything deeper", () => {
    const machine = new SmmuMachine();
    const tables = machine.stage1({ IPS: 0 });
    machine.store(tables.entry(VA, 1), [(1n << 33n) | 3n]);
    aborts(machine, {}, stage1(0x11));
    machine.store(tables.entry(VA, 0), [(1n << 40n) | 3n]);
    aborts(machine, {}, stage1(0x11));
  });

  it("SMMU-055 F_ADDR_SIZE before F_ACCESS before F_PERMISSION", () => {
    const machine = new SmmuMachine();
    const tables = machine.stage1({ IPS: 0 });
    tables.map(VA, PA, { AF: 0, AP: 2 });
    aborts(machine, { access: "w" }, stage1(0x12));
    tables.map(VA, PA, { AF: 1, AP: 2 });
    aborts(machine, { access: "w" }, stage1(0x13));
    tables.map(VA, 1n << 32n, { AF: 0, AP: 2 });
    aborts(machine, { access: "w" }, stage1(0x11));
  });
});

describe("Hardware updates, IHI 0070 3.13", () => {
  it("SMMU-056 AFFD translates and leaves AF = 0; HA sets it", () => {
    const machine = new SmmuMachine();
    const at = machine.stage1({ AFFD: 1 }).map(VA, PA, { AF: 0 });
    const before = machine.memory.read64(at);
    translates(machine, {}, PA);
    expect(machine.memory.read64(at)).toBe(before);
    const updating = new SmmuMachine();
    const leaf = updating.stage1({ HA: 1 }).map(VA, PA, { AF: 0 });
    translates(updating, {}, PA);
    expect(updating.memory.read64(leaf)).toBe(before | AF);
  });

  it("SMMU-057 HD and HA: a write makes a DBM page dirty, a read does not; without HD, F_PERMISSION", () => {
    const machine = new SmmuMachine();
    const at = machine.stage1({ HA: 1, HD: 1 }).map(VA, PA, { AP: 3, DBM: 1 });
    const before = machine.memory.read64(at);
    translates(machine, {}, PA);
    expect(machine.memory.read64(at)).toBe(before);
    translates(machine, { access: "w" }, PA);
    expect(machine.memory.read64(at)).toBe(before & ~AP2);
    const plain = new SmmuMachine();
    const leaf = plain.stage1({ HA: 1 }).map(VA, PA, { AP: 3, DBM: 1 });
    aborts(plain, { access: "w" }, stage1(0x13));
    expect(plain.memory.read64(leaf)).toBe(before);
  });
});

describe("Permissions, Arm ARM D8.4", () => {
  it("SMMU-058 APTable[1] takes writing away at the leaf; HAD0 gives it back", () => {
    for (const HAD0 of [0, 1]) {
      const machine = new SmmuMachine();
      machine.stage1({ HAD0 }).map(VA, PA, {}, 3, { APTable: 2 });
      translates(machine, {}, PA);
      if (HAD0) translates(machine, { access: "w" }, PA);
      else aborts(machine, { access: "w" }, stage1(0x13));
    }
  });

  it("SMMU-059 AP = 00 is for the privileged; PRIVCFG = 3 makes everyone so", () => {
    const machine = new SmmuMachine();
    machine.stage1().map(VA, PA, { AP: 0 });
    aborts(machine, {}, stage1(0x13));
    translates(machine, { privileged: true }, PA);
    machine.setSte({ V: 1, Config: 5, S1ContextPtr: CDS, SHCFG: 1, PRIVCFG: 3 });
    translates(machine, {}, PA);
  });

  it("SMMU-060 PAN keeps privileged data out of what users can reach, not instructions", () => {
    const machine = new SmmuMachine();
    machine.stage1({ PAN: 1 }).map(VA, PA, { AP: 3 });
    aborts(machine, { privileged: true }, stage1(0x13, { privileged: true }));
    translates(machine, { privileged: true, access: "x" }, PA);
    translates(machine, {}, PA);
  });

  it("SMMU-061 UXN, PXN and WXN stop instruction reads; INSTCFG = 2 makes them data", () => {
    const cases = [
      { leaf: { UXN: 1, AP: 3 }, privileged: false },
      { leaf: { PXN: 1, AP: 3 }, privileged: true },
      { leaf: { AP: 1 }, privileged: false, wxn: 1 },
      { leaf: { AP: 1 }, privileged: true },
    ];
    for (const { leaf, privileged, wxn } of cases) {
      const machine = new SmmuMachine();
      machine.stage1({ WXN: wxn ?? 0 }).map(VA, PA, leaf);
      aborts(machine, { access: "x", privileged }, stage1(0x13, { privileged, instruction: true }));
      translates(machine, { access: "r", privileged }, PA);
      machine.setSte({ V: 1, Config: 5, S1ContextPtr: CDS, SHCFG: 1, INSTCFG: 2 });
      translates(machine, { access: "x", privileged }, PA);
    }
  });

  it("SMMU-062 PnU and InD of a record follow the overrides; a write has InD = 0", () => {
    const expectRecord = (machine: SmmuMachine, request: Partial<Request>, more: Partial<Expected>) => {
      machine.ask(request);
      const full = { sid: SID, address: VA, ...request };
      expect(machine.events().map(hexWords)).toEqual([hexWords(record(full, stage1(0x10, more)))]);
    };
    const machine = new SmmuMachine();
    machine.stage1();
    expectRecord(machine, { access: "x", privileged: true }, { privileged: true, instruction: true });
    expectRecord(machine, { access: "w", privileged: true }, { privileged: true });
    machine.setSte({ V: 1, Config: 5, S1ContextPtr: CDS, SHCFG: 1, PRIVCFG: 2, INSTCFG: 2 });
    expectRecord(machine, { access: "x", privileged: true }, {});
    machine.setSte({ V: 1, Config: 5, S1ContextPtr: CDS, SHCFG: 1, PRIVCFG: 3, INSTCFG: 3 });
    expectRecord(machine, { access: "r" }, { privileged: true, instruction: true });
    expectRecord(machine, { access: "w" }, { privileged: true });
    expect(machine.read(REG.GERROR)).toBe(0);
  });
});
