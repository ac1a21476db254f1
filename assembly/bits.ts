/**
 * Fields of structures in linear memory.
 *
 * A field is `msb << 16 | lsb`, absolute within its structure, as the specifications print it. With a
 * constant field everything below folds to one load, one shift and one mask.
 */

/** Value of a field of the structure at `ptr`, shifted down to bit 0. */
// @ts-ignore: decorator
@inline
export function read(ptr: usize, field: i32): u64 {
  return (load<u64>(ptr + <usize>(((field & 0xffff) >> 6) << 3)) >> (<u64>field & 63)) & ones(field);
}

/** Value of a field, left at its place within its 64-bit word: an address field yields the address. */
// @ts-ignore: decorator
@inline
export function readInPlace(ptr: usize, field: i32): u64 {
  return load<u64>(ptr + <usize>(((field & 0xffff) >> 6) << 3)) & mask(field);
}

/** The 64-bit word of the structure at `ptr` that holds a field. */
// @ts-ignore: decorator
@inline
export function word(ptr: usize, field: i32): u64 {
  return load<u64>(ptr + <usize>(((field & 0xffff) >> 6) << 3));
}

/** Whether any of the four words at `ptr` has a bit set that the mask of that word, at `masks`, has. */
// @ts-ignore: decorator
@inline
export function meets4(ptr: usize, masks: usize): bool {
  const low = v128.and(v128.load(ptr), v128.load(masks));
  return v128.any_true(v128.or(low, v128.and(v128.load(ptr, 16), v128.load(masks, 16))));
}

/** The same of eight words. */
// @ts-ignore: decorator
@inline
export function meets8(ptr: usize, masks: usize): bool {
  const low = v128.and(v128.load(ptr), v128.load(masks));
  const high = v128.and(v128.load(ptr, 32), v128.load(masks, 32));
  const lower = v128.or(low, v128.and(v128.load(ptr, 16), v128.load(masks, 16)));
  const upper = v128.or(high, v128.and(v128.load(ptr, 48), v128.load(masks, 48)));
  return v128.any_true(v128.or(lower, upper));
}

/** Element `index` of an array of 64-bit words. */
// @ts-ignore: decorator
@inline
export function element(array: usize, index: u32): u64 {
  return load<u64>(array + (<usize>index << 3));
}

/** Replaces element `index` of an array of 64-bit words. */
// @ts-ignore: decorator
@inline
export function setElement(array: usize, index: u32, value: u64): void {
  store<u64>(array + (<usize>index << 3), value);
}

/** Value of a field of a 64-bit entry already loaded, shifted down to bit 0. */
// @ts-ignore: decorator
@inline
export function get(entry: u64, field: i32): u64 {
  return (entry >> (<u64>field & 63)) & ones(field);
}

/** Whether a one-bit field of a 64-bit entry is set. */
// @ts-ignore: decorator
@inline
export function has(entry: u64, field: i32): bool {
  return (entry & mask(field)) != 0;
}

/** The value of a field at its place in a 64-bit entry, all else 0: to be ORed together. */
// @ts-ignore: decorator
@inline
export function place(field: i32, value: u64): u64 {
  return (value << (<u64>field & 63)) & mask(field);
}

/** The value of field `from` at the place of field `to`, all else 0. */
// @ts-ignore: decorator
@inline
export function moved(entry: u64, from: i32, to: i32): u64 {
  const by = (to & 63) - (from & 63);
  return (by < 0 ? entry >> <u64>-by : entry << <u64>by) & mask(to);
}

/** `entry` with a field replaced. */
// @ts-ignore: decorator
@inline
export function put(entry: u64, field: i32, value: u64): u64 {
  return (entry & ~mask(field)) | ((value << (<u64>field & 63)) & mask(field));
}

/** Ones over the field's place within its 64-bit word. */
// @ts-ignore: decorator
@inline
export function mask(field: i32): u64 {
  return ones(field) << (<u64>field & 63);
}

/** As many ones as the field is wide. */
// @ts-ignore: decorator
@inline
export function ones(field: i32): u64 {
  return <u64>-1 >> <u64>(63 - ((field >> 16) - (field & 0xffff)));
}

/** `a && b` without a branch: for what is cheaper to work out than to jump over. */
// @ts-ignore: decorator
@inline
export function both(a: bool, b: bool): bool {
  return <bool>(<i32>a & <i32>b);
}

/** `a || b` without a branch. */
// @ts-ignore: decorator
@inline
export function either(a: bool, b: bool): bool {
  return <bool>(<i32>a | <i32>b);
}

/** Ones over bits [msb:lsb] of a 64-bit word; 0 when msb < lsb. */
// @ts-ignore: decorator
@inline
export function span(msb: i32, lsb: i32): u64 {
  return msb < lsb ? 0 : (<u64>-1 >> <u64>(63 - (msb - lsb))) << <u64>lsb;
}

/** `value`, or all its bits inverted if it is negative: how far it lies from the end of its half. */
// @ts-ignore: decorator
@inline
export function folded(value: u64): u64 {
  return value ^ <u64>(<i64>value >> 63);
}

/** 2^n - 1 for n in 0..64. */
// @ts-ignore: decorator
@inline
export function below(n: i32): u64 {
  return n >= 64 ? <u64>-1 : (<u64>1 << <u64>n) - 1;
}
