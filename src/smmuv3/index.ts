/** The public names of `iommulator/smmuv3`: a whole Arm SMMUv3, as its driver and its devices see it. */

export type {
  DeviceInvalidation,
  Endpoint,
  PageGroupResponse,
  PageRequest,
  TranslationCompletion,
  TranslationOptions,
} from "../endpoint.ts";
export {
  type Register,
  RegisterFile,
  type RegisterFragment,
  type RegisterWrite,
  type ResetKind,
} from "../registers.ts";
export type { Json, Snapshot } from "../snapshot.ts";
export { SmmuBatch } from "./batch.ts";
export { type Choice as SmmuChoice, SMMU_CHOICES } from "./choices.ts";
export { commandFields as smmuCommandFields, commandName as smmuCommandName } from "./commands.ts";
export {
  type DmaFailure as SmmuDmaFailure,
  type DmaOptions as SmmuDmaOptions,
  type DmaRead as SmmuDmaRead,
  type DmaWrite as SmmuDmaWrite,
  SmmuDevice,
} from "./device.ts";
export { decodeEvent as decodeSmmuEvent, encodeEvent as encodeSmmuEvent, type SmmuEvent } from "./event-record.ts";
export type { LineSink as SmmuLineSink, SmmuLine } from "./interrupts.ts";
export type { PageRequestOutcome as SmmuPageRequestOutcome } from "./pri.ts";
export type { CommandStep as SmmuCommandStep } from "./queue.ts";
export {
  type ResumeSink as SmmuResumeSink,
  type SmmuFault,
  type SmmuMmio,
  type SmmuOptions,
  type SmmuOutcome,
  Smmuv3,
} from "./unit.ts";
export {
  type EntryUpdate as SmmuEntryUpdate,
  type LiveEntry as SmmuLiveEntry,
  liveEntry as smmuLiveEntry,
  updateCd as updateSmmuCd,
  updateSte as updateSmmuSte,
} from "./update.ts";
