/** Invalidation commands reach the caches, and nothing less does: Arm IHI 0070 3.17, 4.3 and 4.4. */
import { describe, expect, it } from "vitest";
import {
  CD_PLAIN,
  CDS,
  FREE,
  LEAF,
  leaf,
  R,
  SmmuBench,
  STE_ABORT,
  STE_STAGE1,
  STRTAB,
  SYNC,
  stage1,
  TABLES,
} from "../support/smmu-bench.ts";

const SID = 5;
const PAGE = 2;
const VA = 0x2000n;
const NOT_GLOBAL = 0x800n;
const ASID = 7n << 48n;
const STREAM = BigInt(SID) << 32n;
type Command = [bigint, bigint];

/** A unit that keeps all it may, with VA -> FREE cached under ASID 7. */
function warm(attributes = LEAF | NOT_GLOBAL, cd = CD_PLAIN | ASID) {
  const bench = new SmmuBench({ caches: "retain" });
  stage1(bench, SID, cd);
  leaf(bench, PAGE, FREE | attributes);
  const where = (): bigint | undefined => {
    const outcome = bench.smmu.translate({ sid: SID, address: VA });
    return outcome.ok ? outcome.address - FREE : undefined;
  };
  expect(where()).toBe(0n);
  return { bench, where };
}

describe("a changed leaf is seen after", () => {
  it.each<[string, Command]>([
    ["CMD_TLBI_NH_ALL", [0x10n, 0n]],
    ["CMD_TLBI_NH_ASID", [0x11n | ASID, 0n]],
    ["CMD_TLBI_NH_VA", [0x12n | ASID, VA]],
    ["CMD_TLBI_NH_VA, leaf only", [0x12n | ASID, VA | 1n]],
    ["CMD_TLBI_NH_VA of a range around it", [0x12n | ASID | (3n << 12n), 0x400n]],
    ["CMD_TLBI_NH_VA with its level", [0x12n | ASID, VA | 0x700n]],
    ["CMD_TLBI_NH_VAA", [0x13n, VA]],
    ["CMD_TLBI_S12_VMALL", [0x28n, 0n]],
    ["CMD_TLBI_NSNH_ALL", [0x30n, 0n]],
  ])("%s", (_, command) => {
    const { bench, where } = warm();
    leaf(bench, PAGE, (FREE + 0x1000n) | LEAF | NOT_GLOBAL);
    expect(where()).toBe(0n);
    bench.send(command, SYNC);
    expect(where()).toBe(0x1000n);
  });

  it.each<[string, Command]>([
    ["another ASID", [0x11n | (8n << 48n), 0n]],
    ["another page", [0x12n | ASID, VA + 0x1000n]],
    ["a range that ends before it", [0x12n | ASID | (1n << 12n), 0x400n]],
    ["another VMID", [0x10n | (1n << 32n), 0n]],
    ["stage 2", [0x2an, VA]],
    ["EL2", [0x20n, 0n]],
    ["configuration", [0x04n, 31n]],
    ["nothing: CMD_SYNC alone", SYNC as Command],
  ])("but not after an invalidation of %s: the unforgiving hardware keeps what it may", (_, command) => {
    const { bench, where } = warm();
    leaf(bench, PAGE, (FREE + 0x1000n) | LEAF | NOT_GLOBAL);
    bench.send(command, SYNC);
    expect(where()).toBe(0n);
  });

  it("SMMU-077 a global page outlives CMD_TLBI_NH_ASID, not the others", () => {
    for (const [command, expected] of [
      [[0x11n | ASID, 0n], 0n],
      [[0x12n | (8n << 48n), VA], 0x1000n],
      [[0x13n, VA], 0x1000n],
      [[0x10n, 0n], 0x1000n],
    ] as [Command, bigint][]) {
      const { bench, where } = warm(LEAF);
      leaf(bench, PAGE, (FREE + 0x1000n) | LEAF);
      bench.send(command, SYNC);
      expect(where()).toBe(expected);
    }
  });

  it("what faulted was never cached: a page that appears needs no invalidation", () => {
    const { bench } = warm();
    expect(bench.smmu.translate({ sid: SID, address: 0x5000n }).ok).toBe(false);
    leaf(bench, 5, FREE | LEAF);
    expect(bench.smmu.translate({ sid: SID, address: 0x5000n }).ok).toBe(true);
  });
});

