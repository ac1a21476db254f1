/**
 * The public names of `iommulator`, one by one: guest memory, tables as a driver writes them, and the walks.
 *
 * Whole units are in `iommulator/vtd` and `iommulator/smmuv3`, PASIDs in `iommulator/ioasid`, inputs from
 * machines in `iommulator/capture`, words for faults in `iommulator/explain`, walkers for threads in
 * `iommulator/workers`: see the other `index.ts` files.
 */

export type {
  Access,
  AddressType,
  Answer,
  Fault,
  Outcome,
  Permissions,
  Request,
  Trace,
  TraceCheck,
  TraceStep,
  Translation,
} from "./iommu.ts";
export { GuestMemory, type GuestMemoryOptions, type HostBacking, type RamRegion } from "./memory.ts";
export { PageAllocator } from "./page-allocator.ts";
export type { SmmuCachePolicy, SmmuCacheSizes, SmmuTranslationCaches } from "./smmuv3/caches.ts";
export { oddities as smmuOddities } from "./smmuv3/feature-rules.ts";
export {
  featuresFromIds as smmuFeaturesFromIds,
  type IdRegisters as SmmuIdRegisters,
  idRegisters as smmuIdRegisters,
  NOT_MODELLED as SMMU_NOT_MODELLED,
  type SmmuFeatures,
  smmuFeatures,
} from "./smmuv3/features.ts";
export {
  eventMeaning as smmuEventMeaning,
  eventName as smmuEventName,
  type SmmuAttributes,
  smmuAttributes,
} from "./smmuv3/names.ts";
export { SmmuPageTable, type SmmuPageTableOptions } from "./smmuv3/page-table.ts";
export { SMMU_PRESETS, type SmmuPreset } from "./smmuv3/presets.ts";
export { SmmuCdTable, SmmuStreamTable } from "./smmuv3/tables.ts";
export { type SmmuState, SmmuWalker } from "./smmuv3/walker.ts";
export type { VtdCachePolicy, VtdCacheSizes, VtdTranslationCaches } from "./vtd/caches.ts";
export {
  type CapabilityRegisters as VtdCapabilityRegisters,
  VTD_PRESETS,
  VtdCapabilities,
  type VtdPreset,
} from "./vtd/capabilities.ts";
export type { VtdFeature, VtdFeatures } from "./vtd/features.ts";
export { type FaultReason as VtdFaultReason, faultReason as vtdFaultReason } from "./vtd/names.ts";
export { VtdPageTable, VtdTables } from "./vtd/tables.ts";
export { type VtdAttributes, type VtdState, VtdWalker, vtdAttributes } from "./vtd/walker.ts";
export type { BareResult } from "./walk/result.ts";
export type { SharedMemoryHandle, ShareOptions, WalkerHandle } from "./workers/handle.ts";
