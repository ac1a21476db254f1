/**
 * A tiny SMMUv3 driver that works through sockets and the RAM file only, as a kernel in a virtual machine does.
 *
 * Numbers are those of Linux's drivers/iommu/arm/arm-smmu-v3 and of Arm IHI 0070.
 */
import { describe, expect, it } from "vitest";
import { bridgeRig, RAM_BYTES, SMMU } from "../support/bridge-rig.ts";
import { ATS, BAR0, BUFFER, DmaDriver, GuestFile, INTERRUPT, PRI, RESULT, WRITE } from "../support/dma-driver.ts";
import type { VfioClient } from "../support/vfio-client.ts";

/** QEMU's machine "virt" has its RAM here. */
const RAM = 0x4000_0000n;
const STREAMS = RAM + 0x10000n;
const CONTEXTS = RAM + 0x14000n;
const COMMANDS = RAM + 0x18000n;
const EVENTS = RAM + 0x19000n;
const REQUESTS = RAM + 0x1a000n;
const DOMAIN = RAM + 0x20000n;
const PROCESS = RAM + 0x30000n;
const DATA = RAM + 0x100000n;
/** The GICv2m frame's register that takes MSIs. */
const DOORBELL = 0x0802_0040n;

const SID = 0x30n;
const PASID = 5n;
const IOVA = 0x12_3456_7000n;

const CR0 = 0x20;
const CR0ACK = 0x24;
const CR1 = 0x28;
const CR2 = 0x2c;
const IRQ_CTRL = 0x50;
const STRTAB_BASE = 0x80;
const STRTAB_BASE_CFG = 0x88;
const CMDQ_BASE = 0x90;
const CMDQ_PROD = 0x98;
const CMDQ_CONS = 0x9c;
const EVENTQ_BASE = 0xa0;
const EVENTQ_IRQ_CFG0 = 0xb0;
const PRIQ_BASE = 0xc0;
const PRIQ_IRQ_CFG0 = 0xd0;
const EVENTQ_PROD = 0x100a8;
const PRIQ_PROD = 0x100c8;

const indexOf = (address: bigint, level: number) => (address >> BigInt(12 + 9 * (3 - level))) & 0x1ffn;

class Kernel {
  readonly smmu: VfioClient;
  readonly dma: DmaDriver;
  readonly ram: GuestFile;
  #prod = 0n;

  constructor(smmu: VfioClient, dma: DmaDriver, ram: GuestFile) {
    this.smmu = smmu;
    this.dma = dma;
    this.ram = ram;
  }

  /** Maps a page: 4 KiB granule, tables of four levels from `root` on. */
  map(root: bigint, iova: bigint, target: bigint): void {
    for (let level = 0; level < 3; level++) {
      const table = root + BigInt(level) * 0x1000n;
      this.ram.words(table + indexOf(iova, level) * 8n, (table + 0x1000n) | 3n);
    }
    // Page, unprivileged read and write, inner shareable, access flag, not global.
    this.ram.words(root + 0x3000n + indexOf(iova, 3) * 8n, target | 0xf43n);
  }

  unmap(root: bigint, iova: bigint): void {
    this.ram.words(root + 0x3000n + indexOf(iova, 3) * 8n, 0n);
  }

  contextDescriptor(ssid: bigint, table: bigint, asid: bigint): void {
    // 48-bit input, TTBR1 off, valid, 48-bit output, AArch64; R and A: faults are recorded and abort.
    const first =
      16n | (1n << 30n) | (1n << 31n) | (5n << 32n) | (1n << 41n) | (3n << 45n) | (1n << 47n) | (asid << 48n);
    this.ram.words(CONTEXTS + ssid * 64n, first, table, 0n, 0xffn, 0n, 0n, 0n, 0n);
  }

  async enable(): Promise<void> {
    const { smmu, ram } = this;
    this.contextDescriptor(0n, DOMAIN, 1n);
    this.contextDescriptor(PASID, PROCESS, 2n);
    // STE: valid, stage 1, a linear table of 2^6 CDs; SSID 0 for requests without one, full ATS, no stalls.
    const second = 2n | (1n << 27n) | (1n << 28n);
    ram.words(STREAMS + SID * 64n, CONTEXTS | (6n << 59n) | 0b1011n, second, 0n, 0n, 0n, 0n, 0n, 0n);
    await smmu.write64(BAR0, STRTAB_BASE, STREAMS);
    await smmu.write32(BAR0, STRTAB_BASE_CFG, 6);
    await smmu.write64(BAR0, CMDQ_BASE, COMMANDS | 8n);
    await smmu.write64(BAR0, EVENTQ_BASE, EVENTS | 7n);
    await smmu.write64(BAR0, PRIQ_BASE, REQUESTS | 8n);
    await smmu.write32(BAR0, CR1, 0xd75);
    await smmu.write32(BAR0, CR2, 0);
    await smmu.write64(BAR0, EVENTQ_IRQ_CFG0, DOORBELL);
    await smmu.write32(BAR0, EVENTQ_IRQ_CFG0 + 8, 80);
    await smmu.write64(BAR0, PRIQ_IRQ_CFG0, DOORBELL);
    await smmu.write32(BAR0, PRIQ_IRQ_CFG0 + 8, 81);
    await smmu.write32(BAR0, IRQ_CTRL, 7);
    await smmu.write32(BAR0, CR0, 0x1f);
    expect(await smmu.read32(BAR0, CR0ACK)).toBe(0x1f);
  }

