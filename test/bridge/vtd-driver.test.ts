/**
 * A tiny VT-d driver that works through sockets and the RAM file only, as a kernel in a virtual machine does.
 *
 * Numbers are those of Linux's drivers/iommu/intel (iommu.h, pasid.h, prq.c) and of Intel D51397 rev 5.10.
 */
import { describe, expect, it } from "vitest";
import { bridgeRig, MIB, RAM_BYTES } from "../support/bridge-rig.ts";
import {
  ATS,
  ATS_CONTROL,
  BAR0,
  BUFFER,
  CONFIG,
  DmaDriver,
  GuestFile,
  INTERRUPT,
  PRI,
  PRI_CONTROL,
  PRI_STATUS,
  PRIVILEGED,
  RESULT,
  TRANSLATE,
  WRITE,
} from "../support/dma-driver.ts";
import { CMD, type VfioClient } from "../support/vfio-client.ts";

const ROOT = 0x10000n;
const CONTEXT = 0x11000n;
const DIRECTORY = 0x12000n;
const PASIDS = 0x13000n;
const QUEUE = 0x14000n;
const STATUS = 0x15000n;
const PAGE_REQUESTS = 0x16000n;
/** Tables of the domain for requests without PASID, and of a process. */
const DOMAIN = 0x20000n;
const PROCESS = 0x30000n;
const DATA = 0x100000n;

const SID = 0x30n;
const PASID = 5n;
const IOVA = 0x7f12_3456_7000n;

/** Registers. */
const GCMD = 0x18;
const GSTS = 0x1c;
const RTADDR = 0x20;
const FSTS = 0x34;
const FECTL = 0x38;
const IQT = 0x88;
const IQA = 0x90;
const PQT = 0xc8;
const PQA = 0xd0;
const PECTL = 0xe0;

/** Address and S of a device-TLB invalidation: the lowest zero bit is bit 63. */
const EVERYTHING = 0x7fff_ffff_ffff_f800n;

const indexOf = (address: bigint, level: number) => (address >> BigInt(12 + 9 * (level - 1))) & 0x1ffn;

class Kernel {
  readonly iommu: VfioClient;
  readonly dma: DmaDriver;
  readonly ram: GuestFile;
  #tail = 0n;

  constructor(iommu: VfioClient, dma: DmaDriver, ram: GuestFile) {
    this.iommu = iommu;
    this.dma = dma;
    this.ram = ram;
  }

  /** Maps a page in a first-stage table of four levels whose tables lie from `root` on. */
  map(root: bigint, iova: bigint, target: bigint): void {
    for (let level = 4; level > 1; level--) {
      const table = root + BigInt(4 - level) * 0x1000n;
      // Present, writable, user, accessed.
      this.ram.words(table + indexOf(iova, level) * 8n, (table + 0x1000n) | 0x27n);
    }
    // And dirty.
    this.ram.words(root + 0x3000n + indexOf(iova, 1) * 8n, target | 0x67n);
  }

  unmap(root: bigint, iova: bigint): void {
    this.ram.words(root + 0x3000n + indexOf(iova, 1) * 8n, 0n);
  }

  /** Waits for a command to show in the status register. */
  async command(bit: number): Promise<void> {
    const kept = (await this.iommu.read32(BAR0, GSTS)) & 0x96ff_ffff;
    await this.iommu.write32(BAR0, GCMD, (kept | bit) >>> 0);
    while (((await this.iommu.read32(BAR0, GSTS)) & bit) === 0) await new Promise(setImmediate);
  }

  async enableTranslation(): Promise<void> {
    const { iommu, ram } = this;
    // Root entry of bus 0, lower half; context entry of 00:06.0: present, device TLB, PASIDs, page requests.
    ram.words(ROOT, CONTEXT | 1n, 0n);
    ram.words(CONTEXT + SID * 32n, DIRECTORY | 0b11101n, 0n, 0n, 0n);
    ram.words(DIRECTORY, PASIDS | 1n);
    // First stage, 4 levels, snooped; domain ids 1 and 2.
    this.pasidEntry(0n, DOMAIN, 1n);
    this.pasidEntry(PASID, PROCESS, 2n);
    await iommu.write64(BAR0, RTADDR, ROOT | 0x400n);
    await this.command(1 << 30);
    await iommu.write64(BAR0, IQA, QUEUE | 0x800n);
    await this.command(1 << 26);
    await iommu.write64(BAR0, FECTL + 8, 0xfee0_1000n);
    await iommu.write32(BAR0, FECTL + 4, 0x4021);
    await iommu.write32(BAR0, FECTL, 0);
    await iommu.write64(BAR0, PQA, PAGE_REQUESTS);
    await iommu.write64(BAR0, PECTL + 8, 0xfee0_2000n);
    await iommu.write32(BAR0, PECTL + 4, 0x4022);
    await iommu.write32(BAR0, PECTL, 0);
    await this.command(2 ** 31);
  }

