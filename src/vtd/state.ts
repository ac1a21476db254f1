/** A unit's state as a snapshot, and back. */
import { checkBigInt, checkInteger, hex } from "../check.ts";
import { type Json, type Snapshot, seal, unseal } from "../snapshot.ts";
import type { VtdHardware } from "./hardware.ts";

const KIND = "vtd";
const U64 = 0xffff_ffff_ffff_ffffn;

export function saveUnit(hardware: VtdHardware): Snapshot {
  const { registers, parts, faults, queue } = hardware;
  return seal(KIND, configurationOf(hardware), {
    registers: registers.snapshot(),
    latched: { rtaddr: hex(parts.latched.rtaddr), irta: hex(parts.latched.irta) },
    faultIndex: faults.index,
    unanswered: queue.snapshot(),
    fragments: hardware.fragments.map((fragment) => fragment.snapshot()),
  });
}

/** @throws TypeError, RangeError, and changes nothing, when the snapshot does not fit */
export function restoreUnit(hardware: VtdHardware, snapshot: Snapshot): void {
  const state = membersOf(unseal(KIND, configurationOf(hardware), snapshot), "state");
  const latched = membersOf(state.latched, "latched");
  const rtaddr = register(latched.rtaddr, "latched.rtaddr");
  const irta = register(latched.irta, "latched.irta");
  const faultIndex = whole(state.faultIndex, "faultIndex", hardware.parts.features.NFR);
  const unanswered = listOf(state.unanswered, "unanswered").map((sid) => whole(sid, "unanswered", 0xffff));
  const fragments = listOf(state.fragments, "fragments");
  const before = hardware.registers.snapshot();
  hardware.registers.restore(membersOf(state.registers, "registers") as Record<string, string>);
  try {
    hardware.fragments.forEach((fragment, i) => {
      fragment.restore(fragments[i] ?? null);
    });
  } catch (error) {
    hardware.registers.restore(before);
    throw error;
  }
  hardware.parts.latched.rtaddr = rtaddr;
  hardware.parts.latched.irta = irta;
  hardware.faults.index = faultIndex;
  hardware.queue.restore(unanswered);
  hardware.dropCaches();
  hardware.refresh();
}

function configurationOf({ capabilities, options }: VtdHardware): Snapshot["configuration"] {
  return {
    ver: hex(capabilities.ver),
    cap: hex(capabilities.cap),
    ecap: hex(capabilities.ecap),
    haw: capabilities.haw,
    queue: options.queue,
    compressFaults: options.compressFaults,
  };
}

function membersOf(value: Json | undefined, name: string): Readonly<Record<string, Json>> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new RangeError(`snapshot: ${name} is missing`);
  }
  return value as Readonly<Record<string, Json>>;
}

function listOf(value: Json | undefined, name: string): readonly Json[] {
  if (!Array.isArray(value)) throw new RangeError(`snapshot: ${name} is missing`);
  return value;
}

function register(value: Json | undefined, name: string): bigint {
  if (typeof value !== "string" || !/^0x[0-9a-f]+$/.test(value)) throw new RangeError(`snapshot: ${name} is missing`);
  return checkBigInt(`snapshot: ${name}`, BigInt(value), 0n, U64);
}

function whole(value: Json | undefined, name: string, max: number): number {
  if (typeof value !== "number") throw new RangeError(`snapshot: ${name} is missing`);
  return checkInteger(`snapshot: ${name}`, value, 0, max);
}
