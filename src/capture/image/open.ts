/** Which kind of dump some bytes are, and their memory. */
import { InputError } from "../input.ts";
import type { ByteSource } from "./bytes.ts";
import { readElfCore } from "./elf.ts";
import { FlattenedBytes } from "./flattened.ts";
import type { ImageIommu, MemoryRange, PagedMemory } from "./image.ts";
import { KdumpMemory, type Unpackers } from "./kdump.ts";
import { AVML_MAGIC, LIME_MAGIC, readLime } from "./lime.ts";
import { type RawRange, readRaw } from "./raw.ts";

/** Memory out of a dump, without registers. */
export interface DumpedMemory {
  /** "ELF core, 3 segments" */
  origin: string;
  pages: PagedMemory;
  ram: readonly MemoryRange[];
  /** What the machine has, where the dump tells. */
  iommu: ImageIommu | undefined;
}

const SIGNATURES = {
  elf: "\x7fELF",
  kdump: "KDUMP   ",
  diskdump: "DISKDUMP",
  flattened: "makedumpfile\0\0\0\0",
} as const;
const SIGNATURE_BYTES = 16;

/**
 * Opens a dump of any known kind.
 * @param ram where a raw image's bytes lie; given, the bytes are taken as raw whatever they look like
 * @returns undefined for what is none of them: text, or raw
 * @throws InputError
 */
export function openDump(source: ByteSource, ram: readonly RawRange[], unpackers: Unpackers): DumpedMemory | undefined {
  if (ram.length > 0) {
    const pages = readRaw(source, ram);
    return { origin: "raw image", pages, ram: pages.ranges, iommu: undefined };
  }
  const start = source.read(0, Math.min(SIGNATURE_BYTES, source.size));
  const text = String.fromCharCode(...start);
  const is = (name: keyof typeof SIGNATURES) => text.startsWith(SIGNATURES[name]);
  if (is("elf")) {
    const { memory, segments, iommu } = readElfCore(source);
    return { origin: `ELF core, ${count(segments, "segment")}`, pages: memory, ram: memory.ranges, iommu };
  }
  if (is("kdump")) return kdump(source, unpackers);
  if (is("flattened")) {
    const inner = openDump(new FlattenedBytes(source), [], unpackers);
    if (inner) return { ...inner, origin: `flattened ${inner.origin}` };
    throw new InputError(source.name, "", "makedumpfile's flattened format, but neither a kdump nor an ELF core in it");
  }
  if (is("diskdump")) refuse(source, "diskdump, which kernels wrote before kdump");
  if (/^PAGEDU(MP|64)/.test(text)) refuse(source, "a Windows crash dump (QEMU: use dump-guest-memory without -w)");
  const magic = start.length >= 4 ? new DataView(start.buffer, start.byteOffset).getUint32(0, true) : 0;
  if (magic !== LIME_MAGIC && magic !== AVML_MAGIC) return undefined;
  const { memory, records, compressed } = readLime(source);
  const origin = `${compressed ? "AVML" : "LiME"} image, ${count(records, "record")}`;
  return { origin, pages: memory, ram: memory.ranges, iommu: undefined };
}

function kdump(source: ByteSource, unpackers: Unpackers): DumpedMemory {
  const pages = new KdumpMemory(source, unpackers);
  const origin = `kdump, ${pages.blocks} pages of ${pages.blockSize / 1024} KiB`;
  return { origin, pages, ram: pages.ram, iommu: pages.iommu };
}

function refuse(source: ByteSource, what: string): never {
  throw new InputError(source.name, "", `${what}: not a format that is read`);
}

function count(number: number, what: string): string {
  return `${number} ${what}${number === 1 ? "" : "s"}`;
}
