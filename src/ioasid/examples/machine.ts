/** What the examples run on: a VT-d unit, native or as a VMM emulates it for a guest. */
import { GuestMemory } from "../../memory.ts";
import { VTD_PRESETS, VtdCapabilities } from "../../vtd/capabilities.ts";
import { VtdUnit } from "../../vtd/unit.ts";
import { Vcmd } from "../../vtd/vcmd.ts";
import type { Ioasid } from "../ioasid.ts";
import { GuestPasids } from "../vcmd-host.ts";

/** Takes a line of what an example has to say. */
export type Print = (line: string) => void;

const RAM = { base: 0n, size: 0x1_0000n };

/** A unit of real hardware: no caching mode, no virtual commands. */
export function nativeUnit(): VtdUnit {
  return new VtdUnit(new GuestMemory({ ram: [RAM] }));
}

export interface VirtualMachine {
  /** The guest's unit. */
  unit: VtdUnit;
  /** The PASIDs that the host gave to the guest. */
  pasids: GuestPasids;
}

/** A unit as a VMM makes it up: caching mode, and virtual commands that are answered by `host`. */
export function virtualMachine(host: Ioasid, name: string): VirtualMachine {
  const pasids = new GuestPasids(host, { name });
  const capabilities = VtdCapabilities.of({ ...VTD_PRESETS.widest.features, CM: 1, VCS: 1 });
  const virtualCommands = new Vcmd({ host: pasids });
  return { unit: new VtdUnit(new GuestMemory({ ram: [RAM] }), { capabilities, virtualCommands }), pasids };
}
