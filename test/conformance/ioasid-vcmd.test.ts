/** The virtual command interface, seen from both sides of its registers. */
import { describe, expect, it } from "vitest";
import { Ioasid, IoasidSet, MAX_ID, VcmdTimeout } from "../../src/ioasid/index.ts";
import { VCMD_ERAS, type VcmdEra } from "../../src/vtd/index.ts";
import { loggedSpace } from "../support/ioasid.ts";
import { Vmm } from "../support/vcmd.ts";

const set = new IoasidSet<string>("guest's");

/** Offsets and register values for PASID 0x2A as Linux and the two revisions of the specification have them. */
const WORKED: Record<VcmdEra, Record<"vccap" | "vcmd" | "vcrsp", number> & Record<string, bigint | number>> = {
  A: { vccap: 0xe00, vcmd: 0xe10, vcrsp: 0xe20, success: 0x2a00n, none: 0x2n, free: 0x2a02n },
  B: { vccap: 0xe00, vcmd: 0xe10, vcrsp: 0xe20, success: 0x2a00n, none: 0x4n, free: 0x2a02n },
  C: { vccap: 0xe30, vcmd: 0xe00, vcrsp: 0xe10, success: 0x2a0000n, none: 0x20n, free: 0x2a0002n },
};

describe("registration", () => {
  it("IOASID-050 a guest whose host hands PASIDs out registers; a native kernel does not", () => {
    const reason = (options: ConstructorParameters<typeof Vmm>[0]): unknown => {
      const ids = new Ioasid();
      const registration = new Vmm(options).boot({ ids });
      expect(registration.registered).toBe(ids.allocator !== undefined);
      return registration.registered || registration.reason;
    };
    expect(reason({})).toBe(true);
    expect(reason({ cachingMode: false })).toBe("native");
    expect(reason({ scalable: false })).toBe("no scalable mode");
    expect(reason({ virtualCommands: false })).toBe("no virtual commands");
    const occupied = new Ioasid();
    occupied.alloc(null, 1, 1);
    expect(new Vmm().boot({ ids: occupied })).toEqual({ registered: false, reason: "refused" });
  });

  it("IOASID-050 VCCAP is read once at boot, and only if ECAP says that it is there", () => {
    const vmm = new Vmm({ virtualCommands: false });
    vmm.boot({ ids: new Ioasid() });
    expect(vmm.trace.some(({ offset }) => offset === 0xe30)).toBe(false);
    const capable = new Vmm();
    const ids = new Ioasid();
    capable.boot({ ids });
    for (let i = 0; i < 3; i++) ids.alloc(null, 1, 9);
    expect(capable.trace.filter(({ offset }) => offset === 0xe30).length).toBe(1);
  });

  it("IOASID-050 several units are one allocator that goes through the first one's registers", () => {
    const host = new Ioasid();
    const [first, second] = [new Vmm({ host }), new Vmm({ host })];
    const ids = new Ioasid();
    expect([first.boot({ ids }).registered, second.boot({ ids }).registered]).toEqual([true, true]);
    second.trace.length = 0;
    expect(ids.alloc(set, 1, MAX_ID)).toBe(1);
    expect([first.pasids.list(), second.trace]).toEqual([[1], []]);
  });
});

