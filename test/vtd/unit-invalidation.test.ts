/**
 * What each invalidation command removes, and what the unforgiving hardware ("retain") keeps because it
 * may: VT-d rev 5.10, 6.5 "Invalidation of Translation Caches".
 *
 * An entry is known to be held by taking away, in memory, what it was made from: a request that still
 * succeeds was served by it. Each command is given to a unit that holds everything, once for each probe.
 */
import { describe, expect, it } from "vitest";
import { GCMD, REG } from "../../assembly/layout/vtd-registers.ts";
import type { VtdPageTable } from "../../src/index.ts";
import { capabilities, VtdMachine } from "../support/vtd-machine.ts";

/** Function 0 of a device, function 1 of it, another device. */
const SID = 0x0410;
const SIBLING = 0x0411;
const STRANGER = 0x0600;

/** Two pages of one last-level table, and one of another; beside each a page that no request names before. */
const A = 0x4000_0000n;
const B = A + 0x1000n;
const FAR = 0x8000_0000n;
const UNSEEN = 0x8000n;

interface Space {
  pasid: number;
  did: number;
  pgtt: number;
}
/** PASIDs of SID by name. */
const FIRST: Space = { pasid: 5, did: 7, pgtt: 1 };
const OTHER_FIRST: Space = { pasid: 6, did: 7, pgtt: 1 };
const SECOND: Space = { pasid: 8, did: 9, pgtt: 2 };
const NESTED: Space = { pasid: 9, did: 10, pgtt: 3 };
const PASS: Space = { pasid: 10, did: 11, pgtt: 4 };
const SPACES: Readonly<Record<string, Space>> = {
  first: FIRST,
  "other first": OTHER_FIRST,
  second: SECOND,
  nested: NESTED,
  pass: PASS,
};

/** A unit that holds everything, and ways to find out what it still holds. */
class Held {
  readonly machine = new VtdMachine({ capabilities: capabilities({ ESRTPS: 1, DT: 1 }), caches: "retain" });
  readonly tables = this.machine.start("scalable");
  readonly #first = new Map<Space, VtdPageTable>();
  readonly #second = new Map<Space, VtdPageTable>();

  constructor() {
    const { machine, tables } = this;
    machine.startQueue(true);
    for (const sid of [SID, SIBLING, STRANGER]) {
      machine.unit.device(sid);
      tables.setScalableContext(sid, { PASIDE: 1, DTE: 1 });
    }
    for (const space of Object.values(SPACES)) this.#addSpace(space);
    const first = this.#first.get(FIRST) as VtdPageTable;
    for (const sid of [SIBLING, STRANGER]) tables.setPasid(sid, FIRST.pasid, { PGTT: 1, DID: 20, PWSNP: 1 }, { first });
    for (const space of Object.values(SPACES)) {
      for (const at of [A, B, FAR]) expect(this.answers(space, at), `${space.pasid} ${at}`).toBe(true);
    }
    for (const sid of [SIBLING, STRANGER]) expect(this.answers(FIRST, A, sid)).toBe(true);
  }

  answers({ pasid }: Space, address: bigint, sid = SID): boolean {
    return this.machine.unit.translate({ sid, pasid, address }).ok;
  }

  context(sid: number): boolean {
    this.#clear(this.tables.contextEntry(sid));
    return this.answers(FIRST, A + UNSEEN, sid);
  }

  pasid(space: Space): boolean {
    this.#clear(this.tables.pasidEntry(SID, space.pasid));
    return this.answers(space, A + UNSEEN);
  }

  translation(space: Space, address: bigint): boolean {
    const { first, second } = this.#tablesOf(space);
    const table = first ?? second;
    // Pass-through has no page tables: only a PASID entry that its own cache holds no more can change it.
    this.#clear(table ? (table.entry(address) as bigint) : this.tables.pasidEntry(SID, space.pasid));
    if (!table) this.machine.submit([0x37n]);
    return this.answers(space, address);
  }

  /** The paging-structure entry that links the last-level table of `address`, and those above. */
  link(space: Space, stage: "first" | "second", address: bigint): boolean {
    const table = this.#tablesOf(space)[stage] as VtdPageTable;
    this.#clear(table.entry(address, 2) as bigint);
    return this.answers(space, address + UNSEEN);
  }

