/**
 * What the SMMU's caches may hold and what each invalidation must remove, IHI 0070 3.17, 3.21, 4.3, 4.4.
 *
 * A change of one entry in memory permits two answers, the old one and the new one, until the right
 * invalidation; then only the new one. "retain" gives the old one for as long as it may.
 */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { CD, L1CD, L1STD, PTE, STE } from "../../assembly/layout/smmuv3.ts";
import { OPCODE, TLBI_TG } from "../../assembly/layout/smmuv3-queues.ts";
import { type Outcome, type Request, type SmmuCachePolicy, SmmuWalker } from "../../src/index.ts";
import type { TlbInvalidation } from "../../src/smmuv3/invalidation.ts";
import { Choices } from "../support/choices.ts";
import { runs, seed } from "../support/runs.ts";
import { buildCase } from "../support/smmu-cases/case.ts";
import { Platform } from "../support/smmu-cases/platform.ts";
import { damage, IPA, PA, type Setup, SID, show, World } from "../support/smmu-world.ts";

const TINY: SmmuCachePolicy = {
  policy: "retain",
  requesters: 8,
  l1Stds: 4,
  stes: 4,
  l1Cds: 4,
  cds: 4,
  translations: 8,
  stage2Leaves: 8,
  stage1Tables: 8,
  stage2Tables: 8,
};
const POLICIES: readonly SmmuCachePolicy[] = [
  "sized",
  "retain",
  TINY,
  // Some caches are absent.
  { policy: "sized", requesters: 8, stes: 4, l1Cds: 4, stage1Tables: 8 },
  { policy: "retain", l1Stds: 0, cds: 0, translations: 0, stage2Leaves: 0 },
  { policy: "retain", stes: 0, l1Cds: 0, stage1Tables: 0, stage2Tables: 0 },
];
const ALL = 0xffff_ffff_ffff_ffffn;
/** More than one group of a batch. */
const BATCH = 80;

/** Whatever the walk did to memory shows in the memory, not in later answers. */
const settled = (outcome: Outcome): string => show(outcome.ok ? { ...outcome, updated: false } : outcome);

describe("with memory unchanged", () => {
  it.each(POLICIES.map((policy) => [JSON.stringify(policy), policy] as const))("%s changes no answer", (_, policy) => {
    const platform = new Platform();
    const state = { idr0: 0, idr1: 0, idr5: 0, cr0: 0, strtabBase: 0n, strtabBaseCfg: 0 };
    const plain = new SmmuWalker(platform.memory, state);
    const cached = new SmmuWalker(platform.memory, state, policy);
    const batch = cached.batch(BATCH);
    let good = 0;
    fc.assert(
      fc.property(fc.uint32Array({ minLength: 600, maxLength: 600 }), (tape) => {
        const drawn = buildCase(new Choices(tape), 4);
        platform.load(drawn.image);
        plain.configure(drawn.state);
        cached.configure(drawn.state);
        cached.caches?.invalidateAll();
        const wanted = drawn.requests.map((request) => show(plain.translate(request)));
        platform.reload(drawn.image);
        drawn.requests.forEach((request, i) => {
          const outcome = cached.translate(request);
          if (outcome.ok) good++;
          expect(show(outcome)).toBe(wanted[i]);
        });
        // Updates are in memory now, and translations in the caches.
        for (const request of drawn.requests) {
          expect(settled(cached.translate(request))).toBe(settled(plain.translate(request)));
        }
        // In a batch, from empty caches: the same again.
        const singles = drawn.requests.map((request) => settled(plain.translate(request)));
        const { length } = singles;
        cached.caches?.invalidateAll();
        for (let i = 0; i < BATCH; i++) batch.set(i, drawn.requests[i % length] as Request);
        batch.run(BATCH);
        for (let i = 0; i < BATCH; i++) expect(settled(batch.get(i))).toBe(singles[i % length]);
      }),
      { numRuns: runs(1500, 30_000), seed },
    );
    expect(good).toBeGreaterThan(100);
  });
});

