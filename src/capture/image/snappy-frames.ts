/**
 * Snappy streams (google/snappy, framing_format.txt) that lie in a file, as the bytes they stand for.
 *
 * Only the chunks' headers are read at first; a chunk of up to 64 KiB is unpacked when a byte of it is asked for.
 */
import { hex } from "../../check.ts";
import { type ByteSource, refuseAt, requireBytes } from "./bytes.ts";
import { IndexTable } from "./index-table.ts";
import { RecentMap } from "./recent.ts";
import { CorruptData, snappyDecompress, snappySize } from "./snappy.ts";

enum CHUNK {
  COMPRESSED = 0x00,
  UNCOMPRESSED = 0x01,
  FIRST_SKIPPABLE = 0x80,
}

const HEADER_BYTES = 4;
const CHECKSUM_BYTES = 4;
/** Up to the unpacked length, which takes five bytes at most. */
const HEAD_BYTES = HEADER_BYTES + CHECKSUM_BYTES + 5;
const MAX_CHUNK = 65536;
/** Unpacked chunks kept: 16 to 32 MiB. */
const RECENT_CHUNKS = 256;
/** 256 GiB of memory. */
const MAX_CHUNKS = 2 ** 22;

export class SnappyFrames implements ByteSource {
  readonly name: string;
  readonly #source: ByteSource;
  readonly #recent = new RecentMap<number, Uint8Array>(RECENT_CHUNKS);
  /** By place among the unpacked bytes: where the data lies in the file, how long it is (negative: not compressed). */
  readonly #chunks = new IndexTable();
  #headers = 0;
  #size = 0;

  constructor(source: ByteSource) {
    this.name = source.name;
    this.#source = source;
  }

  /** Bytes of all streams indexed so far. */
  get size(): number {
    return this.#size;
  }

  /**
   * Adds the stream at `offset` of the file, which holds `bytes` bytes.
   * @returns where it begins among the unpacked bytes, and where it ends in the file
   * @throws InputError for a torn stream, or one with another number of bytes
   */
  index(offset: number, bytes: number): { start: number; end: number } {
    const start = this.#size;
    let at = offset;
    while (this.#size - start < bytes) at = this.#indexChunk(at, bytes - (this.#size - start));
    return { start, end: at };
  }

  read(offset: number, length: number): Uint8Array {
    const out = new Uint8Array(length);
    for (let at = 0; at < length; ) {
      const chunk = this.#chunks.find(offset + at);
      const within = offset + at - this.#chunks.row(chunk)[0];
      const part = this.#unpack(chunk).subarray(within, within + length - at);
      out.set(part, at);
      at += part.length;
    }
    return out;
  }

  /** @returns where the next chunk is */
  #indexChunk(at: number, most: number): number {
    const source = this.#source;
    if (++this.#headers > MAX_CHUNKS) refuseAt(source, at, `more than ${MAX_CHUNKS} Snappy chunks`);
    requireBytes(source, at, HEADER_BYTES, "a Snappy chunk's header");
    // With it comes what tells the size: one read a chunk is what indexing takes.
    const head = source.read(at, Math.min(HEAD_BYTES, source.size - at));
    const [type = 0, low = 0, middle = 0, high = 0] = head;
    const length = low + 256 * middle + 65536 * high;
    const data = at + HEADER_BYTES;
    if (data + length > source.size) {
      refuseAt(source, at, `a Snappy chunk of ${hex(length)} bytes, the file ends at ${hex(source.size)}`);
    }
    if (type >= CHUNK.FIRST_SKIPPABLE) return data + length;
    if (type > CHUNK.UNCOMPRESSED) refuseAt(source, at, `a Snappy chunk of unknown type ${hex(type)}`);
    if (length <= CHECKSUM_BYTES) refuseAt(source, at, `a Snappy chunk of ${length} bytes`);
    const packed = length - CHECKSUM_BYTES;
    const compressed = type === CHUNK.COMPRESSED;
    const size = compressed ? this.#unpackedSize(at, head.subarray(HEADER_BYTES + CHECKSUM_BYTES)) : packed;
    const room = Math.min(MAX_CHUNK, most);
    if (size === 0 || size > room)
      refuseAt(source, at, `a Snappy chunk of ${hex(size)} bytes where at most ${hex(room)} belong`);
    this.#chunks.add(this.#size, data + CHECKSUM_BYTES, compressed ? packed : -packed);
    this.#size += size;
    return data + length;
  }

  #unpackedSize(at: number, data: Uint8Array): number {
    return this.#corrupt(at, () => snappySize(data).size);
  }

  #unpack(chunk: number): Uint8Array {
    const recent = this.#recent.get(chunk);
    if (recent) return recent;
    const [start, offset, length] = this.#chunks.row(chunk);
    const size = (chunk + 1 < this.#chunks.rows ? this.#chunks.row(chunk + 1)[0] : this.#size) - start;
    const data = this.#source.read(offset, Math.abs(length));
    const bytes = length < 0 ? data : this.#corrupt(offset, () => snappyDecompress(data, size));
    this.#recent.set(chunk, bytes);
    return bytes;
  }

  #corrupt<T>(offset: number, unpack: () => T): T {
    try {
      return unpack();
    } catch (error) {
      if (error instanceof CorruptData) refuseAt(this.#source, offset, error.message);
      throw error;
    }
  }
}