  /** Queues a command and a CMD_SYNC, and waits until both are consumed. */
  async submit(...command: [bigint, bigint]): Promise<void> {
    for (const words of [command, [0x46n, 0n]]) {
      this.ram.words(COMMANDS + (this.#prod % 256n) * 16n, ...words);
      this.#prod = (this.#prod + 1n) % 512n;
    }
    await this.smmu.write32(BAR0, CMDQ_PROD, Number(this.#prod));
    while ((await this.smmu.read32(BAR0, CMDQ_CONS)) !== Number(this.#prod)) await new Promise(setImmediate);
  }

  /** CMD_TLBI_NH_ASID. */
  flush(asid: bigint): Promise<void> {
    return this.submit(0x11n | (asid << 48n), 0n);
  }
  /** CMD_ATC_INV of everything for a PASID. */
  flushDevice(): Promise<void> {
    return this.submit(0x40n | (1n << 11n) | (PASID << 12n) | (SID << 32n), 52n);
  }
  /** CMD_PRI_RESP. */
  respond(group: bigint, code: bigint): Promise<void> {
    return this.submit(0x41n | (1n << 11n) | (PASID << 12n) | (SID << 32n), group | (code << 12n));
  }
}

async function boot(caches: "none" | "retain" = "none"): Promise<Kernel> {
  const rig = await bridgeRig({ unit: SMMU, caches });
  const smmu = await rig.client(rig.iommu);
  const dma = await rig.client(rig.dma);
  for (const client of [smmu, dma]) {
    // Flash without a file, as QEMU announces it: offset 0, and not RAM of ours.
    await client.map(0n, 0x400_0000n, 0n);
    await client.map(RAM, BigInt(RAM_BYTES), 0n);
  }
  const kernel = new Kernel(smmu, new DmaDriver(dma), new GuestFile(rig.ram, RAM));
  await kernel.enable();
  return kernel;
}

const pattern = (bytes: number) => Buffer.from(Array.from({ length: bytes }, (_, i) => (i * 11 + 3) % 256));
const message = (data: number) => ({ address: DOORBELL, data: Buffer.from([data, 0, 0, 0]) });

describe("an SMMUv3 driver through sockets", () => {
  it("copies through a mapping", async () => {
    const kernel = await boot();
    const { dma, ram } = kernel;
    await dma.enable();
    kernel.map(DOMAIN, IOVA, DATA);
    kernel.map(DOMAIN, IOVA + 0x1000n, DATA + 0x7000n);
    const sent = pattern(5000);
    ram.write(DATA + 0x800n, sent.subarray(0, 0x800));
    ram.write(DATA + 0x7000n, sent.subarray(0x800));
    expect(await dma.run(0, IOVA + 0x800n, 5000)).toEqual({
      status: 2,
      result: RESULT.OK,
      moved: 5000,
      code: 0,
      fault: 0n,
    });
    expect(await dma.client.read(BAR0, BUFFER, 5000)).toEqual(sent);
    expect((await dma.run(WRITE, IOVA, 256, { offset: 4000 })).result).toBe(RESULT.OK);
    expect(ram.read(DATA, 256)).toEqual(sent.subarray(4000, 4256));
  });

  it("unmap counts after the invalidation for an SMMU that retains: then F_TRANSLATION and its MSI", async () => {
    const kernel = await boot("retain");
    const { dma, smmu, ram } = kernel;
    await dma.enable();
    kernel.map(DOMAIN, IOVA, DATA);
    expect((await dma.run(0, IOVA, 16)).result).toBe(RESULT.OK);
    kernel.unmap(DOMAIN, IOVA);
    expect((await dma.run(0, IOVA, 16)).result).toBe(RESULT.OK);
    await kernel.flush(1n);
    expect(await dma.run(WRITE, IOVA + 4n, 16)).toMatchObject({
      result: RESULT.CA,
      moved: 0,
      code: 0x10,
      fault: IOVA + 4n,
    });
    await smmu.written(1);
    expect(smmu.writes).toEqual([message(80)]);
    expect(await smmu.read32(BAR0, EVENTQ_PROD)).toBe(1);
    // F_TRANSLATION of the stream; a write of data by an unprivileged device, stage 1; the address.
    expect(ram.word(EVENTS)).toBe(0x10n | (SID << 32n));
    expect(ram.word(EVENTS + 16n)).toBe(IOVA + 4n);
  });

  it("the engine's interrupt is a write that the SMMU translates to the doorbell", async () => {
    const kernel = await boot();
    const { dma } = kernel;
    await dma.enable();
    await dma.msi(IOVA + 0x40n, 90);
    kernel.map(DOMAIN, IOVA, DOORBELL & ~0xfffn);
    kernel.map(DOMAIN, IOVA + 0x1000n, DATA);
    await dma.run(INTERRUPT, IOVA + 0x1000n, 4);
    await dma.client.written(1);
    expect(dma.client.writes).toEqual([message(90)]);
    // Data to where there is no RAM is a bus error, and goes nowhere.
    expect((await dma.run(WRITE, IOVA, 4)).result).toBe(RESULT.BUS);
    await dma.run(INTERRUPT, IOVA + 0x1000n, 4);
    await dma.client.written(2);
    expect(dma.client.writes).toEqual([message(90), message(90)]);
  });

  it("an interrupt that nothing maps is a fault of the device", async () => {
    const kernel = await boot();
    const { dma, smmu, ram } = kernel;
    await dma.enable();
    await dma.msi(IOVA + 0x40n, 90);
    kernel.map(DOMAIN, IOVA + 0x1000n, DATA);
    await dma.run(INTERRUPT, IOVA + 0x1000n, 4);
    await smmu.written(1);
    expect(ram.word(EVENTS + 16n)).toBe(IOVA + 0x40n);
    expect(dma.client.writes).toEqual([]);
  });

  it("SubstreamID, ATS and a page request with its response", async () => {
    const kernel = await boot();
    const { dma, smmu, ram } = kernel;
    await dma.enable("ats", "pri", "pasid");
    kernel.map(PROCESS, IOVA, DATA);
    kernel.unmap(PROCESS, IOVA);
    ram.write(DATA, pattern(100));
    await dma.start(ATS | PRI, IOVA, 100, { pasid: 5 });
    expect((await dma.outcome()).status).toBe(0b1001);
    await smmu.written(1);
    expect(smmu.writes[0]).toEqual(message(81));
    expect(await smmu.read32(BAR0, PRIQ_PROD)).toBe(1);
    // StreamID, SubstreamID valid, read, last; group 1 and the page.
    expect(ram.word(REQUESTS)).toBe(SID | (PASID << 32n) | (1n << 60n) | (1n << 62n) | (1n << 63n));
    expect(ram.word(REQUESTS + 8n)).toBe(IOVA | 1n);
    kernel.map(PROCESS, IOVA, DATA);
    await kernel.respond(1n, 2n);
    expect(await dma.outcome()).toMatchObject({ status: 2, result: RESULT.OK, moved: 100 });
    expect(await dma.client.read(BAR0, BUFFER, 100)).toEqual(pattern(100));
    // The device keeps the translation until CMD_ATC_INV.
    kernel.unmap(PROCESS, IOVA);
    await kernel.flush(2n);
    expect((await dma.run(ATS, IOVA, 100, { pasid: 5 })).result).toBe(RESULT.OK);
    await kernel.flushDevice();
    expect(await dma.register(0x54)).toBe(0);
    expect((await dma.run(ATS, IOVA, 100, { pasid: 5 })).result).toBe(RESULT.NO_PERMISSION);
  });

  it("a stalled transfer waits for CMD_RESUME", async () => {
    const kernel = await boot();
    const { dma, ram } = kernel;
    await dma.enable();
    // S: stall; and the STE must not forbid it. New configuration counts after CMD_CFGI_STE and CMD_CFGI_CD.
    ram.words(CONTEXTS, ram.word(CONTEXTS) | (1n << 44n));
    ram.words(STREAMS + SID * 64n + 8n, 2n);
    await kernel.submit(0x03n | (SID << 32n), 1n);
    kernel.map(DOMAIN, IOVA, DATA);
    kernel.unmap(DOMAIN, IOVA);
    ram.write(DATA, pattern(16));
    await dma.start(0, IOVA, 16);
    expect((await dma.outcome()).status).toBe(0b1001);
    const stag = (ram.word(EVENTS + 8n) >> 0n) & 0xffffn;
    kernel.map(DOMAIN, IOVA, DATA);
    // CMD_RESUME with retry.
    await kernel.submit(0x44n | (1n << 12n) | (SID << 32n), stag);
    expect(await dma.outcome()).toMatchObject({ status: 2, result: RESULT.OK, moved: 16 });
    expect(await dma.client.read(BAR0, BUFFER, 16)).toEqual(pattern(16));
  });
});