  #addSpace(space: Space): void {
    const { tables } = this;
    const first = space.pgtt === 1 || space.pgtt === 3 ? tables.firstStage() : undefined;
    const second = space.pgtt === 2 || space.pgtt === 3 ? tables.secondStage(2) : undefined;
    if (first) this.#first.set(space, first);
    if (second) this.#second.set(space, second);
    for (const page of [A, B, A + UNSEEN, FAR, FAR + UNSEEN]) (first ?? second)?.map(page, page & 0xf000n);
    // Below a first stage the second maps all of memory as it is.
    if (first) for (let at = 0n; at < 0x80_0000n; at += 0x20_0000n) second?.map(at, at, { R: 1, W: 1 }, 2);
    tables.setPasid(
      SID,
      space.pasid,
      { PGTT: space.pgtt, DID: space.did, AW: 2, PWSNP: 1 },
      {
        ...(first && { first }),
        ...(second && { second }),
      },
    );
  }

  #tablesOf(space: Space): { first: VtdPageTable | undefined; second: VtdPageTable | undefined } {
    return { first: this.#first.get(space), second: this.#second.get(space) };
  }

  #clear(entry: bigint): void {
    this.machine.memory.write64(entry, 0n);
  }
}

const PROBES: Readonly<Record<string, (held: Held) => boolean>> = {
  context: (held) => held.context(SID),
  "context, sibling": (held) => held.context(SIBLING),
  "context, stranger": (held) => held.context(STRANGER),
  "PASID, first": (held) => held.pasid(FIRST),
  "PASID, other first": (held) => held.pasid(OTHER_FIRST),
  "PASID, second": (held) => held.pasid(SECOND),
  "first A": (held) => held.translation(FIRST, A),
  "first B": (held) => held.translation(FIRST, B),
  "other first A": (held) => held.translation(OTHER_FIRST, A),
  "second A": (held) => held.translation(SECOND, A),
  "second B": (held) => held.translation(SECOND, B),
  "nested A": (held) => held.translation(NESTED, A),
  "nested B": (held) => held.translation(NESTED, B),
  "pass A": (held) => held.translation(PASS, A),
  "pass far": (held) => held.translation(PASS, FAR),
  "first tables A": (held) => held.link(FIRST, "first", A),
  "first tables far": (held) => held.link(FIRST, "first", FAR),
  "other first tables": (held) => held.link(OTHER_FIRST, "first", A),
  "nested tables A": (held) => held.link(NESTED, "first", A),
  "second tables A": (held) => held.link(SECOND, "second", A),
  "second tables far": (held) => held.link(SECOND, "second", FAR),
};
const matching = (pattern: RegExp): string[] => Object.keys(PROBES).filter((name) => pattern.test(name));
const EVERYTHING = Object.keys(PROBES);
const CONTEXTS = matching(/^context/);
const PASIDS = matching(/^PASID/);
const TRANSLATIONS = matching(/^(first|other first|second|nested|pass) /);

const domain = ({ did }: Space): bigint => BigInt(did) << 16n;
const pasidOf = ({ did, pasid }: Space): bigint => domain({ did } as Space) | (BigInt(pasid) << 32n);
const source = (sid: number): bigint => BigInt(sid) << 32n;
/** A page that no space maps, and the leaf hint. */
const ELSEWHERE = 0x12_3456_7000n;
const LEAVES = 1n << 6n;

