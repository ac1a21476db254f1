/**
 * Granules and start levels, access rights, hardware updates, attributes, worlds and ATS of SMMUv3 walks.
 * Arm ARM DDI 0487 D8; IHI 0070 3.13 (HTTU), 13 (attributes, PCIe).
 */
import { describe, expect, it } from "vitest";
import { CD, PTE, PTE1, PTE2 } from "../../assembly/layout/smmuv3.ts";
import {
  type Fault,
  GuestMemory,
  type Request,
  SmmuWalker,
  smmuAttributes,
  type Translation,
} from "../../src/index.ts";
import type { Granule } from "../../src/smmuv3/page-table.ts";
import { getField } from "../../src/structure.ts";
import { IPA, PA, RAM, RAM_BYTES, SERVER, SID, VA, World } from "../support/smmu-world.ts";

const ok = (world: World, request?: Partial<Request>) => {
  const outcome = world.walk(request);
  expect(outcome).toMatchObject({ ok: true });
  return outcome as Translation;
};
const event = (world: World, request?: Partial<Request>) => {
  const outcome = world.walk(request);
  return outcome.ok ? "ok" : `${outcome.name} ${outcome.check}`;
};
const bit = (world: World, at: bigint, field: number) => getField([world.memory.read64(at)], field);
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

describe("hardware updates (HTTU), IHI 0070 3.13", () => {
  const DBM = { DBM: 1, AP2: 1 };
  it("HA sets the access flag, and a probe leaves it", () => {
    const world = new World({ cd: { HA: 1 }, leaf1: { AF: 0 } });
    expect(world.walker.translate({ sid: SID, address: VA, probe: true })).toMatchObject({ ok: true, updated: false });
    expect(bit(world, world.leaf1, PTE.AF)).toBe(0n);
    expect(ok(world).updated).toBe(true);
    expect(bit(world, world.leaf1, PTE.AF)).toBe(1n);
    expect(ok(world).updated).toBe(false);
  });

  it("AFFD = 1 lets AF = 0 be, HA = 1 overrides it", () => {
    const world = new World({ cd: { AFFD: 1 }, leaf1: { AF: 0 } });
    expect(ok(world).updated).toBe(false);
    expect(bit(world, world.leaf1, PTE.AF)).toBe(0n);
  });

  it("HD makes a clean page dirty on a write, not on a read", () => {
    const world = new World({ cd: { HA: 1, HD: 1 }, leaf1: DBM });
    ok(world, { access: "r" });
    expect(bit(world, world.leaf1, PTE1.AP2)).toBe(1n);
    ok(world, { access: "w" });
    expect(bit(world, world.leaf1, PTE1.AP2)).toBe(0n);
  });

  it("no dirty state without permission, and none without HA", () => {
    const forbidden = new World({ cd: { HA: 1, HD: 1 }, leaf1: { ...DBM, AP1: 0 } });
    expect(event(forbidden, { access: "w" })).toBe("F_PERMISSION PTE.permission");
    expect(bit(forbidden, forbidden.leaf1, PTE1.AP2)).toBe(1n);
    expect(event(new World({ cd: { HD: 1 }, leaf1: DBM }), { access: "w" })).toBe("F_PERMISSION PTE.permission");
  });

  it("stage 2: access flag and S2AP[1]", () => {
    const world = new World({ config: 7, ste: { S2HA: 1, S2HD: 1 }, leaf2: { AF: 0, DBM: 1, S2AP1: 0 } });
    ok(world, { access: "w" });
    expect(bit(world, world.leaf2, PTE.AF)).toBe(1n);
    expect(bit(world, world.leaf2, PTE2.S2AP1)).toBe(1n);
  });

  it("an update of stage 1 is a write at stage 2: TTRnW = 0 where that may not be", () => {
    const world = new World({ config: 7, cd: { HA: 1 }, leaf1: { AF: 0 } });
    const at = world.second.descriptor(world.leaf1 + 0x1_0000_0000n) as bigint;
    world.memory.write64(at, world.memory.read64(at) & ~(1n << 7n));
    expect(world.walk()).toMatchObject({ name: "F_PERMISSION", stage: 2, class: 1, tableWrite: true });
    expect(bit(world, world.leaf1, PTE.AF)).toBe(0n);
  });

  it("unsupported: illegal in an STE; in a CD either bit alone is, the pair as Linux sets it is masked", () => {
    const state = { idr0: SERVER.idr0 & ~0xc0 };
    expect(event(new World({ config: 6, ste: { S2HA: 1 }, state }))).toBe("C_BAD_STE STE.S2HA,S2HD");
    expect(event(new World({ cd: { HA: 1 }, state }))).toBe("C_BAD_CD CD.HA,HD");
    expect(event(new World({ cd: { HD: 1 }, state }))).toBe("C_BAD_CD CD.HA,HD");
    const world = new World({ cd: { HA: 1, HD: 1 }, leaf1: { AF: 0 }, state });
    expect(event(world)).toBe("F_ACCESS PTE.AF");
  });

  it("starts over when the descriptor changes under it, and gives up in the end", () => {
    const world = new World({ cd: { HA: 1 }, leaf1: { AF: 0 } });
    const bytes = world.memory.readBytes(RAM, Number(RAM_BYTES));
    const view = new DataView(bytes.buffer);
    let left = 3;
    const host = {
      read: (address: bigint, into: Uint8Array) => {
        into.set(bytes.subarray(Number(address - RAM), Number(address - RAM) + into.length));
        return true;
      },
      write: () => true,
      compareExchange: (address: bigint, expected: bigint, replacement: bigint) => {
        const at = Number(address - RAM);
        const held = view.getBigUint64(at, true);
        if (left-- > 0) return held ^ 1n;
        if (held === expected) view.setBigUint64(at, replacement, true);
        return held;
      },
    };
    const memory = new GuestMemory({ ram: [{ base: RAM, size: RAM_BYTES, host }] });
    const walker = new SmmuWalker(memory, world.state);
    expect(walker.translate({ sid: SID, address: VA })).toMatchObject({ ok: true, updated: true });
    view.setBigUint64(Number(world.leaf1 - RAM), world.memory.read64(world.leaf1), true);
    left = 1e6;
    expect(walker.translate({ sid: SID, address: VA })).toMatchObject({ name: "F_WALK_EABT", check: "PTE.update" });
  });

  it("big-endian tables", () => {
    const world = new World({
      table1: { bigEndian: true },
      cd: { ENDI: 1, HA: 1 },
      leaf1: { AF: 0 },
      state: { idr0: SERVER.idr0 & ~0x60_0000 },
    });
    expect(ok(world).address).toBe(PA + 0x123n);
    expect(bit(world, world.leaf1 & ~7n, (50 << 16) | 50)).toBe(1n);
    expect(event(new World({ cd: { ENDI: 1 } }))).toBe("C_BAD_CD CD.ENDI");
  });
});

