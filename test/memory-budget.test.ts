/** What the package takes of linear memory: guest RAM and 1 MiB, with every unit and its caches inside. */
import { describe, expect, it } from "vitest";
import { GuestMemory } from "../src/index.ts";
import { Smmuv3 } from "../src/smmuv3/index.ts";
import { VtdUnit } from "../src/vtd/index.ts";

const MIB = 1 << 20;

describe("linear memory", () => {
  it("is 1 MiB and the guest's RAM, which a unit with caches of ordinary size fits into", () => {
    for (const ram of [1, 16, 64]) {
      const memory = new GuestMemory({ ram: [{ base: 0n, size: BigInt(ram * MIB) }] });
      new VtdUnit(memory, { caches: "sized" });
      new Smmuv3(memory, { caches: "sized" });
      expect(memory.core.u8.length).toBe((ram + 1) * MIB);
    }
  });
});
