/**
 * Random histories of table changes, invalidations and requests, IHI 0070 3.21: a cached SMMU answers
 * with some mix of versions that no sufficient invalidation has ruled out yet, and with no other.
 */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { OPCODE, TLBI_TG } from "../../assembly/layout/smmuv3-queues.ts";
import { type Outcome, type SmmuCachePolicy, SmmuWalker } from "../../src/index.ts";
import { runs, seed } from "../support/runs.ts";
import { IPA, type Setup, SID, show, World } from "../support/smmu-world.ts";

/** A word in memory, what it may hold, and what a cached SMMU may still believe it holds. */
interface Entry {
  name: "STE" | "CD" | "table 1" | "leaf 1" | "table 2" | "leaf 2";
  at: bigint;
  versions: bigint[];
  visible: Set<bigint>;
}

type Command = (unit: SmmuWalker) => void;
const tlbi =
  (opcode: OPCODE): Command =>
  (unit) => {
    const all = { first: 0n, last: 0xffff_ffff_ffff_ffffn, vmidMask: 0xffff, vmid: 7, asid: 5 };
    unit.caches?.invalidateTlb({ opcode, ...all, leaf: false, tg: TLBI_TG.NONE, ttl: 0 });
  };
/** Commands, and the entries whose old versions they rule out; stage 2 alone and behind stage 1. */
const COMMANDS: readonly [Command, Entry["name"][], Entry["name"][]][] = [
  [(unit) => unit.caches?.invalidateSte(SID, true), ["STE", "CD"], ["STE", "CD"]],
  [(unit) => unit.caches?.invalidateCdAll(SID), ["CD"], ["CD"]],
  [(unit) => unit.caches?.invalidateSteRange(0, 32), ["STE", "CD"], ["STE", "CD"]],
  [tlbi(OPCODE.CMD_TLBI_NH_ALL), ["table 1", "leaf 1"], ["table 1", "leaf 1"]],
  [tlbi(OPCODE.CMD_TLBI_NH_VA), ["table 1", "leaf 1"], ["table 1", "leaf 1"]],
  [tlbi(OPCODE.CMD_TLBI_S2_IPA), ["table 2", "leaf 2"], []],
  [
    tlbi(OPCODE.CMD_TLBI_S12_VMALL),
    ["table 1", "leaf 1", "table 2", "leaf 2"],
    ["table 1", "leaf 1", "table 2", "leaf 2"],
  ],
  [
    tlbi(OPCODE.CMD_TLBI_NSNH_ALL),
    ["table 1", "leaf 1", "table 2", "leaf 2"],
    ["table 1", "leaf 1", "table 2", "leaf 2"],
  ],
];

function entriesOf(world: World, config: number): Entry[] {
  const entry = (name: Entry["name"], at: bigint, change: (word: bigint) => bigint): Entry => {
    const word = world.memory.read64(at);
    return { name, at, versions: [word, change(word)], visible: new Set([word]) };
  };
  const invalid = (word: bigint) => word & ~1n;
  const moved = (word: bigint) => word ^ 0x20_0000n;
  const entries = [entry("STE", world.ste, invalid)];
  if (config & 1) {
    entries.push(entry("CD", world.cd, (word) => word & ~(1n << 31n)));
    entries.push(entry("leaf 1", world.leaf1, (word) => word ^ 0x80n));
    entries.push(entry("table 1", world.first.descriptor(world.va, 2) as bigint, invalid));
  }
  if (config & 2) {
    entries.push(entry("leaf 2", world.leaf2, moved));
    entries.push(entry("table 2", world.second.descriptor(config === 6 ? world.va : IPA, 2) as bigint, invalid));
  }
  return entries;
}

const settled = (outcome: Outcome): string => show(outcome.ok ? { ...outcome, updated: false } : outcome);

/** Answers of the uncached walker for every mix of visible versions. */
function permitted(world: World, entries: Entry[], ask: () => string): Set<string> {
  const answers = new Set<string>();
  const mix = (i: number): void => {
    const entry = entries[i];
    if (!entry) {
      answers.add(ask());
      return;
    }
    const current = world.memory.read64(entry.at);
    for (const version of entry.visible) {
      world.memory.write64(entry.at, version);
      mix(i + 1);
    }
    world.memory.write64(entry.at, current);
  };
  mix(0);
  return answers;
}

const step = fc.record({
  kind: fc.constantFrom("change", "command", "ask", "ask"),
  index: fc.nat(63),
  write: fc.boolean(),
});
const SETUPS: Record<5 | 6 | 7, Setup> = {
  5: { config: 5, ste: { S2VMID: 7 }, cd: { ASID: 5 } },
  6: { config: 6 },
  7: { config: 7, cd: { ASID: 5 } },
};
const POLICIES: SmmuCachePolicy[] = ["sized", "retain"];

describe("random histories", () => {
  it.each([5, 6, 7] as const)("Config %i: no answer that is not permitted", (config) => {
    let stale = 0;
    const worlds = POLICIES.map((policy) => {
      const world = new World(SETUPS[config]);
      return { world, entries: entriesOf(world, config), unit: new SmmuWalker(world.memory, world.state, policy) };
    });
    fc.assert(
      fc.property(fc.array(step, { minLength: 10, maxLength: 60 }), fc.nat(1), (steps, policy) => {
        const { world, entries, unit } = worlds[policy] as (typeof worlds)[number];
        for (const entry of entries) {
          const original = entry.versions[0] as bigint;
          world.memory.write64(entry.at, original);
          entry.visible = new Set([original]);
        }
        unit.caches?.invalidateAll();
        for (const { kind, index, write } of steps) {
          if (kind === "change") {
            const entry = entries[index % entries.length] as Entry;
            const next = entry.versions[Math.floor(index / 8) % 2] as bigint;
            world.memory.write64(entry.at, next);
            entry.visible.add(next);
          } else if (kind === "command") {
            const [command, alone, nested] = COMMANDS[index % COMMANDS.length] as (typeof COMMANDS)[number];
            command(unit);
            const fresh = config === 7 ? nested : alone;
            for (const entry of entries) {
              if (fresh.includes(entry.name)) entry.visible = new Set([world.memory.read64(entry.at)]);
            }
          } else {
            const request = { sid: SID, address: world.va, access: write ? ("w" as const) : ("r" as const) };
            const ask = () => settled(world.walker.translate({ ...request, probe: true }));
            const now = ask();
            const got = settled(unit.translate(request));
            if (got !== now) stale++;
            expect([...permitted(world, entries, ask)]).toContain(got);
          }
        }
      }),
      { numRuns: runs(300, 10_000), seed },
    );
    // Or nothing was ever held.
    expect(stale).toBeGreaterThan(20);
  });
});
