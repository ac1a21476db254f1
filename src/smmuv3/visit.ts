/**
 * Every entry of the tables that lead to an SMMUv3 address space, valid or not: stream table, context
 * descriptor table. IHI 0070 3.3, 5.1 to 5.4.
 */
import { REACH } from "../../assembly/layout/reach.ts";
import {
  CD_SIZE,
  CDS_PER_4K_LEAF_LOG2,
  CDS_PER_64K_LEAF_LOG2,
  CONFIG,
  L1CD,
  L1CD_SIZE,
  L1STD,
  L1STD_SIZE,
  S1FMT,
  STE,
  STE_SIZE,
} from "../../assembly/layout/smmuv3.ts";
import { type FEATURE, SMMU } from "../../assembly/layout/smmuv3-unit.ts";
import type { Core } from "../core/core.ts";
import type { GuestMemory } from "../memory.ts";
import { type Entry, entriesOf, PAGE_BYTES, TableReader } from "../reach/reader.ts";
import { getField, getInPlace } from "../structure.ts";
import type { SmmuWalker } from "./walker.ts";

/** A piece of the stream table: of the whole of it, or what one L1STD links. */
export interface StreamSpan {
  /** Absent: the table is linear. */
  link?: Entry;
  first: number;
  /** STEs; 0 where the L1STD links none. */
  count: number;
  table: bigint;
}

export interface StreamEntry extends Entry {
  sid: number;
}

/** A piece of a stream's CD table. */
export interface CdSpan {
  /** Absent: the table is linear. */
  link?: Entry;
  valid: boolean;
  first: number;
  count: number;
  table: bigint;
}

export interface CdEntry extends Entry {
  ssid: number;
}

/** Streams and level 1 descriptors looked at: more than any stream table that exists. */
const MAX_STREAMS = 2 ** 24;
const WORD = 8;
const NOWHERE = 0xffff_ffff_ffff_ffffn;

/** The tables that a walker's registers name. */
export class SmmuTablesView {
  readonly reader: TableReader;
  /** First address beyond the output's. */
  readonly outputBytes: bigint;
  /** log2 of the STEs beneath one L1STD, 0 = linear. */
  readonly split: number;
  readonly #core: Core;
  readonly #features: bigint;
  readonly #pointers: bigint;
  readonly #ssidBits: number;
  readonly #streams: number;
  readonly #table: bigint;
  /** A block for looking addresses up in stage 2; only its ENTRY and RESULT are used. */
  readonly #block: number;

