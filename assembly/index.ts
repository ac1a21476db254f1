/** The ABI: everything the TypeScript side can call. */
export {
  bitmapAlloc,
  bitmapAllocMany,
  bitmapCount,
  bitmapFirstFree,
  bitmapFree,
  bitmapFreeMany,
  bitmapNext,
  bitmapReserve,
  bitmapReset,
  bitmapTest,
} from "./bitmap";
export { heapBase } from "./core";
export { copyFromGuest, copyToGuest } from "./memory";
export { smmuConfigure } from "./smmuv3/configure";
export {
  smmuInvalidateAll,
  smmuInvalidateCd,
  smmuInvalidateCds,
  smmuInvalidateStes,
  smmuInvalidateTlb,
} from "./smmuv3/invalidate";
export { smmuOrigin, smmuTranslate, smmuTranslateMany } from "./smmuv3/translate";
export { smmuReach, smmuReachLocate, smmuReachOpen } from "./smmuv3/reach";
export { smmuWalk, smmuWalkMany, smmuWalkTraced } from "./smmuv3/entry";
export { vtdConfigure } from "./vtd/configure";
export { vtdReach, vtdReachOpen } from "./vtd/reach";
export { vtdWalk, vtdWalkMany, vtdWalkTraced } from "./vtd/walk";
export { cacheBytes, cacheOpen } from "./caches";
export {
  vtdInvalidateAll,
  vtdInvalidateContext,
  vtdInvalidateIotlb,
  vtdInvalidatePasid,
  vtdInvalidatePasidIotlb,
} from "./vtd/invalidate";
export { vtdOrigin, vtdTranslate, vtdTranslateMany } from "./vtd/translate";
