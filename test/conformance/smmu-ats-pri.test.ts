/** SMMU-084..090: ATS, page requests, interrupts, IHI 0070 3.9, 8, 3.18. */
import { describe, expect, it } from "vitest";
import type { PageRequest, SmmuLine } from "../../src/smmuv3/index.ts";
import { aborts, translates } from "../support/smmu-expect.ts";
import { COMMAND, CR0, OP, REG, words } from "../support/smmu-fields.ts";
import { CMDQ, hexWords, PA, PRIQ, RAM, SID, SmmuMachine, VA } from "../support/smmu-machine.ts";

const AP2 = 1n << 7n;
const OVERFLOW = 0x8000_0000;
const DOORBELL = RAM + 0x3_0000n;

describe("ATS translation requests, IHI 0070 3.9.1", () => {
  it("SMMU-084 an unmapped page grants nothing, in silence; EATS = 0 is UR and an event; a bad STE is CA", () => {
    const machine = new SmmuMachine();
    const tables = machine.stage1({}, { EATS: 1 });
    tables.map(VA, PA);
    const device = machine.smmu.device(SID);
    expect(device.requestTranslation(VA)).toMatchObject({ status: "success", read: true, write: true });
    expect(device.requestTranslation(VA + 0x1000n)).toMatchObject({ status: "success", read: false, write: false });
    expect(machine.events()).toEqual([]);
    machine.stage1({}, { EATS: 0 });
    expect(device.requestTranslation(VA, { noWrite: true })).toMatchObject({ status: "ur" });
    // Read and not write, one page, no PASID.
    expect(machine.events().map(hexWords)).toEqual([`0x${SID}00000005 0x80000001 0x${VA.toString(16)} 0x0`]);
    machine.setSte({ V: 0 });
    expect(device.requestTranslation(VA)).toMatchObject({ status: "ca" });
    machine.stage1({ V: 0 }, { EATS: 1 });
    expect(device.requestTranslation(VA)).toMatchObject({ status: "ca" });
    expect(machine.events()).toEqual([]);
  });

  it("SMMU-085 translated requests with ATSCHK = 1: EATS 0 is forbidden, 1 passes, 2 goes through stage 2", () => {
    const translated = { type: "translated" } as const;
    const machine = new SmmuMachine({ cr0: CR0.ATSCHK });
    machine.stage1({}, { EATS: 0 });
    aborts(machine, translated, { code: 0x07 });
    machine.stage1({}, { EATS: 1 });
    translates(machine, translated, VA);
    const { second } = machine.nested({}, { EATS: 2 });
    second.map2(VA, PA);
    machine.invalidateAll();
    translates(machine, translated, PA);
    aborts(machine, { ...translated, address: VA + 0x1000n }, { code: 0x10, stage: 2, class: 2, ipa: VA + 0x1000n });
    const unchecked = new SmmuMachine();
    unchecked.stage1({}, { EATS: 0 });
    translates(unchecked, translated, VA);
  });

  it("SMMU-086 NW = 0 makes a page dirty, NW = 1 does not", () => {
    const machine = new SmmuMachine();
    const at = machine.stage1({ HA: 1, HD: 1 }, { EATS: 1 }).map(VA, PA, { AP: 3, DBM: 1 });
    const clean = machine.memory.read64(at);
    const device = machine.smmu.device(SID);
    expect(device.requestTranslation(VA, { noWrite: true })).toMatchObject({ read: true, write: false });
    expect(machine.memory.read64(at)).toBe(clean);
    expect(device.requestTranslation(VA)).toMatchObject({ read: true, write: true });
    expect(machine.memory.read64(at)).toBe(clean & ~AP2);
  });
});

