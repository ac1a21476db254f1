/** A guest that rewrites what it must not, while workers walk it: no worker hangs, throws, or remembers it. */
import * as fc from "fast-check";
import { afterEach, describe, expect, it } from "vitest";
import type { GuestMemory, Outcome, Request, WalkerHandle } from "../../src/index.ts";
import { runs, seed } from "../support/runs.ts";
import { CD, STE, words } from "../support/smmu-fields.ts";
import { CDS, DEFAULT_CD, DEFAULT_STAGE2, PA, SID, SmmuMachine, STREAMS, VA } from "../support/smmu-machine.ts";
import { Rig, SID as VTD_SID } from "../support/vtd-rig.ts";
import { wordFor } from "../support/worker-main.ts";
import { Crew } from "../support/worker-threads.ts";

const WORKERS = 2;
const REWRITES = runs(10_000, 500_000);
/** So many rewrites, then everything is invalidated: a worker that holds an entry reads none. */
const HELD = 50;
const PAGE = 0x5000n;

/** One entry: where it lies, and what it may hold. */
interface Entry {
  address: bigint;
  versions: readonly (readonly bigint[])[];
}

describe("entries rewritten word by word under the workers' hands", () => {
  let crew: Crew | undefined;
  afterEach(async () => {
    await crew?.end();
    crew = undefined;
  });

  async function withstands(
    memory: GuestMemory,
    owner: { share(count: number): WalkerHandle[]; translate(request: Request): Outcome },
    requests: readonly Request[],
    entries: readonly Entry[],
    invalidateAll: () => void,
  ) {
    const mine = await Crew.attach(owner.share(WORKERS));
    crew = mine;
    mine.start((shared) => ({ kind: "repeat", requests, ...shared }));
    const steps = fc.sample(fc.tuple(fc.nat(), fc.nat(), fc.nat()), { numRuns: 997, seed });
    for (let i = 0; i < REWRITES; i++) {
      const [which = 0, version = 0, place = 0] = steps[i % steps.length] ?? [];
      const { address, versions } = entries[which % entries.length] as Entry;
      const chosen = versions[version % versions.length] as readonly bigint[];
      memory.write64(address + 8n * BigInt(place % chosen.length), chosen[place % chosen.length] as bigint);
      if (i % HELD === 0) invalidateAll();
    }
    mine.progress();
    expect((await mine.stop()).flat()).toContain("ok");
    for (const { address, versions } of entries) {
      (versions[0] as readonly bigint[]).forEach((word, i) => {
        memory.write64(address + 8n * BigInt(i), word);
      });
    }
    invalidateAll();
    const wanted = requests.map((request) => wordFor(owner.translate(request)));
    expect(wanted).not.toContain("fault");
    for (const worker of mine.workers) {
      const answers = (await worker.do({ kind: "ask", requests, batch: true })) as Outcome[];
      expect(answers.map(wordFor), `SEED=${seed}`).toEqual(wanted);
    }
  }

  const ZEROS = new Array<bigint>(8).fill(0n);

  it("VT-d: PASID and context entries", async () => {
    const rig = new Rig({}, {}, { shared: true });
    rig.settles = false;
    const pasids = [5, 6];
    const { contextEntry, directoryEntry, pasidEntry, fs } = rig.scalable({ pasid: 5, context: [0x8n, 0n] });
    rig.startQueue();
    rig.mapFirst(fs, 4, PAGE, 0x10_0067n);
    const ss = rig.page();
    rig.mapSecond(ss, 4, PAGE, 0x10_1003n);
    const first = [0, 1, 2, 3, 4, 5, 6, 7].map((i) => rig.get(pasidEntry + BigInt(8 * i)));
    const second = [(ss | (2n << 6n) | (2n << 2n) | 1n) as bigint, 2n, 0n, 0n, 0n, 0n, 0n, 0n];
    const context = [0, 1, 2, 3].map((i) => rig.get(contextEntry + BigInt(8 * i)));
    const entries = pasids.map((pasid) => ({
      address: (rig.get(directoryEntry) & ~0xfffn) + 64n * BigInt(pasid),
      versions: [pasid === 5 ? first : second, first, second, ZEROS],
    }));
    await withstands(
      rig.memory,
      rig.unit,
      pasids.map((pasid) => ({ sid: VTD_SID, pasid, address: PAGE })),
      [...entries, { address: contextEntry, versions: [context, context, ZEROS.slice(0, 4)] }],
      () => rig.submit([0x11n], [0x37n], [0x12n]),
    );
  });

  it("SMMU: STEs and CDs", async () => {
    const m = new SmmuMachine({ memory: { shared: true, workspace: 8 << 20 } });
    const [first, second] = [m.tables(12, 48, 0), m.tables(12, 48, 0)];
    first.map(VA, PA);
    second.map2(VA, PA + 0x1000n);
    const cd = words(CD, 8, { ...DEFAULT_CD, TTB0: first.base, TTB1: first.base });
    const stage1 = words(STE, 8, { V: 1, Config: 5, S1ContextPtr: CDS, SHCFG: 1 });
    const stage2 = words(STE, 8, { V: 1, Config: 6, SHCFG: 1, ...DEFAULT_STAGE2, S2TTB: second.base });
    const sids = [SID, SID + 1];
    m.store(CDS, cd);
    await withstands(
      m.memory,
      m.smmu,
      sids.map((sid) => ({ sid, address: VA })),
      [
        ...sids.map((sid) => ({
          address: STREAMS + BigInt(64 * sid),
          versions: [sid === SID ? stage1 : stage2, stage1, stage2, ZEROS],
        })),
        { address: CDS, versions: [cd, cd, ZEROS] },
      ],
      () => m.invalidateAll(),
    );
  });
});
