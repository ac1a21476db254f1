/** SMMU-077..083: invalidation, CMD_SYNC, illegal commands, live edits, IHI 0070 chapter 4, 3.21. */
import { describe, expect, it } from "vitest";
import { updateSmmuSte } from "../../src/smmuv3/index.ts";
import { aborts, stage1, translates } from "../support/smmu-expect.ts";
import { type COMMAND, OP, REG, STE, type Values, words } from "../support/smmu-fields.ts";
import {
  CDS,
  DEFAULT_CD,
  DEFAULT_STAGE2,
  IDS,
  PA,
  RAM,
  SID,
  SmmuMachine,
  STREAMS,
  VA,
} from "../support/smmu-machine.ts";

const GLOBAL = VA + 0x10_0000n;
const OTHER_PA = PA + 0x10_0000n;
const CERROR_ILL = 1;

/** An ASID-tagged and a global page, both used, then changed without an invalidation. */
function stale(ste: Values<typeof STE> = {}) {
  const machine = new SmmuMachine();
  const tables = machine.stage1({ ASID: 7 }, { S2VMID: 3, ...ste });
  tables.map(VA, PA, { nG: 1 });
  tables.map(GLOBAL, PA + 0x1000n, { nG: 0 });
  const use = () => [VA, GLOBAL].map((address) => machine.ask({ address }));
  use();
  tables.map(VA, OTHER_PA, { nG: 1 });
  tables.map(GLOBAL, OTHER_PA + 0x1000n, { nG: 0 });
  /** Which of the two still gives its old address. */
  const isOld = () => use().map((outcome) => outcome.ok && outcome.address < OTHER_PA);
  return { machine, isOld };
}

function isOldAfter(Opcode: number, values: Values<typeof COMMAND> = {}): boolean[] {
  const { machine, isOld } = stale();
  machine.command(Opcode, values);
  machine.sync();
  return isOld();
}

function illegal(Opcode: number, values: Values<typeof COMMAND> = {}, ids: Partial<typeof IDS> | object = {}): void {
  const machine = new SmmuMachine({ ids });
  machine.command(Opcode, values);
  expect(machine.read(REG.GERROR), `opcode ${Opcode}`).toBe(1);
  expect((machine.read(REG.CMDQ_CONS) >>> 24) & 0x7f).toBe(CERROR_ILL);
}

