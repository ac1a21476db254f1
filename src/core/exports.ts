/**
 * Signatures of everything `assembly/index.ts` exports. Pointers and u32 are numbers (read results
 * with `>>> 0`), u64 are bigints, bool comes back as 0 or 1.
 */
export interface CoreExports {
  heapBase(): number;
  bitmapAlloc(bitmap: number, min: number, max: number): number;
  bitmapAllocMany(bitmap: number, min: number, max: number, ids: number, count: number): number;
  bitmapCount(bitmap: number): number;
  bitmapFirstFree(bitmap: number, min: number, max: number): number;
  bitmapFree(bitmap: number, id: number): number;
  bitmapFreeMany(bitmap: number, ids: number, count: number): number;
  bitmapNext(bitmap: number, from: number): number;
  bitmapReserve(bitmap: number, id: number): number;
  bitmapReset(bitmap: number): void;
  bitmapTest(bitmap: number, id: number): number;
  copyFromGuest(ptr: number, gpa: bigint, bytes: number): number;
  copyToGuest(gpa: bigint, ptr: number, bytes: number): number;
  smmuConfigure(unit: number): void;
  smmuReach(state: number, budget: number): number;
  smmuReachLocate(state: number, ipa: bigint): bigint;
  smmuReachOpen(state: number): void;
  smmuWalk(unit: number, sid: number, pasid: number, low: number, high: number, flags: number, result: number): number;
  smmuWalkMany(unit: number, requests: number, results: number, count: number): number;
  smmuWalkTraced(
    unit: number,
    sid: number,
    pasid: number,
    low: number,
    high: number,
    flags: number,
    result: number,
  ): number;
  vtdConfigure(unit: number): void;
  vtdReach(state: number, budget: number): number;
  vtdReachOpen(state: number): void;
  vtdWalk(unit: number, sid: number, pasid: number, low: number, high: number, flags: number, result: number): number;
  vtdWalkMany(unit: number, requests: number, results: number, count: number): number;
  vtdWalkTraced(
    unit: number,
    sid: number,
    pasid: number,
    low: number,
    high: number,
    flags: number,
    result: number,
  ): number;
  cacheBytes(sets: number, valueBytes: number, originBytes: number, origins: number): number;
  cacheOpen(cache: number, sets: number, valueBytes: number, originBytes: number, origins: number): void;
  vtdInvalidateAll(unit: number): void;
  vtdInvalidateContext(
    unit: number,
    granularity: number,
    did: number,
    sid: number,
    functionMask: number,
    legacy: number,
  ): void;
  vtdInvalidateIotlb(
    unit: number,
    granularity: number,
    did: number,
    low: number,
    high: number,
    addressMask: number,
    leavesOnly: number,
  ): void;
  vtdInvalidatePasid(unit: number, granularity: number, did: number, pasid: number): void;
  vtdInvalidatePasidIotlb(
    unit: number,
    granularity: number,
    did: number,
    pasid: number,
    low: number,
    high: number,
    addressMask: number,
    leavesOnly: number,
  ): void;
  vtdOrigin(unit: number, sid: number, pasid: number, low: number, high: number, flags: number, origin: number): number;
  vtdTranslate(
    unit: number,
    sid: number,
    pasid: number,
    low: number,
    high: number,
    flags: number,
    result: number,
  ): number;
  vtdTranslateMany(unit: number, requests: number, results: number, count: number): number;
  smmuInvalidateAll(unit: number): void;
  smmuInvalidateCd(unit: number, sid: number, ssid: number, leaf: number): void;
  smmuInvalidateCds(unit: number, sid: number): void;
  smmuInvalidateStes(unit: number, sid: number, log2Streams: number, leaf: number): void;
  smmuInvalidateTlb(
    unit: number,
    opcode: number,
    vmidMask: number,
    vmid: number,
    asid: number,
    first: bigint,
    last: bigint,
    leaf: number,
  ): void;
  smmuOrigin(
    unit: number,
    sid: number,
    pasid: number,
    low: number,
    high: number,
    flags: number,
    origin: number,
  ): number;
  smmuTranslate(
    unit: number,
    sid: number,
    pasid: number,
    low: number,
    high: number,
    flags: number,
    result: number,
  ): number;
  smmuTranslateMany(unit: number, requests: number, results: number, count: number): number;
}
