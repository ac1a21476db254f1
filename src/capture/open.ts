/**
 * A capture, ready to be walked: its pages in a private guest memory, its registers in a walker.
 *
 * One thing recorders did otherwise than the architecture. Linux may set CD.HA and CD.HD although
 * IDR0.HTTU does not offer them; the machines that the captures come from took the bits as 0 and
 * translated, while the architecture calls such a CD illegal (IHI 0070, 5.4: C_BAD_CD). A capture is
 * walked the way it was recorded, and the walk says so, unless the caller asks for the letter.
 */
import { CD } from "../../assembly/layout/smmuv3.ts";
import { HTTU, IDR0, PAGE0 } from "../../assembly/layout/smmuv3-registers.ts";
import type { Outcome, Request, Trace } from "../iommu.ts";
import type { GuestMemory } from "../memory.ts";
import { SmmuWalker } from "../smmuv3/walker.ts";
import { getField, setField } from "../structure.ts";
import { VtdWalker } from "../vtd/walker.ts";
import type { Walker } from "../walker.ts";
import type { Capture } from "./capture.ts";
import { smmuState, vtdState } from "./state.ts";

/** Id of the check that an unimplemented CD.HA or CD.HD fails. */
const CD_HTTU = "CD.HA,HD";

export interface OpenOptions {
  /** Take CD.HA and CD.HD as the architecture does, not as the recorder did. */
  strict?: boolean;
}

export class OpenCapture {
  readonly walker: Walker;
  readonly #capture: Capture;
  readonly #memory: GuestMemory;
  readonly #strict: boolean;
  readonly #masked = new Set<bigint>();

  constructor(capture: Capture, options: OpenOptions = {}) {
    this.#capture = capture;
    this.#memory = capture.pages.memory();
    this.#strict = options.strict ?? false;
    this.walker =
      capture.iommu === "vtd"
        ? new VtdWalker(this.#memory, vtdState(capture.registers))
        : new SmmuWalker(this.#memory, smmuState(capture.registers));
  }

  translate(request: Request): Outcome {
    const outcome = this.walker.translate(request);
    return this.#failsAsRecorded(outcome) || !this.#mask(request) ? outcome : this.walker.translate(request);
  }

  trace(request: Request): Trace {
    const trace = this.walker.trace(request);
    return this.#failsAsRecorded(trace.outcome) || !this.#mask(request) ? trace : this.walker.trace(request);
  }

  /** Addresses of the CDs whose HA or HD was taken as 0 so far. */
  get masked(): ReadonlySet<bigint> {
    return this.#masked;
  }

  #failsAsRecorded(outcome: Outcome): boolean {
    return this.#strict || outcome.ok || outcome.check !== CD_HTTU;
  }

  /** Clears what IDR0.HTTU does not offer in the CD of a request; false where that changes nothing. */
  #mask(request: Request): boolean {
    const step = this.walker.trace({ ...request, probe: true }).steps.findLast(({ structure }) => structure === "CD");
    if (!step || this.#masked.has(step.address)) return false;
    const httu = Number(getField([BigInt(this.#capture.registers.read32(PAGE0.IDR0))], IDR0.HTTU));
    const words = [...step.words];
    setField(words, CD.HD, 0);
    if (httu === HTTU.NONE) setField(words, CD.HA, 0);
    this.#memory.write64(step.address, words[0] ?? 0n);
    this.#masked.add(step.address);
    return true;
  }
}
