/** 3. Without a custom allocator the lowest free number is taken, whoever asks. */
import { Ioasid } from "../ioasid.ts";
import { IoasidSet } from "../sets.ts";
import type { Print } from "./machine.ts";

export function nativeAllocation(print: Print): void {
  const ids = new Ioasid();
  const domains = new IoasidSet<{ domain: number }>("auxiliary domains");
  const gpu = new IoasidSet<{ queue: string }>("GPU driver");

  const a = ids.alloc(domains, 1, 0xfffff, { domain: 7 }) as number;
  const b = ids.alloc(gpu, 1, 0xfffff, { queue: "render" }) as number;
  print(`allocated ${a} and ${b}`);

  // A look-up names the set that it means, and gets nothing from another.
  const right = ids.find(gpu, b);
  const wrong = ids.find(domains, b);
  print(`PASID ${b} in ${gpu.name}: ${right.kind === "value" ? right.value.queue : right.kind}`);
  print(`PASID ${b} in ${domains.name}: ${wrong.kind === "error" ? wrong.error : wrong.kind}`);

  ids.free(a, domains);
  print(`after freeing ${a} the next is ${ids.alloc(gpu, 1, 0xfffff)}`);
}
