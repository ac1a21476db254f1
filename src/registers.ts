/**
 * RegisterFile: memory-mapped registers as a table of rows.
 *
 * A row says what a register is: place, width, reset value, which bits software may write and how.
 * Only a register that does something has code, its `effect`. The table that serves accesses also
 * checks itself (overlaps are an error) and prints itself (`describe`).
 *
 * Accesses are little-endian. A 64-bit access to anything but one 64-bit piece of a register is made
 * as two of 32 bits, low half first, as buses do. What is no aligned access of 32 or 64 bits reads 0
 * and writes nothing; so do addresses where there is no register.
 */
import { checkBigInt, checkInteger, hex } from "./check.ts";
import type { Json } from "./snapshot.ts";
import { fieldsOf, getBits, type Layout, maskOf, putBits } from "./structure.ts";

/** What a write did to a register. */
export interface RegisterWrite {
  /** As software wrote it, at its place; bits outside of `mask` are 0. */
  value: bigint;
  /** Ones over the bytes that the access covered. */
  mask: bigint;
  /** The register before, and now. */
  before: bigint;
  after: bigint;
}

export interface Register<Name extends string = string> {
  name: Name;
  /** Bytes from the start of the file. */
  offset: number;
  bits: 32 | 64 | 128;
  /** What it is, in a few words. */
  title?: string;
  /** Its fields; for reading only, access comes from the masks below. */
  layout?: Layout;
  /** Value after a cold reset; 0 unless told. Bits in no mask are read-only and stay as they are. */
  reset?: bigint;
  /** Bits that software reads and writes. */
  rw?: bigint;
  /** Bits that software clears by writing 1. */
  rw1c?: bigint;
  /** Bits that software writes and reads as 0. */
  wo?: bigint;
  /** Bits that a warm reset leaves alone. */
  sticky?: bigint;
  /**
   * Bits of `rw` that software cannot write at the moment (a queue's base while the queue is enabled).
   * Told what the access writes, and the register before it.
   */
  locked?(written: bigint, before: bigint): bigint;
  /** Runs after the write took effect on the stored value. */
  effect?(write: RegisterWrite): void;
  /** Runs before a read: what hardware brings up to date for the reader. */
  refresh?(): void;
}

/** Registers with state of their own that are mounted into somebody else's file. */
export interface RegisterFragment {
  /** Rows of the file. Their effects may use `file` once `mount` has given it to them. */
  readonly registers: readonly Register[];
  /** Called once, when the file that holds the rows is there. */
  mount(file: RegisterFile): void;
  /** After the file's own reset. */
  reset(kind: ResetKind): void;
  /** State that is not in the registers; plain JSON. */
  snapshot(): Json;
  /** @throws RangeError, and changes nothing, when `state` does not fit */
  restore(state: Json): void;
}

export interface RegisterFileOptions {
  /** Size of the file in bytes; accesses beyond read 0. */
  bytes: number;
}

/** "cold": power-good reset, everything; "warm": sticky bits survive. */
export type ResetKind = "cold" | "warm";

export interface RegisterFieldInfo {
  name: string;
  msb: number;
  lsb: number;
  access: string;
  value: bigint;
}

export interface RegisterInfo {
  name: string;
  offset: number;
  bits: number;
  title: string;
  access: string;
  reset: bigint;
  value: bigint;
  fields: RegisterFieldInfo[];
}

interface Row<Name extends string> {
  readonly register: Register<Name>;
  readonly rw: bigint;
  readonly rw1c: bigint;
  readonly wo: bigint;
  readonly sticky: bigint;
  value: bigint;
}

const DWORD = 4;
const QWORD = 8;
const BYTE_BITS = 8;
const DWORD_ONES = 0xffff_ffffn;

export class RegisterFile<Name extends string = string> {
  /** Size in bytes. */
  readonly bytes: number;
  readonly #rows = new Map<string, Row<Name>>();
  /** By dword index. */
  readonly #at = new Map<number, Row<Name>>();

  /** @throws RangeError for a malformed row, and for rows that overlap, naming them */
  constructor(registers: readonly Register<Name>[], options: RegisterFileOptions) {
    this.bytes = checkInteger("bytes", options.bytes, DWORD, 2 ** 31);
    for (const register of registers) this.#add(register);
  }

