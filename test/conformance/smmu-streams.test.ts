/** SMMU-025..036: from StreamID to STE, IHI 0070 3.3.1 and 5.2. */
import { describe, expect, it } from "vitest";
import { aborts } from "../support/smmu-expect.ts";
import { OP, REG, STE, type Values, words } from "../support/smmu-fields.ts";
import { CDS, DEFAULT_STAGE2, type Options, SID, SmmuMachine, STREAMS, VA } from "../support/smmu-machine.ts";

const OUTSIDE_RAM = 0x8_0000_0000n;

function badSte(values: Values<typeof STE>, options: Options = {}): void {
  const machine = new SmmuMachine(options);
  machine.setSte(values);
  aborts(machine, {}, { code: 0x04 });
}

/** A 2-level stream table with `split`; returns where the L1 descriptor of `sid` lies. */
function twoLevel(machine: SmmuMachine, split: number, bits = 12): (sid: number) => bigint {
  machine.write(REG.CR0, 0);
  const l1 = machine.allocate(14);
  machine.write64(REG.STRTAB_BASE, l1);
  machine.write(REG.STRTAB_BASE_CFG, bits | (split << 6) | (1 << 16));
  machine.write(REG.CR0, 0xd);
  machine.invalidateAll();
  return (sid) => l1 + BigInt(8 * (sid >> split));
}

const BYPASS = words(STE, 8, { V: 1, Config: 4, SHCFG: 1 });
const stage2 = { V: 1, Config: 6, ...DEFAULT_STAGE2, S2TTB: CDS };

describe("StreamID to STE, IHI 0070 3.3.1", () => {
  it("SMMU-025 SID = 2^LOG2SIZE aborts; C_BAD_STREAMID iff RECINVSID = 1", () => {
    for (const cr2 of [0, 2]) {
      const machine = new SmmuMachine({ cr2 });
      machine.store(STREAMS + 64n * 255n, BYPASS);
      machine.store(STREAMS + 64n * 256n, BYPASS);
      expect(machine.ask({ sid: 255 }).ok).toBe(true);
      aborts(machine, { sid: 256 }, cr2 ? { code: 0x02 } : undefined);
    }
  });

  it("SMMU-026 Span 0, reserved, above SPLIT + 1, and an index beyond it -> C_BAD_STREAMID", () => {
    const machine = new SmmuMachine();
    const l1 = twoLevel(machine, 8);
    const leaf = machine.allocate(14);
    machine.store(leaf, BYPASS);
    machine.store(leaf + 64n * 3n, BYPASS);
    machine.store(leaf + 64n * 4n, BYPASS);
    const span = (value: number) => {
      machine.store(l1(0x300), [leaf | BigInt(value)]);
      machine.invalidateAll();
    };
    span(3);
    expect(machine.ask({ sid: 0x300 }).ok).toBe(true);
    expect(machine.ask({ sid: 0x303 }).ok).toBe(true);
    aborts(machine, { sid: 0x304 }, { code: 0x02 });
    span(9);
    expect(machine.ask({ sid: 0x304 }).ok).toBe(true);
    for (const bad of [0, 10, 11, 12, 31]) {
      span(bad);
      aborts(machine, { sid: 0x300 }, { code: 0x02 });
    }
  });

  it("SMMU-027 an L1STD or STE that cannot be read -> F_STE_FETCH with its address", () => {
    const machine = new SmmuMachine();
    machine.memory.poison(STREAMS + 64n * 7n, 64);
    aborts(machine, { sid: 7 }, { code: 0x03, fetchAddress: STREAMS + 64n * 7n });
    const l1 = twoLevel(machine, 8);
    machine.store(l1(0x100), [OUTSIDE_RAM | 9n]);
    machine.invalidateAll();
    aborts(machine, { sid: 0x142 }, { code: 0x03, fetchAddress: OUTSIDE_RAM + 64n * 0x42n });
    machine.memory.poison(l1(0x200), 8);
    aborts(machine, { sid: 0x200 }, { code: 0x03, fetchAddress: l1(0x200) });
  });

  it("SMMU-028 V = 0 -> C_BAD_STE; Config = 0b0xx aborts in silence", () => {
    badSte({ V: 0, Config: 4 });
    for (const Config of [0, 1, 2, 3]) {
      const machine = new SmmuMachine();
      machine.setSte({ V: 1, Config });
      aborts(machine, {});
    }
  });

  it("SMMU-029 Config = 0b100 passes the address on; above OAS -> F_ADDR_SIZE, S2 = 0, CLASS = IN", () => {
    const machine = new SmmuMachine();
    machine.setSte({ V: 1, Config: 4, SHCFG: 1 });
    expect(machine.ask()).toMatchObject({ ok: true, address: VA, bypass: true });
    expect(machine.ask({ address: 0xffff_ffff_ffffn }).ok).toBe(true);
    const incoming = machine.ask();
    machine.setSte({ V: 1, Config: 4, SHCFG: 3, MTCFG: 1, MemAttr: 0 });
    const device = machine.ask();
    machine.setSte({ V: 1, Config: 4, SHCFG: 3 });
    const inner = machine.ask();
    const attributes = [incoming, device, inner].map((outcome) => (outcome.ok ? outcome.attributes : -1));
    expect(new Set(attributes).size).toBe(3);
    aborts(machine, { address: 1n << 48n }, { code: 0x11, stage: 1 });
  });
});

