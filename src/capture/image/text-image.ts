/**
 * An image out of text from a live VT-d machine: debugfs `dmar_translation_struct` and `domain_translation_struct`,
 * with `iommu_regset`, boot lines and `lspci -vv` in the same text as far as they are there.
 *
 * Entries are put where their parents point. What the kernel leaves out is not present, so it reads as 0; where a
 * PASID table lies it does not say, so its page is one that nothing else uses.
 */
import {
  CONTEXT_BYTES,
  PASID_BYTES,
  PASID_INDEX,
  PASIDDIR,
  PASIDDIR_BYTES,
  PDTS_BASE_ENTRIES_LOG2,
  PTE_SHIFT,
  ROOT,
  ROOT_BYTES,
  SCONTEXT,
  SCONTEXT_BYTES,
  SOURCE_ID,
  SROOT,
  SSPTE,
} from "../../../assembly/layout/vtd.ts";
import { GSTS, RTADDR, TTM } from "../../../assembly/layout/vtd-base.ts";
import { REG } from "../../../assembly/layout/vtd-registers.ts";
import { cleanLine } from "../../explain/text.ts";
import { indexAt } from "../../explain/vtd-where.ts";
import { ADDRESS_BITS } from "../../memory.ts";
import { getBits, getField, getInPlace, setField, setInPlace } from "../../structure.ts";
import { parseBdf } from "../capture.ts";
import { InputError } from "../input.ts";
import { type CapturedPage, PageMap } from "../pages.ts";
import { type ImageDevice, PAGE_BYTES, pageOf } from "./image.ts";
import { readLspci } from "./lspci.ts";
import type { DumpedMemory } from "./open.ts";
import { readRegisterText, type UnitText } from "./register-text.ts";

export interface TextImage extends DumpedMemory {
  texts: UnitText[];
  devices: ImageDevice[];
}

/** One table row or heading. */
const ROOT_TABLE = /^IOMMU (?<unit>\w{1,32}): Root Table Address: ?0x(?<root>[0-9a-f]{1,16})$/i;
const DISABLED = /^DMA Remapping is not enabled on (?<unit>\w{1,32})$/i;
const WORD = "0x([0-9a-f]{1,16})";
const ROW = new RegExp(`^(\\S{7,12}) +${WORD}:${WORD} +${WORD}:${WORD}(?: +(-?\\d+) +${WORD}:${WORD}:${WORD})?$`, "i");
const DOMAIN = /^Device (?<device>\S{1,32})(?: with pasid (?<pasid>[0-9a-f]{1,5}))? @ ?0x(?<table>[0-9a-f]{1,16})$/i;
const PAGES = new RegExp(`^0x([0-9a-f]{1,13}) \\| *${Array.from({ length: 5 }, () => WORD).join(" +")}$`, "i");

const PAGE = BigInt(PAGE_BYTES);
const TOP = 1n << BigInt(ADDRESS_BITS);
/** Table pages that a text may name: 128 MiB. */
const MAX_PAGES = 2 ** 15;
const MAX_LEVEL = 5;

/** What a page is, and what has to be said about what lies in it. */
type PageKind = Pick<CapturedPage, "role" | "note">;
const ROOT_PAGE: PageKind = { role: "root table" };
const CONTEXT_PAGE: PageKind = { role: "context table" };
const SCALABLE_CONTEXT_PAGE: PageKind = {
  role: "context table",
  note: "debugfs prints half of this entry; the other half is reserved and taken as 0",
};
const DIRECTORY_PAGE: PageKind = {
  role: "PASID directory",
  note: "debugfs does not print this entry: taken as present where it lists a PASID, at a place of our choice",
};
const PASID_PAGE: PageKind = {
  role: "PASID table",
  note: "debugfs does not say where this entry lies, and prints three of its eight words: the others are taken as 0",
};
const TABLE_PAGE: PageKind = { role: "page table" };

/**
 * @param unit the unit that is meant, where the text has several
 * @returns undefined for a text that has no table entries
 * @throws InputError
 */
