/** Invalidation commands reach the caches: VT-d rev 5.10, "Invalidation of Translation Caches". */
import { describe, expect, it } from "vitest";
import { GCMD, REG } from "../../assembly/layout/vtd-registers.ts";
import type { VtdPageTable, VtdTables } from "../../src/index.ts";
import { capabilities, VtdMachine } from "../support/vtd-machine.ts";

const SID = 0x0410;
const PASID = 5;
const DID = 7n;
const AT = 0x4000_0000n;

interface Warm {
  machine: VtdMachine;
  tables: VtdTables;
  table: VtdPageTable;
  /** Where AT leads now. */
  where(): bigint | undefined;
}

/** A unit that keeps all it may, with AT -> 5000h cached and a queue. */
function warm(mode: "legacy" | "scalable", pasid: number | undefined, features = {}): Warm {
  const machine = new VtdMachine({
    capabilities: capabilities({ ESRTPS: 0, ESIRTPS: 0, ...features }),
    caches: "retain",
  });
  const tables = machine.start(mode);
  machine.startQueue(mode === "scalable");
  let table: VtdPageTable;
  if (mode === "legacy") {
    table = tables.secondStage(2);
    tables.setContext(SID, { AW: 2, DID }, table);
  } else {
    tables.setScalableContext(SID, { DTE: 1, PASIDE: 1, PRE: 1 });
    if (pasid === undefined) {
      table = tables.secondStage(2);
      tables.setPasid(SID, 0, { PGTT: 2, DID, PWSNP: 1 }, { second: table });
    } else {
      table = tables.firstStage();
      tables.setPasid(SID, pasid, { PGTT: 1, DID, PWSNP: 1 }, { first: table });
    }
  }
  table.map(AT, 0x5000n);
  table.map(AT + 0x1000n, 0x6000n);
  const request = { sid: SID, address: AT, ...(pasid === undefined ? {} : { pasid }) };
  const where = () => {
    const outcome = machine.unit.translate(request);
    return outcome.ok ? outcome.address : undefined;
  };
  expect(where()).toBe(0x5000n);
  return { machine, tables, table, where };
}

/** Changes the leaf of AT behind the unit's back. */
function remap({ table }: Warm): void {
  table.map(AT, 0x9000n);
}

const SOURCE = BigInt(SID) << 32n;
const DOMAIN = DID << 16n;
const INTO = BigInt(PASID) << 32n;

describe("a changed leaf is seen after", () => {
  it.each<[string, "legacy" | "scalable", number | undefined, bigint[]]>([
    ["global iotlb_inv", "legacy", undefined, [0x12n]],
    ["domain iotlb_inv", "legacy", undefined, [0x22n | DOMAIN]],
    ["page iotlb_inv", "legacy", undefined, [0x32n | DOMAIN, AT]],
    ["page iotlb_inv of several pages, with the leaf hint", "legacy", undefined, [0x32n | DOMAIN, AT | 0x40n | 9n]],
    ["page iotlb_inv", "scalable", undefined, [0x32n | DOMAIN, AT]],
    ["page iotlb_inv of any address (first stage)", "scalable", PASID, [0x32n | DOMAIN, 0x1234_5000n]],
    ["PASID p_iotlb_inv", "scalable", PASID, [0x26n | DOMAIN | INTO]],
    ["page p_iotlb_inv", "scalable", PASID, [0x36n | DOMAIN | INTO, AT]],
  ])("%s, %s mode", (_, mode, pasid, descriptor) => {
    const unit = warm(mode, pasid);
    remap(unit);
    expect(unit.where()).toBe(0x5000n);
    unit.machine.submit(descriptor);
    expect(unit.where()).toBe(0x9000n);
    expect(unit.machine.read(REG.FSTS)).toBe(0n);
  });

  it.each<[string, "legacy" | "scalable", number | undefined, bigint[]]>([
    ["another domain", "legacy", undefined, [0x22n | (8n << 16n)]],
    ["another page", "legacy", undefined, [0x32n | DOMAIN, AT + 0x1000n]],
    ["another PASID", "scalable", PASID, [0x26n | DOMAIN | (6n << 32n)]],
    ["another page of the PASID", "scalable", PASID, [0x36n | DOMAIN | INTO, AT + 0x1000n]],
    ["a page of the PASID (second stage)", "scalable", undefined, [0x36n | DOMAIN, AT]],
    ["the context cache alone", "legacy", undefined, [0x11n]],
  ])(
    "but not after an invalidation of %s: the unforgiving hardware keeps what it may",
    (_, mode, pasid, descriptor) => {
      const unit = warm(mode, pasid);
      remap(unit);
      unit.machine.submit(descriptor);
      expect(unit.where()).toBe(0x5000n);
    },
  );

  it("register-based invalidation, in legacy mode without the queue", () => {
    const unit = warm("legacy", undefined);
    unit.machine.command(GCMD.QIE, false);
    remap(unit);
    unit.machine.write(0xf0, AT, 8);
    unit.machine.write(0xf8, 0xb000_0007_0000_0000n, 8);
    expect(unit.where()).toBe(0x9000n);
  });
});

