/** Bytes as structures and text. */

export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** Stores ASCII characters. */
export function text(bytes: Uint8Array, at: number, characters: string): void {
  for (let i = 0; i < characters.length; i++) bytes[at + i] = characters.charCodeAt(i);
}

/** A little-endian 32-bit word. */
export function dword(value: number): Uint8Array {
  const bytes = new Uint8Array(4);
  viewOf(bytes).setUint32(0, value, true);
  return bytes;
}