describe("TLB invalidation, IHI 0070 4.4", () => {
  it("SMMU-077 NH_ASID leaves global entries, NH_VA takes both, NH_ALL those of its VMID", () => {
    expect(stale().isOld()).toEqual([true, true]);
    expect(isOldAfter(OP.TLBI_NH_ASID, { VMID: 3, ASID: 7 })).toEqual([false, true]);
    expect(isOldAfter(OP.TLBI_NH_ASID, { VMID: 3, ASID: 8 })).toEqual([true, true]);
    expect(isOldAfter(OP.TLBI_NH_VA, { VMID: 3, ASID: 7, Address: VA })).toEqual([false, true]);
    expect(isOldAfter(OP.TLBI_NH_VA, { VMID: 3, ASID: 8, Address: GLOBAL })).toEqual([true, false]);
    expect(isOldAfter(OP.TLBI_NH_VAA, { VMID: 3, Address: VA })).toEqual([false, true]);
    expect(isOldAfter(OP.TLBI_NH_ALL, { VMID: 3 })).toEqual([false, false]);
    expect(isOldAfter(OP.TLBI_NH_ALL, { VMID: 4 })).toEqual([true, true]);
    expect(isOldAfter(OP.TLBI_NSNH_ALL)).toEqual([false, false]);
  });

  it("SMMU-078 a combined entry goes with NH_VAA and S2_IPA, or with S12_VMALL", () => {
    const sequences: [number, Values<typeof COMMAND>][][] = [
      [
        [OP.TLBI_S2_IPA, { VMID: 1, Address: PA }],
        [OP.TLBI_NH_VAA, { VMID: 1, Address: VA }],
      ],
      [[OP.TLBI_S12_VMALL, { VMID: 1 }]],
    ];
    for (const commands of sequences) {
      const machine = new SmmuMachine();
      const { first, second } = machine.nested();
      first.map(VA, PA);
      translates(machine, {}, PA);
      second.map2(PA, PA + 0x20_0000n, {}, 2);
      for (const [opcode, values] of commands) machine.command(opcode, values);
      machine.sync();
      translates(machine, {}, PA + 0x20_0000n);
    }
  });

  it("SMMU-079 ranges span (NUM + 1) * 2^SCALE granules; NUM = SCALE = TTL = 0 with TG is CERROR_ILL", () => {
    const pages = (TG: number, NUM: number, SCALE: number) => {
      const machine = new SmmuMachine();
      const tables = machine.stage1();
      const list = Array.from({ length: 16 }, (_, i) => VA + BigInt(i) * 0x1000n);
      for (const [i, va] of list.entries()) tables.map(va, PA + BigInt(i) * 0x1000n, { nG: 1 });
      for (const address of list) machine.ask({ address });
      for (const [i, va] of list.entries()) tables.map(va, OTHER_PA + BigInt(i) * 0x1000n, { nG: 1 });
      machine.command(OP.TLBI_NH_VA, { ASID: 1, Address: VA, TG, NUM, SCALE, TTL: TG ? 3 : 0, Leaf: 1 });
      machine.sync();
      const fresh = list.map((address) => machine.ask({ address })).filter((one) => one.ok && one.address >= OTHER_PA);
      return fresh.length;
    };
    expect(pages(0, 5, 2)).toBeGreaterThanOrEqual(1);
    // What is named must go; whether more does is the implementation's.
    expect(pages(1, 2, 0)).toBeGreaterThanOrEqual(3);
    expect(pages(1, 1, 2)).toBeGreaterThanOrEqual(8);
    expect(pages(1, 0, 3)).toBeLessThan(16);
    for (const Opcode of [OP.TLBI_NH_VA, OP.TLBI_NH_VAA, OP.TLBI_S2_IPA, OP.TLBI_EL2_VA, OP.TLBI_EL2_VAA]) {
      illegal(Opcode, { TG: 1 });
    }
    const machine = new SmmuMachine();
    machine.command(OP.TLBI_NH_VA, { TG: 0 });
    expect(machine.read(REG.GERROR)).toBe(0);
  });
});

describe("CMD_SYNC and errors, IHI 0070 4.7 and 7.1", () => {
  it("SMMU-080 CS = 1 writes MSIData at MSIAddress, CS = 3 is illegal; records before it are visible", () => {
    const machine = new SmmuMachine();
    const lines: string[] = [];
    machine.smmu.onLine = (line) => lines.push(line);
    machine.ask();
    const doorbell = RAM + 0x3_0000n;
    machine.command(OP.SYNC, { CS: 1, MSIData: 0xcafe_f00d, MSIAddress: doorbell });
    expect(machine.memory.read32(doorbell)).toBe(0xcafe_f00d);
    expect(lines).toContain("sync");
    expect(machine.events()).toHaveLength(1);
    illegal(OP.SYNC, { CS: 3 });
  });

  it("SMMU-081 commands of what is not implemented, and unknown ones, are CERROR_ILL", () => {
    const without = (mask: number) => ({ IDR0: IDS.IDR0 & ~mask });
    const noHyp = without(1 << 9);
    for (const Opcode of [OP.TLBI_EL2_ALL, OP.TLBI_EL2_ASID, OP.TLBI_EL2_VA, OP.TLBI_EL2_VAA])
      illegal(Opcode, {}, noHyp);
    const noStage2 = without((1 << 0) | (1 << 18));
    for (const Opcode of [OP.TLBI_S2_IPA, OP.TLBI_S12_VMALL]) illegal(Opcode, {}, noStage2);
    const noStage1 = without(1 << 1);
    for (const Opcode of [OP.TLBI_NH_ALL, OP.TLBI_NH_ASID, OP.TLBI_NH_VA, OP.TLBI_NH_VAA, OP.CFGI_CD, OP.CFGI_CD_ALL]) {
      illegal(Opcode, {}, noStage1);
    }
    const noAts = without((1 << 10) | (1 << 11) | (1 << 16));
    for (const Opcode of [OP.ATC_INV, OP.PRI_RESP]) illegal(Opcode, {}, noAts);
    const noStalls = { IDR0: IDS.IDR0 | (1 << 24), IDR5: 0x75 };
    for (const Opcode of [OP.RESUME, OP.STALL_TERM]) illegal(Opcode, {}, noStalls);
    illegal(OP.PRI_RESP, { Resp: 3 });
    for (const Opcode of [0x00, 0x07, 0x18, 0x1a, 0x3f, 0x50, 0x60, 0x70, 0x8f, 0xff]) illegal(Opcode);
    illegal(OP.CFGI_STE, { SSec: 1 });
  });
});

