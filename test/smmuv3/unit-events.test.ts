/** Every event through the unit, its record byte for byte, and what becomes of it in the queue. */
import { describe, expect, it } from "vitest";
import type { Request } from "../../src/index.ts";
import {
  ATSCHK,
  CD_PLAIN,
  CD0,
  CDS,
  EVENTQ,
  EVENTQEN,
  FREE,
  LEAF,
  LEAF_NO_AF,
  LEAF_READ_ONLY,
  leaf,
  R,
  SMMUEN,
  SmmuBench,
  STE_ABORT,
  STE_BYPASS,
  STE_STAGE1,
  STRTAB,
  stage1,
  TABLES,
} from "../support/smmu-bench.ts";

const SID = 5;
/** Word 0: StreamID, number; with a SubstreamID that and SSV. */
const head = (number: bigint, ssid?: bigint): bigint =>
  (BigInt(SID) << 32n) | number | (ssid === undefined ? 0n : (ssid << 12n) | 0x800n);
const READ = 1n << 35n;
const INSTRUCTION = 1n << 34n;
const PRIVILEGED = 1n << 33n;
const STAGE2 = 1n << 39n;
const CLASS_TT = 1n << 40n;
const CLASS_IN = 2n << 40n;

/** STE word 0 with S1CDMax = 5. */
const SUBSTREAMS: readonly [bigint, bigint] = [STE_STAGE1[0] | (5n << 59n), 0n];

