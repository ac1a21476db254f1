/**
 * Domain ids and PASIDs as cache tags: what has to be alike wherever they are alike. VT-d rev 5.10, 6.2.1
 * "Tagging of Cached Translations" and the programming rules of 9.6.
 */
import { AW_BASE_LEVELS, CONTEXT, PASID, PGTT, TT } from "../../assembly/layout/vtd.ts";
import { hex } from "../check.ts";
import { getField, getInPlace } from "../structure.ts";
import { Agreement, type LintReport, type Place, type Rule } from "./finding.ts";
import { VTD_RULES } from "./vtd-rules.ts";

interface Second {
  table: bigint;
  aw: bigint;
}

export class VtdDomains {
  readonly #report: LintReport;
  readonly #tables = new Agreement<Second>();
  readonly #types = new Agreement<boolean>();
  readonly #pasids = new Agreement<string>();
  readonly #levels = new Agreement<bigint>();
  readonly #accessed = new Agreement<bigint>();
  readonly #modes = new Agreement<string>();

  constructor(report: LintReport) {
    this.#report = report;
  }

  /** A context entry of legacy mode that is present. */
  legacy(place: Place, words: bigint[]): void {
    const did = getField(words, CONTEXT.DID);
    const isBypass = getField(words, CONTEXT.TT) === BigInt(TT.PASS_THROUGH);
    this.#type(place, did, !isBypass);
    if (!isBypass) {
      this.#second(place, did, { table: getInPlace(words, CONTEXT.SSPTPTR), aw: getField(words, CONTEXT.AW) });
    }
  }

  /** A PASID table entry that is present and in reach. */
  pasid(place: Place & { pasid: number }, entry: bigint[]): void {
    const did = getField(entry, PASID.DID);
    const pgtt = Number(getField(entry, PASID.PGTT));
    const isSecond = pgtt === PGTT.SECOND_STAGE || pgtt === PGTT.NESTED;
    const isFirst = pgtt === PGTT.FIRST_STAGE || pgtt === PGTT.NESTED;
    this.#type(place, did, isSecond);
    const table = getInPlace(entry, PASID.SSPTPTR);
    if (isSecond) {
      this.#second(place, did, { table, aw: getField(entry, PASID.AW) });
      const ssade = getField(entry, PASID.SSADE);
      this.#agree(
        VTD_RULES.secondAccessed,
        this.#accessed,
        hex(table),
        place,
        ssade,
        `SSPTPTR ${hex(table)}, SSADE ${ssade}`,
      );
    }
    if (!isFirst) return;
    const first = getInPlace(entry, PASID.FSPTPTR);
    const modes = `FSPM ${getField(entry, PASID.FSPM)}, EAFE ${getField(entry, PASID.EAFE)}`;
    const both = `${hex(first)} ${isSecond ? hex(table) : ""}`;
    this.#agree(VTD_RULES.firstModes, this.#modes, both, place, modes, `FSPTPTR ${hex(first)}, ${modes}`);
    const tables = `PGTT ${pgtt}, FSPTPTR ${hex(first)}, FSPM ${getField(entry, PASID.FSPM)}`;
    const tag = `PASID ${hex(place.pasid)}, DID ${did}`;
    this.#agree(VTD_RULES.pasidTables, this.#pasids, tag, place, tables, `${tag}: ${tables}`);
  }

  #type(place: Place, did: bigint, isSecond: boolean): void {
    const what = `DID ${did} for ${isSecond ? "second-stage or nested" : "first-stage or pass-through"} translation`;
    this.#agree(VTD_RULES.didTypes, this.#types, `${did}`, place, isSecond, what);
  }

  #second(place: Place, did: bigint, second: Second): void {
    const { table, aw } = second;
    const levels = aw + BigInt(AW_BASE_LEVELS);
    this.#agree(VTD_RULES.levels, this.#levels, hex(table), place, aw, `SSPTPTR ${hex(table)}, ${levels} levels`);
    const what = `DID ${did}: SSPTPTR ${hex(table)}, AW ${aw}`;
    const same = (a: Second, b: Second) => a.table === b.table && a.aw === b.aw;
    const first = this.#tables.differs(`${did}`, place, second, same);
    if (first) this.#report.add(VTD_RULES.didTables, place, `${what}, unlike ${tellPlace(first)}`);
  }

  #agree<T>(rule: Rule, list: Agreement<T>, key: string, place: Place, value: T, what: string): void {
    const first = list.differs(key, place, value, (a, b) => a === b);
    if (first) this.#report.add(rule, place, `${what}, unlike ${tellPlace(first)}`);
  }
}

function tellPlace({ structure, at, sid, pasid }: Place): string {
  const who = [sid === undefined ? "" : `device ${hex(sid)}`, pasid === undefined ? "" : `PASID ${hex(pasid)}`];
  return `the ${structure}${at === null ? "" : ` at ${hex(at)}`} (${who.filter((text) => text !== "").join(", ")})`;
}
