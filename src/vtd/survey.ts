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
  FSPM_BASE_LEVELS,
  INTERRUPT_PREFIX,
  INTERRUPT_RANGE,
  PASID,
  PASID_BYTES,
  PASIDDIR,
  PGTT,
  SCONTEXT,
  TT,
} from "../../assembly/layout/vtd.ts";
import { VTD_MODE } from "../../assembly/layout/vtd-unit.ts";
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
import { build, getField, getInPlace, maskWords, putBits } from "../structure.ts";
import { ridPasid, VtdTablesView } from "./visit.ts";
import type { VtdWalker } from "./walker.ts";

const ENTRY_WORDS = PASID_BYTES / 8;

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
  readonly #tables: VtdTablesView;
  readonly #spaces = new Spaces();
  /** By the words of the context entry: devices with equal entries are told once. */
  readonly #requesters = new Map<string, Requesters>();
  #grants = 0;
  #isCut = false;

  constructor(memory: GuestMemory, walker: VtdWalker) {
    this.#walker = walker;
    this.#tables = new VtdTablesView(memory, walker);
  }

  run(): Survey {
    const { mode, reader } = this.#tables;
    for (const root of this.#tables.roots()) {
      if (!root.present) continue;
      for (const { sid, words } of this.#tables.contexts(root)) {
        if (getField(words, CONTEXT.P)) this.#add(sid, words);
      }
    }
    const requesters = [...this.#requesters.values()];
    if (mode === VTD_MODE.OFF) {
      const grant: Grant = { ...PLAIN, pasid: null, space: this.#off(), tag: "" };
      requesters.push({ sids: undefined, grants: [grant], trusted: false });
    }
    if (this.#isCut) reader.notes.push(`more than ${MAX_GRANTS} PASIDs: the rest is not listed`);
    const { structures, shortcomings: notes } = reader;
    return { mode: MODES[mode] ?? "", requesters, spaces: this.#spaces.list, structures, notes };
  }

  #add(sid: number, context: bigint[]): void {
    const key = context.join();
    const known = this.#requesters.get(key);
    if (known) known.sids?.push(sid);
    else this.#requesters.set(key, this.#device(sid, context));
  }

  #device(sid: number, context: bigint[]): Requesters {
    if (!this.#tables.scalable) {
      const trusted = passesTranslated(this.#walker, sid);
      return { sids: [sid], grants: [this.#legacyGrant(sid, context)], trusted };
    }
    // § 3.10: a host permission table has its say, page by page.
    const trusted = getField(context, SCONTEXT.HPTE) === 0n && passesTranslated(this.#walker, sid);
    const own = this.#tables.pasid(context, ridPasid(context));
    const grants = [this.#scalableGrant(sid, null, context, own?.words)];
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
    grant.space = isBypass ? this.#identity() : this.#space(entry);
    return grant;
  }

  /** Every PASID of the directory that has an entry which is present. */
  #pasids(sid: number, context: bigint[], grants: Grant[]): void {
    for (const link of this.#tables.directory(context)) {
      if (!getField(link.words, PASIDDIR.P)) continue;
      for (const { pasid, words } of this.#tables.pasids(link)) {
        if (!getField(words, PASID.P)) continue;
        if (this.#grants >= MAX_GRANTS) {
          this.#isCut = true;
          return;
        }
        const grant = this.#scalableGrant(sid, pasid, context, words);
        // SCT.9: what requests without PASID use is told with them.
        if (!grant.fault || pasid !== ridPasid(context)) grants.push(grant);
      }
    }
  }

  #scalableGrant(sid: number, pasid: number | null, context: bigint[], entry: bigint[] | undefined): Grant {
    this.#grants++;
    const tag = entry ? `DID ${getField(entry, PASID.DID)}` : "";
    const grant: Grant = { ...PLAIN, pasid, tag };
    if (this.#refuse(grant, sid) || !entry) return grant;
    if (pasid === null) grant.privilege = getField(context, SCONTEXT.RID_PRIV) ? "privileged" : "user";
    else if (!getField(entry, PASID.SRE)) grant.privilege = "user";
    const isBypass = getField(entry, PASID.PGTT) === BigInt(PGTT.PASS_THROUGH);
    grant.space = isBypass ? this.#identity() : this.#space(entry);
    return grant;
  }

  /** Whether requests end before any page table is read; notes why. */
  #refuse(grant: Grant, sid: number): boolean {
    const outcome = this.#walker.translate({ sid, pasid: grant.pasid, address: 0n, probe: true });
    if (outcome.ok || outcome.stage !== 0) return false;
    grant.fault = { code: outcome.code, name: outcome.name, check: outcome.check };
    return true;
  }

  #space(entry: bigint[]): AddressSpace {
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
      identity: this.#tables.hostBytes,
      entry: [],
      cd: [],
      interrupts: INTERRUPTS,
      nested: false,
    }));
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
