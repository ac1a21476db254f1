/**
 * Guest RAM of a virtual machine: a file that both map, and the client's word on where in it an address is.
 *
 * One host-backed region covers all 52 bits; what the client has not mapped is a bus error. So is whatever
 * the file cannot give: a guest's hardware sees an error on the bus, never an exception.
 */
import { ADDRESS_BITS, type HostBacking, type RamRegion } from "../memory.ts";
import type { DmaMap } from "./dma-map.ts";

/** The file, read and written synchronously. False: it does not have these bytes (any more). */
export interface RamFile {
  read(position: bigint, into: Uint8Array): boolean;
  write(position: bigint, from: Uint8Array): boolean;
}

/** Takes a write to where there is no RAM: a device's interrupt message. */
export type MessageWrite = (address: bigint, data: Uint8Array) => void;

export class GuestRam implements HostBacking {
  readonly #file: RamFile;
  readonly #base: bigint;
  #map: DmaMap | undefined;
  /** While a device sends a message, its write may go where there is no RAM. */
  #message: MessageWrite | undefined;

  /** @param base the address at which the file starts: only there is file offset 0 believed */
  constructor(file: RamFile, base: bigint) {
    this.#file = file;
    this.#base = base;
  }

  /** What `GuestMemory` takes. */
  get region(): RamRegion {
    return { base: 0n, size: 1n << BigInt(ADDRESS_BITS), host: this };
  }

  /** The client's memory; undefined when it has gone. */
  useMap(map: DmaMap | undefined): void {
    this.#map = map;
  }

  /** Runs `send`, whose write to where there is no RAM goes to `message`. */
  withMessages(message: MessageWrite, send: () => void): void {
    this.#message = message;
    try {
      send();
    } finally {
      this.#message = undefined;
    }
  }

  read(address: bigint, into: Uint8Array): boolean {
    const position = this.#position(address, into.length, "readable");
    return position !== undefined && this.#file.read(position, into);
  }

  write(address: bigint, from: Uint8Array): boolean {
    const position = this.#position(address, from.length, "writeable");
    if (position !== undefined) return this.#file.write(position, from);
    if (!this.#message || this.holds(address, from.length)) return false;
    this.#message(address, from.slice());
    return true;
  }

  holds(address: bigint, bytes: number): boolean {
    return this.#position(address, bytes) !== undefined;
  }

  /** Where all of an access is in the file. */
  #position(address: bigint, bytes: number, right?: "readable" | "writeable"): bigint | undefined {
    const region = this.#map?.find(address);
    if (!region || (right !== undefined && !region[right])) return undefined;
    const into = address - region.address;
    if (into + BigInt(bytes) > region.size) return undefined;
    // Memory without a file (firmware, a frame buffer) is announced at offset 0, too.
    if (region.offset === 0n && region.address !== this.#base) return undefined;
    return region.offset + into;
  }

  /** The file's regions as the client has mapped them: address, size, file offset. */
  get mapped(): readonly { address: bigint; size: bigint; offset: bigint }[] {
    return (this.#map?.regions ?? []).filter(({ address, offset }) => offset !== 0n || address === this.#base);
  }
}
