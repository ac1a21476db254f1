/** Configuration space as a system sees it: PCI Local Bus 3.0 chapter 6, PCI Express Base 6.0 chapter 7. */
import { describe, expect, it } from "vitest";
import { bridgeRig } from "../support/bridge-rig.ts";
import { BAR0, CONFIG, DmaDriver, INTERRUPT, PRI_CONTROL, PRI_STATUS, RESULT } from "../support/dma-driver.ts";
import { CMD, pack, type VfioClient } from "../support/vfio-client.ts";

async function functions(): Promise<{ iommu: VfioClient; dma: VfioClient }> {
  const rig = await bridgeRig();
  return { iommu: await rig.client(rig.iommu), dma: await rig.client(rig.dma) };
}

const read16 = async (client: VfioClient, offset: number) => (await client.read(CONFIG, offset, 2)).readUInt16LE();

describe("identity", () => {
  it("of the IOMMU: a host bridge with one memory BAR", async () => {
    const { iommu } = await functions();
    const config = await iommu.read(CONFIG, 0, 256);
    expect([config.readUInt16LE(0), config.readUInt16LE(2)]).toEqual([0x1234, 0xd3a1]);
    expect(config.readUInt32LE(8) >>> 8).toBe(0x060000);
    // No capabilities, header type 0, no interrupt pin.
    expect([config.readUInt16LE(6), config[0x34], config[0x0e], config[0x3d]]).toEqual([0, 0, 0, 0]);
  });

  it("of a DMA engine: PCI Express and MSI, then ATS, PRI and PASID", async () => {
    const { dma } = await functions();
    const config = await dma.read(CONFIG, 0, 4096);
    expect([config.readUInt16LE(0), config.readUInt16LE(2)]).toEqual([0x1234, 0xd3a2]);
    expect(config.readUInt16LE(6) & 0x10).toBe(0x10);
    const list: number[] = [];
    for (let at = config[0x34] as number; at !== 0; at = config[at + 1] as number) list.push(config[at] as number);
    expect(list).toEqual([0x10, 0x05]);
    const extended: number[] = [];
    for (let at = 0x100; at !== 0; at = config.readUInt32LE(at) >>> 20)
      extended.push(config.readUInt32LE(at) & 0xfffff);
    expect(extended).toEqual([0x1000f, 0x10013, 0x1001b]);
    // Root complex integrated endpoint; end-to-end prefixes, without which systems leave PASID off.
    expect(config.readUInt16LE(0x42) & 0xff).toBe(0x92);
    expect(config.readUInt32LE(0x64) & (1 << 21)).not.toBe(0);
    // PASIDs of 20 bits, privileged mode.
    expect(config.readUInt16LE(0x124)).toBe(0x1404);
  });
});

describe("base address register", () => {
  it.each([
    ["iommu", 0x1000],
    ["dma", 0x20000],
  ] as const)("of %s tells its size, and takes an address", async (name, size) => {
    const client = (await functions())[name];
    await client.write32(CONFIG, 0x10, 0xffff_ffff);
    expect(await client.read32(CONFIG, 0x10)).toBe((0x1_0000_0000 - size) >>> 0);
    await client.write32(CONFIG, 0x10, 0xfebc_1234);
    expect(await client.read32(CONFIG, 0x10)).toBe((0xfebc_1234 & ~(size - 1)) >>> 0);
    for (let bar = 0x14; bar < 0x28; bar += 4) {
      await client.write32(CONFIG, bar, 0xffff_ffff);
      expect(await client.read32(CONFIG, bar)).toBe(0);
    }
  });

  it("takes bytes, and what is read-only takes nothing", async () => {
    const { iommu } = await functions();
    await iommu.write(CONFIG, 0x13, Buffer.from([0xfe]));
    expect(await iommu.read32(CONFIG, 0x10)).toBe(0xfe00_0000);
    await iommu.write32(CONFIG, 0, 0xffff_ffff);
    expect(await iommu.read32(CONFIG, 0)).toBe(0xd3a1_1234);
    await iommu.write16(CONFIG, 4, 0xffff);
    expect(await read16(iommu, 4)).toBe(0x0546);
  });
});

