/** Sets with quotas, references, pending frees and SPIDs, against a model of plain maps. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ExtendedIoasid, type QuotaSet, type Series } from "../../src/ioasid/index.ts";
import { checkCommands, command, same, sharedCore } from "../support/commands.ts";

const CAPACITY = 12;
const IDS = 8;

interface ModelSet {
  quota: number;
  valid: boolean;
}
interface ModelId {
  set: number;
  references: number;
  pending: boolean;
  spid: number | undefined;
}
interface Model {
  series: Series;
  available: number;
  sets: ModelSet[];
  ids: Map<number, ModelId>;
  events: string[];
}
interface Real {
  space: ExtendedIoasid;
  sets: QuotaSet<string>[];
  events: string[];
}

const OK = { ok: true };
const failed = (error: string): unknown => ({ ok: false, error });
const held = (model: Model, set: number): number => [...model.ids.values()].filter((item) => item.set === set).length;

function drop(model: Model, id: number): void {
  const item = model.ids.get(id);
  if (item && --item.references === 0) model.ids.delete(id);
}

function release(model: Model, id: number): void {
  const item = model.ids.get(id);
  if (!item || item.pending) return;
  item.pending = true;
  if (item.references > 1) model.events.push(`set free ${id}`, `all free ${id}`);
  drop(model, id);
}

const allocSet = (quota: number) =>
  command<Model, Real>(`allocSet quota ${quota}`, (model, real) => {
    const made = real.space.allocSet<string>({ type: "null", quota });
    const none = quota === 0 && model.series !== "v4";
    if (none || quota > model.available) {
      same(made, failed(none ? "EINVAL" : "ENOSPC"));
      return;
    }
    if (!made.ok) return expect.fail(`allocSet: ${made.error}`);
    const taken = quota === 0 ? model.available : quota;
    model.available -= taken;
    model.sets.push({ quota: taken, valid: true });
    real.sets.push(made.value);
    real.space.notifiers.register(made.value, {
      priority: "last",
      notify: ({ command, id }) => void real.events.push(`set ${command} ${id}`),
    });
  });

/** A command on one of the sets there are, if any. */
function onSet(text: string, pick: number, run: (model: Model, real: Real, k: number, set: QuotaSet<string>) => void) {
  return command<Model, Real>(`${text} in set ${pick}`, (model, real) => {
    if (model.sets.length === 0) return;
    const k = pick % model.sets.length;
    run(model, real, k, real.sets[k] as QuotaSet<string>);
  });
}

const freeSet = (pick: number) =>
  onSet("freeSet", pick, (model, { space }, k, set) => {
    const item = model.sets[k] as ModelSet;
    const refused = !item.valid ? "EINVAL" : model.series === "v4" && held(model, k) > 0 ? "EBUSY" : undefined;
    same(space.freeSet(set), refused ? failed(refused) : OK);
    if (refused) return;
    for (const [id, { set }] of [...model.ids]) if (set === k) release(model, id);
    item.valid = false;
    model.available += item.quota;
  });

const adjust = (pick: number, quota: number) =>
  onSet(`adjust to ${quota}`, pick, (model, { space }, k, set) => {
    const item = model.sets[k] as ModelSet;
    const invalid = !item.valid || quota === 0 || quota < held(model, k);
    const refused = invalid ? "EINVAL" : quota - item.quota > model.available ? "ENOSPC" : undefined;
    same(space.adjustSet(set, quota), refused ? failed(refused) : OK);
    if (refused) return;
    model.available -= quota - item.quota;
    item.quota = quota;
  });

const alloc = (pick: number) =>
  onSet("alloc", pick, (model, { space }, k, set) => {
    const item = model.sets[k] as ModelSet;
    const free = [...Array(IDS).keys()].find((id) => !model.ids.has(id));
    const expected = item.valid && held(model, k) < item.quota ? free : undefined;
    same(space.alloc(set, 0, IDS - 1), expected);
    if (expected === undefined) return;
    model.ids.set(expected, { set: k, references: 1, pending: false, spid: undefined });
    model.events.push(`set alloc ${expected}`);
  });

const free = (pick: number, id: number) =>
  onSet(`free ${id}`, pick, (model, { space }, k, set) => {
    const item = model.ids.get(id);
    const done = item?.set === k && !item.pending;
    same(space.free(set, id), done);
    if (done) release(model, id);
  });

