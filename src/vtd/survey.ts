/**
 * Who may ask, in Intel VT-d tables: every device with a context entry, every PASID with an entry, and the
 * address space that each comes to. VT-d rev 5.10, 3.3, 3.4, 9.1 to 9.6.
 *
 * What makes a request fail before any page table is read is not worked out again here: the walker is asked.
 */
import { REACH_KIND } from "../../assembly/layout/reach.ts";
import {
  AW_BASE_LEVELS,
  CONTEXT,
  CONTEXT_BYTES,
  FSPM_BASE_LEVELS,
  INTERRUPT_PREFIX,
  INTERRUPT_RANGE,
  PASID,
  PASID_BYTES,
  PASID_INDEX,
  PASIDDIR,
  PDTS_BASE_ENTRIES_LOG2,
  PGTT,
  ROOT,
  ROOT_BYTES,
  SCONTEXT,
  SCONTEXT_BYTES,
  SOURCE_ID,
  SROOT,
  TT,
} from "../../assembly/layout/vtd.ts";
import { VTD, VTD_MODE } from "../../assembly/layout/vtd-unit.ts";
import { hex } from "../check.ts";
import type { GuestMemory } from "../memory.ts";
import { type AddressSpace, type Grant, MAX_GRANTS, type Requesters, Spaces, type Survey } from "../reach/model.ts";
import { PAGE_BYTES, TableReader } from "../reach/reader.ts";
import { build, getField, getInPlace, maskWords, putBits } from "../structure.ts";
import type { VtdWalker } from "./walker.ts";

const WORD = 8;
const ENTRY_WORDS = PASID_BYTES / WORD;
const BUSES = 256;
const PASIDS_PER_TABLE = PAGE_BYTES / PASID_BYTES;
const DIRECTORY_PIECE = PAGE_BYTES / WORD;

/** Fields that decide what a PASID entry's tables map; the others are tags and permissions to ask. */
const TRANSLATING = {
  first: maskWords([PASID.PWSNP, PASID.FSPM, PASID.WPE, PASID.EAFE, PASID.FSPTPTR], ENTRY_WORDS),
  second: maskWords([PASID.AW, PASID.SSADE, PASID.SSPTPTR, PASID.PWSNP], ENTRY_WORDS),
};

/** Surveys the tables that the walker's registers name. */
export function surveyVtd(memory: GuestMemory, walker: VtdWalker): Survey {
  return new VtdSurvey(memory, walker).run();
}

class VtdSurvey {
  readonly #walker: VtdWalker;
  readonly #reader: TableReader;
  readonly #hostBytes: bigint;
  readonly #mode: number;
  readonly #root: bigint;
  readonly #spaces = new Spaces();
  /** By the words of the context entry: devices with equal entries are told once. */
  readonly #requesters = new Map<string, Requesters>();
  readonly #survey: Survey;
  readonly #structures = new Set<bigint>();
  #grants = 0;

  constructor({ core }: GuestMemory, walker: VtdWalker) {
    const { view } = core;
    this.#walker = walker;
    this.#reader = new TableReader(core);
    this.#hostBytes = 1n << BigInt(view.getUint32(walker.unit + VTD.HAW, true));
    this.#mode = view.getUint32(walker.unit + VTD.MODE, true);
    this.#root = view.getBigUint64(walker.unit + VTD.ROOT_TABLE, true);
    this.#survey = {
      mode: MODES[this.#mode] ?? "",
      requesters: [],
      spaces: this.#spaces.list,
      structures: [],
      notes: [],
    };
  }