  #add(register: Register<Name>): void {
    const { name, offset, bits, rw = 0n, rw1c = 0n, wo = 0n, sticky = 0n, reset = 0n } = register;
    const ones = onesOf(bits);
    const size = bits / BYTE_BITS;
    checkInteger(`${name}.offset`, offset, 0, this.bytes - size);
    if (offset % Math.min(size, QWORD)) throw new RangeError(`${name}: offset ${hex(offset)} is not aligned`);
    for (const [what, mask] of Object.entries({ reset, rw, rw1c, wo, sticky }))
      checkBigInt(`${name}.${what}`, mask, 0n, ones);
    if ((rw & rw1c) | (rw & wo) | (rw1c & wo)) throw new RangeError(`${name}: a bit is in two of rw, rw1c and wo`);
    for (const field of fieldsOf(register.layout ?? {})) {
      if (field.msb >= bits) throw new RangeError(`${name}.${field.name}: bit ${field.msb} of a ${bits}-bit register`);
    }
    if (this.#rows.has(name)) throw new RangeError(`${name}: named twice`);
    const row = { register, rw, rw1c, wo, sticky, value: reset };
    for (let at = offset; at < offset + size; at += DWORD) {
      const other = this.#at.get(at / DWORD);
      if (other) {
        throw new RangeError(
          `${name} at ${hex(offset)} overlaps ${other.register.name} at ${hex(other.register.offset)}`,
        );
      }
      this.#at.set(at / DWORD, row);
    }
    this.#rows.set(name, row);
  }

