/** The worker's end of `share`. */
import { AttachedWalker } from "../workers/attached.ts";
import type { WalkerHandle } from "../workers/handle.ts";
import { vtdVendor } from "./walker.ts";

/**
 * Makes the walker that a handle stands for, in the worker thread that it was posted to.
 * @throws TypeError when it is no handle of a VT-d walker; Error when it is attached already, or was detached
 */
export function attachVtdWalker(handle: WalkerHandle): AttachedWalker {
  return new AttachedWalker(handle, "vtd", vtdVendor);
}
