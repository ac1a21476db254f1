/** Every fault reason of VT-d rev 5.10, "Fault conditions": raised through the unit, read from its records. */
import { describe, expect, it } from "vitest";
import { REASON } from "../../assembly/layout/vtd-faults.ts";
import { GCMD, REG } from "../../assembly/layout/vtd-registers.ts";
import type { Request, VtdFeatures, VtdTables } from "../../src/index.ts";
import type { PageRequest } from "../../src/vtd/index.ts";
import { capabilities, NOWHERE, ROM, VtdMachine } from "../support/vtd-machine.ts";

const SID = 0x0410;
const PASID = 0x85;
const PAGE = 4096n;
/** An address that the tables of a case are about. */
const AT = 0x4020_1000n;

interface Case {
  machine: VtdMachine;
  tables: VtdTables;
  /** Writes the word at an address. */
  poke(address: bigint, word: bigint): void;
  /** A PASID entry with the given fields of the layout. */
  pasid(fields: Record<string, number>, stages?: Parameters<VtdTables["setPasid"]>[3]): bigint;
}

interface Row {
  code: number;
  condition: string;
  mode: "legacy" | "scalable";
  /** FPD suppresses the record. */
  qualified: boolean;
  answer?: "ca" | "success";
  features?: Partial<VtdFeatures>;
  /** Fields of the scalable context entry. */
  context?: Record<string, number>;
  request?: Partial<Request>;
  pageRequest?: Partial<PageRequest>;
  prepare?(on: Case): void;
}

/** Fields of a context entry in which everything is allowed. */
const OPEN = { DTE: 1, PASIDE: 1, PRE: 1 };

/** Leaves out what a row does not differ in. */
function legacy(code: number, condition: string, qualified: boolean, rest: Partial<Row> = {}): Row {
  return { code, condition, mode: "legacy", qualified, ...rest };
}
function scalable(code: number, condition: string, qualified: boolean, rest: Partial<Row> = {}): Row {
  return { code, condition, mode: "scalable", qualified, request: { pasid: PASID }, ...rest };
}

/** A legacy context entry with a table that `map` fills. */
function second(
  fields: Record<string, number> = {},
  map?: (on: Case, table: ReturnType<VtdTables["secondStage"]>) => void,
) {
  return (on: Case) => {
    const table = on.tables.secondStage(2);
    on.tables.setContext(SID, { AW: 2, ...fields }, table);
    map?.(on, table);
  };
}

/** A PASID entry with a first stage. */
function first(
  fields: Record<string, number> = {},
  map?: (on: Case, table: ReturnType<VtdTables["firstStage"]>, entry: bigint) => void,
) {
  return (on: Case) => {
    const table = on.tables.firstStage();
    const entry = on.pasid({ PGTT: 1, PWSNP: 1, ...fields }, { first: table });
    map?.(on, table, entry);
  };
}

/** A PASID entry with a second stage. */
function scalableSecond(
  fields: Record<string, number> = {},
  map?: (on: Case, table: ReturnType<VtdTables["secondStage"]>, entry: bigint) => void,
) {
  return (on: Case) => {
    const table = on.tables.secondStage(2);
    const entry = on.pasid({ PGTT: 2, PWSNP: 1, ...fields }, { second: table });
    map?.(on, table, entry);
  };
}

/** A nested PASID entry; the first stage's tables lie at guest addresses that equal host ones, as mapped by `map`. */
function nested(
  map: (
    on: Case,
    stages: { ss: ReturnType<VtdTables["secondStage"]>; fs: ReturnType<VtdTables["firstStage"]> },
  ) => void,
) {
  return (on: Case) => {
    const ss = on.tables.secondStage(2);
    const fs = on.tables.firstStage();
    on.pasid({ PGTT: 3, PWSNP: 1 }, { first: fs, second: ss });
    map(on, { ss, fs });
  };
}

