/** Ways to break tables that were written well, and to take capabilities away from under them. */
import * as fc from "fast-check";
import type { OracleState } from "../vtd-oracle/index.ts";
import { addressOf, LOW, ROM, type TableWriter } from "./tables.ts";
import { legalize } from "./unit.ts";

export interface Mutation {
  kind: number;
  entry: number;
  bit: number;
  value: number;
}

export const mutation: fc.Arbitrary<Mutation> = fc.record<Mutation>({
  kind: fc.nat(21),
  entry: fc.nat(0xffff),
  bit: fc.nat(0xffff),
  value: fc.nat(0xffff),
});

const PAGE_ENTRIES = ["first", "second"] as const;
const CAP_BITS = [7, 8, 9, 10, 11, 22, 34, 35, 56, 60];
const ECAP_BITS = [2, 6, 7, 25, 26, 29, 31, 33, 34, 40, 45, 46, 47, 48, 49, 52, 53, 55, 56, 57, 59];

export function mutate(mutation: Mutation, state: OracleState, writer: TableWriter, poisoned: bigint[]): void {
  const { kind, bit, value } = mutation;
  if (kind < 3) {
    mutateUnit(kind, value, state);
    return;
  }
  const entries = kind === 3 ? writer.entries.filter((one) => one.kind === PAGE_ENTRIES[value & 1]) : writer.entries;
  const at = entries[mutation.entry % entries.length];
  if (!at) return;
  if (kind > 3 && kind < 7) {
    poisoned.push(at.address);
    return;
  }
  const address = kind > 3 && kind < 14 ? at.address + 8n * BigInt((bit >> 6) % at.words) : at.address;
  const was = writer.read(address);
  writer.words.set(address, mutateWord(kind, bit, value, was, at.address) & 0xffff_ffff_ffff_ffffn);
}

/** Takes a capability away, or turns one around. */
function mutateUnit(kind: number, value: number, state: OracleState): void {
  const { cap, ecap } = state;
  const ecapBit = BigInt(ECAP_BITS[value % ECAP_BITS.length] as number);
  const capBit = BigInt(CAP_BITS[value % CAP_BITS.length] as number);
  Object.assign(state, kind < 2 ? legalize(cap, ecap & ~(1n << ecapBit)) : legalize(cap ^ (1n << capBit), ecap));
}

function mutateWord(kind: number, bit: number, value: number, was: bigint, self: bigint): bigint {
  const flags = was & 0xfffn;
  switch (kind) {
    case 3: {
      // First stage: an address beyond what the second stage takes, or the host. Second stage: what may be reserved.
      const high = 37 + (bit % 15);
      return was | (1n << BigInt(value & 1 ? ([11, 62, 7, 12, high][bit % 5] as number) : high));
    }
    case 7:
    case 8:
    case 9:
      return was ^ (1n << BigInt(bit & 63));
    case 10:
    case 11:
      return was ^ (1n << BigInt(bit % 12));
    case 12:
      return was ^ (1n << BigInt(36 + (bit % 28)));
    case 13:
      return BigInt(value) * 0x0001_0001_0001_0001n;
    case 14:
      return 0n;
    case 15:
      return was & ~3n;
    case 16:
      return (was & ~3n) | BigInt(1 + (value & 1));
    case 17:
      // FPD of the entries that have it.
      return was | 2n;
    case 18:
      // Points at itself.
      return addressOf(self) | flags;
    case 19:
      // Points at another table, maybe of another kind.
      return (BigInt(value % LOW.pages) << 12n) | flags;
    case 20:
      // Points where there is no RAM, or beyond.
      return (BigInt(value) << BigInt(12 + (bit % 37))) | flags;
    default:
      return addressOf(ROM.base + (BigInt(value & 7) << 12n)) | flags;
  }
}
