/** Random registers and capabilities of a unit. */
import type { Choices } from "../choices.ts";
import type { OracleState } from "../vtd-oracle/index.ts";

const SSLPS = [3n, 1n, 0n];
const VERSIONS = [0x50, 0x10, 0x40, 0x60, 0x70, 0x80];

export function unitState(choices: Choices): OracleState {
  const haw = choices.pick([39, 36, 42, 46, 48, 52]);
  const mgaw = Math.max(haw, choices.pick([57, 48, 52, 39]));
  const sagaw = choices.chance(60) ? 0b1110n : BigInt(1 + choices.below(7)) << 1n;
  let cap = BigInt(choices.chance(60) ? 6 : choices.below(7));
  cap |= (choices.chance(10) ? 1n << 7n : 0n) | (sagaw << 8n) | (BigInt(mgaw - 1) << 16n);
  cap |= (choices.chance(50) ? 1n << 22n : 0n) | ((SSLPS[choices.chance(70) ? 0 : choices.below(3)] as bigint) << 34n);
  cap |= (choices.chance(80) ? 1n << 56n : 0n) | (choices.chance(70) ? 1n << 60n : 0n);
  // Everything the walk depends on; single bits are missing now and then.
  let ecap = 0n;
  for (const position of [1, 2, 3, 6, 7, 25, 26, 29, 31, 33, 34, 40, 43, 45, 46, 47, 48, 49, 52, 53, 55, 56, 57, 59]) {
    ecap |= 1n << BigInt(position);
  }
  const missing = choices.chance(50) ? choices.bits(48) & choices.bits(48) & choices.bits(48) : 0n;
  ecap &= ~(missing << 16n) & ~(choices.chance(15) ? 0x44n : 0n) & ~(choices.chance(20) ? 0x80n : 0n);
  if (choices.chance(93)) ecap |= 1n << 43n;
  ecap |= BigInt(choices.chance(15) ? choices.below(20) : 19) << 35n;
  const mode = choices.chance(3) ? choices.pick([2n, 3n]) : choices.chance(22) ? 0n : 1n;
  const legal = legalize(cap, ecap);
  const ssirwe = (legal.ecap >> 57n) & 1n && choices.chance(mode === 0n ? 4 : 20) ? 1n << 7n : 0n;
  return {
    ...legal,
    version: choices.pick(VERSIONS),
    haw,
    rtaddr: (mode << 10n) | ssirwe,
    translationEnabled: !choices.chance(3),
    interruptRemapping: choices.chance(50),
  };
}

/** Clears what a missing capability forces to 0. */
export function legalize(cap: bigint, ecap: bigint): { cap: bigint; ecap: bigint } {
  const has = (position: number) => ((ecap >> BigInt(position)) & 1n) === 1n;
  const clear = (condition: boolean, ...positions: number[]) => {
    if (condition) for (const position of positions) ecap &= ~(1n << BigInt(position));
  };
  clear(!has(1), 2, 3, 43);
  clear(!has(43), 25, 31, 40, 47, 48, 49, 55);
  clear(!has(2), 29, 33, 55, 56);
  clear(!has(31), 53);
  clear(!has(47) || !has(48), 34);
  clear(!has(48), 45);
  clear(!has(47) || !has(46), 26);
  clear(!has(46), 57);
  clear(!has(40), 56);
  clear(!has(55), 59);
  if (!has(47)) cap &= ~((1n << 56n) | (1n << 60n));
  return { cap, ecap };
}
