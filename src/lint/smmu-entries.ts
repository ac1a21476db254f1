/** Lints SMMUv3 entries one by one: what is not valid and not clear, reserved, ignored, out of reach, refused. */
import { CD, CONFIG, CONFIG_BIT, L1CD, L1STD, STE } from "../../assembly/layout/smmuv3.ts";
import { FEATURE } from "../../assembly/layout/smmuv3-unit.ts";
import { hex } from "../check.ts";
import { SMMU_STRUCTURES } from "../explain/catalogue-smmuv3.ts";
import { findProblems, type Structure } from "../explain/structure.ts";
import type { Survey } from "../reach/model.ts";
import { cdUsed, steUsed } from "../smmuv3/update.ts";
import type { CdSpan, SmmuTablesView, StreamEntry, StreamSpan } from "../smmuv3/visit.ts";
import { fieldsOf, getField, getInPlace, type Layout } from "../structure.ts";
import { type LintReport, MAX_ENTRIES, type Place } from "./finding.ts";
import { SMMU_RULES } from "./smmu-rules.ts";
import type { SmmuTags } from "./smmu-tags.ts";

/** What software may keep to itself in an STE. */
const SOFTWARE_FIELDS = ["SW_RES"];

/** Different STEs that are looked at. */
const MAX_STREAMS = 262_144;

/** CD tables that are looked at below entries that no transaction reaches. */
const MAX_ORPHANS = 256;

export class SmmuEntries {
  readonly #tables: SmmuTablesView;
  readonly #report: LintReport;
  readonly #tags: SmmuTags;
  /** STEs seen, by content: streams with equal STEs have equal faults. */
  readonly #seen = new Set<string>();
  #orphans = 0;
  #cds = 0;

  constructor(tables: SmmuTablesView, report: LintReport, tags: SmmuTags) {
    this.#tables = tables;
    this.#report = report;
    this.#tags = tags;
  }

  run(): void {
    for (const span of this.#tables.spans()) {
      this.#link(span);
      for (const stream of this.#tables.streams(span)) {
        const key = stream.words.join();
        if (this.#seen.has(key) || this.#seen.size === MAX_STREAMS) continue;
        this.#seen.add(key);
        this.#stream(stream);
      }
    }
    if (this.#seen.size === MAX_STREAMS) {
      this.#report.notes.push(`${MAX_STREAMS} different STEs: others were not looked at`);
    }
    if (this.#cds > MAX_ENTRIES) this.#report.notes.push(`more than ${MAX_ENTRIES} CDs: the rest was not looked at`);
  }

  #link({ link, count, first }: StreamSpan): void {
    if (!link) return;
    const place = { structure: "L1STD", at: link.at, sid: first };
    const span = getField(link.words, L1STD.Span);
    if (span === 0n) this.#stale(place, link.words, L1STD);
    else if (count === 0) this.#report.add(SMMU_RULES.span, place, `Span ${span}, SPLIT ${this.#tables.split}`);
    else this.#reserved(place, "smmu.l1std", link.words);
  }

  #stream({ at, sid, words }: StreamEntry): void {
    const place = { structure: "STE", at, sid };
    if (!getField(words, STE.V)) {
      this.#stale(place, words, STE);
      this.#below(sid, words, false, "the STE is not valid");
      return;
    }
    this.#reserved(place, "smmu.ste", words);
    const config = Number(getField(words, STE.Config));
    const isLive = (config & CONFIG_BIT.LIVE) !== 0;
    const stage1 = isLive && (config & CONFIG_BIT.STAGE1) !== 0;
    const stage2 = isLive && (config & CONFIG_BIT.STAGE2) !== 0;
    this.#ignored(place, STE, words, steUsed(words), `Config ${config}`);
    if (stage2) this.#httu(place, getField(words, STE.S2HA), getField(words, STE.S2HD));
    this.#tags.stream(place, words, stage1, stage2);
    this.#below(sid, words, stage1, `Config ${config} has no stage 1`);
  }

