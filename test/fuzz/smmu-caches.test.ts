/**
 * Drivers that forget invalidations, and SMMUs that cache: whatever the policy, only answers come out
 * that the architecture permits; without caches, only the fresh one.
 */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { SmmuOptions } from "../../src/smmuv3/index.ts";
import { Choices } from "../support/choices.ts";
import { runs, seed } from "../support/runs.ts";
import { CD_PLAIN, CDS, FREE, LEAF, SmmuBench, STE_ABORT, STE_BYPASS, SYNC, TABLES } from "../support/smmu-bench.ts";
import {
  type Access,
  ASIDS,
  type Cd,
  type Leaf,
  PAGES,
  ROOTS,
  SIDS,
  StaleModel,
  type Ste,
} from "../support/smmu-stale.ts";

const STEPS = 60;
const TAPE = 400;
const CASES = runs(150, 30_000);
/** Leaf bits: AP[2], and nG. */
const READ_ONLY = 0x80n;
const NOT_GLOBAL = 0x800n;

/** Answers that only a cache can give, by policy. */
const stale = new Map<unknown, number>();

class Driver {
  readonly #c: Choices;
  readonly #bench: SmmuBench;
  readonly #model = new StaleModel();
  readonly #policy: SmmuOptions["caches"];

  constructor(c: Choices, policy: SmmuOptions["caches"]) {
    this.#c = c;
    this.#policy = policy;
    this.#bench = new SmmuBench({ caches: policy ?? "none", log2Events: 10, cr0: 0xd });
    for (const root of ROOTS) {
      const at = TABLES + BigInt(root) * 0x3000n;
      this.#bench.store(at, (at + 0x1000n) | 3n);
      this.#bench.store(at + 0x1000n, (at + 0x2000n) | 3n);
    }
    for (const sid of SIDS) {
      this.#setSte(sid, "stage 1");
      this.#setCd(sid, { root: 0, asid: sid });
    }
    // What was there before belongs to the past.
    this.#bench.send([0x04n, 31n], [0x30n, 0n], SYNC);
    this.#model.invalidateConfiguration(() => true);
    this.#model.invalidateTlb(() => true, ASIDS);
  }

  run(): string[] {
    const wrong: string[] = [];
    for (let i = 0; i < STEPS && wrong.length === 0; i++) {
      const kind = this.#c.below(10);
      if (kind < 5) this.#ask(wrong);
      else if (kind < 7) this.#setLeaf(this.#c.pick(ROOTS), this.#c.pick(PAGES), this.#randomLeaf());
      else if (kind < 8) this.#reconfigure();
      else this.#invalidate();
    }
    return wrong;
  }

  #ask(wrong: string[]): void {
    const [sid, page, access] = [this.#c.pick(SIDS), this.#c.pick(PAGES), this.#c.pick<Access>(["r", "w"])];
    const outcome = this.#bench.smmu.translate({ sid, address: BigInt(page) << 12n, access });
    const answer = !outcome.ok
      ? outcome.code
        ? `event ${outcome.code}`
        : "abort"
      : outcome.bypass
        ? `to page ${outcome.address >> 12n}`
        : `to frame ${(outcome.address - FREE) >> 12n}`;
    const fresh = this.#model.fresh(sid, page, access);
    const permitted = this.#policy === "none" ? new Set([fresh]) : this.#model.permitted(sid, page, access);
    if (answer !== fresh) stale.set(this.#policy, (stale.get(this.#policy) ?? 0) + 1);
    if (!permitted.has(answer)) {
      wrong.push(`stream ${sid}, page ${page}, ${access}: ${answer}, permitted: ${[...permitted].join(", ")}`);
    }
  }

  #randomLeaf(): Leaf {
    if (this.#c.chance(25)) return undefined;
    return { frame: this.#c.below(4), readOnly: this.#c.chance(30), global: this.#c.chance(25) };
  }

  #setLeaf(root: number, page: number, leaf: Leaf): void {
    const row = this.#model.leaves[root] as Leaf[];
    row[page] = leaf;
    const word = leaf
      ? (FREE + BigInt(leaf.frame) * 0x1000n) |
        LEAF |
        (leaf.readOnly ? READ_ONLY : 0n) |
        (leaf.global ? 0n : NOT_GLOBAL)
      : 0n;
    this.#bench.store(TABLES + BigInt(root) * 0x3000n + 0x2000n + BigInt(8 * page), word);
    this.#model.changed();
  }

  #reconfigure(): void {
    const sid = this.#c.pick(SIDS);
    if (this.#c.chance(40)) this.#setSte(sid, this.#c.pick<Ste>(["stage 1", "abort", "bypass", "invalid", "stage 1"]));
    else this.#setCd(sid, this.#c.chance(15) ? undefined : { root: this.#c.pick(ROOTS), asid: this.#c.pick(ASIDS) });
  }

  #setSte(sid: number, ste: Ste): void {
    this.#model.ste.set(sid, ste);
    const words = { abort: STE_ABORT, invalid: 0n, bypass: STE_BYPASS, "stage 1": 0b1011n | (CDS + BigInt(64 * sid)) };
    this.#bench.ste(sid, words[ste]);
    this.#model.changed();
  }

