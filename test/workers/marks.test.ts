/**
 * Accessed and dirty bits set by several workers while software changes the same entries: VT-d 5.10 3.6.2
 * and 3.7.2, SMMUv3 HTTU, IHI 0070 3.13. No change of anybody's is lost, and the marks are there.
 */
import { afterEach, describe, expect, it } from "vitest";
import type { GuestMemory, WalkerHandle } from "../../src/index.ts";
import { PA, RAM, SmmuMachine, VA } from "../support/smmu-machine.ts";
import { Rig, SID } from "../support/vtd-rig.ts";
import { Crew } from "../support/worker-threads.ts";

const WORKERS = 2;
/** Marks that software has to see again after it took them away. */
const MARKS = 300;
/** As often software looks at an entry in vain before it says that nobody marks it. */
const LOOKS = 1 << 26;
/** A bit that both vendors leave to software in every entry used here. */
const SOFTWARE = 1n << 55n;

/** An entry with marks: bits that a write sets, and bits that it clears. */
interface Marked {
  address: bigint;
  sets: bigint;
  clears: bigint;
}

/** The word at a guest address, for atomic instructions of the "CPU". */
function wordAt(memory: GuestMemory, ramBase: bigint, address: bigint): [words: BigUint64Array, index: number] {
  const { u8 } = memory.core;
  const size = Number(memory.regions[0]?.size);
  return [new BigUint64Array(u8.buffer), (u8.length - size + Number(address - ramBase)) / 8];
}

