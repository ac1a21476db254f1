/** The oracle's host permission tables: what a translated request may touch when its context has HPTE = 1. */
import type { Found } from "./context.ts";
import { addressBits, bit, bits, Failure, inInterruptRange, type OracleOutcome, type Walk } from "./model.ts";

/** A translated request of a device whose context has HPTE = 1. */
export function hostPermission(walk: Walk, { entry }: Found): OracleOutcome {
  const { caps, request } = walk;
  const { address } = request;
  if (address >> (bits(entry, 257, 256) + 49n) !== 0n) throw new Failure("SPT.9");
  if (caps.beyondHaw(address)) throw new Failure("SGN.4.1");
  const permission = hostPermissionNibble(walk, addressBits(entry[4] as bigint, 63, 12));
  const read = bit([permission], 0);
  const write = bit([permission], 1);
  const zero = walk.zeroLength && caps.zlr;
  if (zero && permission === 0n) throw new Failure("HPT.4");
  if (walk.write && !write) throw new Failure("HPT.5");
  if (walk.read && !read && !(zero && write)) throw new Failure("HPT.6");
  if (inInterruptRange(address)) throw new Failure("SGN.8.3");
  return { ok: true, answer: "success", address, pageSize: 1n << 64n, read, write };
}

function hostPermissionNibble(walk: Walk, root: bigint): bigint {
  const { caps, request } = walk;
  const { address } = request;
  let table = root;
  for (const [level, indexMsb, indexLsb, selectLsb] of [
    [4, 51, 41, 41],
    [3, 40, 33, 30],
    [2, 32, 25, 21],
    [1, 24, 17, 12],
  ] as const) {
    const at = table + 16n * bits([address], indexMsb, indexLsb);
    const entry = walk.fetch(at, 2, level === 4 ? "HPT.3" : "HPT.1");
    const low = entry[0] as bigint;
    const reserved =
      level > 1 &&
      (bits(entry, 75, 65) !== 0n ||
        bits(entry, 115, caps.haw + 64) !== 0n ||
        (level === 4 && low !== 0n) ||
        (level === 3 && (low >> 32n !== 0n || (!caps.hpt1g && low !== 0n))));
    const nibble = level === 4 ? 0n : (entryNumber(entry) >> (4n * bits([address], indexLsb - 1, selectLsb))) & 15n;
    if (reserved || nibble > 3n) throw new Failure("HPT.2");
    if (level === 1 || nibble !== 0n || !bit(entry, 64)) return nibble;
    table = addressBits(entry[1] as bigint, 63, 12) & ((1n << BigInt(caps.haw)) - 1n);
  }
  return 0n;
}

function entryNumber(entry: readonly bigint[]): bigint {
  return (entry[0] as bigint) | ((entry[1] as bigint) << 64n);
}
