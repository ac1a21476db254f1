import { describe, expect, it } from "vitest";
import { GCMD, REG } from "../../assembly/layout/vtd-registers.ts";
import type { VtdFeatures } from "../../src/index.ts";
import { capabilities, VtdMachine } from "../support/vtd-machine.ts";

const SID = 0x0308;
const PPR = 1n;
const PRO = 2n;

/** A device whose PASIDs 1 and 2 are present, and a queue of `pages` pages. */
function pri(changes: Partial<VtdFeatures> = {}, context: Record<string, number> = {}) {
  const machine = new VtdMachine({ capabilities: capabilities({ NFR: 0, ...changes }) });
  const tables = machine.start("scalable");
  tables.setScalableContext(SID, { DTE: 1, PASIDE: 1, PRE: 1, RID_PASID: 2, ...context });
  for (const pasid of [1, 2]) tables.setPasid(SID, pasid, { PGTT: 1, DID: 9 }, { first: tables.firstStage() });
  const queue = machine.pages.allocate(1);
  machine.write(REG.PQA, queue, 8);
  const device = machine.unit.device(SID);
  return { machine, device, queue, tables };
}

describe("page requests", () => {
  it("VTD-095 lie in the queue as the architecture lays them out", () => {
    const { machine, device, queue } = pri();
    device.requestPage({ pasid: 1, address: 0x1234_5678_9abcn, read: true, last: true, group: 0x155 });
    device.requestPage({ address: 0xfff0_0000n, write: true, execute: true, privileged: true, group: 1 });
    expect(machine.read(REG.PQT, 8)).toBe(0x40n);
    const words = Array.from({ length: 8 }, (_, i) => machine.memory.read64(queue + BigInt(8 * i)));
    // Type 1, PP bit 8, RID from bit 16, PASID from bit 32; RDR bit 64, LPIG bit 66, PRGI from bit 67.
    expect(words.slice(0, 4)).toEqual([0x1_0308_0101n, 0x1234_5678_9000n | (0x155n << 3n) | 0b101n, 0n, 0n]);
    // EXR bit 52, PMR bit 53; WRR bit 65.
    expect(words.slice(4)).toEqual([0x30_0000_0308_0001n, 0xfff0_0000n | (1n << 3n) | 0b010n, 0n, 0n]);
    expect(machine.read(REG.PRS)).toBe(PPR);
  });

  it("VTD-096, VTD-097 overflow: refused with success until PRO is cleared, even with room again", () => {
    const { machine, device } = pri();
    const entries = 4096 / 32;
    for (let i = 0; i < entries - 1; i++)
      expect(device.requestPage({ pasid: 1, address: 0n, read: true })).toBe("queued");
    expect(device.requestPage({ pasid: 1, address: 0n, read: true })).toBe("dropped");
    expect(machine.read(REG.PRS)).toBe(PPR | PRO);
    expect(machine.read(REG.PQT, 8)).toBe(BigInt((entries - 1) * 32));
    expect(device.requestPage({ pasid: 1, address: 0n, read: true, last: true, group: 7 })).toBe("retry");
    expect(device.responses).toEqual([{ pasid: 1, group: 7, code: 0 }]);
    machine.write(REG.PQH, machine.read(REG.PQT, 8), 8);
    expect(device.requestPage({ address: 0n, read: true, last: true, group: 8 })).toBe("retry");
    expect(device.responses[1]).toEqual({ group: 8, code: 0 });
    machine.write(REG.PRS, PRO);
    expect(device.requestPage({ pasid: 1, address: 0n, read: true, last: true })).toBe("queued");
    expect(machine.read(REG.PQT, 8)).toBe(0n);
  });

  it("VTD-098 signal when PPR and PRO were both clear, with IM and IP as ever", () => {
    const { machine, device } = pri();
    machine.write(REG.PEDATA, 0x77n);
    machine.write(REG.PEADDR, 0xfee0_2000n);
    const ask = () => device.requestPage({ pasid: 1, address: 0n, read: true });
    ask();
    expect(machine.read(REG.PECTL)).toBe(0xc000_0000n);
    machine.write(REG.PECTL, 0n);
    expect(machine.messages).toEqual([{ address: 0xfee0_2000n, data: 0x77 }]);
    ask();
    expect(machine.messages).toHaveLength(1);
    machine.write(REG.PRS, PPR);
    ask();
    expect(machine.messages).toHaveLength(2);
    machine.write(REG.PECTL, 0x8000_0000n);
    machine.write(REG.PRS, PPR);
    ask();
    machine.write(REG.PRS, PPR);
    expect(machine.read(REG.PECTL)).toBe(0x8000_0000n);
    machine.write(REG.PECTL, 0n);
    expect(machine.messages).toHaveLength(2);
  });

  it.each<[string, number, Record<string, number>, number | undefined]>([
    ["47h without PRE", 0x47, { PRE: 0 }, 1],
    ["45h without PASIDE", 0x45, { PASIDE: 0 }, 1],
    ["46h beyond the directory", 0x46, {}, 0x2000],
    ["48h with the PASID of requests without PASID", 0x48, {}, 2],
    ["51h without a directory entry", 0x51, {}, 0x1000],
    ["59h without a PASID entry", 0x59, {}, 3],
    ["41h without a context entry", 0x41, { P: 0 }, 1],
  ])("VTD-099, VTD-034 fault as requests do: %s", (_, code, context, pasid) => {
    const { machine, device } = pri({}, context);
    const request = { address: 0xabc_d000n, read: true, ...(pasid === undefined ? {} : { pasid }) };
    expect(device.requestPage(request)).toBe("dropped");
    expect(machine.read(0x1008, 8)).toBe(
      // F, no AT, PASID, reason, PP, T2 = 1 (page request), source.
      (1n << 63n) | (BigInt(pasid ?? 0) << 40n) | (BigInt(code) << 32n) | 0x8000_0000n | (1n << 28n) | BigInt(SID),
    );
    expect(machine.read(0x1000, 8)).toBe(0xabc_d000n);
    expect(device.responses).toEqual([]);
    machine.write(0x100c, 0x8000_0000n);
    expect(device.requestPage({ ...request, last: true, group: 3 })).toBe("invalid");
    expect(device.responses).toMatchObject([{ group: 3, code: 1 }]);
  });

  it("are invalid in legacy (32h) and abort-DMA (33h) mode, and unheard while translation is off", () => {
    const { machine, device } = pri();
    for (const [rtaddr, code] of [
      [0x0n, 0x32n],
      [0xc00n, 0x33n],
      [0x800n, 0x30n],
    ] as const) {
      machine.setRoot(rtaddr);
      expect(device.requestPage({ pasid: 1, address: 0n, read: true, last: true })).toBe("invalid");
      expect((machine.read(0x1008, 8) >> 32n) & 0xffn).toBe(code);
      machine.write(0x100c, 0x8000_0000n);
    }
    machine.command(GCMD.TE, false);
    expect(device.requestPage({ pasid: 1, address: 0n, read: true, last: true })).toBe("dropped");
    expect(machine.read(REG.FSTS)).toBe(0n);
  });

  it("stop markers are queued, and vanish silently when they cannot be", () => {
    const { machine, device } = pri();
    expect(device.requestPage({ pasid: 1, address: 0n, last: true })).toBe("queued");
    machine.write(REG.PQH, 0x40n, 8);
    expect(device.requestPage({ pasid: 1, address: 0n, last: true })).toBe("dropped");
    expect(device.responses).toEqual([]);
    const old = pri({ SMS: 0 });
    old.machine.write(REG.PQH, 0x20n, 8);
    expect(old.device.requestPage({ pasid: 1, address: 0n, last: true })).toBe("retry");
  });

  it("VTD-003 without PRS: no registers, no queue", () => {
    const { machine, device } = pri({ PRS: 0, SMS: 0 }, { PRE: 0 });
    machine.write(REG.PQA, 0xffff_f000n, 8);
    expect(machine.read(REG.PQA, 8)).toBe(0n);
    expect(device.requestPage({ address: 0n, read: true, last: true })).toBe("dropped");
  });
});
