/**
 * Queued invalidation: fetching descriptors, stopping at errors, and what each descriptor does.
 *
 * Intel D51397, rev 5.10, "Queued Invalidation Interface". Descriptors run in order and one at a time,
 * which satisfies every ordering rule of the architecture. They run at the tail write, or one by one
 * under the caller's control, so that a test can put DMA between them.
 *
 * A device that does not answer an invalidation is noticed where the architecture waits for it: at the
 * next wait descriptor, which is aborted, or when the queue runs empty.
 */

import { GSTS, RTADDR, TTM } from "../../assembly/layout/vtd-base.ts";
import {
  CC_INV,
  DESCRIPTOR_BYTES,
  HPT_INV,
  IEC_INV,
  INV_WAIT,
  IOTLB_INV,
  LOG2_DESCRIPTORS,
  LOG2_WIDE_DESCRIPTORS,
  P_IOTLB_INV,
  PC_INV,
  TYPE,
  WIDE_DESCRIPTOR_BYTES,
} from "../../assembly/layout/vtd-descriptors.ts";
import { FSTS, ICS, IQ_POINTER, IQA, IQEI, IQERCD } from "../../assembly/layout/vtd-registers.ts";
import { getField, getInPlace } from "../structure.ts";
import { DescriptorSet } from "./descriptors.ts";
import type { DeviceMessages } from "./endpoints.ts";
import type { EventInterrupt } from "./events.ts";
import type { FaultLog } from "./faults.ts";
import type { UnitParts } from "./parts.ts";

/** What one step of the queue did. */
export interface QueueStep {
  /** Offset of the descriptor from the queue's base. */
  offset: number;
  words: readonly bigint[];
  /** Name of the descriptor, or of what is wrong with it. */
  name: string;
  outcome: "done" | "aborted" | "error";
}

const WORD_BYTES = 8;
/**
 * Steps of one run: twice the longest ring. Who gets there feeds the queue from its own interrupts
 * without end; the rest waits for the next register write.
 */
const MAX_STEPS = 2 ** 16;

/** Domain ids have 4 + 2 * ND bits; the bits above are ignored in descriptors. */
export function domainMask(nd: number): number {
  return 2 ** (4 + 2 * nd) - 1;
}

export class InvalidationQueue {
  readonly #parts: UnitParts;
  readonly #faults: FaultLog;
  readonly #completion: EventInterrupt;
  readonly #devices: DeviceMessages;
  readonly #descriptors: DescriptorSet;
  /** Source-ids of devices that have not answered an invalidation. */
  #unanswered: number[] = [];
  #running = false;

  constructor(parts: UnitParts, faults: FaultLog, completion: EventInterrupt, devices: DeviceMessages) {
    this.#parts = parts;
    this.#faults = faults;
    this.#completion = completion;
    this.#devices = devices;
    this.#descriptors = new DescriptorSet(parts.features);
  }

