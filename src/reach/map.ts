/** The whole of what a unit's devices reach: the survey of who may ask, and what each address space maps. */
import { REACH_KIND } from "../../assembly/layout/reach.ts";
import { MAX_RUNS, RunList } from "./columns.ts";
import { type Enumerator, MAX_ENTRIES, type Repeat, type Totals } from "./enumerate.ts";
import { type AddressSpace, ALL_RIGHTS, type Grant, rightsMask, type Structure, type Survey } from "./model.ts";

/** What one address space maps, a part of the runs of its map. */
export interface SpaceMap {
  space: AddressSpace;
  /** Runs of the map from `from` up to `to`. */
  from: number;
  to: number;
  repeats: Repeat[];
  totals: Totals;
  /** The grants that lead here, with the index of their requesters. */
  users: { requesters: number; grant: Grant }[];
}

export interface DmaMap {
  survey: Survey;
  runs: RunList;
  /** In the order of the survey's spaces. */
  spaces: SpaceMap[];
  /** Tables and page tables, without doubles. */
  structures: Structure[];
  /** Bounds that were hit, pages that are missing: what makes this less than everything. */
  notes: string[];
}

/** Told about every space before its tables are read, and about the work within it. */
export interface MapProgress {
  space(number: number, of: number): void;
  entries(count: number): void;
}

/** Enumerates every address space of a survey. */
export function dmaMap(survey: Survey, enumerator: Enumerator, progress?: MapProgress): DmaMap {
  const runs = new RunList();
  const tables = new TablePages(survey.structures);
  const notes = [...survey.notes];
  const users = usersOf(survey);
  const seconds = new Set<string>();
  let lost = 0;
  const spaces = survey.spaces.map((space): SpaceMap => {
    progress?.space(space.number, survey.spaces.length);
    const from = runs.length;
    const repeats: Repeat[] = [];
    const role = space.nested ? "first-stage table" : "page table";
    const totals = enumerator.list(
      space,
      {
        run: (run) => {
          if (runs.length < MAX_RUNS) runs.push(run);
          else lost++;
        },
        repeat: (repeat) => repeats.push(repeat),
        table: (address, bytes) => tables.add(address, bytes, role, space.nested),
      },
      rightsMask(users.get(space)?.map(({ grant }) => grant) ?? []),
      (entries) => progress?.entries(entries),
    );
    if (space.nested && space.secondStage !== undefined && !seconds.has(space.secondStage)) {
      seconds.add(space.secondStage);
      const below: AddressSpace = { ...space, kind: REACH_KIND.SECOND };
      const sink = { run() {}, table: (at: bigint, size: number) => tables.add(at, size, "second-stage table", false) };
      enumerator.list(below, sink, ALL_RIGHTS);
    }
    return { space, from, to: runs.length, repeats, totals, users: users.get(space) ?? [] };
  });
  notes.push(...shortcomings(spaces));
  if (lost > 0) notes.push(`${lost} ranges beyond the first ${MAX_RUNS} were not kept`);
  return { survey, runs, spaces, structures: tables.list, notes };
}

/** What enumerations could not see, in words. */
export function shortcomings(spaces: readonly { space: AddressSpace; totals: Totals }[]): string[] {
  const notes: string[] = [];
  const list = (some: typeof spaces) => some.map(({ space }) => space.number).join(", ");
  const torn = spaces.filter(({ totals }) => totals.missing > 0);
  const pages = torn.reduce((sum, { totals }) => sum + totals.missing, 0);
  if (torn.length > 0) {
    notes.push(`${pages} pages of tables cannot be read, what they map is not listed (spaces ${list(torn)})`);
  }
  const cut = spaces.filter(({ totals }) => totals.cut);
  if (cut.length > 0) {
    notes.push(`more than ${MAX_ENTRIES} entries: not all were looked at (from space ${cut[0]?.space.number} on)`);
  }
  return notes;
}

/** Who uses which space. */
export function usersOf({ requesters }: Survey): Map<AddressSpace, SpaceMap["users"]> {
  const users = new Map<AddressSpace, SpaceMap["users"]>();
  requesters.forEach(({ grants }, index) => {
    for (const grant of grants) {
      if (!grant.space) continue;
      const known = users.get(grant.space);
      if (known) known.push({ requesters: index, grant });
      else users.set(grant.space, [{ requesters: index, grant }]);
    }
  });
  return users;
}

/** Tables by address; one that several spaces read is listed once, and as the host's if it is that to one. */
class TablePages {
  readonly list: Structure[] = [];
  readonly #byAddress = new Map<number, Structure>();

  constructor(known: readonly Structure[]) {
    for (const { address, bytes, role, guest } of known) this.add(address, Number(bytes), role, guest);
  }

  add(address: bigint, bytes: number, role: string, guest: boolean): void {
    const key = Number(address);
    const known = this.#byAddress.get(key);
    if (known) {
      if (known.guest && !guest) Object.assign(known, { role, guest });
      return;
    }
    const structure = { address, bytes: BigInt(bytes), role, guest };
    this.#byAddress.set(key, structure);
    this.list.push(structure);
  }
}
