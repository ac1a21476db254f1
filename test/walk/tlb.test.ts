/** A lone request that hits is answered without WebAssembly, and says what WebAssembly says: random units and tables. */
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { hex } from "../../src/check.ts";
import { type BareResult, type Request, type SmmuCachePolicy, SmmuWalker, VtdWalker } from "../../src/index.ts";
import { encodeRequest } from "../../src/walk/request.ts";
import type { Walker } from "../../src/walker.ts";
import { Choices } from "../support/choices.ts";
import { runs, seed } from "../support/runs.ts";
import { buildCase } from "../support/smmu-cases/case.ts";
import { Platform } from "../support/smmu-cases/platform.ts";
import { vtdCase } from "../support/vtd-cases/case.ts";
import { OracleWorld, WalkerWorld } from "../support/vtd-cases/world.ts";

const POLICIES = ["sized", "retain"] as const;
const MARK = 0xdead_beef;

const blank = (): BareResult => ({
  code: 1,
  flags: 1,
  addressLow: 1,
  addressHigh: 1,
  pageShift: 1,
  permissions: 1,
  attributes: 1,
});

/** Asks in all ways that there are, and whether WebAssembly was called: it writes the result block. */
class Asker {
  readonly #walker: Walker;
  readonly #words: Uint32Array;
  readonly #maxSid: number;
  readonly #batch: ReturnType<Walker["batch"]>;
  answeredHere = 0;
  answeredThere = 0;

  constructor(walker: Walker, words: Uint32Array, maxSid: number) {
    this.#walker = walker;
    this.#words = words;
    this.#maxSid = maxSid;
    this.#batch = walker.batch(1);
  }

  /** @returns what `walkInto` says, and whether it did so without WebAssembly */
  into(request: Request): { said: BareResult; code: number; here: boolean } {
    const { sid, pasid, low, high, flags } = this.#bare(request);
    const said = blank();
    const at = this.#walker.result.ptr >>> 2;
    this.#words[at] = MARK;
    const code = this.#walker.walkInto(sid, pasid, low, high, flags, said);
    const here = this.#words[at] === MARK;
    if (here) this.answeredHere++;
    else this.answeredThere++;
    return { said, code, here };
  }

  walk(request: Request): BareResult {
    const { sid, pasid, low, high, flags } = this.#bare(request);
    const code = this.#walker.walk(sid, pasid, low, high, flags);
    const { result } = this.#walker;
    expect(result.code).toBe(code);
    return {
      code,
      flags: result.flags,
      addressLow: result.addressLow,
      addressHigh: result.addressHigh,
      pageShift: result.pageShift,
      permissions: result.permissions,
      attributes: result.attributes,
    };
  }

  many(request: Request): BareResult {
    const { sid, pasid, low, high, flags } = this.#bare(request);
    const said = blank();
    this.#batch.put(0, sid, pasid, low, high, flags);
    this.#batch.run(1);
    this.#batch.read(0, said);
    return said;
  }

  #bare(request: Request): { sid: number; pasid: number; low: number; high: number; flags: number } {
    const { sid, pasid, address, flags } = encodeRequest(request, this.#maxSid);
    return { sid, pasid, flags, low: Number(address & 0xffff_ffffn), high: Number(address >> 32n) };
  }
}

/** The first time an entry may be made, from then on all say the same; and nothing once all is invalidated. */
function askAll(asker: Asker, requests: readonly Request[], invalidate: () => void): void {
  for (const request of requests) {
    asker.into(request);
    const { said, code } = asker.into(request);
    const label = `${hex(request.address)} ${request.access ?? "r"}`;
    expect(code, label).toBe(said.code);
    expect(said, label).toEqual(asker.walk(request));
    expect(said, label).toEqual(asker.many(request));
  }
  invalidate();
  for (const request of requests.slice(0, 1)) expect(asker.into(request).here).toBe(false);
}

describe("a hit without WebAssembly", () => {
  it.each(POLICIES)("VT-d, %s: says what the IOTLB says in WebAssembly", (policy) => {
    const oracle = new OracleWorld();
    const world = new WalkerWorld();
    let walker: VtdWalker | undefined;
    let asker: Asker | undefined;
    fc.assert(
      fc.property(vtdCase, (one) => {
        walker ??= new VtdWalker(world.memory, one.state, policy);
        asker ??= new Asker(walker, world.memory.core.u32, 0xffff);
        const { caches } = walker;
        caches?.invalidateAll();
        walker.configure(one.state);
        oracle.load(one);
        world.load(oracle, one.poisoned);
        askAll(asker, one.requests, () => caches?.invalidateAll());
      }),
      { numRuns: runs(300, 10_000), seed },
    );
    expect(asker?.answeredHere).toBeGreaterThan(100);
    expect(asker?.answeredThere).toBeGreaterThan(100);
  });

  it.each(POLICIES)("SMMUv3, %s: says what the cache by request says in WebAssembly", (policy: SmmuCachePolicy) => {
    const platform = new Platform();
    const off = { idr0: 0, idr1: 0, idr5: 0, cr0: 0, strtabBase: 0n, strtabBaseCfg: 0 };
    const walker = new SmmuWalker(platform.memory, off, policy);
    const asker = new Asker(walker, platform.memory.core.u32, 0xffff_ffff);
    fc.assert(
      fc.property(fc.uint32Array({ minLength: 600, maxLength: 600 }), (tape) => {
        const drawn = buildCase(new Choices(tape), 4);
        platform.load(drawn.image);
        walker.configure(drawn.state);
        walker.caches?.invalidateAll();
        askAll(asker, drawn.requests, () => walker.caches?.invalidateAll());
        // What is held outlasts SMMUEN = 0, but answers nothing then.
        for (const request of drawn.requests) asker.into(request);
        walker.configure({ ...drawn.state, cr0: 0 });
        for (const request of drawn.requests) expect(asker.into(request).here).toBe(false);
      }),
      { numRuns: runs(300, 10_000), seed },
    );
    expect(asker.answeredHere).toBeGreaterThan(100);
    expect(asker.answeredThere).toBeGreaterThan(100);
  });
});
