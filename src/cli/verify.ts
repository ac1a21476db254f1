/** `verify`: every expected translation of captures, walked and compared. */
import type { Capture } from "../capture/capture.ts";
import { loadCapture } from "../capture/node/files.ts";
import {
  type Disagreement,
  outcomeToJson,
  showPermissions,
  type Verification,
  verifyCapture,
} from "../capture/verify.ts";
import { hex } from "../check.ts";
import type { Io } from "./io.ts";
import type { Paint } from "./paint.ts";
import { showSid } from "./values.ts";
import { EXIT, readArguments, type Verb } from "./verb.ts";

export const verify: Verb = {
  name: "verify",
  summary: "walk a capture's expected translations and compare",
  form: "verify CAPTURE... [--json]",
  help: `CAPTURE     x.json (or x.json.gz, or x) with x.pages.bin beside it
--json      one line a capture: {"capture","rows","agree","disagree"}

ok, gpa, page and perm must match; fault numbers are mapped where the
recorder's differ from the architecture's (src/capture/faults.ts).
Exit code 1: some translation disagrees.

example:
  npm run -s cli -- verify test/captures/*.json
`,
  async run(args, io: Io) {
    const { positionals, json, paint } = readArguments(args, io, {}, [1, Number.POSITIVE_INFINITY]);
    let rows = 0;
    let agree = 0;
    // Load first: a torn file among many is told before minutes of output.
    for (const capture of positionals.map(loadCapture)) {
      const report = verifyCapture(capture);
      rows += report.rows;
      agree += report.agree;
      io.out(json ? `${JSON.stringify(reportToJson(capture, report))}\n` : showReport(capture, report, paint));
    }
    if (!json && positionals.length > 1) io.out(agreement(rows, agree, paint));
    return agree === rows ? EXIT.OK : EXIT.FINDINGS;
  },
};

/** The last line of `verify` and of the demo. */
export function agreement(rows: number, agree: number, paint: Paint): string {
  return `${paint(agree === rows ? "green" : "red", `${agree} of ${rows} translations agree`)}\n`;
}

const SHOWN = 20;

function showReport(capture: Capture, { rows, agree, disagree }: Verification, paint: Paint): string {
  const lines = disagree.slice(0, SHOWN).map((item) => showDisagreement(item, paint));
  if (disagree.length > SHOWN) lines.push(`  ... and ${disagree.length - SHOWN} more (--json lists all)\n`);
  return `${capture.name.padEnd(20)} ${agreement(rows, agree, paint)}${lines.join("")}`;
}

function showDisagreement({ index, row, outcome, differs }: Disagreement, paint: Paint): string {
  const pasid = row.pasid === null ? "" : ` PASID ${row.pasid}`;
  const expected = row.ok
    ? `${hex(row.gpa ?? 0n)} page ${hex(row.page ?? 0n)} ${row.perm ?? ""}`
    : `fault ${row.fault === null ? "(any)" : hex(row.fault)}`;
  const got = outcome.ok
    ? `${hex(outcome.address)} page ${hex(outcome.pageSize)} ${showPermissions(outcome.permissions)}`
    : `fault ${hex(outcome.code)} ${outcome.name} (${outcome.check})`;
  return (
    `  ${paint("red", `translations[${index}]`)} ${showSid(row.sid)}${pasid} ${row.access} ${hex(row.iova)}: ${differs.join(", ")}\n` +
    `    expected ${expected}   [${row.source}]\n    walked   ${got}\n`
  );
}

function reportToJson(capture: Capture, { rows, agree, disagree }: Verification): Record<string, unknown> {
  return {
    capture: capture.name,
    rows,
    agree,
    disagree: disagree.map(({ index, row, outcome, differs }) => ({
      index,
      differs,
      request: { sid: row.sid, pasid: row.pasid, iova: hex(row.iova), access: row.access },
      expected: row.ok
        ? {
            ok: true,
            gpa: hex(row.gpa ?? 0n),
            page: row.page === undefined ? null : hex(row.page),
            perm: row.perm ?? null,
          }
        : { ok: false, fault: row.fault },
      got: outcomeToJson(outcome),
      source: row.source,
    })),
  };
}
