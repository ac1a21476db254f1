/** Hitless updates, held against the transitions and numbers of synchronisations of Linux's driver tests. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { CD, STE } from "../../assembly/layout/smmuv3.ts";
import { cdUsed, type LiveEntry, liveEntry, steUsed, updateCd, updateSte } from "../../src/smmuv3/update.ts";
import { build } from "../../src/structure.ts";
import { runs, seed } from "../support/runs.ts";
import { CD_PLAIN, CDS, FREE, SmmuBench, STRTAB, SYNC } from "../support/smmu-bench.ts";

const PTR = 0xdeadbee0n;
const ste = (values: Record<string, number | bigint>): bigint[] => build(STE, 8, { V: 1, ...values });
const abort = ste({ Config: 0 });
const bypass = ste({ Config: 4, SHCFG: 1 });
/** A table of 2^5 CDs, write-back and inner shareable. */
const cdTable = (S1DSS: number, more: Record<string, number | bigint> = {}): bigint[] =>
  ste({ Config: 5, S1ContextPtr: PTR >> 6n, S1CDMax: 5, S1DSS, S1CIR: 1, S1COR: 1, S1CSH: 3, EATS: 1, ...more });
const s1dssBypass = cdTable(1, { SHCFG: 1 });
const stage2Fields = {
  S2T0SZ: 20,
  S2SL0: 2,
  S2IR0: 1,
  S2OR0: 1,
  S2SH0: 3,
  S2PS: 5,
  S2AA64: 1,
  S2PTW: 1,
  S2R: 1,
  S2TTB: PTR >> 4n,
};
const stage2 = ste({ Config: 6, EATS: 1, ...stage2Fields });
const nested = cdTable(1, { Config: 7, MEV: 1, ...stage2Fields });
/** CDs of a process, and of paging domains. */
const s1cd = (values: Record<string, number | bigint> = {}): bigint[] =>
  build(CD, 8, {
    V: 1,
    T0SZ: 16,
    IR0: 1,
    OR0: 1,
    SH0: 3,
    EPD1: 1,
    IPS: 5,
    AA64: 1,
    R: 1,
    A: 1,
    ASET: 1,
    ASID: 778,
    TTB0: PTR >> 4n,
    MAIR0: 0x04ff,
    ...values,
  });
const released = build(CD, 8, {
  V: 1,
  EPD0: 1,
  EPD1: 1,
  IPS: 5,
  AA64: 1,
  R: 1,
  A: 1,
  ASET: 1,
  ASID: 778,
  MAIR0: 0x04ff,
});
const empty = new Array<bigint>(8).fill(0n);

type Update = typeof updateSte;

/** An entry that is looked at after every store, as hardware may. */
class Watched implements LiveEntry {
  readonly seen: bigint[][] = [];
  readonly synced: bigint[][] = [];
  constructor(readonly words: bigint[]) {}
  load(): bigint[] {
    return [...this.words];
  }
  store(word: number, value: bigint): void {
    this.words[word] = value;
    this.seen.push([...this.words]);
  }
  sync(): void {
    this.synced.push([...this.words]);
  }
}

function run(update: Update, from: readonly bigint[], to: readonly bigint[]) {
  const entry = new Watched([...from]);
  const result = update(entry, to);
  expect(entry.words).toEqual(to);
  expect(result.syncs).toBe(entry.synced.length);
  return { ...result, entry };
}

