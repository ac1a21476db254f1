/**
 * Words of a memory that several threads use, read and written whole and in order: a DataView may do so
 * byte by byte.
 */

export interface WholeWords {
  readonly buffer: ArrayBufferLike;
  readonly u16: Uint16Array;
  readonly u32: Uint32Array;
  readonly u64: BigUint64Array;
}

export function wholeWords(buffer: ArrayBufferLike): WholeWords {
  return { buffer, u16: new Uint16Array(buffer), u32: new Uint32Array(buffer), u64: new BigUint64Array(buffer) };
}

/** What the word at `ptr` holds now; bytes that are no aligned word are read as they are. */
export function loadWhole({ buffer, u16, u32, u64 }: WholeWords, ptr: number, bytes: number): DataView {
  if (bytes === 1 || ptr % bytes) return new DataView(buffer, ptr, bytes);
  const view = new DataView(new ArrayBuffer(bytes));
  if (bytes === 8) view.setBigUint64(0, Atomics.load(u64, ptr / bytes), true);
  else if (bytes === 4) view.setUint32(0, Atomics.load(u32, ptr / bytes), true);
  else view.setUint16(0, Atomics.load(u16, ptr / bytes), true);
  return view;
}

/** Stores what `fill` puts in a view of `bytes` bytes. */
export function storeWhole(words: WholeWords, ptr: number, bytes: number, fill: (view: DataView) => void): void {
  const { buffer, u16, u32, u64 } = words;
  if (bytes === 1 || ptr % bytes) {
    fill(new DataView(buffer, ptr, bytes));
    return;
  }
  const view = new DataView(new ArrayBuffer(bytes));
  fill(view);
  if (bytes === 8) Atomics.store(u64, ptr / bytes, view.getBigUint64(0, true));
  else if (bytes === 4) Atomics.store(u32, ptr / bytes, view.getUint32(0, true));
  else Atomics.store(u16, ptr / bytes, view.getUint16(0, true));
}
