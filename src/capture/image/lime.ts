/**
 * LiME (version 1) and AVML (version 2): records of 32 bytes that say which addresses follow, then their bytes,
 * for AVML as a Snappy stream and its length.
 */
import { hex } from "../../check.ts";
import { type ByteSource, fileNumber, readStructure, refuseAt } from "./bytes.ts";
import { MAX_SEGMENTS, type Segment, SegmentedMemory } from "./segments.ts";
import { SnappyFrames } from "./snappy-frames.ts";

/** Byte offsets in a record's header. */
enum RECORD {
  MAGIC = 0,
  VERSION = 4,
  FIRST = 8,
  /** Inclusive. */
  LAST = 16,
  RESERVED = 24,
  BYTES = 32,
}

export const LIME_MAGIC = 0x4c69_4d45;
export const AVML_MAGIC = 0x4c4d_5641;
/** After an AVML record: the bytes its stream has. */
const LENGTH_BYTES = 8;

export interface LimeImage {
  memory: SegmentedMemory;
  records: number;
  /** AVML version 2 records, which are compressed. */
  compressed: boolean;
}

/** @throws InputError for what is no such file, is torn, or contradicts itself */
export function readLime(source: ByteSource): LimeImage {
  const segments: Segment[] = [];
  const frames = new SnappyFrames(source);
  let plain = 0;
  let at = 0;
  for (let records = 0; at < source.size; records++) {
    if (records === MAX_SEGMENTS) refuseAt(source, at, `more than ${MAX_SEGMENTS} records`);
    const { base, size, compressed } = readRecord(source, at);
    const offset = at + RECORD.BYTES;
    if (compressed) {
      const { end, start } = frames.index(offset, size);
      segments.push({ base, size, offset: start, place: at });
      const length = readStructure(source, end, LENGTH_BYTES, "the length after a stream").getBigUint64(0, true);
      if (length !== BigInt(end - offset))
        refuseAt(source, end, `the stream before has ${end - offset} bytes, not ${hex(length)}`);
      at = end + LENGTH_BYTES;
    } else {
      plain++;
      segments.push({ base, size, offset, place: at });
      at = offset + size;
    }
  }
  if (plain > 0 && plain < segments.length) refuseAt(source, 0, "LiME and AVML records in one file");
  const compressed = plain < segments.length;
  const memory = new SegmentedMemory(compressed ? frames : source, segments);
  return { memory, records: segments.length, compressed };
}

function readRecord(source: ByteSource, at: number): { base: number; size: number; compressed: boolean } {
  const header = readStructure(source, at, RECORD.BYTES, "a record's header");
  const magic = header.getUint32(RECORD.MAGIC, true);
  const version = header.getUint32(RECORD.VERSION, true);
  if (magic !== LIME_MAGIC && magic !== AVML_MAGIC) {
    refuseAt(source, at, `neither a LiME nor an AVML record (${hex(magic, 8)}); the one before may lie about its size`);
  }
  const compressed = magic === AVML_MAGIC;
  if (version !== (compressed ? 2 : 1)) {
    refuseAt(source, at + RECORD.VERSION, `version ${version} of ${compressed ? "AVML" : "LiME"} is not known`);
  }
  if (header.getBigUint64(RECORD.RESERVED, true) !== 0n)
    refuseAt(source, at + RECORD.RESERVED, "the reserved bytes are not 0");
  const base = fileNumber(source, at + RECORD.FIRST, header.getBigUint64(RECORD.FIRST, true), "the first address");
  const last = fileNumber(source, at + RECORD.LAST, header.getBigUint64(RECORD.LAST, true), "the last address");
  if (last < base)
    refuseAt(source, at + RECORD.LAST, `a record that ends (${hex(last)}) before it begins (${hex(base)})`);
  return { base, size: last - base + 1, compressed };
}
