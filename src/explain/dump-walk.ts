/**
 * Walks the tables that Linux prints after a VT-d fault (`dmar_fault_dump_ptes`), with the real walker:
 * the printed entries are put where their parents point, and everything else is missing.
 */
import {
  AW_BASE_LEVELS,
  CONTEXT,
  CONTEXT_BYTES,
  FSPM_BASE_LEVELS,
  PASID,
  PASID_BYTES,
  PASID_INDEX,
  PASIDDIR,
  PASIDDIR_BYTES,
  PGTT,
  PTE_SHIFT,
  ROOT,
  ROOT_BYTES,
  SCONTEXT,
  SCONTEXT_BYTES,
  SOURCE_ID,
  SROOT,
  SSPTE,
  TT,
} from "../../assembly/layout/vtd.ts";
import { RTADDR, TTM } from "../../assembly/layout/vtd-base.ts";
import { hex } from "../check.ts";
import type { Access, Request, Trace } from "../iommu.ts";
import { ADDRESS_BITS, GuestMemory } from "../memory.ts";
import { getBits, getField, getInPlace, putBits, setField, setInPlace } from "../structure.ts";
import { VTD_PRESETS, VtdCapabilities } from "../vtd/capabilities.ts";
import { VtdWalker } from "../vtd/walker.ts";
import type { DumpWalk } from "./finding.ts";
import { indexAt } from "./vtd-where.ts";

/** Entries as they were printed, lowest word first. */
export interface TableDump {
  unit: string;
  iova: bigint;
  scalable: boolean;
  root?: readonly bigint[];
  context?: readonly bigint[];
  directory?: bigint;
  pasid: (bigint | undefined)[];
  /** By level; null where only the level was printed. */
  ptes: Map<number, bigint | null>;
}

/** The request that faulted, as far as the log says. */
export interface FaultedRequest {
  sid: number | null;
  pasid: number | null;
  access: Access;
  /** What hardware reported. */
  code: number | null;
}

/** The unit's registers, where the log has them. */
export interface KnownUnit {
  ver: bigint;
  cap: bigint;
  ecap: bigint;
  haw: number;
}

/** For one walker and its trace. */
const WORKSPACE = 256 * 1024;
const WORD_BYTES = 8n;
/** Any page will do for the root table: its address is not printed. */
const FIRST_ROOT = 0x1000n;

/** Host memory that holds a few words, and remembers what was asked and not there. */
class Words {
  readonly words = new Map<bigint, bigint>();
  missing: bigint | undefined;

  put(address: bigint, words: readonly bigint[]): void {
    for (const [i, word] of words.entries()) this.words.set(address + BigInt(i) * WORD_BYTES, word);
  }

  read(address: bigint, into: Uint8Array): boolean {
    const view = new DataView(into.buffer, into.byteOffset, into.byteLength);
    for (let at = 0; at < into.length; at += Number(WORD_BYTES)) {
      const word = this.words.get(address + BigInt(at));
      if (word === undefined) {
        this.missing ??= address;
        return false;
      }
      view.setBigUint64(at, word, true);
    }
    return true;
  }
}

/** One walker for all the dumps of a log. */
export class DumpWalker {
  readonly #host = new Words();
  readonly #memory: GuestMemory;
  #walker: VtdWalker | undefined;

