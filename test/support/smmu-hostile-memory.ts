/** The machine of the hostile guest: one memory for many units, and the same memory as the oracle sees it. */
import { GuestMemory } from "../../src/index.ts";
import { REGIONS } from "./smmu-cases/image.ts";
import type { OracleMemory, OracleState } from "./smmu-oracle/index.ts";

/** Units share a memory until its workspace is used up; one with caches takes a megabyte. */
const ROOM = 1 << 21;

let memory: GuestMemory | undefined;

/** Zeroed memory without bus errors. */
export function freshMemory(): GuestMemory {
  if (memory && memory.core.free > ROOM) {
    for (const { base, size } of REGIONS) memory.writeBytes(base, new Uint8Array(Number(size)));
    memory.heal();
    return memory;
  }
  const ram = REGIONS.map(({ base, size }) => ({ base, size }));
  memory = new GuestMemory({ ram, workspace: 1 << 25 });
  return memory;
}

/** Register values that an SMMU can have: the cases' own now and then contradict each other. */
export function tame(state: OracleState): Required<OracleState> {
  const sidBits = state.idr1 & 63;
  const twoLevel = sidBits >= 7 ? 1 << 27 : 0;
  const granule64 = (state.idr5 >>> 10) & 1 ? 1 << 6 : 0;
  const ats = (state.idr0 >>> 10) & 1;
  // MSIs, and with ATS the PRI queue; queues of up to 2^4 entries.
  const idr0 = state.idr0 | twoLevel | (1 << 13) | (ats << 16);
  const idr1 = state.idr1 | (4 << 21) | (4 << 16) | (ats ? 4 << 11 : 0);
  return {
    idr3: 0,
    aidr: 0,
    cr2: 0,
    gbpa: 0,
    ...state,
    idr0: idr0 >>> 0,
    idr1: idr1 >>> 0,
    idr5: state.idr5 | granule64,
  };
}

/** Memory as the oracle sees it: the emulator's, with what the oracle itself updates kept aside. */
export class Overlay implements OracleMemory {
  readonly updates = new Map<bigint, bigint>();
  readonly #memory: GuestMemory;
  readonly #poisons: readonly bigint[];
  constructor(memory: GuestMemory, poisons: readonly bigint[]) {
    this.#memory = memory;
    this.#poisons = poisons;
  }
  read(address: bigint, bytes: number): bigint[] | undefined {
    const isPoisoned = this.#poisons.some((at) => at < address + BigInt(bytes) && at + 8n > address);
    if (isPoisoned || address >> 52n || !this.#memory.contains(address, bytes)) return undefined;
    return Array.from({ length: bytes / 8 }, (_, i) => this.#word(address + BigInt(8 * i)));
  }
  compareExchange(address: bigint, expected: bigint, replacement: bigint): bigint | undefined {
    const held = this.read(address, 8)?.[0];
    if (held === expected) this.updates.set(address, replacement);
    return held;
  }
  #word(address: bigint): bigint {
    return this.updates.get(address) ?? this.#memory.read64(address);
  }
}