  /** Names of all registers. */
  get names(): ReadonlySet<string> {
    return new Set(this.#rows.keys());
  }

  /** What software reads; never throws for any offset, size or alignment. */
  read(offset: number, bytes: number): bigint {
    if (!isAligned(offset, bytes)) return 0n;
    const row = this.#at.get(offset / DWORD);
    if (bytes === QWORD && !this.#isOnePiece(row, offset)) {
      return this.read(offset, DWORD) | (this.read(offset + DWORD, DWORD) << BigInt(DWORD * BYTE_BITS));
    }
    if (!row) return 0n;
    row.register.refresh?.();
    return ((row.value & ~row.wo) >> shiftOf(row, offset)) & onesOf(bytes * BYTE_BITS);
  }

  /** What software writes; never throws for any offset, size or alignment. */
  write(offset: number, bytes: number, value: bigint): void {
    if (!isAligned(offset, bytes)) return;
    const row = this.#at.get(offset / DWORD);
    if (bytes === QWORD && !this.#isOnePiece(row, offset)) {
      this.write(offset, DWORD, value & DWORD_ONES);
      this.write(offset + DWORD, DWORD, (value >> BigInt(DWORD * BYTE_BITS)) & DWORD_ONES);
      return;
    }
    if (!row) return;
    const ones = onesOf(bytes * BYTE_BITS);
    const shift = shiftOf(row, offset);
    const mask = ones << shift;
    const written = (value & ones) << shift;
    const before = row.value;
    const locked = row.register.locked?.(written, before) ?? 0n;
    const writable = ((row.rw & ~locked) | row.wo) & mask;
    row.value = (before & ~writable & ~(written & row.rw1c)) | (written & writable);
    row.register.effect?.({ value: written, mask, before, after: row.value });
  }

  /** The stored value, write-only bits included: hardware's view. */
  get(name: Name): bigint {
    return this.#row(name).value;
  }

  /** Stores a value, whatever software may write: hardware's view. No effect runs. */
  set(name: Name, value: bigint): void {
    const row = this.#row(name);
    row.value = checkBigInt(name, value, 0n, onesOf(row.register.bits));
  }

  /** A field of the stored value, shifted down. `field` is `msb << 16 | lsb`. */
  getField(name: Name, field: number): bigint {
    return getBits(this.#row(name).value, field);
  }

  /** A field of the stored value, left at its place: an address field yields the address. */
  getInPlace(name: Name, field: number): bigint {
    return this.#row(name).value & maskOf(field);
  }

  /** Whether any bit of the field is set in the stored value. */
  has(name: Name, field: number): boolean {
    return this.getInPlace(name, field) !== 0n;
  }

  /** Replaces a field of the stored value; no effect runs. */
  setField(name: Name, field: number, value: bigint | number | boolean): void {
    const row = this.#row(name);
    row.value = putBits(row.value, field, value);
  }

  /** Reset values everywhere, except for sticky bits in a warm reset. No effect runs. */
  reset(kind: ResetKind): void {
    for (const row of this.#rows.values()) {
      const kept = kind === "warm" ? row.sticky : 0n;
      row.value = (row.value & kept) | ((row.register.reset ?? 0n) & ~kept);
    }
  }

  /** Every stored value, by name, in hex. */
  snapshot(): Record<string, string> {
    return Object.fromEntries([...this.#rows.values()].map(({ register, value }) => [register.name, hex(value)]));
  }

  /** Takes back what `snapshot` gave. @throws RangeError, and changes nothing, when it does not fit this file */
  restore(values: Readonly<Record<string, string>>): void {
    const unknown = Object.keys(values).find((name) => !this.#rows.has(name));
    if (unknown !== undefined) throw new RangeError(`snapshot: there is no register ${unknown}`);
    const parsed = [...this.#rows.values()].map((row) => {
      const text = values[row.register.name];
      if (!/^0x[0-9a-f]+$/.test(text ?? "")) throw new RangeError(`snapshot: no value for ${row.register.name}`);
      return checkBigInt(`snapshot: ${row.register.name}`, BigInt(text as string), 0n, onesOf(row.register.bits));
    });
    [...this.#rows.values()].forEach((row, i) => {
      row.value = parsed[i] as bigint;
    });
  }

  /** The table as data, ascending by offset, with the present values. */
  table(): RegisterInfo[] {
    const rows = [...this.#rows.values()].sort((a, b) => a.register.offset - b.register.offset);
    return rows.map((row) => {
      const { name, offset, bits, title = "", reset = 0n, layout = {} } = row.register;
      const fields = fieldsOf(layout).map(({ name, msb, lsb }) => {
        const ones = onesOf(msb - lsb + 1);
        const access = accessOf(row, ones << BigInt(lsb));
        return { name, msb, lsb, access, value: (row.value >> BigInt(lsb)) & ones };
      });
      return { name, offset, bits, title, access: accessOf(row, onesOf(bits)), reset, value: row.value, fields };
    });
  }

  /** The table as text: a line a register, an indented line a field. */
  describe(): string {
    const lines = this.table().flatMap(({ name, offset, bits, title, access, value, fields }) => [
      `${hex(offset, 4)} ${name.padEnd(12)} ${String(bits).padStart(3)} ${access.padEnd(8)} ${hex(value, bits / 4)}  ${title}`.trimEnd(),
      ...fields.map(
        (field) =>
          `       ${`${field.msb}${field.msb === field.lsb ? "" : `:${field.lsb}`}`.padStart(7)} ${field.name.padEnd(10)} ${field.access.padEnd(5)} ${hex(field.value)}`,
      ),
    ]);
    return lines.join("\n");
  }

  #row(name: Name): Row<Name> {
    const row = this.#rows.get(name);
    if (!row) throw new RangeError(`name: there is no register ${name}`);
    return row;
  }

  /** Whether the eight bytes at `offset` are one aligned piece of one register. */
  #isOnePiece(row: Row<Name> | undefined, offset: number): boolean {
    return (
      row !== undefined && row === this.#at.get(offset / DWORD + 1) && (offset - row.register.offset) % QWORD === 0
    );
  }
}

/** An aligned access of 32 or 64 bits. */
function isAligned(offset: number, bytes: number): boolean {
  return (bytes === DWORD || bytes === QWORD) && offset >= 0 && offset % bytes === 0;
}

function shiftOf(row: Row<string>, offset: number): bigint {
  return BigInt((offset - row.register.offset) * BYTE_BITS);
}

function onesOf(bits: number): bigint {
  return (1n << BigInt(bits)) - 1n;
}

/** RW, RW1C, WO, RO or several of them joined by "/", for the bits of `mask`. */
function accessOf(row: Row<string>, mask: bigint): string {
  const kinds: [string, bigint][] = [
    ["RW", row.rw & mask],
    ["RW1C", row.rw1c & mask],
    ["WO", row.wo & mask],
  ];
  const names = kinds.filter(([, bits]) => bits !== 0n).map(([name]) => name);
  const sticky = row.sticky & mask ? "S" : "";
  return (names.length ? names.join("/") : "RO") + sticky;
}