describe("Page requests, IHI 0070 chapter 8", () => {
  const request: PageRequest = { sid: SID, address: VA, read: true, write: true, last: true, group: 0x155 };

  it("SMMU-087 the entry is as laid out; an overflow keeps all out until acknowledged, Last gets Success", () => {
    const machine = new SmmuMachine({ cr0: CR0.PRIQEN, log2Pages: 1 });
    const device = machine.smmu.device(SID);
    const ask = (more: Partial<PageRequest> = {}) => machine.smmu.requestPage({ ...request, ...more });
    expect(ask({ pasid: 0xabcde, execute: true, privileged: true })).toBe("queued");
    expect(ask({ last: false, write: false })).toBe("queued");
    const entry = (n: bigint) => [machine.memory.read64(PRIQ + 16n * n), machine.memory.read64(PRIQ + 16n * n + 8n)];
    expect(hexWords(entry(0n))).toBe(`0xfc0abcde0000000${SID} 0x${(VA | 0x155n).toString(16)}`);
    expect(hexWords(entry(1n))).toBe(`0x100000000000000${SID} 0x${(VA | 0x155n).toString(16)}`);
    expect(ask({ last: false })).toBe("dropped");
    expect(machine.read(REG.PRIQ_PROD)).toBe(OVERFLOW + 2);
    expect(device.responses).toEqual([]);
    machine.write(REG.PRIQ_CONS, 2);
    expect(ask()).toBe("retry");
    expect(device.responses).toEqual([{ code: 0, group: 0x155 }]);
    expect(machine.read(REG.PRIQ_PROD)).toBe(OVERFLOW + 2);
    machine.write(REG.PRIQ_CONS, OVERFLOW + 2);
    expect(ask()).toBe("queued");
    expect(machine.read(REG.PRIQ_PROD)).toBe(OVERFLOW + 3);
    machine.command(OP.PRI_RESP, { SID, PRGIndex: 0x155, Resp: 0 });
    expect(device.responses.slice(1)).toEqual([{ code: 15, group: 0x155 }]);
  });

  it("SMMU-088 PRIQEN = 0: discarded, the last of a group is answered with Failure", () => {
    const machine = new SmmuMachine();
    const device = machine.smmu.device(SID);
    expect(machine.smmu.requestPage({ ...request, last: false })).toBe("dropped");
    expect(machine.smmu.requestPage(request)).toBe("failure");
    expect(device.responses).toEqual([{ code: 15, group: 0x155 }]);
    expect(machine.read(REG.PRIQ_PROD)).toBe(0);
  });

  it("SMMU-089 LO = 0 interrupts when the queue is no longer empty, LO = 1 at each last request", () => {
    const heardWith = (lo: boolean): SmmuLine[] => {
      const machine = new SmmuMachine({ cr0: CR0.PRIQEN });
      machine.write(REG.PRIQ_IRQ_CFG2, lo ? 0x8000_0000 : 0);
      machine.write(REG.IRQ_CTRL, 2);
      const heard: SmmuLine[] = [];
      machine.smmu.onLine = (line) => heard.push(line);
      for (const last of [false, true, true]) machine.smmu.requestPage({ ...request, last });
      return heard;
    };
    expect(heardWith(false)).toEqual(["priq"]);
    expect(heardWith(true)).toEqual(["priq", "priq"]);
  });
});

describe("Message interrupts, IHI 0070 3.18", () => {
  it("SMMU-090 an MSI that aborts sets the bit of its source; that of GERROR itself interrupts nobody", () => {
    const cases = [
      { bit: 4, provoke: () => {}, cfg: undefined, enable: 0 },
      { bit: 5, provoke: (machine: SmmuMachine) => machine.ask(), cfg: REG.EVENTQ_IRQ_CFG0, enable: 4 },
      {
        bit: 6,
        provoke: (machine: SmmuMachine) => machine.smmu.requestPage({ sid: SID, address: VA, read: true }),
        cfg: REG.PRIQ_IRQ_CFG0,
        enable: 2,
      },
    ];
    for (const { bit, provoke, cfg, enable } of cases) {
      const machine = new SmmuMachine({ cr0: CR0.PRIQEN });
      machine.memory.poison(DOORBELL, 4);
      if (cfg) machine.write64(cfg, DOORBELL);
      machine.write(REG.IRQ_CTRL, enable | 1);
      const heard: SmmuLine[] = [];
      machine.smmu.onLine = (line) => heard.push(line);
      if (bit === 4) machine.command(OP.SYNC, { CS: 1, MSIData: 1, MSIAddress: DOORBELL });
      provoke(machine);
      expect(machine.read(REG.GERROR)).toBe(1 << bit);
      expect(heard).toContain("gerror");
    }
    const machine = new SmmuMachine();
    machine.memory.poison(DOORBELL, 4);
    machine.write64(REG.GERROR_IRQ_CFG0, DOORBELL);
    machine.write(REG.IRQ_CTRL, 1);
    const heard: SmmuLine[] = [];
    machine.smmu.onLine = (line) => heard.push(line);
    machine.store(CMDQ, words(COMMAND, 2, { Opcode: 0x7f }));
    machine.write(REG.CMDQ_PROD, 1);
    expect(machine.read(REG.GERROR)).toBe((1 << 7) | 1);
    expect(heard).toEqual(["gerror"]);
  });
});
