/**
 * A machine for the conformance tests: one VT-d unit, the unforgiving kind that keeps what it may, that is driven through registers, guest memory and device
 * requests only. Offsets, entries and descriptors are spelled out as the specification prints them, so that a slip
 * in `assembly/layout` shows.
 */
import {
  GuestMemory,
  type GuestMemoryOptions,
  type Request,
  VTD_PRESETS,
  VtdCapabilities,
  type VtdFeatures,
} from "../../src/index.ts";
import { withoutUnmet } from "../../src/vtd/features.ts";
import { VtdUnit } from "../../src/vtd/index.ts";
import type { VtdUnitOptions } from "../../src/vtd/unit.ts";

export const GCMD = { TE: 31, SRTP: 30, WBF: 27, QIE: 26, IRE: 25, SIRTP: 24, CFI: 23 } as const;
/** Where there is no RAM, below 2^HAW. */
export const HOLE = 0x8000_0000n;
export const SID = 0x0010;
const RAM_BYTES = 0x200_0000n;
const FIRST_PAGE = 0x10_0000n;
const PAGE = 4096n;

export interface FaultRecord {
  /** Bits 103:96. */
  reason: number;
  sid: number;
  /** Bits 63:12 in place. */
  information: bigint;
  /** T1 << 1 | T2: 0 write, 1 page request, 2 read, 3 atomic. */
  type: number;
  at: number;
  /** Undefined when PP = 0. */
  pasid: number | undefined;
  privileged: boolean;
  execute: boolean;
}

export interface LegacySetup {
  rootEntry: bigint;
  contextEntry: bigint;
  root: bigint;
}

export interface ScalableSetup {
  rootEntry: bigint;
  contextEntry: bigint;
  directoryEntry: bigint;
  pasidEntry: bigint;
  /** Roots of both stages, whichever are used. */
  fs: bigint;
  ss: bigint;
}

/** The widest unit with a 46-bit host, four fault records, and what is told otherwise; what then lacks its need is off. */
export function features(changes: Partial<VtdFeatures> = {}): VtdCapabilities {
  return VtdCapabilities.of(withoutUnmet({ ...VTD_PRESETS.widest.features, HAW: 46, NFR: 3, ...changes }));
}

export class Rig {
  readonly memory: GuestMemory;
  readonly unit: VtdUnit;
  /** Messages sent to the processors. */
  readonly messages: [address: bigint, data: number][] = [];
  readonly capabilities: VtdCapabilities;
  /**
   * Whether a change of memory is followed by dropping what is cached before the next request. Most tests are about
   * tables, not about invalidations; those that are set it to false.
   */
  settles = true;
  queue = 0n;
  #wide = false;
  #changed = false;
  #next = FIRST_PAGE;

  constructor(
    changes: Partial<VtdFeatures> = {},
    options: Omit<VtdUnitOptions, "capabilities" | "onInterrupt"> = {},
    memory: Omit<GuestMemoryOptions, "ram"> = {},
  ) {
    this.memory = new GuestMemory({ ram: [{ base: 0n, size: RAM_BYTES }], workspace: 8 << 20, ...memory });
    this.capabilities = features(changes);
    this.unit = new VtdUnit(this.memory, {
      caches: "retain",
      ...options,
      capabilities: this.capabilities,
      onInterrupt: (address, data) => void this.messages.push([address, data]),
    });
  }

  r32(offset: number): number {
    return Number(this.unit.mmio.read(offset, 4));
  }
  r64(offset: number): bigint {
    return this.unit.mmio.read(offset, 8);
  }
  w32(offset: number, value: number | bigint): void {
    this.unit.mmio.write(offset, 4, BigInt(value));
  }
  w64(offset: number, value: bigint): void {
    this.unit.mmio.write(offset, 8, value);
  }

  get(address: bigint): bigint {
    return this.memory.read64(address);
  }
  put(address: bigint, ...words: readonly bigint[]): void {
    this.#changed = true;
    words.forEach((word, i) => {
      this.memory.write64(address + 8n * BigInt(i), word);
    });
  }
  /** Changes bits of the word at `address`. */
  flip(address: bigint, bits: bigint): void {
    this.put(address, this.get(address) ^ bits);
  }
  /** Changes bit `position` of the structure at `address`. */
  flipBit(address: bigint, position: number): void {
    this.flip(address + 8n * BigInt(position >> 6), 1n << BigInt(position & 63));
  }
  /** `count` new pages, zeroed. */
  page(count = 1): bigint {
    const page = this.#next;
    this.#next += PAGE * BigInt(count);
    return page;
  }