describe("Live edits, IHI 0070 3.21.3", () => {
  const translating = { V: 1, Config: 5, S1ContextPtr: CDS, SHCFG: 1 };
  const bypass = { V: 1, Config: 4, SHCFG: 1 };
  const abort = { V: 1, Config: 0 };
  const byDss = { ...translating, S1CDMax: 3, S1DSS: 1 };
  const hitless: [string, Values<typeof STE>, Values<typeof STE>][] = [
    ["bypass to stage 1", bypass, translating],
    ["stage 1 to bypass", translating, bypass],
    ["abort to stage 1", abort, translating],
    ["stage 1 to abort", translating, abort],
    ["S1DSS bypass to bypass", byDss, bypass],
    ["bypass to S1DSS bypass", bypass, byDss],
  ];

  it.each(hitless)("SMMU-082 %s: every lookup on the way finds the old or the new entry", (_, from, to) => {
    const machine = new SmmuMachine();
    const tables = machine.stage1();
    tables.map(VA, PA);
    const ask = () => {
      const answer = machine.ask();
      return answer.ok ? `0x${answer.address.toString(16)}` : answer.answer;
    };
    const permitted = [from, to].map((ste) => {
      machine.setSte(ste);
      return ask();
    });
    machine.setSte(from);
    const entry = STREAMS + BigInt(64 * SID);
    const seen: string[] = [];
    const look = () => {
      machine.command(OP.CFGI_STE, { SID, Leaf: 1 });
      machine.sync();
      seen.push(ask());
    };
    const { hitless: isHitless } = updateSmmuSte(
      {
        load: () => [0, 1, 2, 3, 4, 5, 6, 7].map((word) => machine.memory.read64(entry + BigInt(8 * word))),
        store: (word, value) => {
          machine.memory.write64(entry + BigInt(8 * word), value);
          look();
        },
        sync: look,
      },
      words(STE, 8, to),
    );
    expect(isHitless).toBe(true);
    expect(seen.length).toBeGreaterThan(1);
    for (const answer of seen) expect(permitted).toContain(answer);
    expect(seen.at(-1)).toBe(permitted[1]);
    expect(machine.events()).toEqual([]);
  });

  it("SMMU-083 invalidations leave stalled transactions alone; a retry sees the new configuration", () => {
    const machine = new SmmuMachine();
    const tables = machine.stage1({ S: 1 });
    const ended: unknown[] = [];
    machine.smmu.onResume = (_, __, outcome) => ended.push(outcome);
    expect(machine.ask()).toMatchObject({ answer: "stall" });
    const tag = ((machine.events()[0] as bigint[])[1] as bigint) & 0xffffn;
    machine.invalidateAll();
    machine.command(OP.CFGI_CD_ALL, { SID });
    machine.command(OP.TLBI_NH_ALL);
    machine.sync();
    expect(machine.smmu.stalled).toBe(1);
    expect(ended).toEqual([]);
    tables.map(VA, PA);
    machine.setSte({ ...DEFAULT_STAGE2, V: 1, Config: 4, SHCFG: 1 });
    machine.command(OP.RESUME, { SID, STAG: tag, Ac: 1 });
    expect(ended).toMatchObject([{ ok: true, address: VA, bypass: true }]);
    machine.setSte(translating);
    machine.setCd({ ...DEFAULT_CD, TTB0: tables.base, TTB1: tables.base });
    translates(machine, {}, PA);
    aborts(machine, { address: VA + 0x1000n }, stage1(0x10));
  });
});
