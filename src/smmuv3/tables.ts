/**
 * The driver's side of the SMMUv3: stream tables and context descriptor tables in guest memory.
 * IHI 0070 5.1 to 5.4.
 *
 * Knows the layouts and nothing of the walker: the two meet in guest memory only. Fields are given by
 * the manual's names; whatever is given is written, legal or not.
 */
import {
  CD,
  CD_SIZE,
  CDS_PER_4K_LEAF_LOG2,
  CDS_PER_64K_LEAF_LOG2,
  L1CD,
  L1CD_SIZE,
  L1STD,
  L1STD_SIZE,
  S1FMT,
  STE,
  STE_SIZE,
} from "../../assembly/layout/smmuv3.ts";
import { STRTAB_BASE, STRTAB_BASE_CFG } from "../../assembly/layout/smmuv3-base.ts";
import { STRTAB_FORMAT } from "../../assembly/layout/smmuv3-ids.ts";
import { checkInteger } from "../check.ts";
import type { GuestMemory } from "../memory.ts";
import type { PageAllocator } from "../page-allocator.ts";
import { build, getField, getInPlace, setField, setInPlace } from "../structure.ts";
import { allocateTable, bytesOf, type Fields, inUnits, type Locate } from "./page-table.ts";

/** The context descriptors of one stream. */
export class SmmuCdTable {
  /** Address of the table (L1 table if there are two levels), as S1ContextPtr names it. */
  readonly root: bigint;
  readonly log2Cds: number;
  readonly format: S1FMT;
  readonly #memory: GuestMemory;
  readonly #pages: PageAllocator;
  readonly #locate: Locate;

  /**
   * @param log2Cds STE.S1CDMax, 0..20; 0 = one CD and no substreams
   * @param locate turns addresses of tables into addresses in memory, behind a stage 2
   */
  constructor(
    memory: GuestMemory,
    pages: PageAllocator,
    log2Cds = 0,
    format: S1FMT = S1FMT.LINEAR,
    locate: Locate = (address) => address,
  ) {
    this.log2Cds = checkInteger("log2Cds", log2Cds, 0, 20);
    this.format = format;
    this.#memory = memory;
    this.#pages = pages;
    this.#locate = locate;
    const leaf = this.#log2Leaf();
    const bytes = leaf ? L1CD_SIZE * bytesOf(Math.max(0, log2Cds - leaf)) : CD_SIZE * bytesOf(log2Cds);
    this.root = allocateTable(pages, Math.max(bytes, CD_SIZE));
  }

  /** Fields of the STE that make it use this table. */
  get fields(): Fields {
    return { S1Fmt: this.format, S1CDMax: this.log2Cds, S1ContextPtr: inUnits(STE.S1ContextPtr, this.root) };
  }

  /** Writes the CD of a SubstreamID and returns its address in memory; a leaf table is made if missing. */
  set(ssid: number, fields: Fields): bigint {
    const at = this.address(ssid);
    const words = build(CD, CD_SIZE / 8, { V: 1, AA64: 1, R: 1, A: 1, ...fields });
    storeEntry(this.#memory, at, words);
    return at;
  }

  /** Address in memory of the CD of a SubstreamID; a leaf table is made if missing. */
  address(ssid: number): bigint {
    checkInteger("ssid", ssid, 0, bytesOf(this.log2Cds) - 1);
    const leaf = this.#log2Leaf();
    if (!leaf) return this.#locate(this.root + BigInt(ssid * CD_SIZE));
    const at = this.#locate(this.root + BigInt(Math.floor(ssid / bytesOf(leaf)) * L1CD_SIZE));
    const words = [this.#memory.read64(at)];
    if (getField(words, L1CD.V) === 0n) {
      setInPlace(words, L1CD.L2Ptr, allocateTable(this.#pages, CD_SIZE * bytesOf(leaf)));
      setField(words, L1CD.V, 1);
      this.#memory.write64(at, words[0] as bigint);
    }
    return this.#locate(getInPlace(words, L1CD.L2Ptr) + BigInt((ssid % bytesOf(leaf)) * CD_SIZE));
  }

  /** log2 of the CDs of a leaf table, 0 for a linear table. */
  #log2Leaf(): number {
    if (this.log2Cds === 0 || this.format === S1FMT.LINEAR) return 0;
    return this.format === S1FMT.TWO_LEVEL_4K ? CDS_PER_4K_LEAF_LOG2 : CDS_PER_64K_LEAF_LOG2;
  }
}

/** The stream table of one SMMU. */
export class SmmuStreamTable {
  readonly log2Size: number;
  readonly split: number;
  readonly #root: bigint;
  readonly #memory: GuestMemory;
  readonly #pages: PageAllocator;

  /**
   * @param log2Size StreamID bits
   * @param split StreamID bits of a leaf table (6, 8 or 10), 0 = a linear table
   */
  constructor(memory: GuestMemory, pages: PageAllocator, log2Size: number, split = 0) {
    this.log2Size = checkInteger("log2Size", log2Size, 0, 32);
    this.split = checkInteger("split", split, 0, 10);
    this.#memory = memory;
    this.#pages = pages;
    const bytes = split ? L1STD_SIZE * bytesOf(Math.max(0, log2Size - split)) : STE_SIZE * bytesOf(log2Size);
    this.#root = allocateTable(pages, Math.max(bytes, STE_SIZE));
  }

  /** What to write to STRTAB_BASE. */
  get strtabBase(): bigint {
    const words = [0n];
    setInPlace(words, STRTAB_BASE.ADDR, this.#root);
    return words[0] as bigint;
  }

  /** What to write to STRTAB_BASE_CFG. */
  get strtabBaseCfg(): number {
    const FMT = this.split ? STRTAB_FORMAT.TWO_LEVEL : STRTAB_FORMAT.LINEAR;
    const fields = { LOG2SIZE: this.log2Size, SPLIT: this.split, FMT };
    return Number(build(STRTAB_BASE_CFG, 1, fields)[0]);
  }

  /** Writes the STE of a StreamID and returns its address; a leaf table is made if missing. */
  set(sid: number, fields: Fields): bigint {
    const at = this.address(sid);
    const words = build(STE, STE_SIZE / 8, { V: 1, ...fields });
    storeEntry(this.#memory, at, words);
    return at;
  }

  /** Address of the STE of a StreamID; a leaf table is made if missing. */
  address(sid: number): bigint {
    checkInteger("sid", sid, 0, bytesOf(this.log2Size) - 1);
    if (!this.split) return this.#root + BigInt(sid) * BigInt(STE_SIZE);
    const at = this.#root + BigInt(Math.floor(sid / bytesOf(this.split)) * L1STD_SIZE);
    const words = [this.#memory.read64(at)];
    if (getField(words, L1STD.Span) === 0n) {
      setInPlace(words, L1STD.L2Ptr, allocateTable(this.#pages, STE_SIZE * bytesOf(this.split)));
      setField(words, L1STD.Span, this.split + 1);
      this.#memory.write64(at, words[0] as bigint);
    }
    return getInPlace(words, L1STD.L2Ptr) + BigInt((sid % bytesOf(this.split)) * STE_SIZE);
  }
}

/** Stores an entry, the word with V last, as a driver does. */
function storeEntry(memory: GuestMemory, at: bigint, words: readonly bigint[]): void {
  for (let i = words.length - 1; i >= 0; i--) memory.write64(at + BigInt(8 * i), words[i] as bigint);
}
