/**
 * The driver's side of VT-d: builds root, context, PASID and paging structures in guest memory.
 *
 * Knows the layouts and nothing of the walker: the two meet in guest memory only. Fields are given by
 * the manual's names; whatever is given is written, legal or not.
 */
import {
  AW_BASE_LEVELS,
  CONTEXT,
  CONTEXT_BYTES,
  FSPM_BASE_LEVELS,
  FSPTE,
  LEVEL_BITS,
  PAGE_SHIFT,
  PASID,
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
  SSPTE,
} from "../../assembly/layout/vtd.ts";
import { RTADDR, TTM } from "../../assembly/layout/vtd-base.ts";
import { checkBigInt, checkInteger, hex } from "../check.ts";
import { ADDRESS_BITS, type GuestMemory } from "../memory.ts";
import type { PageAllocator } from "../page-allocator.ts";
import { build, getField, getInPlace, type Layout, setField, setInPlace } from "../structure.ts";

/** Field values by name; addresses in fields that hold one are given in units of the field (see `build`). */
export type Fields = Readonly<Record<string, bigint | number | boolean>>;

const WORD = 8n;

/** Where a guest physical address lies in memory; the tables of a nested first stage need it. */
export type Locate = (address: bigint) => bigint;

/** Page tables of one stage. */
export class VtdPageTable {
  /** Address of the top table, as a PASID or context entry names it. */
  readonly root: bigint;
  readonly levels: number;
  readonly #memory: GuestMemory;
  readonly #pages: PageAllocator;
  readonly #layout: Layout;
  readonly #address: number;
  readonly #link: Fields;
  readonly #locate: Locate;

  /**
   * @param locate turns the addresses that `pages` hands out, and those in entries, into addresses in
   *   memory; only a first stage that lies behind a second stage needs it
   */
  constructor(
    memory: GuestMemory,
    pages: PageAllocator,
    stage: "first" | "second",
    levels: number,
    locate: Locate = (a) => a,
  ) {
    this.levels = checkInteger("levels", levels, 3, 5);
    this.#memory = memory;
    this.#pages = pages;
    this.#layout = stage === "first" ? FSPTE : SSPTE;
    this.#address = stage === "first" ? FSPTE.ADDR : SSPTE.ADDR;
    this.#link = stage === "first" ? { P: 1, RW: 1, US: 1 } : { R: 1, W: 1 };
    this.#locate = locate;
    this.root = pages.allocate();
  }

