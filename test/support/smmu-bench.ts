/**
 * One SMMU with RAM and a plain driver, for the tests of registers, queues and events. Touches only
 * MMIO and guest memory; offsets and bits are written out here, from IHI 0070, not from our layout.
 */
import { GuestMemory } from "../../src/index.ts";
import { type SmmuOptions, Smmuv3 } from "../../src/smmuv3/index.ts";
import { REG } from "./smmu-fields.ts";

export const RAM = 0x4000_0000n;
export const RAM_BYTES = 0x100_0000n;
export const STRTAB = RAM + 0x1_0000n;
export const CMDQ = RAM + 0x2_0000n;
export const EVENTQ = RAM + 0x3_0000n;
export const PRIQ = RAM + 0x4_0000n;
export const CDS = RAM + 0x5_0000n;
/** Where tests may put things. */
export const FREE = RAM + 0x10_0000n;

export { REG as R };

export const SMMUEN = 1;
export const PRIQEN = 2;
export const EVENTQEN = 4;
export const CMDQEN = 8;
export const ATSCHK = 16;
export const ALL_QUEUES: number = PRIQEN | EVENTQEN | CMDQEN;
const WRAP = 0x8000_0000;

export interface BenchOptions extends SmmuOptions {
  log2Commands?: number;
  log2Events?: number;
  log2PageRequests?: number;
  /** CR0 at the end of the set-up; everything on unless told. */
  cr0?: number;
  cr2?: number;
}

export class SmmuBench {
  readonly memory: GuestMemory;
  readonly smmu: Smmuv3;
  readonly log2Commands: number;
  readonly log2Events: number;
  #prod = 0;
  #cons = 0;

  constructor(options: BenchOptions = {}) {
    const { log2Commands = 4, log2Events = 4, log2PageRequests = 3, cr0 = 0xf, cr2 = 2, ...rest } = options;
    this.log2Commands = log2Commands;
    this.log2Events = log2Events;
    this.memory = new GuestMemory({ ram: [{ base: RAM, size: RAM_BYTES }] });
    this.smmu = new Smmuv3(this.memory, rest);
    this.write(REG.CR2, cr2);
    this.write64(REG.STRTAB_BASE, STRTAB);
    this.write(REG.STRTAB_BASE_CFG, 6);
    this.write64(REG.CMDQ_BASE, CMDQ | BigInt(log2Commands));
    this.write64(REG.EVENTQ_BASE, EVENTQ | BigInt(log2Events));
    this.write64(REG.PRIQ_BASE, PRIQ | BigInt(log2PageRequests));
    this.enable(cr0);
  }

  enable(cr0: number): void {
    this.write(REG.CR0, cr0);
    this.smmu.acknowledge();
  }
  read(offset: number): number {
    return Number(this.smmu.mmio.read(offset, 4));
  }
  write(offset: number, value: number): void {
    this.smmu.mmio.write(offset, 4, BigInt(value >>> 0));
  }
  read64(offset: number): bigint {
    return this.smmu.mmio.read(offset, 8);
  }
  write64(offset: number, value: bigint): void {
    this.smmu.mmio.write(offset, 8, value);
  }

