/** SMMU-063..069: two stages, IHI 0070 3.4, 3.13.5, 5.2; Arm ARM D8.2 (concatenated tables). */
import { describe, expect, it } from "vitest";
import { aborts, answers } from "../support/smmu-expect.ts";
import { CDS, PA, SmmuMachine, VA } from "../support/smmu-machine.ts";

const BLOCK = 0x20_0000n;

describe("Nested translation, IHI 0070 3.4", () => {
  it("SMMU-063 a stage 1 descriptor behind an invalid stage 2 one -> F_TRANSLATION, S2 = 1, CLASS = TT, IPA", () => {
    const machine = new SmmuMachine();
    const { first, second } = machine.nested();
    const ipa = 0x7_0000_0000n;
    first.map(VA, PA);
    const at = first.entry(VA, 2);
    machine.store(first.entry(VA, 1), [ipa | 3n]);
    aborts(machine, {}, { code: 0x10, stage: 2, class: 1, ipa: ipa | (at & 0xfffn) });
    second.map2(ipa, at);
    machine.invalidateAll();
    expect(machine.ask()).toMatchObject({ ok: true, address: PA });
  });

  it("SMMU-064 a CD behind a stage 2 fault: CLASS = CD, IPA of the CD; S2R and S2S decide", () => {
    const machine = new SmmuMachine();
    const pointer = 0x7_0000_0000n;
    const cd = { code: 0x10, stage: 2, class: 0, ipa: pointer };
    machine.nested({}, { S1ContextPtr: pointer });
    aborts(machine, {}, cd);
    machine.nested({ R: 1 }, { S1ContextPtr: pointer, S2R: 0 });
    aborts(machine, {});
    machine.nested({ S: 0 }, { S1ContextPtr: pointer, S2R: 0, S2S: 1 });
    answers(machine, {}, "stall", { ...cd, stall: true });
  });

  it("SMMU-065 stage 2 of a descriptor, then the descriptor, then stage 2 of the output", () => {
    const machine = new SmmuMachine();
    const { first, second } = machine.nested();
    const outside = 0x7_0000_0000n;
    const at = first.map(VA, outside, { AF: 0 });
    aborts(machine, {}, { code: 0x12, stage: 1, class: 2 });
    first.map(VA, outside);
    aborts(machine, {}, { code: 0x10, stage: 2, class: 2, ipa: outside });
    second.map2(at, at, { S2AP: 2 }, 2);
    first.map(VA, outside, { AF: 0 });
    machine.invalidateAll();
    aborts(machine, {}, { code: 0x13, stage: 2, class: 1, ipa: first.entry(VA, 0) });
  });

  it("SMMU-066 S2PTW = 1 and a CD in Device memory -> F_PERMISSION, S2 = 1, CLASS = CD", () => {
    for (const S2PTW of [0, 1]) {
      const machine = new SmmuMachine();
      const { first, second } = machine.nested({}, { S2PTW });
      first.map(VA, PA);
      second.map2(CDS, CDS & ~(BLOCK - 1n), { MemAttr: 1 }, 2);
      machine.invalidateAll();
      if (S2PTW) aborts(machine, {}, { code: 0x13, stage: 2, class: 0, ipa: CDS });
      else expect(machine.ask()).toMatchObject({ ok: true, address: PA });
    }
  });

  it("SMMU-067 a stage 1 update on a read-only stage 2 page -> F_PERMISSION, CLASS = TT, TTRnW = 0", () => {
    const machine = new SmmuMachine();
    const { first, second } = machine.nested({ HA: 1 });
    const at = first.map(VA, PA, { AF: 0 });
    second.map2(at, at & ~(BLOCK - 1n), { S2AP: 1 }, 2);
    machine.invalidateAll();
    aborts(machine, {}, { code: 0x13, stage: 2, class: 1, ipa: at, tableWrite: true });
    expect(machine.memory.read64(at) & (1n << 10n)).toBe(0n);
    second.map2(at, at & ~(BLOCK - 1n), { S2AP: 3 }, 2);
    machine.invalidateAll();
    expect(machine.ask()).toMatchObject({ ok: true, address: PA });
    expect(machine.memory.read64(at) & (1n << 10n)).toBe(1n << 10n);
  });
});

describe("Stage 2 alone", () => {
  it("SMMU-068 S2SL0 = 1, S2T0SZ = 22: eight tables side by side, chosen by IPA[41:39]", () => {
    const machine = new SmmuMachine();
    const tables = machine.tables(12, 42, 1);
    machine.stage2({ S2T0SZ: 22, S2SL0: 1, S2TTB: tables.base });
    for (let n = 0n; n < 8n; n++) {
      const ipa = (n << 39n) | VA;
      expect(tables.entry(ipa, 1)).toBe(tables.base + n * 0x1000n + 8n * (VA >> 30n));
      tables.map2(ipa, PA + n * 0x1000n);
    }
    machine.invalidateAll();
    for (let n = 0n; n < 8n; n++) {
      expect(machine.ask({ address: (n << 39n) | VA })).toMatchObject({ ok: true, address: PA + n * 0x1000n });
    }
    const beyond = 1n << 42n;
    aborts(machine, { address: beyond }, { code: 0x10, stage: 2, class: 2, ipa: beyond });
    expect(tables.base % 0x8000n).toBe(0n);
  });

  it("SMMU-069 an address beyond IAS -> F_ADDR_SIZE, S2 = 0, aborted even with S2S = 1", () => {
    for (const S2S of [0, 1]) {
      const machine = new SmmuMachine();
      machine.stage2({ S2S, S2R: 0 });
      aborts(machine, { address: 1n << 48n }, { code: 0x11, stage: 1, class: 2 });
    }
  });
});
