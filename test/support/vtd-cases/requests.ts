/** Random requests: for what the tables map, or a little beside it. */
import * as fc from "fast-check";
import type { OracleRequest, OracleState } from "../vtd-oracle/index.ts";

/** A request that the tables were written for. */
export interface Target {
  /** Host permission tables, that is translated requests, know this address. */
  host?: boolean;
  sid: number;
  pasid: number | null;
  address: bigint;
}

export interface RequestSeed {
  target: number;
  type: number;
  access: number;
  flags: number;
  tweak: number;
  offset: number;
}

export const request: fc.Arbitrary<RequestSeed> = fc.record<RequestSeed>({
  target: fc.nat(0xffff),
  type: fc.nat(9),
  access: fc.nat(9),
  flags: fc.nat(0xffff),
  tweak: fc.nat(0xffff),
  offset: fc.nat(0xffff),
});

const TYPES = ["untranslated", "translation", "translated"] as const;

export function makeRequest(seed: RequestSeed, state: OracleState, targets: readonly Target[]): OracleRequest {
  const { flags, tweak, offset } = seed;
  const target = targets[seed.target % targets.length] as Target;
  const kind = target.host && offset % 8 !== 7 ? 2 : seed.type < 6 ? 0 : seed.type < 8 ? 1 : 2;
  const type = TYPES[kind] as (typeof TYPES)[number];
  const on = (position: number, outOf: number) => (flags >> position) % outOf === outOf - 1;
  const access = (["r", "r", "r", "r", "w", "w", "w", "w", "a", "x"] as const)[seed.access] ?? "r";
  return {
    sid: tweakSid(target.sid, tweak),
    pasid: tweakPasid(target.pasid, tweak),
    address: tweakAddress(target.address, tweak, offset, state),
    access: type === "translation" && access !== "x" && on(3, 8) === false ? "r" : access,
    privileged: on(0, 3),
    type,
    zeroLength: on(2, target.host ? 2 : 5),
    noWrite: on(4, 3),
    dword: on(6, 2),
    probe: on(7, 12),
  };
}

function tweakSid(sid: number, tweak: number): number {
  if (tweak % 29 === 28) return sid ^ 0x80;
  return tweak % 31 === 30 ? sid ^ (1 << (tweak % 16)) : sid;
}

function tweakPasid(pasid: number | null, tweak: number): number | null {
  switch (tweak % 23) {
    case 20:
      return (tweak * 7919) & 0xfffff;
    case 21:
      return pasid === null ? (tweak & 1 ? 0 : 64) : null;
    case 22:
      return (1 << (13 + (tweak % 8))) - (tweak & 1);
    default:
      return pasid;
  }
}

function tweakAddress(address: bigint, tweak: number, offset: number, { haw }: OracleState): bigint {
  const mask = 0xffff_ffff_ffff_ffffn;
  switch (tweak % 19) {
    case 13:
      return 0xfee0_0000n | BigInt(offset & ~3);
    case 14:
      return (1n << BigInt(haw)) - (offset & 1 ? 1n : 0n);
    case 15:
      return (1n << BigInt([39, 48, 57, 47, 56, 52][offset % 6] as number)) - (offset & 8 ? 1n : 0n);
    case 16:
      return (mask << BigInt(30 + (offset % 34))) & mask;
    case 17:
      return address ^ (1n << BigInt(offset & 63));
    case 18:
      return (address + (BigInt(offset) << 12n)) & mask;
    default:
      return (address & ~0xfffn) | BigInt(offset & 0xfff);
  }
}
