/** Who reaches a range of physical memory, at which addresses. */
import type { Enumerator, Repeat, Run, Totals } from "./enumerate.ts";
import { type MapProgress, shortcomings, usersOf } from "./map.ts";
import { type AddressSpace, ALL_RIGHTS, allows, type Grant, rightsMask, type Survey } from "./model.ts";

export interface Target {
  address: bigint;
  bytes: bigint;
}

/** One way in: the requests of a grant with input addresses from `input` on reach `output`. */
export interface Hit {
  /** Index of the requesters in the survey. */
  requesters: number;
  grant: Grant;
  input: bigint;
  output: bigint;
  bytes: bigint;
  rights: number;
  /** Further addresses that reach the same, through tables that serve several ranges. */
  aliases: bigint[];
}

export interface Answer {
  hits: Hit[];
  /** Bounds that were hit. */
  notes: string[];
}

/** Hits kept, and further addresses of one; beyond that they are counted. */
const MAX_HITS = 65_536;
const MAX_ALIASES = 16;

/** Everything in the range that some requester may read or write, by `access`. */
export function whoCan(
  survey: Survey,
  enumerator: Enumerator,
  access: "r" | "w",
  target: Target,
  progress?: MapProgress,
): Answer {
  const notes = [...survey.notes];
  const users = usersOf(survey);
  const hits: Hit[] = [];
  const seen: { space: AddressSpace; totals: Totals }[] = [];
  let lost = 0;
  for (const space of survey.spaces) {
    progress?.space(space.number, survey.spaces.length);
    const grants = users.get(space) ?? [];
    const { runs, repeats, totals } = within(
      space,
      enumerator,
      target,
      grants.map(({ grant }) => grant),
      progress,
    );
    if (totals) seen.push({ space, totals });
    for (const run of runs) {
      for (const { requesters, grant } of grants) {
        if (!allows(run.rights, grant, access)) continue;
        for (const part of inputParts(run, grant, space)) {
          if (hits.length < MAX_HITS) hits.push({ requesters, grant, ...part, aliases: aliasesOf(part, repeats) });
          else lost++;
        }
      }
    }
  }
  notes.push(...shortcomings(seen));
  if (lost > 0) notes.push(`${lost} more ways in are not listed`);
  return { hits, notes };
}

function within(
  space: AddressSpace,
  enumerator: Enumerator,
  target: Target,
  grants: readonly Grant[],
  progress: MapProgress | undefined,
): { runs: Run[]; repeats: Repeat[]; totals?: Totals } {
  const runs: Run[] = [];
  const repeats: Repeat[] = [];
  const keep = (run: Run) => {
    const part = clip(run, target.address, target.address + target.bytes);
    if (part && runs.length < MAX_HITS) runs.push(part);
  };
  if (space.identity !== undefined) {
    keep({ input: 0n, output: 0n, bytes: space.identity, rights: ALL_RIGHTS, sizes: 0n });
    return { runs, repeats };
  }
  const totals = enumerator.list(
    space,
    { run: keep, repeat: (repeat) => repeats.push(repeat) },
    rightsMask(grants),
    (entries) => progress?.entries(entries),
  );
  return { runs, repeats, totals };
}

/** The part of a run whose output lies in [from, to). */
function clip(run: Run, from: bigint, to: bigint): Run | undefined {
  const start = run.output > from ? run.output : from;
  const end = run.output + run.bytes < to ? run.output + run.bytes : to;
  if (start >= end) return undefined;
  return { ...run, input: run.input + (start - run.output), output: start, bytes: end - start };
}

/** VT-d, 3.14: for requests without PASID FEEx_xxxxh is interrupts; pass-through gives it to nobody. */
export function inputParts(run: Run, { pasid }: Pick<Grant, "pasid">, space: AddressSpace): Run[] {
  const window = space.interrupts;
  if (!window || (pasid !== null && space.identity === undefined)) return [run];
  const below = window.address - run.input;
  const above = window.address + window.bytes - run.input;
  if (below >= run.bytes || above <= 0n) return [run];
  const parts: Run[] = [];
  if (below > 0n) parts.push({ ...run, bytes: below });
  if (above < run.bytes) {
    parts.push({ ...run, input: run.input + above, output: run.output + above, bytes: run.bytes - above });
  }
  return parts;
}

/** Where else a mapping shows, because tables that lead to it serve other ranges too. */
function aliasesOf({ input }: Run, repeats: readonly Repeat[]): bigint[] {
  const found = [input];
  for (let i = 0; i < found.length && found.length <= MAX_ALIASES; i++) {
    const at = found[i] as bigint;
    for (const { input: other, bytes, like } of repeats) {
      if (found.length > MAX_ALIASES) break;
      const alias = other + (at - like);
      if (at >= like && at - like < bytes && !found.includes(alias)) found.push(alias);
    }
  }
  return found.slice(1);
}