/** Addresses of the first-stage tables on the way to AT, top first. */
function tablesOf(fs: ReturnType<VtdTables["firstStage"]>): bigint[] {
  return [4, 3, 2, 1].map((level) => (fs.entry(AT, level) as bigint) & ~(PAGE - 1n));
}

function host(map: (on: Case, table: bigint) => void, size = 0) {
  return (on: Case) => {
    const table = on.machine.pages.allocate();
    const entry = on.pasid({ PGTT: 4, HPTSZ: size });
    on.poke(entry + 32n, on.machine.memory.read64(entry + 32n) | table);
    map(on, table);
  };
}
const TRANSLATED = { context: { ...OPEN, EPTR: 1, HPTE: 1 }, request: { pasid: PASID, type: "translated" } as const };

const ROWS: Row[] = [
  legacy(0x01, "LRT.2", false),
  legacy(0x02, "LCT.2", true, { prepare: (on) => void on.tables.contextEntry(SID) }),
  legacy(0x03, "LCT.4.1", true, { prepare: second({ AW: 4 }) }),
  legacy(0x03, "LCT.4.2", true, { prepare: second({ TT: 3 }) }),
  legacy(0x03, "LCT.4.3", true, {
    prepare: (on) => void on.tables.setContext(SID, { AW: 2, SSPTPTR: Number(NOWHERE / PAGE) }),
  }),
  legacy(0x04, "LGN.1.1", true, { prepare: second(), request: { address: 1n << 48n } }),
  legacy(0x04, "LGN.1.2", true, { prepare: second({ TT: 1 }), request: { address: 1n << 52n, type: "translated" } }),
  legacy(0x04, "LGN.1.3", true, { prepare: second({ TT: 2, AW: 3 }), request: { address: 1n << 52n } }),
  legacy(0x05, "LGN.2", true, {
    prepare: second({}, (_, t) => void t.map(AT, 0x5000n, { R: 1 })),
    request: { access: "w" },
  }),
  legacy(0x06, "LGN.3", true, { prepare: second({}, (_, t) => void t.map(AT, 0x5000n, { W: 1 })) }),
  legacy(0x07, "LSS.1", true, { prepare: second({}, (on, t) => on.poke(t.root, NOWHERE | 3n)) }),
  legacy(0x08, "LRT.1", false, { prepare: (on) => on.machine.setRoot(NOWHERE) }),
  legacy(0x09, "LCT.1", false, { prepare: (on) => on.poke(on.tables.rootEntry(SID), NOWHERE | 1n) }),
  legacy(0x0a, "LRT.3", false, { prepare: (on) => on.poke(on.tables.rootEntry(SID), 0x3n) }),
  legacy(0x0b, "LCT.3", true, { prepare: (on) => on.poke(on.tables.contextEntry(SID), 0x11n) }),
  legacy(0x0c, "LSS.2", true, { prepare: second({}, (on, t) => on.poke(t.root, 0x83n)) }),
  legacy(0x0d, "LCT.5", true, { prepare: second(), request: { type: "translation" } }),
  legacy(0x0e, "LGN.4", true, { prepare: second({}, (_, t) => void t.map(AT, 0xfee0_0000n)) }),
  legacy(0x30, "RTA.1.1", false, { prepare: (on) => on.machine.setRoot(0x800n) }),
  legacy(0x30, "RTA.1.4", false, { prepare: (on) => on.machine.setRoot(0x80n) }),
  legacy(0x31, "RTA.2", false, { request: { pasid: PASID } }),
  legacy(0x32, "RTA.3", false, { pageRequest: {} }),
  legacy(0x33, "RTA.4", false, { prepare: (on) => on.machine.setRoot(0xc00n) }),
  scalable(0x34, "RTA.5", false, { features: { MAX: 8 }, request: { pasid: PASID, access: "x" } }),
  scalable(0x38, "SRT.1", false, { prepare: (on) => on.machine.setRoot(NOWHERE | 0x400n) }),
  scalable(0x39, "SRT.2", false, { prepare: (on) => on.poke(on.tables.rootEntry(SID), 0n) }),
  scalable(0x3a, "SRT.3", false, { prepare: (on) => on.poke(on.tables.rootEntry(SID), 3n) }),
  scalable(0x40, "SCT.1", false, { prepare: (on) => on.poke(on.tables.rootEntry(SID), NOWHERE | 1n) }),
  scalable(0x41, "SCT.2", true, { context: { P: 0 } }),
  scalable(0x42, "SCT.3", true, { prepare: (on) => on.poke(on.tables.contextEntry(SID) + 16n, 1n) }),
  scalable(0x43, "SCT.4.1", true, { context: { ...OPEN, DTE: 0 } }),
  scalable(0x43, "SCT.4.2", true, { context: { ...OPEN, RID_PASID: 0x2000 } }),
  scalable(0x43, "SCT.4.3", true, { context: { ...OPEN, PASIDE: 0, EPTR: 1 }, request: {} }),
  scalable(0x44, "SCT.5", true, { context: { PASIDE: 1 }, request: { pasid: PASID, type: "translation" } }),
  scalable(0x45, "SCT.6", true, { context: { ...OPEN, PASIDE: 0 } }),
  scalable(0x46, "SCT.7", true, { request: { pasid: 0x2000 } }),
  scalable(0x47, "SCT.8", true, { context: { ...OPEN, PRE: 0 }, pageRequest: { pasid: PASID } }),
  scalable(0x48, "SCT.9", true, { context: { ...OPEN, RID_PASID: PASID } }),
  scalable(0x49, "SCT.10", true, { context: { ...OPEN, HPTE: 1 }, request: { pasid: PASID, type: "translated" } }),
  scalable(0x50, "SPD.1", false, { context: { ...OPEN, PASIDDIRPTR: Number(NOWHERE / PAGE) } }),
  scalable(0x51, "SPD.2", true),
  scalable(0x52, "SPD.3", true, { prepare: (on) => on.poke(on.tables.directoryEntry(SID, PASID), 5n) }),
  scalable(0x58, "SPT.1", false, { prepare: (on) => on.poke(on.tables.directoryEntry(SID, PASID), NOWHERE | 1n) }),
  scalable(0x59, "SPT.2", true, { prepare: (on) => void on.tables.pasidEntry(SID, PASID) }),
  scalable(0x5a, "SPT.3", true, { prepare: (on) => on.poke(on.tables.pasidEntry(SID, PASID), 0x21n) }),
  scalable(0x5b, "SPT.4.1", true, { prepare: scalableSecond({ AW: 0 }) }),
  scalable(0x5b, "SPT.4.2", true, { prepare: (on) => void on.pasid({ PGTT: 5 }) }),
  scalable(0x5b, "SPT.4.3", true, { prepare: first({ FSPM: 2 }) }),
  scalable(0x5b, "SPT.4.4", true, { prepare: (on) => void on.pasid({ PGTT: 3, AW: 1, FSPTPTR: 2 ** 27 }) }),
  scalable(0x5c, "SPT.5", true, { prepare: first(), request: { pasid: PASID, access: "x" } }),
  scalable(0x5d, "SPT.6", true, { prepare: first(), request: { pasid: PASID, privileged: true } }),
  scalable(0x60, "SPT.9", true, {
    ...TRANSLATED,
    prepare: host(() => {}),
    request: { ...TRANSLATED.request, address: 1n << 49n },
  }),
  scalable(0x70, "SFS.1", true, { prepare: first({}, (on, t) => on.poke(t.root, NOWHERE | 7n | 0x20n)) }),
  scalable(0x71, "SFS.2", true, { prepare: first() }),
  scalable(0x72, "SFS.3", true, { prepare: first({}, (on, t) => on.poke(t.root, 0x87n)) }),
  scalable(0x73, "SFS.4", true, {
    prepare: (on) => void on.pasid({ PGTT: 1, PWSNP: 1, FSPTPTR: Number(NOWHERE / PAGE) }),
  }),
  scalable(0x74, "SFS.5", true, {
    prepare: nested((on, { ss, fs }) => {
      ss.map(fs.root, fs.root);
      on.poke(fs.root, (1n << 48n) | 7n);
    }),
  }),
  scalable(0x75, "SFS.6", true, { prepare: nested((_, { ss, fs }) => void ss.map(fs.root, fs.root, { W: 1 })) }),
  scalable(0x76, "SFS.7", true, {
    prepare: nested((_, { ss, fs }) => {
      fs.map(AT, 0x5000n);
      const [top, ...rest] = tablesOf(fs);
      ss.map(top as bigint, top as bigint);
      for (const table of rest) ss.map(table, table, { W: 1 });
    }),
  }),
  scalable(0x77, "SFS.8", true, {
    prepare: nested((_, { ss, fs }) => {
      fs.map(AT, 0x5000n);
      ss.map(0x5000n, 0x5000n);
      for (const table of tablesOf(fs)) ss.map(table, table, { R: 1 });
    }),
  }),
  scalable(0x78, "SSS.1", true, {
    answer: "ca",
    prepare: scalableSecond({}, (on, t) => on.poke(t.root, NOWHERE | 3n)),
  }),
  scalable(0x79, "SSS.2", true, { prepare: scalableSecond() }),
  scalable(0x7a, "SSS.3", true, { prepare: scalableSecond({}, (on, t) => on.poke(t.root, 0x83n)) }),
  scalable(0x7b, "SSS.4", true, {
    prepare: (on) => void on.pasid({ PGTT: 2, AW: 2, SSPTPTR: Number(NOWHERE / PAGE) }),
  }),
  scalable(0x7c, "SSS.5", true, { prepare: scalableSecond({ SSADE: 1, PWSNP: 0 }, (_, t) => void t.map(AT, 0x5000n)) }),
  scalable(0x7d, "SSS.6", true, {
    prepare: (on) => {
      // A whole second stage in memory that refuses writes.
      romTables(on, 3n);
      on.pasid({ PGTT: 2, AW: 2, PWSNP: 1, SSADE: 1, SSPTPTR: Number(ROM / PAGE) });
    },
  }),
  scalable(0x80, "SGN.1", true, { prepare: first(), request: { pasid: PASID, address: 1n << 47n } }),
  scalable(0x81, "SGN.2", true, { prepare: first({}, (_, t) => void t.map(AT, 0x5000n, { P: 1, RW: 1 })) }),
  scalable(0x83, "SGN.4.1", true, { context: OPEN, request: { address: 1n << 52n, type: "translated" } }),
  scalable(0x83, "SGN.4.2", true, {
    prepare: (on) => void on.pasid({ PGTT: 4 }),
    request: { pasid: PASID, address: 1n << 52n },
  }),
  scalable(0x84, "SGN.5", true, { prepare: scalableSecond(), request: { pasid: PASID, address: 1n << 48n } }),
  scalable(0x85, "SGN.6", true, {
    prepare: first({}, (_, t) => void t.map(AT, 0x5000n, { P: 1, US: 1 })),
    request: { pasid: PASID, access: "w" },
  }),
  scalable(0x86, "SGN.7", true, { prepare: scalableSecond({}, (_, t) => void t.map(AT, 0x5000n, { W: 1 })) }),
  scalable(0x87, "SGN.8.1", true, { prepare: first({}, (_, t) => void t.map(AT, 0xfee0_0000n)) }),
  scalable(0x87, "SGN.8.2", true, {
    answer: "ca",
    prepare: first({}, (_, t) => void t.map(AT & ~0x1f_ffffn, 0xfee0_0000n, { P: 1, RW: 1, US: 1 }, 2)),
    request: { pasid: PASID, type: "translation" },
  }),
  scalable(0x87, "SGN.8.3", true, { context: OPEN, request: { address: 0xfee0_0000n, type: "translated" } }),
  scalable(0x89, "SGN.10", true, { features: { PSS: 6 } }),
  scalable(0x90, "SFS.9", true, { prepare: first({ PWSNP: 0 }, (_, t) => void t.map(AT, 0x5000n)) }),
  scalable(0x91, "SFS.10", true, {
    prepare: (on) => {
      romTables(on, 7n);
      on.pasid({ PGTT: 1, PWSNP: 1, FSPTPTR: Number(ROM / PAGE) });
    },
  }),
  scalable(0xa0, "HPT.1", true, {
    ...TRANSLATED,
    answer: "ca",
    prepare: host((on, t) => on.poke(t + 8n, NOWHERE | 1n)),
  }),
  scalable(0xa1, "HPT.2", true, { ...TRANSLATED, answer: "ca", prepare: host((on, t) => on.poke(t, 1n)) }),
  scalable(0xa2, "HPT.3", true, {
    ...TRANSLATED,
    answer: "ca",
    prepare: (on) => on.poke(on.pasid({ PGTT: 4 }) + 32n, NOWHERE),
  }),
  scalable(0xa3, "HPT.4", true, {
    ...TRANSLATED,
    prepare: host(() => {}),
    request: { ...TRANSLATED.request, zeroLength: true },
  }),
  scalable(0xa4, "HPT.5", true, {
    ...TRANSLATED,
    prepare: host(() => {}),
    request: { ...TRANSLATED.request, access: "w" },
  }),
  scalable(0xa5, "HPT.6", true, { ...TRANSLATED, prepare: host(() => {}) }),
];

