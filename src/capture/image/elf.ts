/**
 * ELF64 cores of a whole machine: QEMU's dump-guest-memory, /proc/vmcore, makedumpfile -E (System V ABI, "ELF
 * header" and "Program header"). Only the table of segments is read; memory stays in the file.
 */
import { hex } from "../../check.ts";
import { type ByteSource, fileNumber, readStructure, refuseAt } from "./bytes.ts";
import type { ImageIommu } from "./image.ts";
import { MAX_SEGMENTS, type Segment, SegmentedMemory } from "./segments.ts";

/** Byte offsets in the ELF64 header. */
enum EHDR {
  CLASS = 4,
  DATA = 5,
  TYPE = 16,
  MACHINE = 18,
  PHOFF = 32,
  SHOFF = 40,
  PHENTSIZE = 54,
  PHNUM = 56,
  BYTES = 64,
}

/** Byte offsets in an ELF64 program header. */
enum PHDR {
  TYPE = 0,
  OFFSET = 8,
  PADDR = 24,
  FILESZ = 32,
  BYTES = 56,
}

/** Byte offsets in an ELF64 section header. */
enum SHDR {
  INFO = 44,
  BYTES = 64,
}

const CLASS_64 = 2;
const LITTLE_ENDIAN = 1;
const TYPE_CORE = 4;
const TYPE_LOAD = 1;
/** More program headers than 16 bits count: the number is sh_info of section 0. */
const COUNT_ELSEWHERE = 0xffff;
/** p_paddr of what has no physical address (/proc/kcore). */
const NO_ADDRESS = 0xffff_ffff_ffff_ffffn;
const MACHINES: Readonly<Record<number, ImageIommu>> = { 62: "vtd", 183: "smmuv3" };

export interface ElfCore {
  memory: SegmentedMemory;
  segments: number;
  /** The IOMMU that such a machine has, where the processor tells. */
  iommu: ImageIommu | undefined;
}

/** @throws InputError for what is no such core, is torn, or contradicts itself */
export function readElfCore(source: ByteSource): ElfCore {
  const header = readStructure(source, 0, EHDR.BYTES, "the ELF header");
  if (header.getUint8(EHDR.CLASS) !== CLASS_64)
    refuseAt(source, EHDR.CLASS, "a 32-bit ELF file; only 64-bit cores are read");
  if (header.getUint8(EHDR.DATA) !== LITTLE_ENDIAN) {
    refuseAt(source, EHDR.DATA, "the core of a big-endian machine: those have neither VT-d nor SMMUv3");
  }
  const type = header.getUint16(EHDR.TYPE, true);
  if (type !== TYPE_CORE) refuseAt(source, EHDR.TYPE, `an ELF file of type ${type}, not a core (${TYPE_CORE})`);
  const size = header.getUint16(EHDR.PHENTSIZE, true);
  if (size !== PHDR.BYTES) refuseAt(source, EHDR.PHENTSIZE, `program headers of ${size} bytes, not ${PHDR.BYTES}`);
  const table = fileNumber(source, EHDR.PHOFF, header.getBigUint64(EHDR.PHOFF, true), "e_phoff");
  const segments = readSegments(source, table, countHeaders(source, header));
  if (segments.length === 0) refuseAt(source, EHDR.PHNUM, "no segment (PT_LOAD) holds any memory");
  if (segments.length > 1 && segments.every(({ base }) => base === 0)) {
    refuseAt(source, table, "every segment has p_paddr 0: the core of a process, not of a machine");
  }
  const memory = new SegmentedMemory(source, segments);
  return { memory, segments: segments.length, iommu: MACHINES[header.getUint16(EHDR.MACHINE, true)] };
}

function countHeaders(source: ByteSource, header: DataView): number {
  const count = header.getUint16(EHDR.PHNUM, true);
  if (count !== COUNT_ELSEWHERE) return count;
  const at = fileNumber(source, EHDR.SHOFF, header.getBigUint64(EHDR.SHOFF, true), "e_shoff");
  const many = readStructure(source, at, SHDR.BYTES, "section header 0").getUint32(SHDR.INFO, true);
  if (many > MAX_SEGMENTS)
    refuseAt(source, at + SHDR.INFO, `${many} program headers; at most ${MAX_SEGMENTS} are read`);
  return many;
}

function readSegments(source: ByteSource, table: number, count: number): Segment[] {
  const headers = readStructure(source, table, count * PHDR.BYTES, `a table of ${count} program headers`);
  const segments: Segment[] = [];
  for (let at = 0; at < count * PHDR.BYTES; at += PHDR.BYTES) {
    const place = table + at;
    const size = headers.getBigUint64(at + PHDR.FILESZ, true);
    const base = headers.getBigUint64(at + PHDR.PADDR, true);
    // p_memsz beyond p_filesz is what the dump left out: not zeros.
    if (headers.getUint32(at + PHDR.TYPE, true) !== TYPE_LOAD || size === 0n || base === NO_ADDRESS) continue;
    if (base > BigInt(Number.MAX_SAFE_INTEGER))
      refuseAt(source, place + PHDR.PADDR, `p_paddr is ${hex(base)}, which no machine has`);
    segments.push({
      base: Number(base),
      size: fileNumber(source, place + PHDR.FILESZ, size, "p_filesz"),
      offset: fileNumber(source, place + PHDR.OFFSET, headers.getBigUint64(at + PHDR.OFFSET, true), "p_offset"),
      place,
    });
  }
  return segments;
}
