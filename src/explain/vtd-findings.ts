/** From what the lines about VT-d say to what it means. */
import { ECAP } from "../../assembly/layout/vtd-capabilities.ts";
import { FSTS, IQEI } from "../../assembly/layout/vtd-registers.ts";
import { hex } from "../check.ts";
import { describe, getBits } from "../structure.ts";
import { VtdCapabilities } from "../vtd/capabilities.ts";
import { faultReason } from "../vtd/names.ts";
import { findEntry } from "./catalogue.ts";
import type { KnownUnit } from "./dump-walk.ts";
import { finding, type LogFinding } from "./finding.ts";
import type { LogItem } from "./log-items.ts";
import { decodeFields, findProblems } from "./structure.ts";
import { INCONSISTENT_ADVICE, LOST_ADVICE, PAGE_REQUEST_ADVICE, QUEUE_ADVICE, vtdAdvice } from "./vtd-advice.ts";
import { rulesOf, whereOf } from "./vtd-where.ts";

type Item<K extends LogItem["kind"]> = Extract<LogItem, { kind: K }>;

const INTERRUPT_SECTION = "VT-d 5.1";

export function faultFinding({ sid, pasid, iova, access, code }: Item<"dma-fault">, line: number): LogFinding {
  const { name, meaning } = faultReason(code);
  return finding({
    vendor: "vtd",
    kind: "fault",
    ...{ code, name, meaning, sid, pasid, iova, access, line },
    rules: rulesOf(code),
    where: whereOf(code, sid, pasid, iova),
    ...vtdAdvice(code),
  });
}

export function interruptFinding({ sid, index, code }: Item<"interrupt-fault">, line: number): LogFinding {
  const { name, meaning } = faultReason(code);
  return finding({
    vendor: "vtd",
    kind: "interrupt-fault",
    ...{ code, name, meaning, sid, line },
    rules: [{ rule: `${name}: ${meaning.replace(/\.$/, "")}`, section: INTERRUPT_SECTION }],
    where: `entry ${index} of the interrupt remapping table`,
    details: { index: hex(index) },
    ...vtdAdvice(code),
  });
}

const QUEUE_ERRORS: Readonly<Record<number, string>> = {
  [IQEI.NONE]: "The unit does not say what is wrong (older hardware).",
  [IQEI.INVALID_TAIL]: "The tail pointer is beyond the queue.",
  [IQEI.FETCH]: "A descriptor cannot be read.",
  [IQEI.TYPE]: "The descriptor's type does not exist, in this mode or on this unit.",
  [IQEI.RESERVED]: "A reserved field of the descriptor is set.",
  [IQEI.WIDTH]: "The width of descriptors (IQA.DW) does not fit the mode.",
  [IQEI.TAIL_ALIGNMENT]: "The tail pointer is not aligned to 256-bit descriptors.",
  [IQEI.TTM]: "The translation table mode is not legal.",
};

/** IQERCD reads as ones where the register does not exist. */
const NO_REASON = 0xf;
const NO_SID = 0xffff;

export function queueErrorFinding({ reason }: Item<"queue-error">, line: number): LogFinding {
  const given = finding({
    vendor: "vtd",
    kind: "queue-error",
    code: reason,
    name: `IQE.${IQEI[reason] ?? "unknown"}`,
    meaning: QUEUE_ERRORS[reason] ?? "The reason is not one of the architecture's.",
    line,
    rules: [{ rule: "IQE: the queue stops at a descriptor that is wrong", section: "VT-d 6.5.2.11" }],
    where: "the descriptor at IQH",
    ...QUEUE_ADVICE.error,
  });
  if (reason === NO_REASON) {
    given.notes.push(
      "all ones: the registers read as ones, so the unit, or the link to it, is likely gone or powered down",
    );
  }
  return given;
}

export function queueDeviceFinding(item: Item<"queue-timeout" | "queue-completion">, line: number): LogFinding {
  const late = item.kind === "queue-timeout";
  const given = finding({
    vendor: "vtd",
    kind: "queue-error",
    name: late ? "ITE" : "ICE",
    meaning: late
      ? "A device did not answer a device-TLB invalidation in time."
      : "A device answered an invalidation that does not exist.",
    sid: item.sid === 0 || item.sid === NO_SID ? null : item.sid,
    line,
    rules: [{ rule: late ? "ITE: pending waits are aborted" : "ICE: the queue goes on", section: "VT-d 6.5.2.11" }],
    ...(late ? QUEUE_ADVICE.timeout : QUEUE_ADVICE.completion),
  });
  if (item.sid === NO_SID)
    given.notes.push("SID ffff: the registers read as ones, or the unit does not say whose fault it is");
  return given;
}

/** The descriptor at the head, with what is wrong with it. */
export function addQueueEntry(to: LogFinding, { which, words }: Item<"queue-entry">): void {
  const entry = findEntry("vtd.descriptor");
  const structure = entry && "family" in entry ? entry.family.pick(words) : undefined;
  if (!structure) {
    to.details[which.toLowerCase()] = `${words.map((word) => hex(word)).join(" ")}: no such type`;
    return;
  }
  const shape = structure.shape(words);
  to.details[which.toLowerCase()] = shape.title;
  if (which === "PRIOR") return;
  to.record = { structure: structure.name, words, fields: decodeFields(shape, words) };
  to.notes.push(...findProblems(structure, words).map(({ bits, problem }) => `QI HEAD, bits ${bits}: ${problem}`));
}

