/** Physical memory that two address spaces reach, and tables that a device may write to itself. */
import type { DmaMap, SpaceMap } from "./map.ts";
import { type AddressSpace, ALL_RIGHTS, allows, type Structure } from "./model.ts";

/** A range of physical memory that several spaces reach. */
export interface SharedRange {
  address: bigint;
  bytes: bigint;
  spaces: AddressSpace[];
  /** Those that may write to it. */
  writers: AddressSpace[];
}

export interface Sharing {
  /** The first that were found, those that somebody may write to first. */
  ranges: SharedRange[];
  /** How many there are. */
  count: number;
  /** Bytes that several spaces reach; of them, bytes that at least one may write to. */
  bytes: bigint;
  writable: bigint;
}

/** A mapping that lets a device write to what the IOMMU obeys. */
export interface TableWriter {
  space: AddressSpace;
  structure: Structure;
  /** Where the device finds it. */
  input: bigint;
  /** Mappings of tables of this kind that can be written to. */
  count: number;
}

const MAX_RANGES = 1024;

/** Sweeps over all runs by output address. Pass-through, which reaches everything, is left out. */
export function sharedMemory(map: DmaMap): Sharing {
  const { runs } = map;
  const sharing: Sharing = { ranges: [], count: 0, bytes: 0n, writable: 0n };
  if (map.spaces.filter(({ from, to }) => to > from).length < 2) return sharing;
  const starts = new Edges(runs.length, (i) => runs.output(i));
  const ends = new Edges(runs.length, (i) => runs.output(i) + runs.bytes(i));
  const owner = ownersOf(map);
  const writable = writableRuns(map);
  const quiet: SharedRange[] = [];
  const readers = new Tally();
  const writers = new Tally();
  let last: SharedRange | undefined;
  let ended = 0;
  let at = 0;
  for (let next = 0; ended < ends.length; ) {
    const until = Math.min(starts.address(next), ends.address(ended));
    if (readers.size > 1 && until > at) last = note(map, sharing, quiet, last, at, until, readers, writers);
    at = until;
    for (; ends.address(ended) === at; ended++) {
      const run = ends.run(ended);
      readers.remove(owner[run] as number);
      if (writable[run]) writers.remove(owner[run] as number);
    }
    for (; starts.address(next) === at; next++) {
      const run = starts.run(next);
      readers.add(owner[run] as number);
      if (writable[run]) writers.add(owner[run] as number);
    }
  }
  sharing.ranges.push(...quiet.slice(0, Math.max(0, MAX_RANGES - sharing.ranges.length)));
  return sharing;
}

/** Where runs begin, or end, in order: eight bytes each, a page number of 40 bits and a run's of 24. */
class Edges {
  readonly length: number;
  readonly #words: Uint32Array;

  constructor(length: number, addressOf: (run: number) => number) {
    const keys = new BigUint64Array(length);
    this.length = length;
    this.#words = new Uint32Array(keys.buffer);
    for (let run = 0; run < length; run++) {
      const page = Math.ceil(addressOf(run) / PAGE);
      this.#words[2 * run] = (page % PAGES_PER_WORD) * RUNS + run;
      this.#words[2 * run + 1] = Math.floor(page / PAGES_PER_WORD);
    }
    keys.sort();
  }