interface Kind {
  setup: Setup;
  request?: Partial<Request>;
  /** Changes one word of memory. */
  change: (world: World) => void;
  /** The commands that each make the SMMU see it (several are needed where there are several). */
  commands: ((unit: SmmuWalker) => void)[];
  /** Commands that need not, and with "retain" do not. */
  others?: ((unit: SmmuWalker) => void)[];
}

const tlbi =
  (opcode: OPCODE, what: Partial<TlbInvalidation> = {}) =>
  (unit: SmmuWalker): void =>
    unit.caches?.invalidateTlb({
      opcode,
      vmidMask: 0xffff,
      vmid: 7,
      asid: 5,
      first: 0n,
      last: ALL,
      leaf: false,
      tg: TLBI_TG.NONE,
      ttl: 0,
      ...what,
    });
const cfgiSte =
  (sid = SID, leaf = true) =>
  (unit: SmmuWalker) =>
    unit.caches?.invalidateSte(sid, leaf);
const cfgiCd =
  (ssid = 0, leaf = true) =>
  (unit: SmmuWalker) =>
    unit.caches?.invalidateCd(SID, ssid, leaf);
const cfgiCdAll =
  (sid = SID) =>
  (unit: SmmuWalker) =>
    unit.caches?.invalidateCdAll(sid);
const cfgiRange = (sid: number, log2: number) => (unit: SmmuWalker) => unit.caches?.invalidateSteRange(sid, log2);

const page = { first: 0x12_3456_7000n, last: 0x12_3456_7000n };
const elsewhere = { first: 0x13_0000_0000n, last: 0x13_0000_ffffn };
const ipaPage = { first: IPA, last: IPA };
const plain: Setup = { ste: { S2VMID: 7 }, cd: { ASID: 5 } };
const nested: Setup = { config: 7, cd: { ASID: 5 } };
const bare = (w: World, at: bigint) => w.memory.write64(at, w.memory.read64(at) ^ 0x10_0000n);
const nhVa = tlbi(OPCODE.CMD_TLBI_NH_VA, page);

