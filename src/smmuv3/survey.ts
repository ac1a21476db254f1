/**
 * Who may ask, in Arm SMMUv3 tables: every stream with a valid STE, every SubstreamID with a valid CD, and
 * the address space that each comes to. IHI 0070 3.3, 5.1 to 5.4.
 *
 * What makes a transaction fail before any translation table is read is not worked out again here: the
 * walker is asked.
 */
import { REACH, REACH_KIND } from "../../assembly/layout/reach.ts";
import {
  CD,
  CD_SIZE,
  CDS_PER_4K_LEAF_LOG2,
  CDS_PER_64K_LEAF_LOG2,
  CONFIG,
  CONFIG_BIT,
  EATS,
  INSTCFG,
  L1CD,
  L1CD_SIZE,
  L1STD,
  L1STD_SIZE,
  PRIVCFG,
  S1DSS,
  S1FMT,
  STE,
  STE_SIZE,
} from "../../assembly/layout/smmuv3.ts";
import { GBPA } from "../../assembly/layout/smmuv3-registers.ts";
import { FEATURE, SMMU } from "../../assembly/layout/smmuv3-unit.ts";
import { hex } from "../check.ts";
import type { Core } from "../core/core.ts";
import type { GuestMemory } from "../memory.ts";
import { type AddressSpace, type Grant, MAX_GRANTS, type Requesters, Spaces, type Survey } from "../reach/model.ts";
import { PAGE_BYTES, TableReader } from "../reach/reader.ts";
import { getField, getInPlace, maskWords } from "../structure.ts";
import type { SmmuWalker } from "./walker.ts";

const WORD = 8;
const STE_WORDS = STE_SIZE / WORD;
const CD_WORDS = CD_SIZE / WORD;
/** Streams looked at: more than any stream table that exists. */
const MAX_STREAMS = 2 ** 24;
const NOWHERE = 0xffff_ffff_ffff_ffffn;

/** Fields of STE and CD that do not decide what the tables map, but tag, route faults, or say who may ask. */
const ASIDE = {
  ste: maskWords(
    [
      STE.S1ContextPtr,
      STE.S1CDMax,
      STE.S1Fmt,
      STE.S1DSS,
      STE.EATS,
      STE.S2VMID,
      STE.PRIVCFG,
      STE.INSTCFG,
      STE.CONT,
      STE.MEV,
      STE.S1STALLD,
      STE.S2S,
      STE.S2R,
    ],
    STE_WORDS,
  ),
  cd: maskWords([CD.ASID, CD.ASET, CD.S, CD.R, CD.A, CD.MAIR0, CD.MAIR1, CD.AMAIR0, CD.AMAIR1], CD_WORDS),
};

/** Surveys the tables that the walker's registers name. */
export function surveySmmu(memory: GuestMemory, walker: SmmuWalker): Survey {
  return new SmmuSurvey(memory, walker).run();
}

class SmmuSurvey {
  readonly #core: Core;
  readonly #walker: SmmuWalker;
  readonly #reader: TableReader;
  /** A block for looking addresses up in stage 2; only its ENTRY and RESULT are used. */
  readonly #block: number;
  readonly #features: bigint;
  readonly #pointers: bigint;
  readonly #outputBits: bigint;
  readonly #ssidBits: number;
  readonly #spaces = new Spaces();
  /** By the words of the STE: streams with equal entries are told once. */
  readonly #requesters = new Map<string, Requesters>();
  readonly #survey: Survey;
  readonly #structures = new Set<bigint>();
  #grants = 0;

