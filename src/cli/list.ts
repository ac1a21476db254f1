/** `list`: what a capture is, its devices and its PASIDs. */
import type { Capture } from "../capture/capture.ts";
import { loadCapture } from "../capture/node/files.ts";
import { isCapture } from "../capture/node/image.ts";
import { hex } from "../check.ts";
import { IMAGE_HELP, IMAGE_OPTIONS, imageOptions } from "./image.ts";
import type { Io } from "./io.ts";
import type { Paint } from "./paint.ts";
import { listDump } from "./show/dump.ts";
import { FEW, IOMMU_NAMES, labelled, MIB } from "./show/labels.ts";
import { EXIT, readArguments, type Verb } from "./verb.ts";

export const list: Verb = {
  name: "list",
  summary: "what a capture or a dump holds: machine, memory, registers, devices, PASIDs",
  form: "list IMAGE [--all] [--json] ...",
  help: `${IMAGE_HELP}--all       every PASID and every kind of page, not the first few

example:
  npm run -s cli -- list test/captures/A-vtd-sva.json
`,
  async run(args, io: Io) {
    const options = { ...IMAGE_OPTIONS, all: { type: "boolean" } } as const;
    const given = readArguments(args, io, options, [1, 1], "an image");
    const { json, paint, flag } = given;
    const file = given.positionals[0] as string;
    if (isCapture(file)) {
      const capture = loadCapture(file);
      io.out(json ? `${JSON.stringify(listToJson(capture))}\n` : describeCapture(capture, paint, flag("all")));
    } else listDump(file, imageOptions(given), { json, paint, all: flag("all") }, io);
    return EXIT.OK;
  },
};

/** A capture in a dozen lines. */
export function describeCapture(capture: Capture, paint: Paint, all: boolean): string {
  const expected = capture.expected;
  const faults = expected.filter((row) => !row.ok).length;
  return [
    `${paint("bold", capture.name)}: ${IOMMU_NAMES[capture.iommu]} tables written by Linux ${capture.kernel}\n`,
    labelled(paint, "machine", `${capture.machine}, ${capture.ramBytes / MIB} MiB at ${hex(capture.ramBase)}`),
    labelled(paint, "pages", pagesByRole(capture, all)),
    labelled(paint, "expected", `${expected.length - faults} translations and ${faults} faults`),
    ...describeDevices(capture, paint),
    ...describePasids(capture, paint, all),
  ].join("");
}

function pagesByRole({ pages: { pages } }: Capture, all: boolean): string {
  const counts = new Map<string, number>();
  for (const { role } of pages) counts.set(role, (counts.get(role) ?? 0) + 1);
  const roles = [...counts].sort(([, a], [, b]) => b - a).map(([role, count]) => `${count} ${role || "unnamed"}`);
  const more = roles.length - FEW;
  const shown = all || more <= 0 ? roles.join(", ") : `${roles.slice(0, FEW).join(", ")} and ${more} more kinds`;
  return `${pages.length} of 4 KiB: ${shown}`;
}

function describeDevices({ devices }: Capture, paint: Paint): string[] {
  return devices.map(({ address, sid, text }, i) => {
    const [ids, ...rest] = text.split(" ");
    const facts = rest.filter((fact) => !fact.endsWith("=") && !fact.startsWith("bar0=")).join(" ");
    const id = `sid ${sid === undefined ? "-" : hex(sid)}`;
    return labelled(paint, i === 0 ? "devices" : "", `${address} ${id.padEnd(10)} ${ids} ${facts}`, address.length + 1);
  });
}

function describePasids({ pasids, iommu }: Capture, paint: Paint, all: boolean): string[] {
  const shown = all ? pasids : pasids.slice(0, FEW);
  const lines = shown.map(({ pasid, mode, kind, levels, tag, leaves, complete }, i) => {
    const facts = [
      mode,
      kind && `${KINDS[kind] ?? kind}${levels === undefined ? "" : `, ${levels} levels`}`,
      tag === undefined ? "" : `${iommu === "vtd" ? "DID" : "ASID"} ${tag}`,
      leaves === undefined ? "" : `${leaves} leaves${complete ? "" : " (not all captured)"}`,
    ].filter((fact) => fact !== "");
    return labelled(paint, i === 0 ? "PASIDs" : "", `${String(pasid).padEnd(8)}${facts.join(", ")}`, 8);
  });
  const more = pasids.length - shown.length;
  if (more > 0) lines.push(labelled(paint, "", `... and ${more} more (--all)`));
  return lines;
}

const KINDS: Readonly<Record<string, string>> = {
  fs: "first stage",
  ss: "second stage",
  pt: "pass-through",
  s1: "stage 1",
  "s1dss-bypass": "bypass (S1DSS)",
};

function listToJson(capture: Capture): Record<string, unknown> {
  const { name, iommu, machine, kernel, kernelCommandLine, devices, pasids, pages, expected } = capture;
  return {
    name,
    iommu,
    machine,
    kernel,
    kernelCommandLine,
    ramBase: hex(capture.ramBase),
    ramBytes: hex(capture.ramBytes),
    devices,
    pasids,
    pages: pages.pages.map(({ gpa, role }) => ({ gpa: hex(gpa), role })),
    expected: { rows: expected.length, faults: expected.filter((row) => !row.ok).length },
  };
}
