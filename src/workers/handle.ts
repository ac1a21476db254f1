/** What the owner of a shared memory posts to a worker. */
import type { Slice } from "../core/core.ts";
import type { RamRegion } from "../memory.ts";

/** A guest memory as a worker attaches to it. */
export interface SharedMemoryHandle extends Slice {
  readonly module: WebAssembly.Module;
  readonly ram: readonly RamRegion[];
}

/** A walker for one worker: may be posted (structured clone), and attached once. */
export interface WalkerHandle {
  readonly vendor: "vtd" | "smmuv3";
  /** Names the worker: in errors, and for `detach`. */
  readonly index: number;
  readonly memory: SharedMemoryHandle;
  /** Pointers into linear memory: the gate, the worker's line at it, its unit block. */
  readonly gate: number;
  readonly line: number;
  readonly unit: number;
  /** Whether it has caches. */
  readonly cached: boolean;
}

export interface ShareOptions {
  /**
   * Bytes of the memory's workspace for each worker's results, batches (88 a request) and traces, beside
   * its unit block and caches; 256 KiB unless told.
   */
  workspace?: number;
}
