/**
 * Reads, writes and describes any structure of `assembly/layout` outside of Wasm.
 *
 * A layout is an enum whose members are fields, `msb << 16 | lsb`, absolute within the structure.
 * Values are bigints: this is where people and tests look.
 */
import { checkBigInt } from "./check.ts";

/** A layout enum: field names to encoded fields (and, as TypeScript emits them, the way back). */
export type Layout = Readonly<Record<string, string | number>>;

export interface FieldInfo {
  name: string;
  /** As the layout gives it. */
  field: number;
  msb: number;
  lsb: number;
}

export interface FieldValue extends FieldInfo {
  value: bigint;
}

/** Fields of a layout, in the order of the enum. */
export function fieldsOf(layout: Layout): FieldInfo[] {
  const fields: FieldInfo[] = [];
  for (const [name, field] of Object.entries(layout)) {
    if (typeof field === "number") fields.push({ name, field, msb: msbOf(field), lsb: lsbOf(field) });
  }
  return fields;
}

const msbOf = (field: number): number => field >>> 16;
const lsbOf = (field: number): number => field & 0xffff;

/** Ones over a field's place in a structure that is one number. */
export function maskOf(field: number): bigint {
  return ((1n << BigInt(msbOf(field) - lsbOf(field) + 1)) - 1n) << BigInt(lsbOf(field));
}

/** Value of a field of a structure that is one number of any width, shifted down to bit 0. */
export function getBits(value: bigint, field: number): bigint {
  return (value & maskOf(field)) >> BigInt(lsbOf(field));
}

/** `value` with a field replaced. @throws RangeError when `bits` is wider than the field */
export function putBits(value: bigint, field: number, bits: bigint | number | boolean): bigint {
  const mask = maskOf(field);
  const shift = BigInt(lsbOf(field));
  checkBigInt(`bits ${msbOf(field)}:${lsbOf(field)}`, BigInt(bits), 0n, mask >> shift);
  return (value & ~mask) | (BigInt(bits) << shift);
}

/** Value of a field, shifted down to bit 0; a word not given counts as 0. */
export function getField(words: readonly bigint[], field: number): bigint {
  const msb = msbOf(field);
  const lsb = lsbOf(field);
  const word = words[lsb >> 6] ?? 0n;
  return (word >> BigInt(lsb & 63)) & ((1n << BigInt(msb - lsb + 1)) - 1n);
}

/** Value of a field left at its place in its 64-bit word: an address field yields the address. */
export function getInPlace(words: readonly bigint[], field: number): bigint {
  return getField(words, field) << BigInt(field & 63);
}

/** Replaces a field in `words`. @throws RangeError when the value is wider than the field */
export function setField(words: bigint[], field: number, value: bigint | number | boolean): void {
  const msb = msbOf(field);
  const lsb = lsbOf(field);
  const ones = (1n << BigInt(msb - lsb + 1)) - 1n;
  const bits = checkBigInt(`bits ${msb}:${lsb}`, BigInt(value), 0n, ones);
  const shift = BigInt(lsb & 63);
  const at = lsb >> 6;
  words[at] = ((words[at] ?? 0n) & ~(ones << shift)) | (bits << shift);
}

/** Replaces a field by an address that lies in place. @throws RangeError when other bits are set */
export function setInPlace(words: bigint[], field: number, address: bigint): void {
  const shift = BigInt(field & 63);
  if (address & ((1n << shift) - 1n)) {
    throw new RangeError(`address: 0x${address.toString(16)} is not aligned to bit ${shift}`);
  }
  setField(words, field, address >> shift);
}

/** `count` words with the given fields set, the rest 0. */
export function build(
  layout: Layout,
  count: number,
  values: Readonly<Record<string, bigint | number | boolean>>,
): bigint[] {
  const words = new Array<bigint>(count).fill(0n);
  for (const [name, value] of Object.entries(values)) {
    const field = layout[name];
    if (typeof field !== "number") throw new TypeError(`${name}: no such field`);
    setField(words, field, value);
  }
  return words;
}

/** Every field with its value. */
export function describe(layout: Layout, words: readonly bigint[]): FieldValue[] {
  return fieldsOf(layout).map((info) => ({ ...info, value: getField(words, info.field) }));
}

/** Ones over the places of `fields`, as `count` words. */
export function maskWords(fields: readonly number[], count: number): bigint[] {
  const masks = new Array<bigint>(count).fill(0n);
  for (const field of fields) {
    const at = lsbOf(field) >> 6;
    masks[at] = (masks[at] ?? 0n) | (maskOf(field) >> BigInt(at * 64));
  }
  return masks;
}

/** Bits of `words` that no field of the layout names, as one mask a word. */
export function unnamedBits(layout: Layout, words: readonly bigint[]): bigint[] {
  const fields = Object.values(layout).filter((field) => typeof field === "number");
  const named = maskWords(fields, words.length);
  return words.map((word, i) => word & ~(named[i] as bigint));
}
