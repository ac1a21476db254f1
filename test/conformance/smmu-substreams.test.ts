/** SMMU-037..049: from SubstreamID to CD, IHI 0070 3.3.2, 5.2 (S1DSS), 5.3 and 5.4. */
import { describe, expect, it } from "vitest";
import { aborts, translates } from "../support/smmu-expect.ts";
import { CD, type Values, words } from "../support/smmu-fields.ts";
import { CDS, DEFAULT_CD, type Options, PA, SmmuMachine, VA } from "../support/smmu-machine.ts";

/** `count` CDs in a linear table; the one at index n maps VA to PA + n pages. */
function linear(log2: number, ste: Parameters<SmmuMachine["stage1"]>[1] = {}): SmmuMachine {
  const machine = new SmmuMachine();
  machine.stage1({}, { S1CDMax: log2, ...ste });
  for (let i = 0; i < 1 << log2; i++) placeCd(machine, CDS + BigInt(64 * i), i);
  return machine;
}

function placeCd(machine: SmmuMachine, at: bigint, n: number): void {
  const tables = machine.tables(12, 48, 0);
  // Not global: the same address means another page in each of them.
  tables.map(VA, PA + BigInt(n) * 0x1000n, { nG: 1 });
  machine.setCd({ ...DEFAULT_CD, TTB0: tables.base, TTB1: tables.base, ASID: n + 1 }, at);
}

function badCd(cd: Values<typeof CD>, options: Options = {}, ste: Parameters<SmmuMachine["stage1"]>[1] = {}): void {
  const machine = new SmmuMachine(options);
  machine.stage1(cd, ste);
  aborts(machine, {}, { code: 0x0a });
}

const FOURTH = PA + 0x4000n;

describe("SubstreamID to CD, IHI 0070 3.3.2", () => {
  it("SMMU-037 a SubstreamID where stage 1 is off -> C_BAD_SUBSTREAMID", () => {
    const machine = new SmmuMachine();
    machine.setSte({ V: 1, Config: 4, SHCFG: 1 });
    aborts(machine, { pasid: 3 }, { code: 0x08 });
    machine.stage2();
    aborts(machine, { pasid: 0 }, { code: 0x08 });
  });

  it("SMMU-038 S1CDMax = 0: a SubstreamID -> C_BAD_SUBSTREAMID with it recorded; without, the one CD", () => {
    const machine = new SmmuMachine();
    machine.stage1().map(VA, PA);
    translates(machine, {}, PA);
    aborts(machine, { pasid: 0xabcde }, { code: 0x08 });
    aborts(machine, { pasid: 0 }, { code: 0x08 });
  });

  it("SMMU-039 S1DSS = 0: no SubstreamID -> F_STREAM_DISABLED; SubstreamID 0 uses CD 0", () => {
    for (const S1DSS of [0, 3]) {
      const machine = linear(3, { S1DSS });
      aborts(machine, {}, { code: 0x06 });
      translates(machine, { pasid: 0 }, PA);
      translates(machine, { pasid: 4 }, FOURTH);
    }
  });

  it("SMMU-040 S1DSS = 1: no SubstreamID passes stage 1 by; others use their CD", () => {
    const machine = linear(3, { S1DSS: 1 });
    expect(machine.ask()).toMatchObject({ ok: true, address: VA, bypass: true });
    translates(machine, { pasid: 4 }, FOURTH);
    translates(machine, { pasid: 0 }, PA);
    const { second } = machine.nested({}, { S1CDMax: 3, S1DSS: 1 });
    second.map2(VA, PA + 0x9000n);
    machine.invalidateAll();
    translates(machine, {}, PA + 0x9000n);
    aborts(machine, { address: VA + 0x1000n }, { code: 0x10, stage: 2, class: 2, ipa: VA + 0x1000n });
  });

  it("SMMU-041 S1DSS = 2: no SubstreamID uses CD 0; SubstreamID 0 -> F_STREAM_DISABLED", () => {
    const machine = linear(3, { S1DSS: 2 });
    translates(machine, {}, PA);
    translates(machine, { pasid: 4 }, FOURTH);
    aborts(machine, { pasid: 0 }, { code: 0x06 });
  });

  it("SMMU-042 SubstreamID 2^S1CDMax -> C_BAD_SUBSTREAMID; 2^S1CDMax - 1 works", () => {
    const machine = linear(3);
    translates(machine, { pasid: 7 }, PA + 0x7000n);
    aborts(machine, { pasid: 8 }, { code: 0x08 });
    aborts(machine, { pasid: 0xfffff }, { code: 0x08 });
  });

  it("SMMU-043 leaves of 4 KiB: L1CD.V = 0 -> C_BAD_SUBSTREAMID; SubstreamID 64 is L1[1], entry 0", () => {
    const machine = new SmmuMachine();
    const l1 = machine.allocate(12);
    const leaf = machine.allocate(12);
    machine.stage1({}, { S1CDMax: 12, S1Fmt: 1, S1ContextPtr: l1 });
    placeCd(machine, leaf, 0);
    placeCd(machine, leaf + 64n * 63n, 4);
    machine.store(l1 + 8n, [leaf | 1n]);
    machine.invalidateAll();
    translates(machine, { pasid: 64 }, PA);
    translates(machine, { pasid: 127 }, FOURTH);
    aborts(machine, { pasid: 63 }, { code: 0x08 });
    aborts(machine, { pasid: 128 }, { code: 0x08 });
  });

  it("SMMU-044 leaves of 64 KiB: SubstreamIDs 1023 and 1024 are L1[0][1023] and L1[1][0]", () => {
    const machine = new SmmuMachine();
    const l1 = machine.allocate(14);
    const [low, high] = [machine.allocate(16), machine.allocate(16)];
    machine.stage1({}, { S1CDMax: 20, S1Fmt: 2, S1ContextPtr: l1 });
    placeCd(machine, low + 64n * 1023n, 0);
    placeCd(machine, high, 4);
    // Bits 15:12 of the pointer do not count for leaves of this size.
    machine.store(l1, [low | 0xf000n | 1n, high | 1n]);
    machine.invalidateAll();
    translates(machine, { pasid: 1023 }, PA);
    translates(machine, { pasid: 1024 }, FOURTH);
    aborts(machine, { pasid: 2048 }, { code: 0x08 });
  });

  it("SMMU-045 a CD that cannot be read -> F_CD_FETCH with its address", () => {
    const machine = linear(3);
    machine.memory.poison(CDS + 64n * 5n, 8);
    aborts(machine, { pasid: 5 }, { code: 0x09, fetchAddress: CDS + 64n * 5n });
    const l1 = machine.allocate(12);
    machine.setSte({ V: 1, Config: 5, S1CDMax: 12, S1Fmt: 1, S1ContextPtr: l1 });
    machine.memory.poison(l1 + 8n, 8);
    aborts(machine, { pasid: 64 }, { code: 0x09, fetchAddress: l1 + 8n });
  });
});

