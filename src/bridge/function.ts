/** A PCI function as the vfio-user protocol sees it. */
import type { DmaMap } from "./dma-map.ts";

/** Sends a message-signalled interrupt or other posted write into the guest. */
export interface BusMaster {
  write(address: bigint, data: Uint8Array): void;
}

export interface PciFunction {
  /** For people: what it is. */
  readonly name: string;
  /** Bytes of a region by its index, 0 where there is none. */
  regionBytes(index: number): number;
  /** Reads `into.length` bytes that lie in the region. */
  readRegion(index: number, offset: number, into: Uint8Array): void;
  writeRegion(index: number, offset: number, data: Uint8Array): void;
  /** How many interrupts of a type it has. */
  irqCount(index: number): number;
  /** Sends an interrupt because the client asked for it. */
  trigger(): void;
  /** Back to power-on. */
  reset(): void;
  /** A client has come; its memory is empty as yet. */
  attach(memory: DmaMap, bus: BusMaster): void;
  /** The client has gone, and its memory with it. */
  detach(): void;
}
