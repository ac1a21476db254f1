/**
 * Why a replayed read may differ from the trace: every known departure of a recorder from the architecture
 * that a register can show. A difference that is not on this list is a bug, here or there.
 */
export interface Reason {
  /** Where it shows. */
  where: string;
  /** What the recorder does, and what the architecture says. */
  why: string;
}

export type ReasonId = "fault-number" | "not-modelled";

export const REASONS: Readonly<Record<ReasonId, Reason>> = {
  "fault-number": {
    where: "FRCD.FR",
    why: "QEMU gives legacy mode's fault reasons in scalable mode; src/capture/faults.ts has the table.",
  },
  "not-modelled": {
    where: "capability registers",
    why: "the recorder announces a feature that this package does not model, and so does not announce.",
  },
};
