/** From what the lines about an SMMUv3 say to what it means. */
import { EVENT_NUMBER } from "../../assembly/layout/smmuv3-faults.ts";
import { CERROR, CMDQ_CONS, GERROR } from "../../assembly/layout/smmuv3-registers.ts";
import { CHECK } from "../../assembly/layout/smmuv3-unit.ts";
import { hex } from "../check.ts";
import type { Access } from "../iommu.ts";
import { decodeEvent, type SmmuEvent } from "../smmuv3/event-record.ts";
import { checkInfo, eventMeaning, eventName } from "../smmuv3/names.ts";
import { describe, getBits } from "../structure.ts";
import { findEntry } from "./catalogue.ts";
import { finding, type LogFinding, type Rule } from "./finding.ts";
import type { EventAccess, EventText, LogItem } from "./log-items.ts";
import { COMMAND_ADVICE, eventAdvice, GLOBAL_ADVICE, OVERFLOW_ADVICE, PRI_ADVICE, SYNC_ADVICE } from "./smmu-advice.ts";
import { decodeFields, findProblems } from "./structure.ts";

type Item<K extends LogItem["kind"]> = Extract<LogItem, { kind: K }>;

const E = EVENT_NUMBER;

/** Rules whose breach an event may report. */
const CHECKS: Readonly<Record<number, readonly CHECK[]>> = {
  [E.C_BAD_STREAMID]: [CHECK.SID_RANGE, CHECK.L1STD_SPAN, CHECK.L1STD_INDEX],
  [E.F_STE_FETCH]: [CHECK.L1STD_FETCH, CHECK.STE_FETCH],
  [E.C_BAD_STE]: [CHECK.STE_V, CHECK.STE_S1P, CHECK.STE_S1CDMAX, CHECK.STE_S2TG, CHECK.STE_S2T0SZ, CHECK.STE_S2TTB],
  [E.F_BAD_ATS_TREQ]: [CHECK.ATS_REQUEST],
  [E.F_STREAM_DISABLED]: [CHECK.SUBSTREAM_MISSING, CHECK.SUBSTREAM_ZERO],
  [E.F_TRANSL_FORBIDDEN]: [CHECK.ATS_FORBIDDEN],
  [E.C_BAD_SUBSTREAMID]: [CHECK.SUBSTREAM_RANGE, CHECK.SUBSTREAM_UNEXPECTED, CHECK.L1CD_V],
  [E.F_CD_FETCH]: [CHECK.L1CD_FETCH, CHECK.CD_FETCH],
  [E.C_BAD_CD]: [CHECK.CD_V, CHECK.CD_TXSZ, CHECK.CD_TGX, CHECK.CD_TTBX, CHECK.CD_S, CHECK.CD_A, CHECK.CD_HTTU],
  [E.F_WALK_EABT]: [CHECK.PTE_FETCH],
  [E.F_TRANSLATION]: [CHECK.PTE_VALID, CHECK.PTE_TYPE, CHECK.INPUT_RANGE, CHECK.INPUT_EPD],
  [E.F_ADDR_SIZE]: [CHECK.PTE_ADDRESS, CHECK.BYPASS_SIZE, CHECK.IAS_SIZE],
  [E.F_ACCESS]: [CHECK.PTE_AF],
  [E.F_PERMISSION]: [CHECK.PTE_PERMISSION, CHECK.PTE_S2PTW],
};

function rulesOf(number: number): Rule[] {
  const rules = (CHECKS[number] ?? []).map((check) => {
    const { id, rule, section } = checkInfo(check);
    return { rule: `${id}: ${rule}`, section: /^\d/.test(section) ? `IHI 0070 ${section}` : section };
  });
  return rules.length > 0 ? rules : [{ rule: eventName(number), section: "IHI 0070 7.3" }];
}

const PLACES = ["reading a context descriptor", "reading a translation table", "the address that the device used"];

function whereOf({ S2, CLASS }: SmmuEvent): string | null {
  if (CLASS === undefined) return null;
  const place = PLACES[CLASS];
  return place === undefined ? null : `stage ${S2 ? 2 : 1}, ${place}`;
}

function accessOf({ InD, RnW }: Pick<SmmuEvent, "InD" | "RnW">): Access | null {
  if (InD) return "x";
  return RnW === undefined ? null : RnW ? "r" : "w";
}