describe("protocol", () => {
  it("IOASID-051 ALLOC is one 64-bit write and 64-bit reads until IP is clear; the range stays at home", () => {
    const complete: (() => void)[] = [];
    const vmm = new Vmm({ schedule: (run) => complete.push(run), pasids: { min: 0x2a } });
    const ids = new Ioasid();
    let polls = 0;
    vmm.boot({
      ids,
      relax: () => {
        if (++polls === 2) complete.shift()?.();
      },
    });
    vmm.trace.length = 0;
    expect(ids.alloc(set, 1, 0x1234)).toBe(0x2a);
    expect(vmm.trace).toEqual([
      { kind: "write", offset: 0xe00, bytes: 8, value: 0x1n },
      { kind: "read", offset: 0xe10, bytes: 8, value: 0x1n },
      { kind: "read", offset: 0xe10, bytes: 8, value: 0x1n },
      { kind: "read", offset: 0xe10, bytes: 8, value: 0x2a_0000n },
    ]);
  });

  it.each(VCMD_ERAS)("IOASID-052 era %s: registers and codes as worked out for PASID 0x2A", (era) => {
    const expected = WORKED[era];
    const vmm = new Vmm({ era, pasids: { min: 0x2a, max: 0x2a } });
    const { ids, said } = loggedSpace();
    vmm.boot({ ids, era });
    expect(vmm.trace.at(-1)).toEqual({
      kind: "read",
      offset: expected.vccap,
      bytes: 8,
      value: era === "C" ? 0x7n : 0x1n,
    });
    vmm.trace.length = 0;
    expect([ids.alloc(set, 1, 99), ids.alloc(set, 1, 99)]).toEqual([0x2a, undefined]);
    ids.free(0x2a, set);
    // The host takes no PASID twice: the driver goes on, and says so.
    vmm.write(expected.vcmd, 8, expected.free as bigint);
    const { vcmd, vcrsp } = expected;
    expect(vmm.trace).toEqual([
      { kind: "write", offset: vcmd, bytes: 8, value: 0x1n },
      { kind: "read", offset: vcrsp, bytes: 8, value: expected.success },
      { kind: "write", offset: vcmd, bytes: 8, value: 0x1n },
      { kind: "read", offset: vcrsp, bytes: 8, value: expected.none },
      { kind: "write", offset: vcmd, bytes: 8, value: expected.free },
      { kind: "read", offset: vcrsp, bytes: 8, value: 0x0n },
      { kind: "write", offset: vcmd, bytes: 8, value: expected.free },
    ]);
    expect(vmm.file.read(vcrsp, 8)).toBe(expected.none);
    expect(said("info")).toEqual(["the host has no PASID left"]);
  });

  it("IOASID-052 a v5.8 guest on a host that follows the specification takes 'none left' for a malfunction", () => {
    const vmm = new Vmm({ era: "B", pasids: { min: 1, max: 1 } });
    const { ids, said } = loggedSpace();
    vmm.boot({ ids, era: "A" });
    expect([ids.alloc(set, 1, 9), ids.alloc(set, 1, 9)]).toEqual([1, undefined]);
    expect(said("warn")).toEqual(["unexpected error code 2 of the virtual command"]);
  });

  it("IOASID-053 none left and unknown codes are no ID; IP that stays set is fatal", () => {
    const vmm = new Vmm({ pasids: { min: 1, max: 1 } });
    const ids = new Ioasid();
    vmm.boot({ ids });
    ids.alloc(set, 1, 9);
    expect([ids.alloc(set, 1, 9), ids.count, vmm.pasids.list()]).toEqual([undefined, 1, [1]]);

    // Code 5 means nothing to anybody.
    const broken = new Vmm();
    const { ids: guest, said } = loggedSpace();
    broken.boot({ ids: guest });
    broken.read = (offset) => (offset === 0xe10 ? 0xan : 0n);
    expect([guest.alloc(set, 1, 9), guest.count]).toEqual([undefined, 0]);
    expect(said("warn")).toEqual(["unexpected error code 5 of the virtual command"]);

    const stuck = new Vmm({ schedule: () => {} });
    const hung = new Ioasid();
    stuck.boot({ ids: hung, maxPolls: 10 });
    expect(() => hung.alloc(set, 1, 9)).toThrow(VcmdTimeout);
    expect(hung.count).toBe(0);
  });
});

describe("freeing and rolling back", () => {
  it("IOASID-054 an ID with data attached: FREE in strict, nothing in compat, and the host leaks it", () => {
    for (const rules of ["strict", "compat"] as const) {
      const vmm = new Vmm();
      const ids = new Ioasid({ rules });
      vmm.boot({ ids });
      ids.alloc(set, 1, 9, "attached");
      ids.alloc(set, 1, 9);
      vmm.trace.length = 0;
      ids.free(1, set);
      expect(vmm.trace.some(({ value }) => value === 0x1_0002n)).toBe(rules === "strict");
      // Without data both send it.
      ids.free(2, set);
      expect(vmm.trace.some(({ value }) => value === 0x2_0002n)).toBe(true);
      expect([ids.count, vmm.pasids.list()]).toEqual([0, rules === "strict" ? [] : [1]]);
    }
  });

  it("IOASID-055 the host's ID cannot be used: strict sends FREE, compat leaves it allocated in the host", () => {
    // Strict refuses what is outside the asked range, and gives it back.
    const vmm = new Vmm({ pasids: { min: 500 } });
    const strict = new Ioasid();
    vmm.boot({ ids: strict });
    expect([strict.alloc(set, 1, 9), vmm.pasids.list()]).toEqual([undefined, []]);

    // A host that hands one PASID out twice: the rollback finds the first owner's data, and does nothing.
    const twice = new Vmm({ pasids: { min: 7, max: 7 } });
    const compat = new Ioasid({ rules: "compat" });
    twice.boot({ ids: compat });
    compat.alloc(set, 1, 9, "owner");
    twice.pasids.free(7);
    twice.trace.length = 0;
    expect(compat.alloc(set, 1, 9)).toBeUndefined();
    expect(twice.trace.filter(({ kind }) => kind === "write").length).toBe(1);
    expect(twice.pasids.list()).toEqual([7]);
  });

  it("IOASID-055 compat: when the first owner has no data, the rollback frees its PASID in the host", () => {
    for (const [rules, left] of [
      ["compat", []],
      ["strict", [7]],
    ] as const) {
      const vmm = new Vmm({ pasids: { min: 7, max: 7 } });
      const ids = new Ioasid({ rules });
      vmm.boot({ ids });
      ids.alloc(set, 1, 9);
      vmm.pasids.free(7);
      expect(ids.alloc(set, 1, 9)).toBeUndefined();
      expect(vmm.pasids.list()).toEqual(left);
    }
  });

  it("IOASID-056 the host does not know the PASID: the guest forgets it all the same", () => {
    const vmm = new Vmm();
    const { ids, said } = loggedSpace();
    vmm.boot({ ids });
    ids.alloc(set, 1, 9);
    vmm.pasids.free(1);
    expect(ids.free(1, set)).toBe(true);
    expect([ids.count, said("info")]).toEqual([0, ["the host does not know PASID 1"]]);
  });
});