  /** Runs until the queue is empty or stopped by an error; see MAX_STEPS. */
  run(): void {
    // An interrupt handler may write the tail or clear an error: the loop that is running sees it.
    if (this.#running) return;
    this.#running = true;
    try {
      for (let steps = 0; steps < MAX_STEPS && this.step(); steps++);
    } finally {
      this.#running = false;
    }
  }

  /** Runs one descriptor. Undefined when there is none to run: disabled, stopped, or empty. */
  step(): QueueStep | undefined {
    const { registers } = this.#parts;
    if (!this.#isFetching()) return undefined;
    const wide = registers.has("IQA", IQA.DW);
    const tail = Number(registers.getInPlace("IQT", IQ_POINTER.POINTER));
    const bytes = wide ? WIDE_DESCRIPTOR_BYTES : DESCRIPTOR_BYTES;
    const log2Entries = Number(registers.getField("IQA", IQA.QS)) + (wide ? LOG2_WIDE_DESCRIPTORS : LOG2_DESCRIPTORS);
    const size = 2 ** log2Entries * bytes;
    // A guest that changes IQA under way finds its head within the new queue, on a descriptor.
    const left = Number(registers.getInPlace("IQH", IQ_POINTER.POINTER)) % size;
    const head = left - (left % bytes);
    // § 6.5.2.11: tail beyond the queue, then tail alignment, come before anything is fetched.
    if (tail >= size) return this.#stop(head, [], IQEI.INVALID_TAIL);
    if (wide && registers.has("IQT", IQ_POINTER.ODD)) return this.#stop(head, [], IQEI.TAIL_ALIGNMENT);
    if (head === tail) return this.#settle(head);
    const error = this.#modeError(wide);
    if (error !== undefined) return this.#stop(head, [], error);
    const words = this.#parts.bus.readWords(registers.getInPlace("IQA", IQA.IQA) + BigInt(head), bytes / WORD_BYTES);
    if (!words) return this.#stop(head, [], IQEI.FETCH);
    const kind = this.#descriptors.classify(words, wide, this.#ttm() === TTM.LEGACY);
    if (typeof kind === "number") return this.#stop(head, words, kind);
    registers.set("IQH", BigInt((head + bytes) % size));
    const outcome = this.#execute(kind.type, words) ? "done" : "aborted";
    return { offset: head, words, name: kind.name, outcome };
  }

  /** The queue was disabled: it starts over at 0 when enabled. */
  disable(): void {
    this.#parts.registers.set("IQH", 0n);
    this.#unanswered = [];
  }

  /** Software wrote ICS. */
  statusWritten(): void {
    // § 6.5.2.10: with IWC cleared a message not yet sent is not sent any more.
    if (!this.#parts.registers.has("ICS", ICS.IWC)) this.#completion.clear();
  }

  /** Software cleared FSTS bits. */
  errorsCleared(): void {
    const { registers } = this.#parts;
    // § 6.5.2.11: each code means something only while its status bit is set.
    if (this.#parts.features.QI && !registers.has("FSTS", FSTS.IQE))
      registers.setField("IQERCD", IQERCD.IQEI, IQEI.NONE);
  }

  snapshot(): number[] {
    return [...this.#unanswered];
  }

  restore(unanswered: readonly number[]): void {
    this.#unanswered = [...unanswered];
  }

  /** § 6.5.2: enabled, and neither IQE nor ITE stands. */
  #isFetching(): boolean {
    const { registers } = this.#parts;
    return registers.has("GSTS", GSTS.QIES) && !registers.has("FSTS", FSTS.IQE) && !registers.has("FSTS", FSTS.ITE);
  }

  #ttm(): TTM {
    return Number(getField([this.#parts.latched.rtaddr], RTADDR.TTM));
  }

  /** What the latched mode and the descriptor width have against each other. */
  #modeError(wide: boolean): IQEI | undefined {
    const { features } = this.#parts;
    const ttm = this.#ttm();
    if (ttm === TTM.RESERVED) return IQEI.TTM;
    if (ttm === TTM.SCALABLE && !features.SMTS) return IQEI.TTM;
    if (ttm === TTM.ABORT_DMA && !features.ADMS) return IQEI.TTM;
    if (ttm !== TTM.LEGACY && !wide) return IQEI.WIDTH;
    return undefined;
  }

  #stop(offset: number, words: readonly bigint[], code: IQEI): QueueStep {
    this.#parts.registers.setField("IQERCD", IQERCD.IQEI, code);
    this.#faults.raise(FSTS.IQE);
    return { offset, words, name: IQEI[code], outcome: "error" };
  }

  /** The queue is empty: devices that did not answer have timed out by now. */
  #settle(offset: number): QueueStep | undefined {
    return this.#timeOut() ? { offset, words: [], name: "time-out", outcome: "aborted" } : undefined;
  }

  #timeOut(): boolean {
    const [first] = this.#unanswered;
    if (first === undefined) return false;
    this.#unanswered = [];
    // § 6.5.2.11: the first error is kept.
    this.#parts.registers.setField("IQERCD", IQERCD.ITESID, first);
    this.#faults.raise(FSTS.ITE);
    return true;
  }

  /** False when the descriptor was aborted. */
  #execute(type: TYPE, words: readonly bigint[]): boolean {
    const { caches, features } = this.#parts;
    const number = (field: number) => Number(getField(words, field));
    const domain = (field: number) => number(field) & domainMask(features.ND);
    switch (type) {
      case TYPE.CC_INV:
        caches.invalidateContext(
          number(CC_INV.G),
          domain(CC_INV.DID),
          number(CC_INV.SID),
          number(CC_INV.FM),
          this.#ttm() === TTM.LEGACY,
        );
        return true;
      case TYPE.PC_INV:
        caches.invalidatePasid(number(PC_INV.G), domain(PC_INV.DID), number(PC_INV.PASID));
        return true;
      case TYPE.IOTLB_INV: {
        const address = this.#guestAddress(getInPlace(words, IOTLB_INV.ADDR));
        const hint = number(IOTLB_INV.IH) === 1;
        caches.invalidateIotlb(number(IOTLB_INV.G), domain(IOTLB_INV.DID), address, number(IOTLB_INV.AM), hint);
        return true;
      }
      case TYPE.P_IOTLB_INV:
        caches.invalidatePasidIotlb(
          number(P_IOTLB_INV.G),
          domain(P_IOTLB_INV.DID),
          number(P_IOTLB_INV.PASID),
          getInPlace(words, P_IOTLB_INV.ADDR),
          number(P_IOTLB_INV.AM),
          number(P_IOTLB_INV.IH) === 1,
        );
        return true;
      case TYPE.HPT_INV: {
        const address = getInPlace(words, HPT_INV.ADDR);
        caches.invalidateHpt(
          number(HPT_INV.G),
          domain(HPT_INV.HPTDID),
          address,
          number(HPT_INV.AM),
          number(HPT_INV.IH),
        );
        return true;
      }
      case TYPE.IEC_INV:
        if (number(IEC_INV.G)) caches.invalidateInterrupts(number(IEC_INV.IIDX), number(IEC_INV.IM));
        else caches.invalidateInterrupts();
        return true;
      case TYPE.INV_WAIT:
        return this.#wait(words);
      default:
        return this.#toDevice(type, words);
    }
  }

  /** Commands that leave for a device. */
  #toDevice(type: TYPE, words: readonly bigint[]): boolean {
    if (type === TYPE.PAGE_GRP_RESP) {
      this.#devices.respond(words);
      return true;
    }
    const sid = this.#devices.invalidate(type, words, this.#parts.features.DIT !== 0);
    if (sid !== undefined) this.#unanswered.push(sid);
    return true;
  }

  /** Everything before it is complete: status write, then the completion event. */
  #wait(words: readonly bigint[]): boolean {
    // § 6.5.2.11: a time-out aborts the waits that are pending; their completion is never told.
    if (this.#timeOut()) return false;
    if (getField(words, INV_WAIT.SW)) {
      // § 6.5.2.9: where the status goes nowhere, the architecture leaves the outcome open; it is lost.
      this.#parts.bus.write32(getInPlace(words, INV_WAIT.STATUS_ADDR), Number(getField(words, INV_WAIT.STATUS_DATA)));
    }
    const { registers } = this.#parts;
    // § 6.5.2.10: with IWC set already there is no new event.
    if (getField(words, INV_WAIT.IF) && !registers.has("ICS", ICS.IWC)) {
      registers.setField("ICS", ICS.IWC, 1);
      this.#completion.raise();
    }
    return true;
  }

  /** § 6.5.2.9: address bits beyond the guest address width are ignored. */
  #guestAddress(address: bigint): bigint {
    return address & ((1n << BigInt(this.#parts.features.MGAW + 1)) - 1n);
  }
}
