/** Lints VT-d entries one by one: what is not present and not clear, out of reach, refused, or ignored. */
import { CONTEXT, PASID, PASIDDIR, PGTT, ROOT, SCONTEXT, SROOT, TT } from "../../assembly/layout/vtd.ts";
import { hex } from "../check.ts";
import type { GrantFault, Survey } from "../reach/model.ts";
import { fieldsOf, getField, getInPlace, type Layout } from "../structure.ts";
import { type ContextEntry, type DirectoryEntry, type RootEntry, ridPasid, type VtdTablesView } from "../vtd/visit.ts";
import { type LintReport, MAX_ENTRIES, type Place } from "./finding.ts";
import type { VtdDomains } from "./vtd-domains.ts";
import { VTD_RULES } from "./vtd-rules.ts";

/** Entries that are looked at below tables that no request reaches; there may be any number. */
const MAX_ORPHAN_TABLES = 4096;

export class VtdEntries {
  readonly #tables: VtdTablesView;
  readonly #report: LintReport;
  readonly #domains: VtdDomains;
  readonly #cachingMode: boolean;
  readonly #directories = new Map<bigint, ContextEntry>();
  readonly #seen = new Set<string>();
  #orphanTables = 0;
  #entries = 0;

  constructor(tables: VtdTablesView, report: LintReport, domains: VtdDomains, cachingMode: boolean) {
    this.#tables = tables;
    this.#report = report;
    this.#domains = domains;
    this.#cachingMode = cachingMode;
  }

  run(): void {
    for (const root of this.#tables.roots()) {
      if (!root.present) {
        this.#stale(rootPlace(root), root.words, this.#tables.scalable ? SROOT : ROOT);
        continue;
      }
      for (const context of this.#tables.contexts(root)) {
        if (this.#tables.scalable) this.#scalable(context);
        else this.#legacy(context);
      }
    }
    if (this.#entries > MAX_ENTRIES) {
      this.#report.notes.push(`more than ${MAX_ENTRIES} PASID entries: the rest was not looked at`);
    }
  }

  #legacy({ at, sid, words }: ContextEntry): void {
    const place = { structure: "context entry", at, sid };
    if (!getField(words, CONTEXT.P)) {
      this.#stale(place, words, CONTEXT);
      return;
    }
    this.#domainZero(place, getField(words, CONTEXT.DID));
    const isBypass = getField(words, CONTEXT.TT) === BigInt(TT.PASS_THROUGH);
    const table = getInPlace(words, CONTEXT.SSPTPTR);
    if (isBypass && table !== 0n)
      this.#report.add(VTD_RULES.ignoredPointer, place, `pass-through, SSPTPTR ${hex(table)}`);
    this.#domains.legacy(place, words);
  }

