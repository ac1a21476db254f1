import { describe, expect, it } from "vitest";
import { Rig, SID } from "../support/vtd-rig.ts";

const PQH = 0xc0;
const PQT = 0xc8;
const PQA = 0xd0;
const PRS = 0xdc;
const PECTL = 0xe0;
/** DTE, PASIDE and PRE of a context entry. */
const FULL = 0x1cn;
const wait = (status: bigint, flags = 0x20n) => [5n | flags | (1n << 32n), status];

/** A unit whose device may send page requests with PASIDs 0 (as RID_PASID) and 1; a queue of one page, 128 entries. */
function withQueue(changes: ConstructorParameters<typeof Rig>[0] = {}) {
  const rig = new Rig(changes);
  const { contextEntry } = rig.scalable({ pgtt: 4n, context: [FULL, 0n] });
  rig.addPasid(contextEntry, 1);
  rig.addPasid(contextEntry, 0xabc, { pgtt: 4n });
  const queue = rig.page();
  rig.w64(PQA, queue);
  const device = rig.unit.device(SID);
  return { rig, queue, device, contextEntry };
}

describe("Page requests, VT-d 5.10 7.4 to 7.10", () => {
  it("VTD-095 the descriptor: type, PP, requester, PASID, X, P, R, W, last, group, address", () => {
    const { rig, queue, device } = withQueue();
    device.requestPage({ pasid: 0xabc, address: 0x7fff_1234_5678n, read: true, last: true, group: 0x155 });
    device.requestPage({ address: 0x1000n, write: true, group: 3 });
    device.requestPage({ pasid: 0xabc, address: 0x2000n, execute: true, privileged: true, read: true, write: true });
    const entry = (i: bigint) => [0n, 8n, 16n, 24n].map((at) => rig.get(queue + 32n * i + at));
    const plain = 0x01n | (BigInt(SID) << 16n);
    expect(entry(0n)).toEqual([plain | 0x100n | (0xabcn << 32n), 0x7fff_1234_5000n | (0x155n << 3n) | 4n | 1n, 0n, 0n]);
    const [first, ...rest] = entry(1n);
    // Without PASID the field means nothing.
    expect((first as bigint) & ~(0xfffffn << 32n)).toBe(plain);
    expect(rest).toEqual([0x1000n | (3n << 3n) | 2n, 0n, 0n]);
    expect(entry(2n)).toEqual([plain | 0x100n | (0xabcn << 32n) | (3n << 52n), 0x2000n | 3n, 0n, 0n]);
    expect(rig.r64(PQT)).toBe(0x60n);
    expect(rig.r32(PRS)).toBe(1);
  });

  it("VTD-096 N - 1 entries fit; the next sets PRO, is not written, and is answered Success if it is the last of its group", () => {
    const { rig, queue, device } = withQueue();
    for (let i = 0; i < 127; i++) expect(device.requestPage({ pasid: 1, address: 0x1000n, read: true })).toBe("queued");
    expect([rig.r64(PQT), rig.r32(PRS)]).toEqual([127n * 32n, 1]);
    expect(device.requestPage({ pasid: 1, address: 0x1000n, read: true })).toBe("dropped");
    expect([rig.r64(PQT), rig.r32(PRS)]).toEqual([127n * 32n, 3]);
    expect(rig.get(queue + 127n * 32n)).toBe(0n);
    expect(device.responses).toEqual([]);
    expect(device.requestPage({ pasid: 1, address: 0x1000n, read: true, last: true, group: 7 })).toBe("retry");
    expect(device.responses).toEqual([{ pasid: 1, group: 7, code: 0 }]);
  });

  it("VTD-097 while PRO stands everything is refused, room or not; then requests are queued again", () => {
    const { rig, device } = withQueue();
    for (let i = 0; i < 128; i++) device.requestPage({ pasid: 1, address: 0x1000n, read: true });
    rig.w64(PQH, rig.r64(PQT));
    expect(device.requestPage({ pasid: 1, address: 0x1000n, read: true, last: true, group: 1 })).toBe("retry");
    expect(device.requestPage({ pasid: 1, address: 0x1000n, read: true })).toBe("dropped");
    rig.w32(PRS, 2);
    expect(device.requestPage({ pasid: 1, address: 0x1000n, read: true, last: true })).toBe("queued");
    expect([rig.r64(PQT), rig.r32(PRS)]).toEqual([0n, 1]);
  });

  it("VTD-098 an event only when PPR and PRO were both 0; masked, it is pending", () => {
    const { rig, device } = withQueue();
    rig.w32(0xe4, 0x66);
    rig.w32(0xe8, 0xfee0_3000);
    const ask = () => device.requestPage({ pasid: 1, address: 0x1000n, read: true });
    ask();
    expect([rig.r32(PECTL), rig.messages.length]).toEqual([0xc000_0000, 0]);
    rig.w32(PECTL, 0);
    expect(rig.messages).toEqual([[0xfee0_3000n, 0x66]]);
    ask();
    expect(rig.messages).toHaveLength(1);
    rig.w32(PRS, 1);
    ask();
    expect(rig.messages).toHaveLength(2);
    rig.w32(PECTL, 0x8000_0000);
    rig.w32(PRS, 1);
    ask();
    expect(rig.r32(PECTL)).toBe(0xc000_0000);
    rig.w32(PRS, 1);
    expect(rig.r32(PECTL)).toBe(0x8000_0000);
    rig.w32(PECTL, 0);
    expect(rig.messages).toHaveLength(2);
  });

  it("VTD-099 a request for a bad context or PASID is a fault, and Invalid Request if it is the last of its group", () => {
    const { rig, device, contextEntry } = withQueue();
    expect(device.requestPage({ pasid: 0x1000, address: 0x1000n, read: true, last: true, group: 4 })).toBe("invalid");
    expect(rig.faults()).toMatchObject([{ reason: 0x51, type: 1, pasid: 0x1000, information: 0x1000n }]);
    expect(device.responses).toEqual([{ pasid: 0x1000, group: 4, code: 1 }]);
    expect(device.requestPage({ pasid: 2, address: 0x1000n, read: true })).toBe("dropped");
    expect(rig.faults()).toMatchObject([{ reason: 0x59 }]);
    rig.put(contextEntry, 0n);
    rig.settle();
    expect(device.requestPage({ pasid: 1, address: 0x1000n, write: true, last: true })).toBe("invalid");
    expect(rig.faults()).toMatchObject([{ reason: 0x41, type: 1 }]);
    expect([rig.r64(PQT), rig.r32(PRS)]).toEqual([0n, 0]);
  });

  it("VTD-100 a page group response reaches the device with PASID, group and code", () => {
    const { rig, device } = withQueue();
    rig.startQueue();
    const rid = BigInt(SID) << 16n;
    rig.submit([0x19n | rid | (0xabcn << 32n), 0x155n << 3n], [0x09n | rid | (0xfn << 12n), (2n << 3n) | 4n]);
    expect(device.responses).toEqual([
      { pasid: 0xabc, group: 0x155, code: 0 },
      { group: 2, code: 15 },
    ]);
    expect(rig.r32(0x34)).toBe(0);
  });

  it("VTD-100 without PRS it is IQE code 3", () => {
    const rig = new Rig({ PRS: 0 });
    rig.scalable();
    rig.startQueue();
    rig.submit([0x19n]);
    expect([rig.r32(0x34), rig.r64(0xb0) & 15n]).toEqual([0x10, 3n]);
  });

  it("VTD-101 a wait with PD completes only after earlier page requests are in the queue", () => {
    const { rig, queue, device } = withQueue();
    rig.startQueue();
    const status = rig.page();
    expect(device.requestPage({ pasid: 1, address: 0x5000n, read: true, last: true })).toBe("queued");
    rig.submit(wait(status, 0xa0n));
    expect(rig.memory.read32(status)).toBe(1);
    expect([rig.r64(PQT), rig.get(queue + 8n)]).toEqual([0x20n, 0x5005n]);
  });
});
