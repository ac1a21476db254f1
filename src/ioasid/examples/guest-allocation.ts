/** 2. In a guest every allocation goes to the host, and the result is tracked. */
import { Ioasid } from "../ioasid.ts";
import { IoasidSet } from "../sets.ts";
import { registerVcmdAllocator } from "../vcmd-guest.ts";
import { type Print, virtualMachine } from "./machine.ts";

export function guestAllocation(print: Print): void {
  const host = new Ioasid();
  host.alloc(null, 1, 2); // the host uses one itself
  const guests = ["one", "two"].map((name) => {
    const ids = new Ioasid();
    const { unit, pasids } = virtualMachine(host, name);
    registerVcmdAllocator({ registers: unit.mmio, ids });
    return { name, ids, pasids, set: new IoasidSet<string>(name) };
  });

  // Two guests ask in turn: the numbers are the host's, so no two are equal.
  for (const process of ["sh", "vi"]) {
    for (const { name, ids, set } of guests) {
      const pasid = ids.alloc(set, 1, 0xfffff, process) as number;
      const found = ids.find(set, pasid);
      print(`guest ${name}: PASID ${pasid} for ${found.kind === "value" ? found.value : found.kind}`);
    }
  }
  for (const { name, pasids } of guests) print(`host: guest ${name} holds ${pasids.list().join(", ")}`);

  for (const { ids, set } of guests) for (const { id } of ids.entries(set)) ids.free(id, set);
  print(`host: ${host.count} in use after the guests freed theirs`);
}