  run(): Survey {
    if (this.#mode === VTD_MODE.OFF) {
      const grant: Grant = { ...PLAIN, pasid: null, space: this.#off(), tag: "" };
      this.#survey.requesters.push({ sids: undefined, grants: [grant], trusted: false });
    }
    if (this.#mode === VTD_MODE.LEGACY || this.#mode === VTD_MODE.SCALABLE) this.#eachBus();
    this.#survey.requesters.push(...this.#requesters.values());
    return this.#survey;
  }

  #eachBus(): void {
    const root = this.#copy(this.#root, PAGE_BYTES, "root table");
    if (!root) return;
    for (let bus = 0; bus < BUSES; bus++) {
      const entry = root.subarray(bus * (ROOT_BYTES / WORD));
      if (this.#mode === VTD_MODE.LEGACY) {
        if (getField([entry[0] as bigint], ROOT.P)) this.#contexts(bus, 0, getInPlace([entry[0] as bigint], ROOT.CTP));
        continue;
      }
      for (const half of [0, 1]) {
        const words = [entry[half] as bigint];
        if (getField(words, SROOT.LP)) this.#contexts(bus, half, getInPlace(words, SROOT.LCTP));
      }
    }
  }

  /** All devices of a context table: of a bus, or in scalable mode of half a bus. */
  #contexts(bus: number, half: number, address: bigint): void {
    const contexts = this.#copy(address, PAGE_BYTES, "context table");
    if (!contexts) return;
    const count = (this.#mode === VTD_MODE.LEGACY ? CONTEXT_BYTES : SCONTEXT_BYTES) / WORD;
    for (let i = 0; i * count < contexts.length; i++) {
      const words = Array.from(contexts.subarray(i * count, (i + 1) * count));
      if (!getField(words, CONTEXT.P)) continue;
      const sid = sourceId(bus, half, i);
      const key = words.join();
      const known = this.#requesters.get(key);
      if (known) known.sids?.push(sid);
      else this.#requesters.set(key, this.#device(sid, words));
    }
  }

  #device(sid: number, context: bigint[]): Requesters {
    if (this.#mode === VTD_MODE.LEGACY) {
      const trusted = getField(context, CONTEXT.TT) === BigInt(TT.SECOND_STAGE_ATS);
      return { sids: [sid], grants: [this.#legacyGrant(sid, context)], trusted };
    }
    const trusted = getField(context, SCONTEXT.DTE) === 1n && getField(context, SCONTEXT.HPTE) === 0n;
    const grants = [this.#scalableGrant(sid, null, context, this.#entryOf(context, ridPasid(context)))];
    if (getField(context, SCONTEXT.PASIDE)) this.#pasids(sid, context, grants);
    return { sids: [sid], grants, trusted };
  }

  #legacyGrant(sid: number, context: bigint[]): Grant {
    const grant: Grant = { ...PLAIN, pasid: null, tag: `DID ${getField(context, CONTEXT.DID)}` };
    if (this.#refuse(grant, sid)) return grant;
    const isBypass = getField(context, CONTEXT.TT) === BigInt(TT.PASS_THROUGH);
    const AW = getField(context, CONTEXT.AW);
    const SSPTPTR = getField(context, CONTEXT.SSPTPTR);
    const entry = build(PASID, ENTRY_WORDS, { AW, SSPTPTR, PGTT: PGTT.SECOND_STAGE });
    grant.space = isBypass ? this.#identity() : this.#tables(entry);
    return grant;
  }

  /** Every PASID of the directory that has an entry which is present. */
  #pasids(sid: number, context: bigint[], grants: Grant[]): void {
    const entries = 2 ** (PDTS_BASE_ENTRIES_LOG2 + Number(getField(context, SCONTEXT.PDTS)));
    const base = getInPlace(context, SCONTEXT.PASIDDIRPTR);
    for (let from = 0; from < entries; from += DIRECTORY_PIECE) {
      const count = Math.min(DIRECTORY_PIECE, entries - from);
      const directory = this.#copy(base + BigInt(from * WORD), count * WORD, "PASID directory");
      for (let i = 0; directory && i < count; i++) {
        const link = [directory[i] as bigint];
        if (!getField(link, PASIDDIR.P)) continue;
        if (!this.#pasidTable(sid, context, (from + i) * PASIDS_PER_TABLE, link, grants)) return;
      }
    }
  }

  /** @returns false when enough is enough */
  #pasidTable(sid: number, context: bigint[], first: number, link: bigint[], grants: Grant[]): boolean {
    const table = this.#copy(getInPlace(link, PASIDDIR.SMPTBLPTR), PAGE_BYTES, "PASID table");
    for (let i = 0; table && i < PASIDS_PER_TABLE; i++) {
      const entry = Array.from(table.subarray(i * ENTRY_WORDS, (i + 1) * ENTRY_WORDS));
      if (!getField(entry, PASID.P)) continue;
      if (this.#grants === MAX_GRANTS) {
        this.#note(`more than ${MAX_GRANTS} PASIDs: the rest is not listed`);
        return false;
      }
      const grant = this.#scalableGrant(sid, first + i, context, entry);
      // SCT.9: what requests without PASID use is told with them.
      if (!grant.fault || first + i !== ridPasid(context)) grants.push(grant);
    }
    return true;
  }

  #scalableGrant(sid: number, pasid: number | null, context: bigint[], entry: bigint[] | undefined): Grant {
    this.#grants++;
    const tag = entry ? `DID ${getField(entry, PASID.DID)}` : "";
    const grant: Grant = { ...PLAIN, pasid, tag };
    if (this.#refuse(grant, sid) || !entry) return grant;
    if (pasid === null) grant.privilege = getField(context, SCONTEXT.RID_PRIV) ? "privileged" : "user";
    else if (!getField(entry, PASID.SRE)) grant.privilege = "user";
    const isBypass = getField(entry, PASID.PGTT) === BigInt(PGTT.PASS_THROUGH);
    grant.space = isBypass ? this.#identity() : this.#tables(entry);
    return grant;
  }

  /** Whether requests end before any page table is read; notes why. */
  #refuse(grant: Grant, sid: number): boolean {
    const outcome = this.#walker.translate({ sid, pasid: grant.pasid, address: 0n, probe: true });
    if (outcome.ok || outcome.stage !== 0) return false;
    grant.fault = { code: outcome.code, name: outcome.name, check: outcome.check };
    return true;
  }

  /** The PASID table entry of a context, undefined where there is none. */
  #entryOf(context: bigint[], pasid: number): bigint[] | undefined {
    const index = [BigInt(pasid)];
    const base = getInPlace(context, SCONTEXT.PASIDDIRPTR);
    const link = this.#copy(base + getField(index, PASID_INDEX.DIRECTORY) * BigInt(WORD), WORD, "PASID directory");
    if (!link || !getField([link[0] as bigint], PASIDDIR.P)) return undefined;
    const table = getInPlace([link[0] as bigint], PASIDDIR.SMPTBLPTR);
    const at = table + getField(index, PASID_INDEX.TABLE) * BigInt(PASID_BYTES);
    const entry = this.#copy(at, PASID_BYTES, "PASID table");
    return entry && Array.from(entry);
  }

