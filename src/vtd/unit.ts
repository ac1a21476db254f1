/**
 * VtdUnit: one VT-d remapping unit over guest memory, as drivers and devices see it.
 *
 * Intel D51397, rev 5.10. The guest reaches it through registers (`mmio`), memory and what its devices
 * do; nothing a guest does makes it throw. Errors are for its host: RangeError and TypeError.
 */

import { RESULT_FLAG } from "../../assembly/layout/core.ts";
import { FSTS, IQERCD } from "../../assembly/layout/vtd-registers.ts";
import { Bus } from "../bus.ts";
import { checkBigInt, checkInteger, checkOneOf } from "../check.ts";
import type { PageRequest } from "../endpoint.ts";
import { type Fault, type InterruptSink, type Outcome, type Request, silentFault, type Trace } from "../iommu.ts";
import type { GuestMemory } from "../memory.ts";
import type { RegisterFragment, ResetKind } from "../registers.ts";
import type { Snapshot } from "../snapshot.ts";
import type { ShareOptions, WalkerHandle } from "../workers/handle.ts";
import { VtdBatch } from "./batch.ts";
import type { VtdCachePolicy } from "./caches.ts";
import { VTD_PRESETS, type VtdCapabilities } from "./capabilities.ts";
import { describeUnit } from "./describe.ts";
import { VtdDevice } from "./device.ts";
import type { FaultRecord } from "./faults.ts";
import { VtdHardware } from "./hardware.ts";
import type { InterruptOutcome } from "./interrupts.ts";
import type { PageRequestOutcome } from "./page-requests.ts";
import { NO_CACHES } from "./parts.ts";
import type { QueueStep } from "./queue.ts";
import { faultOfRequest, walkPageRequest } from "./requests.ts";
import { restoreUnit, saveUnit } from "./state.ts";
import { MAX_SOURCE_ID, VtdWalker } from "./walker.ts";

export interface VtdUnitOptions {
  /** What the unit can do; `VTD_PRESETS.widest` unless told. */
  capabilities?: VtdCapabilities;
  /** Takes the unit's events, and the interrupts that it remaps or passes on. */
  onInterrupt?: InterruptSink;
  /**
   * When invalidation descriptors run: at the write that makes them runnable ("immediate", unless
   * told), or one at each call of `step` ("stepped").
   */
  queue?: "immediate" | "stepped";
  /** What the unit caches; nothing unless told. */
  caches?: VtdCachePolicy;
  /** Drop a fault whose requester has an unread record already; permitted to hardware, off unless told. */
  compressFaults?: boolean;
  /** Registers behind ECAP.VCS. */
  virtualCommands?: RegisterFragment;
}

/** Guest-facing registers. */
export interface VtdMmio {
  /** Size of the register block in bytes. */
  readonly bytes: number;
  /** What the guest reads: `bytes` is 4 or 8. Any other size, misaligned, or no register: 0. */
  read(offset: number, bytes: number): bigint;
  /** What the guest writes; ignored where `read` gives 0 for its size or place. */
  write(offset: number, bytes: number, value: bigint): void;
}

const QUEUE_MODES = ["immediate", "stepped"] as const;
/** Largest values of 20-bit PASIDs, 9-bit page request groups and 8-bit fault reasons. */
const MAX_PASID = 2 ** 20 - 1;
const MAX_GROUP = 2 ** 9 - 1;
const MAX_REASON = 2 ** 8 - 1;
const U64 = 0xffff_ffff_ffff_ffffn;

export class VtdUnit {
  readonly capabilities: VtdCapabilities;
  readonly mmio: VtdMmio;
  /** Takes the unit's events and interrupts; may be replaced at any time. */
  onInterrupt: InterruptSink;
  readonly #walker: VtdWalker;
  readonly #hardware: VtdHardware;
  readonly #bus: Bus;
  readonly #memory: GuestMemory;
  readonly #attached = new Map<number, VtdDevice>();

