/** The SMMUv3's public names. */
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
export { type SmmuState, SmmuWalker } from "./walker.ts";
