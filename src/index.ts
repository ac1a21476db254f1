/** The public names, one by one. */

export { type Capture, type CaptureNames, type ExpectedRow, parseCapture } from "./capture/capture.ts";
export type { MachineImage, PagedMemory } from "./capture/image/image.ts";
export { InputError } from "./capture/input.ts";
export { parseTrace, type TraceLine } from "./capture/regtrace.ts";
export { REASONS, type Reason, type ReasonId } from "./capture/replay/reasons.ts";
export { type ReadDifference, type ReplayReport, replay } from "./capture/replay/replay.ts";
export { openWalker } from "./capture/state.ts";
export { type Disagreement, type Verification, verifyCapture } from "./capture/verify.ts";
export type {
  DeviceInvalidation,
  Endpoint,
  PageGroupResponse,
  PageRequest,
  TranslationCompletion,
  TranslationOptions,
} from "./endpoint.ts";
export { type Explanation, explain } from "./explain/explain.ts";
export type { DumpWalk, LogFinding } from "./explain/finding.ts";
export type { AllocatorOps } from "./ioasid/allocators.ts";
export {
  AttachHandle,
  type DomainType,
  IommuGroup,
  type PasidDevice,
  type PasidDomain,
  type PasidDriver,
  type RespondToFault,
} from "./ioasid/attach.ts";
export { SvaBinder, type SvaDomain, SvaHandle } from "./ioasid/bind.ts";

export { ID_BITMAP_BYTES, IdBitmap, MAX_ID } from "./ioasid/bitmap.ts";
export type { Capacity } from "./ioasid/capacity.ts";
export { IoasidCgroup, Task } from "./ioasid/cgroup.ts";
export { type PasidBus, PasidConsumer, type PasidLimits, type PasidOps } from "./ioasid/consumer.ts";
export { DISABLED_CONSUMER, DisabledIoasid } from "./ioasid/disabled.ts";
export { ExtendedIoasid, type ExtendedIoasidOptions, type IoasidState } from "./ioasid/extended.ts";
export { FIRST_GLOBAL_PASID, GlobalPasids, type GlobalPasidsOptions, NO_PASID } from "./ioasid/global.ts";
export { Ioasid, type IoasidEntry, type IoasidOptions } from "./ioasid/ioasid.ts";
export {
  HWPT_ALLOC_DIRTY_TRACKING,
  HWPT_ALLOC_NEST_PARENT,
  HWPT_ALLOC_PASID,
  HWPT_FAULT_ID_VALID,
  type Hwpt,
  IommufdDevice,
  VFIO_PASID,
  type VfioAttach,
  VfioDevice,
} from "./ioasid/iommufd.ts";
export {
  type IoasidEvent,
  NOTIFY_ALL,
  NOTIFY_SET,
  type Notifier,
  type NotifierPriority,
  type NotifyCommand,
} from "./ioasid/notifiers.ts";
export {
  INVALID_IOASID,
  type KernelProfile,
  type Log,
  type LogEntry,
  ReentrancyError,
  type Rules,
} from "./ioasid/profile.ts";
export type { AnyQuotaSet, QuotaSet, QuotaSetOptions, Series } from "./ioasid/quota-sets.ts";
export type { Reader } from "./ioasid/readers.ts";
export { type IoasidPort, type IoasidServer, RemoteIoasid, serveIoasid } from "./ioasid/remote.ts";
export { ERRNO, type Errno, type Failure, type Found, type Result, type Status } from "./ioasid/result.ts";
export { type AnySet, IoasidSet } from "./ioasid/sets.ts";
export { Mm, SvaPasids } from "./ioasid/sva.ts";
export {
  GuestIommu,
  type GuestIommuOptions,
  type RegisterAccess,
  registerVcmdAllocator,
  type VcmdRegistration,
  VcmdTimeout,
} from "./ioasid/vcmd-guest.ts";
export { GuestPasids, type GuestPasidsOptions } from "./ioasid/vcmd-host.ts";
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
export {
  type Choice as SmmuChoice,
  type CommandStep as SmmuCommandStep,
  commandFields as smmuCommandFields,
  commandName as smmuCommandName,
  type DmaFailure as SmmuDmaFailure,
  type DmaOptions as SmmuDmaOptions,
  type DmaRead as SmmuDmaRead,
  type DmaWrite as SmmuDmaWrite,
  decodeEvent as decodeSmmuEvent,
  type EntryUpdate as SmmuEntryUpdate,
  encodeEvent as encodeSmmuEvent,
  eventMeaning as smmuEventMeaning,
  eventName as smmuEventName,
  featuresFromIds as smmuFeaturesFromIds,
  type IdRegisters as SmmuIdRegisters,
  idRegisters as smmuIdRegisters,
  type LineSink as SmmuLineSink,
  type LiveEntry as SmmuLiveEntry,
  liveEntry as smmuLiveEntry,
  NOT_MODELLED as SMMU_NOT_MODELLED,
  oddities as smmuOddities,
  type PageRequestOutcome as SmmuPageRequestOutcome,
  type ResumeSink as SmmuResumeSink,
  SMMU_CHOICES,
  SMMU_PRESETS,
  type SmmuAttributes,
  SmmuBatch,
  type SmmuCachePolicy,
  type SmmuCacheSizes,
  SmmuCdTable,
  SmmuDevice,
  type SmmuEvent,
  type SmmuFault,
  type SmmuFeatures,
  type SmmuLine,
  type SmmuMmio,
  type SmmuOptions,
  type SmmuOutcome,
  SmmuPageTable,
  type SmmuPageTableOptions,
  type SmmuPreset,
  type SmmuState,
  SmmuStreamTable,
  type SmmuTranslationCaches,
  Smmuv3,
  SmmuWalker,
  smmuAttributes,
  smmuFeatures,
  updateCd as updateSmmuCd,
  updateSte as updateSmmuSte,
} from "./smmuv3/index.ts";
export type { Json, Snapshot } from "./snapshot.ts";
export {
  type BlockedInterrupt as VtdBlockedInterrupt,
  type CapabilityRegisters as VtdCapabilityRegisters,
  type DeliveredInterrupt as VtdDeliveredInterrupt,
  type DmaFailure as VtdDmaFailure,
  type DmaOptions as VtdDmaOptions,
  type DmaRead as VtdDmaRead,
  type DmaWrite as VtdDmaWrite,
  type FaultReason as VtdFaultReason,
  type FaultRecord as VtdFaultRecord,
  type FaultType as VtdFaultType,
  faultReason as vtdFaultReason,
  type InterruptOutcome as VtdInterruptOutcome,
  type PageRequestOutcome as VtdPageRequestOutcome,
  type QueueStep as VtdQueueStep,
  VTD_PRESETS,
  type VtdAttributes,
  VtdBatch,
  type VtdCachePolicy,
  type VtdCacheSizes,
  VtdCapabilities,
  VtdDevice,
  type VtdFeature,
  type VtdFeatures,
  type VtdMmio,
  VtdPageTable,
  type VtdPreset,
  type VtdState,
  VtdTables,
  type VtdTranslationCaches,
  VtdUnit,
  type VtdUnitOptions,
  VtdWalker,
  vtdAttributes,
} from "./vtd/index.ts";
export { type HostPasids, Vcmd, type VcmdOptions } from "./vtd/vcmd.ts";
export { VCMD_ERAS, type VcmdEra } from "./vtd/vcmd-layout.ts";
export type { BareResult } from "./walk/result.ts";
