/**
 * An SMMU with RAM and a careful driver: what the conformance tests act through. Only MMIO, guest memory
 * and a device's requests; structures and commands come from `smmu-fields.ts`.
 */
import {
  GuestMemory,
  type GuestMemoryOptions,
  type Outcome,
  type Request,
  type SmmuCachePolicy,
} from "../../src/index.ts";
import { Smmuv3 } from "../../src/smmuv3/index.ts";
import { covered, describeTables, entryAddress, type Tables } from "./smmu-cases/tables.ts";
import { eventWords } from "./smmu-events.ts";
import { CD, COMMAND, CR0, type OP, PAGE, PAGE2, REG, STE, TABLE, type Values, words } from "./smmu-fields.ts";

export const RAM = 0x4000_0000n;
const RAM_BYTES = 0x400_0000n;
export const CMDQ = RAM;
export const LOG2_COMMANDS = 7;
export const EVENTQ = RAM + 0x1_0000n;
export const PRIQ = RAM + 0x2_0000n;
export const STREAMS = RAM + 0x4_0000n;
/** Bits of StreamIDs in the linear stream table. */
export const STREAM_BITS = 8;
export const CDS = RAM + 0x8_0000n;
const TABLES = RAM + 0x100_0000n;
/** The device of most tests, and a page it uses. */
export const SID = 5;
export const VA = 0x12_3456_7000n;
export const PA = RAM + 0x20_0000n;

/** ID registers that differ from a server part with everything in. */
export interface IdOverrides {
  IDR0?: number;
  IDR1?: number;
  IDR3?: number;
  IDR5?: number;
  AIDR?: number;
}
/** The example profile: v3.2, all of it, 48-bit addresses, 32 stalls. */
export const IDS = { IDR0: 0x084d_369b, IDR1: 0x0def_5510, IDR3: 0x1714, IDR5: 0x0020_0075, AIDR: 2 } as const;

export interface Options {
  ids?: IdOverrides;
  cr2?: number;
  /** Beside SMMUEN, EVENTQEN and CMDQEN. */
  cr0?: number;
  log2Events?: number;
  log2Pages?: number;
  /** Leaves SMMUEN = 0. */
  off?: boolean;
  memory?: Omit<GuestMemoryOptions, "ram">;
  /** "retain" unless told: the unforgiving cache. */
  caches?: SmmuCachePolicy;
}

/** What a test expects in the event queue. */
export interface Expected {
  code: number;
  stage?: number;
  class?: number;
  ipa?: bigint;
  fetchAddress?: bigint;
  tableWrite?: boolean;
  stall?: boolean;
  privileged?: boolean;
  instruction?: boolean;
}

export const DEFAULT_CD: Values<typeof CD> = {
  V: 1,
  T0SZ: 16,
  TG0: 0,
  T1SZ: 16,
  TG1: 2,
  IPS: 5,
  AA64: 1,
  R: 1,
  A: 1,
  ASID: 1,
  MAIR: 0xffn,
};
export const DEFAULT_STAGE2: Values<typeof STE> = {
  S2VMID: 1,
  S2T0SZ: 16,
  S2SL0: 2,
  S2TG: 0,
  S2PS: 5,
  S2AA64: 1,
  S2R: 1,
};

export class SmmuMachine {
  readonly memory: GuestMemory;
  readonly smmu: Smmuv3;
  readonly log2Events: number;
  #commands = 0;
  #events = 0;
  #next = TABLES;