/** Four levels of tables for AT in ROM, with the given bits in every entry. */
function romTables(on: Case, bits: bigint): void {
  for (const level of [3, 2, 1]) romEntry(on, 3 - level, level, ROM + BigInt(4 - level) * PAGE, bits);
  romEntry(on, 3, 0, 0x5000n, bits);
}

/** Entry for AT of the table at page `page` of ROM; `level` counts from 0 at the leaf. */
function romEntry({ machine }: Case, page: number, level: number, target: bigint, bits: bigint): void {
  const index = Number((AT >> BigInt(12 + 9 * level)) & 0x1ffn);
  new DataView(machine.rom.buffer).setBigUint64(page * Number(PAGE) + 8 * index, target | bits, true);
}

/** Tables of a row, with FPD in the first entry that has it. */
function prepare(row: Row, fpd: boolean): VtdMachine {
  const machine = new VtdMachine({ capabilities: capabilities({ NFR: 0, ...row.features }) });
  const tables = machine.start(row.mode);
  if (row.mode === "scalable") tables.setScalableContext(SID, row.context ?? OPEN);
  const poke = (address: bigint, word: bigint) => machine.memory.write64(address, word);
  const pasid: Case["pasid"] = (fields, stages) => tables.setPasid(SID, PASID, { DID: 1, ...fields }, stages);
  row.prepare?.({ machine, tables, poke, pasid });
  if (fpd) {
    const context = tables.contextEntry(SID);
    poke(context, machine.memory.read64(context) | 2n);
  }
  return machine;
}