  /** The algorithm of the specification: GSTS & 96FF_FFFFh with one bit changed. */
  command(bit: number, on = true): void {
    const kept = this.r32(0x1c) & 0x96ff_ffff;
    this.w32(0x18, BigInt.asUintN(32, BigInt(on ? kept | (1 << bit) : kept & ~(1 << bit))));
  }
  /** Drops all that is cached for DMA: turning translation off does, in a scalable-mode unit, or SRTP with ESRTPS. */
  settle(): void {
    this.#changed = false;
    if (this.r32(0x1c) >>> GCMD.TE === 0) return;
    if (this.capabilities.features.SMTS) {
      this.command(GCMD.TE, false);
      this.command(GCMD.TE);
    } else {
      this.command(GCMD.SRTP);
    }
  }
  /** Latches RTADDR and turns translation on. */
  enable(rtaddr: bigint): void {
    this.w64(0x20, rtaddr);
    this.command(GCMD.SRTP);
    this.command(GCMD.TE);
  }

  /** Maps `input` by second-stage tables of `levels` levels; tables on the way get `rights`. */
  mapSecond(root: bigint, levels: number, input: bigint, leaf: bigint, leafLevel = 1, rights = 3n): bigint {
    return this.#map(root, levels, input, leaf, leafLevel, rights);
  }
  /** Maps `input` by first-stage tables; tables on the way get P, R/W, U/S. @returns address of the leaf */
  mapFirst(root: bigint, levels: number, input: bigint, leaf: bigint, leafLevel = 1, rights = 7n): bigint {
    return this.#map(root, levels, input, leaf, leafLevel, rights);
  }
  #map(root: bigint, levels: number, input: bigint, leaf: bigint, leafLevel: number, rights: bigint): bigint {
    let table = root;
    for (let level = levels; ; level--) {
      const at = entryAt(table, input, level);
      if (level === leafLevel) {
        this.put(at, leaf);
        return at;
      }
      if (this.get(at) === 0n) this.put(at, this.page() | rights);
      table = this.get(at) & 0xf_ffff_ffff_f000n;
    }
  }
  /** Addresses of the entries on the way to `input`, from the top. */
  path(root: bigint, levels: number, input: bigint, leafLevel = 1): bigint[] {
    const path = [];
    let table = root;
    for (let level = levels; level >= leafLevel; level--) {
      const at = entryAt(table, input, level);
      path.push(at);
      table = this.get(at) & 0xf_ffff_ffff_f000n;
    }
    return path;
  }

  /** A legacy context for `sid` with 4-level tables, latched; translation is on. */
  legacy({ tt = 0n, aw = 2n, did = 1n, flags = 0n, sid = SID } = {}): LegacySetup {
    const table = this.page();
    const context = this.page();
    const root = this.page();
    const rootEntry = table + 16n * BigInt(sid >> 8);
    const contextEntry = context + 16n * BigInt(sid & 0xff);
    this.put(rootEntry, context | 1n, 0n);
    this.put(contextEntry, root | (tt << 2n) | flags | 1n, aw | (did << 8n));
    this.enable(table);
    return { rootEntry, contextEntry, root };
  }

  /**
   * A scalable context and one PASID entry for `sid`, latched; translation is on. `words` are ORed into the PASID entry,
   * `context` into the context entry.
   */
  scalable({
    pgtt = 1n,
    pasid = 0,
    sid = SID,
    pdts = 0n,
    aw = 2n,
    did = 1n,
    context = [0n, 0n],
    words = [0n, 0n, 0n],
    rtaddr = 0x400n,
  }: {
    pgtt?: bigint;
    pasid?: number;
    sid?: number;
    pdts?: bigint;
    aw?: bigint;
    did?: bigint;
    context?: readonly bigint[];
    words?: readonly bigint[];
    rtaddr?: bigint;
  } = {}): ScalableSetup {
    const table = this.page();
    const contexts = this.page();
    const directory = this.page(32);
    const upper = (sid & 0x80) !== 0;
    const rootEntry = table + 16n * BigInt(sid >> 8) + (upper ? 8n : 0n);
    this.put(rootEntry, contexts | 1n);
    const contextEntry = contexts + 32n * BigInt(sid & 0x7f);
    this.put(contextEntry, directory | (pdts << 9n) | 1n | (context[0] ?? 0n), context[1] ?? 0n);
    const setup = { rootEntry, contextEntry, ...this.addPasid(contextEntry, pasid, { pgtt, aw, did, words }) };
    this.enable(table | rtaddr);
    return setup;
  }

  /** Another PASID in the directory of a context entry. */
  addPasid(
    contextEntry: bigint,
    pasid: number,
    {
      pgtt = 1n,
      aw = 2n,
      did = 1n,
      words = [] as readonly bigint[],
    }: { pgtt?: bigint; aw?: bigint; did?: bigint; words?: readonly bigint[] } = {},
  ): { directoryEntry: bigint; pasidEntry: bigint; fs: bigint; ss: bigint } {
    const directoryEntry = (this.get(contextEntry) & ~0xfffn) + 8n * BigInt(pasid >> 6);
    if (this.get(directoryEntry) === 0n) this.put(directoryEntry, this.page() | 1n);
    const pasidEntry = (this.get(directoryEntry) & ~0xfffn) + 64n * BigInt(pasid & 63);
    const fs = pgtt === 1n || pgtt === 3n ? this.page() : 0n;
    const ss = pgtt === 2n || pgtt === 3n ? this.page() : 0n;
    const snooped = this.capabilities.features.SMPWCS ? 1n << 23n : 0n;
    const base = [ss | (pgtt << 6n) | (ss ? aw << 2n : 0n) | 1n, did | snooped, fs, 0n, 0n, 0n, 0n, 0n];
    this.put(pasidEntry, ...base.map((word, i) => word | (words[i] ?? 0n)));
    return { directoryEntry, pasidEntry, fs, ss };
  }

  /**
   * One request, and what can be seen of its fate: "ok 5000" (output), or the answer and the reasons recorded, "UR 85",
   * "CA 7a", "UR unrecorded"; a translation request without rights is "none".
   */
  ask(request: Partial<Request> & { address: bigint }): string {
    if (this.settles && this.#changed) this.settle();
    const outcome = this.unit.translate({ sid: SID, ...request });
    const recorded = this.faults().map(({ reason }) => reason.toString(16));
    const tail = recorded.join();
    if (!outcome.ok && outcome.answer !== "success") return `${outcome.answer.toUpperCase()} ${tail || "unrecorded"}`;
    const nothing = !outcome.ok || !(outcome.permissions.read || outcome.permissions.write);
    if (request.type === "translation" && nothing) return tail ? `none ${tail}` : "none";
    return `ok ${outcome.ok ? outcome.address.toString(16) : "?"}${tail ? ` and ${tail}` : ""}`;
  }
  read(address: bigint, request: Partial<Request> = {}): string {
    return this.ask({ ...request, address, access: "r" });
  }
  write(address: bigint, request: Partial<Request> = {}): string {
    return this.ask({ ...request, address, access: "w" });
  }

  /** Offset of FRCD[i]. */
  frcd(i = 0): number {
    return Number((this.r64(0x8) >> 24n) & 0x3ffn) * 16 + 16 * i;
  }
  record(i = 0): FaultRecord | undefined {
    const low = this.r64(this.frcd(i));
    const high = this.r64(this.frcd(i) + 8);
    if (high >> 63n === 0n) return undefined;
    const bits = (msb: number, lsb: number) =>
      Number((high >> BigInt(lsb - 64)) & ((1n << BigInt(msb - lsb + 1)) - 1n));
    return {
      reason: bits(103, 96),
      sid: bits(79, 64),
      information: low,
      type: bits(126, 126) * 2 + bits(92, 92),
      at: bits(125, 124),
      pasid: bits(95, 95) ? bits(123, 104) : undefined,
      privileged: bits(93, 93) === 1,
      execute: bits(94, 94) === 1,
    };
  }
  clearRecord(i = 0): void {
    this.w32(this.frcd(i) + 12, 0x8000_0000);
  }
  /** Takes all records and clears them, and PFO. */
  faults(): FaultRecord[] {
    const records = [];
    const count = Number((this.r64(0x8) >> 40n) & 0xffn) + 1;
    for (let i = 0; i < count; i++) {
      const record = this.record(i);
      if (!record) continue;
      records.push(record);
      this.clearRecord(i);
    }
    this.w32(0x34, 1);
    return records;
  }

  /** An invalidation queue, 32-byte descriptors if `wide`, of 2^size pages, enabled. */
  startQueue(wide = true, size = 0): void {
    this.#wide = wide;
    this.queue = this.page(2 ** size);
    this.w64(0x88, 0n);
    this.w64(0x90, this.queue | (wide ? 0x800n : 0n) | BigInt(size));
    this.command(GCMD.QIE);
  }
  /** Writes descriptors at the tail and moves it. */
  submit(...descriptors: (readonly bigint[])[]): void {
    const bytes = this.#wide ? 32n : 16n;
    const size = PAGE << (this.r64(0x90) & 7n);
    let tail = this.r64(0x88);
    for (const words of descriptors) {
      this.put(this.queue + tail, ...Array.from({ length: Number(bytes) / 8 }, (_, i) => words[i] ?? 0n));
      tail = (tail + bytes) % size;
    }
    this.w64(0x88, tail);
  }
  /** Sends descriptors and a wait descriptor after them; true once its status is in memory. */
  invalidate(...descriptors: (readonly bigint[])[]): boolean {
    const status = this.page();
    this.submit(...descriptors, [0x25n | (0x600dn << 32n), status]);
    return this.memory.read32(status) === 0x600d;
  }
}

/** Address of the entry for `input` in a table of `level`. */
export function entryAt(table: bigint, input: bigint, level: number): bigint {
  return table + 8n * ((input >> BigInt(12 + 9 * (level - 1))) & 0x1ffn);
}

/** All whole numbers from `from` to `to`. */
export function range(from: number, to: number): number[] {
  return Array.from({ length: to - from + 1 }, (_, i) => from + i);
}
