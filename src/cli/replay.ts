/** `replay`: a unit driven through a capture's register trace. */
import { loadTrace } from "../capture/node/files.ts";
import { REASONS, type ReasonId } from "../capture/replay/reasons.ts";
import { type ReadDifference, type ReplayReport, replay as replayTrace } from "../capture/replay/replay.ts";
import { hex } from "../check.ts";
import type { Io } from "./io.ts";
import { type Paint, wrap } from "./paint.ts";
import { EXIT, readArguments, type Verb } from "./verb.ts";

export const replay: Verb = {
  name: "replay",
  summary: "drive a unit through a capture's register trace and compare every read",
  form: "replay CAPTURE... [--json]",
  help: `CAPTURE     x.json (or x.json.gz, or x) with x.pages.bin and
            x.regtrace.jsonl.gz beside it
--json      one line a capture: {"capture","reads","agree","explained","differ",
            "reasons","surprises"}

Writes are done as recorded, descriptors and commands are put into the queues
first, faults and page requests happen when they happened. A read that differs
is explained where the recorder is known to depart from the architecture
(src/capture/replay/reasons.ts). Exit code 1: something is not explained.

example:
  npm run -s cli -- replay test/captures/A-vtd-sva.json
`,
  async run(args, io: Io) {
    const { positionals, json, paint } = readArguments(args, io, {}, [1, Number.POSITIVE_INFINITY]);
    let findings = 0;
    for (const argument of positionals) {
      const { capture, trace } = loadTrace(argument);
      const report = replayTrace(capture, trace);
      findings += report.differ.length + report.surprises.length;
      io.out(json ? `${JSON.stringify(reportToJson(capture.name, report))}\n` : show(capture.name, report, paint));
    }
    return findings === 0 ? EXIT.OK : EXIT.FINDINGS;
  },
};

const SHOWN = 20;

function show(name: string, report: ReplayReport, paint: Paint): string {
  const { reads, agree, explained, differ, surprises } = report;
  const good = differ.length + surprises.length === 0;
  const rest = explained.length > 0 ? `, ${explained.length} differ for a known reason` : "";
  const lines = [`${name.padEnd(20)} ${paint(good ? "green" : "red", `${agree} of ${reads} reads agree${rest}`)}\n`];
  for (const [reason, count] of countReasons(report)) {
    const { where, why } = REASONS[reason];
    lines.push(wrap(`${count} x ${where}: ${why}`, "    ", undefined, "  "));
  }
  const problems = [
    ...differ.map((item) => `line ${item.line}: ${showDifference(item)}`),
    ...surprises.map(({ line, problem }) => `line ${line}: ${problem}`),
  ];
  for (const problem of problems.slice(0, SHOWN))
    lines.push(paint("red", wrap(problem, "    ", undefined, "  ").trimEnd()), "\n");
  if (problems.length > SHOWN) lines.push(`  ... and ${problems.length - SHOWN} more (--json lists all)\n`);
  return lines.join("");
}

function showDifference({ offset, size, expected, got }: ReadDifference): string {
  return `${8 * size} bits at ${hex(offset)} read ${hex(got)} instead of ${hex(expected)}`;
}

function countReasons({ explained }: ReplayReport): Map<ReasonId, number> {
  const counts = new Map<ReasonId, number>();
  for (const { reason } of explained) counts.set(reason, (counts.get(reason) ?? 0) + 1);
  return counts;
}

function reportToJson(capture: string, report: ReplayReport): Record<string, unknown> {
  const difference = ({ line, offset, size, expected, got }: ReadDifference) => ({
    line,
    offset: hex(offset),
    size,
    expected: hex(expected),
    got: hex(got),
  });
  return {
    capture,
    reads: report.reads,
    agree: report.agree,
    explained: report.explained.length,
    differ: report.differ.map(difference),
    reasons: Object.fromEntries(
      [...countReasons(report)].map(([reason, reads]) => [reason, { reads, ...REASONS[reason] }]),
    ),
    surprises: report.surprises,
  };
}