const KINDS: Record<string, Kind> = {
  L1STD: {
    setup: plain,
    change: (w) => damage(w, w.state.strtabBase + 8n, L1STD.Span, 0),
    commands: [cfgiSte(SID, false), cfgiRange(0x100, 8), cfgiRange(0, 32)],
    others: [cfgiSte(0x90, false), tlbi(OPCODE.CMD_TLBI_NSNH_ALL)],
  },
  STE: {
    setup: plain,
    change: (w) => damage(w, w.ste, STE.V, 0),
    commands: [cfgiSte(), cfgiRange(SID, 0), cfgiRange(0x100, 6), cfgiRange(0, 32)],
    others: [cfgiSte(SID + 1), cfgiRange(0x140, 5), cfgiCdAll(), tlbi(OPCODE.CMD_TLBI_NSNH_ALL)],
  },
  "invalid STE that becomes valid": {
    setup: { ste: { V: 0 } },
    change: (w) => damage(w, w.ste, STE.V, 1),
    commands: [cfgiSte()],
    others: [cfgiSte(SID + 1)],
  },
  L1CD: {
    setup: { ...plain, log2Cds: 16, format: 2, ssid: 3 },
    request: { pasid: 3 },
    change: (w) => damage(w, w.cds.root, L1CD.V, 0),
    commands: [cfgiCd(3, false), cfgiCdAll(), cfgiSte()],
    others: [cfgiCdAll(SID + 1), tlbi(OPCODE.CMD_TLBI_NSNH_ALL)],
  },
  CD: {
    setup: { ...plain, log2Cds: 4, ssid: 3 },
    request: { pasid: 3 },
    change: (w) => damage(w, w.cd, CD.V, 0),
    commands: [cfgiCd(3), cfgiCdAll(), cfgiSte(), cfgiRange(0, 32)],
    others: [cfgiCd(4), cfgiSte(SID + 1), tlbi(OPCODE.CMD_TLBI_NSNH_ALL)],
  },
  "page of stage 1": {
    setup: plain,
    change: (w) => bare(w, w.leaf1),
    commands: [
      nhVa,
      tlbi(OPCODE.CMD_TLBI_NH_VA, { ...page, leaf: true }),
      tlbi(OPCODE.CMD_TLBI_NH_VA, { first: 0x12_0000_0000n, last: 0x12_ffff_ffffn }),
      tlbi(OPCODE.CMD_TLBI_NH_VAA, { ...page, asid: 9 }),
      tlbi(OPCODE.CMD_TLBI_NH_ASID),
      tlbi(OPCODE.CMD_TLBI_NH_ALL),
      tlbi(OPCODE.CMD_TLBI_S12_VMALL),
      tlbi(OPCODE.CMD_TLBI_NSNH_ALL, { vmid: 1 }),
      tlbi(OPCODE.CMD_TLBI_NH_ALL, { vmid: 6, vmidMask: 0xfffe }),
    ],
    others: [
      tlbi(OPCODE.CMD_TLBI_NH_VA, elsewhere),
      tlbi(OPCODE.CMD_TLBI_NH_VA, { ...page, asid: 6 }),
      tlbi(OPCODE.CMD_TLBI_NH_VA, { ...page, vmid: 8 }),
      tlbi(OPCODE.CMD_TLBI_NH_ASID, { asid: 6 }),
      tlbi(OPCODE.CMD_TLBI_NH_ALL, { vmid: 6 }),
      tlbi(OPCODE.CMD_TLBI_EL2_ALL),
      tlbi(OPCODE.CMD_TLBI_S2_IPA, page),
      // Configuration and translations go separately.
      cfgiSte(),
      cfgiCdAll(),
      cfgiRange(0, 32),
    ],
  },
  "global page of stage 1": {
    setup: { ...plain, leaf1: { nG: 0 } },
    change: (w) => bare(w, w.leaf1),
    commands: [
      nhVa,
      tlbi(OPCODE.CMD_TLBI_NH_VA, { ...page, asid: 6 }),
      tlbi(OPCODE.CMD_TLBI_NH_VAA, page),
      tlbi(OPCODE.CMD_TLBI_NH_ALL),
    ],
    others: [tlbi(OPCODE.CMD_TLBI_NH_ASID), tlbi(OPCODE.CMD_TLBI_NH_VA, elsewhere)],
  },
  "table of stage 1": {
    setup: plain,
    // The same page by another table, 2 MiB further up.
    change: (w) => bare(w, w.first.descriptor(w.va, 2) as bigint),
    commands: [nhVa, tlbi(OPCODE.CMD_TLBI_NH_ASID), tlbi(OPCODE.CMD_TLBI_NH_ALL), tlbi(OPCODE.CMD_TLBI_NSNH_ALL)],
    others: [tlbi(OPCODE.CMD_TLBI_NH_VA, { ...page, leaf: true }), tlbi(OPCODE.CMD_TLBI_NH_VA, elsewhere), cfgiSte()],
  },
  "page of the EL2 regime": {
    setup: { ste: { STRW: 2 }, leaf1: { AP1: 0 } },
    change: (w) => bare(w, w.leaf1),
    commands: [tlbi(OPCODE.CMD_TLBI_EL2_ALL), tlbi(OPCODE.CMD_TLBI_EL2_VA, page), tlbi(OPCODE.CMD_TLBI_EL2_VAA, page)],
    others: [tlbi(OPCODE.CMD_TLBI_NSNH_ALL), tlbi(OPCODE.CMD_TLBI_EL2_VA, elsewhere)],
  },
  "page of the EL2-E2H regime": {
    setup: { ste: { STRW: 2 }, cd: { ASID: 5 }, state: { cr2: 3 } },
    change: (w) => bare(w, w.leaf1),
    commands: [tlbi(OPCODE.CMD_TLBI_EL2_ALL), tlbi(OPCODE.CMD_TLBI_EL2_VA, page), tlbi(OPCODE.CMD_TLBI_EL2_ASID)],
    others: [tlbi(OPCODE.CMD_TLBI_EL2_ASID, { asid: 6 }), tlbi(OPCODE.CMD_TLBI_EL2_VA, { ...page, asid: 6 })],
  },
  "page of stage 2": {
    setup: { config: 6, va: IPA },
    change: (w) => bare(w, w.leaf2),
    commands: [
      tlbi(OPCODE.CMD_TLBI_S2_IPA, ipaPage),
      tlbi(OPCODE.CMD_TLBI_S2_IPA, { ...ipaPage, leaf: true }),
      tlbi(OPCODE.CMD_TLBI_S12_VMALL),
      tlbi(OPCODE.CMD_TLBI_NSNH_ALL, { vmid: 1 }),
    ],
    others: [
      tlbi(OPCODE.CMD_TLBI_S2_IPA, elsewhere),
      tlbi(OPCODE.CMD_TLBI_S2_IPA, { ...ipaPage, vmid: 6 }),
      tlbi(OPCODE.CMD_TLBI_S12_VMALL, { vmid: 6 }),
      cfgiSte(),
    ],
  },
  "table of stage 2": {
    setup: { config: 6, va: IPA },
    change: (w) => bare(w, w.second.descriptor(IPA, 2) as bigint),
    commands: [tlbi(OPCODE.CMD_TLBI_S2_IPA, ipaPage), tlbi(OPCODE.CMD_TLBI_S12_VMALL)],
    others: [tlbi(OPCODE.CMD_TLBI_S2_IPA, { ...ipaPage, leaf: true }), cfgiSte()],
  },
  "page of stage 1 behind stage 2": {
    setup: nested,
    change: (w) => w.memory.write64(w.leaf1, 0n),
    commands: [nhVa, tlbi(OPCODE.CMD_TLBI_NH_ALL), tlbi(OPCODE.CMD_TLBI_S12_VMALL)],
    others: [tlbi(OPCODE.CMD_TLBI_S2_IPA, ipaPage), cfgiSte()],
  },
  "page of stage 2 behind stage 1": {
    setup: nested,
    change: (w) => bare(w, w.leaf2),
    commands: [
      (unit) => {
        tlbi(OPCODE.CMD_TLBI_S2_IPA, ipaPage)(unit);
        tlbi(OPCODE.CMD_TLBI_NH_ALL)(unit);
      },
      tlbi(OPCODE.CMD_TLBI_S12_VMALL),
      tlbi(OPCODE.CMD_TLBI_NSNH_ALL),
    ],
    // Either half alone is not enough.
    others: [tlbi(OPCODE.CMD_TLBI_S2_IPA, ipaPage), tlbi(OPCODE.CMD_TLBI_NH_ALL)],
  },
};

