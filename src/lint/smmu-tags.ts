/**
 * ASIDs and VMIDs as cache tags: what has to be alike wherever they are alike. IHI 0070 3.17 "TLB tagging,
 * VMIDs, ASIDs and participation in broadcast maintenance", 5.2, 5.4.
 */
import { CD, CD_SIZE, CONFIG, STE, STE_SIZE, STRW } from "../../assembly/layout/smmuv3.ts";
import { FEATURE } from "../../assembly/layout/smmuv3-unit.ts";
import { hex } from "../check.ts";
import type { SmmuTablesView } from "../smmuv3/visit.ts";
import { fieldsOf, getField, getInPlace, maskWords } from "../structure.ts";
import { Agreement, type LintReport, type Place } from "./finding.ts";
import { SMMU_RULES } from "./smmu-rules.ts";

const WORD = 8;
/** CD fields that cached translations do not keep (IHI 0070 3.17, 4.1): how faults end, and the tag itself. */
const CD_ASIDE = maskWords([CD.A, CD.R, CD.S, CD.PARTID, CD.PMG], CD_SIZE / WORD);
const CD_LOWER = maskWords([CD.T0SZ, CD.TG0, CD.IR0, CD.OR0, CD.SH0, CD.HAD0, CD.TTB0, CD.TBI0], CD_SIZE / WORD);
const CD_UPPER = maskWords([CD.T1SZ, CD.TG1, CD.IR1, CD.OR1, CD.SH1, CD.HAD1, CD.TTB1, CD.TBI1], CD_SIZE / WORD);
/** STE fields that cached translations keep are those of the stage 2 walk: not how its faults end, not the tag. */
const STE_ASIDE = ["S2S", "S2R", "S2VMID"];
const STE_STAGE2 = maskWords(
  fieldsOf(STE)
    .filter(({ name }) => name.startsWith("S2") && !STE_ASIDE.includes(name))
    .map(({ field }) => field),
  STE_SIZE / WORD,
);

export class SmmuTags {
  readonly #tables: SmmuTablesView;
  readonly #report: LintReport;
  readonly #asids = new Agreement<string>();
  readonly #vmids = new Agreement<string>();
  /** Whether the first user of a VMID has stage 2. */
  readonly #stages = new Agreement<boolean>();
  readonly #shapes = new Agreement<string>();

  constructor(tables: SmmuTablesView, report: LintReport) {
    this.#tables = tables;
    this.#report = report;
  }

  /** A valid STE with a stage. */
  stream(place: Place, ste: bigint[], stage1: boolean, stage2: boolean): void {
    if (!stage1 && !stage2) return;
    const vmid = getField(ste, STE.S2VMID);
    if (stage2) {
      const kept = ste.map((word, i) => word & (STE_STAGE2[i] as bigint)).join();
      const first = this.#vmids.differs(`${vmid}`, place, kept, (a, b) => a === b);
      const what = `VMID ${vmid}, S2TTB ${hex(getInPlace(ste, STE.S2TTB))}`;
      if (first) this.#report.add(SMMU_RULES.vmids, place, `${what}, unlike ${tellPlace(first)}`);
    }
    if (this.#tables.has(FEATURE.STAGE2) && this.#world(ste, stage2) === "NS-EL1") {
      const first = this.#stages.differs(`${vmid}`, place, stage2, (a, b) => a === b);
      if (first) this.#report.add(SMMU_RULES.vmidStage1, place, `VMID ${vmid}, as ${tellPlace(first)}`);
    }
    if (!stage1) return;
    const shape = `S1CDMax ${getField(ste, STE.S1CDMax)}, S1Fmt ${getField(ste, STE.S1Fmt)}`;
    const table = `${stage2 ? vmid : "physical"} ${hex(getInPlace(ste, STE.S1ContextPtr))}`;
    const first = this.#shapes.differs(table, place, shape, (a, b) => a === b);
    if (first) this.#report.add(SMMU_RULES.sharedCds, place, `${shape}, unlike ${tellPlace(first)}`);
  }

  /** A valid CD of a valid STE. */
  cd(place: Place, ste: bigint[], cd: bigint[]): void {
    const stage2 = Number(getField(ste, STE.Config)) === CONFIG.NESTED;
    const world = this.#world(ste, stage2);
    // The EL2 world has no ASIDs.
    if (world === "EL2") return;
    const vmid = world === "NS-EL1" && this.#tables.has(FEATURE.STAGE2) ? getField(ste, STE.S2VMID) : 0n;
    const asid = getField(cd, CD.ASID);
    const aset = getField(cd, CD.ASET);
    const first = this.#asids.differs(`${world} ${vmid} ${asid} ${aset}`, place, translationOf(cd), (a, b) => a === b);
    const what = `ASID ${asid} (VMID ${vmid}, ASET ${aset}), TTB0 ${hex(getInPlace(cd, CD.TTB0))}`;
    if (first) this.#report.add(SMMU_RULES.asids, place, `${what}, unlike ${tellPlace(first)}`);
  }

  #world(ste: bigint[], stage2: boolean): "NS-EL1" | "EL2" | "EL2-E2H" {
    if (stage2 || !this.#tables.has(FEATURE.HYP) || getField(ste, STE.STRW) !== BigInt(STRW.EL2)) return "NS-EL1";
    return this.#tables.has(FEATURE.E2H) ? "EL2-E2H" : "EL2";
  }
}

/** What of a CD its cached translations hang on. */
function translationOf(cd: bigint[]): string {
  return cd
    .map((word, i) => {
      let aside = CD_ASIDE[i] as bigint;
      if (getField(cd, CD.EPD0)) aside |= CD_LOWER[i] as bigint;
      if (getField(cd, CD.EPD1)) aside |= CD_UPPER[i] as bigint;
      return word & ~aside;
    })
    .join();
}

function tellPlace({ structure, at, sid, pasid }: Place): string {
  const substream = pasid === undefined ? "" : `, SubstreamID ${hex(pasid)}`;
  return `the ${structure}${at === null ? "" : ` at ${hex(at)}`} (stream ${hex(sid ?? 0)}${substream})`;
}