export function openText(text: string, file: string, unit: string | undefined): TextImage | undefined {
  const tables = new TextTables(file, unit);
  text.split("\n").forEach((raw, i) => {
    const pieces = cleanLine(raw, i + 1).map((piece) => piece.text);
    tables.line(pieces.join("").trim(), i + 1);
  });
  if (!tables.found) return undefined;
  const pages = tables.pages();
  return {
    origin: "text from debugfs",
    pages,
    ram: [],
    iommu: "vtd",
    texts: [...tables.units, ...readRegisterText(text, file)],
    devices: readLspci(text),
  };
}

/** A row of dmar_translation_struct. */
interface Row {
  sid: number;
  root: readonly bigint[];
  context: readonly bigint[];
  /** -1 in legacy mode. */
  pasid: number;
  entry: readonly bigint[];
}

class TextTables {
  found = false;
  readonly units: UnitText[] = [];
  readonly #file: string;
  readonly #wanted: string | undefined;
  readonly #pages = new Map<bigint, CapturedPage>();
  /** Whether rows are of the unit that is meant, and of which. */
  #unit: UnitText | undefined;
  #skip = false;
  #rootTable = 0n;
  /** PASID tables that no directory entry was printed for: by where the entry is. */
  readonly #directories: { row: Row; line: number }[] = [];
  /** The table that rows of pages begin at. */
  #table: bigint | undefined;

  constructor(file: string, wanted: string | undefined) {
    this.#file = file;
    this.#wanted = wanted;
  }

