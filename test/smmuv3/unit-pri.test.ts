import { describe, expect, it } from "vitest";
import { SMMU_PRESETS, smmuFeatures } from "../../src/index.ts";
import type { PageRequest } from "../../src/smmuv3/index.ts";
import { encodePageRequest } from "../../src/smmuv3/pri.ts";
import {
  ATSCHK,
  CD_PLAIN,
  FREE,
  LEAF,
  leaf,
  PRIQ,
  R,
  SMMUEN,
  SmmuBench,
  STE_BYPASS,
  STE_STAGE1,
  STRTAB,
  stage1,
  TABLES,
} from "../support/smmu-bench.ts";

const SID = 5;
const OVFLG = 0x8000_0000;
const ON = 0xf | ATSCHK;
const page = (more: Partial<PageRequest> = {}): PageRequest => ({
  sid: SID,
  address: 0x1000n,
  read: true,
  last: true,
  group: 1,
  ...more,
});

describe("PRI queue entries, IHI 0070 chapter 8", () => {
  // Bits as Linux's driver has them: SID 31:0, SSID 51:32, priv 58, exec 59, R 60, W 61, last 62, SSV 63; group 8:0, address 63:12.
  it.each<[string, PageRequest, [bigint, bigint]]>([
    ["read", page(), [0x5000_0000_0000_0005n, 0x1001n]],
    [
      "write, not last",
      page({ read: false, write: true, last: false, group: 0x1ff, address: 0xffff_ffff_ffff_ffffn }),
      [0x2000_0000_0000_0005n, 0xffff_ffff_ffff_f1ffn],
    ],
    ["with a PASID", page({ pasid: 0x12345, execute: true, privileged: true }), [0xdc01_2345_0000_0005n, 0x1001n]],
    [
      "execute and privileged need a PASID",
      page({ execute: true, privileged: true }),
      [0x5000_0000_0000_0005n, 0x1001n],
    ],
    ["stop marker", page({ pasid: 1, read: false }), [0xc000_0001_0000_0005n, 0x1001n]],
  ])("SMMU-087 %s", (_, request, words) => {
    expect(encodePageRequest(request)).toEqual(words);
  });
});