  constructor() {
    const read = (address: bigint, into: Uint8Array): boolean => this.#host.read(address, into);
    const size = 2n ** BigInt(ADDRESS_BITS);
    this.#memory = new GuestMemory({
      ram: [{ base: 0n, size, host: { read, write: () => true } }],
      workspace: WORKSPACE,
    });
  }

  walk(dump: TableDump, faulted: FaultedRequest, unit: KnownUnit | undefined): DumpWalk {
    const notes: string[] = [];
    const sid = faulted.sid ?? likelySid(dump);
    const rtaddr = this.#place(dump, sid, faulted.pasid, notes);
    const { ver, cap, ecap, haw } = known(unit, notes);
    const state = { cap, ecap, version: Number(ver), haw, rtaddr };
    if (this.#walker) this.#walker.configure(state);
    else this.#walker = new VtdWalker(this.#memory, state);
    const { trace, missing } = this.#run(this.#walker, dump, { ...faulted, sid });
    return judge(trace, missing, faulted.code, notes);
  }

  /** The log does not say whether the request was privileged: what agrees with the hardware is taken. */
  #run(
    walker: VtdWalker,
    dump: TableDump,
    faulted: FaultedRequest & { sid: number },
  ): { trace: Trace; missing?: bigint } {
    const runs = [false, true].map((privileged) => {
      const { sid, pasid, access } = faulted;
      const request: Request = { sid, pasid, address: dump.iova, access, privileged, probe: true };
      this.#host.missing = undefined;
      const trace = walker.trace(request);
      return { trace, ...(this.#host.missing === undefined ? {} : { missing: this.#host.missing }) };
    });
    const agrees = runs.find(({ trace: { outcome } }) => !outcome.ok && outcome.code === faulted.code);
    return agrees ?? (runs[0] as { trace: Trace });
  }

  /** Puts every entry where its parent points. @returns RTADDR */
  #place(dump: TableDump, sid: number, pasid: number | null, notes: string[]): bigint {
    const host = this.#host;
    host.words.clear();
    const rta = freePage(dump);
    const rtaddr = [0n];
    setInPlace(rtaddr, RTADDR.RTA, rta);
    setField(rtaddr, RTADDR.TTM, dump.scalable ? TTM.SCALABLE : TTM.LEGACY);
    const part = (field: number) => getBits(BigInt(sid), field);
    if (dump.root) host.put(rta + part(SOURCE_ID.BUS) * BigInt(ROOT_BYTES), pad(dump.root, ROOT_BYTES));
    if (!dump.root || !dump.context) return rtaddr[0] as bigint;
    if (!dump.scalable) {
      const table = getInPlace(dump.root, ROOT.CTP);
      host.put(table + part(SOURCE_ID.DEVFN) * BigInt(CONTEXT_BYTES), pad(dump.context, CONTEXT_BYTES));
      if (Number(getField(dump.context, CONTEXT.TT)) === TT.PASS_THROUGH) return rtaddr[0] as bigint;
      const levels = Number(getField(dump.context, CONTEXT.AW)) + AW_BASE_LEVELS;
      this.#placePages(dump, getInPlace(dump.context, CONTEXT.SSPTPTR), levels, notes);
      return rtaddr[0] as bigint;
    }
    const table = getInPlace(dump.root, part(SOURCE_ID.UPPER_HALF) === 1n ? SROOT.UCTP : SROOT.LCTP);
    host.put(table + part(SOURCE_ID.HALF_DEVFN) * BigInt(SCONTEXT_BYTES), pad(dump.context, SCONTEXT_BYTES));
    notes.push("the kernel prints half of a scalable context entry; the other half is reserved and taken as 0");
    this.#placePasid(dump, dump.context, pasid, notes);
    return rtaddr[0] as bigint;
  }

  #placePasid(dump: TableDump, context: readonly bigint[], pasid: number | null, notes: string[]): void {
    if (dump.directory === undefined) return;
    const index = (field: number) => getBits(BigInt(pasid ?? 0), field);
    const directory = getInPlace(context, SCONTEXT.PASIDDIRPTR);
    this.#host.put(directory + index(PASID_INDEX.DIRECTORY) * BigInt(PASIDDIR_BYTES), [dump.directory]);
    if (dump.pasid.length === 0) return;
    const words = Array.from({ length: PASID_BYTES / Number(WORD_BYTES) }, (_, i) => dump.pasid[i]);
    const lost = words.flatMap((word, i) => (word === undefined ? [i] : []));
    if (lost.length > 0) notes.push(`word ${lost.join(", ")} of the PASID entry is not in the log and taken as 0`);
    const entry = words.map((word) => word ?? 0n);
    const table = getInPlace([dump.directory], PASIDDIR.SMPTBLPTR);
    this.#host.put(table + index(PASID_INDEX.TABLE) * BigInt(PASID_BYTES), entry);
    const type = Number(getField(entry, PASID.PGTT));
    if (type === PGTT.PASS_THROUGH) return;
    const first = type === PGTT.FIRST_STAGE;
    const levels = first
      ? Number(getField(entry, PASID.FSPM)) + FSPM_BASE_LEVELS
      : Number(getField(entry, PASID.AW)) + AW_BASE_LEVELS;
    this.#placePages(dump, getInPlace(entry, first ? PASID.FSPTPTR : PASID.SSPTPTR), levels, notes);
  }

  #placePages(dump: TableDump, root: bigint, levels: number, notes: string[]): void {
    let table = root;
    for (let level = levels; level >= 1; level--) {
      const printed = dump.ptes.get(level);
      if (printed === undefined) return;
      if (printed === null)
        notes.push(`the kernel did not print the entry of level ${level}: taken as 0, though it may be a large page`);
      const entry = printed ?? 0n;
      this.#host.put(table + (indexAt(dump.iova, level) << BigInt(PTE_SHIFT)), [entry]);
      // Both stages have the address at the same place.
      table = getInPlace([entry], SSPTE.ADDR);
    }
  }
}

