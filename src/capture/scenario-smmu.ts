/**
 * Plays recorded scenarios to an SMMUv3 unit, operation by operation, and compares what it does with what
 * the architecture says: every request's fate, its event record byte for byte, every register read.
 *
 * The unit is reached as its guest and its devices reach it: registers, memory, requests. Where the
 * recording says that an answer may be stale, the old one is right as well.
 */
import { EVENT_CLASS, EVENT_NUMBER } from "../../assembly/layout/smmuv3-faults.ts";
import { EVENT, EVENT_BYTES } from "../../assembly/layout/smmuv3-queues.ts";
import {
  CMDQ_CONS,
  EVENTQ_CONS,
  EVENTQ_PROD,
  GERROR,
  PAGE_BYTES,
  PAGE0,
  PAGE1,
} from "../../assembly/layout/smmuv3-registers.ts";
import { hex } from "../check.ts";
import type { Outcome } from "../iommu.ts";
import { GuestMemory } from "../memory.ts";
import { type SmmuOptions, Smmuv3 } from "../smmuv3/index.ts";
import { getBits, getField, putBits, setField } from "../structure.ts";
import { SparsePages } from "./pages.ts";
import {
  playScenario,
  type ScenarioTarget,
  type SmmuScenario,
  type SmmuScenarioRequest,
  type SmmuVerdict,
} from "./scenario.ts";
import { emptyReport, type ScenarioReport } from "./scenario-report.ts";

const PROD = PAGE_BYTES + PAGE1.EVENTQ_PROD;
const CONS = PAGE_BYTES + PAGE1.EVENTQ_CONS;
const WORD_BYTES = 8;

/** Plays one SMMUv3 scenario to a new unit. */
export function runSmmuScenario(
  scenario: SmmuScenario,
  options: Omit<SmmuOptions, "ids" | "features"> = {},
): ScenarioReport {
  const run = new SmmuRun(scenario, options);
  playScenario(scenario, run);
  return run.report;
}

class SmmuRun implements ScenarioTarget<SmmuScenarioRequest> {
  readonly report: ScenarioReport = emptyReport();
  readonly #memory: GuestMemory;
  readonly #unit: Smmuv3;
  readonly #events: SmmuScenario["events"];
  /** Event records that this unit wrote more than the recorded machine, which the indexes show. */
  #ahead = 0;
  /** A command error that the recorded machine did not see has happened. */
  #stopped = false;
  readonly #caches: boolean;

  constructor(scenario: SmmuScenario, options: Omit<SmmuOptions, "ids" | "features">) {
    const { ram, idr0, idr1, idr3, idr5 } = scenario;
    const host = new SparsePages();
    this.#caches = (options.caches ?? "none") !== "none";
    this.#events = scenario.events;
    this.#memory = new GuestMemory({ ram: ram.map((range) => ({ ...range, host })) });
    const IIDR = firstRead(scenario, PAGE0.IIDR);
    const AIDR = firstRead(scenario, PAGE0.AIDR);
    const ids = { IDR0: idr0, IDR1: idr1, IDR3: idr3, IDR5: idr5, IIDR, AIDR };
    this.#unit = new Smmuv3(this.#memory, { ...options, ids });
  }

  store(address: bigint, words: readonly bigint[]): void {
    for (const [i, word] of words.entries()) this.#memory.write64(address + BigInt(WORD_BYTES * i), word);
  }

  write(offset: number, bytes: 4 | 8, value: bigint): void {
    this.#unit.mmio.write(offset, bytes, value);
  }

  read(offset: number, bytes: 4 | 8, value: bigint, at: string, corrected: boolean): void {
    const found = this.#unit.mmio.read(offset, bytes);
    this.report.reads++;
    // The recording says so at the command itself; what follows from it is for us to know.
    if (corrected && offset === PAGE0.CMDQ_CONS && getBits(found, CMDQ_CONS.ERR)) this.#stopped = true;
    if (found === value) return;
    const difference = { at, what: "register" as const, expected: hex(value), found: hex(found) };
    const because = this.#permittedRead(offset, value, found);
    if (because !== undefined) {
      this.report.corrected.push({ ...difference, because });
      return;
    }
    this.report.readsDiffer++;
    this.report.differences.push(difference);
  }

