/**
 * Every entry of the tables that lead to a VT-d address space, present or not: root, context, PASID
 * directory, PASID table. VT-d rev 5.10, 3.3, 3.4, 9.1 to 9.6.
 */
import {
  CONTEXT_BYTES,
  PASID_BYTES,
  PASID_INDEX,
  PASIDDIR,
  PASIDDIR_BYTES,
  PDTS_BASE_ENTRIES_LOG2,
  ROOT,
  ROOT_BYTES,
  SCONTEXT,
  SCONTEXT_BYTES,
  SOURCE_ID,
  SROOT,
} from "../../assembly/layout/vtd.ts";
import { VTD, VTD_MODE } from "../../assembly/layout/vtd-unit.ts";
import type { GuestMemory } from "../memory.ts";
import { type Entry, entriesOf, PAGE_BYTES, TableReader } from "../reach/reader.ts";
import { getField, getInPlace } from "../structure.ts";
import type { VtdWalker } from "./walker.ts";

/** A root entry, in scalable mode half of one: what it links. */
export interface RootEntry extends Entry {
  bus: number;
  /** 0, or 1 for the upper half. */
  half: number;
  present: boolean;
  contexts: bigint;
}

export interface ContextEntry extends Entry {
  sid: number;
}

export interface DirectoryEntry extends Entry {
  /** First PASID of the table that it links. */
  first: number;
}

export interface PasidEntry extends Entry {
  pasid: number;
}

const PASIDS_PER_TABLE = PAGE_BYTES / PASID_BYTES;
const HALF_BYTES = 8;

/** The tables that a walker's registers name. */
export class VtdTablesView {
  readonly reader: TableReader;
  /** VTD_MODE */
  readonly mode: number;
  /** First address beyond the host's. */
  readonly hostBytes: bigint;
  readonly #root: bigint;

  constructor({ core }: GuestMemory, { unit }: VtdWalker) {
    const { view } = core;
    this.reader = new TableReader(core);
    this.mode = view.getUint32(unit + VTD.MODE, true);
    this.hostBytes = 1n << BigInt(view.getUint32(unit + VTD.HAW, true));
    this.#root = view.getBigUint64(unit + VTD.ROOT_TABLE, true);
  }

  get scalable(): boolean {
    return this.mode === VTD_MODE.SCALABLE;
  }

  /** All root entries; none where the mode has no tables. */
  *roots(): Generator<RootEntry> {
    if (!this.scalable && this.mode !== VTD_MODE.LEGACY) return;
    const table = this.reader.copy(this.#root, PAGE_BYTES, "root table");
    let bus = 0;
    for (const { at, words } of entriesOf(table, this.#root, ROOT_BYTES)) {
      if (this.scalable) {
        for (const half of [0, 1]) {
          const own = [words[half] as bigint];
          const contexts = getInPlace(own, SROOT.LCTP);
          const present = getField(own, SROOT.LP) === 1n;
          yield { at: at + BigInt(half * HALF_BYTES), words: own, bus, half, present, contexts };
        }
      } else {
        yield {
          at,
          words,
          bus,
          half: 0,
          present: getField(words, ROOT.P) === 1n,
          contexts: getInPlace(words, ROOT.CTP),
        };
      }
      bus++;
    }
  }

  /** All entries of the context table that a root entry links. */
  *contexts({ bus, half, contexts }: RootEntry): Generator<ContextEntry> {
    const table = this.reader.copy(contexts, PAGE_BYTES, "context table");
    let index = 0;
    for (const entry of entriesOf(table, contexts, this.scalable ? SCONTEXT_BYTES : CONTEXT_BYTES)) {
      yield { ...entry, sid: sourceId(bus, half, index++) };
    }
  }

  /** All entries of the PASID directory of a scalable context entry. */
  *directory(context: bigint[]): Generator<DirectoryEntry> {
    const bytes = PASIDDIR_BYTES * 2 ** (PDTS_BASE_ENTRIES_LOG2 + Number(getField(context, SCONTEXT.PDTS)));
    const base = getInPlace(context, SCONTEXT.PASIDDIRPTR);
    let first = 0;
    for (let from = 0; from < bytes; from += PAGE_BYTES) {
      const at = base + BigInt(from);
      const count = Math.min(PAGE_BYTES, bytes - from);
      const piece = this.reader.copy(at, count, "PASID directory");
      if (!piece) first += (count / PASIDDIR_BYTES) * PASIDS_PER_TABLE;
      for (const entry of entriesOf(piece, at, PASIDDIR_BYTES)) {
        yield { ...entry, first };
        first += PASIDS_PER_TABLE;
      }
    }
  }

  /** All entries of the PASID table that a directory entry links. */
  *pasids({ words, first }: DirectoryEntry): Generator<PasidEntry> {
    const base = getInPlace(words, PASIDDIR.SMPTBLPTR);
    const table = this.reader.copy(base, PAGE_BYTES, "PASID table");
    let pasid = first;
    for (const entry of entriesOf(table, base, PASID_BYTES)) yield { ...entry, pasid: pasid++ };
  }

  /** The PASID table entry of a context, undefined where there is none. */
  pasid(context: bigint[], pasid: number): PasidEntry | undefined {
    const index = [BigInt(pasid)];
    const directory = getField(index, PASID_INDEX.DIRECTORY);
    const link = getInPlace(context, SCONTEXT.PASIDDIRPTR) + directory * BigInt(PASIDDIR_BYTES);
    const words = this.reader.copy(link, PASIDDIR_BYTES, "PASID directory");
    if (!words || !getField(Array.from(words), PASIDDIR.P)) return undefined;
    const table = getInPlace(Array.from(words), PASIDDIR.SMPTBLPTR);
    const at = table + getField(index, PASID_INDEX.TABLE) * BigInt(PASID_BYTES);
    const entry = this.reader.copy(at, PASID_BYTES, "PASID table");
    return entry && { at, words: Array.from(entry), pasid };
  }
}

/** SCONTEXT.RID_PASID */
export function ridPasid(context: bigint[]): number {
  return Number(getField(context, SCONTEXT.RID_PASID));
}

function sourceId(bus: number, half: number, index: number): number {
  const at = (field: number, value: number) => value * 2 ** (field & 0xff);
  return at(SOURCE_ID.BUS, bus) + at(SOURCE_ID.UPPER_HALF, half) + index;
}