  pasidEntry(pasid: bigint, table: bigint, did: bigint): void {
    this.ram.words(PASIDS + pasid * 64n, (1n << 6n) | (2n << 2n) | 1n, (1n << 23n) | did, table, 0n, 0n, 0n, 0n, 0n);
  }

  /** Queues a descriptor. */
  async queue(...descriptor: bigint[]): Promise<void> {
    this.ram.words(QUEUE + this.#tail, ...[...descriptor, 0n, 0n, 0n].slice(0, 4));
    this.#tail = (this.#tail + 32n) % 4096n;
    await this.iommu.write64(BAR0, IQT, this.#tail);
  }

  /** Queues a descriptor and one that writes a status word, and waits for that. */
  async submit(...descriptor: bigint[]): Promise<void> {
    this.ram.words(STATUS, 0n);
    await this.queue(...descriptor);
    await this.queue((1n << 32n) | (1n << 5n) | 5n, STATUS);
    while (this.ram.word(STATUS) === 0n) await new Promise(setImmediate);
  }

  /** PASID-based IOTLB invalidation of a whole PASID, and of the device's TLB. */
  async flush(pasid: bigint, did: bigint): Promise<void> {
    await this.submit((pasid << 32n) | (did << 16n) | (2n << 4n) | 6n, 0n);
  }
  async flushDevice(pasid: bigint): Promise<void> {
    await this.submit((pasid << 32n) | (SID << 16n) | 8n, EVERYTHING);
  }
  async respond(pasid: bigint, group: bigint, code: bigint): Promise<void> {
    await this.submit((pasid << 32n) | (SID << 16n) | (code << 12n) | (1n << 4n) | 9n, group << 3n);
  }
}

async function boot(caches: "none" | "retain" = "none"): Promise<Kernel> {
  const rig = await bridgeRig({ caches });
  const iommu = await rig.client(rig.iommu);
  const dma = await rig.client(rig.dma);
  for (const client of [iommu, dma]) await client.map(0n, BigInt(RAM_BYTES), 0n);
  const kernel = new Kernel(iommu, new DmaDriver(dma), new GuestFile(rig.ram));
  await kernel.enableTranslation();
  return kernel;
}

/** A machine up and running, its engine enabled. */
async function booted(...enabled: Parameters<DmaDriver["enable"]>) {
  const kernel = await boot();
  await kernel.dma.enable(...enabled);
  return { kernel, dma: kernel.dma, iommu: kernel.iommu, ram: kernel.ram };
}

const pattern = (bytes: number, from = 1) => Buffer.from(Array.from({ length: bytes }, (_, i) => (i * 7 + from) % 256));

describe("a VT-d driver through sockets", () => {
  it("copies through a mapping: from the guest into the engine and out to another page", async () => {
    const kernel = await boot();
    const { dma, ram } = kernel;
    await dma.enable();
    kernel.map(DOMAIN, IOVA, DATA);
    kernel.map(DOMAIN, IOVA + 0x1000n, DATA + 0x5000n);
    const sent = pattern(6000);
    ram.write(DATA + 0x100n, sent.subarray(0, 0xf00));
    ram.write(DATA + 0x5000n, sent.subarray(0xf00));
    expect(await dma.run(0, IOVA + 0x100n, 6000)).toEqual({
      status: 2,
      result: RESULT.OK,
      moved: 6000,
      code: 0,
      fault: 0n,
    });
    expect(await dma.client.read(BAR0, BUFFER, 6000)).toEqual(sent);
    expect((await dma.run(WRITE, IOVA + 0x10n, 1000, { offset: 5000 })).result).toBe(RESULT.OK);
    expect(ram.read(DATA + 0x10n, 1000)).toEqual(sent.subarray(5000));
  });

  it("unmap without invalidation is not seen by a unit that retains; after it comes fault, record and MSI", async () => {
    const kernel = await boot("retain");
    const { dma, iommu, ram } = kernel;
    await dma.enable();
    kernel.map(DOMAIN, IOVA, DATA);
    ram.write(DATA, pattern(16));
    expect((await dma.run(0, IOVA, 16)).result).toBe(RESULT.OK);
    kernel.unmap(DOMAIN, IOVA);
    expect((await dma.run(0, IOVA, 16)).result).toBe(RESULT.OK);
    await kernel.flush(0n, 1n);
    // 71h: present bit of a first-stage entry is clear.
    expect(await dma.run(WRITE, IOVA, 16)).toEqual({ status: 6, result: RESULT.UR, moved: 0, code: 0x71, fault: IOVA });
    await iommu.written(1);
    expect(iommu.writes).toEqual([{ address: 0xfee0_1000n, data: Buffer.from([0x21, 0x40, 0, 0]) }]);
    expect((await iommu.read32(BAR0, FSTS)) & 2).toBe(2);
    // CAP.FRO tells where the records are; F, T1 = 0 for a write, reason, source-id; the page.
    const fro = Number((await iommu.read64(BAR0, 8)) >> 24n) & 0x3ff;
    expect(await iommu.read64(BAR0, fro * 16)).toBe(IOVA);
    expect(await iommu.read64(BAR0, fro * 16 + 8)).toBe((1n << 63n) | (0x71n << 32n) | SID);
  });

  it("the engine's own interrupt goes where its MSI capability says", async () => {
    const kernel = await boot();
    const { dma } = kernel;
    await dma.enable();
    await dma.msi(0xfee0_3000n, 0x4031);
    kernel.map(DOMAIN, IOVA, DATA);
    await dma.run(INTERRUPT, IOVA, 4);
    await dma.client.written(1);
    expect(dma.client.writes).toEqual([{ address: 0xfee0_3000n, data: Buffer.from([0x31, 0x40, 0, 0]) }]);
    // The client asks for one.
    expect(
      (
        await dma.client.call(
          CMD.SET_IRQS,
          Buffer.from([20, 0, 0, 0, 0x21, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0]),
        )
      ).errno,
    ).toBe(0);
    await dma.client.written(2);
  });

  it("works in the address space of a process: PASID, translation completions, translated requests", async () => {
    const kernel = await boot();
    const { dma, ram } = kernel;
    await dma.enable("ats", "pasid");
    kernel.map(PROCESS, IOVA, DATA);
    ram.write(DATA, pattern(64));
    expect((await dma.run(ATS, IOVA, 64, { pasid: 5 })).result).toBe(RESULT.OK);
    expect(await dma.client.read(BAR0, BUFFER, 64)).toEqual(pattern(64));
    expect(await dma.client.read64(BAR0, 0x38)).toBe(DATA);
    expect(await dma.register(0x54)).toBe(1);
    // Kept by the device until software says that it is void.
    kernel.unmap(PROCESS, IOVA);
    await kernel.flush(PASID, 2n);
    expect((await dma.run(ATS, IOVA, 64, { pasid: 5 })).result).toBe(RESULT.OK);
    await kernel.flushDevice(PASID);
    expect([await dma.register(0x50), await dma.register(0x54)]).toEqual([1, 0]);
    expect((await dma.run(ATS, IOVA, 64, { pasid: 5 })).result).toBe(RESULT.NO_PERMISSION);
    expect((await dma.run(ATS | TRANSLATE, IOVA, 0, { pasid: 5 })).result).toBe(RESULT.NO_PERMISSION);
  });

  it("a page request waits for software, and the transfer goes on after its response", async () => {
    const kernel = await boot();
    const { dma, iommu, ram } = kernel;
    await dma.enable("ats", "pri", "pasid");
    kernel.map(PROCESS, IOVA, DATA);
    kernel.unmap(PROCESS, IOVA);
    ram.write(DATA, pattern(4096));
    await dma.start(ATS | PRI, IOVA + 8n, 100, { pasid: 5 });
    expect((await dma.outcome()).status).toBe(0b1001);
    await iommu.written(1);
    expect(iommu.writes[0]).toEqual({ address: 0xfee0_2000n, data: Buffer.from([0x22, 0x40, 0, 0]) });
    expect(await iommu.read64(BAR0, PQT)).toBe(0x20n);
    // Page request: type 1, PASID present, source-id, PASID; read, last of group 1, page.
    expect(ram.word(PAGE_REQUESTS)).toBe((PASID << 32n) | (SID << 16n) | 0x101n);
    expect(ram.word(PAGE_REQUESTS + 8n)).toBe(IOVA | (1n << 3n) | 0b101n);
    kernel.map(PROCESS, IOVA, DATA);
    await kernel.respond(PASID, 1n, 0n);
    expect(await dma.outcome()).toMatchObject({ status: 2, result: RESULT.OK, moved: 100 });
    expect(await dma.client.read(BAR0, BUFFER, 100)).toEqual(pattern(4096).subarray(8, 108));
    expect([await dma.register(0x44), await dma.register(0x48), await dma.register(0x4c)]).toEqual([1, 1, 0]);
  });

  it("a page request that software refuses ends the transfer", async () => {
    const kernel = await boot();
    const { dma } = kernel;
    await dma.enable("ats", "pri", "pasid");
    kernel.map(PROCESS, IOVA, DATA);
    kernel.unmap(PROCESS, IOVA);
    await dma.start(ATS | PRI, IOVA, 100, { pasid: 5 });
    await kernel.respond(PASID, 1n, 1n);
    expect(await dma.outcome()).toMatchObject({ status: 6, result: RESULT.PAGE_REQUEST_FAILED, moved: 0, fault: IOVA });
  });

  it("a write after a read asks again, since the read asked for no write permission", async () => {
    const { dma, kernel, ram } = await booted("ats", "pasid");
    kernel.map(PROCESS, IOVA, DATA);
    expect((await dma.run(ATS, IOVA, 8, { pasid: 5 })).result).toBe(RESULT.OK);
    // R, and neither W nor X; N, since the table is snooped.
    expect((await dma.register(0x40)) & 0b111).toBe(0b001);
    await dma.client.write(BAR0, BUFFER, pattern(8));
    expect((await dma.run(ATS | WRITE, IOVA, 8, { pasid: 5 })).result).toBe(RESULT.OK);
    expect((await dma.register(0x40)) & 0b111).toBe(0b011);
    expect(ram.read(DATA, 8)).toEqual(pattern(8));
    expect(await dma.register(0x54)).toBe(1);
  });

  it("what was translated for the supervisor is not the user's", async () => {
    const { dma, kernel, ram } = await booted("ats", "pasid", "privileged");
    kernel.map(PROCESS, IOVA, DATA);
    // SRE in the PASID entry; U/S = 0 in the page's entry.
    ram.words(PASIDS + PASID * 64n + 16n, PROCESS | 1n);
    ram.words(PROCESS + 0x3000n + indexOf(IOVA, 1) * 8n, DATA | 0x63n);
    expect((await dma.run(ATS | PRIVILEGED, IOVA, 8, { pasid: 5 })).result).toBe(RESULT.OK);
    expect((await dma.run(ATS, IOVA, 8, { pasid: 5 })).result).toBe(RESULT.NO_PERMISSION);
    // Without ATS nothing stays translated.
    await dma.client.write16(CONFIG, ATS_CONTROL, 0);
    expect(await dma.register(0x54)).toBe(0);
  });

  it("an address of interrupts is translated for untranslated requests only, and delivered", async () => {
    const { dma, iommu } = await booted("ats");
    await dma.client.write32(BAR0, BUFFER, 0x4055);
    expect((await dma.run(ATS | WRITE, 0xfee0_5000n, 4)).result).toBe(RESULT.OK);
    expect((await dma.register(0x40)) & 0b100000).toBe(0b100000);
    await iommu.written(1);
    expect(iommu.writes).toEqual([{ address: 0xfee0_5000n, data: Buffer.from([0x55, 0x40, 0, 0]) }]);
  });

  it("a device that ignores invalidations is found out: ITE and its source-id", async () => {
    const { dma, iommu, kernel } = await booted("ats", "pasid");
    kernel.map(PROCESS, IOVA, DATA);
    await dma.run(ATS, IOVA, 8, { pasid: 5 });
    await dma.client.write32(BAR0, 0x58, 1);
    await kernel.queue((PASID << 32n) | (SID << 16n) | 8n, EVERYTHING);
    expect((await iommu.read32(BAR0, FSTS)) & 0x40).toBe(0x40);
    expect(((await iommu.read64(BAR0, 0xb0)) >> 32n) & 0xffffn).toBe(SID);
    expect([await dma.register(0x50), await dma.register(0x54)]).toEqual([1, 1]);
  });

  it("a global invalidation takes the translations of every PASID, and none without", async () => {
    const { dma, kernel } = await booted("ats", "pasid");
    kernel.map(PROCESS, IOVA, DATA);
    kernel.map(DOMAIN, IOVA, DATA);
    await dma.run(ATS, IOVA, 8, { pasid: 5 });
    await dma.run(ATS, IOVA, 8);
    expect(await dma.register(0x54)).toBe(2);
    // G; another PASID.
    await kernel.submit((9n << 32n) | (SID << 16n) | 8n, EVERYTHING | 1n);
    expect(await dma.register(0x54)).toBe(1);
    expect((await dma.run(ATS, IOVA, 8)).result).toBe(RESULT.OK);
    // Page-selective, of another page and then of this one.
    await kernel.submit((SID << 32n) | 3n, IOVA + 0x1000n);
    expect(await dma.register(0x54)).toBe(1);
    await kernel.submit((SID << 32n) | 3n, IOVA);
    expect(await dma.register(0x54)).toBe(0);
  });

  it("software that says success and maps nothing is asked eight times", async () => {
    const { dma, kernel } = await booted("ats", "pri", "pasid");
    await dma.start(ATS | PRI, IOVA, 8, { pasid: 5 });
    for (let group = 1n; group <= 8n; group++) {
      expect((await dma.outcome()).status).toBe(0b1001);
      await kernel.respond(PASID, group, 0n);
    }
    expect(await dma.outcome()).toMatchObject({ status: 6, result: RESULT.PAGE_REQUEST_FAILED });
    expect(await dma.register(0x44)).toBe(8);
  });

  it("response failure stops page requests until software resets them", async () => {
    const { dma, kernel } = await booted("ats", "pri", "pasid");
    const { client } = dma;
    await dma.start(ATS | PRI, IOVA, 8, { pasid: 5 });
    await kernel.respond(PASID, 1n, 15n);
    expect((await dma.outcome()).result).toBe(RESULT.PAGE_REQUEST_FAILED);
    expect((await client.read(CONFIG, PRI_STATUS, 2)).readUInt16LE()).toBe(0x8001);
    expect((await dma.run(ATS | PRI, IOVA, 8, { pasid: 5 })).result).toBe(RESULT.REFUSED);
    await client.write16(CONFIG, PRI_CONTROL, 3);
    expect((await client.read(CONFIG, PRI_STATUS, 2)).readUInt16LE()).toBe(0x8000);
    await dma.start(ATS | PRI, IOVA, 8, { pasid: 5 });
    expect((await dma.outcome()).status).toBe(0b1001);
  });

  it("a response to nothing is noted, and cleared by writing 1", async () => {
    const { dma, kernel } = await booted("ats", "pri", "pasid");
    await kernel.respond(PASID, 7n, 0n);
    expect((await dma.client.read(CONFIG, PRI_STATUS, 2)).readUInt16LE()).toBe(0x8002);
    expect(await dma.register(0x48)).toBe(1);
    await dma.client.write16(CONFIG, PRI_STATUS, 2);
    expect((await dma.client.read(CONFIG, PRI_STATUS, 2)).readUInt16LE()).toBe(0x8000);
  });

  it("a busy engine takes no orders, and a reset one forgets what it waited for", async () => {
    const { dma, kernel } = await booted("ats", "pri", "pasid");
    const { client } = dma;
    await dma.start(ATS | PRI, IOVA, 8, { pasid: 5 });
    await client.write64(BAR0, 0x10, 0x1234n);
    await client.write32(BAR0, 8, 1);
    expect(await client.read64(BAR0, 0x10)).toBe(IOVA);
    expect((await dma.outcome()).status).toBe(0b1001);
    await client.write16(CONFIG, 0x48, 0x8000);
    expect((await dma.outcome()).status).toBe(0);
    kernel.map(PROCESS, IOVA, DATA);
    await kernel.respond(PASID, 1n, 0n);
    expect(await dma.outcome()).toMatchObject({ status: 0, moved: 0 });
    await dma.enable("ats", "pri", "pasid");
    expect((await dma.run(ATS | PRI, IOVA, 8, { pasid: 5 })).result).toBe(RESULT.OK);
  });

  it("a RAM file that was cut off is a bus error for the engine, and an access error for a walk", async () => {
    const { truncateSync } = await import("node:fs");
    const rig = await bridgeRig();
    const iommu = await rig.client(rig.iommu);
    const dma = new DmaDriver(await rig.client(rig.dma));
    await iommu.map(0n, BigInt(RAM_BYTES), 0n);
    await dma.enable();
    const kernel = new Kernel(iommu, dma, new GuestFile(rig.ram));
    await kernel.enableTranslation();
    kernel.map(DOMAIN, IOVA, BigInt(RAM_BYTES) - 0x1000n);
    truncateSync(rig.ram, RAM_BYTES - MIB);
    expect((await dma.run(0, IOVA, 16)).result).toBe(RESULT.BUS);
    truncateSync(rig.ram, 0x10000);
    // 38h: the root entry cannot be read.
    expect(await dma.run(0, IOVA, 16)).toMatchObject({ result: RESULT.UR, code: 0x38 });
    await expect(rig.server.failed).rejects.toThrow(/shrank from 67108864 to 66060288 bytes/);
  });
});