describe("a changed context or PASID entry is seen after", () => {
  it("VTD-087 cc_inv and iotlb_inv in legacy mode", () => {
    for (const context of [0x11n, 0x21n | DOMAIN, 0x31n | DOMAIN | SOURCE]) {
      const unit = warm("legacy", undefined);
      const other = unit.tables.secondStage(2);
      other.map(AT, 0xa000n);
      unit.tables.setContext(SID, { AW: 2, DID }, other);
      expect(unit.where()).toBe(0x5000n);
      unit.machine.submit([context], [0x22n | DOMAIN]);
      expect(unit.where()).toBe(0xa000n);
    }
  });

  it("VTD-091 pc_inv and p_iotlb_inv", () => {
    for (const pasids of [0x37n, 0x07n | DOMAIN, 0x17n | DOMAIN | INTO]) {
      const unit = warm("scalable", PASID);
      const other = unit.tables.firstStage();
      other.map(AT, 0xa000n);
      unit.tables.setPasid(SID, PASID, { PGTT: 1, DID, PWSNP: 1 }, { first: other });
      unit.machine.submit([0x26n | DOMAIN | INTO]);
      expect(unit.where()).toBe(0x5000n);
      unit.machine.submit([pasids], [0x26n | DOMAIN | INTO]);
      expect(unit.where()).toBe(0xa000n);
    }
  });
});

describe("everything is dropped", () => {
  it("VTD-093 by SRTP if ESRTPS is 1, and by nothing less", () => {
    for (const [ESRTPS, expected] of [
      [0, 0x5000n],
      [1, 0x9000n],
    ] as const) {
      const unit = warm("scalable", PASID, { ESRTPS });
      remap(unit);
      unit.machine.setRoot(unit.tables.rtaddr);
      expect(unit.where()).toBe(expected);
    }
  });

  it("when translation is turned off, with scalable mode", () => {
    const { features } = capabilities();
    const legacyOnly = Object.fromEntries(
      ["SMTS", "FSTS", "NEST", "PRS", "SRS", "EAFS", "PSS", "PASID", "SSADS", "SMPWCS", "RPS", "RPRIVS", "HPTS"]
        .concat(["HPT1GPS", "PTRS", "MTS", "FS1GP", "FS5LP", "SMS"])
        .map((name) => [name, 0]),
    );
    expect(features.SMTS).toBe(1);
    for (const [changes, expected] of [
      [{}, 0x9000n],
      [legacyOnly, 0x5000n],
    ] as const) {
      const unit = warm("legacy", undefined, changes);
      remap(unit);
      unit.machine.command(GCMD.TE, false);
      unit.machine.command(GCMD.TE);
      expect(unit.where()).toBe(expected);
    }
  });

  it("by a reset, and by restoring a snapshot", () => {
    const unit = warm("scalable", PASID);
    const saved = unit.machine.unit.snapshot();
    remap(unit);
    expect(unit.where()).toBe(0x5000n);
    unit.machine.unit.restore(saved);
    expect(unit.where()).toBe(0x9000n);
    unit.table.map(AT, 0xb000n);
    unit.machine.unit.reset("warm");
    unit.machine.setRoot(unit.tables.rtaddr);
    unit.machine.command(GCMD.TE);
    expect(unit.where()).toBe(0xb000n);
  });
});

describe("page requests", () => {
  it.each<[string, number | undefined]>([
    ["first stage", PASID],
    ["second stage", undefined],
  ])("drop what is cached for their page: %s", (_, pasid) => {
    const unit = warm("scalable", pasid);
    unit.machine.write(REG.PQA, unit.machine.pages.allocate(), 8);
    remap(unit);
    const request = { sid: SID, address: AT, read: true, ...(pasid === undefined ? {} : { pasid }) };
    expect(unit.machine.unit.requestPage(request)).toBe("queued");
    expect(unit.where()).toBe(0x9000n);
  });
});

describe("VTD-051 a write after a read", () => {
  it("sets D although the translation is cached", () => {
    const unit = warm("scalable", PASID);
    const leaf = unit.table.entry(AT) as bigint;
    expect(unit.machine.memory.read64(leaf) & 0x60n).toBe(0x20n);
    unit.machine.unit.translate({ sid: SID, address: AT, pasid: PASID, access: "w" });
    expect(unit.machine.memory.read64(leaf) & 0x60n).toBe(0x60n);
  });
});

describe("sizes of caches", () => {
  it.each<[string, number, string]>([
    ["iotlb", 0, "iotlb: 0 is not a whole number in 4..16777216"],
    ["contexts", 12, "contexts: 12 is not 4 times a power of two"],
    ["pasids", 2, "pasids: 2 is not a whole number in 4..16777216"],
  ])("%s = %d is refused", (name, entries, message) => {
    expect(() => new VtdMachine({ caches: { policy: "sized", [name]: entries } })).toThrow(new RangeError(message));
  });

  it("0 is a cache that is not there, for all but the IOTLB", () => {
    const absent = { contexts: 0, pasids: 0, firstTables: 0, secondTables: 0 };
    const machine = new VtdMachine({ caches: { policy: "retain", ...absent } });
    const tables = machine.start("legacy");
    machine.startQueue();
    const table = tables.secondStage(2);
    tables.setContext(SID, { AW: 2, DID }, table);
    const leaf = table.map(AT, 0x5000n);
    const request = { sid: SID, address: AT };
    expect(machine.unit.translate(request)).toMatchObject({ ok: true, address: 0x5000n });
    machine.memory.write64(leaf, 0n);
    expect(machine.unit.translate(request).ok).toBe(true);
    machine.submit([0x11n], [0x12n]);
    expect(machine.unit.translate(request).ok).toBe(false);
  });
});
