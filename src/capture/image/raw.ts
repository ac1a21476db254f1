/** Raw images: no header says what lies where, so somebody has to. */
import { hex } from "../../check.ts";
import { type ByteSource, refuseAt } from "./bytes.ts";
import { PAGE_BYTES } from "./image.ts";
import { SegmentedMemory } from "./segments.ts";

/** Where a run of a raw image's bytes belongs. */
export interface RawRange {
  /** Guest physical address. */
  base: number;
  /** Bytes; undefined: to the end of the file. */
  size: number | undefined;
  /** In the file. */
  offset: number;
}

const UNITS: Readonly<Record<string, number>> = { k: 2 ** 10, m: 2 ** 20, g: 2 ** 30, t: 2 ** 40 };

/** "base", "base:size", "base:size@offset", "base@offset"; undefined for what is none of them. */
export function parseRawRange(text: string): RawRange | undefined {
  const match = /^([^:@]+)(?::([^:@]+))?(?:@([^:@]+))?$/.exec(text);
  if (!match) return undefined;
  const [, first = "", second, third] = match;
  const base = parseSize(first);
  const size = second === undefined ? undefined : parseSize(second);
  const offset = third === undefined ? 0 : parseSize(third);
  if (base === undefined || offset === undefined || (second !== undefined && !size)) return undefined;
  return { base, size, offset };
}

/** 0x.., decimal, or either with K, M, G or T behind. */
function parseSize(text: string): number | undefined {
  const match = /^(0x[0-9a-f]{1,16}|\d{1,16})([kmgt])?(?:i?b)?$/i.exec(text);
  if (!match) return undefined;
  const value = Number(match[1]) * (UNITS[match[2]?.toLowerCase() ?? ""] ?? 1);
  return Number.isSafeInteger(value) ? value : undefined;
}

/** @throws InputError for ranges outside of the file, or that overlap and say differently */
export function readRaw(source: ByteSource, ranges: readonly RawRange[]): SegmentedMemory {
  const segments = ranges.map(({ base, size, offset }) => {
    if (offset >= source.size) refuseAt(source, offset, `--ram: the file ends at ${hex(source.size)}`);
    if (base % PAGE_BYTES !== 0) refuseAt(source, offset, `--ram: ${hex(base)} is not the address of a page`);
    return { base, size: size ?? source.size - offset, offset, place: offset };
  });
  return new SegmentedMemory(source, segments);
}
