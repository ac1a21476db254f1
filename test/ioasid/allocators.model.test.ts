/** The allocator registry against a model of plain arrays and maps, with backends that answer anything. */
import fc from "fast-check";
import { describe, it } from "vitest";
import { type AllocatorOps, INVALID_IOASID, Ioasid, IoasidSet, MAX_ID, type Rules } from "../../src/ioasid/index.ts";
import { checkCommands, command, same, sharedCore } from "../support/commands.ts";

const SETS = [new IoasidSet<number>("a"), new IoasidSet<number>("b")] as const;

interface Group {
  pair: number;
  members: number[];
  head: number;
  ids: Map<number, { set: number; data: number }>;
}

class Model {
  readonly rules: Rules;
  readonly fallback: Group["ids"] = new Map();
  readonly groups: Group[] = [];
  active: Group | undefined;
  constructor(rules: Rules) {
    this.rules = rules;
  }
  get ids(): Group["ids"] {
    return this.active?.ids ?? this.fallback;
  }
}

/** Six allocators: three pairs of functions, each with two sets of data. */
class Real {
  readonly ids: Ioasid;
  /** What the backend answers next, and what it was told. */
  answer: number | undefined;
  readonly calls: string[] = [];
  readonly ops: AllocatorOps<number>[];
  constructor(rules: Rules) {
    this.ids = new Ioasid({ rules, core: sharedCore(4) });
    const pairs = [0, 1, 2].map((pair) => ({
      alloc: (min: number, max: number, pdata: number) => {
        this.calls.push(`alloc${pair}.${pdata} ${min} ${max}`);
        return this.answer;
      },
      free: (id: number, pdata: number) => void this.calls.push(`free${pair}.${pdata} ${id}`),
    }));
    this.ops = [0, 1, 2, 3, 4, 5].map((k) => ({ ...(pairs[k >> 1] as (typeof pairs)[number]), pdata: k }));
  }
}

const OK = { ok: true };
const failed = (error: string): unknown => ({ ok: false, error });

const register = (k: number) =>
  command<Model, Real>(`register ${k}`, (model, real) => {
    const expected = ((): unknown => {
      const group = model.groups.find(({ pair }) => pair === k >> 1);
      if (group) {
        const twice = model.rules === "strict" ? group.members.includes(k) : group.head === k;
        if (twice) return failed("EEXIST");
        if (!group.members.includes(k)) group.members.push(k);
        return OK;
      }
      if (model.groups.length === 0 && model.fallback.size > 0) return failed("EAGAIN");
      const added: Group = { pair: k >> 1, members: [k], head: k, ids: new Map() };
      model.groups.push(added);
      model.active ??= added;
      return OK;
    })();
    same(real.ids.registerAllocator(real.ops[k] as AllocatorOps<number>), expected);
  });

const unregister = (k: number) =>
  command<Model, Real>(`unregister ${k}`, (model, real) => {
    const expected = ((): unknown => {
      const compat = model.rules === "compat";
      const group = model.groups.find(({ pair }) => pair === k >> 1);
      const member = group?.members.includes(k) ?? false;
      const lone = group?.members.length === 1;
      if (!group || (!member && !(compat && lone))) return compat ? OK : failed("ENOENT");
      if (!lone) {
        group.members = group.members.filter((other) => other !== k);
        if (!compat && group.head === k) group.head = group.members[0] as number;
        return OK;
      }
      if (!compat && group.ids.size > 0) return failed("EBUSY");
      model.groups.splice(model.groups.indexOf(group), 1);
      if (model.active === group) model.active = model.groups[0];
      return OK;
    })();
    same(real.ids.unregisterAllocator(real.ops[k] as AllocatorOps<number>), expected);
  });

const alloc = (set: 0 | 1, min: number, max: number, answer: number | undefined) =>
  command<Model, Real>(`alloc ${min}..${max}, backend ${answer}`, (model, real) => {
    real.calls.length = 0;
    real.answer = answer;
    const calls: string[] = [];
    const expected = ((): number | undefined => {
      const { active, ids } = model;
      if (!active) {
        for (let id = min; id <= max; id++) if (!ids.has(id)) return id;
        return undefined;
      }
      const name = `${active.pair}.${active.head}`;
      calls.push(`alloc${name} ${min} ${max}`);
      if (answer === undefined || answer === INVALID_IOASID) return undefined;
      const outside = answer > MAX_ID || (model.rules === "strict" && (answer < min || answer > max));
      if (!outside && !ids.has(answer)) return answer;
      if (outside || model.rules === "compat") calls.push(`free${name} ${answer}`);
      return undefined;
    })();
    same(real.ids.alloc(SETS[set], min, max, min), expected);
    same(real.calls, calls);
    if (expected !== undefined) model.ids.set(expected, { set, data: min });
  });

const free = (id: number, set: 0 | 1) =>
  command<Model, Real>(`free ${id} of ${set}`, (model, real) => {
    real.calls.length = 0;
    const owner = model.ids.get(id)?.set;
    const done = owner !== undefined && (model.rules === "compat" || owner === set);
    same(real.ids.free(id, SETS[set]), done);
    const { active } = model;
    same(real.calls, done && active ? [`free${active.pair}.${active.head} ${id}`] : []);
    if (done) model.ids.delete(id);
  });

const look = command<Model, Real>("look at everything", (model, real) => {
  const { ids } = real;
  same(ids.allocator?.pdata, model.active?.head);
  same(ids.count, model.ids.size);
  const sorted = [...model.ids].sort(([a], [b]) => a - b);
  same(
    [...ids.entries()],
    sorted.map(([id, { data }]) => ({ id, data })),
  );
  for (const [id, { set, data }] of sorted) {
    same(ids.find(SETS[set] as IoasidSet<number>, id), { kind: "value", value: data });
    same(ids.find(SETS[1 - set] as IoasidSet<number>, id), { kind: "error", error: "EACCES" });
  }
});

describe("allocator registry", () => {
  const id = fc.integer({ min: 1, max: 8 });
  const set = fc.constantFrom<(0 | 1)[]>(0, 1);
  const answer = fc.oneof(
    { weight: 8, arbitrary: id as fc.Arbitrary<number | undefined> },
    fc.constantFrom<(number | undefined)[]>(undefined, INVALID_IOASID, 0, MAX_ID, MAX_ID + 1, INVALID_IOASID - 1),
  );
  const commands = [
    fc.integer({ min: 0, max: 5 }).map(register),
    fc.integer({ min: 0, max: 5 }).map(unregister),
    fc.tuple(set, id, id, answer).map((args) => alloc(...args)),
    fc.tuple(id, set).map((args) => free(...args)),
    fc.constant(look),
  ];

  it.each(["strict", "compat"] as const)("does what the model does, %s", (rules) => {
    checkCommands(commands, () => ({ model: new Model(rules), real: new Real(rules) }));
  });
});
