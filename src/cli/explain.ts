/** `explain`: a pasted log in, what it means out. */
import { stat } from "node:fs/promises";
import { InputError } from "../capture/input.ts";
import { type Explanation, explainLog } from "../explain/explain.ts";
import { LogReader } from "../explain/log.ts";
import type { Io } from "./io.ts";
import { wrap } from "./paint.ts";
import { findingToJson, tellFinding } from "./show/finding.ts";
import { EXIT, readArguments, type Verb } from "./verb.ts";

export const explain: Verb = {
  name: "explain",
  summary: "say what the DMAR and SMMU lines of a pasted log mean, and what to do",
  form: "explain [FILE|-|TEXT...] [--json]",
  help: `FILE        a log: dmesg, a mail, an issue; "-" or nothing: standard input
TEXT        the log itself, quoted: one argument or several
--json      {"findings":[{"vendor","code","name","sid","pasid","iova","access",
            ...}],"unrecognised":N}: numbers as hex strings, null for absent

Knows fault lines of every kernel since 2012, the tables printed after a fault
(which are walked again), interrupt remapping faults, invalidation queue and
command queue errors, SMMUv3 events raw and decoded, page requests, and the
capabilities that a boot log has. Timestamps, colours, quotation marks and other
lines do not matter.

example:
  echo 'DMAR: [DMA Write PASID 0x2] Request device [6a:01.0] fault addr
  0x7f3a6ac12000 [fault reason 0x59] SM: Present bit in PASID Table is clear' |
    npm run -s cli -- explain
`,
  async run(args, io: Io) {
    const { positionals, json, paint } = readArguments(args, io, {}, [0, MOST]);
    const reader = new LogReader();
    for await (const line of linesOf(positionals, io)) reader.push(line);
    const explanation = explainLog(reader);
    io.out(json ? `${JSON.stringify(toJson(explanation))}\n` : tell(explanation, paint));
    return EXIT.OK;
  },
};

/** Words of a log that was not quoted. */
const MOST = 10_000;
const MAX_BYTES = 256 * 1024 * 1024;
/** What is told at length; the rest only with --json. */
const SHOWN = 20;

async function* linesOf(positionals: readonly string[], io: Io): AsyncIterable<string> {
  const [first, ...more] = positionals;
  if (first === undefined || (first === "-" && more.length === 0)) {
    yield* io.lines("-");
    return;
  }
  const text = positionals.join(" ");
  const info = more.length > 0 || text.includes("\n") ? undefined : await stat(first).catch(() => undefined);
  if (info?.isFile()) {
    if (info.size > MAX_BYTES) {
      throw new InputError(
        first,
        "",
        `has ${info.size} bytes, at most ${MAX_BYTES} are read: cut out the lines around the fault`,
      );
    }
    yield* io.lines(first);
  } else if (info) throw new InputError(first, "", "is not a file");
  else if (!/[\s[]/.test(text)) throw new InputError(first, "", "cannot be read (ENOENT), and is no line of a log");
  else yield* text.split(/\r?\n/);
}

function toJson({ findings, unrecognised }: Explanation): Record<string, unknown> {
  return { findings: findings.map(findingToJson), unrecognised };
}

function tell({ findings, unrecognised }: Explanation, paint: Parameters<typeof tellFinding>[2]): string {
  const lines = `${unrecognised} other line${unrecognised === 1 ? "" : "s"}`;
  if (findings.length === 0) {
    return wrap(
      `Nothing about an IOMMU was found in ${lines}. Expected are lines such as "DMAR: [DMA Read NO_PASID] Request device [00:02.0] fault addr 0x.. [fault reason 0x..]" or "arm-smmu-v3 ..: event 0x10 received:" with its four words.`,
    );
  }
  const shown = findings.slice(0, SHOWN).map((found, i) => tellFinding(found, i + 1, paint));
  const left = findings.length - shown.length;
  if (left > 0) shown.push(`${left} more; --json has them all\n`);
  return `${shown.join("\n")}\n${paint("dim", `${lines} passed over`)}\n`;
}
