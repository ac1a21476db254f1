/** A unit in words: what it is, what it is doing, and its registers. */
import { GSTS, RTADDR, TTM } from "../../assembly/layout/vtd-base.ts";
import { EVENT_CTL, FRCD, FSTS, IQ_POINTER, IQA, IRTA, PRS } from "../../assembly/layout/vtd-registers.ts";
import { hex } from "../check.ts";
import { getBits, maskOf } from "../structure.ts";
import type { VtdCapabilities } from "./capabilities.ts";
import type { VtdFeature } from "./features.ts";
import type { VtdHardware } from "./hardware.ts";
import { faultReason } from "./names.ts";

const MODES: Readonly<Record<TTM, string>> = {
  [TTM.LEGACY]: "legacy",
  [TTM.SCALABLE]: "scalable",
  [TTM.RESERVED]: "reserved (every request faults)",
  [TTM.ABORT_DMA]: "abort-DMA",
};

/** Features that are a yes or no. */
const QUANTITIES: readonly VtdFeature[] = [
  "HAW",
  "MAX",
  "MIN",
  "ND",
  "SAGAW",
  "MGAW",
  "FRO",
  "SSLPS",
  "NFR",
  "MAMV",
  "IRO",
  "MHMV",
  "PSS",
];

export function describeUnit(capabilities: VtdCapabilities, hardware: VtdHardware): string {
  const { registers } = hardware;
  return [...identity(capabilities), ...activity(hardware), "", registers.describe()].join("\n");
}

function identity({ features, deviations, cleared }: VtdCapabilities): string[] {
  const names = Object.entries(features).filter(([name]) => !QUANTITIES.includes(name as VtdFeature));
  const has = names.filter(([, value]) => value !== 0).map(([name]) => name);
  const lines = [
    `VT-d unit, version ${features.MAX}.${features.MIN}: ${features.HAW}-bit host addresses, ${features.MGAW + 1}-bit guest addresses, ${4 + 2 * features.ND}-bit domain ids`,
    `features: ${has.join(" ")}`,
  ];
  if (cleared.length) lines.push(`not modelled: ${cleared.join(", ")}`);
  if (deviations.length) lines.push(`breaks the architecture's rules: ${deviations.join("; ")}`);
  return lines;
}

function activity({ registers, parts }: VtdHardware): string[] {
  const { latched, features } = parts;
  const status = (field: number) => registers.has("GSTS", field);
  const mode = MODES[Number(getBits(latched.rtaddr, RTADDR.TTM)) as TTM];
  const table = hex(latched.rtaddr & maskOf(RTADDR.RTA));
  const lines = [`DMA remapping: ${status(GSTS.TES) ? `on, ${mode} mode, root table at ${table}` : "off"}`];
  if (features.IR) {
    const entries = 2 ** (Number(getBits(latched.irta, IRTA.S)) + 1);
    const where = `${entries} entries at ${hex(latched.irta & maskOf(IRTA.IRTA))}`;
    lines.push(`interrupt remapping: ${status(GSTS.IRES) ? `on, ${where}` : "off"}`);
  }
  if (features.QI) {
    const [head, tail] = [
      registers.getInPlace("IQH", IQ_POINTER.POINTER),
      registers.getInPlace("IQT", IQ_POINTER.POINTER),
    ];
    const width = registers.has("IQA", IQA.DW) ? 256 : 128;
    const base = hex(registers.getInPlace("IQA", IQA.IQA));
    const queue = `on, ${width}-bit descriptors at ${base}, head ${hex(head)}, tail ${hex(tail)}`;
    const errors = [FSTS.IQE, FSTS.ITE].filter((field) => registers.has("FSTS", field)).map((field) => FSTS[field]);
    lines.push(
      `invalidation queue: ${status(GSTS.QIES) ? queue : "off"}${errors.length ? `, stopped by ${errors}` : ""}`,
    );
  }
  return [...lines, ...faults(registers, features.NFR), ...pending(registers, features.PRS !== 0)];
}

function faults(registers: VtdHardware["registers"], last: number): string[] {
  const records = Array.from({ length: last + 1 }, (_, i) => `FRCD${i}`).filter((slot) => registers.has(slot, FRCD.F));
  const lines = records.map((slot) => {
    const field = (name: number) => registers.getField(slot, name);
    const pasid = field(FRCD.PP) ? ` PASID ${hex(field(FRCD.PV))}` : "";
    const { name, meaning } = faultReason(Number(field(FRCD.FR)));
    const what = `${hex(field(FRCD.FR), 2)} ${name}: ${meaning}`;
    return `fault in ${slot}: source ${hex(field(FRCD.SID), 4)}${pasid} at ${hex(registers.getInPlace(slot, FRCD.FI))}, ${what}`;
  });
  return registers.has("FSTS", FSTS.PFO) ? [...lines, "faults were lost: overflow"] : lines;
}

function pending(registers: VtdHardware["registers"], pageRequests: boolean): string[] {
  const controls = ["FECTL", ...(registers.names.has("IECTL") ? ["IECTL"] : []), ...(pageRequests ? ["PECTL"] : [])];
  const lines = controls
    .filter((name) => registers.has(name, EVENT_CTL.IP))
    .map((name) => `event pending in ${name}, masked`);
  return pageRequests && registers.has("PRS", PRS.PRO) ? [...lines, "page requests were refused: overflow"] : lines;
}
