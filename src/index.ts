/** The public names, one by one. */
export { ID_BITMAP_BYTES, IdBitmap, MAX_ID } from "./ioasid/bitmap.ts";
export type {
  Access,
  AddressType,
  Answer,
  Fault,
  InterruptSink,
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
export type { Register, RegisterFragment, RegisterWrite, ResetKind } from "./registers.ts";
export { RegisterFile } from "./registers.ts";
export type { Json, Snapshot } from "./snapshot.ts";
export {
  type BlockedInterrupt,
  type CapabilityRegisters,
  type DeliveredInterrupt,
  type DeviceInvalidation,
  type DmaFailure,
  type DmaOptions,
  type DmaRead,
  type DmaWrite,
  type FaultReason as VtdFaultReason,
  faultReason as vtdFaultReason,
  type InterruptOutcome,
  type PageGroupResponse,
  type PageRequest,
  type PageRequestOutcome,
  type QueueStep,
  type TranslationCompletion,
  type TranslationOptions,
  VTD_PRESETS,
  type VtdAttributes,
  VtdBatch,
  VtdCapabilities,
  VtdDevice,
  type VtdFeature,
  type VtdFeatures,
  type VtdMmio,
  VtdPageTable,
  type VtdPreset,
  type VtdState,
  VtdTables,
  VtdUnit,
  type VtdUnitOptions,
  VtdWalker,
  vtdAttributes,
} from "./vtd/index.ts";
