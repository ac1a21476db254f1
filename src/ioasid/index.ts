/** The public names of `iommulator/ioasid`: who owns which PASID, in the kernels that were and are. */

export type { AllocatorOps } from "./allocators.ts";
export {
  AttachHandle,
  type DomainType,
  IommuGroup,
  type PasidDevice,
  type PasidDomain,
  type PasidDriver,
  type RespondToFault,
} from "./attach.ts";
export { SvaBinder, type SvaDomain, SvaHandle } from "./bind.ts";
export { ID_BITMAP_BYTES, IdBitmap, MAX_ID } from "./bitmap.ts";
export type { Capacity } from "./capacity.ts";
export { IoasidCgroup, Task } from "./cgroup.ts";
export { type PasidBus, PasidConsumer, type PasidLimits, type PasidOps } from "./consumer.ts";
export { DISABLED_CONSUMER, DisabledIoasid } from "./disabled.ts";
export { ExtendedIoasid, type ExtendedIoasidOptions, type IoasidState } from "./extended.ts";
export { FIRST_GLOBAL_PASID, GlobalPasids, type GlobalPasidsOptions, NO_PASID } from "./global.ts";
export { Ioasid, type IoasidEntry, type IoasidOptions } from "./ioasid.ts";
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
} from "./iommufd.ts";
export {
  type IoasidEvent,
  NOTIFY_ALL,
  NOTIFY_SET,
  type Notifier,
  type NotifierPriority,
  type NotifyCommand,
} from "./notifiers.ts";
export {
  INVALID_IOASID,
  type KernelProfile,
  type Log,
  type LogEntry,
  ReentrancyError,
  type Rules,
} from "./profile.ts";
export type { AnyQuotaSet, QuotaSet, QuotaSetOptions, Series } from "./quota-sets.ts";
export type { Reader } from "./readers.ts";
export { type IoasidPort, type IoasidServer, RemoteIoasid, serveIoasid } from "./remote.ts";
export { ERRNO, type Errno, type Failure, type Found, type Result, type Status } from "./result.ts";
export { type AnySet, IoasidSet } from "./sets.ts";
export { Mm, SvaPasids } from "./sva.ts";
export {
  GuestIommu,
  type GuestIommuOptions,
  type RegisterAccess,
  registerVcmdAllocator,
  type VcmdRegistration,
  VcmdTimeout,
} from "./vcmd-guest.ts";
export { GuestPasids, type GuestPasidsOptions } from "./vcmd-host.ts";
