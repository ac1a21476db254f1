/**
 * Granules and start levels, access rights and worlds of SMMUv3 walks.
 * Arm ARM DDI 0487 D8.
 */
import { describe, expect, it } from "vitest";
import { CD, PTE1 } from "../../assembly/layout/smmuv3.ts";
import type { Fault } from "../../src/index.ts";
import type { Granule } from "../../src/smmuv3/page-table.ts";
import { getField } from "../../src/structure.ts";
import { event, ok, PA, SID, VA, World } from "../support/smmu-world.ts";

const STT = 0x200;

describe("stage 1 start levels, DDI 0487 D8.2", () => {
  // TxSZ and the level that the walk starts at, from the architecture's tables
  const starts: [Granule, number, number][] = [
    ["4K", 16, 0],
    ["4K", 24, 0],
    ["4K", 25, 1],
    ["4K", 33, 1],
    ["4K", 34, 2],
    ["4K", 42, 2],
    ["4K", 43, 3],
    ["4K", 48, 3],
    ["16K", 16, 0],
    ["16K", 17, 1],
    ["16K", 27, 1],
    ["16K", 28, 2],
    ["16K", 38, 2],
    ["16K", 39, 3],
    ["16K", 48, 3],
    ["64K", 16, 1],
    ["64K", 21, 1],
    ["64K", 22, 2],
    ["64K", 34, 2],
    ["64K", 35, 3],
    ["64K", 47, 3],
  ];
  it.each(starts)("granule %s, TxSZ %i: level %i", (granule, txsz, level) => {
    const va = 1n << BigInt(63 - txsz);
    for (const upper of [false, true]) {
      const address = upper ? va - (1n << BigInt(64 - txsz)) + (1n << 64n) : va;
      const setup = {
        va: address,
        upper,
        table1: { granule, inputBits: 64 - txsz },
      };
      const world = new World({ ...setup, leaf1: {} });
      const { outcome, steps } = world.walker.trace({ sid: SID, address: address + 0x42n });
      expect(outcome).toMatchObject({ ok: true, address: (PA & ~0xffffn) + 0x42n });
      expect(steps.find(({ structure }) => structure === "descriptor")?.level).toBe(level);
    }
  });

  it.each([
    ["4K", 15],
    ["4K", 49],
    ["64K", 48],
    ["64K", 11],
  ] as const)("granule %s, TxSZ %i is illegal", (granule, txsz) => {
    expect(event(new World({ table1: { granule }, cd: { T0SZ: txsz } }))).toBe("C_BAD_CD CD.TxSZ");
  });

  it("TxSZ above 39 needs small tables (STT)", () => {
    const world = new World({ table1: { inputBits: 24 }, va: 0x123000n, state: { idr3: 0x1714 & ~STT } });
    expect(event(world)).toBe("C_BAD_CD CD.TxSZ");
  });
});

describe("stage 2 start levels, IHI 0070 5.2 S2SL0", () => {
  const shapes: [Granule, number, number][] = [
    ["4K", 48, 0],
    ["4K", 40, 1],
    ["4K", 43, 1],
    ["4K", 31, 1],
    ["4K", 34, 2],
    ["4K", 30, 2],
    ["4K", 25, 3],
    ["16K", 48, 1],
    ["16K", 40, 2],
    ["16K", 29, 3],
    ["64K", 48, 1],
    ["64K", 46, 2],
    ["64K", 33, 3],
  ];
  it.each(shapes)(
    "granule %s, %i bits of input, from level %i: up to 16 tables side by side",
    (granule, inputBits, startLevel) => {
      const va = (1n << BigInt(inputBits)) - 0x10000n;
      const world = new World({ config: 6, va, table2: { granule, inputBits, startLevel } });
      expect(ok(world).address).toBe((PA & ~0xffffn) + 0x123n);
    },
  );

  it.each([
    ["4K", 49 - 5, 2],
    ["4K", 48, 1],
    ["4K", 30, 0],
    ["16K", 48, 2],
    ["64K", 48, 2],
  ] as const)("granule %s, %i bits from level %i do not fit", (granule, inputBits, startLevel) => {
    const world = new World({
      config: 6,
      va: 0x1000n,
      table2: { granule, inputBits: 48, startLevel: granule === "4K" ? 0 : 1 },
    });
    const S2SL0 = granule === "4K" ? 2 - startLevel : 3 - startLevel;
    const broken = new World({
      config: 6,
      va: 0x1000n,
      table2: { granule, inputBits: 48, startLevel: granule === "4K" ? 0 : 1 },
      ste: { S2T0SZ: 64 - inputBits, S2SL0 },
    });
    expect(event(world)).toBe("ok");
    expect(event(broken)).toBe("C_BAD_STE STE.S2SL0");
  });
});

