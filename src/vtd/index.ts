/** Intel VT-d. */

export { VtdBatch } from "./batch.ts";
export { type VtdCachePolicy, type VtdCacheSizes, VtdTranslationCaches } from "./caches.ts";
export { type CapabilityRegisters, VTD_PRESETS, VtdCapabilities, type VtdPreset } from "./capabilities.ts";
export {
  type DmaFailure,
  type DmaOptions,
  type DmaRead,
  type DmaWrite,
  VtdDevice,
} from "./device.ts";
export type { FaultRecord, FaultType } from "./faults.ts";
export type { VtdFeature, VtdFeatures } from "./features.ts";
export type { BlockedInterrupt, DeliveredInterrupt, InterruptOutcome } from "./interrupts.ts";
export { checkName, type FaultReason, faultReason, fieldMeaning, structureName } from "./names.ts";
export type { PageRequestOutcome } from "./page-requests.ts";
export type { QueueStep } from "./queue.ts";
export { type Fields, type Locate, VtdPageTable, VtdTables } from "./tables.ts";
export { type VtdMmio, VtdUnit, type VtdUnitOptions } from "./unit.ts";
export { type VtdAttributes, type VtdState, VtdWalker, vtdAttributes } from "./walker.ts";
