/** Snappy, one block (google/snappy, format_description.txt). Written for hostile input: every length is checked. */

/** What is wrong with compressed bytes. */
export class CorruptData extends Error {}

enum ELEMENT {
  LITERAL = 0,
  COPY_1 = 1,
  COPY_2 = 2,
}

/** Literals longer than 60 say how many bytes their length takes. */
const SHORT_LITERAL = 60;

/** Little-endian number of up to four bytes. @throws CorruptData past the end */
function little(data: Uint8Array, at: number, bytes: number): number {
  if (at + bytes > data.length) throw new CorruptData("Snappy: the data ends within an element");
  let value = 0;
  for (let i = bytes - 1; i >= 0; i--) value = value * 256 + (data[at + i] as number);
  return value;
}

/** @throws CorruptData unless it is a block of exactly `size` bytes */
export function snappyDecompress(data: Uint8Array, size: number): Uint8Array {
  const said = snappySize(data);
  if (said.size !== size) throw new CorruptData(`Snappy: ${said.size} bytes where ${size} belong`);
  const out = new Uint8Array(size);
  let at = said.end;
  let done = 0;
  while (at < data.length) {
    const tag = data[at++] as number;
    const upper = Math.floor(tag / 4);
    const element = tag % 4;
    if (element === ELEMENT.LITERAL) {
      const extra = upper < SHORT_LITERAL ? 0 : upper - SHORT_LITERAL + 1;
      const length = (extra === 0 ? upper : little(data, at, extra)) + 1;
      at += extra;
      if (at + length > data.length || done + length > size) throw new CorruptData("Snappy: a literal is too long");
      out.set(data.subarray(at, at + length), done);
      at += length;
      done += length;
      continue;
    }
    const bytes = element === ELEMENT.COPY_1 ? 1 : element === ELEMENT.COPY_2 ? 2 : 4;
    const near = element === ELEMENT.COPY_1;
    const length = near ? 4 + (upper % 8) : upper + 1;
    const distance = little(data, at, bytes) + (near ? Math.floor(upper / 8) * 256 : 0);
    at += bytes;
    copyBack(out, done, distance, length, "Snappy");
    done += length;
  }
  if (done !== size) throw new CorruptData(`Snappy: ${done} of ${size} bytes`);
  return out;
}

/** The uncompressed length that a block begins with, seven bits a byte, and where it ends. @throws CorruptData */
export function snappySize(data: Uint8Array): { size: number; end: number } {
  let size = 0;
  for (let at = 0; at < Math.min(5, data.length); at++) {
    const byte = data[at] as number;
    size += (byte % 128) * 128 ** at;
    if (byte < 128) return { size, end: at + 1 };
  }
  throw new CorruptData("Snappy: no length");
}

/** Repeats what lies `distance` back; they may overlap. @throws CorruptData when there is no such */
export function copyBack(out: Uint8Array, at: number, distance: number, length: number, format: string): void {
  if (distance === 0 || distance > at) throw new CorruptData(`${format}: a copy from before the beginning`);
  if (at + length > out.length) throw new CorruptData(`${format}: a copy is too long`);
  if (distance >= length) out.copyWithin(at, at - distance, at - distance + length);
  else for (let i = 0; i < length; i++) out[at + i] = out[at + i - distance] as number;
}