  constructor({ core }: GuestMemory, { unit }: SmmuWalker) {
    const { view } = core;
    this.#core = core;
    this.reader = new TableReader(core);
    this.#block = core.allocate(REACH.FRAME0);
    view.setUint32(this.#block + REACH.UNIT, unit, true);
    this.#features = view.getBigUint64(unit + SMMU.FEATURES, true);
    this.#pointers = view.getBigUint64(unit + SMMU.POINTERS, true);
    this.outputBytes = 1n << BigInt(view.getUint32(unit + SMMU.OAS, true));
    this.split = view.getUint32(unit + SMMU.SPLIT, true);
    this.#ssidBits = view.getUint32(unit + SMMU.SSID_BITS, true);
    this.#streams = Number(view.getBigUint64(unit + SMMU.STREAMS, true));
    this.#table = view.getBigUint64(unit + SMMU.STREAM_TABLE, true);
  }

  has(feature: FEATURE): boolean {
    return getField([this.#features], feature) === 1n;
  }

  /** The stream table in pieces; none with SMMUEN = 0. */
  *spans(): Generator<StreamSpan> {
    if (!this.split) {
      const count = Math.min(this.#streams, MAX_STREAMS);
      if (count < this.#streams) this.reader.notes.push(`streams from ${MAX_STREAMS} on are not looked at`);
      if (count > 0) yield { first: 0, count, table: this.#table };
      return;
    }
    const perTable = 2 ** this.split;
    const bytes = L1STD_SIZE * Math.min(Math.ceil(this.#streams / perTable), MAX_STREAMS);
    for (let from = 0; from < bytes; from += PAGE_BYTES) {
      const at = this.#table + BigInt(from);
      const piece = this.reader.copy(at, Math.min(PAGE_BYTES, bytes - from), "level 1 stream table");
      let first = (from / L1STD_SIZE) * perTable;
      for (const link of entriesOf(piece, at, L1STD_SIZE)) {
        const span = Number(getField(link.words, L1STD.Span));
        const count = span === 0 || span > this.split + 1 ? 0 : 2 ** (span - 1);
        const table = aligned(getInPlace(link.words, L1STD.L2Ptr) & this.#pointers, Math.max(1, count) * STE_SIZE);
        yield { link, first, count, table };
        first += perTable;
      }
    }
  }

  /** All STEs of a piece. */
  *streams({ first, count, table }: StreamSpan): Generator<StreamEntry> {
    const perPage = PAGE_BYTES / STE_SIZE;
    for (let from = 0; from < count; from += perPage) {
      const at = table + BigInt(from * STE_SIZE);
      const piece = this.reader.copy(at, Math.min(perPage, count - from) * STE_SIZE, "stream table");
      let sid = first + from;
      for (const entry of entriesOf(piece, at, STE_SIZE)) yield { ...entry, sid: sid++ };
    }
  }

  /** log2 of the CDs that an STE has; 0 = one, and no substreams. */
  log2Cds(ste: bigint[]): number {
    return Math.min(Number(getField(ste, STE.S1CDMax)), this.#ssidBits);
  }

  /** The CD table of an STE with stage 1, in pieces. */
  *cdSpans(ste: bigint[]): Generator<CdSpan> {
    const log2 = this.log2Cds(ste);
    const format = Number(getField(ste, STE.S1Fmt));
    const table = getInPlace(ste, STE.S1ContextPtr) & this.#pointers;
    if (!log2 || (format !== S1FMT.TWO_LEVEL_4K && format !== S1FMT.TWO_LEVEL_64K)) {
      yield { valid: true, first: 0, count: 2 ** log2, table: aligned(table, CD_SIZE * 2 ** log2) };
      return;
    }
    const leaf = format === S1FMT.TWO_LEVEL_4K ? CDS_PER_4K_LEAF_LOG2 : CDS_PER_64K_LEAF_LOG2;
    const links = 2 ** Math.max(0, log2 - leaf);
    const base = aligned(table, links * L1CD_SIZE);
    for (let i = 0; i < links; i++) {
      const words = this.#copy(ste, base + BigInt(i * L1CD_SIZE), L1CD_SIZE, "level 1 CD table");
      if (!words) continue;
      const link = { at: base + BigInt(i * L1CD_SIZE), words: Array.from(words) };
      const cds = aligned(getInPlace(link.words, L1CD.L2Ptr) & this.#pointers, CD_SIZE * 2 ** leaf);
      const valid = getField(link.words, L1CD.V) === 1n;
      yield { link, valid, first: i * 2 ** leaf, count: Math.min(2 ** leaf, 2 ** log2), table: cds };
    }
  }

  /** All CDs of a piece; addresses are those of stage 1's output. */
  *cds(ste: bigint[], { first, count, table }: CdSpan): Generator<CdEntry> {
    const perPage = PAGE_BYTES / CD_SIZE;
    for (let from = 0; from < count; from += perPage) {
      const at = table + BigInt(from * CD_SIZE);
      const piece = this.#copy(ste, at, Math.min(perPage, count - from) * CD_SIZE, "CD table");
      let ssid = first + from;
      for (const entry of entriesOf(piece, at, CD_SIZE)) yield { ...entry, ssid: ssid++ };
    }
  }

  /** CD number `index`, undefined where it cannot be read. */
  cd(ste: bigint[], index: number): CdEntry | undefined {
    for (const span of this.cdSpans(ste)) {
      if (!span.valid || index < span.first || index >= span.first + span.count) continue;
      const own = { ...span, first: index, count: 1, table: span.table + BigInt((index - span.first) * CD_SIZE) };
      for (const entry of this.cds(ste, own)) return entry;
    }
    return undefined;
  }

  /** A copy of tables that stage 2 lies below, where the stream has one. */
  #copy(ste: bigint[], address: bigint, bytes: number, role: string): BigUint64Array | undefined {
    if (Number(getField(ste, STE.Config)) !== CONFIG.NESTED) return this.reader.copy(address, bytes, role);
    const { exports, view } = this.#core;
    ste.forEach((word, i) => {
      view.setBigUint64(this.#block + REACH.ENTRY + WORD * i, word, true);
    });
    const host = BigInt.asUintN(64, exports.smmuReachLocate(this.#block, address));
    return host === NOWHERE ? undefined : this.reader.copy(host, bytes, role, true);
  }
}

function aligned(address: bigint, bytes: number): bigint {
  return address - (address % BigInt(bytes));
}
