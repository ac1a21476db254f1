/**
 * Global commands: GCMD, and what GSTS says of them. Intel D51397, rev 5.10, "Global Command Register".
 *
 * Commands take effect at the write, so a status bit never lags behind. Software may change one bit
 * at a time; what several do together the architecture leaves open. They are done in the order in
 * which they are listed in `write`.
 */
import { GSTS } from "../../assembly/layout/vtd-base.ts";
import { GCMD } from "../../assembly/layout/vtd-registers.ts";
import { getBits } from "../structure.ts";
import type { UnitParts } from "./parts.ts";

/** Parts that a command starts, stops or starts over. */
export interface CommandTargets {
  /** TES or the latched root table changed. */
  reconfigure(): void;
  queueEnabled(): void;
  queueDisabled(): void;
  /** Neither DMA nor interrupts are remapped any more. */
  allOff(): void;
}

export class GlobalCommands {
  readonly #parts: UnitParts;
  readonly #targets: CommandTargets;

  constructor(parts: UnitParts, targets: CommandTargets) {
    this.#parts = parts;
    this.#targets = targets;
  }

  /** GCMD was written with `value`. */
  write(value: bigint): void {
    const { features } = this.#parts;
    const on = (command: number) => getBits(value, command) === 1n;
    if (!on(GCMD.TE)) this.#level(GSTS.TES, false, () => this.#translationOff());
    if (on(GCMD.SRTP)) this.#setRootTable();
    if (on(GCMD.SIRTP) && features.IR) this.#setInterruptTable();
    if (features.QI) {
      const queue = () => (on(GCMD.QIE) ? this.#targets.queueEnabled() : this.#targets.queueDisabled());
      this.#level(GSTS.QIES, on(GCMD.QIE), queue);
    }
    if (features.IR) {
      this.#level(GSTS.CFIS, on(GCMD.CFI));
      this.#level(GSTS.IRES, on(GCMD.IRE), () => this.#interruptRemapping(on(GCMD.IRE)));
    }
    if (on(GCMD.TE)) this.#level(GSTS.TES, true, () => this.#targets.reconfigure());
  }

  /** A command that is on or off: acts on a change. */
  #level(status: number, on: boolean, changed?: () => void): void {
    const { registers } = this.#parts;
    if (registers.has("GSTS", status) === on) return;
    registers.setField("GSTS", status, on);
    changed?.();
    if (!registers.has("GSTS", GSTS.TES) && !registers.has("GSTS", GSTS.IRES)) this.#targets.allOff();
  }

  #translationOff(): void {
    const { features, caches } = this.#parts;
    // § 11.4.4.1: with scalable mode, turning translation off drops all that was cached for it.
    if (features.SMTS) caches.invalidateAll();
    this.#targets.reconfigure();
  }

  #setRootTable(): void {
    const { registers, latched, caches, features } = this.#parts;
    latched.rtaddr = registers.get("RTADDR");
    // § 6.6: ESRTPS = 0 leaves invalidation to software.
    if (features.ESRTPS) caches.invalidateAll();
    registers.setField("GSTS", GSTS.RTPS, 1);
    this.#targets.reconfigure();
  }

  #setInterruptTable(): void {
    const { registers, latched, caches, features } = this.#parts;
    latched.irta = registers.get("IRTA");
    if (features.ESIRTPS) caches.invalidateInterrupts();
    registers.setField("GSTS", GSTS.IRTPS, 1);
  }

  #interruptRemapping(on: boolean): void {
    const { caches, features } = this.#parts;
    if (!on && features.ESIRTPS) caches.invalidateInterrupts();
    // What an access to FEEx_xxxxh means depends on IRES.
    this.#targets.reconfigure();
  }
}
