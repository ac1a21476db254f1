/** The worker's end of `share`. */
import { AttachedWalker } from "../workers/attached.ts";
import type { WalkerHandle } from "../workers/handle.ts";
import { smmuVendor } from "./walker.ts";

/**
 * Makes the walker that a handle stands for, in the worker thread that it was posted to.
 * @throws TypeError when it is no handle of an SMMU walker; Error when it is attached already, or was detached
 */
export function attachSmmuWalker(handle: WalkerHandle): AttachedWalker {
  return new AttachedWalker(handle, "smmuv3", (core) => smmuVendor(core.exports, handle.cached));
}
