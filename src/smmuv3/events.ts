/**
 * The event queue: Arm IHI 0070 7.2 and 7.4.
 *
 * An event that finds no room is lost, and that it is lost is told by OVFLG. The event of a stalled
 * transaction is never lost: whoever holds the transaction tries again when there is room.
 */
import { CR0, EVENTQ_CONS, EVENTQ_PROD, GERROR } from "../../assembly/layout/smmuv3-registers.ts";
import type { Bus } from "../bus.ts";
import { encodeEvent, type SmmuEvent } from "./event-record.ts";
import type { Interrupts } from "./interrupts.ts";
import type { SmmuRegisters } from "./registers.ts";
import type { Ring } from "./ring.ts";

/** Hears every event that was written to the queue, and its four words. */
export type EventSink = (event: SmmuEvent, words: readonly bigint[]) => void;

export class EventQueue {
  readonly #registers: SmmuRegisters;
  readonly #ring: Ring;
  readonly #bus: Bus;
  readonly #interrupts: Interrupts;
  readonly #written: EventSink;

  constructor(registers: SmmuRegisters, ring: Ring, bus: Bus, interrupts: Interrupts, written: EventSink) {
    this.#registers = registers;
    this.#ring = ring;
    this.#bus = bus;
    this.#interrupts = interrupts;
    this.#written = written;
  }

  /** § 7.2.1: enabled, not full, and no abort that software has not acknowledged. */
  get isWritable(): boolean {
    return this.#accepts && !this.#ring.isFull;
  }

  get #accepts(): boolean {
    return this.#registers.has("CR0ACK", CR0.EVENTQEN) && !this.#interrupts.isActive(GERROR.EVENTQ_ABT_ERR);
  }

  /** The same for an event that the host makes up. @throws RangeError when a value does not fit its field */
  inject(event: SmmuEvent): boolean {
    encodeEvent(event);
    return this.record(event);
  }

  /** Writes a record; false: it is lost (`event.Stall`: not written yet). */
  record(event: SmmuEvent): boolean {
    if (!this.#accepts) return false;
    if (this.#ring.isFull) {
      // § 7.4: only what is lost overflows, and only once until software says that it knows.
      if (!event.Stall) this.#overflow();
      return false;
    }
    const wasEmpty = this.#ring.isEmpty;
    const words = encodeEvent(event);
    // § 7.2.2: an abort is synchronous here, PROD stays.
    if (!this.#bus.writeWords(this.#ring.addressOf(this.#ring.prod), words)) {
      this.#interrupts.error(GERROR.EVENTQ_ABT_ERR);
      return false;
    }
    this.#ring.advanceProd();
    this.#written(event, words);
    if (wasEmpty) this.#interrupts.raise("eventq");
    return true;
  }

  #overflow(): void {
    const flag = this.#registers.has("EVENTQ_PROD", EVENTQ_PROD.OVFLG);
    if (flag !== this.#registers.has("EVENTQ_CONS", EVENTQ_CONS.OVACKFLG)) return;
    this.#registers.setField("EVENTQ_PROD", EVENTQ_PROD.OVFLG, !flag);
  }
}