describe("every event that a transaction can cause", () => {
  const plain = (bench: SmmuBench): void => stage1(bench, SID);
  const write: Partial<Request> = { access: "w" };
  const rows: [
    string,
    (bench: SmmuBench) => void,
    Partial<Request>,
    string,
    readonly [bigint, bigint, bigint, bigint],
  ][] = [
    ["C_BAD_STREAMID", () => {}, { sid: 0x12345 }, "abort", [(0x12345n << 32n) | 2n, 0n, 0n, 0n]],
    [
      "F_STE_FETCH",
      (bench) => bench.memory.poison(STRTAB + 64n * 5n, 64),
      {},
      "abort",
      [head(3n), 0n, 0n, STRTAB + 0x140n],
    ],
    ["C_BAD_STE", (bench) => bench.ste(SID, 0n), { pasid: 0x12345 }, "abort", [head(4n, 0x12345n), 0n, 0n, 0n]],
    [
      "F_BAD_ATS_TREQ",
      (bench) => bench.ste(SID, STE_BYPASS),
      { type: "translation", address: 0x1234_5678n, privileged: true, pasid: 7 },
      "ur",
      [head(5n, 7n), 0xd000_0001n, 0x1234_5000n, 0n],
    ],
    ["F_STREAM_DISABLED", (bench) => stage1(bench, SID, CD_PLAIN, SUBSTREAMS), {}, "abort", [head(6n), 0n, 0n, 0n]],
    [
      "F_TRANSL_FORBIDDEN",
      (bench) => bench.ste(SID, STE_BYPASS),
      { type: "translated", address: 0x1234n },
      "abort",
      [head(7n), READ, 0x1234n, 0n],
    ],
    [
      "C_BAD_SUBSTREAMID",
      (bench) => bench.ste(SID, STE_BYPASS),
      { pasid: 0x12345 },
      "abort",
      [head(8n) | 0x1234_5000n, 0n, 0n, 0n],
    ],
    [
      "F_CD_FETCH",
      (bench) => {
        plain(bench);
        bench.memory.poison(CDS, 64);
      },
      {},
      "abort",
      [head(9n), 0n, 0n, CDS],
    ],
    ["C_BAD_CD", (bench) => stage1(bench, SID, CD_PLAIN & ~CD0.V), {}, "abort", [head(0xan), 0n, 0n, 0n]],
    [
      "F_WALK_EABT",
      (bench) => {
        plain(bench);
        bench.memory.poison(TABLES + 0x2000n, 4096);
      },
      { address: 0x3456n, ...write },
      "abort",
      [head(0xbn), CLASS_TT, 0x3456n, TABLES + 0x2018n],
    ],
    [
      "F_TRANSLATION",
      plain,
      { address: 0x3456n, privileged: true },
      "abort",
      [head(0x10n), CLASS_IN | READ | PRIVILEGED, 0x3456n, 0n],
    ],
    [
      "F_TRANSLATION, with a SubstreamID",
      (bench) => {
        stage1(bench, SID, CD_PLAIN, SUBSTREAMS);
      },
      { address: 0x3456n, pasid: 0, access: "x" },
      "abort",
      [head(0x10n, 0n), CLASS_IN | READ | INSTRUCTION, 0x3456n, 0n],
    ],
    [
      "F_ADDR_SIZE",
      (bench) => {
        stage1(bench, SID, CD_PLAIN & ~(7n << 32n));
        leaf(bench, 1, (1n << 32n) | LEAF);
      },
      { address: 0x1008n, ...write },
      "abort",
      [head(0x11n), CLASS_IN, 0x1008n, 0n],
    ],
    [
      "F_ACCESS",
      (bench) => {
        plain(bench);
        leaf(bench, 2, FREE | LEAF_NO_AF);
      },
      { address: 0x2010n },
      "abort",
      [head(0x12n), CLASS_IN | READ, 0x2010n, 0n],
    ],
    [
      "F_PERMISSION",
      (bench) => {
        plain(bench);
        leaf(bench, 2, FREE | LEAF_READ_ONLY);
      },
      { address: 0x2010n, ...write },
      "abort",
      [head(0x13n), CLASS_IN, 0x2010n, 0n],
    ],
    [
      "F_PERMISSION of an atomic is one of a write",
      (bench) => {
        plain(bench);
        leaf(bench, 2, FREE | LEAF_READ_ONLY);
      },
      { address: 0x2010n, access: "a" },
      "abort",
      [head(0x13n), CLASS_IN, 0x2010n, 0n],
    ],
    [
      "SMMU-070 F_TRANSLATION in RAZ/WI",
      (bench) => stage1(bench, SID, CD_PLAIN & ~CD0.A),
      { address: 0x3000n },
      "raz-wi",
      [head(0x10n), CLASS_IN | READ, 0x3000n, 0n],
    ],
    [
      "F_TRANSLATION that stalls",
      (bench) => stage1(bench, SID, CD_PLAIN | CD0.S),
      { address: 0x3000n },
      "stall",
      [head(0x10n), CLASS_IN | READ | 0x8000_0000n, 0x3000n, 0n],
    ],
  ];
  it.each(rows)("%s", (_, prepare, request, answer, words) => {
    const bench = new SmmuBench({ cr0: 0xf | ATSCHK });
    prepare(bench);
    const outcome = bench.smmu.translate({ sid: SID, address: 0n, ...request });
    expect({ answer: outcome.answer, events: bench.events() }).toEqual({ answer, events: [words] });
  });

  it.each([[0x01], [0x20], [0x21], [0x24], [0x25]])(
    "0x%s comes from the host: bus, cache geometry, hints, MPAM",
    (number) => {
      const bench = new SmmuBench();
      expect(bench.smmu.injectEvent({ number, StreamID: SID })).toBe(true);
      expect(bench.events()).toEqual([[head(BigInt(number)), 0n, 0n, 0n]]);
      expect(() => bench.smmu.injectEvent({ number, StreamID: -1 })).toThrow(RangeError);
    },
  );

  it("stage 2: IPA, its bits 11:0 zero, and CLASS; permission on a stage 1 table says TTRnW", () => {
    const bench = new SmmuBench();
    // Nested: S2T0SZ 25 (39 bits), S2SL0 1, S2PS 48 bits, S2AA64, S2R. Stage 2 maps gigabyte 1 read-only.
    const s2 = 25n | (1n << 6n) | (5n << 16n) | (1n << 19n) | (1n << 26n);
    bench.store(FREE, 0n, 0x4000_0000n | 0x77dn);
    stage1(bench, SID, CD_PLAIN | CD0.HA);
    leaf(bench, 1, 0x1_2345_6000n | LEAF);
    leaf(bench, 2, 0x4567_8000n | LEAF_NO_AF);
    bench.store(STRTAB + 64n * 5n, CDS | 0xfn, 0n, s2 << 32n, FREE);
    bench.smmu.translate({ sid: SID, address: 0x1abcn, access: "w" });
    bench.smmu.translate({ sid: SID, address: 0x2abcn });
    bench.store(STRTAB + 64n * 5n, CDS | 0xfn, 0n, s2 << 32n, FREE + 0x1000n);
    bench.smmu.translate({ sid: SID, address: 0x2abcn });
    expect(bench.events()).toEqual([
      [head(0x10n), STAGE2 | CLASS_IN, 0x1abcn, 0x1_2345_6000n],
      // Stage 1 hardware update of AF needs stage 2 write permission: TTRnW = 0.
      [head(0x13n), STAGE2 | CLASS_TT | READ, 0x2abcn, TABLES + 0x2000n],
      [head(0x10n), STAGE2 | READ, 0x2abcn, CDS],
    ]);
  });
});

