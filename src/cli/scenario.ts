/** `scenario`: recorded scenarios, played operation by operation to a unit. */
import { readFile } from "../capture/node/files.ts";
import { parseScenarios } from "../capture/scenario.ts";
import { addReport, emptyReport, type ScenarioReport } from "../capture/scenario-report.ts";
import { runScenario } from "../capture/scenario-run.ts";
import type { Io } from "./io.ts";
import type { Paint } from "./paint.ts";
import { EXIT, readArguments, type Verb } from "./verb.ts";

export const scenario: Verb = {
  name: "scenario",
  summary: "play recorded scenarios to a unit and compare",
  form: "scenario FILE... [--json]",
  help: `FILE        JSON lines, format qvec-1 (x.jsonl or x.jsonl.gz)
--json      one line a file: {"file","scenarios","requests","agree","differ",
            "unsure","reads","readsDiffer","differences","corrected"}

Registers, memory and queue are written as software wrote them; every request
must end as the architecture says, its fault record or event byte for byte.
While an invalidation is still owed the old answer is right as well. "unsure"
are requests whose answer the recording leaves open; "corrected" are answers
and register reads where the recording is wrong, each with its reason.
Exit code 1: something differs.

example:
  npm run -s cli -- scenario test/vectors/vtd-A.jsonl.gz
`,
  async run(args, io: Io) {
    const { positionals, json, paint } = readArguments(args, io, {}, [1, Number.POSITIVE_INFINITY], "a file");
    let fine = true;
    for (const file of positionals) {
      const report = emptyReport();
      let scenarios = 0;
      for (const one of parseScenarios(new TextDecoder().decode(readFile(file)), file)) {
        addReport(report, runScenario(one));
        scenarios++;
      }
      fine &&= report.differences.length === 0;
      io.out(json ? `${JSON.stringify({ file, scenarios, ...report })}\n` : show(file, scenarios, report, paint));
    }
    return fine ? EXIT.OK : EXIT.FINDINGS;
  },
};

const SHOWN = 20;

function show(file: string, scenarios: number, report: ScenarioReport, paint: Paint): string {
  const { requests, agree, unsure, reads, readsDiffer, differences, corrected } = report;
  const asked = requests - unsure;
  const lines = [
    `${file}: ${scenarios} scenarios`,
    `${paint(agree === asked ? "green" : "red", `  ${agree} of ${asked} requests agree`)}, ${unsure} more are unsure`,
    paint(readsDiffer === 0 ? "green" : "red", `  ${reads - readsDiffer} of ${reads} reads agree`),
  ];
  for (const { at, what, expected, found } of differences.slice(0, SHOWN)) {
    lines.push(`  ${paint("red", at)} ${what}`, `    expected ${expected}`, `    found    ${found}`);
  }
  if (differences.length > SHOWN) lines.push(`  ... and ${differences.length - SHOWN} more (--json lists all)`);
  const reasons = new Map<string, number>();
  for (const { because } of corrected) reasons.set(because, (reasons.get(because) ?? 0) + 1);
  for (const [because, count] of reasons) lines.push(paint("dim", `  recording corrected ${count} times: ${because}`));
  return `${lines.join("\n")}\n`;
}
