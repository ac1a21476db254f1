/**
 * Which kernel's ioasid layer a space behaves like, and how faithfully.
 *
 * Two independent choices:
 *
 * **profile**: what the layer offered.
 *
 * | profile | kernels | references | `free` |
 * |---|---|---|---|
 * | `v5.5` | 5.5 to 5.10 | none: `get`/`put` throw TypeError | at once |
 * | `v5.11` (default) | 5.11 to 5.17 | one at birth, `get` adds, `put` takes away | another name for `put` |
 * | `v5.18` | 5.18 to 6.3 | none again | at once |
 *
 * **rules**: `strict` (default) mends what is a bug in the original; `compat` reproduces it.
 *
 * | what | `compat`, as the kernel did | `strict` |
 * |---|---|---|
 * | freeing an ID of another set | done | refused: name the owning set |
 * | freeing with the stamp of an earlier allocation | stamps are not looked at | refused |
 * | custom allocator answers outside [min, max] | accepted | given back, allocation fails |
 * | custom allocator answers an ID that is in use | given back: the owner loses it in the backend | left alone, allocation fails |
 * | registering a member of a group twice | EEXIST for the head only | EEXIST |
 * | the head of a group unregisters | its functions' data stays in use | the next member takes over |
 * | unregistering ops that were never registered | removes a lone member with the same functions | ENOENT |
 * | unregistering the last member while IDs live | done, the IDs are lost | EBUSY |
 * | consumer: limits compare as | signed 32-bit: 0xFFFFFFFF defeats the vendor's | unsigned |
 * | consumer: rollback when the software path failed | frees ID 0 in hardware, standing in for the uninitialised variable | nothing to roll back |
 * | consumer: freeing an ID of another consumer | done | refused |
 * | consumer: vendor callbacks that call back into the space | let through | ReentrancyError |
 * | SVA, v5.18: an address space's PASID is the last of the range asked for | EOVERFLOW | reused |
 * | vcmd: max is the number of PASIDs | passed on | refused: it is one too many |
 * | vcmd: freeing an ID with data attached | nothing reaches the host, which leaks it | FREE is sent |
 * | vcmd: rollback of an ID that could not be tracked | nothing reaches the host | FREE is sent |
 * | extensions | see `extended.ts` | |
 *
 * In both, unlike the kernel: an ID has the 20 bits that PCIe carries (a custom allocator that answers
 * a wider one gets it back; the kernel's table took 32), "no ID" is `undefined` and not 0xFFFFFFFF, a
 * member that registers twice counts once (it corrupted the kernel's list), a virtual command that
 * hangs is the exception `VcmdTimeout` (a kernel panic), and no memory is ever corrupted.
 */

export type KernelProfile = "v5.5" | "v5.11" | "v5.18";
export const KERNEL_PROFILES: readonly KernelProfile[] = ["v5.5", "v5.11", "v5.18"];

export type Rules = "strict" | "compat";
export const RULES: readonly Rules[] = ["strict", "compat"];

/** What the kernel would have printed: pr_info, pr_warn or WARN, pr_err. */
export interface LogEntry {
  level: "info" | "warn" | "error";
  message: string;
}
export type Log = (entry: LogEntry) => void;

export const NO_LOG: Log = () => {};

/** INVALID_IOASID, later IOMMU_PASID_INVALID. Accepted from custom allocators; calls here answer undefined. */
export const INVALID_IOASID = 0xffff_ffff;

/** The layer was called back from where the kernel would deadlock: a callback that runs under its lock. */
export class ReentrancyError extends Error {
  override readonly name: string = "ReentrancyError";
  constructor(call: string, callback: string) {
    super(`${call} was called from within ${callback}, where the kernel would wait for itself`);
  }
}
