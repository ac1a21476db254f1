/** 4. Native bind: the address space is attached at allocation, and a page fault finds it. */
import { Ioasid } from "../ioasid.ts";
import { Mm, SvaPasids } from "../sva.ts";
import type { Print } from "./machine.ts";

export function nativeBind(print: Print): void {
  const ids = new Ioasid();
  const sva = new SvaPasids(ids);
  const mm = new Mm("editor");
  sva.alloc(mm, 1, 0xfffff);
  const pasid = mm.pasid as number;
  print(`${mm.name} is bound to PASID ${pasid}`);

  // A page request carries nothing but the number. What is found may be entered, and is left again.
  const found = sva.find(pasid);
  if (found.kind === "value") {
    print(`page fault on PASID ${pasid}: ${found.value.name} handles it`);
    found.value.unuse();
  }

  // A driver's PASID in the same space never reaches the fault handler.
  const foreign = ids.alloc(null, 1, 0xfffff, { driver: "gpu" }) as number;
  const refused = sva.find(foreign);
  print(`page fault on PASID ${foreign}: ${refused.kind === "error" ? refused.error : refused.kind}`);

  sva.free(mm);
  print(`${mm.name} is unbound, ${ids.count} PASID in use`);
}