  line(text: string, number: number): void {
    const heading = (ROOT_TABLE.exec(text) ?? DISABLED.exec(text))?.groups;
    const row = ROW.exec(text);
    const domain = DOMAIN.exec(text)?.groups;
    const path = this.#table === undefined ? null : PAGES.exec(text);
    if (heading) this.#heading(heading.unit as string, heading.root);
    else if (row) this.#row(row, number);
    else if (domain) this.#domain(BigInt(`0x${domain.table}`));
    else if (path)
      this.#path(
        path.slice(1).map((word) => BigInt(`0x${word}`)),
        number,
      );
  }

  /** Everything that was said; tables whose place nobody said are put where nothing else is. */
  pages(): PageMap {
    let free = PAGE;
    const tables = new Map<bigint, bigint>();
    for (const { row, line } of this.#directories) {
      const directory = this.#directory(row, line);
      const index = (field: number) => getBits(BigInt(row.pasid), field);
      const at = directory + index(PASID_INDEX.DIRECTORY) * BigInt(PASIDDIR_BYTES);
      let table = tables.get(at);
      if (table === undefined) {
        while (this.#pages.has(free)) free += PAGE;
        table = free;
        tables.set(at, table);
        const entry = [0n];
        setField(entry, PASIDDIR.P, 1);
        setInPlace(entry, PASIDDIR.SMPTBLPTR, table);
        this.#put(at, entry, DIRECTORY_PAGE, line);
      }
      this.#put(table + index(PASID_INDEX.TABLE) * BigInt(PASID_BYTES), row.entry, PASID_PAGE, line);
    }
    return new PageMap([...this.#pages.values()]);
  }

  /** Where a device's PASID directory lies; entries that lead to no row are not present. */
  #directory({ context }: Row, line: number): bigint {
    const directory = getInPlace(context, SCONTEXT.PASIDDIRPTR);
    const log2Entries = Number(getField(context, SCONTEXT.PDTS)) + PDTS_BASE_ENTRIES_LOG2;
    const bytes = 2 ** log2Entries * PASIDDIR_BYTES;
    for (let at = 0; at < bytes; at += PAGE_BYTES) this.#page(directory + BigInt(at), DIRECTORY_PAGE, line);
    return directory;
  }

  #heading(unit: string, root: string | undefined): void {
    this.found = true;
    this.#table = undefined;
    this.#skip = this.#wanted !== undefined && unit !== this.#wanted;
    const source = `dmar_translation_struct in ${this.#file}`;
    this.#unit = { unit, iommu: "vtd", values: new Map(), sources: new Map() };
    this.units.push(this.#unit);
    this.#rootTable = root === undefined ? 0n : BigInt(`0x${root}`);
    const status = [0n];
    setField(status, GSTS.TES, root === undefined ? 0 : 1);
    this.#unit.values.set(REG.GSTS, Number(status[0]));
    this.#unit.sources.set(REG.GSTS, source);
    this.#setRoot(TTM.LEGACY, source);
    if (root !== undefined && !this.#skip) this.#page(pageOf(this.#rootTable), ROOT_PAGE, 0);
  }

  /** The kernel prints where the table is, and rows show its mode. */
  #setRoot(mode: TTM, source: string): void {
    const rtaddr = [0n];
    setInPlace(rtaddr, RTADDR.RTA, pageOf(this.#rootTable));
    setField(rtaddr, RTADDR.TTM, mode);
    const value = rtaddr[0] as bigint;
    this.#unit?.values.set(REG.RTADDR, Number(BigInt.asUintN(32, value)));
    this.#unit?.values.set(REG.RTADDR + 4, Number(value >> 32n));
    this.#unit?.sources.set(REG.RTADDR, source);
  }

  #row(match: RegExpExecArray, line: number): void {
    if (this.#skip || !this.#unit) return;
    const sid = parseBdf(match[1] as string);
    if (sid === undefined) return;
    const word = (index: number) => BigInt(`0x${match[index] ?? "0"}`);
    const row: Row = {
      sid,
      root: [word(3), word(2)],
      context: [word(5), word(4)],
      pasid: Number(match[6] ?? -1),
      entry: [word(9), word(8), word(7)],
    };
    const part = (field: number) => getBits(BigInt(sid), field);
    this.#put(this.#rootTable + part(SOURCE_ID.BUS) * BigInt(ROOT_BYTES), row.root, ROOT_PAGE, line);
    if (row.pasid < 0) {
      const table = getInPlace(row.root, ROOT.CTP);
      this.#put(table + part(SOURCE_ID.DEVFN) * BigInt(CONTEXT_BYTES), row.context, CONTEXT_PAGE, line);
      return;
    }
    this.#setRoot(TTM.SCALABLE, `dmar_translation_struct in ${this.#file}`);
    const table = getInPlace(row.root, part(SOURCE_ID.UPPER_HALF) === 1n ? SROOT.UCTP : SROOT.LCTP);
    this.#put(table + part(SOURCE_ID.HALF_DEVFN) * BigInt(SCONTEXT_BYTES), row.context, SCALABLE_CONTEXT_PAGE, line);
    this.#directories.push({ row, line });
  }

  #domain(table: bigint): void {
    this.found = true;
    this.#table = table;
  }

  /** A row of domain_translation_struct: one leaf and the entries that lead to it, the uppermost first. */
  #path([pfn, ...entries]: readonly bigint[], line: number): void {
    const address = (pfn as bigint) * PAGE;
    let table = pageOf(this.#table as bigint);
    const top = entries.findIndex((entry) => entry !== 0n);
    for (let i = top < 0 ? MAX_LEVEL : top; i < MAX_LEVEL; i++) {
      const entry = entries[i] as bigint;
      if (entry === 0n) return;
      this.#put(table + (indexAt(address, MAX_LEVEL - i) << BigInt(PTE_SHIFT)), [entry], TABLE_PAGE, line);
      table = getInPlace([entry], SSPTE.ADDR);
    }
  }

  #put(address: bigint, words: readonly bigint[], kind: PageKind, line: number): void {
    const { bytes } = this.#page(pageOf(address), kind, line);
    const view = new DataView(bytes.buffer);
    const at = Number(address % PAGE);
    words.forEach((word, i) => {
      view.setBigUint64(at + 8 * i, word, true);
    });
  }

  #page(gpa: bigint, kind: PageKind, line: number): CapturedPage {
    const known = this.#pages.get(gpa);
    if (known) return known;
    const place = `line ${line}`;
    if (gpa >= TOP)
      throw new InputError(this.#file, place, `a table at 0x${gpa.toString(16)}, beyond ${ADDRESS_BITS} address bits`);
    if (this.#pages.size === MAX_PAGES)
      throw new InputError(this.#file, place, `more than ${MAX_PAGES} pages of tables`);
    const page = { gpa, ...kind, bytes: new Uint8Array(PAGE_BYTES) };
    this.#pages.set(gpa, page);
    return page;
  }
}