describe("STE updates, IHI 0070 3.21.3", () => {
  const transitions: [string, bigint[], bigint[], number][] = [
    ["bypass -> abort", bypass, abort, 2],
    ["abort -> bypass", abort, bypass, 2],
    ["CD table -> abort", cdTable(2), abort, 2],
    ["abort -> CD table", abort, cdTable(2), 2],
    ["CD table -> bypass", cdTable(2), bypass, 3],
    ["bypass -> CD table", bypass, cdTable(2), 3],
    ["S1DSS bypass -> S1DSS CD 0, attributes alike", cdTable(1, { SHCFG: 1 }), cdTable(2, { SHCFG: 1 }), 1],
    ["S1DSS terminate -> S1DSS CD 0", cdTable(0), cdTable(2), 1],
    ["S1DSS bypass -> bypass", s1dssBypass, bypass, 2],
    ["bypass -> S1DSS bypass", bypass, s1dssBypass, 2],
    ["abort -> stage 2", abort, stage2, 2],
    ["stage 2 -> abort", stage2, abort, 2],
    ["bypass -> stage 2", ste({ Config: 4 }), stage2, 2],
    ["stage 2 -> bypass", stage2, ste({ Config: 4 }), 2],
    ["stage 1 -> stage 2", cdTable(2), stage2, 3],
    ["stage 2 -> stage 1", stage2, cdTable(2), 3],
    [
      "stage 1 with stalls -> stage 2 with stalls",
      cdTable(2, { EATS: 0 }),
      ste({ Config: 6, ...stage2Fields, S2S: 1 }),
      3,
    ],
    ["nested with S1DSS bypass -> stage 2", nested, ste({ Config: 6, ...stage2Fields }), 3],
    ["stage 2 -> nested with S1DSS bypass", ste({ Config: 6, ...stage2Fields }), nested, 2],
  ];
  it.each(transitions)("%s", (_, from, to, syncs) => {
    const { hitless, syncs: counted, entry } = run(updateSte, from, to);
    expect(hitless).toBe(true);
    expect(counted).toBe(syncs);
    // What the entry in memory uses is the old entry's, or the new one's, after every single store.
    for (const words of entry.seen) expect(isOneOf(steUsed, words, from, to)).toBe(true);
  });

  it("CD table moved and S1DSS changed: not hitless, three synchronisations", () => {
    const { hitless, syncs, entry } = run(updateSte, cdTable(2), cdTable(0, { S1ContextPtr: 0x4000_0000n >> 6n }));
    expect({ hitless, syncs }).toEqual({ hitless: false, syncs: 3 });
    // Invalid in between: never a mixture of two valid entries.
    expect(entry.synced.slice(0, 2).every(([word]) => word === 0n)).toBe(true);
  });

  it("stage 2 under another VMID: a word on either side turns over, not hitless", () => {
    const other = ste({ Config: 6, ...stage2Fields, S2VMID: 5 });
    expect(run(updateSte, cdTable(2), other)).toMatchObject({ hitless: false, syncs: 3 });
  });

  it("an entry that stays as it is needs nothing", () => {
    expect(run(updateSte, stage2, stage2)).toMatchObject({ hitless: true, syncs: 0 });
  });
});

describe("CD updates, IHI 0070 3.21.3", () => {
  const transitions: [string, bigint[], bigint[], number, boolean][] = [
    ["clear", s1cd(), empty, 2, false],
    ["write into an empty entry", empty, s1cd(), 2, false],
    ["ASID change", s1cd(), s1cd({ ASID: 779 }), 1, true],
    ["process exits: EPD0 instead of its table", s1cd(), released, 2, true],
    ["clear after exit", released, empty, 2, false],
  ];
  it.each(transitions)("%s", (_, from, to, syncs, hitless) => {
    const result = run(updateCd, from, to);
    expect({ hitless: result.hitless, syncs: result.syncs }).toEqual({ hitless, syncs });
    for (const words of result.entry.seen) expect(isOneOf(cdUsed, words, from, to)).toBe(true);
  });
});

