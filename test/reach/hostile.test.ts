/** Tables that point at themselves, at each other, at nothing: an enumeration ends, is complete, and agrees. */
import { describe, expect, it } from "vitest";
import { reachOf } from "../../src/capture/reach.ts";
import { GuestMemory, PageAllocator, VtdTables, VtdWalker } from "../../src/index.ts";
import { dmaMap } from "../../src/reach/map.ts";
import { sharedMemory, tableWriters } from "../../src/reach/shared.ts";
import { whoCan } from "../../src/reach/who.ts";
import { Planted } from "../support/plant.ts";
import { answer, listing } from "../support/reach.ts";

const SID = 0x20;
const CAP = 0xf9ed008cee780c66n;
const ECAP = 0x3fef9ea6f0efdfn;
const ENTRIES = 512n;
const GIB = 1n << 30n;

function machine() {
  const memory = new GuestMemory({ ram: [{ base: 0n, size: 16n << 20n }], workspace: 4 << 20 });
  const tables = new VtdTables(memory, new PageAllocator(memory, 0x10_0000n, 0x10_0000n), "legacy");
  const open = () => {
    const walker = new VtdWalker(memory, { cap: CAP, ecap: ECAP, rtaddr: tables.rtaddr });
    return { walker, ...reachOf(memory, walker) };
  };
  return { memory, tables, open };
}