describe("the PRI queue, IHI 0070 chapter 8", () => {
  const small = (cr0 = ON): SmmuBench => new SmmuBench({ log2PageRequests: 1, cr0 });

  it("SMMU-089 takes page requests, tells of them, and answers by CMD_PRI_RESP", () => {
    const bench = small();
    const device = bench.smmu.device(SID);
    const lines: string[] = [];
    bench.write(R.IRQ_CTRL, 2);
    bench.smmu.onLine = (line) => void lines.push(line);
    expect([device.requestPage(page()), device.requestPage(page({ pasid: 9 }))]).toEqual(["queued", "queued"]);
    expect([bench.read(R.PRIQ_PROD), lines]).toEqual([2, ["priq"]]);
    expect(bench.words(PRIQ, 4)).toEqual([0x5000_0000_0000_0005n, 0x1001n, 0xd000_0009_0000_0005n, 0x1001n]);
    const response = (code: bigint, ssv = 0n): [bigint, bigint] => [
      0x41n | (BigInt(SID) << 32n) | ssv,
      1n | (code << 12n),
    ];
    bench.send(response(0n), response(1n), response(2n, 0x9800n));
    expect(device.responses).toEqual([
      { code: 15, group: 1 },
      { code: 1, group: 1 },
      { code: 0, group: 1, pasid: 9 },
    ]);
  });

  it("SMMU-087 full: the next is discarded and answered with success, and nothing is queued until software acknowledges", () => {
    const bench = small();
    const device = bench.smmu.device(SID);
    for (let i = 0; i < 2; i++) device.requestPage(page({ last: false }));
    expect(device.requestPage(page({ last: false }))).toBe("dropped");
    expect(bench.read(R.PRIQ_PROD) >>> 0).toBe(OVFLG + 2);
    expect(device.requestPage(page())).toBe("retry");
    expect(bench.read(R.PRIQ_PROD) >>> 0).toBe(OVFLG + 2);
    bench.write(R.PRIQ_CONS, 2);
    expect(device.requestPage(page())).toBe("retry");
    bench.write(R.PRIQ_CONS, OVFLG + 2);
    expect(device.requestPage(page())).toBe("queued");
    expect(device.responses).toEqual([
      { code: 0, group: 1 },
      { code: 0, group: 1 },
    ]);
  });

  it("a stop marker that is discarded is not answered", () => {
    const bench = small(0x1d);
    expect(bench.smmu.requestPage(page({ pasid: 1, read: false }))).toBe("dropped");
  });

  it.each([
    ["PRIQEN = 0", ON & ~2],
    ["SMMUEN = 0", ON & ~SMMUEN],
  ])("SMMU-088 %s: failure", (_, cr0) => {
    const bench = small(cr0);
    const device = bench.smmu.device(SID);
    expect([device.requestPage(page({ pasid: 3 })), device.requestPage(page({ last: false }))]).toEqual([
      "failure",
      "dropped",
    ]);
    expect(device.responses).toEqual([{ code: 15, group: 1 }]);
    expect(bench.read(R.PRIQ_PROD)).toBe(0);
  });

  it("an SMMU without PRI fails every request", () => {
    const bench = new SmmuBench({ features: SMMU_PRESETS.qemu });
    expect(bench.smmu.requestPage(page())).toBe("failure");
  });

  it("a write that aborts: PRIQ_ABT_ERR, failure, and nothing more until acknowledged", () => {
    const bench = small();
    bench.memory.poison(PRIQ, 16);
    expect(bench.smmu.requestPage(page())).toBe("failure");
    bench.memory.heal();
    expect([bench.read(R.GERROR), bench.read(R.PRIQ_PROD), bench.smmu.requestPage(page())]).toEqual([8, 0, "failure"]);
    bench.write(R.GERRORN, 8);
    expect(bench.smmu.requestPage(page())).toBe("queued");
  });

  it("SMMU-089 LO = 1: an interrupt for each last request, also one lost to overflow", () => {
    const bench = small();
    const lines: string[] = [];
    bench.write(R.PRIQ_IRQ_CFG2, OVFLG);
    bench.write(R.IRQ_CTRL, 2);
    bench.smmu.onLine = (line) => void lines.push(line);
    for (const last of [false, true, false, true]) bench.smmu.requestPage(page({ last }));
    expect(lines).toEqual(["priq", "priq"]);
  });

  describe("the PASID of an automatic response", () => {
    const overflowing = (options = {}): SmmuBench => {
      const bench = new SmmuBench({ log2PageRequests: 0, cr0: ON, ...options });
      bench.smmu.requestPage(page());
      return bench;
    };
    const answer = (bench: SmmuBench, pasid = 9) => {
      const device = bench.smmu.device(SID);
      const outcome = device.requestPage(page({ pasid }));
      return [outcome, ...device.responses];
    };
    it("is there if STE.PPAR = 1, and not if it is 0", () => {
      const bench = overflowing();
      bench.ste(SID, STE_BYPASS, 1n << 18n);
      expect(answer(bench)).toEqual(["retry", { code: 0, group: 1, pasid: 9 }]);
      const other = overflowing();
      other.ste(SID, STE_BYPASS);
      expect(answer(other)).toEqual(["retry", { code: 0, group: 1 }]);
    });
    it("without a valid STE the response is a failure", () => {
      for (const prepare of [
        (bench: SmmuBench) => bench.ste(SID, 0n),
        (bench: SmmuBench) => bench.memory.poison(STRTAB, 4096),
      ]) {
        const bench = overflowing();
        prepare(bench);
        expect(answer(bench)).toEqual(["failure", { code: 15, group: 1 }]);
        expect(bench.events()).toEqual([]);
      }
    });
    it("with REC_CFG_ATS the reason is recorded", () => {
      const bench = overflowing({ features: smmuFeatures({ ATSRECERR: 1 }), cr2: 0xa });
      bench.ste(SID, 0n);
      answer(bench);
      expect(bench.events()).toEqual([[0x5_0000_0004n, 0n, 0n, 0n]]);
    });
    it("with PPS = 1 is always that of the request", () => {
      expect(answer(overflowing({ features: smmuFeatures({ PPS: 1 }) }))).toEqual([
        "retry",
        { code: 0, group: 1, pasid: 9 },
      ]);
    });
  });

  it("malformed requests are the host's mistake", () => {
    const bench = small();
    expect(() => bench.smmu.requestPage(page({ group: 512 }))).toThrow(/^group: 512/);
    expect(() => bench.smmu.requestPage(page({ pasid: 1 << 20 }))).toThrow(/^pasid: 1048576/);
    expect(() => bench.smmu.requestPage(page({ address: -1n }))).toThrow(/^address/);
  });
});