  /** Why a register may read otherwise than it was recorded, if it may. */
  #permittedRead(offset: number, recorded: bigint, found: bigint): string | undefined {
    if (found === this.#shifted(offset, recorded)) return "EVENTQ: the recorded machine wrote other records";
    if (this.#stopped && (offset === PAGE0.CMDQ_CONS || offset === PAGE0.GERROR)) {
      return "CMDQ: stopped at an illegal command that the recorded machine took, IHI 0070 7.1";
    }
    if (offset === PAGE0.GERROR && putBits(recorded, GERROR.EVENTQ_ABT_ERR, 0) === found) {
      return "EVENTQ: a full queue is no abort, it toggles EVENTQ_PROD.OVFLG, IHI 0070 7.4";
    }
    return undefined;
  }

  request(request: SmmuScenarioRequest, at: string): void {
    const { sid, address, write, expected, old, unsure } = request;
    const outcome = this.#unit.translate({ sid, address, access: write ? "w" : "r" });
    const records = this.#takeRecords();
    this.#ahead += records.length - request.recordedEvents;
    this.report.requests++;
    if (unsure) {
      this.report.unsure++;
      return;
    }
    const found = show(outcome, records);
    const permitted = old ? [expected, old] : [expected];
    const difference = { at, what: "request" as const, expected: permitted.map(wording).join(" or "), found };
    if (permitted.some((verdict) => wording(verdict) === found)) this.report.agree++;
    else if (permitted.some((verdict) => wording(withTtRnW(verdict)) === found)) {
      this.report.agree++;
      const because = "TTRnW: 1 where reading a descriptor failed, IHI 0070 7.3.12; the recording leaves the field out";
      this.report.corrected.push({ ...difference, because });
    } else if (this.#stopped && this.#caches) {
      this.report.agree++;
      const because = "CMDQ: invalidations behind the illegal command are not executed, so caches may keep what was";
      this.report.corrected.push({ ...difference, because });
    } else {
      this.report.differ++;
      this.report.differences.push(difference);
    }
  }

  /** What an event handler does: read the new records, say so by CONS. */
  #takeRecords(): bigint[][] {
    const { mmio } = this.#unit;
    const span = 2 ** (this.#events.log2Size + 1);
    const prod = Number(getBits(mmio.read(PROD, 4), EVENTQ_PROD.WR));
    const cons = mmio.read(CONS, 4);
    const records: bigint[][] = [];
    for (let index = Number(getBits(cons, EVENTQ_CONS.RD)); index !== prod; index = (index + 1) % span) {
      const at = this.#events.base + BigInt((index % (span / 2)) * EVENT_BYTES);
      const words = EVENT_BYTES / WORD_BYTES;
      records.push(Array.from({ length: words }, (_, i) => this.#memory.read64(at + BigInt(WORD_BYTES * i))));
    }
    if (records.length > 0) mmio.write(CONS, 4, putBits(cons, EVENTQ_CONS.RD, prod));
    return records;
  }

  /** What an index of the event queue reads here, where the recorded machine's read `value`. */
  #shifted(offset: number, value: bigint): bigint | undefined {
    if (offset !== PROD && offset !== CONS) return undefined;
    const span = 2 ** (this.#events.log2Size + 1);
    const index = Number(getBits(value, EVENTQ_PROD.WR)) + this.#ahead;
    return putBits(value, EVENTQ_PROD.WR, ((index % span) + span) % span);
  }
}

/** What software read first from an ID register that the header does not name. */
function firstRead({ ops }: SmmuScenario, register: number): number {
  for (const op of ops) if (op.op === "read" && op.offset === register) return Number(op.value);
  return 0;
}

/** A request's fate in words that can be compared. */
function show(outcome: Outcome, records: readonly bigint[][]): string {
  const written = records.map((words) => `, record ${words.map((word) => hex(word)).join(" ")}`).join("");
  if (outcome.ok) return `ok ${hex(outcome.address)}${written}`;
  return `event ${hex(outcome.code)}${written || ", no record"}`;
}

/** A verdict in the words of `show`. */
function wording({ ok, address, event, recorded }: SmmuVerdict): string {
  if (ok) return `ok ${hex(address ?? 0n)}`;
  const code = event ? getField(event, EVENT.Number) : 0n;
  return `event ${hex(code)}, ${recorded && event ? `record ${event.map((word) => hex(word)).join(" ")}` : "no record"}`;
}

/** The verdict as IHI 0070 has it where the fault is about a right to read a stage 1 descriptor. */
function withTtRnW(verdict: SmmuVerdict): SmmuVerdict {
  const { event } = verdict;
  const isMissing =
    event &&
    getField(event, EVENT.Number) === BigInt(EVENT_NUMBER.F_PERMISSION) &&
    getField(event, EVENT.CLASS) === BigInt(EVENT_CLASS.TT);
  if (!isMissing) return verdict;
  const corrected = [...event];
  setField(corrected, EVENT.TTRnW, 1);
  return { ...verdict, event: corrected };
}