describe("changed configuration is seen after", () => {
  const steCommands: [string, Command][] = [
    ["CMD_CFGI_STE", [0x03n | STREAM, 0n]],
    ["CMD_CFGI_STE, leaf", [0x03n | STREAM, 1n]],
    ["CMD_CFGI_STE_RANGE around it", [0x04n | (4n << 32n), 0n]],
    ["CMD_CFGI_ALL", [0x04n, 31n]],
  ];
  it.each(steCommands)("SMMU-035 an STE: %s", (_, command) => {
    const { bench, where } = warm();
    bench.ste(SID, STE_ABORT);
    expect(where()).toBe(0n);
    bench.send(command, SYNC);
    expect(where()).toBeUndefined();
  });
  it.each<[string, Command]>([
    ...steCommands,
    ["CMD_CFGI_CD", [0x05n | STREAM, 1n]],
    ["CMD_CFGI_CD_ALL", [0x06n | STREAM, 0n]],
  ])("a CD: %s", (_, command) => {
    const { bench, where } = warm();
    bench.store(CDS, 0n);
    expect(where()).toBe(0n);
    bench.send(command, SYNC);
    expect(where()).toBeUndefined();
  });
  it.each<[string, Command]>([
    ["another stream's STE", [0x03n | (6n << 32n), 0n]],
    ["another range", [0x04n | (6n << 32n), 0n]],
    ["another SubstreamID's CD", [0x05n | STREAM | (1n << 12n), 0n]],
    ["another stream's CDs", [0x06n | (6n << 32n), 0n]],
    ["every translation", [0x30n, 0n]],
  ])("but not after an invalidation of %s", (_, command) => {
    const { bench, where } = warm();
    bench.store(CDS, 0n);
    bench.send(command, SYNC);
    expect(where()).toBe(0n);
  });

  it("an invalid STE is cached as well", () => {
    const bench = new SmmuBench({ caches: "retain" });
    const ask = (): string => bench.smmu.translate({ sid: SID, address: VA }).answer;
    expect(ask()).toBe("abort");
    stage1(bench, SID);
    leaf(bench, PAGE, FREE | LEAF);
    expect(ask()).toBe("abort");
    bench.send([0x03n | STREAM, 1n], SYNC);
    expect(ask()).toBe("success");
  });

  it("an STE that could not be read is not cached", () => {
    const { bench } = warm();
    bench.send([0x04n, 31n], SYNC);
    bench.memory.poison(STRTAB + 64n * 5n, 64);
    expect(bench.smmu.translate({ sid: SID, address: VA }).ok).toBe(false);
    bench.memory.heal();
    expect(bench.smmu.translate({ sid: SID, address: VA }).ok).toBe(true);
  });

  it("SMMUEN = 0 and a moved stream table leave caches as they are", () => {
    const { bench, where } = warm();
    bench.enable(0xe);
    bench.write64(R.STRTAB_BASE, FREE);
    bench.enable(0xf);
    expect(where()).toBe(0n);
    bench.send([0x04n, 31n], SYNC);
    expect(where()).toBeUndefined();
  });
});

describe("tables between", () => {
  it("a moved last-level table is seen after an invalidation that is not for leaves only", () => {
    const { bench, where } = warm();
    // Level 3 moves; the page cached before is dropped by the leaf-only command, the way to it is not.
    bench.store(TABLES + 0x8000n + BigInt(8 * PAGE), (FREE + 0x1000n) | LEAF | NOT_GLOBAL);
    bench.store(TABLES + 0x1000n, (TABLES + 0x8000n) | 3n);
    bench.send([0x12n | ASID, VA | 1n], SYNC);
    expect(where()).toBe(0n);
    bench.send([0x12n | ASID, VA], SYNC);
    expect(where()).toBe(0x1000n);
  });
});