  /** Of edge `index`; beyond the last, infinity. */
  address(index: number): number {
    if (index >= this.length) return Number.POSITIVE_INFINITY;
    const low = this.#words[2 * index] as number;
    return ((this.#words[2 * index + 1] as number) * PAGES_PER_WORD + Math.floor(low / RUNS)) * PAGE;
  }

  run(index: number): number {
    return (this.#words[2 * index] as number) % RUNS;
  }
}

const PAGE = 4096;
const RUNS = 2 ** 24;
const PAGES_PER_WORD = 2 ** 32 / RUNS;

/** Which spaces have runs at the present address, and how many. */
class Tally {
  readonly #counts = new Map<number, number>();

  get size(): number {
    return this.#counts.size;
  }

  add(space: number): void {
    this.#counts.set(space, (this.#counts.get(space) ?? 0) + 1);
  }

  remove(space: number): void {
    const left = (this.#counts.get(space) ?? 0) - 1;
    if (left > 0) this.#counts.set(space, left);
    else this.#counts.delete(space);
  }

  get spaces(): number[] {
    return [...this.#counts.keys()].sort((a, b) => a - b);
  }
}

/** Counts a shared range, or makes the last one longer. */
function note(
  { spaces: all }: DmaMap,
  sharing: Sharing,
  quiet: SharedRange[],
  last: SharedRange | undefined,
  from: number,
  until: number,
  spaces: Tally,
  writers: Tally,
): SharedRange {
  const bytes = BigInt(until - from);
  sharing.bytes += bytes;
  if (writers.size > 0) sharing.writable += bytes;
  const named = (tally: Tally) => tally.spaces.map((index) => (all[index] as SpaceMap).space);
  const range: SharedRange = { address: BigInt(from), bytes, spaces: named(spaces), writers: named(writers) };
  if (last && last.address + last.bytes === range.address && sameSpaces(last, range)) {
    last.bytes += bytes;
    return last;
  }
  sharing.count++;
  const list = writers.size > 0 ? sharing.ranges : quiet;
  if (list.length < MAX_RANGES) list.push(range);
  return range;
}

function sameSpaces(a: SharedRange, b: SharedRange): boolean {
  const same = (x: AddressSpace[], y: AddressSpace[]) => x.length === y.length && x.every((space, i) => space === y[i]);
  return same(a.spaces, b.spaces) && same(a.writers, b.writers);
}

/** Every table that some space can write to through a mapping. A guest's own tables count where it is not that guest. */
export function tableWriters(map: DmaMap): TableWriter[] {
  const { runs, structures } = map;
  const sorted = [...structures].sort((a, b) => (a.address < b.address ? -1 : 1));
  const starts = Float64Array.from(sorted, ({ address }) => Number(address));
  const writable = writableRuns(map);
  const found: TableWriter[] = [];
  for (const { space, from, to } of map.spaces) {
    const kinds = new Map<string, TableWriter>();
    for (let i = from; i < to; i++) {
      if (!writable[i]) continue;
      const output = runs.output(i);
      const end = output + runs.bytes(i);
      for (let s = firstFrom(starts, output); s < starts.length && (starts[s] as number) < end; s++) {
        const structure = sorted[s] as Structure;
        // A guest that builds its own first stage writes it by right.
        if (structure.guest && space.nested) continue;
        const kind = kinds.get(structure.role);
        if (kind) kind.count++;
        else {
          const input = runs.at(i).input + (structure.address - BigInt(output));
          kinds.set(structure.role, { space, structure, input, count: 1 });
        }
      }
    }
    found.push(...kinds.values());
  }
  return found;
}

/** Index of the first start that is at or above `address`. */
function firstFrom(starts: Float64Array, address: number): number {
  let low = 0;
  let high = starts.length;
  while (low < high) {
    const middle = Math.floor((low + high) / 2);
    if ((starts[middle] as number) < address) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Index of the space of each run. */
function ownersOf({ runs, spaces }: DmaMap): Uint32Array {
  const owner = new Uint32Array(runs.length);
  spaces.forEach(({ from, to }, index) => {
    owner.fill(index, from, to);
  });
  return owner;
}

/** Which runs some user of their space may write to. */
function writableRuns({ runs, spaces }: DmaMap): Uint8Array {
  const writable = new Uint8Array(runs.length);
  for (const { users, from, to } of spaces) {
    const kinds = [...new Map(users.map(({ grant }) => [`${grant.privilege} ${grant.instruction}`, grant])).values()];
    const byRights = Uint8Array.from({ length: ALL_RIGHTS + 1 }, (_, rights) =>
      kinds.some((grant) => allows(rights, grant, "w")) ? 1 : 0,
    );
    for (let i = from; i < to; i++) writable[i] = byRights[runs.rights(i)] as number;
  }
  return writable;
}