  /** Puts commands into the queue, without telling the SMMU. */
  place(...commands: readonly (readonly [bigint, bigint])[]): void {
    for (const [low, high] of commands) {
      const at = CMDQ + BigInt((this.#prod % 2 ** this.log2Commands) * 16);
      this.memory.write64(at, low);
      this.memory.write64(at + 8n, high);
      this.#prod = (this.#prod + 1) % 2 ** (this.log2Commands + 1);
    }
  }
  /** Puts commands into the queue and tells the SMMU. */
  send(...commands: readonly (readonly [bigint, bigint])[]): void {
    this.place(...commands);
    this.write(REG.CMDQ_PROD, this.#prod);
  }
  /** Where the driver's next command will stand, wrap flag included. */
  get prod(): number {
    return this.#prod;
  }
  set prod(prod: number) {
    this.#prod = prod;
  }

  /** Takes all records out of the event queue. */
  events(): bigint[][] {
    const out: bigint[][] = [];
    const size = 2 ** this.log2Events;
    for (const prod = this.read(REG.EVENTQ_PROD) % (2 * size); this.#cons !== prod; ) {
      out.push(this.record(this.#cons % size));
      this.#cons = (this.#cons + 1) % (2 * size);
    }
    this.write(REG.EVENTQ_CONS, (this.read(REG.EVENTQ_CONS) & WRAP) | this.#cons);
    return out;
  }
  /** A record by its place. */
  record(index: number): bigint[] {
    return this.words(EVENTQ + BigInt(32 * index), 4);
  }

  words(address: bigint, count: number): bigint[] {
    return Array.from({ length: count }, (_, i) => this.memory.read64(address + BigInt(8 * i)));
  }
  store(address: bigint, ...words: readonly bigint[]): void {
    words.forEach((word, i) => {
      this.memory.write64(address + BigInt(8 * i), word);
    });
  }
  /** An STE in the linear stream table. */
  ste(sid: number, ...words: readonly bigint[]): void {
    this.store(STRTAB + BigInt(64 * sid), ...words, ...new Array<bigint>(8 - words.length).fill(0n));
  }
}

export const SYNC: readonly [bigint, bigint] = [0x46n, 0n];
/** CMD_SYNC with an MSI: CS = 1. */
export const syncMsi = (address: bigint, data: bigint): [bigint, bigint] => [
  0x46n | (1n << 12n) | (data << 32n),
  address,
];
/** CMD_CFGI_ALL. */
export const CFGI_ALL: readonly [bigint, bigint] = [0x04n, 31n];
/** V = 1; Config bypass, abort. */
export const STE_BYPASS = 0b1001n;
export const STE_ABORT = 0b0001n;
/** qw0 and qw1 of a stage 1 STE with one CD. */
export const STE_STAGE1: readonly [bigint, bigint] = [0b1011n | CDS, 0n];

/** Fields of CD word 0. */
export const CD0 = {
  T0SZ_39_BITS: 25n,
  EPD1: 1n << 30n,
  V: 1n << 31n,
  IPS_48_BITS: 5n << 32n,
  AA64: 1n << 41n,
  HD: 1n << 42n,
  HA: 1n << 43n,
  S: 1n << 44n,
  R: 1n << 45n,
  A: 1n << 46n,
} as const;
/** A CD of one 39-bit address space that records and aborts; its tables are at TABLES. */
export const CD_PLAIN: bigint = CD0.V | CD0.T0SZ_39_BITS | CD0.EPD1 | CD0.IPS_48_BITS | CD0.AA64 | CD0.R | CD0.A;
export const TABLES = RAM + 0x6_0000n;
/** A leaf that everybody may read and write: page, AP[1], inner shareable, AF. */
export const LEAF = 0x743n;
/** Stage 1 leaf, without its address: page and inner shareable, AF = 0. */
export const LEAF_NO_AF = 0x343n;
/** Read-only for everybody. */
export const LEAF_READ_ONLY = 0x7c3n;

/** Gives a stream stage 1 with CD_PLAIN (or another word 0), and maps the first 512 pages' table. */
export function stage1(
  bench: SmmuBench,
  sid: number,
  cd: bigint = CD_PLAIN,
  ste: readonly [bigint, bigint] = STE_STAGE1,
): void {
  bench.store(CDS, cd, TABLES);
  bench.store(TABLES, (TABLES + 0x1000n) | 3n);
  bench.store(TABLES + 0x1000n, (TABLES + 0x2000n) | 3n);
  bench.ste(sid, ...ste);
}

/** Stores the leaf of page `page` (of the first 512) of `stage1`'s address space. */
export function leaf(bench: SmmuBench, page: number, descriptor: bigint): void {
  bench.store(TABLES + 0x2000n + BigInt(8 * page), descriptor);
}
