/** A pasted log, explained: every line that tells of a problem, put together with those around it. */
import { DumpWalker, type KnownUnit, type TableDump } from "./dump-walk.ts";
import { type DumpWalk, finding, type LogFinding } from "./finding.ts";
import { LogReader } from "./log.ts";
import type { LogItem } from "./log-items.ts";
import * as smmu from "./smmu-findings.ts";
import { NOT_FLUSHED, NOT_INVALIDATED } from "./vtd-advice.ts";
import * as vtd from "./vtd-findings.ts";
import { rulesOf } from "./vtd-where.ts";

export interface Explanation {
  /** In the order of the log; what occurs again is counted, not repeated. */
  findings: LogFinding[];
  /** Lines with text that say nothing we know. */
  unrecognised: number;
}

/** Explains the lines of a log. Nothing in them can make it fail. */
export function explain(lines: Iterable<string>): Explanation {
  const reader = new LogReader();
  for (const line of lines) reader.push(line);
  return explainLog(reader);
}

/** The same for lines that were read one by one. */
export function explainLog(reader: LogReader): Explanation {
  reader.end();
  const assembly = new Assembly();
  for (const { item, line } of reader.items) assembly.take(item, line);
  return { findings: assembly.finish(), unrecognised: reader.unrecognised };
}

type Items<K extends LogItem["kind"]> = Extract<LogItem, { kind: K }>;

interface OpenDump extends TableDump {
  line: number;
  /** The fault that it was printed for. */
  of: LogFinding | undefined;
}

/** Faults back to which a dump may belong. */
const REACH = 8;

class Assembly {
  readonly #findings: LogFinding[] = [];
  readonly #units = new Map<string, KnownUnit>();
  readonly #registers: Items<"registers">[] = [];
  readonly #dumps: OpenDump[] = [];
  #haw: number | undefined;
  /** A status that tells of lost faults, until the fault that it was printed with. */
  #lost: { item: Items<"fault-status">; line: number } | undefined;

  take(item: LogItem, line: number): void {
    const found = this.#find(item, line);
    if (found) this.#findings.push(found);
  }

