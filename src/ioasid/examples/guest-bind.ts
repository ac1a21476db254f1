/** 5. Guest bind: the PASID is allocated without data, and gets them when the guest binds. */
import { Ioasid } from "../ioasid.ts";
import { IoasidSet } from "../sets.ts";
import { registerVcmdAllocator } from "../vcmd-guest.ts";
import { type Print, virtualMachine } from "./machine.ts";

interface GuestProcess {
  pageTables: bigint;
}

export async function guestBind(print: Print): Promise<void> {
  const host = new Ioasid();
  const { unit, pasids } = virtualMachine(host, "vm");
  const guest = new Ioasid();
  registerVcmdAllocator({ registers: unit.mmio, ids: guest });

  // The guest allocates; in the host the PASID belongs to the guest's set, and has no data yet.
  const processes = new IoasidSet<GuestProcess>("guest processes");
  const pasid = guest.alloc(processes, 1, 0xfffff) as number;
  print(`guest allocated PASID ${pasid}: host finds ${host.find(pasids.set, pasid).kind}`);

  // bind-guest-pasid: the host learns where the guest's page tables are. Readers of the old data are
  // waited for, so what they used may be released afterwards.
  const reader = host.reader();
  const bound = host.setData(pasid, { pageTables: 0x5000n } satisfies GuestProcess);
  reader.end();
  await bound;
  const found = host.find(pasids.set as IoasidSet<GuestProcess>, pasid);
  print(`bound: page tables at ${found.kind === "value" ? `0x${found.value.pageTables.toString(16)}` : found.kind}`);

  // Unbind clears the data before the number goes back, so that nobody finds them under a new owner.
  await host.setData(pasid, null);
  guest.free(pasid, processes);
  print(`freed: host finds ${host.find(pasids.set, pasid).kind}, ${host.count} in use`);
}