describe("attributes, IHI 0070 13", () => {
  const of = (world: World, request?: Partial<Request>) => {
    const { type, shareability } = smmuAttributes(ok(world, request).attributes);
    return `${type.toString(16)} ${shareability}`;
  };
  it.each([
    [
      "stage 1: MAIR by AttrIndx, SH of the leaf",
      { cd: { MAIR0: 0xbb44_0400 }, leaf1: { AttrIndx: 3, SH: 3 } },
      "bb inner",
    ],
    ["stage 1: Device is outer shareable", { cd: { MAIR0: 0xbb44_0400 }, leaf1: { AttrIndx: 1, SH: 0 } }, "4 outer"],
    ["stage 1: so is non-cacheable", { cd: { MAIR0: 0xbb44_0400 }, leaf1: { AttrIndx: 2, SH: 3 } }, "44 outer"],
    ["stage 2 only: incoming and MemAttr, the weaker", { config: 6, leaf2: { MemAttr: 5, SH: 0 } }, "44 outer"],
    ["stage 2 only: Device", { config: 6, leaf2: { MemAttr: 1 } }, "4 outer"],
    [
      "nested: write-through over write-back",
      { config: 7, cd: { MAIR0: 0xff }, leaf2: { MemAttr: 10, SH: 3 } },
      "bb inner",
    ],
    ["nested: Device wins", { config: 7, cd: { MAIR0: 0x0c }, leaf2: { MemAttr: 15 } }, "c outer"],
    [
      "S2FWB: write-back whatever stage 1 says",
      { config: 7, ste: { S2FWB: 1 }, cd: { MAIR0: 0x44 }, leaf2: { MemAttr: 6, SH: 3 } },
      "ff outer",
    ],
    [
      "S2FWB: as stage 1 says",
      { config: 7, ste: { S2FWB: 1 }, cd: { MAIR0: 0xbb }, leaf2: { MemAttr: 7, SH: 3 } },
      "bb inner",
    ],
    ["bypass: as it came", { config: 4 }, "ff non-shareable"],
    ["bypass: MTCFG, SHCFG", { config: 4, ste: { MTCFG: 1, MemAttr: 10, SHCFG: 3 } }, "bb inner"],
    ["bypass: ALLOCCFG, read-allocate and transient", { config: 4, ste: { ALLOCCFG: 13, SHCFG: 2 } }, "66 outer"],
  ] as const)("%s", (_, setup, expected) => {
    expect(of(new World(setup))).toBe(expected);
  });

  it("PnU and InD go out as overridden", () => {
    const world = new World({ config: 4, ste: { PRIVCFG: 3, INSTCFG: 3 } });
    expect(smmuAttributes(ok(world).attributes)).toMatchObject({ privileged: true, instruction: true });
  });
});

