/** VMSAv8-64 descriptors, as both stages read them (Arm ARM D8.3). */
import { alignDown, type Features, type OracleMemory, ones } from "./model.ts";

/** Geometry of one stage's tables. */
export interface Geometry {
  /** log2 of the granule: 12, 14 or 16. */
  granule: number;
  /** Input bits that the tables resolve. */
  inputBits: number;
  startLevel: number;
  /** Output bits allowed. */
  outputBits: number;
}

export type Descriptor =
  | { kind: "invalid" }
  | { kind: "table"; next: bigint }
  | { kind: "leaf"; output: bigint; log2Size: number };

export const LAST_LEVEL = 3;

/** log2 of the bytes that one descriptor of this level covers. */
export function log2Covered(granule: number, level: number): number {
  return granule + (LAST_LEVEL - level) * (granule - 3);
}

/** Address of the start table, aligned as its size (at least 64 bytes with 52-bit outputs) demands. */
export function startTable(g: Geometry, base: bigint): bigint {
  const log2Entries = g.inputBits - log2Covered(g.granule, g.startLevel);
  const log2Bytes = log2Entries + 3;
  const wide = g.granule === 16 && g.outputBits === 52;
  return alignDown(base, wide ? Math.max(log2Bytes, 6) : log2Bytes);
}

/** Address of the descriptor that translates `input` at `level`. */
export function descriptorAddress(g: Geometry, table: bigint, level: number, input: bigint): bigint {
  const covered = log2Covered(g.granule, level);
  const width = level === g.startLevel ? g.inputBits - covered : g.granule - 3;
  return table + 8n * ((input >> BigInt(covered)) & ones(width));
}

/** Takes a descriptor apart; addresses are not judged here. */
export function decode(f: Features, granule: number, level: number, word: bigint): Descriptor {
  const type = Number(word & 3n);
  const wide = granule === 16 && f.oas === 52;
  const high = wide ? ((word >> 12n) & 15n) << 48n : 0n;
  const address = alignDown(word & ones(48), granule) | high;
  if ((type & 1) === 0) return { kind: "invalid" };
  if (level === LAST_LEVEL) {
    return type === 3 ? { kind: "leaf", output: address, log2Size: granule } : { kind: "invalid" };
  }
  if (type === 3) return { kind: "table", next: address };
  const blocks = { 12: [1, 2], 14: [2], 16: f.oas === 52 ? [1, 2] : [2] }[granule] as number[];
  if (!blocks.includes(level)) return { kind: "invalid" };
  const log2Size = log2Covered(granule, level);
  return { kind: "leaf", output: alignDown(address & ones(48), log2Size) | high, log2Size };
}

/** One descriptor, in the byte order of its tables. */
export function readDescriptor(memory: OracleMemory, address: bigint, bigEndian: boolean): bigint | undefined {
  const words = memory.read(address, 8);
  if (!words) return undefined;
  return bigEndian ? swap(words[0] as bigint) : words[0];
}

/** Atomic update; "changed" sends the walk back to its start. */
export function updateDescriptor(
  memory: OracleMemory,
  address: bigint,
  bigEndian: boolean,
  from: bigint,
  to: bigint,
): "done" | "changed" | "abort" {
  const order = bigEndian ? swap : (word: bigint) => word;
  const held = memory.compareExchange(address, order(from), order(to));
  if (held === undefined) return "abort";
  return held === order(from) ? "done" : "changed";
}

function swap(word: bigint): bigint {
  let out = 0n;
  for (let i = 0n; i < 8n; i++) out = (out << 8n) | ((word >> (8n * i)) & 0xffn);
  return out;
}
