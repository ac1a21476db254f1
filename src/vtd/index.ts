/** Intel VT-d. */
export { checkName, type FaultReason, faultReason, fieldMeaning, structureName } from "./names.ts";
export { type Fields, type Locate, VtdPageTable, VtdTables } from "./tables.ts";
export { type VtdAttributes, type VtdState, VtdWalker, vtdAttributes } from "./walker.ts";