describe("Illegal STEs, IHI 0070 5.2", () => {
  it("SMMU-030 stage 1 without S1P, stage 2 without S2P -> C_BAD_STE", () => {
    const noStage1 = { ids: { IDR0: 0x084d_369b & ~2 } };
    const noStage2 = { ids: { IDR0: 0x084d_369b & ~0x4_0001 } };
    badSte({ V: 1, Config: 5, S1ContextPtr: CDS }, noStage1);
    badSte({ ...stage2, Config: 7, S1ContextPtr: CDS }, noStage1);
    badSte(stage2, noStage2);
    badSte({ ...stage2, Config: 7, S1ContextPtr: CDS }, noStage2);
  });

  it("SMMU-031 S2TG reserved or unsupported, S2T0SZ and S2SL0 that disagree -> C_BAD_STE", () => {
    badSte({ ...stage2, S2TG: 3 });
    badSte({ ...stage2, S2TG: 2 }, { ids: { IDR5: 0x0020_0055 } });
    badSte({ ...stage2, S2T0SZ: 20, S2SL0: 1 });
    badSte({ ...stage2, S2T0SZ: 34, S2SL0: 1 });
    for (const S2T0SZ of [21, 24, 33]) {
      const machine = new SmmuMachine();
      machine.setSte({ ...stage2, S2T0SZ, S2SL0: 1 });
      aborts(machine, { address: 0x1000n }, { code: 0x10, stage: 2, class: 2, ipa: 0x1000n });
    }
  });

  it("SMMU-032 S2HD = 1 with HTTU = 1, S2S = 1 with STALL_MODEL = 1 -> C_BAD_STE", () => {
    badSte({ ...stage2, S2HA: 1, S2HD: 1 }, { ids: { IDR0: (0x084d_369b & ~0xc0) | 0x40 } });
    badSte({ ...stage2, S2S: 1 }, { ids: { IDR0: 0x094d_369b, IDR5: 0x75 } });
  });

  it("SMMU-033 S1CDMax > SSIDSIZE, and S1Fmt = 1 without CD2L -> C_BAD_STE", () => {
    badSte({ V: 1, Config: 5, S1ContextPtr: CDS, S1CDMax: 9 }, { ids: { IDR1: (0x0def_5510 & ~0x7c0) | (8 << 6) } });
    badSte({ V: 1, Config: 5, S1ContextPtr: CDS, S1CDMax: 8, S1Fmt: 1 }, { ids: { IDR0: 0x084d_369b & ~0x8_0000 } });
  });

  it("SMMU-034 S2TTB beyond the effective S2PS -> C_BAD_STE, not F_ADDR_SIZE", () => {
    badSte({ ...stage2, S2PS: 0, S2TTB: 1n << 32n });
    badSte({ ...stage2, S2PS: 1, S2TTB: 1n << 36n });
  });
});

describe("Cached STEs, IHI 0070 3.21", () => {
  it("SMMU-035 a changed STE is in force after CFGI_STE and SYNC", () => {
    const machine = new SmmuMachine();
    machine.setSte({ V: 1, Config: 4, SHCFG: 1 });
    expect(machine.ask().ok).toBe(true);
    machine.store(STREAMS + BigInt(64 * SID), words(STE, 8, { V: 1, Config: 0 }));
    machine.command(OP.CFGI_STE, { SID, Leaf: 1 });
    machine.sync();
    aborts(machine, {});
    machine.store(STREAMS + BigInt(64 * SID), words(STE, 8, {}));
    machine.command(OP.CFGI_STE, { SID, Leaf: 1 });
    machine.sync();
    aborts(machine, {}, { code: 0x04 });
  });

  it("SMMU-036 a new L1STD is in force after CFGI_STE with Leaf = 0 and SYNC", () => {
    const machine = new SmmuMachine();
    const l1 = twoLevel(machine, 8);
    const [first, second] = [machine.allocate(14), machine.allocate(14)];
    machine.store(first + 64n, BYPASS);
    machine.store(second + 64n, words(STE, 8, {}));
    machine.store(l1(0x101), [first | 9n]);
    machine.invalidateAll();
    expect(machine.ask({ sid: 0x101 }).ok).toBe(true);
    machine.store(l1(0x101), [second | 9n]);
    machine.command(OP.CFGI_STE, { SID: 0x101, Leaf: 0 });
    machine.sync();
    aborts(machine, { sid: 0x101 }, { code: 0x04 });
  });
});