const get = (pick: number, id: number) =>
  onSet(`get ${id}`, pick, (model, { space }, k, set) => {
    const item = model.ids.get(id);
    const refused = !item ? "EINVAL" : item.pending ? "EBUSY" : item.set !== k ? "EACCES" : undefined;
    same(space.get(set, id), refused ? failed(refused) : OK);
    if (item && !refused) item.references++;
  });

const put = (pick: number, id: number) =>
  onSet(`put ${id}`, pick, (model, { space }, k, set) => {
    const item = model.ids.get(id);
    const mine = item?.set === k;
    same(space.put(set, id), mine && item?.references === 1);
    if (mine) drop(model, id);
  });

const attachSpid = (id: number, spid: number) =>
  command<Model, Real>(`attachSpid ${id} to ${spid}`, (model, { space }) => {
    const item = model.ids.get(id);
    const taken = [...model.ids].some(
      ([other, { set, spid: has }]) => other !== id && set === item?.set && has === spid,
    );
    const refused = !item ? "ENOENT" : taken ? "EINVAL" : undefined;
    same(space.attachSpid(id, spid), refused ? failed(refused) : OK);
    if (!item || refused) return;
    item.spid = spid;
    model.events.push(`set bind ${id}`);
  });

const detachSpid = (id: number) =>
  command<Model, Real>(`detachSpid ${id}`, (model, { space }) => {
    space.detachSpid(id);
    const item = model.ids.get(id);
    if (item?.spid === undefined) return;
    item.spid = undefined;
    model.events.push(`set unbind ${id}`);
  });

const findBySpid = (pick: number, spid: number, take: boolean) =>
  onSet(`findBySpid ${spid}`, pick, (model, { space }, k, set) => {
    const found = [...model.ids].find(([, item]) => item.set === k && item.spid === spid && !item.pending);
    same(space.findBySpid(set, spid, take), found?.[0]);
    if (found && (take || model.series !== "v4")) found[1].references++;
  });

const look = command<Model, Real>("look at everything", (model, { space, sets, events }) => {
  same(events, model.events);
  same(space.capacity.available, model.available);
  sets.forEach((set, k) => {
    const ids = [...model.ids].filter(([, item]) => item.set === k).map(([id]) => id);
    same(
      [...space.entries(set)].map(({ id }) => id),
      ids.sort((a, b) => a - b),
    );
    same(set.quota, model.sets[k]?.quota);
  });
  for (let id = 0; id < IDS; id++) {
    const item = model.ids.get(id);
    same(space.references(id), item?.references ?? 0);
    const bound = item?.spid === undefined ? "idle" : "active";
    same(space.state(id), item && (item.pending ? "pending" : bound));
    same(space.find(null, id).kind, item && !item.pending ? "none" : "error");
  }
});

describe("sets with quotas and pending frees", () => {
  const pick = fc.integer({ min: 0, max: 3 });
  const id = fc.integer({ min: 0, max: IDS - 1 });
  const spid = fc.integer({ min: 0, max: 2 });
  const quota = fc.integer({ min: 0, max: 6 });
  const commands = [
    quota.map(allocSet),
    pick.map(freeSet),
    fc.tuple(pick, quota).map((args) => adjust(...args)),
    pick.map(alloc),
    pick.map(alloc),
    fc.tuple(pick, id).map((args) => free(...args)),
    fc.tuple(pick, id).map((args) => get(...args)),
    fc.tuple(pick, id).map((args) => put(...args)),
    fc.tuple(id, spid).map((args) => attachSpid(...args)),
    id.map(detachSpid),
    fc.tuple(pick, spid, fc.boolean()).map((args) => findBySpid(...args)),
    fc.constant(look),
  ];

  it.each(["v3", "v4"] as const)("do what the model does, series %s", (series) => {
    checkCommands(commands, () => {
      const events: string[] = [];
      const space = new ExtendedIoasid({ series, core: sharedCore(1) });
      space.capacity.install(CAPACITY);
      space.notifiers.register(null, {
        priority: "last",
        notify: ({ command, id }) => void events.push(`all ${command} ${id}`),
      });
      return {
        model: { series, available: CAPACITY, sets: [], ids: new Map(), events: [] },
        real: { space, sets: [], events },
      };
    });
  });
});