function ask(row: Row, machine: VtdMachine): void {
  const request = { sid: SID, address: AT, ...row.request };
  if (row.pageRequest)
    machine.unit.requestPage({ read: true, ...request, pasid: undefined, ...row.pageRequest } as PageRequest);
  else machine.unit.translate(request);
}

/** Reason in the one fault recording register, if it holds a fault. */
function recorded(machine: VtdMachine): number | undefined {
  const high = machine.read(0x1008, 8);
  return high >> 63n ? Number((high >> 32n) & 0xffn) : undefined;
}

describe("fault reasons", () => {
  it.each(ROWS.map((row): [string, string, Row] => [row.code.toString(16).padStart(2, "0"), row.condition, row]))(
    "%sh %s is recorded, and FPD keeps it back if it is qualified",
    (_, condition, row) => {
      const machine = prepare(row, false);
      ask(row, machine);
      expect(recorded(machine)).toBe(row.code);
      if (!row.pageRequest) {
        const outcome = prepare(row, false).unit.translate({ sid: SID, address: AT, ...row.request });
        expect(outcome).toMatchObject({ ok: false, code: row.code, check: condition, recorded: true });
        // Untranslated requests end in UR, whatever the reason.
        const type = row.request?.type ?? "untranslated";
        expect(outcome.answer).toBe(type === "untranslated" ? "ur" : (row.answer ?? "ur"));
      }
      // Where no entry with an FPD bit is reached, there is nothing to set.
      if (!row.qualified && row.code <= REASON.SCT_1) return;
      const silent = prepare(row, true);
      ask(row, silent);
      expect(recorded(silent)).toBe(row.qualified ? undefined : row.code);
    },
  );

  it("are all there, with those of interrupts; posted ones are not modelled", () => {
    const interrupts = [0x20, 0x21, 0x22, 0x23, 0x24, 0x25, 0x26, 0x29, 0x2a, 0x2b];
    const posted: number[] = [REASON.IR_PID_ACCESS, REASON.IR_PID_RESERVED];
    const covered = new Set([...ROWS.map(({ code }) => code), ...interrupts, ...posted, REASON.NONE]);
    const known = Object.values(REASON).filter((value) => typeof value === "number");
    expect([...covered].sort((a, b) => a - b)).toEqual([...new Set(known)].sort((a, b) => a - b));
  });
});