  constructor(options: Options = {}) {
    const { ids = {}, cr2 = 2, cr0 = 0, log2Events = 5 } = options;
    this.log2Events = log2Events;
    this.memory = new GuestMemory({ ram: [{ base: RAM, size: RAM_BYTES }], ...options.memory });
    // The unforgiving cache: what software did not invalidate stays in use.
    this.smmu = new Smmuv3(this.memory, { ids: { ...IDS, ...ids }, caches: options.caches ?? "retain" });
    this.write(REG.CR2, cr2);
    this.write64(REG.STRTAB_BASE, STREAMS);
    this.write(REG.STRTAB_BASE_CFG, STREAM_BITS);
    this.write64(REG.CMDQ_BASE, CMDQ | BigInt(LOG2_COMMANDS));
    this.write64(REG.EVENTQ_BASE, EVENTQ | BigInt(log2Events));
    this.write64(REG.PRIQ_BASE, PRIQ | BigInt(options.log2Pages ?? 3));
    const queues = CR0.CMDQEN | CR0.EVENTQEN | cr0;
    this.write(REG.CR0, queues);
    if (!options.off) this.write(REG.CR0, queues | CR0.SMMUEN);
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

  store(address: bigint, values: readonly bigint[]): void {
    values.forEach((value, i) => {
      this.memory.write64(address + BigInt(8 * i), value);
    });
  }

  /** Fresh zeroed memory for a table of 2^log2 bytes. */
  allocate(log2: number): bigint {
    const size = 1n << BigInt(log2);
    const at = (this.#next + size - 1n) & ~(size - 1n);
    this.#next = at + size;
    return at;
  }

  setSte(values: Values<typeof STE>, sid = SID): void {
    this.store(STREAMS + BigInt(64 * sid), words(STE, 8, values));
    this.invalidateAll();
  }
  setCd(values: Values<typeof CD>, at = CDS): void {
    this.store(at, words(CD, 8, values));
    this.invalidateAll();
  }

  /** Stage 1 with one CD, 4 KiB granule, 48-bit halves; returns the table that TTB0 holds. */
  stage1(cd: Values<typeof CD> = {}, ste: Values<typeof STE> = {}): TestTables {
    const tables = this.tables(12, 48, 0);
    this.setCd({ ...DEFAULT_CD, TTB0: tables.base, TTB1: tables.base, ...cd });
    this.setSte({ V: 1, Config: 5, S1ContextPtr: CDS, SHCFG: 1, ...ste });
    return tables;
  }

  /** Stage 2 alone, 4 KiB granule, 48 bits. */
  stage2(ste: Values<typeof STE> = {}): TestTables {
    const tables = this.tables(12, 48, 0);
    this.setSte({ V: 1, Config: 6, SHCFG: 1, ...DEFAULT_STAGE2, S2TTB: tables.base, ...ste });
    return tables;
  }

  /** Both stages; all of RAM is mapped onto itself by stage 2, in pages of 2 MiB. */
  nested(cd: Values<typeof CD> = {}, ste: Values<typeof STE> = {}): { first: TestTables; second: TestTables } {
    const first = this.tables(12, 48, 0);
    const second = this.tables(12, 48, 0);
    for (let at = RAM; at < RAM + RAM_BYTES; at += 0x20_0000n) second.map2(at, at, {}, 2);
    this.setCd({ ...DEFAULT_CD, TTB0: first.base, TTB1: first.base, ...cd });
    this.setSte({ V: 1, Config: 7, S1ContextPtr: CDS, SHCFG: 1, ...DEFAULT_STAGE2, S2TTB: second.base, ...ste });
    return { first, second };
  }

  tables(granule: number, inputBits: number, startLevel: number): TestTables {
    return new TestTables(this, granule, inputBits, startLevel);
  }

  ask(request: Partial<Request> = {}): Outcome {
    return this.smmu.translate({ sid: SID, address: VA, ...request });
  }

  /** Sends commands and lets them run. */
  command(Opcode: (typeof OP)[keyof typeof OP] | number, values: Values<typeof COMMAND> = {}): void {
    const index = this.#commands % (1 << LOG2_COMMANDS);
    this.store(CMDQ + BigInt(16 * index), words(COMMAND, 2, { Opcode, ...values }));
    this.#commands++;
    this.write(REG.CMDQ_PROD, this.#commands % (2 << LOG2_COMMANDS));
  }

  sync(): void {
    this.command(0x46);
  }

  /** CFGI_ALL, TLBI_NSNH_ALL, TLBI_EL2_ALL, SYNC. */
  invalidateAll(): void {
    this.command(0x04, { Range: 31 });
    this.command(0x30);
    this.command(0x20);
    this.sync();
  }

  /** New event records, taken out of the queue. */
  events(): bigint[][] {
    const records: bigint[][] = [];
    const prod = this.read(REG.EVENTQ_PROD) & 0xf_ffff;
    while (this.#events !== prod) {
      const index = this.#events % (1 << this.log2Events);
      records.push([0, 1, 2, 3].map((i) => this.memory.read64(EVENTQ + BigInt(32 * index + 8 * i))));
      this.#events = (this.#events + 1) % (2 << this.log2Events);
    }
    const acknowledged = this.read(REG.EVENTQ_CONS) & 0x8000_0000;
    this.write(REG.EVENTQ_CONS, (this.#events | acknowledged) >>> 0);
    return records;
  }
}

/** The record that IHI 0070 7.3 wants. */
export function record(request: Request, expected: Expected): bigint[] {
  return eventWords(
    request,
    {
      answer: expected.stall ? "stall" : "abort",
      code: expected.code,
      stage: expected.stage ?? 0,
      class: expected.class ?? (expected.stage === 1 ? 2 : 0),
      ipa: expected.ipa ?? 0n,
      fetchAddress: expected.fetchAddress ?? 0n,
      tableWrite: expected.tableWrite ?? false,
    },
    { privileged: expected.privileged ?? false, instruction: expected.instruction ?? false },
  );
}

export const hexWords = (values: readonly bigint[]): string => values.map((word) => `0x${word.toString(16)}`).join(" ");

/** Translation tables of one stage that grow as mappings are made. */
export class TestTables {
  readonly base: bigint;
  readonly #machine: SmmuMachine;
  readonly #shape: Tables;

  constructor(machine: SmmuMachine, granule: number, inputBits: number, startLevel: number) {
    const shape = describeTables(granule, inputBits, startLevel);
    this.#machine = machine;
    this.base = machine.allocate(Math.max(shape.startLog2, 12));
    this.#shape = { ...shape, outputBits: 48, bigEndian: false, base: this.base, wide: false };
  }

  /** Address of the descriptor for `input` at `level`; tables above it are made, with `above` in them. */
  entry(input: bigint, level = 3, above: Values<typeof TABLE> = {}): bigint {
    let table = this.base;
    for (let at = this.#shape.startLevel; ; at++) {
      const address = entryAddress(this.#shape, table, at, input);
      if (at === level) return address;
      const there = this.#machine.memory.read64(address);
      table = there & 0xffff_ffff_f000n;
      if (there === 0n) {
        table = this.#machine.allocate(this.#shape.granule);
        this.#machine.store(address, [(words(TABLE, 1, above)[0] as bigint) | table | 3n]);
      }
    }
  }

  /** Stage 1 leaf: AF = 1, AP = 01 unless told; returns where its descriptor lies. */
  map(
    input: bigint,
    output: bigint,
    leaf: Values<typeof PAGE> = {},
    level = 3,
    above: Values<typeof TABLE> = {},
  ): bigint {
    const attributes = words(PAGE, 1, { AF: 1, AP: 1, SH: 3, ...leaf })[0] as bigint;
    return this.#leaf(input, output, attributes, level, above);
  }

  /** Stage 2 leaf: AF = 1, S2AP = 11, Normal write-back unless told. */
  map2(input: bigint, output: bigint, leaf: Values<typeof PAGE2> = {}, level = 3): bigint {
    const attributes = words(PAGE2, 1, { AF: 1, S2AP: 3, SH: 3, MemAttr: 15, ...leaf })[0] as bigint;
    return this.#leaf(input, output, attributes, level, {});
  }

  #leaf(input: bigint, output: bigint, attributes: bigint, level: number, above: Values<typeof TABLE>): bigint {
    const at = this.entry(input, level, above);
    const size = 1n << BigInt(covered(this.#shape.granule, level));
    this.#machine.store(at, [(output & ~(size - 1n)) | attributes | (level === 3 ? 3n : 1n)]);
    return at;
  }
}