/** What every event has in common, from its record or from its text. */
function eventFinding(event: SmmuEvent, line: number): LogFinding {
  const { number, StreamID, SubstreamID, InputAddr } = event;
  return finding({
    vendor: "smmuv3",
    kind: "event",
    code: number,
    name: eventName(number),
    meaning: eventMeaning(number) || "An event that the architecture does not define.",
    sid: StreamID,
    pasid: SubstreamID ?? null,
    iova: InputAddr ?? null,
    access: accessOf(event),
    line,
    rules: rulesOf(number),
    where: whereOf(event),
    details: detailsOf(event),
    ...eventAdvice(event),
  });
}

function detailsOf(event: SmmuEvent): Record<string, string> {
  const { S2, IPA, FetchAddr, PnU, Stall, STAG, TTRnW, CLASS } = event;
  const details: Record<string, string> = {};
  if (S2 && IPA !== undefined) details.ipa = hex(IPA);
  if (FetchAddr !== undefined) details.fetch = hex(FetchAddr);
  if (PnU !== undefined) details.privilege = PnU ? "privileged" : "unprivileged";
  if (TTRnW !== undefined && CLASS === 1) details.table = TTRnW ? "read" : "write";
  if (Stall) details.stall = `stalled, tag ${hex(STAG ?? 0)}: CMD_RESUME must end it`;
  return details;
}

export function rawEventFinding({ number, words }: Item<"event">, line: number): LogFinding {
  const event = decodeEvent(words);
  const entry = findEntry("smmu.event");
  const structure = entry && "family" in entry ? entry.family.pick(words) : undefined;
  const given = eventFinding(event ?? { number, StreamID: 0 }, line);
  if (structure)
    given.record = { structure: structure.name, words, fields: decodeFields(structure.shape(words), words) };
  else {
    given.sid = null;
    given.details.words = words.map((word) => hex(word, 16)).join(" ");
  }
  if (event && event.number !== number) {
    given.notes.push(
      `the line says event ${hex(number, 2)}, its words say ${hex(event.number, 2)}: the words are taken`,
    );
  }
  return given;
}

/** Events whose record has no SubstreamID valid bit of its own in the text: 0 may mean none. */
export function textEventFinding(text: EventText, line: number): LogFinding | undefined {
  const number = E[text.name as keyof typeof E];
  if (number === undefined) return undefined;
  const given = eventFinding(
    {
      number,
      StreamID: text.sid,
      SubstreamID: text.ssid === 0 ? null : text.ssid,
      ...(text.iova === null ? {} : { InputAddr: text.iova }),
      ...(text.ipa === null || text.ipa === 0n ? {} : { IPA: text.ipa, S2: true }),
      ...(text.fetchAddress === null ? {} : { FetchAddr: text.fetchAddress }),
    },
    line,
  );
  given.details.client = text.client;
  if (text.ssid === 0) given.notes.push("ssid 0 in this line may be SubstreamID 0 or none; the raw words would tell");
  return given;
}

const CLASSES: readonly [text: RegExp, number: number][] = [
  [/CD fetch/, 0],
  [/translation table fetch/, 1],
  [/Input address/, 2],
];

/** The line after a decoded event: what it adds to a finding that had no raw words. */
export function addAccess(to: LogFinding, access: EventAccess): void {
  to.access = access.instruction ? "x" : access.read ? "r" : "w";
  const CLASS = CLASSES.find(([text]) => text.test(access.what))?.[1];
  const event: SmmuEvent = {
    number: to.code ?? 0,
    StreamID: to.sid ?? 0,
    S2: access.stage2,
    PnU: access.privileged,
    Stall: access.stall,
    STAG: access.stag,
    ...(CLASS === undefined ? {} : { CLASS }),
  };
  to.where = whereOf(event);
  Object.assign(to.details, detailsOf(event));
  Object.assign(to, eventAdvice(event));
}

