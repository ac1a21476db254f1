/** Drives the bridge's DMA engine as its register description says, and writes guest RAM through the file. */
import { closeSync, openSync, readSync, writeSync } from "node:fs";
import { onTestFinished } from "vitest";
import { pack, type VfioClient } from "./vfio-client.ts";

export const BAR0 = 0;
export const CONFIG = 7;
export const BUFFER = 0x10000;

export const RESULT = { OK: 0, REFUSED: 1, UR: 2, CA: 3, BUS: 4, NO_PERMISSION: 5, PAGE_REQUEST_FAILED: 6 } as const;
export const START = 1;
export const WRITE = 2;
export const PASID_VALID = 4;
export const PRIVILEGED = 8;
export const ATS = 16;
export const PRI = 32;
export const INTERRUPT = 64;
export const TRANSLATE = 128;

/** PCI capabilities of the engine, at the places where it has them. */
export const MSI = 0x80;
export const ATS_CONTROL = 0x106;
export const PRI_CONTROL = 0x114;
export const PRI_STATUS = 0x116;
export const PRI_ALLOCATION = 0x11c;
export const PASID_CONTROL = 0x126;

/** Guest RAM as the processor sees it. */
export class GuestFile {
  readonly #fd: number;
  readonly #base: bigint;

  /** @param base guest physical address of the file's first byte */
  constructor(path: string, base = 0n) {
    this.#fd = openSync(path, "r+");
    this.#base = base;
    onTestFinished(() => closeSync(this.#fd));
  }

  write(address: bigint, data: Uint8Array): void {
    writeSync(this.#fd, data, 0, data.length, Number(address - this.#base));
  }
  /** 64-bit words one after the other. */
  words(address: bigint, ...values: bigint[]): void {
    this.write(address, pack(...values));
  }
  read(address: bigint, bytes: number): Buffer {
    const data = Buffer.alloc(bytes);
    readSync(this.#fd, data, 0, bytes, Number(address - this.#base));
    return data;
  }
  word(address: bigint): bigint {
    return this.read(address, 8).readBigUInt64LE();
  }
}

export interface Outcome {
  status: number;
  result: number;
  moved: number;
  code: number;
  fault: bigint;
}

export class DmaDriver {
  readonly client: VfioClient;

  constructor(client: VfioClient) {
    this.client = client;
  }

  /** Memory decoding and bus mastering on; optionally ATS, PRI, PASID as a system enables them. */
  async enable(...what: ("ats" | "pri" | "pasid" | "privileged")[]): Promise<void> {
    const { client } = this;
    await client.write16(CONFIG, 4, 6);
    const pasid = (what.includes("pasid") ? 1 : 0) | (what.includes("privileged") ? 4 : 0);
    if (pasid) await client.write16(CONFIG, PASID_CONTROL, pasid);
    if (what.includes("pri")) {
      await client.write32(CONFIG, PRI_ALLOCATION, 1);
      await client.write16(CONFIG, PRI_CONTROL, 1);
    }
    if (what.includes("ats")) await client.write16(CONFIG, ATS_CONTROL, 0x8000);
  }

  async msi(address: bigint, data: number): Promise<void> {
    await this.client.write64(CONFIG, MSI + 4, address);
    await this.client.write16(CONFIG, MSI + 0xc, data);
    await this.client.write16(CONFIG, MSI + 2, 1);
  }

  /** Starts a transfer; what became of it is what `outcome` reads. */
  async start(command: number, address: bigint, length: number, options: { pasid?: number; offset?: number } = {}) {
    const { client } = this;
    await client.write32(BAR0, 0xc, 0xffff_ffff);
    await client.write64(BAR0, 0x10, address);
    await client.write32(BAR0, 0x18, length);
    await client.write32(BAR0, 0x1c, options.offset ?? 0);
    await client.write32(BAR0, 0x20, options.pasid ?? 0);
    const withPasid = options.pasid === undefined ? 0 : PASID_VALID;
    await client.write32(BAR0, 8, command | withPasid | START);
  }

  async outcome(): Promise<Outcome> {
    const bytes = await this.client.read(BAR0, 0, 0x60);
    return {
      status: bytes.readUInt32LE(0xc),
      result: bytes.readUInt32LE(0x24),
      moved: bytes.readUInt32LE(0x28),
      code: bytes.readUInt32LE(0x2c),
      fault: bytes.readBigUInt64LE(0x30),
    };
  }

  /** Starts a transfer that is over at once. */
  async run(...args: Parameters<DmaDriver["start"]>): Promise<Outcome> {
    await this.start(...args);
    return this.outcome();
  }

  register(offset: number): Promise<number> {
    return this.client.read32(BAR0, offset);
  }
}
