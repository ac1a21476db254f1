/**
 * Smmuv3: one SMMU over guest memory, as its driver and its devices see it. Arm IHI 0070, SMMUv3.0 to
 * v3.3, Non-secure programming interface.
 *
 * The guest reaches it through registers (`mmio`), memory, and what its devices do; nothing a guest
 * does makes it throw. Errors are for its host: RangeError and TypeError.
 */

import { STE } from "../../assembly/layout/smmuv3.ts";
import { EVENT_NUMBER } from "../../assembly/layout/smmuv3-faults.ts";
import { Bus } from "../bus.ts";
import { checkBigInt, checkInteger, checkOneOf } from "../check.ts";
import type { PageRequest } from "../endpoint.ts";
import type { Fault, InterruptSink, Outcome, Request, Trace } from "../iommu.ts";
import type { GuestMemory } from "../memory.ts";
import type { ResetKind } from "../registers.ts";
import type { Snapshot } from "../snapshot.ts";
import { getField } from "../structure.ts";
import type { ShareOptions, WalkerHandle } from "../workers/handle.ts";
import { SmmuBatch } from "./batch.ts";
import type { SmmuCachePolicy } from "./caches.ts";
import { describeUnit } from "./describe.ts";
import { SmmuDevice } from "./device.ts";
import type { SmmuEvent } from "./event-record.ts";
import type { EventSink } from "./events.ts";
import { eventOf } from "./fault-event.ts";
import { featuresFromIds, type IdRegisters, type SmmuFeatures, smmuFeatures } from "./features.ts";
import { SmmuHardware, type WorkMode } from "./hardware.ts";
import type { LineSink } from "./interrupts.ts";
import { NO_CACHES } from "./invalidation.ts";
import type { PageRequestOutcome } from "./pri.ts";
import type { CommandSink, CommandStep } from "./queue.ts";
import { unalias } from "./registers.ts";
import type { Attempt } from "./stalls.ts";
import { restoreUnit, saveUnit } from "./state.ts";
import { SmmuWalker } from "./walker.ts";

export interface SmmuOptions {
  /** From `smmuFeatures` or SMMU_PRESETS; `smmuFeatures()` unless told. */
  features?: Readonly<SmmuFeatures>;
  /** ID registers of a machine to be like, instead of `features`. */
  ids?: IdRegisters;
  /** Takes MSIs to addresses that are no RAM. Without it they abort. */
  onInterrupt?: InterruptSink;
  /**
   * When commands are executed: at the write that makes them ready ("immediate", unless told), or one at
   * each call of `step` ("stepped").
   */
  queue?: WorkMode;
  /** When CR0, IRQ_CTRL and GBPA take effect: at the write ("immediate", unless told), or at `acknowledge`. */
  updates?: WorkMode;
  /** What the SMMU caches; nothing unless told. */
  caches?: SmmuCachePolicy;
}

/** Guest-facing registers: pages 0 and 1, offsets from page 0. */
export interface SmmuMmio {
  /** Size of both pages in bytes. */
  readonly bytes: number;
  /** What the guest reads: `bytes` is 4 or 8. Any other size, misaligned, or no register: 0. */
  read(offset: number, bytes: number): bigint;
  /** What the guest writes; ignored where `read` gives 0 for its size or place. */
  write(offset: number, bytes: number, value: bigint): void;
}

/** A fault; when it stalls the transaction, the number to know it by. */
export type SmmuFault = Fault & { transaction?: number };
export type SmmuOutcome = Exclude<Outcome, Fault> | SmmuFault;

/** Hears of a stalled transaction that came to its end. */
export type ResumeSink = (transaction: number, request: Request, outcome: SmmuOutcome) => void;

/** Until the registers say otherwise. */
const OFF = { idr0: 0, idr1: 0, idr5: 0, cr0: 0, strtabBase: 0n, strtabBaseCfg: 0 };
const MODES = ["immediate", "stepped"] as const;
const MAX_SID = 2 ** 32 - 1;
/** Requests that `translateMany` decides at a time. */
const MANY = 64;
const U64 = 0xffff_ffff_ffff_ffffn;

export class Smmuv3 {
  readonly features: Readonly<SmmuFeatures>;
  readonly mmio: SmmuMmio;
  /** Takes MSIs to addresses that are no RAM; may be replaced at any time. */
  onInterrupt: InterruptSink | undefined;
  /** Hears pulses of the wired interrupt outputs. */
  onLine: LineSink | undefined;
  /** Hears of every event record that was written. */
  onEvent: EventSink | undefined;
  /** Hears of every command that was consumed. */
  onCommand: CommandSink | undefined;
  /** Hears of every stalled transaction that came to its end. */
  onResume: ResumeSink | undefined;
  readonly #memory: GuestMemory;
  readonly #bus: Bus;
  readonly #walker: SmmuWalker;
  readonly #hardware: SmmuHardware;
  readonly #devices = new Map<number, SmmuDevice>();
  /** Those of `translateMany` that are not in use. */
  readonly #batches: SmmuBatch[] = [];
  /** Transfers that wait for a stalled transaction, by its number. */
  readonly #waiting = new Map<number, (outcome: SmmuOutcome) => void>();

