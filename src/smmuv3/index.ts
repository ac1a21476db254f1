/** The SMMUv3's public names. */

export { SmmuBatch } from "./batch.ts";
export { type SmmuCachePolicy, type SmmuCacheSizes, SmmuTranslationCaches } from "./caches.ts";
export { type Choice, SMMU_CHOICES } from "./choices.ts";
export { commandFields, commandName } from "./commands.ts";
export { type DmaFailure, type DmaOptions, type DmaRead, type DmaWrite, SmmuDevice } from "./device.ts";
export { decodeEvent, encodeEvent, type SmmuEvent } from "./event-record.ts";
export { oddities } from "./feature-rules.ts";
export {
  featuresFromIds,
  type IdRegisters,
  idRegisters,
  NOT_MODELLED,
  type SmmuFeatures,
  smmuFeatures,
} from "./features.ts";
export type { LineSink, SmmuLine } from "./interrupts.ts";
export {
  checkInfo,
  descriptorFields,
  eventMeaning,
  eventName,
  fieldMeaning,
  SMMU_STRUCTURES,
  type SmmuAttributes,
  type SmmuStructure,
  smmuAttributes,
} from "./names.ts";
export { type Granule, SmmuPageTable, type SmmuPageTableOptions } from "./page-table.ts";
export { SMMU_PRESETS, type SmmuPreset } from "./presets.ts";
export type { PageRequestOutcome } from "./pri.ts";
export type { CommandStep } from "./queue.ts";
export { SmmuCdTable, SmmuStreamTable } from "./tables.ts";
export { type ResumeSink, type SmmuFault, type SmmuMmio, type SmmuOptions, type SmmuOutcome, Smmuv3 } from "./unit.ts";
export { type EntryUpdate, type LiveEntry, liveEntry, updateCd, updateSte } from "./update.ts";
export { type SmmuState, SmmuWalker } from "./walker.ts";