/** Whether FSTS tells of faults that were lost. */
export function hasLostFaults({ value }: Item<"fault-status">): boolean {
  return getBits(value, FSTS.PFO) === 1n;
}

/** What a lost fault means to one that was not. */
export const LOST_NOTE =
  "FSTS.PFO is set: more faults came than there are registers, so the log does not have them all";

/** A status without the faults that it tells of. */
export function statusFinding({ value }: Item<"fault-status">, line: number): LogFinding {
  return finding({
    vendor: "vtd",
    kind: "faults-lost",
    code: Number(value),
    name: "PFO",
    meaning: "Faults were lost: no fault recording register was free.",
    line,
    rules: [{ rule: "FSTS.PFO: a fault found no free register", section: "VT-d 7.2.1" }],
    ...LOST_ADVICE,
  });
}

const PAGE_REQUESTS: Readonly<Record<string, string>> = {
  "Page request without PASID": "A device asked for a page without saying for which PASID.",
  "Page request in Privilege Mode": "A device asked for a page in privileged mode, which is refused.",
  "Address is not canonical": "A device asked for a page at an address that is not canonical.",
  "Execution request not supported": "A device asked for a page to execute.",
  "Invalid page request": "A page request could not be served.",
};

export function pageRequestFinding({ unit, why, words }: Item<"page-request-refused">, line: number): LogFinding {
  const given = finding({
    vendor: "vtd",
    kind: "page-request",
    name: why,
    meaning: PAGE_REQUESTS[why] ?? why,
    line,
    rules: [{ rule: "the request is answered with Invalid Request", section: "VT-d 7.4.1" }],
    details: { unit },
    ...PAGE_REQUEST_ADVICE,
  });
  const entry = findEntry("vtd.page-request");
  if (words.length > 0 && entry && "structure" in entry) {
    const fields = decodeFields(entry.structure.shape(words), words);
    const value = (name: string) => fields.find((field) => field.name === name)?.value ?? 0n;
    given.record = { structure: entry.structure.name, words, fields };
    given.sid = Number(value("RID"));
    given.pasid = value("PP") === 1n ? Number(value("PASID")) : null;
    given.iova = value("ADDR");
    given.access = value("WRR") === 1n ? "w" : "r";
  }
  return given;
}

export function pageRequestsLostFinding({ unit }: Item<"page-requests-lost">, line: number): LogFinding {
  return finding({
    vendor: "vtd",
    kind: "page-request",
    name: "PRO",
    meaning: "Page requests were lost: the page request queue was full.",
    line,
    rules: [{ rule: "PRS.PRO: a page request found no room", section: "VT-d 7.4.1" }],
    details: { unit },
    ...LOST_ADVICE,
  });
}

export function inconsistentFinding({ feature }: Item<"inconsistent">, line: number): LogFinding {
  return finding({
    vendor: "vtd",
    kind: "inconsistent",
    name: feature,
    meaning: `The units of this machine do not all have the feature "${feature}".`,
    line,
    ...INCONSISTENT_ADVICE,
  });
}

const MIN_HAW = 32;
const MAX_HAW = 52;

/** A unit's registers; its host address width as the log has it, or as wide as guests' addresses. */
export function unitOf({ ver, cap, ecap }: Item<"registers">, haw: number | undefined): KnownUnit {
  const guess = Number(VtdCapabilities.asFound({ ver, cap, ecap }, MAX_HAW).features.MGAW) + 1;
  return { ver, cap, ecap, haw: Math.min(MAX_HAW, Math.max(MIN_HAW, haw ?? guess)) };
}

/** What shared virtual addressing needs of a unit. */
const SVA_NEEDS = ["QI", "SMTS", "FSTS", "PASID", "DT", "PRS"] as const;

export function capabilitiesFinding(item: Item<"registers">, line: number): LogFinding {
  const { unit, cap, ecap } = item;
  const known = unitOf(item, undefined);
  const { features, deviations } = VtdCapabilities.asFound(known, known.haw);
  const missing = SVA_NEEDS.filter((name) => getBits(ecap, ECAP[name]) === 0n);
  const set = describe(ECAP, [ecap]).filter(({ value, msb, lsb }) => msb === lsb && value === 1n);
  const given = finding({
    vendor: "vtd",
    kind: "capabilities",
    name: unit,
    meaning: `A unit of version ${features.MAX}.${features.MIN}: guest addresses of ${features.MGAW + 1} bits, ${features.SMTS ? "scalable" : "legacy"} mode.`,
    line,
    rules: [{ rule: "CAP and ECAP say what the unit can do", section: "VT-d 11.4.2, 11.4.3" }],
    details: {
      cap: hex(cap, 16),
      ecap: hex(ecap, 16),
      extended: set.map(({ name }) => name).join(" "),
      sva: missing.length === 0 ? "possible" : `not possible, missing: ${missing.join(" ")}`,
    },
    next: [`iommulator decode vtd.cap ${hex(cap)}`, `iommulator decode vtd.ecap ${hex(ecap)}`],
  });
  if (features.CM)
    given.notes.push(
      "CAP.CM is 1: a hypervisor's unit; mapping needs an invalidation as well, and domain id 0 is reserved",
    );
  if (!features.ESRTPS) given.notes.push("CAP.ESRTPS is 0: a new root table needs global invalidations after SRTP");
  if (!features.C) given.notes.push("ECAP.C is 0: tables must be flushed from the CPU's caches");
  given.notes.push(...deviations.map((rule) => `breaks a rule of the architecture: ${rule}`));
  return given;
}
