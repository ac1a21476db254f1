/**
 * The memory of QEMU's machine as ours: zero until written, wherever QEMU has RAM. What QEMU has devices, flash or
 * windows at is watched, since what a table walk reads there is not the IOMMU's doing.
 */
import { SparsePages } from "../../../src/capture/pages.ts";
import { GuestMemory, type HostBacking } from "../../../src/index.ts";

export interface Range {
  base: bigint;
  size: bigint;
}

/** log2 of the room for the unit's own structures. */
const WORKSPACE = 1 << 22;

export class MachineMemory {
  readonly guest: GuestMemory;
  /** A walk has read what is no RAM, but answers in QEMU. */
  touchedDevices = false;
  readonly #ram: readonly Range[];
  readonly #devices: readonly Range[];
  readonly #stored = new Set<bigint>();

  constructor(ram: readonly Range[], devices: readonly Range[]) {
    this.#ram = ram;
    this.#devices = devices;
    const host = new SparsePages();
    const watch: HostBacking = { read: () => this.#touch(), write: () => this.#touch() };
    const regions = [
      ...ram.map((range) => ({ ...range, host })),
      ...devices.map((range) => ({ ...range, host: watch })),
    ];
    this.guest = new GuestMemory({ ram: regions.sort((a, b) => (a.base < b.base ? -1 : 1)), workspace: WORKSPACE });
  }

  isRam(address: bigint): boolean {
    return within(this.#ram, address);
  }
  isDevice(address: bigint): boolean {
    return within(this.#devices, address);
  }

  /** Software writes a word; `forget` undoes all. */
  store(address: bigint, word: bigint): void {
    this.#stored.add(address);
    this.guest.write64(address, word);
  }

  /** Makes memory zero again. @returns the addresses that were not */
  forget(): bigint[] {
    const addresses = [...this.#stored];
    for (const address of addresses) this.guest.write64(address, 0n);
    this.#stored.clear();
    return addresses;
  }

  #touch(): boolean {
    this.touchedDevices = true;
    return false;
  }
}

const within = (ranges: readonly Range[], address: bigint): boolean =>
  ranges.some(({ base, size }) => address >= base && address < base + size);
