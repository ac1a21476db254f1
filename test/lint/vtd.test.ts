/** Every VT-d rule of the linter: planted in tables that Linux wrote, it is found; as they were, they are clean. */
import { describe, expect, it } from "vitest";
import { reservedRegions } from "../../src/capture/acpi/regions.ts";
import { Bytes } from "../../src/capture/acpi/table.ts";
import { Planted } from "../support/plant.ts";

const CONTEXT = "context entry";
const SCALABLE = "scalable context entry";
const DIRECTORY = "PASID directory entry";
const ENTRY = "PASID table entry";
/** Devices of the captures without PASIDs; the one of those with. */
const FIRST = 0x20;
const OTHER = 0x28;
const NIC = 0x30;
/** A paging domain on a second stage, and a process, in A-vtd-sva. */
const SECOND_STAGE = 0xa83c;
const PROCESS = 1;

const CAP = 0x8;
const CACHING_MODE = 1n << 7n;
const NOT_ADDRESS = 0xfffn;

describe("tables as Linux wrote them", () => {
  it.each(["A-vtd-fl", "A-vtd-legacy", "A-vtd-sl", "A-vtd-sva", "A-vtd-sva-many", "A-vtd-sva-pt"])(
    "%s is clean",
    (name) => {
      expect(new Planted(name).lint()).toEqual([]);
    },
  );
});

describe("entries, VT-d 9.1 to 9.6", () => {
  it("vtd.stale-entry: what is left in an entry with P = 0; FPD alone may stay", () => {
    const planted = new Planted("A-vtd-sva");
    const next = planted.find(ENTRY, NIC, PROCESS + 1) + 64n;
    planted.write(next, 2n);
    expect(planted.lint()).toEqual([]);
    planted.write(next + 8n, 5n);
    expect(planted.lint()).toEqual(["vtd.stale-entry 0x30 3 DID=0x5"]);
  });

  it("vtd.stale-entry: also half a root entry, and a legacy context", () => {
    const scalable = new Planted("A-vtd-sl");
    const root = scalable.find("scalable root entry", FIRST, null);
    scalable.write(root + 8n, 0x5000n);
    expect(scalable.lint()).toEqual(["vtd.stale-entry - - LCTP=0x5"]);
    const legacy = new Planted("A-vtd-legacy");
    legacy.write(legacy.find(CONTEXT, FIRST, null) + 16n, 0x7000n);
    expect(legacy.lint()).toEqual(["vtd.stale-entry 0x21 - SSPTPTR=0x7"]);
  });

  it("vtd.refused: a reserved bit in a present entry", () => {
    const planted = new Planted("A-vtd-sva");
    planted.flip(planted.find(ENTRY, NIC, PROCESS), 1n << 5n);
    expect(planted.lint()).toEqual(["vtd.refused 0x30 1 reason 0x5a SPT.3"]);
  });

  it("vtd.no-default: no entry for requests without PASID", () => {
    const planted = new Planted("A-vtd-sl");
    const entry = planted.find(ENTRY, FIRST, null);
    planted.write(entry, 0n).write(entry + 8n, 0n);
    expect(planted.lint()).toEqual(["vtd.no-default 0x20 - reason 0x59 SPT.2"]);
  });

  it("vtd.did-0: domain id 0 with CAP.CM = 1, but not without", () => {
    const planted = new Planted("A-vtd-sva");
    const entry = planted.find(ENTRY, NIC, SECOND_STAGE);
    planted.write(entry + 8n, planted.read(entry + 8n) & ~0xffffn);
    const cap = planted.registers.read64(CAP);
    planted.register(CAP, cap & ~CACHING_MODE);
    expect(planted.lint()).toEqual([]);
    planted.register(CAP, cap | CACHING_MODE);
    expect(planted.lint()).toEqual([`vtd.did-0 0x30 ${SECOND_STAGE} DID = 0 and CAP.CM = 1`]);
  });

  it("vtd.orphan-pasids: no context, no directory entry, PASIDE = 0", () => {
    const context = new Planted("A-vtd-sva");
    context.flip(context.find(SCALABLE, NIC, PROCESS), 1n);
    const orphans = (planted: Planted) => planted.lint().filter((line) => line.startsWith("vtd.orphan-pasids"));
    expect(orphans(context)).toContain("vtd.orphan-pasids 0x30 1 the context entry is not present");
    const directory = new Planted("A-vtd-sva");
    directory.flip(directory.find(DIRECTORY, NIC, SECOND_STAGE), 1n);
    expect(orphans(directory)).toContain(`vtd.orphan-pasids 0x30 ${SECOND_STAGE} the directory entry is not present`);
    const disabled = new Planted("A-vtd-sva");
    disabled.flip(disabled.find(SCALABLE, NIC, PROCESS), 1n << 3n);
    expect(orphans(disabled)).toContain("vtd.orphan-pasids 0x30 1 PASIDE = 0 in the context entry");
  });

  it("vtd.shared-directory: two contexts with one directory and different PDTS", () => {
    const planted = new Planted("A-vtd-sl");
    const [from, to] = [FIRST, OTHER].map((sid) => planted.find(SCALABLE, sid, null)) as [bigint, bigint];
    planted.copy(from, to, 4);
    expect(planted.lint()).toEqual([]);
    planted.flip(to, 7n << 9n);
    const found = planted.lint().filter((line) => line.startsWith("vtd.shared-directory"));
    expect(found).toHaveLength(1);
    expect(found[0]).toMatch(/^vtd\.shared-directory 0x28 - directory 0x[0-9a-f]+ as device 0x20: PDTS \d, not \d$/);
  });

  it("vtd.ignored-pointer: a pointer that the type does not use", () => {
    const planted = new Planted("A-vtd-sva");
    planted.write(planted.find(ENTRY, NIC, SECOND_STAGE) + 16n, 0x1234_5000n);
    expect(planted.lint()).toEqual([
      `vtd.ignored-pointer 0x30 ${SECOND_STAGE} PGTT 2 takes no first stage, FSPTPTR is 0x12345000`,
    ]);
  });
});

