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

  it("is 64 bytes for a cached translation at most, unless it keeps its origin", () => {
    const memory = new GuestMemory({ ram: [{ base: 0n, size: BigInt(MIB) }], workspace: 4 * MIB });
    const taken = (iotlb: number, origins: boolean): number => {
      const before = memory.core.free;
      new VtdUnit(memory, { caches: { policy: "sized", iotlb, origins } });
      return before - memory.core.free;
    };
    expect((taken(4096, false) - taken(1024, false)) / 3072).toBeLessThanOrEqual(64);
    expect((taken(4096, true) - taken(1024, true)) / 3072).toBeGreaterThan(64);
    const held = (requesters: number): number => {
      const before = memory.core.free;
      new Smmuv3(memory, { caches: { policy: "sized", requesters } });
      return before - memory.core.free;
    };
    expect((held(4096) - held(1024)) / 3072).toBeLessThanOrEqual(64);
  });
});
