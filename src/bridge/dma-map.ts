/** What memory a client has opened to the server: DMA_MAP and DMA_UNMAP. */
import { ERRNO } from "../../assembly/layout/vfio-user.ts";

export interface DmaRegion {
  address: bigint;
  size: bigint;
  /** Where it starts in the client's memory file. 0 also for memory that lies in no file. */
  offset: bigint;
  readable: boolean;
  writeable: boolean;
}

/** Regions that may be mapped at once; every client is told. */
export const MAX_DMA_MAPS = 4096;
const TOP = 2n ** 64n;

export class DmaMap {
  /** Ascending, none overlapping. */
  #regions: DmaRegion[] = [];

  get regions(): readonly DmaRegion[] {
    return this.#regions;
  }

  /** @returns why not, or undefined */
  map(region: DmaRegion): ERRNO | undefined {
    const { address, size } = region;
    const end = address + size;
    if (size === 0n || end > TOP) return ERRNO.EINVAL;
    if (this.#regions.some((other) => address < other.address + other.size && other.address < end)) return ERRNO.EEXIST;
    if (this.#regions.length === MAX_DMA_MAPS) return ERRNO.ENOSPC;
    const after = this.#regions.findIndex((other) => other.address > address);
    this.#regions.splice(after < 0 ? this.#regions.length : after, 0, region);
    return undefined;
  }

  /** Takes away a region that was mapped exactly so. @returns why not, or undefined */
  unmap(address: bigint, size: bigint): ERRNO | undefined {
    const at = this.#regions.findIndex((region) => region.address === address && region.size === size);
    if (at < 0) return ERRNO.ENOENT;
    this.#regions.splice(at, 1);
    return undefined;
  }

  clear(): void {
    this.#regions = [];
  }

  /** The region that holds `address`. */
  find(address: bigint): DmaRegion | undefined {
    return this.#regions.find((region) => address >= region.address && address < region.address + region.size);
  }
}