describe("atomics, IHI 0070 13.1.1", () => {
  it("that may write but not read are reported as reads, all others as writes", () => {
    const bench = new SmmuBench();
    // Stage 2 only: S2T0SZ 25, S2SL0 1, S2PS 48 bits, S2AA64, S2R; three gigabytes with S2AP 10, 01 and 00.
    const s2 = 25n | (1n << 6n) | (5n << 16n) | (1n << 19n) | (1n << 26n);
    bench.ste(SID, 0b1101n, 0n, s2 << 32n, FREE);
    bench.store(FREE, 0x4000_0000n | 0x7bdn, 0x4000_0000n | 0x77dn, 0x4000_0000n | 0x73dn);
    for (const address of [0x10n, 0x4000_0010n, 0x8000_0010n]) bench.smmu.translate({ sid: SID, address, access: "a" });
    expect(bench.events().map(([number, word]) => [(number as bigint) % 256n, (word as bigint) & READ])).toEqual([
      [0x13n, READ],
      [0x13n, 0n],
      [0x13n, 0n],
    ]);
  });
});

describe("suppression, IHI 0070 7.2 and 7.3", () => {
  it("SMMU-070 CD.R = 0 records nothing, terminated all the same", () => {
    const bench = new SmmuBench();
    stage1(bench, SID, CD_PLAIN & ~CD0.R);
    expect(bench.smmu.translate({ sid: SID, address: 0x3000n })).toMatchObject({
      answer: "abort",
      code: 0x10,
      recorded: false,
    });
    expect(bench.events()).toEqual([]);
  });
  it("RECINVSID = 0 keeps C_BAD_STREAMID to itself", () => {
    const bench = new SmmuBench({ cr2: 0 });
    expect(bench.smmu.translate({ sid: 0x12345, address: 0n }).answer).toBe("abort");
    expect(bench.events()).toEqual([]);
  });
  it("Config = 0b000 aborts in silence", () => {
    const bench = new SmmuBench();
    bench.ste(SID, STE_ABORT);
    expect(bench.smmu.translate({ sid: SID, address: 0n })).toMatchObject({ answer: "abort", code: 0 });
    expect(bench.events()).toEqual([]);
  });
  it("a probe leaves no record and no stall", () => {
    const bench = new SmmuBench();
    stage1(bench, SID, CD_PLAIN | CD0.S);
    expect(bench.smmu.translate({ sid: SID, address: 0x3000n, probe: true }).answer).toBe("stall");
    expect([bench.events(), bench.smmu.stalled]).toEqual([[], 0]);
  });
  it("SMMU-076 faults are never merged, whatever MEV says", () => {
    for (const mev of [0n, 1n << 19n]) {
      const bench = new SmmuBench();
      stage1(bench, SID, CD_PLAIN, [STE_STAGE1[0], mev]);
      for (let i = 0; i < 3; i++) bench.smmu.translate({ sid: SID, address: 0x3000n });
      expect(bench.events()).toHaveLength(3);
    }
  });
  it("SMMU-084 translation requests record nothing but F_BAD_ATS_TREQ", () => {
    const bench = new SmmuBench({ cr0: 0xf | ATSCHK });
    // EATS = 1.
    stage1(bench, SID, CD_PLAIN, [STE_STAGE1[0], 1n << 28n]);
    const ask = () => bench.smmu.device(SID).requestTranslation(0x3000n);
    expect(ask()).toMatchObject({ status: "success", read: false, write: false });
    bench.store(CDS, 0n);
    expect(ask()).toMatchObject({ status: "ca" });
    expect(bench.events()).toEqual([]);
  });
});

