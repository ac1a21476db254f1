/** Every SMMUv3 rule of the linter: planted in tables that Linux wrote, it is found; as they were, what is found is true. */
import { describe, expect, it } from "vitest";
import { Planted } from "../support/plant.ts";

/** Devices of the captures without PASIDs; the one of those with. */
const FIRST = 0x20;
const OTHER = 0x28;
const NIC = 0x30;
const STE_BYTES = 64n;

const rules = (planted: Planted) => planted.lint().map((line) => line.split(" ").slice(0, 3).join(" "));
/** Without what is true of the capture itself. */
const planted = (name: string, change: (it: Planted) => void): string[] => {
  const before = rules(new Planted(name));
  const it = new Planted(name);
  change(it);
  return rules(it).filter((line) => !before.includes(line));
};

describe("tables as Linux wrote them", () => {
  it.each(["A-smmu-s1", "A-smmu-s2"])("%s is clean", (name) => {
    expect(new Planted(name).lint()).toEqual([]);
  });

  it.each([
    ["A-smmu-pasid", 3],
    ["A-smmu-sva", 1],
    ["A-smmu-sva-pt", 1],
  ])("%s: Linux sets HA and HD in CDs of paging domains on PASIDs, and IDR0.HTTU is 0", (name, count) => {
    const found = new Planted(name).lint();
    expect(found).toHaveLength(count);
    for (const line of found) expect(line).toMatch(/^smmu\.httu 0x30 \d+ HA = 1, HD = 1$/);
  });

  it("A-smmu-sva-linear: pages of processes that the CPU has not touched lately, with AF = 0", () => {
    const found = new Planted("A-smmu-sva-linear").lint();
    expect(found).toHaveLength(8);
    for (const line of found) expect(line).toMatch(/^smmu\.accessed 0x30 \d+ stage 1, .* KiB out of reach$/);
  });
});

describe("entries, IHI 0070 5.1 to 5.4", () => {
  it("smmu.stale-entry: an STE, an L1CD, a CD that are not valid and not clear", () => {
    const stes = (it: Planted) => it.write(it.find("STE", NIC, 1) + STE_BYTES, 0x10n);
    expect(planted("A-smmu-sva", stes)).toEqual(["smmu.stale-entry 0x31 -"]);
    const cds = (it: Planted) => it.write(it.find("CD", NIC, 2) + 64n, 5n);
    expect(planted("A-smmu-sva", cds)).toEqual(["smmu.stale-entry 0x30 3"]);
    const links = (it: Planted) => it.write(it.find("L1CD", NIC, 1) + 16n, 0x7000n);
    expect(planted("A-smmu-sva", links)).toEqual(["smmu.stale-entry 0x30 2048"]);
  });

  it("smmu.reserved: RES0 bits of an STE and of a CD", () => {
    expect(planted("A-smmu-sva", (it) => it.flip(it.find("STE", NIC, 1), 1n << 57n))).toEqual(["smmu.reserved 0x30 -"]);
    expect(planted("A-smmu-sva", (it) => it.flip(it.find("CD", NIC, 1) + 56n, 1n))).toEqual(["smmu.reserved 0x30 1"]);
  });

  it("smmu.span: an L1STD with more STEs than SPLIT allows", () => {
    const found = planted("A-smmu-s1", (it) => it.write(it.find("L1STD", FIRST, null) + 8n, 0x4000_001fn));
    expect(found).toEqual(["smmu.span 0x100 -"]);
  });

  it("smmu.refused: a CD with an illegal T0SZ", () => {
    const found = planted("A-smmu-sva", (it) => {
      const cd = it.find("CD", NIC, 1);
      it.write(cd, (it.read(cd) & ~0x3fn) | 60n);
    });
    expect(found).toEqual(["smmu.refused 0x30 1"]);
  });

  it("smmu.ignored-fields: stage 2 tables in a stage 1 STE, a table that EPD1 turns off", () => {
    expect(planted("A-smmu-sva", (it) => it.write(it.find("STE", NIC, 1) + 24n, 0x5000n))).toEqual([
      "smmu.ignored-fields 0x30 -",
    ]);
    expect(planted("A-smmu-sva", (it) => it.write(it.find("CD", NIC, 1) + 16n, 0x5000n))).toEqual([
      "smmu.ignored-fields 0x30 1",
    ]);
  });

  it("smmu.orphan-cds: below an L1CD, an STE that is not valid", () => {
    const link = planted("A-smmu-sva", (it) => it.flip(it.find("L1CD", NIC, 1), 1n));
    for (const pasid of [0, 1, 2, 63, 64]) expect(link).toContain(`smmu.orphan-cds 0x30 ${pasid}`);
    const ste = planted("A-smmu-sva", (it) => it.flip(it.find("STE", NIC, 1), 1n));
    for (const pasid of [0, 1, 2, 0x543f]) expect(ste).toContain(`smmu.orphan-cds 0x30 ${pasid}`);
  });

  it("smmu.shared-cds: two streams with one CD table and different S1CDMax", () => {
    const found = planted("A-smmu-sva-linear", (it) => {
      const ste = it.find("STE", NIC, 1);
      it.copy(ste, ste + STE_BYTES, 8).flip(ste + STE_BYTES, 1n << 59n);
    });
    expect(found).toContain("smmu.shared-cds 0x31 -");
  });
});

describe("ASIDs and VMIDs as tags, IHI 0070 3.17", () => {
  const sameAsid = (aset: bigint) => (it: Planted) => {
    const [first, other] = [1, 2].map((pasid) => it.find("CD", NIC, pasid)) as [bigint, bigint];
    const low = (1n << 48n) - 1n;
    it.write(other, (it.read(other) & low) | (it.read(first) & ~low)).flip(other, aset);
  };

  it("smmu.asid-tables: one ASID for two tables; the same ASID in another set is another", () => {
    expect(planted("A-smmu-sva", sameAsid(0n))).toEqual(["smmu.asid-tables 0x30 2"]);
    expect(planted("A-smmu-sva", sameAsid(1n << 47n))).toEqual([]);
  });

  it("smmu.vmid-tables: one VMID for two stage 2 tables", () => {
    const found = planted("A-smmu-s2", (it) => {
      const [first, other] = [FIRST, OTHER].map((sid) => it.find("STE", sid, null)) as [bigint, bigint];
      it.write(other + 16n, it.read(first + 16n));
    });
    expect(found).toEqual(["smmu.vmid-tables 0x28 -"]);
  });

  it("smmu.vmid-stage1: a stage 1 only stream with the VMID of a stage 2", () => {
    const found = planted("A-smmu-s2", (it) => {
      const [first, other] = [FIRST, OTHER].map((sid) => it.find("STE", sid, null)) as [bigint, bigint];
      // Config 6 -> 5.
      it.flip(other, 3n << 1n).write(other + 16n, it.read(first + 16n) & 0xffffn);
    });
    expect(found).toContain("smmu.vmid-stage1 0x28 -");
  });

  it("smmu.global-mappings: a global page beside other tables of the same VMID", () => {
    const found = planted("A-smmu-sva", (it) => {
      const row = it.capture.expected.find(({ ok, pasid }) => ok && pasid === 1);
      it.flip(it.find("descriptor", NIC, 1, row?.iova), 1n << 11n);
    });
    expect(found).toEqual(["smmu.global-mappings 0x30 1"]);
  });
});
