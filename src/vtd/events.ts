/**
 * The three events a unit signals (fault, invalidation completion, page request): mask, pending bit
 * and message. Intel D51397, rev 5.10, "Fault Event Control Register" and its sisters.
 *
 * The message is a write of DATA to UADDR:ADDR as they are when it is sent. It is never remapped.
 */
import { EVENT_CTL } from "../../assembly/layout/vtd-registers.ts";
import type { InterruptSink } from "../iommu.ts";
import type { RegisterFile } from "../registers.ts";

const UPPER = 32n;

export class EventInterrupt {
  readonly #registers: RegisterFile;
  readonly #prefix: string;
  readonly #send: InterruptSink;

  /** @param prefix of the four registers: FE, IE or PE */
  constructor(registers: RegisterFile, prefix: string, send: InterruptSink) {
    this.#registers = registers;
    this.#prefix = prefix;
    this.#send = send;
  }

  /** The event's first cause came up. */
  raise(): void {
    this.#registers.setField(`${this.#prefix}CTL`, EVENT_CTL.IP, 1);
    this.sendIfUnmasked();
  }

  /** Software wrote the control register, or the event was raised. */
  sendIfUnmasked(): void {
    const control = `${this.#prefix}CTL`;
    // § 7.3: IM = 1 holds the message; unmasking sends what is pending, once.
    if (this.#registers.has(control, EVENT_CTL.IM) || !this.#registers.has(control, EVENT_CTL.IP)) return;
    this.#registers.setField(control, EVENT_CTL.IP, 0);
    const address = (this.#registers.get(`${this.#prefix}UADDR`) << UPPER) | this.#registers.get(`${this.#prefix}ADDR`);
    this.#send(address, Number(this.#registers.get(`${this.#prefix}DATA`)));
  }

  /** Every cause is gone: nothing is pending any more. */
  clear(): void {
    this.#registers.setField(`${this.#prefix}CTL`, EVENT_CTL.IP, 0);
  }
}