  /** The CDs of a stream, in reach or not. */
  #below(sid: number, ste: bigint[], inReach: boolean, why: string): void {
    if (!inReach && getInPlace(ste, STE.S1ContextPtr) === 0n) return;
    // What an STE without a nested stage 2 points at is a physical address.
    const asRead = inReach ? ste : [...withConfig(ste)];
    for (const span of this.#tables.cdSpans(asRead)) {
      const dead = !inReach || !span.valid;
      if (inReach) this.#cdLink(sid, span);
      if (dead && this.#orphans++ > MAX_ORPHANS) return;
      if (dead && span.table === 0n) continue;
      for (const { at, ssid, words } of this.#tables.cds(asRead, span)) {
        if (this.#cds++ >= MAX_ENTRIES) return;
        const place = { structure: "CD", at, sid, pasid: ssid };
        if (!getField(words, CD.V)) {
          if (!dead) this.#stale(place, words, CD);
        } else if (dead) this.#report.add(SMMU_RULES.orphans, place, inReach ? "the L1CD is not valid" : why);
        else this.#cd(place, ste, words);
      }
    }
  }

  #cdLink(sid: number, { link, valid, first }: CdSpan): void {
    if (!link) return;
    const place = { structure: "L1CD", at: link.at, sid, pasid: first };
    if (!valid) this.#stale(place, link.words, L1CD);
    else this.#reserved(place, "smmu.l1cd", link.words);
  }

  #cd(place: Place, ste: bigint[], cd: bigint[]): void {
    this.#reserved(place, "smmu.cd", cd);
    this.#ignored(place, CD, cd, cdUsed(cd), `EPD0 = ${getField(cd, CD.EPD0)}, EPD1 = ${getField(cd, CD.EPD1)}`);
    this.#httu(place, getField(cd, CD.HA), getField(cd, CD.HD));
    this.#tags.cd(place, ste, cd);
  }

  #httu(place: Place, access: bigint, dirty: bigint): void {
    const bad = (access && !this.#tables.has(FEATURE.HTTU_ACCESS)) || (dirty && !this.#tables.has(FEATURE.HTTU_DIRTY));
    if (bad) this.#report.add(SMMU_RULES.httu, place, `HA = ${access}, HD = ${dirty}`);
  }

  /** @param used ones over what hardware looks at */
  #ignored(place: Place, layout: Layout, words: bigint[], used: readonly bigint[], why: string): void {
    const unused = words.map((word, i) => word & ~(used[i] as bigint));
    const set = fieldsOf(layout).filter(
      ({ name, field }) => getField(unused, field) && !SOFTWARE_FIELDS.includes(name),
    );
    if (set.length === 0) return;
    const values = set.map(({ name, field }) => `${name}=${hex(getField(words, field))}`);
    this.#report.add(SMMU_RULES.ignored, place, `${why}: ${values.join(" ")}`);
  }

  #reserved(place: Place, name: string, words: bigint[]): void {
    for (const { bits, field, value, problem } of findProblems(structureOf(name), words)) {
      this.#report.add(
        SMMU_RULES.reserved,
        place,
        `bits ${bits}${field ? ` (${field})` : ""} are ${hex(value)}: ${problem}`,
      );
    }
  }

  #stale(place: Place, words: bigint[], layout: Layout): void {
    if (words.every((word) => word === 0n)) return;
    const set = fieldsOf(layout).filter(({ field }) => getField(words, field) !== 0n);
    const names = set.map(({ name, field }) => `${name}=${hex(getField(words, field))}`);
    this.#report.add(SMMU_RULES.stale, place, names.length > 0 ? names.join(" ") : "bits without a name are set");
  }
}

function structureOf(name: string): Structure {
  return SMMU_STRUCTURES.structures.find((structure) => structure.name === name) as Structure;
}

/** The STE as if it had stage 1 alone. */
function withConfig(ste: bigint[]): bigint[] {
  const [first = 0n, ...rest] = ste;
  return [first - getInPlace([first], STE.Config) + BigInt(CONFIG.STAGE1) * 2n ** BigInt(STE.Config & 0xff), ...rest];
}

/** F_STREAM_DISABLED is how a stream says that it takes no transactions without a SubstreamID. */
const STREAM_DISABLED = "F_STREAM_DISABLED";

/** Valid entries whose transactions all fail; an STE may abort them on purpose. */
export function lintSmmuRefusals({ requesters }: Survey, report: LintReport): void {
  for (const { sids = [], grants } of requesters) {
    const [sid] = sids;
    for (const { pasid, fault } of grants) {
      if (!fault || sid === undefined || fault.code === 0) continue;
      if (pasid === null && fault.name === STREAM_DISABLED) continue;
      const structure = pasid === null ? "STE" : "CD";
      const what = `event ${hex(fault.code, 2)} ${fault.name}, ${fault.check}${sids.length > 1 ? `, ${sids.length} streams` : ""}`;
      report.add(SMMU_RULES.refused, { structure, at: null, sid, ...(pasid === null ? {} : { pasid }) }, what);
    }
  }
}