  /**
   * @throws RangeError when registers overlap, memory's workspace is too small, or ECAP.VCS and
   *   `virtualCommands` do not go together
   */
  constructor(memory: GuestMemory, options: VtdUnitOptions = {}) {
    const { capabilities = VTD_PRESETS.widest, virtualCommands, queue = "immediate" } = options;
    checkOneOf("queue", queue, QUEUE_MODES);
    if ((capabilities.features.VCS !== 0) !== (virtualCommands !== undefined)) {
      throw new RangeError("virtualCommands: needed when ECAP.VCS is 1, and only then");
    }
    this.capabilities = capabilities;
    this.onInterrupt = options.onInterrupt ?? (() => {});
    this.#bus = new Bus(memory);
    this.#memory = memory;
    const { cap, ecap, ver } = capabilities.effective;
    const state = { cap, ecap, version: Number(ver), haw: capabilities.haw };
    this.#walker = new VtdWalker(memory, { ...state, rtaddr: 0n, translationEnabled: false }, options.caches);
    this.#hardware = new VtdHardware({
      capabilities,
      queue,
      compressFaults: options.compressFaults ?? false,
      fragments: virtualCommands ? [virtualCommands] : [],
      bus: this.#bus,
      caches: this.#walker.caches ?? NO_CACHES,
      interrupt: (address, data) => this.onInterrupt(address, data),
      protect: ({ inForce }) => this.#walker.protect(inForce.regions, inForce.always),
      reconfigure: () => {
        const { translates, remapsInterrupts, parts } = this.#hardware;
        const { rtaddr } = parts.latched;
        this.#walker.configure({
          ...state,
          rtaddr,
          translationEnabled: translates,
          interruptRemapping: remapsInterrupts,
        });
      },
    });
    const { registers } = this.#hardware;
    this.mmio = {
      bytes: registers.bytes,
      read: (offset, bytes) => registers.read(offset, bytes),
      write: (offset, bytes, value) => {
        checkBigInt("value", value, 0n, U64);
        memory.exclusively(() => registers.write(offset, bytes, value));
      },
    };
    this.#hardware.reset("cold");
  }

  /**
   * Decides one request of a device, and records its fault if it has one. A `probe` leaves no mark:
   * neither accessed and dirty bits nor a record. Interrupts are decided by `interrupt`.
   * @throws RangeError, TypeError for a malformed request, naming its member
   */
  translate(request: Request): Outcome {
    const outcome = this.#walker.translate(request);
    if (!outcome.ok) {
      if (outcome.recorded && !request.probe) this.#hardware.faults.record(faultOfRequest(outcome.code, request));
      return outcome;
    }
    const asIs = outcome.bypass || request.type === "translated";
    const blocked =
      outcome.answer === "success" && request.type !== "translation" && this.#isProtected(outcome.address, asIs);
    return blocked ? PROTECTED : outcome;
  }

  /** Decides requests one after the other. For speed see `batch`. */
  translateMany(requests: readonly Request[]): Outcome[] {
    return requests.map((request) => this.translate(request));
  }

  /** Arrays in linear memory for up to `capacity` requests and results, decided in one call. */
  batch(capacity: number): VtdBatch {
    return new VtdBatch(this.#walker.batch(capacity), this.#memory.core, this.#hardware);
  }

  /**
   * Walkers for `count` more worker threads: post them, and attach there with `attachVtdWalker` of
   * `iommulator/workers`. They go by this unit's registers; what a command or a register write is over with is
   * over in all of them. Faults that a worker returns are not recorded: `AttachedWalker` says how they get here.
   * @throws RangeError when the memory was made without `shared`, is served by the host in part, or has no
   *   room left
   */
  share(count: number, options?: ShareOptions): WalkerHandle[] {
    return this.#walker.share(count, options);
  }

  /** Takes a worker off that has ended, or is stuck; see `VtdWalker.detach`. @throws RangeError when there is none */
  detach(index: number): void {
    this.#walker.detach(index);
  }

  /** Decides a request and reports every entry read and check made; records no fault. */
  trace(request: Request): Trace {
    return this.#walker.trace(request);
  }

  /** Decides an interrupt request of a device, a write of the dword `data` to FEEx_xxxxh, and delivers it. */
  interrupt(sid: number, address: bigint, data: number): InterruptOutcome {
    checkInteger("sid", sid, 0, MAX_SOURCE_ID);
    checkBigInt("address", address, 0n, U64);
    checkInteger("data", data, 0, 0xffff_ffff);
    const outcome = this.#hardware.interrupts.request(sid, address, data);
    if (outcome.ok) this.onInterrupt(outcome.address, outcome.data);
    return outcome;
  }

  /** Takes a page request message of a device. */
  requestPage(request: PageRequest): PageRequestOutcome {
    checkPageRequest(request);
    return walkPageRequest(this.#walker, this.#hardware, request);
  }

  /**
   * Takes an invalidation completion that no invalidation asked for: FSTS.ICE. Completions that were
   * asked for are what a device's `onInvalidate` returns.
   */
  unexpectedCompletion(sid: number): void {
    checkInteger("sid", sid, 0, MAX_SOURCE_ID);
    const { registers, faults, parts, translates } = this.#hardware;
    // § 4.2.3: without translation there is nothing that could complete.
    if (!translates || !parts.features.DT) return;
    // § 6.5.2.11: the first error is kept.
    if (!registers.has("FSTS", FSTS.ICE)) registers.setField("IQERCD", IQERCD.ICESID, sid);
    faults.raise(FSTS.ICE);
  }

  /**
   * Records a fault that no request made: for testing a driver's fault handling, and for replaying
   * what another unit reported. Overflow and events are as for any fault.
   */
  injectFault(fault: FaultRecord): void {
    checkInteger("sid", fault.sid, 0, MAX_SOURCE_ID);
    checkInteger("reason", fault.reason, 0, MAX_REASON);
    checkInteger("pasid", fault.pasid ?? 0, 0, MAX_PASID);
    checkBigInt("information", fault.information, 0n, U64);
    this.#hardware.faults.record(fault);
  }

  /** Queues a page request as if its way to the PASID entry were sound; see `injectFault`. */
  injectPageRequest(request: PageRequest): PageRequestOutcome {
    checkPageRequest(request);
    return this.#hardware.pageRequests.submit(request);
  }

  /** The device with this source-id: DMA, ATS and page requests. From now on it answers invalidations. */
  device(sid: number): VtdDevice {
    checkInteger("sid", sid, 0, MAX_SOURCE_ID);
    const present = this.#attached.get(sid);
    if (present) return present;
    const device = new VtdDevice(
      {
        bus: this.#bus,
        translate: (request) => this.translate(request),
        untranslatedOnly: () => (this.#walker.result.flags & RESULT_FLAG.UNTRANSLATED_ONLY) !== 0,
        interrupt: (...args) => this.interrupt(...args),
        requestPage: (request) => this.requestPage(request),
      },
      sid,
    );
    this.#attached.set(sid, device);
    this.#hardware.devices.attach(sid, device);
    return device;
  }

  /** Takes a device away: it answers no invalidation any more. */
  removeDevice(sid: number): void {
    this.#attached.delete(sid);
    this.#hardware.devices.detach(sid);
  }

  /** Runs one invalidation descriptor; undefined when there is none to run. */
  step(): QueueStep | undefined {
    return this.#memory.exclusively(() => this.#hardware.queue.step());
  }

  /** "cold": power-good reset. "warm": what the architecture calls sticky survives. */
  reset(kind: ResetKind): void {
    checkOneOf("kind", kind, ["cold", "warm"]);
    this.#memory.exclusively(() => this.#hardware.reset(kind));
  }

  /**
   * Registers, latched pointers and everything else that is observable, as plain JSON. Guest memory and
   * devices are not in it. Nor are caches: entries may vanish at any time, so a restored unit starts without.
   */
  snapshot(): Snapshot {
    return saveUnit(this.#hardware);
  }

  /** @throws TypeError, RangeError, and changes nothing, for a snapshot that is torn or of another configuration */
  restore(snapshot: Snapshot): void {
    this.#memory.exclusively(() => restoreUnit(this.#hardware, snapshot));
  }

  /** What the unit is and does, and every register with its fields, as text for people. */
  describe(): string {
    return describeUnit(this.capabilities, this.#hardware);
  }

  #isProtected(address: bigint, asIs: boolean): boolean {
    const { protectedMemory } = this.#hardware;
    return protectedMemory.isOn && protectedMemory.blocks(address, asIs);
  }
}

function checkPageRequest({ sid, pasid, address, group }: PageRequest): void {
  checkInteger("sid", sid, 0, MAX_SOURCE_ID);
  checkInteger("pasid", pasid ?? 0, 0, MAX_PASID);
  checkBigInt("address", address, 0n, U64);
  checkInteger("group", group ?? 0, 0, MAX_GROUP);
}

/** § 11.4.8: an access to a protected region is blocked silently. */
const PROTECTED: Fault = silentFault("ur", "PMR");
