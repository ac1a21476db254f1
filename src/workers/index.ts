/** The public names of `iommulator/workers`: walkers in worker threads, over a memory that their owner shares. */

export { sharedCoreWasm } from "../core/core.ts";
export { attachSmmuWalker } from "../smmuv3/attach.ts";
export { attachVtdWalker } from "../vtd/attach.ts";
export type { AttachedWalker } from "./attached.ts";
export type { SharedMemoryHandle, ShareOptions, WalkerHandle } from "./handle.ts";