describe("marks of workers and changes of software", () => {
  let crew: Crew | undefined;
  afterEach(async () => {
    await crew?.end();
    crew = undefined;
  });

  /**
   * Software takes the marks away and flips its own bit, over and over, each by an atomic instruction.
   * @returns how often its bit was not as it had left it
   */
  function race(
    memory: GuestMemory,
    ramBase: bigint,
    entries: readonly Marked[],
    until: (lost: number) => boolean,
  ): number {
    const words = entries.map(({ address }) => wordAt(memory, ramBase, address));
    let lost = 0;
    const flips = entries.map(() => 0n);
    const marks = entries.map(() => 0);
    for (let look = 0; look < LOOKS && !until(lost); look++) {
      entries.forEach(({ sets, clears }, i) => {
        const [all, at] = words[i] as [BigUint64Array, number];
        const held = Atomics.xor(all, at, SOFTWARE);
        if ((held & SOFTWARE) !== flips[i]) lost++;
        flips[i] = ~held & SOFTWARE;
        if ((held & sets) !== sets || (held & clears) !== 0n) return;
        marks[i] = (marks[i] as number) + 1;
        Atomics.and(all, at, ~sets);
        Atomics.or(all, at, clears);
      });
      if (marks.every((count) => count >= MARKS)) break;
    }
    return lost;
  }

  /** Workers write through the entries, uncached, while software races them; then once more, undisturbed. */
  async function marked(
    memory: GuestMemory,
    ramBase: bigint,
    handles: readonly WalkerHandle[],
    request: { sid: number; pasid?: number; address: bigint },
    entries: readonly Marked[],
  ) {
    const mine = await Crew.attach(handles);
    crew = mine;
    mine.start((shared) => ({
      kind: "repeat",
      requests: [
        { ...request, access: shared.place % 2 ? "a" : "w" },
        { ...request, access: "w" },
      ],
      ...shared,
    }));
    const lost = race(memory, ramBase, entries, () => false);
    mine.progress();
    const left = entries.map(({ address }) => memory.read64(address));
    const answers = await mine.stop();
    expect(lost).toBe(0);
    expect(new Set(answers.flat())).toEqual(new Set(["ok"]));
    entries.forEach(({ sets, clears }, i) => {
      expect([(left[i] as bigint) & sets, (left[i] as bigint) & clears]).toEqual([sets, 0n]);
    });
  }

  const [A, D] = [0x20n, 0x40n];
  const [A2, D2] = [0x100n, 0x200n];
  const PAGE = 0x5000n;
  const SSADE = 0x200n;

  it("VT-d first stage: A in all entries, D in the leaf", async () => {
    const rig = new Rig({}, { caches: "none" }, { shared: true });
    const { fs } = rig.scalable({ pasid: 5, context: [0x8n, 0n] });
    const leaf = rig.mapFirst(fs, 4, PAGE, 0x10_0007n);
    const path = rig.path(fs, 4, PAGE);
    await marked(rig.memory, 0n, rig.unit.share(WORKERS), { sid: SID, pasid: 5, address: PAGE }, [
      { address: leaf, sets: A | D, clears: 0n },
      ...path.slice(0, -1).map((address) => ({ address, sets: A, clears: 0n })),
    ]);
  });

  it("VT-d second stage with SSADE", async () => {
    const rig = new Rig({}, { caches: "none" }, { shared: true });
    const { ss } = rig.scalable({ pasid: 5, pgtt: 2n, context: [0x8n, 0n], words: [SSADE] });
    const leaf = rig.mapSecond(ss, 4, PAGE, 0x10_0003n);
    await marked(rig.memory, 0n, rig.unit.share(WORKERS), { sid: SID, pasid: 5, address: PAGE }, [
      { address: leaf, sets: A2 | D2, clears: 0n },
    ]);
  });

  it("VT-d nested with SSADE: both leaves", async () => {
    const rig = new Rig({}, { caches: "none" }, { shared: true });
    const { fs, ss } = rig.scalable({ pasid: 5, pgtt: 3n, context: [0x8n, 0n], words: [SSADE] });
    const gpa = 0x4000_0000n;
    const leaf = rig.mapFirst(fs, 4, PAGE, gpa | 7n);
    // The second stage has the tables of the first one where they lie, and the page somewhere else.
    for (let at = 0n; at < 0x200_0000n; at += 0x20_0000n) rig.mapSecond(ss, 4, at, at | 0x83n, 2);
    const leaf2 = rig.mapSecond(ss, 4, gpa, 0x10_0003n);
    await marked(rig.memory, 0n, rig.unit.share(WORKERS), { sid: SID, pasid: 5, address: PAGE }, [
      { address: leaf, sets: A | D, clears: 0n },
      { address: leaf2, sets: A2 | D2, clears: 0n },
    ]);
  });

  const AF = 0x400n;
  const [AP2, S2AP1] = [0x80n, 0x80n];
  const REQUEST = { sid: 5, address: VA };

  /** An SMMU without caches over the machine's tables. */
  const uncached = () => new SmmuMachine({ memory: { shared: true, workspace: 8 << 20 }, caches: "none" });

  it("SMMU HTTU, stage 1: AF, and AP[2] of a writable-clean page", async () => {
    const m = uncached();
    const leaf = m.stage1({ HA: 1, HD: 1 }).map(VA, PA, { AF: 0, DBM: 1, AP: 3 });
    await marked(m.memory, RAM, m.smmu.share(WORKERS), REQUEST, [{ address: leaf, sets: AF, clears: AP2 }]);
  });

  it("SMMU HTTU, both stages: stage 2 has AF, and S2AP[1] of a writable-clean page", async () => {
    const m = uncached();
    const { first, second } = m.nested({ HA: 1, HD: 1 }, { S2HA: 1, S2HD: 1 });
    const ipa = 0x9000_0000n;
    const leaf = first.map(VA, ipa, { AF: 0, DBM: 1, AP: 3 });
    const leaf2 = second.map2(ipa, PA, { AF: 0, DBM: 1, S2AP: 1 });
    await marked(m.memory, RAM, m.smmu.share(WORKERS), REQUEST, [
      { address: leaf, sets: AF, clears: AP2 },
      { address: leaf2, sets: AF | S2AP1, clears: 0n },
    ]);
  });

  it("control: marks made by reading and writing the entry lose what software does between, and the race sees it", async () => {
    const rig = new Rig({}, { caches: "none" }, { shared: true });
    const { fs } = rig.scalable({ pasid: 5, context: [0x8n, 0n] });
    const address = rig.mapFirst(fs, 4, PAGE, 0x10_0007n);
    const mine = await Crew.attach(rig.unit.share(WORKERS));
    crew = mine;
    mine.start((shared) => ({ kind: "overwrite", address, bits: A | D, ...shared }));
    // Software does not stop before something is lost.
    const entries = [{ address, sets: 0n, clears: 1n << 62n }];
    expect(race(rig.memory, 0n, entries, (lost) => lost > 0)).toBeGreaterThan(0);
  });
});
