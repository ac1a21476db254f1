/** Memory that lies in a file as runs of bytes: ELF cores, raw images, LiME. */
import { hex } from "../../check.ts";
import { ADDRESS_BITS } from "../../memory.ts";
import { type ByteSource, refuseAt } from "./bytes.ts";
import { type MemoryRange, PAGE_BYTES, type PagedMemory, pageNumber } from "./image.ts";
import { RecentMap } from "./recent.ts";

/** Numbers, for 52-bit addresses are exact in them. */
export interface Segment {
  /** Guest physical address. */
  base: number;
  /** Bytes. */
  size: number;
  /** Where they lie in the file. */
  offset: number;
  /** Where in the file it is said so, for messages. */
  place: number;
}

/** More than any dump has; what lists more is refused before it takes memory. */
export const MAX_SEGMENTS: number = 2 ** 18;

const TOP = 2 ** ADDRESS_BITS;

/** Pages kept: 16 to 32 MiB. */
const RECENT_PAGES = 4096;

/** Work that comparing overlapping segments may make, in bytes read. */
const MAX_COMPARED = 256 * 1024 * 1024;
const COMPARED_AT_ONCE = 1024 * 1024;
/** What a piece costs that needs no reading. */
const PIECE_COST = 64;

export class SegmentedMemory implements PagedMemory {
  readonly span: MemoryRange;
  /** What is held, ascending; touching segments are one. */
  readonly ranges: readonly MemoryRange[];
  readonly #source: ByteSource;
  readonly #segments: readonly Segment[];
  readonly #recent = new RecentMap<number, Uint8Array>(RECENT_PAGES);

  /** @throws InputError for segments that lie outside the file, or contradict each other */
  constructor(source: ByteSource, segments: readonly Segment[]) {
    this.#source = source;
    this.#segments = arrange(source, segments);
    this.ranges = rangesOf(this.#segments);
    this.span = spanOf(this.#segments);
  }

  page(address: bigint): Uint8Array | undefined {
    const number = pageNumber(address);
    const recent = this.#recent.get(number);
    if (recent) return recent;
    const page = this.#read(number * PAGE_BYTES);
    if (page) this.#recent.set(number, page);
    return page;
  }

  role(): string {
    return "";
  }

  /** A page is there when all of its bytes are. */
  #read(base: number): Uint8Array | undefined {
    const page = new Uint8Array(PAGE_BYTES);
    for (let at = 0; at < PAGE_BYTES; ) {
      const segment = this.#segments[last(this.#segments, base + at)];
      if (!segment || base + at >= segment.base + segment.size) return undefined;
      const from = base + at - segment.base;
      const count = Math.min(PAGE_BYTES - at, segment.size - from);
      page.set(this.#source.read(segment.offset + from, count), at);
      at += count;
    }
    return page;
  }
}

/** Index of the last segment that begins at or below `address`, -1 for none. */
function last(segments: readonly Segment[], address: number): number {
  let low = 0;
  let high = segments.length;
  while (low < high) {
    const middle = Math.floor((low + high) / 2);
    if ((segments[middle] as Segment).base <= address) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

/** Sorted, without overlaps: bytes that are in the file twice must be the same. */
function arrange(source: ByteSource, segments: readonly Segment[]): Segment[] {
  for (const segment of segments) check(source, segment);
  const sorted = [...segments].sort((a, b) => a.base - b.base);
  const out: Segment[] = [];
  const budget = { left: MAX_COMPARED };
  for (const segment of sorted) {
    const before = out.at(-1);
    const covered = before ? before.base + before.size : 0;
    const end = segment.base + segment.size;
    if (segment.base < covered) compare(source, out, segment, Math.min(covered, end), budget);
    const start = Math.max(segment.base, covered);
    if (start >= end) continue;
    const rest = { ...segment, base: start, size: end - start, offset: segment.offset + (start - segment.base) };
    if (before && covered === start && before.offset + before.size === rest.offset) before.size += rest.size;
    else out.push(rest);
  }
  return out;
}

function check(source: ByteSource, { base, size, offset, place }: Segment): void {
  if (base + size > TOP) {
    refuseAt(
      source,
      place,
      `a segment at ${hex(base)} of ${hex(size)} bytes reaches beyond ${ADDRESS_BITS} address bits`,
    );
  }
  if (offset + size > source.size) {
    const needs = `the segment at ${hex(base)} needs bytes ${hex(offset)}..${hex(offset + size - 1)}`;
    refuseAt(source, place, `${needs}, the file ends at ${hex(source.size)}`);
  }
}

/**
 * Kernels dump their text once more apart from the RAM it lies in, and virtual mappings list a page as often as
 * they map it. That is fine while it says the same; a dump that contradicts itself is refused.
 */
function compare(
  source: ByteSource,
  arranged: readonly Segment[],
  segment: Segment,
  end: number,
  budget: { left: number },
): void {
  for (let at = segment.base; at < end; ) {
    const other = arranged[last(arranged, at)] as Segment;
    const offset = segment.offset + (at - segment.base);
    const twin = other.offset + (at - other.base);
    const most = offset === twin ? end : at + COMPARED_AT_ONCE;
    const count = Math.min(end, other.base + other.size, most) - at;
    budget.left -= offset === twin ? PIECE_COST : count;
    if (budget.left < 0) refuseAt(source, segment.place, "too much of this file overlaps to be compared");
    if (offset !== twin) {
      const difference = differsAt(source.read(offset, count), source.read(twin, count));
      if (difference >= 0) {
        const where = hex(at + difference);
        refuseAt(
          source,
          segment.place,
          `segments overlap at ${where} and say differently: bytes ${hex(offset + difference)} and ${hex(twin + difference)}`,
        );
      }
    }
    at += count;
  }
}

/** Index of the first byte that differs, -1 for none. */
function differsAt(one: Uint8Array, other: Uint8Array): number {
  // Not `findIndex`: a call a byte makes a quarter of a GiB take ten seconds.
  for (let i = 0; i < one.length; i++) if (one[i] !== other[i]) return i;
  return -1;
}

function rangesOf(segments: readonly Segment[]): MemoryRange[] {
  const ranges: MemoryRange[] = [];
  for (const { base, size } of segments) {
    const before = ranges.at(-1);
    if (before && before.base + before.size === BigInt(base)) before.size += BigInt(size);
    else ranges.push({ base: BigInt(base), size: BigInt(size) });
  }
  return ranges;
}

/** Whole pages; one even where nothing is held. */
function spanOf(segments: readonly Segment[]): MemoryRange {
  const first = segments[0];
  const final = segments.at(-1);
  if (!first || !final) return { base: 0n, size: BigInt(PAGE_BYTES) };
  const base = Math.floor(first.base / PAGE_BYTES) * PAGE_BYTES;
  const end = Math.ceil((final.base + final.size) / PAGE_BYTES) * PAGE_BYTES;
  return { base: BigInt(base), size: BigInt(end - base) };
}