/** Descriptor, and what it removes. All else is kept. */
const COMMANDS: readonly (readonly [string, readonly bigint[], readonly string[]])[] = [
  ["cc_inv, global", [0x11n], CONTEXTS],
  ["cc_inv, domain: a scalable context entry has none, so all", [0x21n | domain(SECOND)], CONTEXTS],
  ["cc_inv, device", [0x31n | source(SID)], ["context"]],
  ["cc_inv, device, whatever the domain", [0x31n | source(SID) | (99n << 16n)], ["context"]],
  ["cc_inv, device with FM = 3", [0x31n | source(SIBLING) | (3n << 48n)], ["context", "context, sibling"]],
  ["cc_inv, device with FM = 1: function bit 2 alone", [0x31n | source(SIBLING) | (1n << 48n)], ["context, sibling"]],
  ["pc_inv, global", [0x37n], PASIDS],
  ["pc_inv, domain", [0x07n | domain(FIRST)], ["PASID, first", "PASID, other first"]],
  ["pc_inv, PASID", [0x17n | pasidOf(FIRST)], ["PASID, first"]],
  ["pc_inv, PASID of another domain", [0x17n | pasidOf({ ...FIRST, did: 9 })], []],
  ["iotlb_inv, global", [0x12n], TRANSLATIONS],
  ["iotlb_inv, domain of first stages", [0x22n | domain(FIRST)], matching(/^(other )?first /)],
  ["iotlb_inv, domain of a second stage", [0x22n | domain(SECOND)], matching(/^second /)],
  ["iotlb_inv, domain of a nested one", [0x22n | domain(NESTED)], matching(/^nested /)],
  ["iotlb_inv, domain of pass-through", [0x22n | domain(PASS)], matching(/^pass /)],
  ["iotlb_inv, page of a second stage", [0x32n | domain(SECOND), A], ["second A", "second tables A"]],
  ["iotlb_inv, page with the leaf hint", [0x32n | domain(SECOND), A | LEAVES], ["second A"]],
  ["iotlb_inv, two pages", [0x32n | domain(SECOND), A | 1n], ["second A", "second B", "second tables A"]],
  ["iotlb_inv, page that is not mapped", [0x32n | domain(SECOND), ELSEWHERE], []],
  [
    "iotlb_inv, any page: first-stage entries of the domain go",
    [0x32n | domain(FIRST), ELSEWHERE],
    matching(/^(other )?first /),
  ],
  ["iotlb_inv, any page: nested entries of the domain go", [0x32n | domain(NESTED), ELSEWHERE], matching(/^nested /)],
  ["iotlb_inv, page of pass-through", [0x32n | domain(PASS), FAR], ["pass far"]],
  ["p_iotlb_inv, PASID", [0x26n | pasidOf(FIRST)], ["first A", "first B", "first tables A", "first tables far"]],
  ["p_iotlb_inv, PASID with a second stage: not its tables", [0x26n | pasidOf(SECOND)], ["second A", "second B"]],
  ["p_iotlb_inv, PASID with both", [0x26n | pasidOf(NESTED)], matching(/^nested /)],
  ["p_iotlb_inv, PASID with pass-through", [0x26n | pasidOf(PASS)], ["pass A", "pass far"]],
  ["p_iotlb_inv, page", [0x36n | pasidOf(FIRST), A], ["first A", "first tables A"]],
  ["p_iotlb_inv, page with the leaf hint", [0x36n | pasidOf(FIRST), A | LEAVES], ["first A"]],
  ["p_iotlb_inv, page with both", [0x36n | pasidOf(NESTED), A], ["nested A", "nested tables A"]],
  ["p_iotlb_inv, page of a second stage: not concerned", [0x36n | pasidOf(SECOND), A], []],
  ["p_iotlb_inv, page of pass-through: not concerned", [0x36n | pasidOf(PASS), A], []],
  ["dev_tlb_inv, everything", [0x3n | source(SID), 0x7fff_ffff_ffff_f001n], []],
  ["p_dev_tlb_inv, everything", [0x8n | (BigInt(SID) << 16n) | source(FIRST.pasid), 0x7fff_ffff_ffff_f800n], []],
  ["iec_inv, global", [0x4n], []],
];

/** What a unit that held everything no longer holds after `act`: every probe on a unit of its own. */
function gone<H>(
  make: () => H,
  probes: Readonly<Record<string, (held: H) => boolean>>,
  act: (held: H) => void,
): string[] {
  return Object.keys(probes).filter((name) => {
    const held = make();
    act(held);
    return !probes[name]?.(held);
  });
}

function give(machine: VtdMachine, descriptor: readonly bigint[]): void {
  machine.submit(descriptor);
  expect(machine.drain()).toBe(true);
  expect(machine.read(REG.FSTS)).toBe(0n);
}

