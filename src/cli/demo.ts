/** `demo`: what `npm start` shows, from the captures that the repository ships. */
import { basename } from "node:path";
import type { Capture, ExpectedRow } from "../capture/capture.ts";
import { InputError } from "../capture/input.ts";
import { loadCapture } from "../capture/node/files.ts";
import { openWalker } from "../capture/state.ts";
import { verifyCapture } from "../capture/verify.ts";
import type { Request } from "../iommu.ts";
import type { Io } from "./io.ts";
import { describeCapture } from "./list.ts";
import { shippedCaptures } from "./package.ts";
import { type Paint, rule, wrap } from "./paint.ts";
import { tellWalk } from "./show/trace.ts";
import { EXIT, readArguments, type Verb } from "./verb.ts";
import { agreement } from "./verify.ts";

const VTD = "A-vtd-sva";
const SMMU = "A-smmu-sva";

export const demo: Verb = {
  name: "demo",
  summary: "a tour: PASID tables of both vendors, walked, and every capture verified",
  form: "demo [--json]",
  help: `--json      one object: {"rows","agree","captures":[{"capture","rows","agree"}]}

example:
  npm run -s cli -- demo
`,
  async run(args, io: Io) {
    const { json, paint } = readArguments(args, io, {}, [0, 0]);
    const captures = shippedCaptures().map(loadCapture);
    const reports = captures.map((capture) => ({ capture: capture.name, ...verifyCapture(capture) }));
    const rows = reports.reduce((sum, report) => sum + report.rows, 0);
    const agree = reports.reduce((sum, report) => sum + report.agree, 0);
    if (json) {
      const each = reports.map(({ capture, rows, agree }) => ({ capture, rows, agree }));
      io.out(`${JSON.stringify({ rows, agree, captures: each })}\n`);
    } else {
      tour(captures, io, paint);
      io.out(`${heading("Every expected translation of every shipped capture, walked", paint)}\n`);
      for (const { capture, rows, agree } of reports)
        io.out(`  ${capture.padEnd(20)} ${agreement(rows, agree, paint)}`);
      io.out(`\n${agreement(rows, agree, paint)}\n${wrap(NEXT)}`);
    }
    return agree === rows ? EXIT.OK : EXIT.FINDINGS;
  },
};

const INTRO = `An IOMMU stands between devices and memory: a device uses addresses of its own, and the \
IOMMU looks up in tables what they mean. With PASIDs (Arm: SubstreamIDs) one device works in many address \
spaces at once, even those of ordinary processes: each request says whose address it carries.`;

const VTD_INTRO = `Intel VT-d in scalable mode: a bus picks the root entry, a device its context entry, the PASID \
(in two steps) its PASID entry, and that one names a page table: here the very one the CPU uses for the process.`;

const SMMU_INTRO = `Arm's SMMUv3 does the same with other words: the StreamID picks a stream table entry (STE), the \
SubstreamID a context descriptor (CD), and the CD names page table, format and ASID.`;

const VTD_PICTURE = `
  RTADDR ─> root table ─> context table ─> PASID directory ─> PASID table ─┐
            [bus]         [device.fn]      [PASID 19:6]       [PASID 5:0]  │
  memory <─ page <─ L1 <─ L2 <─ L3 <─ L4 <─ L5 <───────────────────────────┘
                    nine bits of the address pick an entry in each
`;

const SMMU_PICTURE = `
  STRTAB_BASE ─> L1 stream table ─> STE ─> L1 CD table ─> CD ─┐
                 [StreamID, in two steps]  [SubstreamID]      │
  memory <─ page <─ L3 <─ L2 <─ L1 <─ L0 <────────────────────┘
`;

const FAULT_INTRO = `A process that has exited leaves its PASID behind. A device that still uses it gets no memory:`;

const NEXT =
  "Next: npm run -s cli -- walk --help, or list, translate, verify; README.md shows how to use all this as a library.";

function heading(title: string, paint: Paint): string {
  return `\n${paint("bold", rule(title))}\n`;
}

function tour(captures: readonly Capture[], io: Io, paint: Paint): void {
  const vtd = named(captures, VTD);
  const smmu = named(captures, SMMU);
  const show = (capture: Capture, row: ExpectedRow, brief: "tables" | "fault") => {
    const request: Request = { sid: row.sid, pasid: row.pasid, address: row.iova, access: row.access };
    const trace = openWalker(capture).trace(request);
    io.out(`\n${tellWalk(request, trace, { image: capture, paint, all: false, brief })}`);
  };
  io.out(`${heading("iommulator", paint)}\n${wrap(INTRO)}\n${describeCapture(vtd, paint, false)}`);
  io.out(
    `${heading("A read by a device, in the address space of a process", paint)}\n${wrap(VTD_INTRO)}${paint("cyan", VTD_PICTURE)}`,
  );
  show(
    vtd,
    sample(vtd, (row) => row.ok && row.pasid === 1),
    "tables",
  );
  io.out(`${heading("The counterpart on Arm", paint)}\n${wrap(SMMU_INTRO)}${paint("cyan", SMMU_PICTURE)}`);
  show(
    smmu,
    sample(smmu, (row) => row.ok && row.pasid === LAST_PROCESS),
    "tables",
  );
  io.out(`${heading("A request that faults", paint)}\n${wrap(FAULT_INTRO)}`);
  show(
    vtd,
    sample(vtd, (row) => !row.ok && row.note === "process exited"),
    "fault",
  );
}

/** A process whose PASID lies beyond the first leaf of the CD table. */
const LAST_PROCESS = 21567;

function named(captures: readonly Capture[], name: string): Capture {
  const capture = captures.find((candidate) => candidate.name === name);
  if (!capture) throw new InputError(basename(name), "", "the demo needs this capture in test/captures");
  return capture;
}

function sample({ name, expected }: Capture, fits: (row: ExpectedRow) => boolean): ExpectedRow {
  const row = expected.find(fits);
  if (!row) throw new InputError(name, "translations", "no row that the demo could show");
  return row;
}
