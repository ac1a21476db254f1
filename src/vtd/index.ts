/** The public names of `iommulator/vtd`: a whole Intel VT-d unit, as its driver and its devices see it. */

export type {
  DeviceInvalidation,
  Endpoint,
  PageGroupResponse,
  PageRequest,
  TranslationCompletion,
  TranslationOptions,
} from "../endpoint.ts";
export type { InterruptSink } from "../iommu.ts";
export {
  type Register,
  RegisterFile,
  type RegisterFragment,
  type RegisterWrite,
  type ResetKind,
} from "../registers.ts";
export type { Json, Snapshot } from "../snapshot.ts";
export { VtdBatch } from "./batch.ts";
export {
  type DmaFailure as VtdDmaFailure,
  type DmaOptions as VtdDmaOptions,
  type DmaRead as VtdDmaRead,
  type DmaWrite as VtdDmaWrite,
  VtdDevice,
} from "./device.ts";
export type { FaultRecord as VtdFaultRecord, FaultType as VtdFaultType } from "./faults.ts";
export type {
  BlockedInterrupt as VtdBlockedInterrupt,
  DeliveredInterrupt as VtdDeliveredInterrupt,
  InterruptOutcome as VtdInterruptOutcome,
} from "./interrupts.ts";
export type { PageRequestOutcome as VtdPageRequestOutcome } from "./page-requests.ts";
export type { QueueStep as VtdQueueStep } from "./queue.ts";
export { type VtdMmio, VtdUnit, type VtdUnitOptions } from "./unit.ts";
export { type HostPasids, Vcmd, type VcmdOptions } from "./vcmd.ts";
export { VCMD_ERAS, type VcmdEra } from "./vcmd-layout.ts";
