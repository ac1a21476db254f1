/** A BAR full of registers: accesses of any length as the 32 and 64-bit accesses that registers know. */

export interface RegisterBlock {
  read(offset: number, bytes: 4 | 8): bigint;
  write(offset: number, bytes: 4 | 8, value: bigint): void;
}

const WORD = 4;
const LONG = 8;

/**
 * Reads registers. A lone aligned 64-bit access stays one; anything else is cut into 32-bit words, and what
 * does not fill an aligned word reads as the word's bytes.
 */
export function readRegisters(block: RegisterBlock, offset: number, into: Uint8Array): void {
  const view = new DataView(into.buffer, into.byteOffset, into.byteLength);
  if (into.length === LONG && offset % LONG === 0) {
    view.setBigUint64(0, block.read(offset, LONG), true);
    return;
  }
  const end = offset + into.length;
  const word = new DataView(new ArrayBuffer(WORD));
  for (let at = offset - (offset % WORD); at < end; at += WORD) {
    word.setUint32(0, Number(block.read(at, WORD)), true);
    for (let i = 0; i < WORD; i++) if (at + i >= offset && at + i < end) into[at + i - offset] = word.getUint8(i);
  }
}

/** Writes registers. What does not fill an aligned 32-bit word is ignored: there are no narrower registers. */
export function writeRegisters(block: RegisterBlock, offset: number, data: Uint8Array): void {
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  if (data.length === LONG && offset % LONG === 0) {
    block.write(offset, LONG, view.getBigUint64(0, true));
    return;
  }
  const first = (WORD - (offset % WORD)) % WORD;
  for (let at = first; at + WORD <= data.length; at += WORD) {
    block.write(offset + at, WORD, BigInt(view.getUint32(at, true)));
  }
}