  #scalable(context: ContextEntry): void {
    const { at, sid, words } = context;
    const place = { structure: "scalable context entry", at, sid };
    if (!getField(words, SCONTEXT.P)) {
      this.#stale(place, words, SCONTEXT);
      this.#orphans(place, words, "the context entry is not present");
      return;
    }
    this.#share(context, place);
    // Devices with equal entries have equal PASIDs.
    const key = words.join();
    if (this.#seen.has(key)) return;
    this.#seen.add(key);
    for (const link of this.#tables.directory(words)) {
      if (this.#entries > MAX_ENTRIES) return;
      this.#directoryEntry(context, link);
    }
  }

  /** Two devices with one directory have to agree on what it means. */
  #share(context: ContextEntry, place: Place): void {
    const directory = getInPlace(context.words, SCONTEXT.PASIDDIRPTR);
    const first = this.#directories.get(directory);
    if (!first) {
      this.#directories.set(directory, context);
      return;
    }
    const differs = fieldsOf(SCONTEXT)
      .filter(({ name }) => ["PDTS", "RID_PASID", "RID_PRIV"].includes(name))
      .filter(({ field }) => getField(first.words, field) !== getField(context.words, field));
    if (differs.length === 0) return;
    const values = differs.map(
      ({ name, field }) => `${name} ${getField(context.words, field)}, not ${getField(first.words, field)}`,
    );
    this.#report.add(
      VTD_RULES.sharedDirectory,
      place,
      `directory ${hex(directory)} as device ${hex(first.sid)}: ${values.join(", ")}`,
    );
  }

  #directoryEntry({ sid, words }: ContextEntry, link: DirectoryEntry): void {
    const place = { structure: "PASID directory entry", at: link.at, sid };
    if (!getField(link.words, PASIDDIR.P)) {
      this.#stale(place, link.words, PASIDDIR);
      if (getInPlace(link.words, PASIDDIR.SMPTBLPTR) !== 0n) {
        this.#orphanTable(place, link, "the directory entry is not present");
      }
      return;
    }
    const enabled = getField(words, SCONTEXT.PASIDE) === 1n;
    for (const { at, pasid, words: entry } of this.#tables.pasids(link)) {
      this.#entries++;
      const where = { structure: "PASID table entry", at, sid, pasid };
      if (!getField(entry, PASID.P)) this.#stale(where, entry, PASID);
      else if (!enabled && pasid !== ridPasid(words)) {
        this.#report.add(VTD_RULES.orphans, where, "PASIDE = 0 in the context entry");
      } else this.#pasid(where, entry);
    }
  }

  #pasid(place: Place & { pasid: number }, entry: bigint[]): void {
    this.#domainZero(place, getField(entry, PASID.DID));
    const pgtt = Number(getField(entry, PASID.PGTT));
    const first = getInPlace(entry, PASID.FSPTPTR);
    const second = getInPlace(entry, PASID.SSPTPTR);
    const usesFirst = pgtt === PGTT.FIRST_STAGE || pgtt === PGTT.NESTED;
    const usesSecond = pgtt === PGTT.SECOND_STAGE || pgtt === PGTT.NESTED;
    if (!usesFirst && first !== 0n) {
      this.#report.add(VTD_RULES.ignoredPointer, place, `PGTT ${pgtt} takes no first stage, FSPTPTR is ${hex(first)}`);
    }
    if (!usesSecond && second !== 0n) {
      this.#report.add(
        VTD_RULES.ignoredPointer,
        place,
        `PGTT ${pgtt} takes no second stage, SSPTPTR is ${hex(second)}`,
      );
    }
    this.#domains.pasid(place, entry);
  }

  #domainZero(place: Place, did: bigint): void {
    if (this.#cachingMode && did === 0n) this.#report.add(VTD_RULES.didZero, place, "DID = 0 and CAP.CM = 1");
  }

  /** A directory below nothing that is present. */
  #orphans(place: Place, words: bigint[], why: string): void {
    if (getInPlace(words, SCONTEXT.PASIDDIRPTR) === 0n) return;
    for (const link of this.#tables.directory(words)) {
      if (getField(link.words, PASIDDIR.P)) this.#orphanTable(place, link, why);
    }
  }

  #orphanTable({ sid }: Place, link: DirectoryEntry, why: string): void {
    if (this.#orphanTables++ > MAX_ORPHAN_TABLES) return;
    for (const { at, pasid, words } of this.#tables.pasids(link)) {
      if (!getField(words, PASID.P)) continue;
      const place = { structure: "PASID table entry", at, pasid, ...(sid === undefined ? {} : { sid }) };
      this.#report.add(VTD_RULES.orphans, place, why);
    }
  }

  /** FPD = 1 counts without P: it keeps faults from being recorded. */
  #stale(place: Place, words: bigint[], layout: Layout): void {
    const left = [...words];
    const fpd = layout.FPD;
    const rest = left.map((word, i) => (i === 0 && typeof fpd === "number" ? word & ~getInPlace([word], fpd) : word));
    if (rest.every((word) => word === 0n)) return;
    const set = fieldsOf(layout).filter(({ name, field }) => name !== "FPD" && getField(words, field) !== 0n);
    const names = set.map(({ name, field }) => `${name}=${hex(getField(words, field))}`);
    this.#report.add(VTD_RULES.stale, place, names.length > 0 ? names.join(" ") : "bits without a name are set");
  }
}

function rootPlace({ at, bus, half }: RootEntry): Place {
  return { structure: `root entry of bus ${hex(bus, 2)}${half ? ", upper half" : ""}`, at };
}

/** Present entries whose requests all fail. Domain id 0 has a rule of its own. */
export function lintRefusals({ requesters }: Survey, report: LintReport): void {
  const known = new Set(
    report.findings.filter(({ rule }) => rule === VTD_RULES.didZero).map(({ sid, pasid }) => `${sid} ${pasid}`),
  );
  for (const { sids = [], grants } of requesters) {
    for (const { pasid, fault } of grants) {
      for (const sid of fault ? sids : []) {
        const structure = structureOf(fault as GrantFault);
        const place = { structure, at: null, sid, ...(pasid === null ? {} : { pasid }) };
        const rule = pasid === null && isAbsent(fault as GrantFault) ? VTD_RULES.noDefault : VTD_RULES.refused;
        if (!known.has(`${sid} ${pasid ?? undefined}`)) report.add(rule, place, tellFault(fault as GrantFault));
      }
    }
  }
}

/** By the letters of the check that fails, the structure that it is about (7.1.3). */
const STRUCTURES: Readonly<Record<string, string>> = {
  LRT: "root entry",
  LCT: "context entry",
  SRT: "scalable root entry",
  SCT: "scalable context entry",
  SPD: "PASID directory entry",
  SPT: "PASID table entry",
};

const structureOf = ({ check }: GrantFault): string => STRUCTURES[check.split(".")[0] ?? ""] ?? "requests";

const isAbsent = ({ check }: GrantFault): boolean => check === "SPD.2" || check === "SPT.2";
const tellFault = ({ code, name, check }: GrantFault): string => `reason ${hex(code, 2)} ${check || name}`;