  /** @throws RangeError when `ids` contradict each other, or when the workspace of `memory` has no room */
  constructor(memory: GuestMemory, options: SmmuOptions = {}) {
    const { queue = "immediate", updates = "immediate", ids } = options;
    const features = ids ? featuresFromIds(ids) : (options.features ?? smmuFeatures());
    this.features = features;
    this.onInterrupt = options.onInterrupt;
    this.#memory = memory;
    this.#bus = new Bus(memory);
    this.#walker = new SmmuWalker(memory, OFF, options.caches);
    this.#hardware = new SmmuHardware({
      features,
      queue: checkOneOf("queue", queue, MODES),
      updates: checkOneOf("updates", updates, MODES),
      memory,
      bus: this.#bus,
      caches: this.#walker.caches ?? NO_CACHES,
      configure: (state) => this.#walker.configure(state),
      retry: (request) => this.#attempt(request),
      pasidRequired: (sid) => this.#pasidRequired(sid),
      onMessage: (address, data) => {
        this.onInterrupt?.(address, data);
        return this.onInterrupt !== undefined;
      },
      onLine: (line) => this.onLine?.(line),
      onEvent: (event, words) => this.onEvent?.(event, words),
      onCommand: (command) => this.onCommand?.(command),
      onFinish: (transaction, request, outcome) => this.#finish(transaction, request, outcome),
    });
    this.#hardware.configure();
    const { registers } = this.#hardware;
    this.mmio = {
      bytes: registers.bytes,
      read: (offset, bytes) => registers.read(unalias(offset), bytes),
      write: (offset, bytes, value) => {
        checkBigInt("value", value, 0n, U64);
        memory.exclusively(() => registers.write(unalias(offset), bytes, value));
      },
    };
  }

  /**
   * Decides one request of a device; records its event, and holds it if it stalls. Software that answers
   * the event from within its interrupt makes this return how the transaction ended. A `probe` leaves no
   * mark: neither access flags nor dirty state, no event, no stall.
   * @throws RangeError, TypeError for a malformed request, naming its member
   */
  translate(request: Request): SmmuOutcome {
    const outcome = this.#walker.translate(request);
    return outcome.ok ? outcome : this.#fault(request, outcome, this.#walker.result.ptr);
  }

  /**
   * Decides requests as `translate` does one after the other, but 64 at a time before the events of these
   * are recorded: what software does in answer to an event comes after them. For speed see `batch`.
   */
  translateMany(requests: readonly Request[]): SmmuOutcome[] {
    // Who hears of an event may come here again.
    const batch = this.#batches.pop() ?? this.batch(MANY);
    const outcomes: SmmuOutcome[] = [];
    try {
      for (let i = 0; i < requests.length; i += MANY) outcomes.push(...batch.decide(requests.slice(i, i + MANY)));
    } finally {
      this.#batches.push(batch);
    }
    return outcomes;
  }

  /** Arrays in linear memory for up to `capacity` requests and results, decided in one call. */
  batch(capacity: number): SmmuBatch {
    const record = (request: Request, fault: Fault, result: number): SmmuOutcome => this.#fault(request, fault, result);
    return new SmmuBatch(this.#walker.batch(capacity), this.#memory.core, record);
  }

  /**
   * Walkers for `count` more worker threads: post them, and attach there with `attachSmmuWalker` of
   * `iommulator/workers`. They go by this unit's registers; what a command or a register write is over with is
   * over in all of them. Faults that a worker returns are not recorded: `AttachedWalker` says how they get here.
   * @throws RangeError when the memory was made without `shared`, is served by the host in part, or has no
   *   room left
   */
  share(count: number, options?: ShareOptions): WalkerHandle[] {
    return this.#walker.share(count, options);
  }

  /** Takes a worker off that has ended, or is stuck; see `SmmuWalker.detach`. @throws RangeError when there is none */
  detach(index: number): void {
    this.#walker.detach(index);
  }

  /** Decides a request and reports every entry read and check made; records no event, stalls nothing. */
  trace(request: Request): Trace {
    return this.#walker.trace(request);
  }

  /** The device with this StreamID: DMA, ATS and page requests. From now on it answers invalidations. */
  device(sid: number): SmmuDevice {
    checkInteger("sid", sid, 0, MAX_SID);
    const present = this.#devices.get(sid);
    if (present) return present;
    const device = new SmmuDevice(
      {
        bus: this.#bus,
        translate: (request) => this.translate(request),
        whenResumed: (transaction, resumed) => this.#waiting.set(transaction, resumed),
        requestPage: (request) => this.requestPage(request),
      },
      sid,
    );
    this.#devices.set(sid, device);
    this.#hardware.ats.attach(sid, device);
    return device;
  }

  /** Takes a device away: it answers no invalidation any more. */
  removeDevice(sid: number): void {
    this.#devices.delete(sid);
    this.#hardware.ats.detach(sid);
  }

  /** Takes a page request message of a device. */
  requestPage(request: PageRequest): PageRequestOutcome {
    checkInteger("sid", request.sid, 0, MAX_SID);
    checkBigInt("address", request.address, 0n, U64);
    checkInteger("pasid", request.pasid ?? 0, 0, 0xfffff);
    checkInteger("group", request.group ?? 0, 0, 0x1ff);
    return this.#hardware.pri.receive(request);
  }

  /**
   * Records an event that no walk finds: what the bus does not support (F_UUT), hints (E_PAGE_REQUEST),
   * conflicts in a cache (F_TLB_CONFLICT, F_CFG_CONFLICT), MPAM (F_VMS_FETCH).
   * @returns whether it was written
   * @throws RangeError for a number that is no event, or a value that its field cannot hold
   */
  injectEvent(event: SmmuEvent): boolean {
    return this.#hardware.events.inject(event);
  }

  /** Transactions that are stalled. */
  get stalled(): number {
    return this.#hardware.stalls.count;
  }

  /** Executes one command; undefined when there is none to execute. */
  step(): CommandStep | undefined {
    return this.#memory.exclusively(() => this.#hardware.commands.step());
  }

  /** Brings CR0, IRQ_CTRL and GBPA into effect. @returns whether there was anything to do */
  acknowledge(): boolean {
    const isDue = this.#hardware.isUpdateDue;
    if (isDue) this.#memory.exclusively(() => this.#hardware.acknowledge());
    return isDue;
  }

  /** An SMMU has one reset. Stalled transactions are aborted, devices stay. */
  reset(kind: ResetKind = "cold"): void {
    checkOneOf("kind", kind, ["cold", "warm"]);
    this.#memory.exclusively(() => this.#hardware.reset());
  }

  /**
   * Registers, stalled transactions and everything else that is observable, as plain JSON. Guest memory
   * and devices are not in it; nor are caches: entries may vanish at any time.
   */
  snapshot(): Snapshot {
    return saveUnit(this.#hardware);
  }

  /**
   * Transfers of devices that were stalled end up with `onResume` only.
   * @throws TypeError, RangeError, and changes nothing, for a snapshot that is torn or of another configuration
   */
  restore(snapshot: Snapshot): void {
    this.#memory.exclusively(() => restoreUnit(this.#hardware, snapshot));
    this.#waiting.clear();
  }

  /** What the unit is and does, and every register with its fields, as text for people. */
  describe(): string {
    return describeUnit(this.#hardware);
  }

  #fault(request: Request, fault: Fault, result: number): SmmuOutcome {
    const attempt = this.#judge(request, fault, result);
    if ("outcome" in attempt) return attempt.outcome;
    const holding = this.#hardware.stalls.hold(request, attempt.stall);
    return "outcome" in holding ? holding.outcome : { ...fault, transaction: holding.transaction };
  }

  #attempt(request: Request): Attempt {
    const outcome = this.#walker.translate(request);
    return outcome.ok ? { outcome } : this.#judge(request, outcome, this.#walker.result.ptr);
  }

  /** Records the event of a fault that ends the transaction; hands back that of a stall. */
  #judge(request: Request, fault: Fault, result: number): Attempt {
    if (request.probe || !fault.recorded) return { outcome: fault };
    const mayWrite = (atomic: Request): boolean => this.#walker.translate({ ...atomic, access: "w", probe: true }).ok;
    const event = eventOf(request, fault, this.#memory.core, result, mayWrite);
    if (fault.answer === "stall") return { stall: event };
    this.#hardware.events.record(event);
    return { outcome: fault };
  }

  #finish(transaction: number, request: Request, outcome: SmmuOutcome): void {
    const resumed = this.#waiting.get(transaction);
    this.#waiting.delete(transaction);
    resumed?.(outcome);
    this.onResume?.(transaction, request, outcome);
  }

  #pasidRequired(sid: number): boolean | undefined {
    const { outcome, steps } = this.#walker.trace({ sid, address: 0n, type: "translation", probe: true });
    if (!outcome.ok && NO_STE.has(outcome.code)) {
      const { code, recorded, fetchAddress } = outcome;
      if (recorded) this.#hardware.events.record({ number: code, StreamID: sid, FetchAddr: fetchAddress });
      return undefined;
    }
    const ste = steps.find(({ structure }) => structure === "STE");
    return ste && getField(ste.words, STE.PPAR) === 1n;
  }
}

/** Events that say that there is no valid STE. */
const NO_STE: ReadonlySet<number> = new Set([
  EVENT_NUMBER.C_BAD_STREAMID,
  EVENT_NUMBER.F_STE_FETCH,
  EVENT_NUMBER.C_BAD_STE,
]);