  #tables(entry: bigint[]): AddressSpace {
    const pgtt = Number(getField(entry, PASID.PGTT));
    const first = pgtt !== PGTT.SECOND_STAGE;
    const second = pgtt !== PGTT.FIRST_STAGE;
    const masks = entry.map(
      (_, i) => (first ? (TRANSLATING.first[i] ?? 0n) : 0n) | (second ? (TRANSLATING.second[i] ?? 0n) : 0n),
    );
    const kept = entry.map((word, i) => word & (masks[i] as bigint));
    return this.#spaces.find([pgtt, ...kept].join(), () => ({
      title: titleOf(entry, first, second),
      kind: first && second ? REACH_KIND.NESTED : first ? REACH_KIND.FIRST : REACH_KIND.SECOND,
      entry: kept,
      cd: [],
      interrupts: INTERRUPTS,
      nested: first && second,
      ...(second ? { secondStage: kept[0]?.toString() ?? "" } : {}),
    }));
  }

  #off(): AddressSpace {
    const title = "translation is off: output = input";
    const space = { title, identity: 2n ** 64n, entry: [], cd: [], nested: false, interrupts: INTERRUPTS };
    return this.#spaces.find("off", () => space);
  }

  #identity(): AddressSpace {
    return this.#spaces.find("identity", () => ({
      title: "pass-through: output = input",
      identity: this.#hostBytes,
      entry: [],
      cd: [],
      interrupts: INTERRUPTS,
      nested: false,
    }));
  }

  /** A copy of part of a table, which is noted as one. */
  #copy(address: bigint, bytes: number, role: string): BigUint64Array | undefined {
    const page = address - (address % BigInt(PAGE_BYTES));
    const isNew = !this.#structures.has(page);
    this.#structures.add(page);
    const words = this.#reader.words(address, bytes)?.slice();
    if (!isNew) return words;
    if (words) this.#survey.structures.push({ address: page, bytes: BigInt(PAGE_BYTES), role, guest: false });
    else this.#note(`${role} at ${hex(address)} cannot be read`);
    return words;
  }

  #note(text: string): void {
    this.#survey.notes.push(text);
  }
}

/** FEE0_0000h to FEEF_FFFFh. */
const INTERRUPTS = {
  address: putBits(0n, INTERRUPT_RANGE.PREFIX, INTERRUPT_PREFIX),
  bytes: 1n << BigInt(INTERRUPT_RANGE.PREFIX & 0xff),
};

/** What holds of a grant unless its entries say otherwise. */
const PLAIN = { privilege: "both", instruction: "as asked" } as const;

const MODES: Readonly<Record<number, string>> = {
  [VTD_MODE.OFF]: "translation is off",
  [VTD_MODE.LEGACY]: "legacy mode",
  [VTD_MODE.SCALABLE]: "scalable mode",
  [VTD_MODE.ABORT_DMA]: "abort-DMA mode",
  [VTD_MODE.ILLEGAL]: "a reserved mode, which refuses everything",
  [VTD_MODE.ILLEGAL_SSIRWE]: "legacy mode with SSIRWE, which refuses everything",
};

function ridPasid(context: bigint[]): number {
  return Number(getField(context, SCONTEXT.RID_PASID));
}

function sourceId(bus: number, half: number, index: number): number {
  const at = (field: number, value: number) => value * 2 ** (field & 0xff);
  return at(SOURCE_ID.BUS, bus) + at(SOURCE_ID.UPPER_HALF, half) + index;
}

/** "nested: first stage, 4 levels, tables at 0x.. over second stage, 4 levels, tables at 0x.." */
function titleOf(entry: bigint[], first: boolean, second: boolean): string {
  const parts: string[] = [];
  const table = (stage: string, levels: bigint, at: bigint) => `${stage} stage, ${levels} levels, tables at ${hex(at)}`;
  if (first) {
    const levels = getField(entry, PASID.FSPM) + BigInt(FSPM_BASE_LEVELS);
    parts.push(table("first", levels, getInPlace(entry, PASID.FSPTPTR)));
  }
  if (second) {
    const levels = getField(entry, PASID.AW) + BigInt(AW_BASE_LEVELS);
    parts.push(table("second", levels, getInPlace(entry, PASID.SSPTPTR)));
  }
  return `${first && second ? "nested: " : ""}${parts.join(" over ")}`;
}