describe("domain ids and PASIDs as tags, VT-d 6.2.1", () => {
  it("vtd.did-types: a second stage with the domain id of first-stage entries", () => {
    const planted = new Planted("A-vtd-sva");
    const entry = planted.find(ENTRY, NIC, SECOND_STAGE);
    planted.write(entry + 8n, (planted.read(entry + 8n) & ~0xffffn) | 1n);
    expect(planted.lint()).toEqual([
      expect.stringMatching(/^vtd\.did-types 0x30 43068 DID 1 for second-stage or nested translation, unlike/),
    ]);
  });

  it.each([
    ["A-vtd-sl", ENTRY],
    ["A-vtd-legacy", CONTEXT],
  ])("vtd.did-tables: two devices of %s with one domain id and two tables", (name, structure) => {
    const planted = new Planted(name);
    const [first, other] = [FIRST, OTHER].map((sid) => planted.find(structure, sid, null)) as [bigint, bigint];
    planted.write(other + 8n, planted.read(first + 8n));
    expect(planted.lint()).toEqual([expect.stringMatching(/^vtd\.did-tables 0x28 .*SSPTPTR .*unlike the/)]);
  });

  it("vtd.pasid-tables: two devices with one PASID and domain id and two first-stage tables", () => {
    const planted = new Planted("A-vtd-fl");
    const [first, other] = [FIRST, OTHER].map((sid) => planted.find(ENTRY, sid, null)) as [bigint, bigint];
    planted.write(other + 8n, planted.read(first + 8n));
    expect(planted.lint()).toEqual([
      expect.stringMatching(/^vtd\.pasid-tables 0x28 0 PASID 0x0, DID \d+: PGTT 1, FSPTPTR/),
    ]);
  });

  it("vtd.second-accessed, vtd.first-modes, vtd.levels: one set of tables, used in two ways", () => {
    const twice = (name: string, word: bigint, bits: bigint) => {
      const planted = new Planted(name);
      const [first, other] = [FIRST, OTHER].map((sid) => planted.find(ENTRY, sid, null)) as [bigint, bigint];
      planted.copy(first, other, 8).flip(other + 8n * word, bits);
      return planted.lint().map((line) => line.split(" ").slice(0, 2).join(" "));
    };
    expect(twice("A-vtd-sl", 0n, 1n << 9n)).toContain("vtd.second-accessed 0x28");
    expect(twice("A-vtd-fl", 2n, 1n << 7n)).toContain("vtd.first-modes 0x28");
    // AW 2 -> 1: three levels instead of four.
    const levels = twice("A-vtd-sl", 0n, 3n << 2n);
    expect(levels).toContain("vtd.levels 0x28");
    expect(levels).toContain("vtd.did-tables 0x28");
  });
});

