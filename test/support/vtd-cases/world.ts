/** The memory of a random case, once for the oracle and once behind `GuestMemory` for the walker. */
import { GUEST } from "../../../assembly/layout/core.ts";
import { GuestMemory, type HostBacking } from "../../../src/index.ts";
import { ADDRESS_BITS } from "../../../src/memory.ts";
import type { OracleMemory } from "../vtd-oracle/index.ts";
import type { VtdCase } from "./case.ts";
import { HIGH, LOW, ROM } from "./tables.ts";

const PAGE_BYTES = 4096;

export interface Area {
  base: bigint;
  bytes: Uint8Array;
  writable: boolean;
}

function area({ base, pages }: { base: bigint; pages: number }): Area {
  return { base, bytes: new Uint8Array(pages * PAGE_BYTES), writable: base !== ROM.base };
}

function find(areas: readonly Area[], address: bigint): Area | undefined {
  return areas.find(({ base, bytes }) => address >= base && address < base + BigInt(bytes.length));
}

/** The oracle's memory. */
export class OracleWorld implements OracleMemory {
  readonly areas: readonly Area[] = [area(LOW), area(HIGH), area(ROM)];
  /** Words that walks have changed so far. */
  updates = 0;
  #poisoned: readonly bigint[] = [];

  load({ words, poisoned }: VtdCase): void {
    for (const { bytes } of this.areas) bytes.fill(0);
    this.#poisoned = poisoned;
    for (const [address, word] of words) this.#view(address)?.setBigUint64(0, word, true);
  }

  read(address: bigint, count: number): readonly bigint[] | undefined {
    const last = address + BigInt(8 * count) - 1n;
    if (this.#poisoned.some((poison) => poison >= address && poison <= last)) return undefined;
    const view = this.#view(address);
    return view && Array.from({ length: count }, (_, i) => view.getBigUint64(8 * i, true));
  }

  compareExchange(address: bigint, expected: bigint, replacement: bigint): bigint | undefined {
    const was = this.read(address, 1)?.[0];
    if (was === undefined || !find(this.areas, address)?.writable) return undefined;
    if (was === expected) {
      this.#view(address)?.setBigUint64(0, replacement, true);
      this.updates++;
    }
    return was;
  }

  #view(address: bigint): DataView | undefined {
    const { base, bytes } = find(this.areas, address) ?? {};
    return bytes && base !== undefined ? new DataView(bytes.buffer, Number(address - base)) : undefined;
  }
}

/** The walker's memory: LOW linear, the others host-backed. */
export class WalkerWorld {
  readonly memory: GuestMemory;
  readonly areas: readonly Area[];

  constructor() {
    const hosted = [area(HIGH), area(ROM)];
    const host: HostBacking = {
      read(address, into) {
        const { base = 0n, bytes } = find(hosted, address) ?? {};
        if (bytes) into.set(bytes.subarray(Number(address - base), Number(address - base) + into.length));
        return bytes !== undefined;
      },
      write(address, from) {
        const { base = 0n, bytes, writable } = find(hosted, address) ?? {};
        if (writable) bytes?.set(from, Number(address - base));
        return writable === true;
      },
    };
    const region = ({ base, pages }: { base: bigint; pages: number }) => ({ base, size: BigInt(pages * PAGE_BYTES) });
    this.memory = new GuestMemory({ ram: [region(LOW), { ...region(HIGH), host }, { ...region(ROM), host }] });
    const { u8, view } = this.memory.core;
    const low = (view.getUint32(GUEST.DELTA0, true) + Number(LOW.base)) >>> 0;
    const bytes = u8.subarray(low, low + LOW.pages * PAGE_BYTES);
    this.areas = [{ base: LOW.base, bytes, writable: true }, ...hosted];
  }

  /** Makes memory what the oracle's is. */
  load(oracle: OracleWorld, poisoned: readonly bigint[]): void {
    oracle.areas.forEach(({ bytes }, i) => {
      this.areas[i]?.bytes.set(bytes);
    });
    this.memory.heal();
    // A pointer gone wild may name an address that no memory can have; there is nothing to poison there.
    for (const address of new Set(poisoned)) if (address < 1n << BigInt(ADDRESS_BITS)) this.memory.poison(address);
  }

  /** The first word that is not the same in both: where, and what it is here and there. */
  difference(oracle: OracleWorld): { address: bigint; got: bigint; expected: bigint } | undefined {
    for (const [i, mine] of this.areas.entries()) {
      const theirs = oracle.areas[i] as Area;
      if (Buffer.compare(mine.bytes, theirs.bytes) === 0) continue;
      const at = mine.bytes.findIndex((byte, j) => byte !== theirs.bytes[j]) & ~7;
      const word = ({ bytes }: Area) => new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(at, true);
      return { address: mine.base + BigInt(at), got: word(mine), expected: word(theirs) };
    }
    return undefined;
  }
}
