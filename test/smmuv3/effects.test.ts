/**
 * What walks do to tables, and how transactions go out: IHI 0070 3.13 (HTTU), 13 (attributes, PCIe and ATS).
 */
import { describe, expect, it } from "vitest";
import { PTE, PTE1, PTE2 } from "../../assembly/layout/smmuv3.ts";
import { GuestMemory, type Request, SmmuWalker, smmuAttributes, type Translation } from "../../src/index.ts";
import { bit, event, IPA, ok, PA, RAM, RAM_BYTES, SERVER, SID, VA, World } from "../support/smmu-world.ts";

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

  it("F_WALK_EABT of the stage whose descriptor can be read but not written", () => {
    for (const [stage, world] of [
      [1, new World({ cd: { HA: 1 }, leaf1: { AF: 0 } })],
      [2, new World({ config: 7, ste: { S2HA: 1 }, leaf2: { AF: 0 } })],
    ] as const) {
      const bytes = world.memory.readBytes(RAM, Number(RAM_BYTES));
      const host = {
        read: (address: bigint, into: Uint8Array) => {
          into.set(bytes.subarray(Number(address - RAM), Number(address - RAM) + into.length));
          return true;
        },
        write: () => false,
      };
      const walker = new SmmuWalker(new GuestMemory({ ram: [{ base: RAM, size: RAM_BYTES, host }] }), world.state);
      const expected = { code: 0x0b, stage, check: "PTE.update", answer: "abort" };
      expect(walker.translate({ sid: SID, address: VA })).toMatchObject(expected);
    }
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

describe("an SMMU that implements big-endian tables alone, IHI 0070 6.3 IDR0.TTENDIAN, 5.4 ENDI", () => {
  const bigOnly = { idr0: SERVER.idr0 | 0x60_0000 };
  const behind = { config: 7, table2: { bigEndian: true }, ste: { S2ENDI: 1 } } as const;
  const walks = (world: World) =>
    ([undefined, "sized", "retain"] as const).flatMap((policy) => {
      const walker = new SmmuWalker(world.memory, world.state, policy);
      const batch = walker.batch(2);
      for (const i of [0, 1]) batch.set(i, { sid: SID, address: VA });
      batch.run(2);
      const singles = [1, 2].map(() => walker.translate({ sid: SID, address: VA }));
      return [batch.get(0), batch.get(1), ...singles];
    });

  it.each([
    ["alone", {}],
    ["behind stage 2", behind],
  ])("refuses a CD with ENDI = 0 in every walk, cached or not: stage 1 %s", (_, setup) => {
    // All else about it is good: where little-endian tables are implemented too, it translates.
    const mixed = new World({ ...setup, state: { idr0: SERVER.idr0 & ~0x60_0000 } });
    for (const outcome of walks(mixed)) expect(outcome).toMatchObject({ ok: true, address: PA });
    const world = new World({ ...setup, state: bigOnly });
    expect(event(world)).toBe("C_BAD_CD CD.ENDI");
    for (const outcome of walks(world)) {
      expect(outcome).toMatchObject({ ok: false, code: 0x0a, check: "CD.ENDI", recorded: true });
    }
  });

  it.each([
    ["alone", {}],
    ["behind stage 2", behind],
  ])("translates by a CD with ENDI = 1 in every walk, cached or not: stage 1 %s", (_, setup) => {
    const world = new World({ ...setup, table1: { bigEndian: true }, cd: { ENDI: 1 }, state: bigOnly });
    expect(ok(world).address).toBe(PA + 0x123n);
    for (const outcome of walks(world)) expect(outcome).toMatchObject({ ok: true, address: PA });
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