describe("blocks", () => {
  it.each([
    ["4K", 1, 30],
    ["4K", 2, 21],
    ["16K", 2, 25],
    ["64K", 2, 29],
  ] as const)("granule %s, level %i: 2^%i bytes", (granule, level, log2) => {
    const world = new World({ table1: { granule }, va: 1n << 40n });
    const far = (1n << 40n) + (5n << 40n);
    world.first.map(far, 1n << BigInt(log2), undefined, level);
    expect(ok(world, { address: far + 0x1234n })).toMatchObject({
      address: (1n << BigInt(log2)) + 0x1234n,
      pageSize: 1n << BigInt(log2),
    });
  });

  it.each([
    ["4K", 0],
    ["16K", 1],
    ["64K", 1],
  ] as const)("granule %s has none at level %i", (granule, level) => {
    const world = new World({ table1: { granule } });
    world.first.map(7n << 44n, 0n, undefined, level);
    expect(event(world, { address: 7n << 44n })).toBe("F_TRANSLATION PTE.type");
  });

  it("64 KiB granule: 52-bit addresses at 15:12, and 4 TiB blocks", () => {
    const state = { idr5: 0x0000_0476 };
    const world = new World({ table1: { granule: "64K", inputBits: 52 }, cd: { IPS: 6 }, state });
    const far = 0xf_0000_0000_0000n;
    world.first.map(far, 0xa_0000_0000_0000n, undefined, 1);
    expect(ok(world, { address: far + 5n })).toMatchObject({ address: 0xa_0000_0000_0005n, pageSize: 1n << 42n });
  });
});