  constructor({ core }: GuestMemory, walker: SmmuWalker) {
    const { view } = core;
    const { unit } = walker;
    this.#core = core;
    this.#walker = walker;
    this.#reader = new TableReader(core);
    this.#block = core.allocate(REACH.FRAME0);
    view.setUint32(this.#block + REACH.UNIT, unit, true);
    this.#features = view.getBigUint64(unit + SMMU.FEATURES, true);
    this.#pointers = view.getBigUint64(unit + SMMU.POINTERS, true);
    this.#outputBits = BigInt(view.getUint32(unit + SMMU.OAS, true));
    this.#ssidBits = view.getUint32(unit + SMMU.SSID_BITS, true);
    this.#survey = { mode: "", requesters: [], spaces: this.#spaces.list, structures: [], notes: [] };
  }

  run(): Survey {
    const { view } = this.#core;
    const { unit } = this.#walker;
    if (!this.#has(FEATURE.SMMUEN)) {
      this.#disabled([BigInt(view.getUint32(unit + SMMU.GBPA, true))]);
      return this.#survey;
    }
    const streams = Number(view.getBigUint64(unit + SMMU.STREAMS, true));
    const table = view.getBigUint64(unit + SMMU.STREAM_TABLE, true);
    const split = view.getUint32(unit + SMMU.SPLIT, true);
    this.#survey.mode = split ? "two-level stream table" : "linear stream table";
    if (split) this.#levels(table, streams, split);
    else this.#streams(table, 0, Math.min(streams, MAX_STREAMS));
    if (streams > MAX_STREAMS && !split) this.#note(`streams from ${hex(MAX_STREAMS)} on are not listed`);
    this.#survey.requesters.push(...this.#requesters.values());
    return this.#survey;
  }

  /** SMMUEN = 0: IHI 0070 6.3.14, GBPA. */
  #disabled(gbpa: bigint[]): void {
    this.#survey.mode = "translation is off";
    const grant: Grant = {
      ...this.#overrides(getField(gbpa, GBPA.PRIVCFG), getField(gbpa, GBPA.INSTCFG)),
      pasid: null,
      tag: "",
    };
    if (!this.#refuse(grant, 0)) grant.space = this.#identity();
    this.#survey.requesters.push({ sids: undefined, grants: [grant], trusted: false });
  }

  #levels(table: bigint, streams: number, split: number): void {
    const perTable = 2 ** split;
    const entries = Math.min(Math.ceil(streams / perTable), MAX_STREAMS);
    for (let from = 0; from < entries; from += PAGE_BYTES / L1STD_SIZE) {
      const count = Math.min(PAGE_BYTES / L1STD_SIZE, entries - from);
      const level1 = this.#copy(table + BigInt(from * L1STD_SIZE), count * L1STD_SIZE, "level 1 stream table");
      for (let i = 0; level1 && i < count; i++) {
        const link = [level1[i] as bigint];
        const span = Number(getField(link, L1STD.Span));
        if (span === 0 || span > split + 1) continue;
        const size = 2 ** (span - 1);
        const base = getInPlace(link, L1STD.L2Ptr) & this.#pointers;
        this.#streams(base - (base % BigInt(size * STE_SIZE)), (from + i) * perTable, size);
      }
    }
  }