function pad(words: readonly bigint[], bytes: number): bigint[] {
  return Array.from({ length: bytes / Number(WORD_BYTES) }, (_, i) => words[i] ?? 0n);
}

/** A device in the half of the bus that is there. */
function likelySid({ scalable, root }: TableDump): number {
  if (!scalable || !root || getField(root, SROOT.LP) === 1n) return 0;
  return Number(putBits(0n, SOURCE_ID.UPPER_HALF, 1));
}

/** A page that no printed entry points to. */
function freePage({ root = [], context = [], directory = 0n, pasid, ptes }: TableDump): bigint {
  const words = [...root, ...context, directory, ...pasid, ...ptes.values()].flatMap((word) => word ?? []);
  const used = new Set(words.map((word) => getInPlace([word], SSPTE.ADDR)));
  let page = FIRST_ROOT;
  while (used.has(page)) page += FIRST_ROOT;
  return page;
}

function known(unit: KnownUnit | undefined, notes: string[]): KnownUnit {
  if (unit) {
    const { effective, haw } = VtdCapabilities.asFound(unit, unit.haw);
    return { ...effective, haw };
  }
  const { effective, haw } = VTD_PRESETS.widest;
  notes.push(
    "CAP and ECAP are not in the log: bits that this unit lacks cannot be told; paste the `reg_base_addr` line as well",
  );
  return { ...effective, haw };
}

function judge(
  { outcome, steps }: Trace,
  missing: bigint | undefined,
  reported: number | null,
  notes: string[],
): DumpWalk {
  const nothing = {
    code: null,
    name: null,
    check: null,
    rule: null,
    structure: null,
    address: null,
    words: [],
    output: null,
  };
  if (outcome.ok) {
    const agrees = reported === null ? null : false;
    return { ...nothing, result: "translates", output: outcome.address, agrees, notes };
  }
  const step = steps.findLast(({ checks }) => checks.some(({ failed }) => failed)) ?? steps.at(-1);
  const place = { structure: step?.structure ?? null, address: step?.address ?? null };
  if (missing !== undefined) {
    notes.push(`what lies at ${hex(missing)} was not printed`);
    return { ...nothing, ...place, result: "incomplete", agrees: null, notes };
  }
  const failed = step?.checks.find((check) => check.failed);
  return {
    ...nothing,
    ...place,
    result: "fault",
    code: outcome.code,
    name: outcome.name,
    check: failed?.id ?? outcome.check,
    rule: failed ? { rule: failed.rule, section: failed.section } : null,
    words: step?.words ?? [],
    agrees: reported === null ? null : outcome.code === reported,
    notes,
  };
}
