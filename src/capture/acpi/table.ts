/** ACPI tables: the header they share, read from a binary or from acpidump's text. Nothing is trusted. */
import { InputError } from "../input.ts";

/** A node of the tree that a table becomes. */
export interface AcpiNode {
  title: string;
  /** Byte offset in the table. */
  offset: number;
  fields: [name: string, value: string][];
  children: AcpiNode[];
}

export interface AcpiFinding {
  /** Byte offset in the table. */
  offset: number;
  problem: string;
  /** Why it matters. */
  why: string;
}

export interface AcpiTable {
  signature: "DMAR" | "IORT";
  root: AcpiNode;
  findings: AcpiFinding[];
}

export const HEADER_BYTES = 36;

enum HEADER {
  LENGTH = 4,
  REVISION = 8,
  OEM_ID = 10,
  OEM_TABLE = 16,
}

/** Bytes of a table with bounds that are checked: what lies outside is an InputError. */
export class Bytes {
  readonly file: string;
  readonly length: number;
  readonly #view: DataView;

  constructor(file: string, data: Uint8Array) {
    this.file = file;
    this.length = data.length;
    this.#view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  }

  u8(at: number): number {
    return this.#at(at, 1).getUint8(at);
  }
  u16(at: number): number {
    return this.#at(at, 2).getUint16(at, true);
  }
  u32(at: number): number {
    return this.#at(at, 4).getUint32(at, true);
  }
  u64(at: number): bigint {
    return this.#at(at, 8).getBigUint64(at, true);
  }

  /** Printable characters up to a NUL. */
  text(at: number, bytes: number): string {
    let text = "";
    for (let i = at; i < at + bytes && this.u8(i) !== 0; i++) text += String.fromCharCode(this.u8(i));
    return text.replace(/[^ -~]/g, "?").trimEnd();
  }

  /** @throws InputError at an offset, always */
  refuse(at: number, problem: string): never {
    throw new InputError(this.file, `offset 0x${at.toString(16)}`, problem);
  }

  #at(at: number, bytes: number): DataView {
    if (at < 0 || at + bytes > this.length)
      this.refuse(at, `${bytes} bytes are past the end of the table (${this.length} bytes)`);
    return this.#view;
  }
}

/** Larger than any firmware's. */
const MAX_BYTES = 256 * 1024;

/** All tables of a machine, as text. */
const MAX_DUMP_BYTES = 32 * 1024 * 1024;

const DUMP_LINE = /^\s{0,8}([0-9A-Fa-f]{4,8}): ((?:[0-9A-Fa-f]{2} ?){1,16})/;

/** The bytes of a table in acpidump's text, or of the first one that we know; a binary as it is. */
export function tableBytes(file: string, data: Uint8Array): Bytes {
  if (data.length > MAX_DUMP_BYTES) {
    throw new InputError(file, "", `has ${data.length} bytes; at most ${MAX_DUMP_BYTES} are read`);
  }
  const text = latin1(data);
  if (/^(?:DMAR|IORT)(?! @ 0x)/.test(text)) return cut(new Bytes(file, data), data);
  const at = text.search(/^(?:DMAR|IORT) @ 0x/m);
  if (at < 0) throw new InputError(file, "", "is neither a DMAR or IORT table nor acpidump's text with one");
  const bytes: number[] = [];
  for (const line of text.slice(at).split("\n").slice(1)) {
    const digits = DUMP_LINE.exec(line)?.[2];
    if (digits === undefined) break;
    bytes.push(
      ...digits
        .trim()
        .split(/ +/)
        .map((byte) => Number.parseInt(byte, 16)),
    );
  }
  const table = Uint8Array.from(bytes);
  return cut(new Bytes(file, table), table);
}

const CHUNK = 4096;

function latin1(data: Uint8Array): string {
  const chunks: string[] = [];
  for (let at = 0; at < data.length; at += CHUNK) chunks.push(String.fromCharCode(...data.subarray(at, at + CHUNK)));
  return chunks.join("");
}

/** The header's length counts, but cannot reach beyond the file. */
function cut(bytes: Bytes, data: Uint8Array): Bytes {
  const length = bytes.u32(HEADER.LENGTH);
  if (length > MAX_BYTES) bytes.refuse(HEADER.LENGTH, `a table of ${length} bytes; at most ${MAX_BYTES} are read`);
  if (length < HEADER_BYTES) bytes.refuse(HEADER.LENGTH, `a table of ${length} bytes is shorter than its header`);
  if (length > data.length) bytes.refuse(HEADER.LENGTH, `the table says ${length} bytes, the file has ${data.length}`);
  return new Bytes(bytes.file, data.subarray(0, length));
}

/** What the header says, and whether the bytes sum up to 0. */
export function readHeader(table: Bytes, findings: AcpiFinding[]): [string, string][] {
  let sum = 0;
  for (let i = 0; i < table.length; i++) sum += table.u8(i);
  if (sum % 256 !== 0) {
    findings.push({
      offset: 9,
      problem: "the checksum is wrong",
      why: "an operating system may ignore the whole table",
    });
  }
  return [
    ["revision", `${table.u8(HEADER.REVISION)}`],
    ["OEM", `${table.text(HEADER.OEM_ID, 6)} ${table.text(HEADER.OEM_TABLE, 8)}`],
    ["bytes", `${table.length}`],
  ];
}