  #setCd(sid: number, cd: Cd): void {
    this.#model.cd.set(sid, cd);
    const words = cd ? [CD_PLAIN | (BigInt(cd.asid) << 48n), TABLES + BigInt(cd.root) * 0x3000n] : [0n, 0n];
    this.#bench.store(CDS + BigInt(64 * sid), ...words);
    this.#model.changed();
  }

  #invalidate(): void {
    const c = this.#c;
    const [sid, asid, page] = [c.pick(SIDS), c.pick(ASIDS), c.pick(PAGES)];
    const leaf = c.chance(50) ? 1n : 0n;
    const address = BigInt(page) << 12n;
    const stream = BigInt(sid) << 32n;
    const space = BigInt(asid) << 48n;
    // One page, or two by range: TG = 4 KiB, NUM = 1.
    const isRange = c.chance(30);
    const [range, granule] = isRange ? [1n << 12n, 1n << 10n] : [0n, 0n];
    const isHit = (at: number): boolean => at === page || (isRange && at === page + 1);
    const tables = leaf ? [] : [asid];
    const log2 = c.below(2);
    const model = this.#model;
    const commands: [bigint, bigint, () => void][] = [
      [0x03n | stream, leaf, () => model.invalidateConfiguration((one) => one === sid)],
      // Range = 0: two streams; 1: four.
      [
        0x04n | stream,
        BigInt(log2),
        () => model.invalidateConfiguration((one) => one >> (log2 + 1) === sid >> (log2 + 1)),
      ],
      [0x04n, 31n, () => model.invalidateConfiguration(() => true)],
      [0x05n | stream, leaf, () => model.invalidateCds((one) => one === sid)],
      [0x06n | stream, 0n, () => model.invalidateCds((one) => one === sid)],
      [0x10n, 0n, () => model.invalidateTlb(() => true, ASIDS)],
      [0x11n | space, 0n, () => model.invalidateTlb((one) => one === asid, [asid])],
      [
        0x12n | space | range,
        address | granule | leaf,
        () => model.invalidateTlb((one, at) => isHit(at) && (one === undefined || one === asid), tables),
      ],
      [0x13n | range, address | granule | leaf, () => model.invalidateTlb((_, at) => isHit(at), leaf ? [] : ASIDS)],
      [0x28n, 0n, () => model.invalidateTlb(() => true, ASIDS)],
      [0x30n, 0n, () => model.invalidateTlb(() => true, ASIDS)],
    ];
    const [low, high, effect] = c.pick(commands);
    this.#bench.send([low, high], SYNC);
    effect();
  }
}

describe("a driver that forgets invalidations", () => {
  it.each<[SmmuOptions["caches"]]>([["none"], ["sized"], ["retain"]])("caches: %s", (policy) => {
    fc.assert(
      fc.property(fc.uint32Array({ minLength: TAPE, maxLength: TAPE }), (tape) => {
        expect(new Driver(new Choices(tape), policy).run()).toEqual([]);
      }),
      { numRuns: CASES, seed },
    );
  });

  it("is caught by hardware that keeps what it may", () => {
    expect(stale.get("none") ?? 0).toBe(0);
    expect(stale.get("retain")).toBeGreaterThan(CASES);
  });
});
