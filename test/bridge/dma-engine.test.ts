/** The DMA engine by its register description: what it refuses, moves, keeps and reports. */
import { describe, expect, it } from "vitest";
import { bridgeRig, MIB } from "../support/bridge-rig.ts";
import {
  ATS,
  BAR0,
  BUFFER,
  DmaDriver,
  GuestFile,
  PRI,
  PRIVILEGED,
  RESULT,
  START,
  TRANSLATE,
  WRITE,
} from "../support/dma-driver.ts";

/** An engine behind a unit that is off: addresses are physical. */
async function engine() {
  const rig = await bridgeRig({ devices: 2 });
  const iommu = await rig.client(rig.iommu);
  // Below and above 4 GiB, as a machine with much RAM has it; the upper part starts at file offset 32 MiB.
  await iommu.map(0n, 32n * BigInt(MIB), 0n);
  await iommu.map(2n ** 32n, 32n * BigInt(MIB), 32n * BigInt(MIB));
  const client = await rig.client(rig.dma);
  return { rig, iommu, dma: new DmaDriver(client), client, ram: new GuestFile(rig.ram) };
}

const bytes = (count: number) => Buffer.from(Array.from({ length: count }, (_, i) => (i * 13 + 5) % 256));

describe("transfers", () => {
  it("identifies itself", async () => {
    const { dma } = await engine();
    expect([await dma.register(0), await dma.register(4)]).toEqual([0x1d3a2, 0x10000]);
  });

  it("between any part of the buffer and memory below and above 4 GiB", async () => {
    const { dma, client, ram } = await engine();
    await dma.enable();
    const data = bytes(65536);
    ram.write(0x123456n, data);
    expect(await dma.run(0, 0x123456n, 65536)).toMatchObject({ result: RESULT.OK, moved: 65536 });
    expect(await client.read(BAR0, BUFFER, 65536)).toEqual(data);
    expect((await dma.run(WRITE, 2n ** 32n + 0x800n, 5000, { offset: 60000 })).result).toBe(RESULT.OK);
    // The file has it at the offset that the client told.
    expect(ram.read(32n * BigInt(MIB) + 0x800n, 5000)).toEqual(data.subarray(60000, 65000));
    // The buffer takes what the driver writes, and reads across its start have both.
    await client.write(BAR0, BUFFER + 8, Buffer.from([1, 2, 3]));
    expect(await client.read(BAR0, BUFFER - 2, 14)).toEqual(
      Buffer.concat([Buffer.alloc(2), data.subarray(0, 8), Buffer.from([1, 2, 3]), data.subarray(11, 12)]),
    );
  });

  it("of nothing end at once", async () => {
    const { dma } = await engine();
    await dma.enable();
    expect(await dma.run(WRITE, 0n, 0)).toEqual({ status: 2, result: RESULT.OK, moved: 0, code: 0, fault: 0n });
  });

  it("that run into a hole stop there: bus error, bytes moved, address", async () => {
    const { dma, client, ram } = await engine();
    await dma.enable();
    const start = 32n * BigInt(MIB) - 0x1800n;
    ram.write(start, bytes(0x1800));
    expect(await dma.run(0, start, 0x3000)).toEqual({
      status: 6,
      result: RESULT.BUS,
      moved: 0x1800,
      code: 0,
      fault: 32n * BigInt(MIB),
    });
    // What was moved is there.
    expect(await client.read(BAR0, BUFFER, 0x1801)).toEqual(Buffer.concat([bytes(0x1800), Buffer.alloc(1)]));
  });

  it("STATUS is cleared bit by bit by writing 1", async () => {
    const { dma, client } = await engine();
    await dma.enable();
    expect((await dma.run(0, 2n ** 40n, 4)).status).toBe(6);
    await client.write32(BAR0, 0xc, 2);
    expect(await dma.register(0xc)).toBe(4);
    await client.write32(BAR0, 0xc, 4);
    expect(await dma.register(0xc)).toBe(0);
  });

  it("read-only registers take nothing, START reads 0, PASID has 20 bits", async () => {
    const { client, dma } = await engine();
    for (let at = 0; at < 0x60; at += 4) await client.write32(BAR0, at, 0xffff_ffff);
    expect(await dma.register(0)).toBe(0x1d3a2);
    expect(await dma.register(8)).toBe(0xffff_fffe);
    expect(await dma.register(0x20)).toBe(0xfffff);
    expect(await dma.register(0x24)).toBe(RESULT.REFUSED);
    for (const at of [0x28, 0x2c, 0x38, 0x3c, 0x40, 0x44, 0x48, 0x4c, 0x50, 0x54])
      expect(await dma.register(at)).toBe(0);
    expect(await dma.register(0x58)).toBe(1);
  });
});

describe("refusals: what configuration space does not allow is not started", () => {
  it.each([
    ["beyond the buffer", ["ats", "pri", "pasid", "privileged"], 0, 1, { offset: 0x10000 }],
    ["lengths that overflow", ["ats", "pri", "pasid", "privileged"], 0, 0xffff_ffff, { offset: 0xffff_ffff }],
    ["a PASID without PASID Enable", ["ats", "pri"], 0, 4, { pasid: 1 }],
    ["privilege without its enable", ["ats", "pri", "pasid"], PRIVILEGED, 4, { pasid: 1 }],
    ["privilege without a PASID", ["ats", "pri", "pasid", "privileged"], PRIVILEGED, 4, {}],
    ["ATS without ATS Enable", ["pri", "pasid"], ATS, 4, {}],
    ["page requests without PRI Enable", ["ats", "pasid"], ATS | PRI, 4, {}],
    ["page requests without ATS", ["ats", "pri", "pasid"], PRI, 4, {}],
    ["a translation without ATS", ["ats", "pri", "pasid"], TRANSLATE, 4, {}],
  ] as const)("%s", async (_, enabled, command, length, options) => {
    const { dma } = await engine();
    await dma.enable(...enabled);
    expect(await dma.run(command, 0x1000n, length, options)).toEqual({
      status: 6,
      result: RESULT.REFUSED,
      moved: 0,
      code: 0,
      fault: 0x1000n,
    });
  });

  it("anything without bus mastering", async () => {
    const { dma } = await engine();
    expect((await dma.run(0, 0n, 4)).result).toBe(RESULT.REFUSED);
  });
});

describe("ATS by a unit that is off", () => {
  it("translation requests are unsupported, and the transfer says so", async () => {
    const { dma } = await engine();
    await dma.enable("ats");
    expect((await dma.run(ATS, 0x1000n, 16)).result).toBe(RESULT.UR);
    expect((await dma.run(ATS | TRANSLATE, 0x1000n, 0)).result).toBe(RESULT.UR);
  });
});

describe("several engines", () => {
  it("have registers and sources of their own", async () => {
    const { rig, dma } = await engine();
    const second = new DmaDriver(await rig.client(`${rig.folder}/dma1.sock`));
    await dma.enable();
    await second.enable();
    await dma.client.write(BAR0, BUFFER, bytes(8));
    expect((await dma.run(WRITE, 0x5000n, 8)).result).toBe(RESULT.OK);
    expect((await second.run(0, 0x5000n, 8)).result).toBe(RESULT.OK);
    expect(await second.client.read(BAR0, BUFFER, 8)).toEqual(bytes(8));
    expect((await dma.client.read32(BAR0, 8)) & START).toBe(0);
    expect(await second.register(8)).toBe(0);
  });
});