export function globalErrorFinding({ value }: Item<"global-error">, line: number): LogFinding {
  const active = describe(GERROR, [value]).filter((field) => field.value === 1n);
  const entry = findEntry("smmu.gerror");
  const fields = entry && "structure" in entry ? decodeFields(entry.structure.shape([value]), [value]) : [];
  return finding({
    vendor: "smmuv3",
    kind: "global-error",
    code: Number(value),
    name: active.map(({ name }) => name).join(" ") || "GERROR",
    meaning: `Global errors: ${fields.flatMap((field) => (field.value === 1n ? [field.meaning] : [])).join("; ") || "none that we know"}.`,
    line,
    rules: [{ rule: "GERROR differs from GERRORN where an error is active", section: "IHI 0070 6.3.18" }],
    ...GLOBAL_ADVICE,
  });
}

const COMMAND_ERRORS: Readonly<Record<number, string>> = {
  [CERROR.NONE]: "No error.",
  [CERROR.ILL]: "The command is illegal: unknown, not implemented here, or with wrong parameters.",
  [CERROR.ABT]: "The command could not be read from memory.",
  [CERROR.ATC_INV_SYNC]: "A device did not answer an ATC invalidation in time.",
};

export function commandErrorFinding({ cons }: Item<"command-error">, line: number): LogFinding {
  const error = Number(getBits(cons, CMDQ_CONS.ERR));
  return finding({
    vendor: "smmuv3",
    kind: "command-error",
    code: error,
    name: `CERROR_${CERROR[error] ?? hex(error)}`,
    meaning: COMMAND_ERRORS[error] ?? "An error that the architecture does not define.",
    line,
    rules: [{ rule: "the queue stops at the command, CMDQ_CONS.ERR says why", section: "IHI 0070 4.8, 7.1" }],
    where: `command ${hex(getBits(cons, CMDQ_CONS.RD))} of the queue (CMDQ_CONS.RD, wrap bit on top)`,
    ...(COMMAND_ADVICE[error] ?? GLOBAL_ADVICE),
  });
}

/** The command that was refused. */
export function addCommand(to: LogFinding, { words }: Item<"command">): void {
  const entry = findEntry("smmu.command");
  const structure = entry && "family" in entry ? entry.family.pick(words) : undefined;
  if (!structure) {
    to.notes.push(`${words.map((word) => hex(word, 16)).join(" ")}: its opcode does not exist`);
    return;
  }
  const shape = structure.shape(words);
  to.details.command = shape.title;
  to.record = { structure: structure.name, words, fields: decodeFields(shape, words) };
  to.notes.push(...findProblems(structure, words).map(({ bits, problem }) => `command, bits ${bits}: ${problem}`));
}

export function syncFinding({ prod, cons }: Item<"sync-timeout">, line: number): LogFinding {
  return finding({
    vendor: "smmuv3",
    kind: "command-error",
    name: "CMD_SYNC timeout",
    meaning: "The SMMU did not complete a CMD_SYNC in time.",
    line,
    rules: [{ rule: "a CMD_SYNC completes when all commands before it have", section: "IHI 0070 4.7.3" }],
    details: { prod: hex(prod), cons: hex(cons) },
    ...SYNC_ADVICE,
  });
}

export function overflowFinding({ queue }: Item<"queue-overflow">, line: number): LogFinding {
  const what = queue === "PRIQ" ? "Page requests" : "Events";
  return finding({
    vendor: "smmuv3",
    kind: "events-lost",
    name: `${queue} overflow`,
    meaning: `${what} were lost: the queue was full.`,
    line,
    rules: [{ rule: "OVFLG differs from OVACKFLG when something was lost", section: "IHI 0070 7.4" }],
    ...OVERFLOW_ADVICE,
  });
}

export function priFinding({ request }: Item<"smmu-page-request">, line: number): LogFinding {
  const { sid, ssid, group, last, privileged, rights, iova } = request;
  return finding({
    vendor: "smmuv3",
    kind: "page-request",
    name: "PRI",
    meaning: "A device asked for a page, and nobody answers page requests.",
    sid,
    pasid: ssid === 0 ? null : ssid,
    iova,
    access: rights.includes("W") ? "w" : rights.includes("X") ? "x" : "r",
    line,
    rules: [{ rule: "the last request of a group gets a response", section: "IHI 0070 8" }],
    details: {
      group: hex(group),
      last: last ? "yes" : "no",
      privilege: privileged ? "privileged" : "unprivileged",
      rights,
    },
    ...PRI_ADVICE,
  });
}