describe("ATS through a device, IHI 0070 3.9.1", () => {
  const EATS: [bigint, bigint] = [STE_STAGE1[0], 1n << 28n];
  it("SMMU-085 a completion gives address, size and rights; translated accesses use it", () => {
    const bench = new SmmuBench({ cr0: ON });
    stage1(bench, SID, CD_PLAIN, EATS);
    leaf(bench, 2, FREE | LEAF);
    const device = bench.smmu.device(SID);
    expect(device.requestTranslation(0x2345n)).toMatchObject({
      status: "success",
      address: FREE,
      sized: false,
      size: 4096n,
      read: true,
      write: true,
    });
    expect(device.write(FREE + 8n, Uint8Array.of(1, 2, 3, 4), { translated: true })).toEqual({
      ok: true,
      ignored: false,
    });
    expect(bench.memory.read32(FREE + 8n)).toBe(0x0403_0201);
  });
  it("SMMU-085 translated accesses of a split-stage stream go through stage 2, of others nowhere", () => {
    const bench = new SmmuBench({ cr0: ON });
    // Nested, EATS = 2: S2T0SZ 25, S2SL0 1, S2PS 48 bits, S2AA64, S2R; gigabyte 0 of stage 2 is RAM.
    const s2 = 25n | (1n << 6n) | (5n << 16n) | (1n << 19n) | (1n << 26n);
    bench.store(FREE, 0x4000_0000n | 0x7fdn);
    bench.ste(SID, STE_STAGE1[0] | 0b1111n, 2n << 28n, s2 << 32n, FREE);
    const ask = (address: bigint) => bench.smmu.translate({ sid: SID, address, type: "translated" });
    expect(ask(0x123n)).toMatchObject({ ok: true, address: 0x4000_0123n });
    expect(ask(0x4000_0123n)).toMatchObject({ answer: "abort", name: "F_TRANSLATION", stage: 2 });
    stage1(bench, SID);
    expect(ask(0x123n)).toMatchObject({ answer: "abort", name: "F_TRANSL_FORBIDDEN" });
    expect(bench.events().map(([word]) => (word as bigint) % 256n)).toEqual([0x10n, 7n]);
  });

  it("SMMU-086 a translation request dirties the page unless NW = 1", () => {
    // HA = HD = 1, and a writable-clean page: AP[2] and DBM.
    const clean = FREE | LEAF | (1n << 7n) | (1n << 51n);
    for (const noWrite of [true, false]) {
      const bench = new SmmuBench({ cr0: ON });
      stage1(bench, SID, CD_PLAIN | (3n << 42n), EATS);
      leaf(bench, 2, clean);
      expect(bench.smmu.device(SID).requestTranslation(0x2000n, { noWrite })).toMatchObject({
        read: true,
        write: !noWrite,
      });
      expect(bench.memory.read64(TABLES + 0x2010n) & (1n << 7n)).toBe(noWrite ? 1n << 7n : 0n);
    }
  });

  it("SMMU-084 a bad STE is a completer abort, without an event", () => {
    const bench = new SmmuBench({ cr0: ON });
    expect(bench.smmu.device(SID).requestTranslation(0n).status).toBe("ca");
    expect(bench.events()).toEqual([]);
  });

  it("a block's completion tells its size by the lowest zero bit", () => {
    const bench = new SmmuBench({ cr0: ON });
    stage1(bench, SID, CD_PLAIN, EATS);
    // A 2 MiB block at level 2.
    bench.store(0x4006_1000n, 0x4020_0000n | 0x741n);
    expect(bench.smmu.device(SID).requestTranslation(0x2345n)).toMatchObject({
      status: "success",
      address: 0x402f_f000n,
      sized: true,
      size: 0x20_0000n,
    });
  });
  it("SMMU-084 a page that is not there has no rights; a stream without ATS is unsupported", () => {
    const bench = new SmmuBench({ cr0: ON });
    stage1(bench, SID, CD_PLAIN, EATS);
    expect(bench.smmu.device(SID).requestTranslation(0x2345n)).toMatchObject({
      status: "success",
      read: false,
      write: false,
      size: 4096n,
    });
    stage1(bench, SID);
    expect(bench.smmu.device(SID).requestTranslation(0x2345n).status).toBe("ur");
    expect(bench.events().map(([word]) => (word as bigint) % 256n)).toEqual([5n]);
  });
});
