/** A machine with one VT-d unit, driven as a driver would: through MMIO and guest memory only. */
import { GSTS } from "../../assembly/layout/vtd-base.ts";
import { GCMD, REG } from "../../assembly/layout/vtd-registers.ts";
import {
  GuestMemory,
  type HostBacking,
  PageAllocator,
  VTD_PRESETS,
  VtdCapabilities,
  type VtdFeatures,
  VtdTables,
} from "../../src/index.ts";
import { VtdUnit, type VtdUnitOptions } from "../../src/vtd/index.ts";

/** What a field's bit is in its register. */
const bit = (field: number): bigint => 1n << BigInt(field & 0xffff);

export interface Message {
  address: bigint;
  data: number;
}

const RAM_BYTES = 0x80_0000n;
const TABLES = 0x40_0000n;
/** Behind RAM; what comes after is nothing. */
export const ROM = 0x100_0000n;
/** An address where there is no memory. */
export const NOWHERE = 0x200_0000n;

function readOnly(bytes: Uint8Array): HostBacking {
  return {
    read(address, into) {
      const at = Number(address - ROM);
      into.set(bytes.subarray(at, at + into.length));
      return true;
    },
    write: () => false,
  };
}

export class VtdMachine {
  /** Memory that the unit can read but not write, at ROM. */
  readonly rom: Uint8Array = new Uint8Array(0x4000);
  readonly memory: GuestMemory;
  readonly pages: PageAllocator;
  readonly unit: VtdUnit;
  /** Interrupts sent so far. */
  readonly messages: Message[] = [];
  /** Address and size of the invalidation queue. */
  queue = 0n;
  wide = false;

  constructor(options: VtdUnitOptions = {}) {
    this.memory = new GuestMemory({
      ram: [
        { base: 0n, size: RAM_BYTES },
        { base: ROM, size: BigInt(this.rom.length), host: readOnly(this.rom) },
      ],
      workspace: 1 << 20,
    });
    this.pages = new PageAllocator(this.memory, TABLES, RAM_BYTES - TABLES);
    this.unit = new VtdUnit(this.memory, {
      onInterrupt: (address, data) => void this.messages.push({ address, data }),
      ...options,
    });
  }

  read(offset: number, bytes = 4): bigint {
    return this.unit.mmio.read(offset, bytes);
  }

  write(offset: number, value: bigint, bytes = 4): void {
    this.unit.mmio.write(offset, bytes, value);
  }

  /** Whether a GSTS bit is set. */
  status(field: number): boolean {
    return (this.read(REG.GSTS) & bit(field)) !== 0n;
  }

  /** Gives one command as software does: the levels that are on, with one bit more or less. */
  command(field: number, on = true): void {
    const levels = this.read(REG.GSTS) & 0x96ff_ffffn;
    this.write(REG.GCMD, on ? levels | bit(field) : levels & ~bit(field));
  }

  /** Latches a root table. */
  setRoot(rtaddr: bigint): void {
    this.write(REG.RTADDR, rtaddr, 8);
    this.command(GCMD.SRTP);
  }

  /** Empty tables of the given mode, latched; translation is on. */
  start(mode: "legacy" | "scalable"): VtdTables {
    const tables = new VtdTables(this.memory, this.pages, mode);
    this.setRoot(tables.rtaddr);
    this.command(GCMD.TE);
    return tables;
  }

  /** An invalidation queue of one page (two with `wide`), enabled. */
  startQueue(wide = false, log2Pages = 0): void {
    this.wide = wide;
    this.queue = this.pages.allocate(2 ** log2Pages, 4096 * 2 ** log2Pages);
    this.write(REG.IQT, 0n, 8);
    this.write(REG.IQA, this.queue | (wide ? 1n << 11n : 0n) | BigInt(log2Pages), 8);
    this.command(GCMD.QIE);
  }

  get head(): number {
    return Number(this.read(REG.IQH, 8));
  }

  /** Puts descriptors at the tail and moves it. Words not given are 0. */
  submit(...descriptors: (readonly bigint[])[]): void {
    const bytes = this.wide ? 32 : 16;
    const size = 4096 * 2 ** Number(this.read(REG.IQA, 8) & 7n);
    let tail = Number(this.read(REG.IQT, 8));
    for (const words of descriptors) {
      for (let i = 0; i < bytes / 8; i++) this.memory.write64(this.queue + BigInt(tail + 8 * i), words[i] ?? 0n);
      tail = (tail + bytes) % size;
    }
    this.write(REG.IQT, BigInt(tail), 8);
  }

  /** Whether everything submitted so far has completed, as a wait descriptor tells. */
  drain(): boolean {
    const status = this.pages.allocate();
    this.submit([0x25n | (0x5a5an << 32n), status]);
    return this.memory.read32(status) === 0x5a5a;
  }

  get queueEnabled(): boolean {
    return this.status(GSTS.QIES);
  }
}

/** The widest unit with some features changed. */
export function capabilities(changes: Partial<VtdFeatures> = {}): VtdCapabilities {
  return VtdCapabilities.of({ ...VTD_PRESETS.widest.features, ...changes });
}
