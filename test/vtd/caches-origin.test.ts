/** What the IOTLB holds knows the entries it came from: held against a trace of the walk, over random units and tables. */
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { REQUEST_FLAG } from "../../assembly/layout/core.ts";
import { IOTLB_ORIGIN, IOTLB_ORIGIN_BYTES } from "../../assembly/layout/vtd-caches.ts";
import { hex } from "../../src/check.ts";
import { type TraceStep, type VtdCachePolicy, VtdWalker } from "../../src/index.ts";
import { runs, seed } from "../support/runs.ts";
import { type VtdCase, vtdCase } from "../support/vtd-cases/case.ts";
import { OracleWorld, WalkerWorld } from "../support/vtd-cases/world.ts";

const POLICIES: readonly VtdCachePolicy[] = [
  { policy: "sized", origins: true },
  { policy: "retain", origins: true },
  { policy: "retain", origins: true, iotlb: 8, contexts: 4, pasids: 4, firstTables: 8, secondTables: 8 },
  { policy: "sized", origins: true, iotlb: 8, contexts: 0, pasids: 4, firstTables: 0, secondTables: 4 },
];

/** Addresses by offset in IOTLB_ORIGIN. */
type Origin = Record<number, bigint>;

/** The entries that a trace read last of each kind; of the second stage, those for the page itself. */
function originOf(steps: readonly TraceStep[]): Origin {
  const found: Origin = {};
  let secondStage: Origin = {};
  for (const { structure, stage, level, address } of steps) {
    if (/context/.test(structure)) found[IOTLB_ORIGIN.CONTEXT] = address;
    if (/directory/.test(structure)) found[IOTLB_ORIGIN.DIRECTORY] = address;
    if (/PASID.*entry/.test(structure) && !/directory/.test(structure)) found[IOTLB_ORIGIN.PASID] = address;
    if (stage === 2) secondStage[IOTLB_ORIGIN.SS + 8 * (level - 1)] = address;
    if (stage !== 1) continue;
    // What was just walked in the second stage led to this entry.
    secondStage = {};
    found[IOTLB_ORIGIN.FS + 8 * (level - 1)] = address;
  }
  // An entry at address 0 looks like none.
  return Object.fromEntries(Object.entries({ ...found, ...secondStage }).filter(([, address]) => address !== 0n));
}

describe("origins of cached translations", () => {
  it.each(POLICIES.map((policy) => [JSON.stringify(policy), policy] as const))(
    "%s: as the walk reads them",
    (_, policy) => {
      const oracle = new OracleWorld();
      const world = new WalkerWorld();
      const { core } = world.memory;
      const at = core.allocate(IOTLB_ORIGIN_BYTES);
      let walker: VtdWalker | undefined;
      let held = 0;
      fc.assert(
        fc.property(vtdCase, (one) => {
          walker ??= new VtdWalker(world.memory, one.state, policy);
          walker.caches?.invalidateAll();
          walker.configure(one.state);
          oracle.load(one);
          world.load(oracle, one.poisoned);
          // Random tables use one domain for several roots, which hardware need not tell apart: one address space only.
          const { sid, pasid } = one.requests[0] as VtdCase["requests"][number];
          for (const request of one.requests.filter((other) => other.sid === sid && other.pasid === pasid)) {
            const { access = "r", type = "untranslated", privileged, zeroLength, address } = request;
            if (!walker.translate(request).ok || type !== "untranslated" || access === "x" || zeroLength) continue;
            const flags =
              (pasid === undefined || pasid === null ? 0 : REQUEST_FLAG.PASID) |
              (privileged ? REQUEST_FLAG.PRIVILEGED : 0);
            const [low, high] = [Number(address & 0xffff_ffffn), Number(address >> 32n)];
            const shift = core.exports.vtdOrigin(walker.unit, sid, pasid ?? 0, low, high, flags, at);
            if (!shift) continue;
            held++;
            const origin: Origin = {};
            for (let offset = 0; offset < IOTLB_ORIGIN.FS_LEVELS; offset += 8) {
              const entry = core.view.getBigUint64(at + offset, true);
              if (entry) origin[offset] = entry;
            }
            expect(origin, `${hex(address)} ${access}`).toEqual(originOf(walker.trace(request).steps));
          }
        }),
        { numRuns: runs(300, 10_000), seed },
      );
      expect(held).toBeGreaterThan(50);
    },
  );
});
