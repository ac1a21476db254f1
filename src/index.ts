/** The public names, one by one. */
export { ID_BITMAP_BYTES, IdBitmap, MAX_ID } from "./ioasid/bitmap.ts";
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
export {
  eventMeaning as smmuEventMeaning,
  eventName as smmuEventName,
  type SmmuAttributes,
  type SmmuState,
  SmmuWalker,
  smmuAttributes,
} from "./smmuv3/index.ts";
export {
  type FaultReason as VtdFaultReason,
  faultReason as vtdFaultReason,
  type VtdAttributes,
  VtdPageTable,
  type VtdState,
  VtdTables,
  VtdWalker,
  vtdAttributes,
} from "./vtd/index.ts";
