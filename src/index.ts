/** The public names, one by one. */
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