/** A world with a cached walker that has seen one request, then the change. */
function changed(kind: Kind, policy: SmmuCachePolicy) {
  const world = new World(kind.setup);
  // Another table and page, so that a redirected table or leaf leads to something that differs.
  const unit = new SmmuWalker(world.memory, world.state, policy);
  const request = { sid: SID, address: world.va + 0x123n, ...kind.request };
  const before = settled(unit.translate(request));
  kind.change(world);
  const after = settled(world.walker.translate(request));
  expect(after).not.toBe(before);
  return { unit, before, after, ask: () => settled(unit.translate(request)) };
}

describe.each(Object.entries(KINDS))("a changed %s", (_, kind) => {
  it("is seen after each command that must make it seen, under every policy", () => {
    for (const policy of POLICIES) {
      for (const command of kind.commands) {
        const { unit, after, ask } = changed(kind, policy);
        command(unit);
        expect(ask()).toBe(after);
      }
    }
  });

  it("is kept by retain until then, whatever else is invalidated", () => {
    for (const other of [() => {}, ...(kind.others ?? [])]) {
      const { unit, before, ask } = changed(kind, "retain");
      expect(ask()).toBe(before);
      other(unit);
      expect(ask()).toBe(before);
    }
  });
});

describe("what is never held", () => {
  it("faulting descriptors: invalid to valid needs no invalidation", () => {
    const world = new World();
    const word = world.memory.read64(world.leaf1);
    const unit = new SmmuWalker(world.memory, world.state, "retain");
    for (const broken of [0n, word & ~(1n << BigInt(PTE.AF & 63)), word & ~(1n << 6n)]) {
      world.memory.write64(world.leaf1, broken);
      expect(unit.translate({ sid: SID, address: world.va }).ok).toBe(false);
      world.memory.write64(world.leaf1, word);
      expect(unit.translate({ sid: SID, address: world.va }).ok).toBe(true);
      unit.caches?.invalidateAll();
    }
  });

  it("structures that could not be read", () => {
    const world = new World();
    const unit = new SmmuWalker(world.memory, world.state, "retain");
    for (const at of [world.state.strtabBase + 8n, world.ste, world.cd, world.leaf1]) {
      world.memory.poison(at, 8);
      expect(unit.translate({ sid: SID, address: world.va }).ok).toBe(false);
      world.memory.heal();
      expect(unit.translate({ sid: SID, address: world.va }).ok).toBe(true);
      unit.caches?.invalidateAll();
    }
  });

  it("a probe's finds", () => {
    const world = new World();
    const unit = new SmmuWalker(world.memory, world.state, "retain");
    expect(unit.translate({ sid: SID, address: world.va, probe: true }).ok).toBe(true);
    damage(world, world.ste, STE.V, 0);
    expect(unit.translate({ sid: SID, address: world.va }).ok).toBe(false);
  });
});

