/**
 * Signatures of everything `assembly/index.ts` exports. Pointers and u32 are numbers (read results
 * with `>>> 0`), u64 are bigints, bool comes back as 0 or 1.
 */
export interface CoreExports {
  heapBase(): number;
  copyFromGuest(ptr: number, gpa: bigint, bytes: number): number;
  copyToGuest(gpa: bigint, ptr: number, bytes: number): number;
}
