/** 1. Boot: a kernel that finds itself in a guest registers the virtual command allocator. */
import { Ioasid } from "../ioasid.ts";
import { registerVcmdAllocator } from "../vcmd-guest.ts";
import { nativeUnit, type Print, virtualMachine } from "./machine.ts";

export function guestDetection(print: Print): void {
  // On real hardware the capability register reports no caching mode.
  const native = new Ioasid();
  const onHardware = registerVcmdAllocator({ registers: nativeUnit().mmio, ids: native });
  print(`real hardware: ${onHardware.registered ? "registered" : `not registered, ${onHardware.reason}`}`);

  // A VMM's unit reports caching mode, and virtual commands that allocate PASIDs.
  const host = new Ioasid();
  const guest = new Ioasid();
  const { unit } = virtualMachine(host, "vm");
  const inGuest = registerVcmdAllocator({ registers: unit.mmio, ids: guest });
  print(`virtual machine: ${inGuest.registered ? "registered" : `not registered, ${inGuest.reason}`}`);
}