describe("updates under the eyes of the SMMU", () => {
  const SID = 5;
  const AT = STRTAB + 64n * BigInt(SID);
  const ADDRESS = 0x4010_0123n;
  // 39 bits each. Every configuration that translates leads elsewhere: stage 1 to gigabyte 2, stage 2 to
  // gigabyte 3, both to gigabyte 4 (where stage 2 keeps gigabyte 1, with the tables in it, in place).
  const FIELDS2 = { S2T0SZ: 25, S2SL0: 1, S2PS: 5, S2AA64: 1, S2R: 1 };
  const entries: Record<string, bigint[]> = {
    abort: ste({ Config: 0 }),
    bypass: ste({ Config: 4, SHCFG: 1 }),
    "stage 1": ste({ Config: 5, S1ContextPtr: CDS >> 6n }),
    "stage 1 with substreams": ste({ Config: 5, S1ContextPtr: CDS >> 6n, S1CDMax: 2, S1DSS: 2 }),
    "S1DSS bypass": ste({ Config: 5, S1ContextPtr: CDS >> 6n, S1CDMax: 2, S1DSS: 1, SHCFG: 1 }),
    "stage 2": ste({ Config: 6, ...FIELDS2, S2TTB: (FREE + 0x2000n) >> 4n }),
    nested: ste({ Config: 7, S1ContextPtr: CDS >> 6n, ...FIELDS2, S2TTB: (FREE + 0x1000n) >> 4n }),
  };
  const pairs = Object.keys(entries).flatMap((from) => Object.keys(entries).map((to) => [from, to] as const));

  /** What a request gets, events left out. */
  const ask = (bench: SmmuBench): string => {
    const outcome = bench.smmu.translate({ sid: SID, address: ADDRESS });
    return outcome.ok ? `0x${outcome.address.toString(16)}` : `${outcome.answer} ${outcome.code}`;
  };
  function machine(entry: readonly bigint[]): SmmuBench {
    const bench = new SmmuBench();
    bench.store(CDS, CD_PLAIN, FREE);
    bench.store(FREE, 0n, 0x8000_0000n | 0x741n);
    bench.store(FREE + 0x1000n, 0n, 0x4000_0000n | 0x7fdn, 0x1_0000_0000n | 0x7fdn);
    bench.store(FREE + 0x2000n, 0n, 0xc000_0000n | 0x7fdn);
    bench.ste(SID, ...entry);
    return bench;
  }

  it("these answer differently", () => {
    expect(Object.values(entries).map((entry) => ask(machine(entry)))).toEqual([
      "abort 0",
      "0x40100123",
      "0x80100123",
      "0x80100123",
      "0x40100123",
      "0xc0100123",
      "0x100100123",
    ]);
  });

  it.each(pairs)("SMMU-082 %s -> %s: after every store, the old answer or the new one", (from, to) => {
    const [old, target] = [entries[from], entries[to]] as [bigint[], bigint[]];
    const [before, after] = [ask(machine(old)), ask(machine(target))];
    const bench = machine(old);
    const live = liveEntry(bench.memory, AT, () => bench.send([0x03n | (BigInt(SID) << 32n), 1n], SYNC));
    const seen: string[] = [];
    const { hitless } = updateSte(
      {
        ...live,
        store: (word, value) => {
          live.store(word, value);
          live.sync();
          seen.push(ask(bench));
        },
      },
      target,
    );
    const allowed = hitless ? [before, after] : [before, after, "abort 4"];
    expect(seen.filter((answer) => !allowed.includes(answer))).toEqual([]);
    expect(ask(bench)).toBe(after);
  });
});

describe("any update", () => {
  const word = fc.bigInt(0n, (1n << 64n) - 1n);
  const entry = fc.array(word, { minLength: 8, maxLength: 8 });
  /** Random entries, often valid, and alike in most words. */
  const pair = fc
    .tuple(entry, entry, fc.integer({ min: 0, max: 255 }))
    .map(([a, b, same]) => [a, b.map((w, i) => ((same >> i) & 1 ? (a[i] as bigint) : w))] as const);
  it.each([["STE", updateSte, steUsed, 0n] as const, ["CD", updateCd, cdUsed, 31n] as const])(
    "%s: after every synchronisation old, new, or invalid; a hitless one never invalid",
    (_, update, used, v) => {
      fc.assert(
        fc.property(pair, ([a, b]) => {
          const [from, to] = [a, b].map((e) => clean(used, e)) as [bigint[], bigint[]];
          const result = run(update, from, to);
          expect(result.syncs).toBeLessThanOrEqual(3);
          for (const words of result.entry.synced) {
            const isInvalid = ((words[0] as bigint) >> v) % 2n === 0n;
            expect(isInvalid || isOneOf(used, words, from, to)).toBe(true);
            if (result.hitless) expect(isInvalid).toBe(false);
          }
        }),
        { numRuns: runs(300, 20_000), seed },
      );
    },
  );
});

/** As a driver makes entries: zero in what they do not use. */
function clean(used: typeof steUsed, words: bigint[]): bigint[] {
  const masks = used(words);
  return words.map((word, i) => word & (masks[i] as bigint));
}

/** MEV, and EATS off or on, may differ: they harm nobody. */
const HARMLESS: readonly bigint[] = build(STE, 8, { MEV: 1, EATS: 3 });

function isOneOf(used: typeof steUsed, words: bigint[], from: readonly bigint[], to: readonly bigint[]): boolean {
  const harmless = used === steUsed ? HARMLESS : empty;
  const masks = used(words).map((mask, i) => mask & ~(harmless[i] as bigint));
  const sees = (other: readonly bigint[]): boolean =>
    masks.every((mask, i) => (((words[i] as bigint) ^ (other[i] as bigint)) & mask) === 0n);
  return sees(from) || sees(to);
}
