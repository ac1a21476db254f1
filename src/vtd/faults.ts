/**
 * Primary fault logging: the ring of fault recording registers, overflow, and the fault event.
 *
 * Intel D51397, rev 5.10, "Primary Fault Logging", "Fault Status Register", "Fault Recording Registers".
 */
import { AGAW_BASE_BITS, LEVEL_BITS } from "../../assembly/layout/vtd.ts";
import { REASON } from "../../assembly/layout/vtd-faults.ts";
import { FRCD, FSTS } from "../../assembly/layout/vtd-registers.ts";
import type { RegisterFile } from "../registers.ts";
import { maskOf, putBits } from "../structure.ts";
import type { EventInterrupt } from "./events.ts";
import type { VtdFeatures } from "./features.ts";

/** What the request was, as FRCD.T1 and T2 say it. */
export type FaultType = "write" | "page" | "read" | "atomic";

export interface FaultRecord {
  /** FRCD.FR. */
  reason: number;
  sid: number;
  /** FRCD.FI in place: the page address, or the interrupt index in bits 63:48. */
  information: bigint;
  type: FaultType;
  /** Address type of the request: 0 untranslated, 1 translation, 2 translated. */
  at: number;
  /** Absent: a request without PASID. */
  pasid?: number;
  privileged?: boolean;
  execute?: boolean;
}

/** Status bits that each are a cause of the fault event. PFO counts as one, but raises none. */
const CAUSES = maskOf(FSTS.PFO) | maskOf(FSTS.PPF) | maskOf(FSTS.IQE) | maskOf(FSTS.ICE) | maskOf(FSTS.ITE);

export class FaultLog {
  readonly #registers: RegisterFile;
  readonly #features: Readonly<VtdFeatures>;
  readonly #event: EventInterrupt;
  readonly #informationMask: bigint;
  readonly #compress: boolean;
  /** Names of the fault recording registers. */
  readonly #slots: readonly string[];
  /** Number of the register that the next fault goes to. */
  index = 0;

  /** @param compress drop a fault whose requester has an unread record already (permitted, not required) */
  constructor(registers: RegisterFile, features: Readonly<VtdFeatures>, event: EventInterrupt, compress: boolean) {
    this.#registers = registers;
    this.#features = features;
    this.#event = event;
    this.#compress = compress;
    this.#slots = Array.from({ length: features.NFR + 1 }, (_, i) => `FRCD${i}`);
    // § 11.4.7.6: address bits above the widest table that the unit walks read 0.
    const width = widestAddress(features);
    this.#informationMask = maskOf(FRCD.FI) & ((1n << BigInt(width)) - 1n);
  }

  /** Records a fault that neither FPD nor the kind of request keeps from being recorded. */
  record(fault: FaultRecord): void {
    // § 7.2.1: after an overflow nothing is recorded until software clears it.
    if (this.#registers.has("FSTS", FSTS.PFO)) return;
    // § 7.2.1
    if (this.#compress && this.#hasRecordOf(fault.sid)) return;
    const slot = this.#slots[this.index] as string;
    // § 7.2.1: the slot is still pending. This raises no event by itself.
    if (this.#registers.has(slot, FRCD.F)) {
      this.#registers.setField("FSTS", FSTS.PFO, 1);
      return;
    }
    this.#registers.set(slot, this.#encode(fault));
    const { index } = this;
    this.index = (index + 1) % this.#slots.length;
    // § 7.2.1
    if (!this.#registers.has("FSTS", FSTS.PPF)) {
      this.#registers.setField("FSTS", FSTS.FRI, index);
      this.raise(FSTS.PPF);
    }
  }

  /** Sets a status bit; the first one to come up is an event. */
  raise(field: number): void {
    if (this.#registers.has("FSTS", field)) return;
    const quiet = (this.#registers.get("FSTS") & CAUSES) === 0n;
    this.#registers.setField("FSTS", field, 1);
    if (quiet) this.#event.raise();
  }

  /** Software cleared a record: PPF is set as long as any is pending. */
  recordCleared(): void {
    const pending = this.#slots.some((slot) => this.#registers.has(slot, FRCD.F));
    this.#registers.setField("FSTS", FSTS.PPF, pending);
    this.statusCleared();
  }

  /** Software cleared status bits. */
  statusCleared(): void {
    // § 7.3: with the last cause gone a message not yet sent is not sent any more.
    if ((this.#registers.get("FSTS") & CAUSES) === 0n) this.#event.clear();
  }

  #hasRecordOf(sid: number): boolean {
    return this.#slots.some(
      (slot) => this.#registers.has(slot, FRCD.F) && this.#registers.getField(slot, FRCD.SID) === BigInt(sid),
    );
  }

  #encode({ reason, sid, information, type, at, pasid, privileged, execute }: FaultRecord): bigint {
    const isAddress = !isInterruptReason(reason);
    let record = isAddress ? information & this.#informationMask : information & maskOf(FRCD.FI);
    record = putBits(record, FRCD.SID, sid);
    record = putBits(record, FRCD.FR, reason);
    record = putBits(record, FRCD.T1, type === "read" || type === "atomic");
    record = putBits(record, FRCD.T2, type === "page" || type === "atomic");
    if (this.#features.DT) record = putBits(record, FRCD.AT, at);
    // § 11.4.7.6: PP is for a PASID that the request carried, not for RID_PASID.
    if (pasid !== undefined && this.#features.PASID) {
      record = putBits(record, FRCD.PP, 1);
      record = putBits(record, FRCD.PV, pasid);
      record = putBits(record, FRCD.PRIV, privileged === true);
      record = putBits(record, FRCD.EXE, execute === true && type === "read");
    }
    return putBits(record, FRCD.F, 1);
  }
}

/** Interrupt remapping faults: their information is an index, not an address. */
function isInterruptReason(reason: number): boolean {
  return reason >= REASON.IR_RESERVED_REQUEST && reason <= REASON.IR_DISABLED;
}

/** Widest address that the unit's tables translate. */
function widestAddress({ SAGAW, FSTS: firstStage, FS5LP }: Readonly<VtdFeatures>): number {
  if (SAGAW) return AGAW_BASE_BITS + LEVEL_BITS * (31 - Math.clz32(SAGAW));
  return firstStage && FS5LP ? AGAW_BASE_BITS + 3 * LEVEL_BITS : AGAW_BASE_BITS + 2 * LEVEL_BITS;
}
