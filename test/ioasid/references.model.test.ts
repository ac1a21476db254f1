/** References, stamps and quarantine of a space, against a model of plain maps. */
import fc from "fast-check";
import { describe, it } from "vitest";
import { Ioasid, IoasidSet } from "../../src/ioasid/index.ts";
import { checkCommands, command, same, sharedCore } from "../support/commands.ts";

const SETS = [null, new IoasidSet<string>("a"), new IoasidSet<string>("b")] as const;
const IDS = 6;

interface Model {
  /** Live IDs. */
  live: Map<number, { set: number; data: string | null; references: number; born: number }>;
  /** Freed, not drained. */
  retired: Set<number>;
  quarantine: boolean;
  births: number;
}

interface Real {
  ids: Ioasid;
  /** Stamps of all allocations there were. */
  stamps: (number | undefined)[];
}

const alloc = (set: number, data: string | null) =>
  command<Model, Real>(`alloc for ${set}`, (model, { ids, stamps }) => {
    const expected = [...Array(IDS).keys()].find((id) => !model.live.has(id) && !model.retired.has(id));
    same(ids.alloc(SETS[set] ?? null, 0, IDS - 1, data), expected);
    if (expected === undefined) return;
    model.live.set(expected, { set, data, references: 1, born: model.births++ });
    stamps.push(ids.stamp(expected));
  });

const get = (id: number) =>
  command<Model, Real>(`get ${id}`, (model, { ids }) => {
    const item = model.live.get(id);
    same(ids.get(id), item !== undefined);
    if (item) item.references++;
  });

const drop = (how: "put" | "free", id: number, set: number, born: number | undefined) =>
  command<Model, Real>(`${how} ${id} of ${set}${born === undefined ? "" : ` as allocation ${born}`}`, (model, real) => {
    const item = model.live.get(id);
    const stamp = born === undefined ? undefined : real.stamps[born];
    const mine = item?.set === set && (stamp === undefined || item.born === born);
    const last = mine && item?.references === 1;
    same(real.ids[how](id, SETS[set] ?? null, stamp), last);
    if (item && mine) item.references--;
    if (!last) return;
    model.live.delete(id);
    if (model.quarantine) model.retired.add(id);
  });

const drained = (id: number) =>
  command<Model, Real>(`drained ${id}`, (model, { ids }) => {
    same(ids.drained(id), model.retired.delete(id));
  });

const setData = (id: number, data: string | null) =>
  command<Model, Real>(`setData ${id}`, (model, { ids }) => {
    void ids.setData(id, data);
    const item = model.live.get(id);
    if (item) item.data = data;
  });

const look = command<Model, Real>("look at everything", (model, { ids, stamps }) => {
  for (let id = 0; id < IDS; id++) {
    const item = model.live.get(id);
    same(ids.references(id), item?.references ?? 0);
    same(ids.retired(id), model.retired.has(id));
    same(ids.stamp(id), item && stamps[item.born]);
    SETS.forEach((set, k) => {
      const found = ids.find(set, id);
      if (!item) same(found, { kind: "error", error: "ENOENT" });
      else if (set !== null && item.set !== k) same(found, { kind: "error", error: "EACCES" });
      else same(found, item.data === null ? { kind: "none" } : { kind: "value", value: item.data });
    });
  }
  same(ids.count, model.live.size);
  same(new Set(stamps).size, stamps.length);
});

describe("references and quarantine", () => {
  const id = fc.integer({ min: 0, max: IDS - 1 });
  const set = fc.integer({ min: 0, max: SETS.length - 1 });
  const data = fc.constantFrom(null, "x", "y");
  const born = fc.option(fc.integer({ min: 0, max: 12 }), { nil: undefined });
  const commands = [
    fc.tuple(set, data).map((args) => alloc(...args)),
    id.map(get),
    fc.tuple(fc.constantFrom<("put" | "free")[]>("put", "free"), id, set, born).map((args) => drop(...args)),
    id.map(drained),
    fc.tuple(id, data).map((args) => setData(...args)),
    fc.constant(look),
  ];

  it.each([false, true])("do what the model does, quarantine %s", (quarantine) => {
    checkCommands(commands, () => ({
      model: { live: new Map(), retired: new Set(), quarantine, births: 0 },
      real: { ids: new Ioasid({ quarantine, core: sharedCore(1) }), stamps: [] },
    }));
  });
});