  /** A finding of its own; undefined where the item adds to another one. */
  #find(item: LogItem, line: number): LogFinding | undefined {
    switch (item.kind) {
      case "dma-fault":
        return this.#noteLost(vtd.faultFinding(item, line));
      case "interrupt-fault":
        return this.#noteLost(vtd.interruptFinding(item, line));
      case "fault-status":
        if (vtd.hasLostFaults(item)) this.#lost ??= { item, line };
        return undefined;
      case "queue-error":
        return vtd.queueErrorFinding(item, line);
      case "queue-timeout":
      case "queue-completion":
        return vtd.queueDeviceFinding(item, line);
      case "page-request-refused":
        return vtd.pageRequestFinding(item, line);
      case "page-requests-lost":
        return vtd.pageRequestsLostFinding(item, line);
      case "inconsistent":
        return vtd.inconsistentFinding(item, line);
      case "registers":
        this.#registers.push(item);
        return vtd.capabilitiesFinding(item, line);
      case "haw":
        this.#haw = item.bits;
        return undefined;
      case "event":
        return smmu.rawEventFinding(item, line);
      case "event-text":
        return this.#textEvent(item, line);
      case "global-error":
        return smmu.globalErrorFinding(item, line);
      case "command-error":
        return smmu.commandErrorFinding(item, line);
      case "sync-timeout":
        return smmu.syncFinding(item, line);
      case "queue-overflow":
        return smmu.overflowFinding(item, line);
      case "smmu-page-request":
        return smmu.priFinding(item, line);
      default:
        return this.#add(item, line);
    }
  }

  #noteLost(fault: LogFinding): LogFinding {
    if (this.#lost) fault.notes.push(vtd.LOST_NOTE);
    this.#lost = undefined;
    return fault;
  }

  /** Items that belong to what came before. */
  #add(item: LogItem, line: number): undefined {
    const last = this.#findings.at(-1);
    switch (item.kind) {
      case "queue-entry": {
        const error = this.#findings.findLast(({ kind }) => kind === "queue-error");
        if (error) vtd.addQueueEntry(error, item);
        break;
      }
      case "command":
        if (last?.kind === "command-error") smmu.addCommand(last, item);
        break;
      case "event-access":
        if (last?.kind === "event" && last.record === null) smmu.addAccess(last, item.access);
        break;
      default:
        this.#addToDump(item, line);
    }
    return undefined;
  }

  #addToDump(item: LogItem, line: number): void {
    if (item.kind === "dump") {
      const of = this.#findings.slice(-REACH).findLast(({ kind, iova }) => kind === "fault" && iova === item.iova);
      this.#dumps.push({ ...item, scalable: false, pasid: [], ptes: new Map(), line, of });
      return;
    }
    const dump = this.#dumps.at(-1);
    if (!dump) return;
    if (item.kind === "dump-pasid-word") dump.pasid[item.index] = item.word;
    else if (item.kind === "dump-pte") dump.ptes.set(item.level, item.word);
    else if (item.kind === "dump-entry") addEntry(dump, item);
  }

  /** A decoded line after the raw words says whose stream it is; without them it is the finding. */
  #textEvent({ event }: Items<"event-text">, line: number): LogFinding | undefined {
    const last = this.#findings.at(-1);
    if (last?.kind === "event" && last.name === event.name && last.sid === event.sid && last.record !== null) {
      last.details.client = event.client;
      return undefined;
    }
    return smmu.textEventFinding(event, line);
  }

  finish(): LogFinding[] {
    if (this.#lost) this.#findings.push(vtd.statusFinding(this.#lost.item, this.#lost.line));
    for (const item of this.#registers) this.#units.set(item.unit, vtd.unitOf(item, this.#haw));
    this.#walkDumps();
    return merge(this.#findings);
  }

  #walkDumps(): void {
    if (this.#dumps.length === 0) return;
    const walker = new DumpWalker();
    for (const dump of this.#dumps) {
      const { sid = null, pasid = null, access, code = null } = dump.of ?? {};
      const faulted = { sid, pasid, access: access ?? "r", code };
      const walk = walker.walk(dump, faulted, this.#units.get(dump.unit));
      if (dump.of) addWalk(dump.of, walk);
      else this.#findings.push(tablesFinding(dump, walk));
    }
    this.#findings.sort((a, b) => a.line - b.line);
  }
}

/** Tables that look right now were not when hardware read them: that comes before all other causes. */
function addWalk(fault: LogFinding, walk: DumpWalk): void {
  fault.walk = walk;
  if (walk.agrees !== false) return;
  const stale = [NOT_FLUSHED, NOT_INVALIDATED];
  fault.causes = [...stale, ...fault.causes.filter((cause) => !stale.includes(cause))];
}

function addEntry(dump: TableDump, { entry, words }: Items<"dump-entry">): void {
  if (entry === "directory") dump.directory = words[0] ?? 0n;
  else if (entry === "context") dump.context = words;
  else {
    dump.root = words;
    dump.scalable = entry === "scalable-root";
  }
}

/** Tables without the line of the fault: only the walk says what is wrong. */
function tablesFinding({ iova, unit, line }: OpenDump, walk: DumpWalk): LogFinding {
  return finding({
    vendor: "vtd",
    kind: "tables",
    code: walk.code,
    name: walk.name ?? "tables",
    meaning: "Tables were printed for a fault whose own line is not in the log.",
    iova,
    line,
    rules: walk.code === null ? [] : rulesOf(walk.code),
    details: { unit },
    walk,
    next: ["dmesg | grep -B1 'table entries for IOVA'   # the line of the fault says who, and why"],
  });
}

/** Counts what occurs again. */
function merge(findings: readonly LogFinding[]): LogFinding[] {
  const merged = new Map<string, LogFinding>();
  for (const given of findings) {
    const { vendor, kind, code, name, sid, pasid, iova, access, where } = given;
    const key = [vendor, kind, code, name, sid, pasid, iova, access, where].join("|");
    const known = merged.get(key);
    if (!known) merged.set(key, given);
    else {
      known.count += given.count;
      known.walk ??= given.walk;
    }
  }
  return [...merged.values()];
}
