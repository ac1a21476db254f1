/**
 * Who may ask, in Arm SMMUv3 tables: every stream with a valid STE, every SubstreamID with a valid CD, and
 * the address space that each comes to. IHI 0070 3.3, 5.1 to 5.4.
 *
 * What makes a transaction fail before any translation table is read is not worked out again here: the
 * walker is asked.
 */
import { REACH_KIND } from "../../assembly/layout/reach.ts";
import {
  CD,
  CD_SIZE,
  CONFIG,
  CONFIG_BIT,
  INSTCFG,
  PRIVCFG,
  S1DSS,
  STE,
  STE_SIZE,
} from "../../assembly/layout/smmuv3.ts";
import { GBPA } from "../../assembly/layout/smmuv3-registers.ts";
import { FEATURE, SMMU } from "../../assembly/layout/smmuv3-unit.ts";
import { hex } from "../check.ts";
import type { GuestMemory } from "../memory.ts";
import {
  type AddressSpace,
  type Grant,
  MAX_GRANTS,
  passesTranslated,
  type Requesters,
  Spaces,
  type Survey,
} from "../reach/model.ts";
import { getField, getInPlace, maskWords } from "../structure.ts";
import { SmmuTablesView } from "./visit.ts";
import type { SmmuWalker } from "./walker.ts";

const WORD = 8;
const STE_WORDS = STE_SIZE / WORD;
const CD_WORDS = CD_SIZE / WORD;

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
  readonly #walker: SmmuWalker;
  readonly #tables: SmmuTablesView;
  /** GBPA */
  readonly #bypass: bigint[];
  readonly #spaces = new Spaces();
  /** By the words of the STE: streams with equal entries are told once. */
  readonly #requesters = new Map<string, Requesters>();
  #grants = 0;

  constructor(memory: GuestMemory, walker: SmmuWalker) {
    this.#walker = walker;
    this.#tables = new SmmuTablesView(memory, walker);
    this.#bypass = [BigInt(memory.core.view.getUint32(walker.unit + SMMU.GBPA, true))];
  }

  run(): Survey {
    const { reader, split } = this.#tables;
    for (const span of this.#tables.spans()) {
      for (const { sid, words } of this.#tables.streams(span)) {
        if (getField(words, STE.V)) this.#add(sid, words);
      }
    }
    const requesters = [...this.#requesters.values()];
    const isOn = this.#tables.has(FEATURE.SMMUEN);
    if (!isOn) requesters.push(this.#disabled());
    const mode = isOn ? `${split ? "two-level" : "linear"} stream table` : "translation is off";
    if (this.#grants > MAX_GRANTS) {
      reader.notes.push(`more than ${MAX_GRANTS} streams and substreams: the rest is not listed`);
    }
    const { structures, shortcomings: notes } = reader;
    return { mode, requesters, spaces: this.#spaces.list, structures, notes };
  }

  /** SMMUEN = 0: IHI 0070 3.11.1, GBPA. */
  #disabled(): Requesters {
    const overrides = this.#overrides(getField(this.#bypass, GBPA.PRIVCFG), getField(this.#bypass, GBPA.INSTCFG));
    const grant: Grant = { ...overrides, pasid: null, tag: "" };
    if (!this.#refuse(grant, 0)) grant.space = this.#identity();
    return { sids: undefined, grants: [grant], trusted: false };
  }

  #add(sid: number, ste: bigint[]): void {
    const key = ste.join();
    const known = this.#requesters.get(key);
    if (known) known.sids?.push(sid);
    else if (this.#grants < MAX_GRANTS) this.#requesters.set(key, this.#stream(sid, ste));
  }

  #stream(sid: number, ste: bigint[]): Requesters {
    const config = Number(getField(ste, STE.Config));
    // Without ATS no device knows of translated transactions.
    const trusted = this.#tables.has(FEATURE.ATS) && passesTranslated(this.#walker, sid);
    const grants: Grant[] = [];
    const hasStage1 = config > CONFIG.BYPASS && (config & CONFIG_BIT.STAGE1) !== 0;
    const hasSubstreams = hasStage1 && this.#tables.log2Cds(ste) > 0;
    const skipsStage1 = !hasStage1 || (hasSubstreams && getField(ste, STE.S1DSS) === BigInt(S1DSS.BYPASS));
    this.#grant(grants, sid, null, ste, skipsStage1 ? undefined : this.#tables.cd(ste, 0)?.words);
    if (hasSubstreams) this.#substreams(sid, ste, grants);
    return { sids: [sid], grants, trusted };
  }

  #substreams(sid: number, ste: bigint[], grants: Grant[]): void {
    // § 5.2 S1DSS = 0b10: CD 0 is told as that of transactions without SubstreamID, and is nobody else's.
    const taken = getField(ste, STE.S1DSS) === BigInt(S1DSS.SUBSTREAM0);
    for (const span of this.#tables.cdSpans(ste)) {
      if (!span.valid) continue;
      for (const { ssid, words } of this.#tables.cds(ste, span)) {
        if (!getField(words, CD.V) || (taken && ssid === 0)) continue;
        if (!this.#grant(grants, sid, ssid, ste, words)) return;
      }
    }
  }

  /** @param cd undefined: stage 1 has no say */
  #grant(grants: Grant[], sid: number, pasid: number | null, ste: bigint[], cd: bigint[] | undefined): boolean {
    const config = Number(getField(ste, STE.Config));
    if (this.#grants++ >= MAX_GRANTS) return false;
    const overrides = this.#overrides(getField(ste, STE.PRIVCFG), getField(ste, STE.INSTCFG));
    const hasStage2 = (config & CONFIG_BIT.STAGE2) !== 0;
    const tags = [cd ? `ASID ${getField(cd, CD.ASID)}` : "", hasStage2 ? `VMID ${getField(ste, STE.S2VMID)}` : ""];
    const tag = tags.filter((text) => text !== "").join(", ");
    const grant: Grant = { ...overrides, pasid, tag, vmid: getField(ste, STE.S2VMID) };
    grants.push(grant);
    if (this.#refuse(grant, sid)) return true;
    if (!cd && !hasStage2) grant.space = this.#identity();
    else grant.space = this.#space(ste, cd, hasStage2);
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
    if (!this.#tables.has(FEATURE.PERMISSION_OVERRIDES)) return { privilege: "both", instruction: "as asked" };
    const privileges = { [PRIVCFG.UNPRIVILEGED]: "user", [PRIVCFG.PRIVILEGED]: "privileged" } as const;
    const instructions = { [INSTCFG.DATA]: "data", [INSTCFG.INSTRUCTION]: "instruction" } as const;
    return {
      privilege: privileges[Number(priv) as PRIVCFG] ?? "both",
      instruction: instructions[Number(inst) as INSTCFG] ?? "as asked",
    };
  }

  #space(ste: bigint[], cd: bigint[] | undefined, hasStage2: boolean): AddressSpace {
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
      identity: this.#tables.outputBytes,
      entry: [],
      cd: [],
      nested: false,
    }));
  }
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