describe("nested translations", () => {
  // S2T0SZ 25 (39 bits), S2SL0 1, S2PS 48 bits, S2AA64, S2R; VMID 3.
  const STAGE2 = (25n | (1n << 6n) | (5n << 16n) | (1n << 19n) | (1n << 26n)) << 32n;
  const VMID = 3n;
  const IN = VMID << 32n;
  const FIRST = FREE + 0x10_0000n;
  /** Stage 1 at VA -> FREE, behind a stage 2 of one gigabyte that is the identity until it is moved. */
  function nested() {
    const bench = new SmmuBench({ caches: "retain" });
    stage1(bench, SID, CD_PLAIN | ASID, [STE_STAGE1[0] | 0b1111n, 0n]);
    leaf(bench, PAGE, FREE | LEAF | NOT_GLOBAL);
    const level2 = FIRST + 0x1000n;
    bench.store(FIRST, 0n, level2 | 3n);
    for (let i = 0n; i < 8n; i++) bench.store(level2 + 8n * i, (0x4000_0000n + i * 0x20_0000n) | 0x7fdn);
    bench.store(STRTAB + 64n * 5n + 16n, STAGE2 | VMID, FIRST);
    const where = (): bigint | undefined => {
      const outcome = bench.smmu.translate({ sid: SID, address: VA });
      return outcome.ok ? outcome.address : undefined;
    };
    expect(where()).toBe(FREE);
    // FREE lies in the first two megabytes, with all tables: only the permission goes.
    const drop = (): void => bench.store(level2, 0x4000_0000n | 0x73dn);
    return { bench, where, drop };
  }
  it.each<[string, Command[], boolean]>([
    ["CMD_TLBI_S2_IPA may leave what combines both stages", [[0x2an | IN, FREE]], true],
    [
      "with CMD_TLBI_NH_VAA nothing is left",
      [
        [0x2an | IN, FREE],
        [0x13n | IN, VA],
      ],
      false,
    ],
    ["after CMD_TLBI_S12_VMALL nothing is left", [[0x28n | IN, 0n]], false],
    ["CMD_TLBI_S12_VMALL of another VMID leaves it", [[0x28n | (4n << 32n), 0n]], true],
  ])("SMMU-078 %s", (_, commands, isLeft) => {
    const { bench, where, drop } = nested();
    drop();
    bench.send(...commands, SYNC);
    expect(where() !== undefined).toBe(isLeft);
  });
});

describe("everything is gone", () => {
  it("after a reset, and after restoring a snapshot", () => {
    const { bench, where } = warm();
    const saved = bench.smmu.snapshot();
    leaf(bench, PAGE, (FREE + 0x1000n) | LEAF | NOT_GLOBAL);
    expect(where()).toBe(0n);
    bench.smmu.restore(saved);
    expect(where()).toBe(0x1000n);
    leaf(bench, PAGE, (FREE + 0x2000n) | LEAF | NOT_GLOBAL);
    expect(where()).toBe(0x1000n);
    bench.smmu.reset();
    bench.write64(R.STRTAB_BASE, STRTAB);
    bench.write(R.STRTAB_BASE_CFG, 6);
    bench.enable(1);
    expect(where()).toBe(0x2000n);
  });
});

describe("retried stalls", () => {
  it("SMMU-083 see the new configuration after its invalidation", () => {
    const bench = new SmmuBench({ caches: "retain" });
    stage1(bench, SID, CD_PLAIN | (1n << 44n));
    const ended: string[] = [];
    bench.smmu.onResume = (_, __, outcome) => void ended.push(outcome.answer);
    bench.smmu.translate({ sid: SID, address: VA });
    bench.store(CDS, CD_PLAIN);
    const retry: Command = [0x44n | (1n << 12n) | STREAM, 0n];
    bench.send([0x05n | STREAM, 1n], SYNC, retry);
    expect(ended).toEqual(["abort"]);
  });
});

describe("writes after reads", () => {
  it("set the dirty state although the translation is cached", () => {
    // HD = HA = 1; a writable-clean page: AP[2] and DBM.
    const clean = LEAF | NOT_GLOBAL | (1n << 7n) | (1n << 51n);
    const { bench } = warm(clean, CD_PLAIN | ASID | (3n << 42n));
    const at = TABLES + 0x2000n + BigInt(8 * PAGE);
    expect(bench.memory.read64(at) & (1n << 7n)).not.toBe(0n);
    expect(bench.smmu.translate({ sid: SID, address: VA, access: "w" }).ok).toBe(true);
    expect(bench.memory.read64(at) & (1n << 7n)).toBe(0n);
  });
});

describe("policies", () => {
  it("STE_STAGE1 through every policy answers alike", () => {
    for (const caches of ["none", "sized", "retain", { policy: "sized", translations: 4 }] as const) {
      const bench = new SmmuBench({ caches });
      stage1(bench, SID, CD_PLAIN, STE_STAGE1);
      for (let page = 0; page < 64; page++) leaf(bench, page, (FREE + BigInt(page << 12)) | LEAF);
      for (let round = 0; round < 2; round++) {
        for (let page = 0; page < 64; page++) {
          const outcome = bench.smmu.translate({ sid: SID, address: BigInt(page << 12) });
          expect(outcome).toMatchObject({ ok: true, address: FREE + BigInt(page << 12) });
        }
      }
    }
  });
});