describe("interrupt fault reasons", () => {
  const REMAPPABLE = 0xfee0_0010n;
  /** A unit with one page of interrupt entries, all zero but what `prepare` writes. */
  const remapping = (features: Partial<VtdFeatures> = {}) => {
    const machine = new VtdMachine({ capabilities: capabilities({ NFR: 0, ...features }) });
    const table = machine.pages.allocate();
    machine.write(REG.IRTA, table | 7n, 8);
    machine.command(GCMD.SIRTP);
    machine.command(GCMD.IRE);
    return { machine, table };
  };

  /** Reason, the request's address bits and data, features, and what the entry's words are. */
  const cases: [number, bigint, number, Partial<VtdFeatures>?, [bigint, bigint]?][] = [
    [0x20, 0x8n, 0x1_0000],
    [0x21, 0x4000n, 0],
    [0x22, 0n, 0],
    [0x24, 0n, 0, {}, [0x8001n, 0n]],
    [0x26, 0n, 0, {}, [1n, (1n << 18n) | 0x1234n]],
    [0x2a, 0n, 0, { EIMER: 1 }],
  ];

  it.each(cases)("%#: %i", (code, address, data, features, entry) => {
    const { machine, table } = remapping(features);
    entry?.forEach((word, i) => {
      machine.memory.write64(table + BigInt(8 * i), word);
    });
    machine.unit.interrupt(SID, REMAPPABLE | address, data);
    expect(recorded(machine)).toBe(code);
    expect(machine.read(REG.FSTS)).toBe(2n);
  });

  it("23h, 25h, 29h and 2Bh: unreadable table, compatibility format, illegal access, remapping off", () => {
    const unreadable = remapping();
    unreadable.machine.memory.poison(unreadable.table);
    unreadable.machine.unit.interrupt(SID, REMAPPABLE, 0);
    expect(recorded(unreadable.machine)).toBe(0x23);
    const { machine: compatibility } = remapping();
    compatibility.unit.interrupt(SID, 0xfee0_0000n, 0);
    expect(recorded(compatibility)).toBe(0x25);
    const { machine: illegal } = remapping();
    illegal.unit.translate({ sid: SID, address: 0xfee0_0000n, access: "r" });
    expect(recorded(illegal)).toBe(0x29);
    const off = new VtdMachine({ capabilities: capabilities({ NFR: 0, IRREQ: 1 }) });
    off.unit.interrupt(SID, REMAPPABLE, 0);
    expect(recorded(off)).toBe(0x2b);
  });
});