describe("Illegal CDs, IHI 0070 5.4", () => {
  it("SMMU-046 CD.V = 0, S with S1STALLD, A = 0 where faults always abort -> C_BAD_CD", () => {
    badCd({ V: 0 });
    badCd({ S: 1 }, {}, { S1STALLD: 1 });
    badCd({ A: 0 }, { ids: { IDR0: 0x0c4d_369b } });
  });

  it("SMMU-047 TxSZ = 40 without STT -> C_BAD_CD; TxSZ does not count where EPD is set", () => {
    const noSmallTables = { ids: { IDR3: 0x1514 } };
    badCd({ T0SZ: 40 }, noSmallTables);
    badCd({ T1SZ: 40 }, noSmallTables);
    badCd({ T0SZ: 15 });
    const machine = new SmmuMachine(noSmallTables);
    machine.stage1({ T1SZ: 40, EPD1: 1 }).map(VA, PA);
    translates(machine, {}, PA);
  });

  it("SMMU-048 TTB0 beyond the effective IPS -> C_BAD_CD for either half; not with EPD0 = 1", () => {
    const upper = { address: 0xffff_0000_0000_1000n };
    const build = (cd: Values<typeof CD>) => {
      const machine = new SmmuMachine();
      machine.stage1().map(upper.address, PA);
      const good = machine.tables(12, 48, 0);
      good.map(upper.address, PA);
      machine.store(CDS, words(CD, 8, { ...DEFAULT_CD, IPS: 0, TTB0: 1n << 33n, TTB1: good.base, ...cd }));
      machine.invalidateAll();
      return machine;
    };
    aborts(build({}), upper, { code: 0x0a });
    translates(build({ EPD0: 1 }), upper, PA);
  });

  it("ASID[15:8] != 0 where ASIDs have 8 bits -> C_BAD_CD; a world without ASIDs ignores it", () => {
    const short = { ids: { IDR0: 0x084d_269b } };
    badCd({ ASID: 0x101 }, short);
    for (const [options, cd, ste] of [
      [{}, { ASID: 0x101 }, {}],
      [short, { ASID: 0xff }, {}],
      [short, { ASID: 0x101 }, { STRW: 2 }],
    ] as const) {
      const machine = new SmmuMachine(options);
      machine.stage1(cd, ste).map(VA, PA);
      translates(machine, {}, PA);
    }
  });

  it("SMMU-049 EPD0 = EPD1 = 1: a valid CD whose every access is F_TRANSLATION", () => {
    const machine = new SmmuMachine();
    machine.stage1({ EPD0: 1, EPD1: 1, T0SZ: 63, TG0: 3 }).map(VA, PA);
    for (const address of [VA, 0xffff_0000_0000_0000n]) aborts(machine, { address }, { code: 0x10, stage: 1 });
  });
});