describe("MSI", () => {
  it("masked interrupts are pending, and go out when they are unmasked", async () => {
    const { dma: client, iommu } = await functions();
    await iommu.map(0n, 0x100000n, 0n);
    const dma = new DmaDriver(client);
    await dma.enable();
    await dma.msi(0xfee0_1000n, 0x41);
    await client.write32(CONFIG, 0x90, 1);
    expect((await dma.run(INTERRUPT, 0n, 16)).result).toBe(RESULT.OK);
    expect(await client.read32(CONFIG, 0x94)).toBe(1);
    expect(client.writes).toEqual([]);
    await client.write32(CONFIG, 0x90, 0);
    await client.written(1);
    expect(client.writes).toEqual([{ address: 0xfee0_1000n, data: pack(0x41) }]);
    expect(await client.read32(CONFIG, 0x94)).toBe(0);
  });

  it("none without MSI Enable or bus mastering", async () => {
    const { dma: client } = await functions();
    const dma = new DmaDriver(client);
    await dma.msi(0xfee0_1000n, 0x41);
    // Refused, since the function is no bus master: done, and silent.
    expect(await dma.run(INTERRUPT, 0n, 16)).toMatchObject({ status: 6, result: RESULT.REFUSED });
    await dma.enable();
    await client.write16(CONFIG, 0x82, 0);
    await dma.run(INTERRUPT, 0n, 0);
    await client.read32(BAR0, 0);
    expect(client.writes).toEqual([]);
  });

  it("irq info and a trigger by the client", async () => {
    const { dma: client } = await functions();
    expect((await client.call(CMD.GET_IRQ_INFO, pack(16, 0, 1, 0))).payload).toEqual(pack(16, 9, 1, 1));
    const dma = new DmaDriver(client);
    await dma.enable();
    await dma.msi(0xfee0_2000n, 7);
    const trigger = (flags: number, data: number[] = []) =>
      client.call(CMD.SET_IRQS, Buffer.concat([pack(20 + data.length, flags, 1, 0, 1), Buffer.from(data)]));
    // An event descriptor is taken; nothing is triggered by a false boolean; masks are not supported.
    expect((await trigger(0x24)).errno).toBe(0);
    expect((await trigger(0x22, [0])).errno).toBe(0);
    expect((await trigger(0x22, [])).errno).toBe(22);
    expect((await trigger(0x09)).errno).toBe(22);
    expect(client.writes).toEqual([]);
    expect((await trigger(0x22, [1])).errno).toBe(0);
    expect((await trigger(0x21)).errno).toBe(0);
    await client.written(2);
    expect(client.writes.map(({ address }) => address)).toEqual([0xfee0_2000n, 0xfee0_2000n]);
  });
});

describe("PRI", () => {
  it("is stopped until it is enabled, and again when it is disabled", async () => {
    const { dma } = await functions();
    expect(await read16(dma, PRI_STATUS)).toBe(0x8100);
    await dma.write16(CONFIG, PRI_CONTROL, 1);
    expect(await read16(dma, PRI_STATUS)).toBe(0x8000);
    await dma.write16(CONFIG, PRI_CONTROL, 0);
    expect(await read16(dma, PRI_STATUS)).toBe(0x8100);
    // Reset takes effect, and reads 0.
    await dma.write16(CONFIG, PRI_CONTROL, 2);
    expect(await read16(dma, PRI_CONTROL)).toBe(0);
  });
});

describe("resets", () => {
  it.each(["function level reset", "device reset"])("by %s: configuration, registers and buffer", async (how) => {
    const { dma: client } = await functions();
    const dma = new DmaDriver(client);
    await dma.enable("ats", "pri", "pasid");
    await client.write64(BAR0, 0x10, 0x1234n);
    await client.write(BAR0, 0x10000, Buffer.from([1, 2, 3]));
    if (how === "device reset") await client.call(CMD.RESET);
    else await client.write16(CONFIG, 0x48, 0x8000);
    const config = await client.read(CONFIG, 0, 4096);
    expect([4, 0x48, 0x106, 0x114, 0x126].map((at) => config.readUInt16LE(at))).toEqual([0, 0, 0, 0, 0]);
    expect(config.readUInt16LE(PRI_STATUS)).toBe(0x8100);
    expect(await client.read64(BAR0, 0x10)).toBe(0n);
    expect(await client.read(BAR0, 0x10000, 3)).toEqual(Buffer.alloc(3));
  });
});