describe("SMMUEN = 0: GBPA, IHI 0070 6.3.14", () => {
  const off = (gbpa: number) => new World({ state: { cr0: 0, gbpa } });
  it("bypasses with its attributes, or aborts without an event", () => {
    expect(smmuAttributes(ok(off(0x1000)).attributes)).toMatchObject({ type: 0xff, shareability: "non-shareable" });
    expect(smmuAttributes(ok(off(0x301a)).attributes)).toMatchObject({ type: 0xbb, shareability: "inner" });
    expect(off(0x10_0000).walk()).toMatchObject({ ok: false, answer: "abort", code: 0, recorded: false });
    expect(off(0).walk({ address: 1n << 48n })).toMatchObject({ ok: false, code: 0 });
  });

  it("refuses ATS", () => {
    expect(off(0).walk({ type: "translation" })).toMatchObject({
      answer: "ur",
      name: "F_BAD_ATS_TREQ",
      recorded: true,
    });
    expect(off(0).walk({ type: "translated" })).toMatchObject({ answer: "abort", name: "F_TRANSL_FORBIDDEN" });
  });
});

describe("ATS, IHI 0070 3.9 and 13.7", () => {
  const ats = { ste: { EATS: 1 }, state: { cr0: 0x11 } };
  const rights = ({ permissions: p }: Translation) =>
    `${p.read ? "r" : "-"}${p.write ? "w" : "-"}${p.execute ? "x" : "-"}`;
  const ask = (world: World, request: Partial<Request> = {}) => rights(ok(world, { type: "translation", ...request }));

  it("a translation request is told what there is, and never faults for rights", () => {
    expect(ask(new World(ats))).toBe("rw-");
    expect(ask(new World(ats), { noWrite: true })).toBe("r--");
    expect(ask(new World({ ...ats, leaf1: { AP2: 1 } }))).toBe("r--");
    expect(ask(new World({ ...ats, leaf1: { AP1: 0 } }))).toBe("---");
    const substreams = { ...ats, log2Cds: 4, ssid: 3 };
    expect(ask(new World(substreams), { pasid: 3, access: "x" })).toBe("rwx");
    expect(ask(new World(substreams), { pasid: 3 })).toBe("rw-");
  });

  it("nothing mapped is a success without rights, no event", () => {
    const world = new World({ ...ats, cd: { S: 1 } });
    world.memory.write64(world.leaf1, 0n);
    expect(ok(world, { type: "translation" })).toMatchObject({
      permissions: { read: false, write: false },
      pageSize: 4096n,
    });
  });

  it("a broken configuration is a completer abort, recorded with REC_CFG_ATS only", () => {
    const broken = (cr2: number) =>
      new World({ ...ats, cd: { V: 0 }, state: { cr0: 0x11, cr2, idr0: SERVER.idr0 | 0x80_0000 } });
    expect(broken(2).walk({ type: "translation" })).toMatchObject({ answer: "ca", name: "C_BAD_CD", recorded: false });
    expect(broken(10).walk({ type: "translation" })).toMatchObject({ answer: "ca", recorded: true });
  });

  it("EATS = 0 and Config = 0b000 are unsupported requests, the first with an event", () => {
    expect(new World().walk({ type: "translation" })).toMatchObject({ answer: "ur", name: "F_BAD_ATS_TREQ" });
    expect(new World({ ste: { Config: 0 } }).walk({ type: "translation" })).toMatchObject({ answer: "ur", code: 0 });
  });

  it("NW = 0 makes a clean page dirty, NW = 1 does not", () => {
    const world = new World({ ...ats, cd: { HA: 1, HD: 1 }, leaf1: { DBM: 1, AP2: 1 } });
    expect(ask(world, { noWrite: true })).toBe("r--");
    expect(bit(world, world.leaf1, PTE1.AP2)).toBe(1n);
    expect(ask(world)).toBe("rw-");
    expect(bit(world, world.leaf1, PTE1.AP2)).toBe(0n);
  });

  it("split stages: the request gets the IPA, the translated transaction gives it back", () => {
    const world = new World({ config: 7, ste: { EATS: 2 }, state: { cr0: 0x11 } });
    expect(ok(world, { type: "translation" }).address).toBe(IPA + 0x123n);
    expect(ok(world, { type: "translated", address: IPA + 0x123n }).address).toBe(PA + 0x123n);
    expect(world.walk({ type: "translated", address: IPA + 0x5000n })).toMatchObject({
      stage: 2,
      name: "F_TRANSLATION",
    });
  });

  it("translated transactions pass, unless ATSCHK has the STE forbid it", () => {
    expect(ok(new World(), { type: "translated" }).bypass).toBe(true);
    expect(ok(new World(ats), { type: "translated" }).address).toBe(VA + 0x123n);
    const checked = { state: { cr0: 0x11 } };
    expect(new World(checked).walk({ type: "translated" })).toMatchObject({
      name: "F_TRANSL_FORBIDDEN",
      recorded: true,
    });
    expect(new World({ ...checked, ste: { V: 0 } }).walk({ type: "translated" })).toMatchObject({ recorded: false });
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