describe("tags", () => {
  it("a write to a clean page walks although a read has cached it", () => {
    const world = new World({ cd: { HA: 1, HD: 1 }, leaf1: { DBM: 1, AP2: 1 } });
    const unit = new SmmuWalker(world.memory, world.state, "retain");
    const ask = (access: "r" | "w") => unit.translate({ sid: SID, address: world.va, access });
    expect([ask("r"), ask("r"), ask("w"), ask("w")].map((outcome) => outcome.ok && outcome.updated)).toEqual([
      false,
      false,
      true,
      false,
    ]);
  });

  it("privilege: what one level may, the other may not", () => {
    const world = new World({ leaf1: { AP1: 0 } });
    const unit = new SmmuWalker(world.memory, world.state, "retain");
    const ask = (privileged: boolean) => unit.translate({ sid: SID, address: world.va, privileged }).ok;
    expect([ask(true), ask(false), ask(true), ask(false)]).toEqual([true, false, true, false]);
  });

  it("instruction fetches: execute-only pages are not readable from the cache", () => {
    const world = new World({ leaf1: { AP1: 0 } });
    const unit = new SmmuWalker(world.memory, world.state, "retain");
    const ask = (access: "r" | "x") => unit.translate({ sid: SID, address: world.va, access }).ok;
    expect([ask("x"), ask("r"), ask("x"), ask("r")]).toEqual([true, false, true, false]);
  });

  it("two streams with one ASID share translations, and keep their own configuration", () => {
    const world = new World(plain);
    const unit = new SmmuWalker(world.memory, world.state, "retain");
    world.streams.set(SID + 1, { Config: 5, S2VMID: 7, ...world.cds.fields });
    expect(unit.translate({ sid: SID, address: world.va }).ok).toBe(true);
    world.memory.write64(world.leaf1, 0n);
    expect(unit.translate({ sid: SID + 1, address: world.va })).toMatchObject({ ok: true, address: PA });
    damage(world, world.ste + 64n, STE.V, 0);
    unit.caches?.invalidateSte(SID + 1, true);
    expect(unit.translate({ sid: SID + 1, address: world.va })).toMatchObject({ ok: false, code: 4 });
  });

  it("SMMUEN = 0 translates nothing, and the caches are there again after it", () => {
    const world = new World(plain);
    const unit = new SmmuWalker(world.memory, world.state, "retain");
    expect(unit.translate({ sid: SID, address: world.va })).toMatchObject({ ok: true, address: PA });
    unit.configure({ ...world.state, cr0: 0 });
    expect(unit.translate({ sid: SID, address: world.va })).toMatchObject({ ok: true, bypass: true });
    world.memory.write64(world.leaf1, 0n);
    unit.configure(world.state);
    expect(unit.translate({ sid: SID, address: world.va })).toMatchObject({ ok: true, address: PA });
  });
});