  /** `count` STEs at `table`, of streams from `first` on. */
  #streams(table: bigint, first: number, count: number): void {
    const perPage = PAGE_BYTES / STE_SIZE;
    for (let from = 0; from < count; from += perPage) {
      const here = Math.min(perPage, count - from);
      const stes = this.#copy(table + BigInt(from * STE_SIZE), here * STE_SIZE, "stream table");
      for (let i = 0; stes && i < here; i++) {
        const ste = Array.from(stes.subarray(i * STE_WORDS, (i + 1) * STE_WORDS));
        if (!getField(ste, STE.V)) continue;
        const key = ste.join();
        const known = this.#requesters.get(key);
        if (known) known.sids?.push(first + from + i);
        else this.#requesters.set(key, this.#stream(first + from + i, ste));
      }
    }
  }

  #stream(sid: number, ste: bigint[]): Requesters {
    const eats = getField(ste, STE.EATS);
    const config = Number(getField(ste, STE.Config));
    const checked = this.#has(FEATURE.ATS_CHECK);
    const trusted = this.#has(FEATURE.ATS) && config > CONFIG.BYPASS && (!checked || eats === BigInt(EATS.FULL));
    const grants: Grant[] = [];
    const log2 = Math.min(Number(getField(ste, STE.S1CDMax)), this.#ssidBits);
    const hasStage1 = (config & CONFIG_BIT.STAGE1) !== 0 && config > CONFIG.ABORT;
    const skipsStage1 = !hasStage1 || (log2 > 0 && getField(ste, STE.S1DSS) === BigInt(S1DSS.BYPASS));
    this.#grant(grants, sid, null, ste, config, skipsStage1 ? undefined : this.#cd(ste, log2, 0));
    if (hasStage1 && (config & CONFIG_BIT.LIVE) !== 0 && log2 > 0) {
      this.#eachCd(ste, log2, (ssid, cd) => this.#grant(grants, sid, ssid, ste, config, cd));
    }
    return { sids: [sid], grants, trusted };
  }

  /** @param cd undefined: stage 1 has no say */
  #grant(
    grants: Grant[],
    sid: number,
    pasid: number | null,
    ste: bigint[],
    config: number,
    cd: bigint[] | undefined,
  ): boolean {
    if (this.#grants++ === MAX_GRANTS) {
      this.#note(`more than ${MAX_GRANTS} substreams: the rest is not listed`);
      return false;
    }
    const overrides = this.#overrides(getField(ste, STE.PRIVCFG), getField(ste, STE.INSTCFG));
    const hasStage2 = (config & CONFIG_BIT.STAGE2) !== 0;
    const tags = [cd ? `ASID ${getField(cd, CD.ASID)}` : "", hasStage2 ? `VMID ${getField(ste, STE.S2VMID)}` : ""];
    const grant: Grant = { ...overrides, pasid, tag: tags.filter((tag) => tag !== "").join(", ") };
    grants.push(grant);
    if (this.#refuse(grant, sid)) return true;
    if (!cd && !hasStage2) grant.space = this.#identity();
    else grant.space = this.#tables(ste, cd, hasStage2);
    return true;
  }

  /** Whether transactions end before any translation table is read; notes why. */
  #refuse(grant: Grant, sid: number): boolean {
    const outcome = this.#walker.translate({ sid, pasid: grant.pasid, address: 0n, probe: true });
    // CLASS 0 is the fetch of a CD through stage 2.
    if (outcome.ok || (outcome.stage !== 0 && outcome.class !== 0)) return false;
    grant.fault = { code: outcome.code, name: outcome.name, check: outcome.check };
    return true;
  }

  /** IHI 0070 5.2: overrides of privilege and instruction, where they are implemented. */
  #overrides(priv: bigint, inst: bigint): Pick<Grant, "privilege" | "instruction"> {
    if (!this.#has(FEATURE.PERMISSION_OVERRIDES)) return { privilege: "both", instruction: "as asked" };
    const privileges = { [PRIVCFG.UNPRIVILEGED]: "user", [PRIVCFG.PRIVILEGED]: "privileged" } as const;
    const instructions = { [INSTCFG.DATA]: "data", [INSTCFG.INSTRUCTION]: "instruction" } as const;
    return {
      privilege: privileges[Number(priv) as PRIVCFG] ?? "both",
      instruction: instructions[Number(inst) as INSTCFG] ?? "as asked",
    };
  }

  /** CD number `index`; of a valid STE, undefined where it cannot be read. */
  #cd(ste: bigint[], log2: number, index: number): bigint[] | undefined {
    let found: bigint[] | undefined;
    this.#eachCd(ste, log2, (ssid, cd) => {
      if (ssid === index) found = cd;
      return ssid < index;
    });
    return found;
  }

  /** Every valid CD of a stream, until `visit` has seen enough. */
  #eachCd(ste: bigint[], log2: number, visit: (ssid: number, cd: bigint[]) => boolean): void {
    const format = Number(getField(ste, STE.S1Fmt));
    const table = getInPlace(ste, STE.S1ContextPtr) & this.#pointers;
    if (!log2 || (format !== S1FMT.TWO_LEVEL_4K && format !== S1FMT.TWO_LEVEL_64K)) {
      this.#cds(ste, aligned(table, CD_SIZE * 2 ** log2), 0, 2 ** log2, visit);
      return;
    }
    const leaf = format === S1FMT.TWO_LEVEL_4K ? CDS_PER_4K_LEAF_LOG2 : CDS_PER_64K_LEAF_LOG2;
    const entries = 2 ** Math.max(0, log2 - leaf);
    const base = aligned(table, Math.max(64, entries * L1CD_SIZE));
    for (let i = 0; i < entries; i++) {
      const link = this.#guestCopy(ste, base + BigInt(i * L1CD_SIZE), L1CD_SIZE, "level 1 CD table");
      if (!link || !getField([link[0] as bigint], L1CD.V)) continue;
      const cds = aligned(getInPlace([link[0] as bigint], L1CD.L2Ptr) & this.#pointers, CD_SIZE * 2 ** leaf);
      const count = Math.min(2 ** leaf, 2 ** log2);
      if (!this.#cds(ste, cds, i * 2 ** leaf, count, visit)) return;
    }
  }

  #cds(
    ste: bigint[],
    table: bigint,
    first: number,
    count: number,
    visit: (ssid: number, cd: bigint[]) => boolean,
  ): boolean {
    const perPage = PAGE_BYTES / CD_SIZE;
    for (let from = 0; from < count; from += perPage) {
      const here = Math.min(perPage, count - from);
      const cds = this.#guestCopy(ste, table + BigInt(from * CD_SIZE), here * CD_SIZE, "CD table");
      for (let i = 0; cds && i < here; i++) {
        const cd = Array.from(cds.subarray(i * CD_WORDS, (i + 1) * CD_WORDS));
        if (getField(cd, CD.V) && !visit(first + from + i, cd)) return false;
      }
    }
    return true;
  }

  #tables(ste: bigint[], cd: bigint[] | undefined, hasStage2: boolean): AddressSpace {
    const first = cd?.map((word, i) => word & ~(ASIDE.cd[i] as bigint)) ?? [];
    const stes = ste.map((word, i) => word & ~(ASIDE.ste[i] as bigint));
    // The walk takes the two bits of Config apart, and what stage has no say is not to tell spaces apart.
    const second = hasStage2 ? stes : stes.map((word, i) => (i < 2 ? word : 0n));
    const kind = !cd ? REACH_KIND.SECOND : hasStage2 ? REACH_KIND.NESTED : REACH_KIND.FIRST;
    return this.#spaces.find([kind, ...second, ...first].join(), () => ({
      title: titleOf(ste, cd, hasStage2),
      kind,
      entry: second,
      cd: first,
      nested: kind === REACH_KIND.NESTED,
      ...(cd ? { tagged: { lower: getField(cd, CD.TBI0) === 1n, upper: getField(cd, CD.TBI1) === 1n } } : {}),
      ...(hasStage2 ? { secondStage: second.join() } : {}),
    }));
  }

  #identity(): AddressSpace {
    return this.#spaces.find("identity", () => ({
      title: "bypass: output = input",
      identity: 1n << this.#outputBits,
      entry: [],
      cd: [],
      nested: false,
    }));
  }

  /** A copy of tables that stage 2 lies below, where the stream has one. */
  #guestCopy(ste: bigint[], address: bigint, bytes: number, role: string): BigUint64Array | undefined {
    const nested = Number(getField(ste, STE.Config)) === CONFIG.NESTED;
    if (!nested) return this.#copy(address, bytes, role);
    const { exports, view } = this.#core;
    ste.forEach((word, i) => {
      view.setBigUint64(this.#block + REACH.ENTRY + WORD * i, word, true);
    });
    const host = BigInt.asUintN(64, exports.smmuReachLocate(this.#block, address));
    return host === NOWHERE ? undefined : this.#copy(host, bytes, role, true);
  }

  /** A copy of part of a table, which is noted as one. */
  #copy(address: bigint, bytes: number, role: string, guest = false): BigUint64Array | undefined {
    const page = aligned(address, PAGE_BYTES);
    const isNew = !this.#structures.has(page);
    this.#structures.add(page);
    const words = this.#reader.words(address, bytes)?.slice();
    if (!isNew) return words;
    if (words) this.#survey.structures.push({ address: page, bytes: BigInt(PAGE_BYTES), role, guest });
    else this.#note(`${role} at ${hex(address)} cannot be read`);
    return words;
  }

  #has(feature: FEATURE): boolean {
    return getField([this.#features], feature) === 1n;
  }

  #note(text: string): void {
    this.#survey.notes.push(text);
  }
}

function aligned(address: bigint, bytes: number): bigint {
  return address - (address % BigInt(bytes));
}

/** "stage 1, tables at 0x.. over stage 2, tables at 0x.." */
function titleOf(ste: bigint[], cd: bigint[] | undefined, hasStage2: boolean): string {
  const parts: string[] = [];
  if (cd) {
    const tables = [
      getField(cd, CD.EPD0) ? "" : hex(getInPlace(cd, CD.TTB0)),
      getField(cd, CD.EPD1) ? "" : `${hex(getInPlace(cd, CD.TTB1))} (upper half)`,
    ].filter((text) => text !== "");
    parts.push(tables.length > 0 ? `stage 1, tables at ${tables.join(" and ")}` : "stage 1, both tables disabled");
  }
  if (hasStage2) parts.push(`stage 2, tables at ${hex(getInPlace(ste, STE.S2TTB))}`);
  return `${cd && hasStage2 ? "nested: " : ""}${parts.join(" over ")}`;
}
