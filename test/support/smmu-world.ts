/** A stream with tables for one page, to be changed and then walked: for tests of single rules. */
import { type Fault, GuestMemory, type Outcome, type Request, SmmuWalker, type Translation } from "../../src/index.ts";
import { PageAllocator } from "../../src/page-allocator.ts";
import { type Fields, SmmuPageTable, type SmmuPageTableOptions } from "../../src/smmuv3/page-table.ts";
import { SmmuCdTable, SmmuStreamTable } from "../../src/smmuv3/tables.ts";
import type { SmmuState } from "../../src/smmuv3/walker.ts";
import { getField, setField } from "../../src/structure.ts";

export const RAM = 0x4000_0000n;
export const RAM_BYTES = 0x100_0000n;
/** The v3.2 SMMU of the worked example in the ID registers' tests: everything, 48-bit addresses. */
export const SERVER: Pick<SmmuState, "idr0" | "idr1" | "idr3" | "idr5" | "aidr"> = {
  idr0: 0x084d_369b,
  idr1: 0x0def_5510,
  idr3: 0x1714,
  idr5: 0x0020_0075,
  aidr: 2,
};
export const SID = 0x123;
/** Input address, where stage 1 maps it (an IPA when nested), and where that lies. */
export const VA = 0x12_3456_7000n;
export const IPA = 0x1_2345_6000n;
export const PA: bigint = RAM + 0xf0_0000n;
const SMMUEN = 1;
const RECINVSID = 2;

export interface Setup {
  config?: 4 | 5 | 6 | 7;
  state?: Partial<SmmuState>;
  ste?: Fields;
  cd?: Fields;
  leaf1?: Fields;
  leaf2?: Fields;
  log2Cds?: number;
  format?: 0 | 1 | 2;
  split?: 0 | 6 | 8 | 10;
  ssid?: number;
  table1?: Partial<SmmuPageTableOptions>;
  table2?: Partial<SmmuPageTableOptions>;
  va?: bigint;
  upper?: boolean;
}

export class World {
  readonly memory: GuestMemory = new GuestMemory({ ram: [{ base: RAM, size: RAM_BYTES }] });
  readonly pages: PageAllocator = new PageAllocator(this.memory, RAM + 0x10_0000n, 0x80_0000n);
  readonly state: SmmuState;
  readonly streams: SmmuStreamTable;
  readonly cds: SmmuCdTable;
  readonly first: SmmuPageTable;
  readonly second: SmmuPageTable;
  readonly walker: SmmuWalker;
  readonly va: bigint;
  /** Addresses of the entries, for poison and damage. */
  readonly ste: bigint;
  readonly cd: bigint;
  readonly leaf1: bigint;
  readonly leaf2: bigint;

  constructor(setup: Setup = {}) {
    const { config = 5, log2Cds = 0, format = 0, split = 8, ssid = 0 } = setup;
    const nested = config === 7;
    this.va = setup.va ?? VA;
    this.streams = new SmmuStreamTable(this.memory, this.pages, 10, split);
    this.second = new SmmuPageTable(this.memory, this.pages, {
      stage: 2,
      inputBits: 40,
      startLevel: 1,
      ...setup.table2,
    });
    // Behind stage 2 an address of the tables is 4 GiB above where it lies.
    const shift = nested ? 0x1_0000_0000n : 0n;
    const shifted = new PageAllocator(this.memory, RAM + 0x90_0000n, 0x40_0000n);
    const namer = nested
      ? ({ allocate: (n?: number, align?: number) => shifted.allocate(n, align) + shift } as PageAllocator)
      : this.pages;
    const locate = (address: bigint) => address - shift;
    this.first = new SmmuPageTable(this.memory, namer, { stage: 1, ...setup.table1, locate });
    this.cds = new SmmuCdTable(this.memory, namer, log2Cds, format, locate);
    this.leaf1 = this.first.map(this.va, nested ? IPA : PA, setup.leaf1 && { AF: 1, AP1: 1, nG: 1, ...setup.leaf1 });
    this.leaf2 = this.second.map(config === 6 ? this.va : IPA, PA, setup.leaf2 && { ...LEAF2, ...setup.leaf2 });
    if (nested) {
      for (let at = RAM + 0x90_0000n; at < RAM + 0xd0_0000n; at += 4096n) this.second.map(at + shift, at);
    }
    const half = setup.upper ? { EPD0: 1, ...this.first.upperFields } : { EPD1: 1, ...this.first.fields };
    this.cd = this.cds.set(ssid, { IPS: 5, MAIR0: 0xff, ...half, ...setup.cd });
    const stage2 = config & 2 ? { S2AA64: 1, S2PS: 5, S2R: 1, S2VMID: 7, ...this.second.fields } : {};
    const stage1 = config & 1 ? this.cds.fields : {};
    this.ste = this.streams.set(SID, { Config: config, SHCFG: 1, ...stage1, ...stage2, ...setup.ste });
    const { strtabBase, strtabBaseCfg } = this.streams;
    this.state = { ...SERVER, cr0: SMMUEN, cr2: RECINVSID, strtabBase, strtabBaseCfg, ...setup.state };
    this.walker = new SmmuWalker(this.memory, this.state);
  }

  /** Walks, and holds single, traced and batched walks against each other on the way. */
  walk(request: Partial<Request> = {}): Outcome {
    const whole = { sid: SID, address: this.va + 0x123n, ...request };
    const traced = this.walker.trace({ ...whole, probe: true }).outcome;
    const probed = this.walker.translate({ ...whole, probe: true });
    if (show(traced) !== show(probed)) throw new Error(`traced ${show(traced)}, else ${show(probed)}`);
    const batch = this.walker.batch(1);
    batch.set(0, { ...whole, probe: true });
    batch.run(1);
    if (show(batch.get(0)) !== show(probed)) throw new Error(`batched ${show(batch.get(0))}, else ${show(probed)}`);
    return this.walker.translate(whole);
  }
}

const LEAF2: Fields = { S2AP0: 1, S2AP1: 1, MemAttr: 15, SH: 3, AF: 1 };

export function show(outcome: Outcome): string {
  return JSON.stringify(outcome, (_, value) => (typeof value === "bigint" ? `0x${value.toString(16)}` : value));
}

/** The translation of a request that succeeds. */
export function ok(world: World, request?: Partial<Request>): Translation {
  const outcome = world.walk(request);
  if (!outcome.ok) throw new Error(`failed: ${show(outcome)}`);
  return outcome;
}

/** The fault of a request that fails. */
export function fault(world: World, request?: Partial<Request>): Fault {
  const outcome = world.walk(request);
  if (outcome.ok) throw new Error(`succeeded: ${show(outcome)}`);
  return outcome;
}

/** "ok", or the event and the check that failed. */
export function event(world: World, request?: Partial<Request>): string {
  const outcome = world.walk(request);
  return outcome.ok ? "ok" : `${outcome.name} ${outcome.check}`;
}

/** A field of the entry at `at`, in the word that starts there. */
export function bit(world: World, at: bigint, field: number): bigint {
  return getField([world.memory.read64(at)], field);
}

/** Replaces a field of an entry in memory. */
export function damage(world: World, at: bigint, field: number, value: bigint | number): void {
  const word = at + BigInt(((field & 0xffff) >> 6) * 8);
  const words = [world.memory.read64(word)];
  setField(words, (((field >> 16) % 64) << 16) | (field & 63), value);
  world.memory.write64(word, words[0] as bigint);
}