describe("rights of stage 1, DDI 0487 D8.4", () => {
  const rights = (leaf1: Record<string, number>, cd: Record<string, number>, privileged: boolean, table = 0n) => {
    const world = new World({ leaf1, cd });
    if (table) {
      const above = world.first.descriptor(VA, 1) as bigint;
      world.memory.write64(above, world.memory.read64(above) | table);
    }
    return (["r", "w", "x"] as const).map((access) => (world.walk({ access, privileged }).ok ? access : "-")).join("");
  };
  it.each([
    [{ AP1: 1 }, {}, "rwx", "rw-"],
    [{ AP1: 0 }, {}, "--x", "rwx"],
    [{ AP1: 1, AP2: 1 }, {}, "r-x", "r-x"],
    [{ AP1: 0, AP2: 1 }, {}, "--x", "r-x"],
    [{ AP1: 1, UXN: 1 }, {}, "rw-", "rw-"],
    [{ AP1: 1, AP2: 1, PXN: 1 }, {}, "r-x", "r--"],
    [{ AP1: 1 }, { PAN: 1 }, "rwx", "---"],
    [{ AP1: 0 }, { PAN: 1 }, "--x", "rwx"],
    [{ AP1: 1 }, { WXN: 1 }, "rw-", "rw-"],
    [{ AP1: 0 }, { WXN: 1 }, "--x", "rw-"],
  ] as const)("%o with %o: unprivileged %s, privileged %s", (leaf, cd, user, kernel) => {
    expect(rights(leaf, cd, false)).toBe(user);
    expect(rights(leaf, cd, true)).toBe(kernel);
  });

  it.each([
    ["PXNTable", PTE1.PXNTable, {}, "rwx", "rw-"],
    ["UXNTable", PTE1.UXNTable, {}, "rw-", "rw-"],
    ["APTable[0]", PTE1.APTable0, {}, "--x", "rwx"],
    ["APTable[1]", PTE1.APTable1, {}, "r-x", "r-x"],
    ["APTable[1], HAD", PTE1.APTable1, { HAD0: 1 }, "rwx", "rw-"],
  ] as const)("%s above the leaf", (_, field, cd, user, kernel) => {
    const table = 1n << BigInt(field & 63);
    expect(rights({ AP1: 1 }, cd, false, table)).toBe(user);
    expect(rights({ AP1: 1 }, cd, true, table)).toBe(kernel);
  });

  it("PRIVCFG and INSTCFG override what comes in", () => {
    expect(event(new World({ leaf1: { AP1: 0 }, ste: { PRIVCFG: 3 } }))).toBe("ok");
    expect(event(new World({ leaf1: { UXN: 1 }, ste: { INSTCFG: 3 } }))).toBe("F_PERMISSION PTE.permission");
    expect(event(new World({ leaf1: { UXN: 1 }, ste: { INSTCFG: 3 } }), { access: "w" })).toBe("ok");
    expect(event(new World({ leaf1: { UXN: 1 }, ste: { INSTCFG: 2 } }), { access: "x" })).toBe("ok");
  });

  it("EL2 knows one privilege and one table; EL2-E2H knows both", () => {
    const el2 = { ste: { STRW: 2 }, leaf1: { AP1: 0 } };
    expect(event(new World(el2))).toBe("ok");
    expect(event(new World({ ...el2, cd: { EPD0: 1 } }))).toBe("ok");
    expect(event(new World(el2), { address: 0xffff_8000_0000_0000n })).toBe("F_TRANSLATION input.size");
    const e2h = { ...el2, state: { cr2: 3 } };
    expect(event(new World(e2h))).toBe("F_PERMISSION PTE.permission");
    expect(event(new World({ ste: { STRW: 1 } }))).toBe("C_BAD_STE STE.STRW");
  });

  it("TBI takes the top byte away, for its half only", () => {
    const tagged = 0xab00_0000_0000_0000n | VA;
    expect(event(new World(), { address: tagged })).toBe("F_TRANSLATION input.size");
    expect(event(new World({ cd: { TBI0: 1 } }), { address: tagged })).toBe("ok");
    expect(event(new World({ cd: { TBI1: 1 } }), { address: tagged })).toBe("F_TRANSLATION input.size");
  });
});

describe("rights of stage 2, IHI 0070 3.10", () => {
  it.each([
    [{ XN: 0 }, "x", "x"],
    [{ XN: 1 }, "x", "-"],
    [{ XN: 2 }, "-", "-"],
    [{ XN: 3 }, "-", "x"],
  ])("%o: unprivileged %s, privileged %s may execute", (leaf2, user, kernel) => {
    const world = new World({ config: 6, leaf2 });
    for (const [privileged, may] of [
      [false, user],
      [true, kernel],
    ] as const) {
      expect(world.walk({ access: "x", privileged }).ok).toBe(may === "x");
    }
  });
});

describe("faults say where: level, entry and rule", () => {
  it("of the leaf", () => {
    const world = new World({ leaf1: { AF: 0 } });
    const outcome = world.walk() as Fault;
    expect(outcome).toMatchObject({ level: 3, fetchAddress: world.leaf1, entry: world.memory.read64(world.leaf1) });
  });
  it("of an illegal CD", () => {
    const world = new World({ cd: { TG0: 3 } });
    expect(world.walk()).toMatchObject({ check: "CD.TGx", entry: world.memory.read64(world.cd) });
    expect(getField([world.memory.read64(world.cd)], CD.TG0)).toBe(3n);
  });
});