describe("what invalidations remove and the unforgiving hardware keeps, VT-d 6.5", () => {
  const left = (act: (held: Held) => void) => gone(() => new Held(), PROBES, act);

  it.each(COMMANDS)("%s", (_, descriptor, removed) => {
    expect(left(({ machine }) => give(machine, descriptor))).toEqual(
      EVERYTHING.filter((name) => removed.includes(name)),
    );
  });

  it.each<[string, (held: Held) => void]>([
    ["SRTP with ESRTPS = 1", ({ machine, tables }) => machine.setRoot(tables.rtaddr)],
    [
      "turning translation off and on again in a unit with scalable mode",
      ({ machine }) => {
        machine.command(GCMD.TE, false);
        machine.command(GCMD.TE);
      },
    ],
  ])("%s leaves nothing", (_, act) => expect(left(act)).toEqual(EVERYTHING));

  it("nothing at all goes by itself", () => expect(left(() => {})).toEqual([]));
});

/** The same in legacy mode: SID in domain 7, its sibling in domain 8, a second stage each. */
class LegacyHeld {
  readonly machine = new VtdMachine({ caches: "retain" });
  readonly #tables = this.machine.start("legacy");
  readonly #pages = new Map<number, VtdPageTable>();

  constructor() {
    this.machine.startQueue();
    for (const [sid, DID] of [
      [SID, 7n],
      [SIBLING, 8n],
    ] as const) {
      const table = this.#tables.secondStage(2);
      this.#tables.setContext(sid, { AW: 2, DID }, table);
      for (const page of [A, B, A + UNSEEN, FAR, FAR + UNSEEN]) table.map(page, page & 0xf000n);
      this.#pages.set(sid, table);
      for (const page of [A, B, FAR]) expect(this.#answers(sid, page)).toBe(true);
    }
  }

  context(sid: number): boolean {
    return this.#without(this.#tables.contextEntry(sid), sid, A + UNSEEN);
  }

  translation(sid: number, address: bigint): boolean {
    return this.#without(this.#pages.get(sid)?.entry(address) as bigint, sid, address);
  }

  link(sid: number, address: bigint): boolean {
    return this.#without(this.#pages.get(sid)?.entry(address, 2) as bigint, sid, address + UNSEEN);
  }

  #without(entry: bigint, sid: number, address: bigint): boolean {
    this.machine.memory.write64(entry, 0n);
    return this.#answers(sid, address);
  }

  #answers(sid: number, address: bigint): boolean {
    return this.machine.unit.translate({ sid, address }).ok;
  }
}

const LEGACY_PROBES: Readonly<Record<string, (held: LegacyHeld) => boolean>> = {
  context: (held) => held.context(SID),
  "context, sibling": (held) => held.context(SIBLING),
  A: (held) => held.translation(SID, A),
  B: (held) => held.translation(SID, B),
  "A, sibling": (held) => held.translation(SIBLING, A),
  "tables A": (held) => held.link(SID, A),
  "tables far": (held) => held.link(SID, FAR),
  "tables A, sibling": (held) => held.link(SIBLING, A),
};

describe("the same in legacy mode", () => {
  it.each<[string, bigint[], string[]]>([
    ["cc_inv, global", [0x11n], ["context", "context, sibling"]],
    ["cc_inv, domain", [0x21n | (7n << 16n)], ["context"]],
    ["cc_inv, device", [0x31n | source(SID) | (7n << 16n)], ["context"]],
    ["cc_inv, device in another domain than it is", [0x31n | source(SID) | (8n << 16n)], []],
    ["cc_inv, device with FM = 3 in a domain", [0x31n | source(SID) | (8n << 16n) | (3n << 48n)], ["context, sibling"]],
    ["iotlb_inv, global", [0x12n], ["A", "B", "A, sibling", "tables A", "tables far", "tables A, sibling"]],
    ["iotlb_inv, domain", [0x22n | (7n << 16n)], ["A", "B", "tables A", "tables far"]],
    ["iotlb_inv, page", [0x32n | (7n << 16n), A], ["A", "tables A"]],
    ["iotlb_inv, page with the leaf hint", [0x32n | (7n << 16n), A | LEAVES], ["A"]],
  ])("%s", (_, descriptor, removed) => {
    expect(
      gone(
        () => new LegacyHeld(),
        LEGACY_PROBES,
        ({ machine }) => give(machine, descriptor),
      ),
    ).toEqual(removed);
  });
});