  /**
   * Maps the page of 2^(12 + 9 * (level - 1)) bytes at `input` to `output`, and returns the address of
   * its entry in memory. Missing tables are made with all permissions.
   * @param fields of the leaf; all permissions unless told
   */
  map(input: bigint, output: bigint, fields: Fields = this.#link, level = 1): bigint {
    checkInteger("level", level, 1, this.levels);
    const at = this.#entry(input, level, true) as bigint;
    const words = build(this.#layout, 1, fields);
    setInPlace(words, this.#address, checkBigInt("output", output, 0n, 2n ** BigInt(ADDRESS_BITS) - 1n));
    if (level > 1) setField(words, this.#layout.PS as number, 1);
    this.#memory.write64(at, words[0] as bigint);
    return at;
  }

  /** Address in memory of the entry of `level` for `input`; undefined where no table leads there. */
  entry(input: bigint, level = 1): bigint | undefined {
    return this.#entry(input, checkInteger("level", level, 1, this.levels), false);
  }

  #entry(input: bigint, level: number, make: boolean): bigint | undefined {
    let table = this.root;
    for (let n = this.levels; ; n--) {
      const shift = BigInt(PAGE_SHIFT + LEVEL_BITS * (n - 1));
      const index = (input >> shift) & ((1n << BigInt(LEVEL_BITS)) - 1n);
      const at = this.#locate(table + WORD * index);
      if (n === level) return at;
      const entry = this.#memory.read64(at);
      const next = getInPlace([entry], this.#address);
      if (entry !== 0n) {
        if (getField([entry], this.#layout.PS as number) === 1n) {
          throw new RangeError(`input: ${hex(input)} is mapped by a large page at level ${n}`);
        }
        table = next;
        continue;
      }
      if (!make) return undefined;
      table = this.#pages.allocate();
      const words = build(this.#layout, 1, this.#link);
      setInPlace(words, this.#address, table);
      this.#memory.write64(at, words[0] as bigint);
    }
  }
}

/** Root, context and PASID structures of one unit. */
export class VtdTables {
  readonly mode: "legacy" | "scalable";
  readonly root: bigint;
  readonly #memory: GuestMemory;
  readonly #pages: PageAllocator;

  constructor(memory: GuestMemory, pages: PageAllocator, mode: "legacy" | "scalable") {
    this.#memory = memory;
    this.#pages = pages;
    this.mode = mode;
    this.root = pages.allocate();
  }

  /** What to write to RTADDR_REG. */
  get rtaddr(): bigint {
    const words = [0n];
    setInPlace(words, RTADDR.RTA, this.root);
    setField(words, RTADDR.TTM, this.mode === "legacy" ? TTM.LEGACY : TTM.SCALABLE);
    return words[0] as bigint;
  }

  /** A first stage of 4 or 5 levels. */
  firstStage(levels: number = FSPM_BASE_LEVELS, locate?: Locate): VtdPageTable {
    return new VtdPageTable(this.#memory, this.#pages, "first", checkInteger("levels", levels, 4, 5), locate);
  }

  /** A second stage of AW code `aw`. */
  secondStage(aw: number): VtdPageTable {
    return new VtdPageTable(this.#memory, this.#pages, "second", checkInteger("aw", aw, 1, 3) + AW_BASE_LEVELS);
  }

  /** Address of the root entry of `sid`. */
  rootEntry(sid: number): bigint {
    return this.root + BigInt(ROOT_BYTES) * sourceId(sid, SOURCE_ID.BUS);
  }

  /** Address of the context entry of `sid`; its table is made when there is none. */
  contextEntry(sid: number): bigint {
    const at = this.rootEntry(sid);
    if (this.mode === "legacy") {
      const table = this.#link(at, ROOT.P, ROOT.CTP, 1);
      return table + BigInt(CONTEXT_BYTES) * sourceId(sid, SOURCE_ID.DEVFN);
    }
    const half = at + WORD * sourceId(sid, SOURCE_ID.UPPER_HALF);
    const table = this.#link(half, SROOT.LP, SROOT.LCTP, 1);
    return table + BigInt(SCONTEXT_BYTES) * sourceId(sid, SOURCE_ID.HALF_DEVFN);
  }

  /** Writes a legacy context entry (fields of CONTEXT); P = 1 unless told. @returns its address */
  setContext(sid: number, fields: Fields, table?: VtdPageTable): bigint {
    const words = build(CONTEXT, CONTEXT_BYTES / Number(WORD), { P: 1, ...fields });
    if (table) setInPlace(words, CONTEXT.SSPTPTR, table.root);
    return this.#write(this.contextEntry(sid), words);
  }

  /**
   * Writes a scalable context entry (fields of SCONTEXT) with a PASID directory of 2^(PDTS + 7)
   * entries; P = 1 unless told. @returns its address
   */
  setScalableContext(sid: number, fields: Fields = {}): bigint {
    const words = build(SCONTEXT, SCONTEXT_BYTES / Number(WORD), { P: 1, ...fields });
    const entries = 2 ** (Number(getField(words, SCONTEXT.PDTS)) + PDTS_BASE_ENTRIES_LOG2);
    const pages = Math.ceil((entries * PASIDDIR_BYTES) / 2 ** PAGE_SHIFT);
    if (!("PASIDDIRPTR" in fields)) setInPlace(words, SCONTEXT.PASIDDIRPTR, this.#pages.allocate(pages));
    return this.#write(this.contextEntry(sid), words);
  }

  /** Address of the PASID directory entry, in the directory the context entry names. */
  directoryEntry(sid: number, pasid: number): bigint {
    const context = this.#memory.read64(this.contextEntry(sid));
    return getInPlace([context], SCONTEXT.PASIDDIRPTR) + BigInt(PASIDDIR_BYTES) * part(pasid, PASID_INDEX.DIRECTORY);
  }

  /** Address of the PASID table entry; its table is made when there is none. */
  pasidEntry(sid: number, pasid: number): bigint {
    checkInteger("pasid", pasid, 0, 0xfffff); // not a field: the largest PASID
    const table = this.#link(this.directoryEntry(sid, pasid), PASIDDIR.P, PASIDDIR.SMPTBLPTR, 1);
    return table + BigInt(PASID_BYTES) * part(pasid, PASID_INDEX.TABLE);
  }

  /** Writes a PASID table entry (fields of PASID); P = 1 unless told. @returns its address */
  setPasid(
    sid: number,
    pasid: number,
    fields: Fields,
    stages: { first?: VtdPageTable; second?: VtdPageTable } = {},
  ): bigint {
    const words = build(PASID, PASID_BYTES / Number(WORD), { P: 1, ...fields });
    if (stages.first) {
      setInPlace(words, PASID.FSPTPTR, stages.first.root);
      if (!("FSPM" in fields)) setField(words, PASID.FSPM, stages.first.levels - FSPM_BASE_LEVELS);
    }
    if (stages.second) {
      setInPlace(words, PASID.SSPTPTR, stages.second.root);
      if (!("AW" in fields)) setField(words, PASID.AW, stages.second.levels - AW_BASE_LEVELS);
    }
    return this.#write(this.pasidEntry(sid, pasid), words);
  }

  /** Follows the link in the word at `at`, or makes it lead to `pages` new ones. */
  #link(at: bigint, present: number, pointer: number, pages: number): bigint {
    const words = [this.#memory.read64(at)];
    // Both halves of a root entry are alike, so their fields are those of the lower half.
    if (getField(words, present) === 0n) {
      setField(words, present, 1);
      setInPlace(words, pointer, this.#pages.allocate(pages));
      this.#write(at, words);
    }
    return getInPlace(words, pointer);
  }

  #write(at: bigint, words: readonly bigint[]): bigint {
    // The word with the present bit goes last, as a driver writes it.
    for (let i = words.length - 1; i >= 0; i--) this.#memory.write64(at + WORD * BigInt(i), words[i] as bigint);
    return at;
  }
}

function sourceId(sid: number, field: number): bigint {
  return part(checkInteger("sid", sid, 0, 0xffff), field); // not a field: the largest source-id
}

function part(value: number, field: number): bigint {
  return getField([BigInt(value)], field);
}
