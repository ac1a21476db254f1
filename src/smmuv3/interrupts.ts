/**
 * Interrupts of an SMMU and its global errors: Arm IHI 0070 3.18, 6.3.16 to 6.3.19 and 7.5.
 *
 * Every source pulses a wired line, and sends an MSI too where one is configured. A source that is
 * disabled when something happens stays silent about it for good.
 */
import { GERROR, IRQ_CFG0, IRQ_CFG1, IRQ_CTRL } from "../../assembly/layout/smmuv3-registers.ts";
import type { Bus } from "../bus.ts";
import type { GuestMemory } from "../memory.ts";
import { getBits, maskOf } from "../structure.ts";
import type { SmmuRegisters } from "./registers.ts";

/** The wired outputs: event queue, PRI queue, CMD_SYNC completion, global error; "sev" wakes processors in WFE. */
export type SmmuLine = "eventq" | "priq" | "sync" | "gerror" | "sev";
/** Hears a pulse of a wired output. */
export type LineSink = (line: SmmuLine) => void;
/** Takes an MSI to an address that is no RAM; false: it aborts. */
export type MessageSink = (address: bigint, data: number) => boolean;

const MSI_BYTES = 4;

/** Sources that are configured by registers. */
export type SmmuInterrupt = "eventq" | "priq" | "gerror";
interface Source {
  registers: "EVENTQ" | "PRIQ" | "GERROR";
  enable: number;
  /** The error that tells of an MSI that aborted. */
  aborted: GERROR;
}
const SOURCES: Readonly<Record<SmmuInterrupt, Source>> = {
  eventq: { registers: "EVENTQ", enable: IRQ_CTRL.EVENTQ_IRQEN, aborted: GERROR.MSI_EVENTQ_ABT_ERR },
  priq: { registers: "PRIQ", enable: IRQ_CTRL.PRIQ_IRQEN, aborted: GERROR.MSI_PRIQ_ABT_ERR },
  gerror: { registers: "GERROR", enable: IRQ_CTRL.GERROR_IRQEN, aborted: GERROR.MSI_GERROR_ABT_ERR },
};

export class Interrupts {
  readonly #registers: SmmuRegisters;
  readonly #memory: GuestMemory;
  readonly #bus: Bus;
  readonly #oasBits: number;
  readonly #message: MessageSink;
  readonly #line: LineSink;
  /**
   * Errors that are active, at their places in GERROR. Not just GERROR ^ GERRORN: software that toggles a
   * bit of GERRORN for nothing activates no error.
   */
  active = 0n;

  constructor(
    registers: SmmuRegisters,
    memory: GuestMemory,
    bus: Bus,
    oasBits: number,
    message: MessageSink,
    line: LineSink,
  ) {
    this.#registers = registers;
    this.#memory = memory;
    this.#bus = bus;
    this.#oasBits = oasBits;
    this.#message = message;
    this.#line = line;
  }

  /** Something happened at a source: tells whoever is to know. */
  raise(source: SmmuInterrupt): void {
    const { registers, enable, aborted } = SOURCES[source];
    if (!this.#registers.has("IRQ_CTRLACK", enable)) return;
    this.#line(source);
    const address = this.#registers.getInPlace(`${registers}_IRQ_CFG0`, IRQ_CFG0.ADDR);
    const data = Number(this.#registers.getField(`${registers}_IRQ_CFG1`, IRQ_CFG1.DATA));
    // § 3.18.2: ADDR = 0 sends none. Without MSIs the register is RES0.
    if (address !== 0n && !this.#send(address, data)) this.error(aborted);
  }

  /** A CMD_SYNC with CS = SIG_IRQ completed; `address` 0 = no MSI wanted or none supported. */
  raiseSync(address: bigint, data: number): void {
    if (address !== 0n && !this.#send(address, data)) this.error(GERROR.MSI_CMDQ_ABT_ERR);
    this.#line("sync");
  }

  /** Wakes processors that wait for an event. */
  sendEvent(): void {
    this.#line("sev");
  }

  isActive(error: GERROR): boolean {
    return getBits(this.active, error) === 1n;
  }

  /** Software wrote GERRORN: where it equals GERROR nothing is active any more. */
  acknowledge(): void {
    this.active &= this.#registers.get("GERROR") ^ this.#registers.get("GERRORN");
  }

  /** A global error happened. */
  error(error: GERROR): void {
    // § 7.5: an error that is active already is not toggled again.
    if (this.isActive(error)) return;
    this.active |= maskOf(error);
    this.#registers.setField("GERROR", error, !this.#registers.has("GERROR", error));
    // § 7.5.1: an MSI that failed is not told of by another to the same address.
    if (error !== GERROR.MSI_GERROR_ABT_ERR) this.raise("gerror");
  }

  /** False: the write aborted. */
  #send(address: bigint, data: number): boolean {
    const target = BigInt.asUintN(this.#oasBits, address);
    return this.#memory.contains(target, MSI_BYTES) ? this.#bus.write32(target, data) : this.#message(target, data);
  }
}