describe("hostile tables", () => {
  it("a table that is its own next level at every entry ends at once, and maps what the walker says", () => {
    const { memory, tables, open } = machine();
    const pages = tables.secondStage(2);
    tables.setContext(SID, { DID: 1, AW: 2 }, pages);
    const root = pages.root;
    for (let i = 0n; i < ENTRIES; i++) memory.write64(root + 8n * i, root | 3n);
    const { walker, survey, enumerator } = open();
    const [grant] = survey.requesters[0]?.grants ?? [];
    if (!grant?.space) throw new Error("no address space");
    const found = listing(enumerator, grant.space, [grant]);
    expect(found.totals.entries).toBeLessThan(10_000);
    expect(found.totals.cut).toBe(false);
    // 511 entries a level repeat the first; the last level maps the table itself, 512 times.
    expect(found.repeats).toHaveLength(3 * 511);
    expect(found.runs).toHaveLength(512);
    for (const address of [0n, 0x1000n, 0x7f00_1234_5678n, (1n << 48n) - 1n]) {
      const outcome = walker.translate({ sid: SID, address, access: "w", probe: true });
      expect(outcome.ok && outcome.address).toBe(answer(found, grant, address, "w", false, true));
    }
  });

  it("says where else a page shows, through tables that serve several ranges", () => {
    const { memory, tables, open } = machine();
    const pages = tables.secondStage(2);
    tables.setContext(SID, { DID: 1, AW: 2 }, pages);
    pages.map(0x1234_5000n, 0x77_7000n, { R: 1, W: 1 });
    // The second 512 GiB by the tables of the first.
    memory.write64(pages.root + 8n, memory.read64(pages.root));
    const { survey, enumerator } = open();
    const { hits } = whoCan(survey, enumerator, "w", { address: 0x77_7800n, bytes: 1n });
    expect(hits).toHaveLength(1);
    expect(hits[0]).toMatchObject({ input: 0x1234_5800n, output: 0x77_7800n, bytes: 1n });
    expect(hits[0]?.aliases).toEqual([0x1234_5800n + 512n * GIB]);
  });

  it("stops at the bound on entries, and says so", () => {
    const { tables, open } = machine();
    const pages = tables.secondStage(2);
    tables.setContext(SID, { DID: 1, AW: 2 }, pages);
    for (let i = 0n; i < 128n; i++) pages.map(i * 0x20_0000n, i * 0x1000n, { R: 1 });
    const { survey, enumerator } = open();
    enumerator.left = 1000;
    const map = dmaMap(survey, enumerator);
    const more = dmaMap(survey, enumerator);
    expect(more.spaces[0]?.totals.cut).toBe(true);
    expect(more.notes.join()).toContain("not all were looked at (from space 1 on)");
    expect(map.runs.length).toBeGreaterThan(0);
  });

  it("finds a device that can write to the tables it is walked by, and to the queue", () => {
    const { memory, tables, open } = machine();
    const pages = tables.secondStage(2);
    tables.setContext(SID, { DID: 1, AW: 2 }, pages);
    pages.map(0x5000n, 0x9000n, { R: 1, W: 1 });
    pages.map(0x8000n, pages.root, { R: 1 });
    const clean = open();
    expect(tableWriters(dmaMap(clean.survey, clean.enumerator))).toEqual([]);
    pages.map(0x8000n, pages.root, { R: 1, W: 1 });
    const root = tables.rtaddr - (tables.rtaddr % 0x1000n);
    pages.map(0x10_0000n, root, { R: 1, W: 1 });
    const { survey, enumerator } = open();
    survey.structures.push({ address: 0x9000n, bytes: 0x1000n, role: "invalidation queue", guest: false });
    const found = tableWriters(dmaMap(survey, enumerator));
    expect(found.map(({ structure, input }) => [structure.role, input])).toEqual([
      ["invalidation queue", 0x5000n],
      ["page table", 0x8000n],
      ["root table", 0x10_0000n],
    ]);
    expect(memory.contains(root)).toBe(true);
  });

  it("finds memory of two domains, to the byte, and who writes to it", () => {
    const { tables, open } = machine();
    const [first, second, third] = [tables.secondStage(2), tables.secondStage(2), tables.secondStage(2)];
    tables.setContext(SID, { DID: 1, AW: 2 }, first);
    tables.setContext(SID + 8, { DID: 2, AW: 2 }, second);
    tables.setContext(SID + 16, { DID: 3, AW: 2 }, third);
    for (let i = 0n; i < 4n; i++) first.map(0x1000n * i, 0x40_0000n + 0x1000n * i, { R: 1, W: 1 });
    for (let i = 2n; i < 6n; i++) second.map(0x7000n * i, 0x40_0000n + 0x1000n * i, { R: 1 });
    third.map(0x9000n, 0x40_5000n, { R: 1 });
    third.map(0xa000n, 0x50_0000n, { R: 1 });
    const { survey, enumerator } = open();
    const { ranges, count, bytes, writable } = sharedMemory(dmaMap(survey, enumerator));
    const shown = ranges.map(({ address, bytes: size, spaces, writers }) => ({
      range: [address, size],
      spaces: spaces.map(({ number }) => number),
      writers: writers.map(({ number }) => number),
    }));
    expect(shown).toEqual([
      { range: [0x40_2000n, 0x2000n], spaces: [1, 2], writers: [1] },
      { range: [0x40_5000n, 0x1000n], spaces: [2, 3], writers: [] },
    ]);
    expect([count, bytes, writable]).toEqual([2, 0x3000n, 0x2000n]);
  });

  it("tells which tables cannot be read: once a kind, however many", () => {
    const planted = new Planted("A-vtd-sva");
    const directory = planted.find("PASID directory entry", 0x30, 1);
    planted.write(directory, 0x7fff_f000n | 1n);
    const one = reachOfPlanted(planted).survey;
    expect(one.notes).toEqual(["PASID table at 0x7ffff000 cannot be read"]);
    expect(one.requesters[0]?.grants.map(({ pasid }) => pasid)).not.toContain(1);
    planted.write(directory + 16n, 0x7fff_e000n | 1n);
    expect(reachOfPlanted(planted).survey.notes).toEqual([
      "2 pages of PASID tables cannot be read, the first at 0x7ffff000",
    ]);
  });

  it("tells what a capture lacks from what is not mapped", () => {
    const planted = new Planted("A-vtd-sl");
    const table = planted.find("second-stage entry", SID, null);
    planted.write(table, 0x7fff_f000n | 3n);
    const { survey, enumerator } = reachOfPlanted(planted);
    const map = dmaMap(survey, enumerator);
    expect(map.notes).toEqual([expect.stringMatching(/^1 pages of tables cannot be read.*\(spaces \d+\)$/)]);
  });
});

function reachOfPlanted(planted: Planted) {
  const { capture } = planted;
  const memory = capture.pages.memory();
  const registers = planted.registers;
  const walker = new VtdWalker(memory, {
    cap: registers.read64(0x8),
    ecap: registers.read64(0x10),
    rtaddr: registers.read64(0x20),
  });
  return reachOf(memory, walker);
}
