/** The five usage scenarios of the request (January 2019), end to end through a VT-d unit's registers. */
import { describe, expect, it } from "vitest";
import { guestAllocation } from "../../src/ioasid/examples/guest-allocation.ts";
import { guestBind } from "../../src/ioasid/examples/guest-bind.ts";
import { guestDetection } from "../../src/ioasid/examples/guest-detection.ts";
import type { Print } from "../../src/ioasid/examples/machine.ts";
import { nativeAllocation } from "../../src/ioasid/examples/native-allocation.ts";
import { nativeBind } from "../../src/ioasid/examples/native-bind.ts";

async function output(example: (print: Print) => void | Promise<void>): Promise<string[]> {
  const lines: string[] = [];
  await example((line) => lines.push(line));
  return lines;
}

describe("usage scenarios", () => {
  it("SEED-49 the virtual command allocator is registered if, and only if, the kernel runs as a guest", async () => {
    expect(await output(guestDetection)).toEqual([
      "real hardware: not registered, native",
      "virtual machine: registered",
    ]);
  });

  it("SEED-50 every allocation of a guest goes to the host and is tracked", async () => {
    expect(await output(guestAllocation)).toEqual([
      "guest one: PASID 2 for sh",
      "guest two: PASID 3 for sh",
      "guest one: PASID 4 for vi",
      "guest two: PASID 5 for vi",
      "host: guest one holds 2, 4",
      "host: guest two holds 3, 5",
      "host: 1 in use after the guests freed theirs",
    ]);
  });

  it("SEED-51 natively the lowest free number is taken, and sets keep to themselves", async () => {
    expect(await output(nativeAllocation)).toEqual([
      "allocated 1 and 2",
      "PASID 2 in GPU driver: render",
      "PASID 2 in auxiliary domains: EACCES",
      "after freeing 1 the next is 1",
    ]);
  });

  it("SEED-52 a native bind has its address space attached from the start", async () => {
    expect(await output(nativeBind)).toEqual([
      "editor is bound to PASID 1",
      "page fault on PASID 1: editor handles it",
      "page fault on PASID 2: EACCES",
      "editor is unbound, 1 PASID in use",
    ]);
  });

  it("SEED-53 a guest's bind fills in the data of a PASID that was allocated without", async () => {
    expect(await output(guestBind)).toEqual([
      "guest allocated PASID 1: host finds none",
      "bound: page tables at 0x5000",
      "freed: host finds error, 0 in use",
    ]);
  });
});