describe("pages", () => {
  it("vtd.accessed: PWSNP = 0 where pages are not marked accessed, VT-d 3.6.2", () => {
    const planted = new Planted("A-vtd-sva");
    planted.flip(planted.find(ENTRY, NIC, PROCESS) + 8n, 1n << 23n);
    expect(planted.lint()).toEqual([
      expect.stringMatching(/^vtd\.accessed 0x30 1 first stage, .*: \d+ KiB out of reach$/),
    ]);
  });

  /** A DMAR table with an RMRR of one endpoint for each range. */
  function dmar(ranges: readonly (readonly [bigint, bigint])[], device: number): Bytes {
    const data = new Uint8Array(48 + 32 * ranges.length);
    const view = new DataView(data.buffer);
    data.set(new TextEncoder().encode("DMAR"));
    ranges.forEach(([base, limit], i) => {
      const at = 48 + 32 * i;
      view.setUint16(at, 1, true);
      view.setUint16(at + 2, 32, true);
      view.setBigUint64(at + 8, base, true);
      view.setBigUint64(at + 16, limit, true);
      data.set([1, 8, 0, 0, 0, 0, device >> 3, device % 8], at + 24);
    });
    return new Bytes("DMAR", data);
  }

  it("vtd.rmrr-missing, vtd.rmrr-overlap: reserved regions of devices that do not reach them, VT-d 8.4", () => {
    const regions = reservedRegions(
      dmar(
        [
          [0x1000n, 0x2fffn],
          [0x2000n, 0x4fffn],
        ],
        FIRST,
      ),
    );
    expect(regions.map(({ devices }) => devices)).toEqual([[FIRST], [FIRST]]);
    expect(new Planted("A-vtd-sl").lint(regions)).toEqual([
      "vtd.rmrr-missing 0x20 - 0x1000..0x2fff is not all mapped 1:1 to read and write",
      "vtd.rmrr-overlap - - 0x2000..0x4fff overlaps 0x1000..0x2fff",
      "vtd.rmrr-missing 0x20 - 0x2000..0x4fff is not all mapped 1:1 to read and write",
    ]);
  });

  it("is content with a region that is mapped 1:1, or passed through", () => {
    const through = reservedRegions(dmar([[0x1000n, 0x2fffn]], NIC));
    expect(new Planted("A-vtd-sva-pt").lint(through)).toEqual([]);
    const planted = new Planted("A-vtd-legacy");
    const iova = 0xffff_f000n;
    const leaf = planted.find("second-stage entry", FIRST, null, iova);
    planted.write(leaf, (planted.read(leaf) & NOT_ADDRESS) | iova);
    const region = reservedRegions(dmar([[iova, iova + 0xfffn]], FIRST));
    expect(planted.lint(region)).toEqual([]);
    planted.flip(leaf, 2n);
    expect(planted.lint(region)).toEqual([expect.stringMatching(/^vtd\.rmrr-missing 0x20/)]);
  });
});
