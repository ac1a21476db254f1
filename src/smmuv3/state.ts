/** Snapshots of an SMMU: everything that software or a device could notice, memory and devices apart. */
import { hex } from "../check.ts";
import { type Json, type Snapshot, seal, unseal } from "../snapshot.ts";
import type { SmmuHardware } from "./hardware.ts";

const KIND = "smmuv3";

interface SavedState {
  registers: Record<string, string>;
  bypass: string;
  errors: string;
  stalls: Json;
  timedOut: boolean;
}

export function saveUnit(hardware: SmmuHardware): Snapshot {
  return seal(KIND, configurationOf(hardware), {
    registers: hardware.registers.snapshot(),
    bypass: hex(hardware.bypass),
    errors: hex(hardware.interrupts.active),
    stalls: hardware.stalls.save(),
    timedOut: hardware.ats.hasTimedOut,
  });
}

/** @throws RangeError, TypeError, and changes nothing, when the snapshot is damaged or of another configuration */
export function restoreUnit(hardware: SmmuHardware, snapshot: Snapshot): void {
  const state = unseal(KIND, configurationOf(hardware), snapshot) as unknown as SavedState;
  hardware.registers.restore(state.registers);
  hardware.bypass = BigInt(state.bypass);
  hardware.interrupts.active = BigInt(state.errors);
  hardware.stalls.load(state.stalls);
  hardware.ats.hasTimedOut = state.timedOut;
  hardware.startOver();
}

function configurationOf({ features, queue, updates }: SmmuHardware): Snapshot["configuration"] {
  return { ...features, queue, updates };
}
