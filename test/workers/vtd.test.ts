/** VT-d, VT-d 5.10 6.5: what the owner invalidates or writes to a register is over in every worker. */
import { afterEach, describe, expect, it } from "vitest";
import { VtdWalker } from "../../src/index.ts";
import { GCMD, Rig, SID } from "../support/vtd-rig.ts";
import { Crew } from "../support/worker-threads.ts";

const WORKERS = 2;
const CHANGES = 16;
/** Enough for some to come in the middle of what is in flight. */
const MANY_CHANGES = 300;
const PASID = 5;
const DID = 1n;
const PAGE = 0x5000n;
const REQUEST = { sid: SID, pasid: PASID, address: PAGE };

/** Descriptors as the specification lays them out. */
const WAIT_FOR = {
  contexts: [0x11n],
  pasid: [0x17n | (DID << 16n) | (BigInt(PASID) << 32n)],
  pages: [0x36n | (DID << 16n) | (BigInt(PASID) << 32n), PAGE],
  pasidPages: [0x26n | (DID << 16n) | (BigInt(PASID) << 32n)],
  pasids: [0x37n],
  iotlb: [0x12n],
};

describe("VT-d workers and invalidation, VT-d 5.10 6.5", () => {
  let crew: Crew | undefined;
  afterEach(async () => {
    await crew?.end();
    crew = undefined;
  });

  function sharedRig(caches: "retain" | "none" = "retain", changes: ConstructorParameters<typeof Rig>[0] = {}): Rig {
    const rig = new Rig(changes, { caches }, { shared: true });
    rig.settles = false;
    return rig;
  }

  /** Has workers watch the request while `change(n)` leads from the answer of epoch n - 1 to that of epoch n. */
  async function complaints(
    rig: { unit: Pick<Rig["unit"], "share"> },
    answers: readonly bigint[],
    change: (epoch: number) => void,
  ) {
    const mine = await Crew.attach(rig.unit.share(WORKERS));
    crew = mine;
    const words = answers.map((answer) => (answer ? answer.toString(16) : "fault"));
    mine.start((shared) => ({ kind: "watch", request: REQUEST, answers: words, ...shared }));
    for (let epoch = 1; epoch <= CHANGES; epoch++) {
      change(epoch);
      mine.next();
    }
    return (await mine.stop()).flat();
  }

  const outputs = Array.from({ length: 8 }, (_, i) => 0x10_0000n + BigInt(i) * 0x1000n);
  const outputAt = (epoch: number) => outputs[epoch % outputs.length] as bigint;

  /** A first stage for PASID, its page at the first output, and an invalidation queue. */
  function translating(rig: Rig) {
    const setup = rig.scalable({ pasid: PASID, context: [0x8n, 0n] });
    rig.startQueue();
    return { ...setup, leaf: rig.mapFirst(setup.fs, 4, PAGE, outputAt(0) | 0x67n) };
  }

  /** The same page by tables of its own, a set for each output. @returns their roots */
  function roots(rig: Rig): bigint[] {
    return outputs.map((output) => {
      const root = rig.page();
      rig.mapFirst(root, 4, PAGE, output | 0x67n);
      return root;
    });
  }

  it.each(["retain", "none"] as const)(
    "a page mapped elsewhere, %s: never the old one once the wait is complete",
    async (caches) => {
      const rig = sharedRig(caches);
      const { leaf } = translating(rig);
      const found = await complaints(rig, outputs, (epoch) => {
        rig.put(leaf, outputAt(epoch) | 0x67n);
        expect(rig.invalidate(WAIT_FOR.pages)).toBe(true);
      });
      expect(found).toEqual([]);
    },
  );

  it("control: workers of a walker that nobody tells answer by the old page, and the watch sees it", async () => {
    const rig = sharedRig();
    const { leaf, rootEntry } = translating(rig);
    const { cap, ecap, ver } = rig.capabilities.effective;
    const rtaddr = (rootEntry & ~0xfffn) | 0x400n;
    const untold = new VtdWalker(rig.memory, { cap, ecap, version: Number(ver), haw: 46, rtaddr }, "retain");
    const found = await complaints({ unit: untold }, outputs, (epoch) => {
      rig.put(leaf, outputAt(epoch) | 0x67n);
      rig.invalidate(WAIT_FOR.pages);
    });
    expect(found).not.toEqual([]);
  });

  it("what is in flight keeps its translation: an invalidation waits until it is over", async () => {
    const rig = sharedRig();
    const { leaf } = translating(rig);
    const mine = await Crew.attach(rig.unit.share(WORKERS));
    crew = mine;
    mine.start((shared) => ({ kind: "hold", request: REQUEST, ...shared }));
    for (let epoch = 1; epoch <= MANY_CHANGES; epoch++) {
      rig.put(leaf, outputAt(epoch) | 0x67n);
      expect(rig.invalidate(WAIT_FOR.pages)).toBe(true);
      if (epoch % 100 === 0) mine.progress();
    }
    expect((await mine.stop()).flat()).toEqual([]);
  });

  it("an unmapped page faults, a mapped one is found", async () => {
    const rig = sharedRig();
    const { leaf } = translating(rig);
    const answers = outputs.flatMap((output) => [output, 0n]);
    const found = await complaints(rig, answers, (epoch) => {
      rig.put(leaf, epoch % 2 ? 0n : (answers[epoch % answers.length] as bigint) | 0x67n);
      expect(rig.invalidate(WAIT_FOR.pages)).toBe(true);
    });
    expect(found).toEqual([]);
  });

  it.each(["as the specification wants it, P alone", "as Linux did, all of it at once"])(
    "a PASID entry is taken down %s: it is gone once the wait is complete, and no walk hangs",
    async (how) => {
      const rig = sharedRig();
      const { pasidEntry } = translating(rig);
      const tables = roots(rig);
      const [low, middle] = [rig.get(pasidEntry), rig.get(pasidEntry + 8n)];
      const answers = outputs.flatMap((output) => [0n, output]);
      rig.put(pasidEntry, 0n);
      const found = await complaints(rig, answers, (epoch) => {
        if (epoch % 2) {
          rig.put(pasidEntry + 8n, middle, tables[((epoch - 1) / 2) % tables.length] as bigint);
          rig.put(pasidEntry, low);
          return;
        }
        if (how.includes("P alone")) rig.put(pasidEntry, low & ~1n);
        else rig.put(pasidEntry, 0n, 0n, 0n);
        expect(rig.invalidate(WAIT_FOR.pasid, WAIT_FOR.pasidPages)).toBe(true);
      });
      expect(found).toEqual([]);
    },
  );

  it("a context entry with another PASID directory", async () => {
    const rig = sharedRig();
    const { contextEntry, pasidEntry } = translating(rig);
    const context = rig.get(contextEntry) & 0xfffn;
    const directories = roots(rig).map((root) => {
      const [directory, table] = [rig.page(), rig.page()];
      rig.put(directory, table | 1n);
      rig.put(table + 64n * BigInt(PASID), rig.get(pasidEntry), rig.get(pasidEntry + 8n), root);
      return directory;
    });
    rig.put(contextEntry, (directories[0] as bigint) | context);
    const found = await complaints(rig, outputs, (epoch) => {
      rig.put(contextEntry, (directories[epoch % directories.length] as bigint) | context);
      expect(rig.invalidate(WAIT_FOR.contexts)).toBe(true);
      expect(rig.invalidate(WAIT_FOR.pasids)).toBe(true);
      expect(rig.invalidate(WAIT_FOR.iotlb)).toBe(true);
    });
    expect(found).toEqual([]);
  });

  it("another root table, latched by SRTP", async () => {
    const rig = sharedRig();
    const { contextEntry, pasidEntry, rootEntry } = translating(rig);
    const rootTables = roots(rig).map((root, i) => {
      const [rootTable, contexts, directory, table] = [rig.page(), rig.page(), rig.page(), rig.page()];
      rig.put(rootTable, contexts | 1n);
      rig.put(contexts + (contextEntry & 0xfffn), directory | (rig.get(contextEntry) & 0xfffn));
      rig.put(directory, table | 1n);
      rig.put(table + 64n * BigInt(PASID), rig.get(pasidEntry), rig.get(pasidEntry + 8n), root);
      return i ? rootTable : rootEntry & ~0xfffn;
    });
    const found = await complaints(rig, outputs, (epoch) => {
      rig.w64(0x20, (rootTables[epoch % rootTables.length] as bigint) | 0x400n);
      rig.command(GCMD.SRTP);
      expect(rig.invalidate(WAIT_FOR.contexts, WAIT_FOR.pasids, WAIT_FOR.iotlb)).toBe(true);
    });
    expect(found).toEqual([]);
  });

  it("translation off: addresses go through as they are from the register write on", async () => {
    const rig = sharedRig();
    const { leaf } = translating(rig);
    const answers = outputs.flatMap((output) => [output, PAGE]);
    const found = await complaints(rig, answers, (epoch) => {
      if (epoch % 2 === 0) rig.put(leaf, (answers[epoch % answers.length] as bigint) | 0x67n);
      rig.command(GCMD.TE, epoch % 2 === 0);
    });
    expect(found).toEqual([]);
  });

  it("protected memory is closed to workers too, from the write of PMEN until it is undone", async () => {
    const rig = sharedRig();
    translating(rig);
    const mine = await Crew.attach(rig.unit.share(1));
    crew = mine;
    const unitBatch = rig.unit.batch(1);
    rig.unit.translate(REQUEST);
    // PLMBASE, PLMLIMIT: where the first output lies.
    rig.w32(0x68, outputAt(0));
    rig.w32(0x6c, outputAt(0));
    for (const [pmen, ok] of [
      [0, true],
      [0x8000_0000, false],
      [0, true],
    ] as const) {
      rig.w32(0x64, pmen);
      unitBatch.set(0, REQUEST);
      unitBatch.run(1);
      const wanted = unitBatch.get(0);
      expect([wanted.ok, rig.unit.translate(REQUEST).ok]).toEqual([ok, ok]);
      for (const batch of [false, true]) {
        expect(await mine.workers[0]?.do({ kind: "ask", requests: [REQUEST, REQUEST], batch })).toEqual([
          wanted,
          wanted,
        ]);
      }
    }
  });
});
