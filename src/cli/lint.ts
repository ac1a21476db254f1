/** `lint`: states of tables that hardware walks, and that are wrong to program. */
import { reservedRegions } from "../capture/acpi/regions.ts";
import { tableBytes } from "../capture/acpi/table.ts";
import { InputError } from "../capture/input.ts";
import { lintImage } from "../capture/lint.ts";
import { readFile } from "../capture/node/files.ts";
import { hex } from "../check.ts";
import { showSourceId } from "../explain/source-id.ts";
import type { LintFinding, LintReport, Rule, Severity } from "../lint/finding.ts";
import { IMAGE_HELP, IMAGE_OPTIONS, withImage } from "./image.ts";
import type { Io } from "./io.ts";
import { type Paint, type Style, wrap } from "./paint.ts";
import { progressLine } from "./progress.ts";
import { EXIT, readArguments, type Verb } from "./verb.ts";

const TEXT = { type: "string" } as const;
const FLAG = { type: "boolean" } as const;

export const lint: Verb = {
  name: "lint",
  summary: "find states of tables that hardware walks, and that are wrong to program",
  form: "lint IMAGE [--acpi FILE] [--all] [--json] ...",
  help: `${IMAGE_HELP}--acpi      the machine's DMAR table, binary or acpidump's text: its reserved
            regions (RMRR) must be mapped for their devices
--all       every place, not the first few of each rule
--json      {"findings":[{"rule","severity","section","title","why","structure",
            "at","sid","pasid","what"}],"counts":{rule: n},"notes":[..]}

error: requests fail, or go where nobody meant; warning: hardware may do either;
note: untidy. Reserved bits that hardware never reads, stale entries, domain ids
and ASIDs shared by different tables, PASIDs out of reach, fields that are
ignored, access flags that nobody sets.

Exit code 1: there are findings.

example:
  npm run -s cli -- lint test/captures/A-smmu-sva.json
`,
  async run(args, io: Io) {
    const given = readArguments(args, io, { ...IMAGE_OPTIONS, acpi: TEXT, all: FLAG }, [1, 1], "an image");
    const { json, paint, text, flag } = given;
    const acpi = text("acpi");
    const regions = acpi === undefined ? [] : readRegions(acpi);
    return withImage(given, (image) => {
      const progress = progressLine(io);
      const report = lintImage(image, regions, progress);
      progress.done();
      io.out(json ? `${JSON.stringify(toJson(report))}\n` : tell(report, image.name, paint, flag("all")));
      return report.findings.length > 0 ? EXIT.FINDINGS : EXIT.OK;
    });
  },
};

function readRegions(file: string): ReturnType<typeof reservedRegions> {
  const bytes = tableBytes(file, readFile(file));
  const signature = bytes.text(0, 4);
  if (signature !== "DMAR") throw new InputError(file, "", `${signature} is no DMAR table`);
  return reservedRegions(bytes);
}

const STYLES: Readonly<Record<Severity, Style>> = { error: "red", warning: "yellow", note: "dim" };
const ORDER: readonly Severity[] = ["error", "warning", "note"];
const FEW = 6;

function tell({ findings, counts, notes }: LintReport, name: string, paint: Paint, all: boolean): string {
  const rules = [...new Set(findings.map(({ rule }) => rule))];
  rules.sort((a, b) => ORDER.indexOf(a.severity) - ORDER.indexOf(b.severity));
  let text = `${paint("bold", name)}: ${sum(counts)}\n`;
  for (const rule of rules) {
    const own = findings.filter((finding) => finding.rule === rule);
    text += tellRule(rule, own, counts.get(rule.id) ?? own.length, paint, all);
  }
  for (const note of notes) text += wrap(note, "    ", undefined, "  note: ");
  return text;
}

function sum(counts: ReadonlyMap<string, number>): string {
  const total = [...counts.values()].reduce((all, count) => all + count, 0);
  if (total === 0) return "no findings";
  return `${total} finding${total === 1 ? "" : "s"} of ${counts.size} rule${counts.size === 1 ? "" : "s"}`;
}

function tellRule(rule: Rule, findings: readonly LintFinding[], count: number, paint: Paint, all: boolean): string {
  const { severity, id, title, section, why } = rule;
  const times = count > 1 ? `, ${count} times` : "";
  const head = wrap(`${title} (${id}, ${section})${times}`, "    ", undefined, `${severity} `);
  let text = `\n${head.replace(severity, paint(STYLES[severity], severity))}`;
  text += wrap(why, "    ");
  const shown = all ? findings : findings.slice(0, FEW);
  for (const finding of shown) text += wrap(`${tellPlace(finding)}: ${finding.what}`, "      ", undefined, "  - ");
  if (shown.length < count) text += `    ... and ${count - shown.length} more${all ? "" : " (--all)"}\n`;
  return text;
}

function tellPlace({ structure, at, sid, pasid }: LintFinding): string {
  const who = [sid === undefined ? "" : showSourceId(sid), pasid === undefined ? "" : `PASID ${hex(pasid)}`];
  const owner = who.filter((text) => text !== "").join(", ");
  return `${structure}${at === null ? "" : ` at ${hex(at)}`}${owner === "" ? "" : ` of ${owner}`}`;
}

function toJson({ findings, counts, notes }: LintReport): Record<string, unknown> {
  return {
    findings: findings.map(({ rule, structure, at, sid, pasid, what }) => ({
      rule: rule.id,
      severity: rule.severity,
      section: rule.section,
      title: rule.title,
      why: rule.why,
      structure,
      at: at === null ? null : hex(at),
      sid: sid === undefined ? null : hex(sid),
      pasid: pasid ?? null,
      what,
    })),
    counts: Object.fromEntries(counts),
    notes,
  };
}