describe("the event queue, IHI 0070 7.2 and 7.4", () => {
  const OVFLG = 0x8000_0000;
  /** A terminating fault. */
  const fault = (bench: SmmuBench, address = 0n): void => void bench.smmu.translate({ sid: SID, address });
  const small = (cr0 = 0xf): SmmuBench => {
    const bench = new SmmuBench({ log2Events: 1, cr0 });
    stage1(bench, SID);
    return bench;
  };

  it("SMMU-019 takes all of its entries; what finds none is lost, and told once", () => {
    const bench = small();
    for (const address of [0x1000n, 0x2000n]) fault(bench, address);
    expect(bench.read(R.EVENTQ_PROD)).toBe(2);
    fault(bench, 0x3000n);
    expect(bench.read(R.EVENTQ_PROD) >>> 0).toBe(OVFLG + 2);
    fault(bench, 0x4000n);
    expect(bench.read(R.EVENTQ_PROD) >>> 0).toBe(OVFLG + 2);
    expect([0, 1].map((i) => bench.record(i)[2])).toEqual([0x1000n, 0x2000n]);
  });

  it("SMMU-020 an overflow that is not acknowledged does not keep out the next event", () => {
    const bench = small();
    for (let i = 0; i < 3; i++) fault(bench);
    bench.write(R.EVENTQ_CONS, 1);
    fault(bench, 0x5000n);
    expect(bench.read(R.EVENTQ_PROD) >>> 0).toBe(OVFLG + 3);
    expect(bench.record(0)[2]).toBe(0x5000n);
    // Full again: no second toggle until software acknowledges, then one.
    fault(bench);
    expect(bench.read(R.EVENTQ_PROD) >>> 0).toBe(OVFLG + 3);
    bench.write(R.EVENTQ_CONS, OVFLG + 1);
    fault(bench);
    expect(bench.read(R.EVENTQ_PROD)).toBe(3);
  });

  it("SMMU-021 an aborted write sets EVENTQ_ABT_ERR, leaves PROD, and ends delivery until acknowledged", () => {
    const bench = small();
    bench.memory.poison(EVENTQ, 32);
    fault(bench);
    expect([bench.read(R.GERROR), bench.read(R.EVENTQ_PROD)]).toEqual([1 << 2, 0]);
    bench.memory.heal();
    fault(bench);
    expect(bench.read(R.EVENTQ_PROD)).toBe(0);
    bench.write(R.GERRORN, 1 << 2);
    fault(bench);
    expect([bench.read(R.GERROR), bench.read(R.EVENTQ_PROD)]).toEqual([1 << 2, 1]);
  });

  it("SMMU-022 disabled, loses events without an overflow", () => {
    const bench = small(SMMUEN);
    for (let i = 0; i < 4; i++) fault(bench);
    expect(bench.read(R.EVENTQ_PROD)).toBe(0);
    bench.enable(SMMUEN | EVENTQEN);
    fault(bench);
    expect(bench.read(R.EVENTQ_PROD)).toBe(1);
  });

  it("SMMU-010 capped at EVENTQS, the base aligned to that size", () => {
    const bench = new SmmuBench({
      ids: { IDR0: 0x084d369b, IDR1: 0x0de15510, IDR3: 0x1714, IDR5: 0x00200075, AIDR: 2 },
      cr0: 0,
    });
    bench.write64(R.EVENTQ_BASE, EVENTQ | 0x20n | 31n);
    expect(bench.read64(R.EVENTQ_BASE)).toBe(EVENTQ | 0x20n | 31n);
    stage1(bench, SID);
    bench.enable(0xf);
    for (let i = 0; i < 3; i++) fault(bench, BigInt(i) << 12n);
    expect(bench.read(R.EVENTQ_PROD) >>> 0).toBe(OVFLG + 2);
    expect([0, 1].map((i) => bench.record(i)[2])).toEqual([0n, 0x1000n]);
  });
});
