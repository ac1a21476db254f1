/**
 * makedumpfile's flattened format, which QEMU's compressed dumps and dumps over a pipe have: a header of one page,
 * then (offset, size, bytes) records, big-endian, that say where the bytes belong in the file they stand for.
 */
import { hex } from "../../check.ts";
import { type ByteSource, readStructure, refuseAt } from "./bytes.ts";
import { IndexTable } from "./index-table.ts";

/** Byte offsets in the file's header. */
enum HEADER {
  TYPE = 16,
  VERSION = 24,
  BYTES = 4096,
}

/** Byte offsets in a record. */
enum RECORD {
  OFFSET = 0,
  SIZE = 8,
  BYTES = 16,
}

/** Both numbers of the record that ends the file. */
const END = -1n;
const MAX_RECORDS = 2 ** 22;

export class FlattenedBytes implements ByteSource {
  readonly name: string;
  readonly size: number;
  readonly #source: ByteSource;
  /** By offset in the file that is stood for: where the bytes lie in this one, how many there are. */
  readonly #records: IndexTable;

  /** @throws InputError for a torn file */
  constructor(source: ByteSource) {
    this.name = source.name;
    this.#source = source;
    const header = readStructure(source, 0, HEADER.BYTES, "the header of the flattened format");
    for (const at of [HEADER.TYPE, HEADER.VERSION]) {
      if (header.getBigInt64(at) !== 1n) refuseAt(source, at, "not version 1 of the flattened format");
    }
    this.#records = arrange(source, readRecords(source));
    const { rows } = this.#records;
    const [start, , size] = rows === 0 ? [0, 0, 0] : this.#records.row(rows - 1);
    this.size = start + size;
  }

  /** Bytes that no record holds are 0, as in the sparse file that makedumpfile would write. */
  read(offset: number, length: number): Uint8Array {
    const out = new Uint8Array(length);
    for (let i = this.#records.find(offset); i < this.#records.rows; i++) {
      const [start, place, size] = this.#records.row(i);
      if (start >= offset + length) break;
      const from = Math.max(start, offset);
      const to = Math.min(start + size, offset + length);
      if (from < to) out.set(this.#source.read(place + from - start, to - from), from - offset);
    }
    return out;
  }
}

function readRecords(source: ByteSource): IndexTable {
  const records = new IndexTable();
  for (let at: number = HEADER.BYTES; ; ) {
    const record = readStructure(source, at, RECORD.BYTES, "a record of the flattened format");
    const start = record.getBigInt64(RECORD.OFFSET);
    const size = record.getBigInt64(RECORD.SIZE);
    if (start === END && size === END) return records;
    if (start < 0n || size <= 0n || start + size > BigInt(Number.MAX_SAFE_INTEGER)) {
      refuseAt(source, at, `a record of ${hex(size)} bytes for offset ${hex(start)}, which no file reaches`);
    }
    const offset = at + RECORD.BYTES;
    if (BigInt(offset) + size > BigInt(source.size)) {
      refuseAt(source, at, `a record of ${hex(size)} bytes, the file ends at ${hex(source.size)}`);
    }
    if (records.rows === MAX_RECORDS) refuseAt(source, at, `more than ${MAX_RECORDS} records`);
    records.add(Number(start), offset, Number(size));
    at = offset + Number(size);
  }
}

/** In order; a header that was written twice counts as it was written last. */
function arrange(source: ByteSource, records: IndexTable): IndexTable {
  const order = records.order();
  const out = new IndexTable();
  for (const [i, index] of order.entries()) {
    const [start, place, size] = records.row(index);
    const following = order[i + 1];
    const next = following === undefined ? undefined : records.row(following);
    if (next && start + size > next[0]) {
      if (next[0] === start && next[2] === size) continue;
      refuseAt(
        source,
        next[1] - RECORD.BYTES,
        `a record for offset ${hex(next[0])} overlaps the one at ${hex(place - RECORD.BYTES)}`,
      );
    }
    out.add(start, place, size);
  }
  return out;
}
