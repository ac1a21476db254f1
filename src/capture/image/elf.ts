/**
 * ELF cores of a whole machine: QEMU's dump-guest-memory, /proc/vmcore, makedumpfile -E (System V ABI, "ELF
 * header" and "Program header"). Only the table of segments is read; memory stays in the file.
 */
import { hex } from "../../check.ts";
import { type ByteSource, fileNumber, readStructure, refuseAt } from "./bytes.ts";
import type { ImageIommu } from "./image.ts";
import { MAX_SEGMENTS, type Segment, SegmentedMemory } from "./segments.ts";

/** Byte offsets in the ELF header that all files share. */
enum IDENT {
  CLASS = 4,
  DATA = 5,
  TYPE = 16,
  MACHINE = 18,
}

/** Byte offsets in the headers of one class of files. */
interface Layout {
  /** Of offsets, addresses and sizes. */
  bits: 32 | 64;
  header: { PHOFF: number; SHOFF: number; PHENTSIZE: number; PHNUM: number; BYTES: number };
  program: { OFFSET: number; PADDR: number; FILESZ: number; BYTES: number };
  section: { INFO: number; BYTES: number };
}

const LAYOUTS: Readonly<Record<number, Layout>> = {
  1: {
    bits: 32,
    header: { PHOFF: 28, SHOFF: 32, PHENTSIZE: 42, PHNUM: 44, BYTES: 52 },
    program: { OFFSET: 4, PADDR: 12, FILESZ: 16, BYTES: 32 },
    section: { INFO: 28, BYTES: 40 },
  },
  2: {
    bits: 64,
    header: { PHOFF: 32, SHOFF: 40, PHENTSIZE: 54, PHNUM: 56, BYTES: 64 },
    program: { OFFSET: 8, PADDR: 24, FILESZ: 32, BYTES: 56 },
    section: { INFO: 44, BYTES: 64 },
  },
};

const LITTLE_ENDIAN = 1;
const TYPE_CORE = 4;
const TYPE_LOAD = 1;
/** More program headers than 16 bits count: the number is sh_info of section 0. */
const COUNT_ELSEWHERE = 0xffff;
/** p_paddr of what has no physical address (/proc/kcore). */
const NO_ADDRESS = 0xffff_ffff_ffff_ffffn;
/** EM_386 is what QEMU writes before the processor is in long mode. */
const MACHINES: Readonly<Record<number, ImageIommu>> = { 3: "vtd", 62: "vtd", 183: "smmuv3" };

export interface ElfCore {
  memory: SegmentedMemory;
  segments: number;
  /** The IOMMU that such a machine has, where the processor tells. */
  iommu: ImageIommu | undefined;
}

/** @throws InputError for what is no such core, is torn, or contradicts itself */
export function readElfCore(source: ByteSource): ElfCore {
  const ident = readStructure(source, 0, IDENT.MACHINE, "the ELF header");
  const layout = LAYOUTS[ident.getUint8(IDENT.CLASS)];
  if (!layout) refuseAt(source, IDENT.CLASS, `an ELF file of unknown class ${ident.getUint8(IDENT.CLASS)}`);
  if (ident.getUint8(IDENT.DATA) !== LITTLE_ENDIAN) {
    refuseAt(source, IDENT.DATA, "the core of a big-endian machine: those have neither VT-d nor SMMUv3");
  }
  const { PHOFF, PHENTSIZE, PHNUM, BYTES } = layout.header;
  const header = readStructure(source, 0, BYTES, "the ELF header");
  const type = header.getUint16(IDENT.TYPE, true);
  if (type !== TYPE_CORE) refuseAt(source, IDENT.TYPE, `an ELF file of type ${type}, not a core (${TYPE_CORE})`);
  const size = header.getUint16(PHENTSIZE, true);
  if (size !== layout.program.BYTES) {
    refuseAt(source, PHENTSIZE, `program headers of ${size} bytes, not ${layout.program.BYTES}`);
  }
  const table = fileNumber(source, PHOFF, numberAt(header, PHOFF, layout), "e_phoff");
  const segments = readSegments(source, table, countHeaders(source, header, layout), layout);
  if (segments.length === 0) refuseAt(source, PHNUM, "no segment (PT_LOAD) holds any memory");
  if (segments.length > 1 && segments.every(({ base }) => base === 0)) {
    refuseAt(source, table, "every segment has p_paddr 0: the core of a process, not of a machine");
  }
  const memory = new SegmentedMemory(source, segments);
  return { memory, segments: segments.length, iommu: MACHINES[header.getUint16(IDENT.MACHINE, true)] };
}

/** An offset, address or size. */
function numberAt(view: DataView, at: number, { bits }: Layout): bigint {
  return bits === 64 ? view.getBigUint64(at, true) : BigInt(view.getUint32(at, true));
}

function countHeaders(source: ByteSource, header: DataView, layout: Layout): number {
  const count = header.getUint16(layout.header.PHNUM, true);
  if (count !== COUNT_ELSEWHERE) return count;
  const { SHOFF } = layout.header;
  const { INFO, BYTES } = layout.section;
  const at = fileNumber(source, SHOFF, numberAt(header, SHOFF, layout), "e_shoff");
  const many = readStructure(source, at, BYTES, "section header 0").getUint32(INFO, true);
  if (many > MAX_SEGMENTS) refuseAt(source, at + INFO, `${many} program headers; at most ${MAX_SEGMENTS} are read`);
  return many;
}

function readSegments(source: ByteSource, table: number, count: number, layout: Layout): Segment[] {
  const { OFFSET, PADDR, FILESZ, BYTES } = layout.program;
  const headers = readStructure(source, table, count * BYTES, `a table of ${count} program headers`);
  const segments: Segment[] = [];
  for (let at = 0; at < count * BYTES; at += BYTES) {
    const place = table + at;
    const size = numberAt(headers, at + FILESZ, layout);
    const base = numberAt(headers, at + PADDR, layout);
    // p_memsz beyond p_filesz is what the dump left out: not zeros.
    if (headers.getUint32(at, true) !== TYPE_LOAD || size === 0n || base === NO_ADDRESS) continue;
    if (base > BigInt(Number.MAX_SAFE_INTEGER)) {
      refuseAt(source, place + PADDR, `p_paddr is ${hex(base)}, which no machine has`);
    }
    segments.push({
      base: Number(base),
      size: fileNumber(source, place + FILESZ, size, "p_filesz"),
      offset: fileNumber(source, place + OFFSET, numberAt(headers, at + OFFSET, layout), "p_offset"),
      place,
    });
  }
  return segments;
}
