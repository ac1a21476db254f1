import { describe, expect, it } from "vitest";
import { Rig, SID } from "../support/vtd-rig.ts";

const PASIDE = 8n;
const DTE = 4n;
const SRE = 1n;
const FSTS = 0x34;
const FECTL = 0x38;

/** Programs the fault event's message. */
function setMessage(rig: Rig): void {
  rig.w32(0x3c, 0x41);
  rig.w32(0x40, 0xfee0_1000);
  rig.w32(0x44, 0x1200_0000);
}
const MESSAGE = [0x1200_0000_fee0_1000n, 0x41];

describe("Primary fault logging, VT-d 5.10 7.2, 7.3, 11.4.7", () => {
  it("VTD-071 a record tells requester, page, reason, type, address type, PASID, privilege and execute", () => {
    const rig = new Rig({ MAX: 7 });
    const { contextEntry } = rig.scalable({ context: [PASIDE | DTE, 0n], words: [0n, 0n, SRE] });
    rig.addPasid(contextEntry, 0x1234, { words: [0n, 0n, SRE] });
    const one = (request: Parameters<Rig["ask"]>[0]) => {
      rig.unit.translate({ sid: SID, ...request });
      const [record, ...more] = rig.faults();
      expect(more).toEqual([]);
      return record;
    };
    const plain = { sid: SID, at: 0, pasid: undefined, privileged: false, execute: false };
    expect(one({ address: 0x1234_5678n, access: "r" })).toEqual({
      ...plain,
      reason: 0x71,
      information: 0x1234_5000n,
      type: 2,
    });
    expect(one({ address: 0x1234_5678n, access: "w" })).toMatchObject({ ...plain, type: 0 });
    expect(one({ address: 0x1234_5678n, access: "a" })).toMatchObject({ ...plain, type: 3 });
    expect(one({ address: 0x1234_5678n, access: "w", pasid: 0x1234 })).toMatchObject({ pasid: 0x1234, type: 0 });
    expect(one({ address: 0x1234_5678n, access: "r", pasid: 0x1234, privileged: true })).toMatchObject({
      pasid: 0x1234,
      privileged: true,
      type: 2,
    });
    expect(one({ address: 0x1234_5678n, access: "x", pasid: 0x1234 })).toMatchObject({
      reason: 0x5c,
      pasid: 0x1234,
      execute: true,
      type: 2,
    });
    expect(one({ address: 1n << 46n, access: "w", type: "translated" })).toMatchObject({
      reason: 0x83,
      at: 2,
      type: 0,
    });
    rig.flip(contextEntry, DTE);
    rig.settle();
    expect(one({ address: 0x1000n, access: "r", type: "translation" })).toMatchObject({ reason: 0x44, at: 1, type: 2 });
    const device = rig.unit.device(SID);
    device.requestPage({ address: 0x7000n, read: true, pasid: 0x1234 });
    expect(rig.faults()).toMatchObject([{ reason: 0x47, type: 1, information: 0x7000n, pasid: 0x1234 }]);
  });

  it("VTD-071 execute requests are 34h from major version 8 on", () => {
    const rig = new Rig({ MAX: 8 });
    rig.scalable({ context: [PASIDE, 0n] });
    expect(rig.ask({ address: 0x1000n, access: "x", pasid: 1 })).toBe("UR 34");
    expect(rig.ask({ address: 0x1000n, access: "x" })).toBe("UR 71");
  });

  it("VTD-072 PP = 0 without PASID, although RID_PASID chose the tables; a PASID is recorded with all 20 bits", () => {
    const rig = new Rig();
    const { contextEntry } = rig.scalable({ pdts: 7n, context: [PASIDE, 0x4321n], pasid: 0x4321 });
    rig.addPasid(contextEntry, 0xfffff);
    rig.unit.translate({ sid: SID, address: 0x1000n });
    rig.unit.translate({ sid: SID, address: 0x1000n, pasid: 0xfffff });
    expect(rig.faults()).toMatchObject([
      { reason: 0x71, pasid: undefined },
      { reason: 0x71, pasid: 0xfffff },
    ]);
  });

  it("VTD-073 records fill in ring order; FRI names the first when PPF comes up", () => {
    const rig = new Rig();
    rig.scalable();
    const fault = (page: bigint) => rig.unit.translate({ sid: SID, address: page << 12n });
    const fri = () => (rig.r32(FSTS) >> 8) & 0xff;
    fault(1n);
    fault(2n);
    expect([fri(), rig.record(0)?.information, rig.record(1)?.information]).toEqual([0, 0x1000n, 0x2000n]);
    rig.clearRecord(0);
    rig.clearRecord(1);
    expect(rig.r32(FSTS) & 2).toBe(0);
    fault(3n);
    expect([fri(), rig.record(2)?.information]).toEqual([2, 0x3000n]);
    fault(4n);
    fault(5n);
    expect([rig.record(3)?.information, rig.record(0)?.information]).toEqual([0x4000n, 0x5000n]);
    expect(fri()).toBe(2);
  });

  it("VTD-074 an occupied slot sets PFO and drops the fault, and everything until PFO is cleared", () => {
    const rig = new Rig({ NFR: 1 });
    rig.scalable();
    const fault = (page: bigint) => rig.unit.translate({ sid: SID, address: page << 12n });
    fault(1n);
    fault(2n);
    expect(rig.r32(FSTS) & 1).toBe(0);
    fault(3n);
    expect(rig.r32(FSTS) & 1).toBe(1);
    expect([rig.record(0)?.information, rig.record(1)?.information]).toEqual([0x1000n, 0x2000n]);
    rig.clearRecord(0);
    fault(4n);
    expect(rig.record(0)).toBeUndefined();
    rig.w32(FSTS, 1);
    fault(5n);
    expect(rig.record(0)?.information).toBe(0x5000n);
  });

  it("VTD-075 PPF is the OR of all F bits, and IP goes with the last cause", () => {
    const rig = new Rig();
    rig.scalable();
    rig.unit.translate({ sid: SID, address: 0x1000n });
    rig.unit.translate({ sid: SID, address: 0x2000n });
    expect(rig.r32(FSTS) & 2).toBe(2);
    expect(rig.r32(FECTL)).toBe(0xc000_0000);
    rig.clearRecord(0);
    expect(rig.r32(FSTS) & 2).toBe(2);
    expect(rig.r32(FECTL)).toBe(0xc000_0000);
    rig.clearRecord(1);
    expect(rig.r32(FSTS) & 2).toBe(0);
    expect(rig.r32(FECTL)).toBe(0x8000_0000);
  });

  it("VTD-076 one event when the first cause appears, the next after all causes were cleared", () => {
    const rig = new Rig();
    rig.scalable();
    setMessage(rig);
    rig.w32(FECTL, 0);
    const fault = () => rig.unit.translate({ sid: SID, address: 0x1000n });
    fault();
    fault();
    expect(rig.messages).toEqual([MESSAGE]);
    rig.clearRecord(0);
    fault();
    expect(rig.messages).toHaveLength(1);
    rig.faults();
    fault();
    expect(rig.messages).toEqual([MESSAGE, MESSAGE]);
  });

  it("VTD-077 masked, an event is pending; unmasking sends exactly one; clearing the causes first sends none", () => {
    const rig = new Rig();
    rig.scalable();
    setMessage(rig);
    const fault = () => rig.unit.translate({ sid: SID, address: 0x1000n });
    fault();
    expect([rig.r32(FECTL), rig.messages.length]).toEqual([0xc000_0000, 0]);
    rig.w32(FECTL, 0);
    expect([rig.r32(FECTL), rig.messages.length]).toEqual([0, 1]);
    rig.w32(FECTL, 0);
    expect(rig.messages).toEqual([MESSAGE]);
    rig.faults();
    rig.w32(FECTL, 0x8000_0000);
    fault();
    rig.faults();
    rig.w32(FECTL, 0);
    expect(rig.messages).toHaveLength(1);
  });
});
