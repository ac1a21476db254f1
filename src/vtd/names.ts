/** VT-d in words: structures, fault reasons, the walker's checks, and what field values mean. */
import { CHECK, REASON, STRUCTURE } from "../../assembly/layout/vtd-faults.ts";
import { checkInteger } from "../check.ts";
import type { TraceCheck } from "../iommu.ts";

/** Names of the structures a walk reads, by STRUCTURE number. */
const STRUCTURES: Readonly<Record<number, string>> = {
  [STRUCTURE.ROOT]: "root entry",
  [STRUCTURE.CONTEXT]: "context entry",
  [STRUCTURE.SROOT]: "scalable root entry",
  [STRUCTURE.SCONTEXT]: "scalable context entry",
  [STRUCTURE.PASIDDIR]: "PASID directory entry",
  [STRUCTURE.PASID]: "PASID table entry",
  [STRUCTURE.FSPTE]: "first-stage entry",
  [STRUCTURE.SSPTE]: "second-stage entry",
  [STRUCTURE.HPTE]: "host permission entry",
  [STRUCTURE.RTADDR]: "RTADDR register",
};

/** Name of a STRUCTURE number. */
export function structureName(structure: number): string {
  return STRUCTURES[structure] ?? `structure ${structure}`;
}

/**
 * Reasons that interrupt remapping raises have no check of the DMA walker; the names of the others
 * are those of the conditions that share the reason.
 */
const INTERRUPT_REASONS: Readonly<Record<number, string>> = {
  [REASON.IR_RESERVED_REQUEST]: "reserved field set in a remappable interrupt request",
  [REASON.IR_INDEX]: "interrupt index beyond the remapping table",
  [REASON.IR_NOT_PRESENT]: "interrupt remapping entry not present",
  [REASON.IR_ACCESS]: "interrupt remapping table cannot be read",
  [REASON.IR_RESERVED_ENTRY]: "reserved field set in the interrupt remapping entry",
  [REASON.IR_COMPATIBILITY]: "compatibility-format interrupt blocked",
  [REASON.IR_SOURCE]: "interrupt remapping entry is not for this source",
  [REASON.IR_PID_ACCESS]: "posted-interrupt descriptor cannot be accessed",
  [REASON.IR_PID_RESERVED]: "reserved field set in the posted-interrupt descriptor",
  [REASON.IR_ILLEGAL_ACCESS]: "access to the interrupt address range that is no interrupt",
  [REASON.IR_MODE]: "interrupt remapping without extended mode, which the unit demands",
  [REASON.IR_DISABLED]: "interrupt while interrupt remapping is off, which the unit demands",
};

/** The conditions' name as the manual prints it (a reason may be shared by several), and a sentence. */
export interface FaultReason {
  /** e.g. "SPT.4", or "IR.22h" for interrupt remapping. */
  name: string;
  /** One plain sentence. */
  meaning: string;
}

const REASONS: Readonly<Record<number, string>> = {
  [REASON.LRT_2]: "The root entry is not present.",
  [REASON.LCT_2]: "The context entry is not present.",
  [REASON.LCT_4]: "The context entry's type or address width is not supported, or its page table cannot be read.",
  [REASON.LGN_1]: "The address is beyond the width that the context entry or the platform has.",
  [REASON.LGN_2]: "The page tables do not permit writing.",
  [REASON.LGN_3]: "The page tables do not permit reading.",
  [REASON.LSS_1]: "A second-stage entry cannot be read.",
  [REASON.LRT_1]: "The root entry cannot be read.",
  [REASON.LCT_1]: "The context entry cannot be read.",
  [REASON.LRT_3]: "A reserved bit of the root entry is set.",
  [REASON.LCT_3]: "A reserved bit of the context entry is set.",
  [REASON.LSS_2]: "A reserved bit of a second-stage entry is set.",
  [REASON.LCT_5]: "The context entry does not permit ATS.",
  [REASON.LGN_4]: "The output address is in the interrupt address range.",
  [REASON.RTA_1]: "The translation table mode in RTADDR is not legal.",
  [REASON.RTA_2]: "A request with PASID met legacy mode.",
  [REASON.RTA_3]: "A page request met legacy mode.",
  [REASON.RTA_4]: "Abort-DMA mode refuses every request.",
  [REASON.RTA_5]: "Execute requests are no longer supported.",
  [REASON.SRT_1]: "The scalable root entry cannot be read.",
  [REASON.SRT_2]: "The half of the scalable root entry for this device is not present.",
  [REASON.SRT_3]: "A reserved bit of the scalable root entry is set.",
  [REASON.SCT_1]: "The scalable context entry cannot be read.",
  [REASON.SCT_2]: "The scalable context entry is not present.",
  [REASON.SCT_3]: "A reserved bit of the scalable context entry is set.",
  [REASON.SCT_4]: "The scalable context entry contradicts itself.",
  [REASON.SCT_5]: "The context entry does not permit ATS (DTE = 0).",
  [REASON.SCT_6]: "The context entry does not permit requests with PASID (PASIDE = 0).",
  [REASON.SCT_7]: "The PASID is beyond the PASID directory (PDTS).",
  [REASON.SCT_8]: "The context entry does not permit page requests (PRE = 0).",
  [REASON.SCT_9]: "The PASID is the one that stands for requests without PASID (RID_PASID).",
  [REASON.SCT_10]: "The context entry does not permit a PASID in translated requests (EPTR = 0).",
  [REASON.SPD_1]: "The PASID directory entry cannot be read.",
  [REASON.SPD_2]: "The PASID directory entry is not present.",
  [REASON.SPD_3]: "A reserved bit of the PASID directory entry is set.",
  [REASON.SPT_1]: "The PASID table entry cannot be read.",
  [REASON.SPT_2]: "The PASID table entry is not present.",
  [REASON.SPT_3]: "A reserved bit of the PASID table entry is set.",
  [REASON.SPT_4]: "The PASID table entry's type, width or paging mode is not supported.",
  [REASON.SPT_5]: "The PASID does not permit execute requests.",
  [REASON.SPT_6]: "The PASID does not permit supervisor requests (SRE = 0).",
  [REASON.SPT_9]: "The translated address is beyond the host permission table.",
  [REASON.SFS_1]: "A first-stage entry cannot be read.",
  [REASON.SFS_2]: "A first-stage entry is not present.",
  [REASON.SFS_3]: "A reserved bit of a first-stage entry is set.",
  [REASON.SFS_4]: "The first-stage root entry cannot be read.",
  [REASON.SFS_5]: "A first-stage entry's address is beyond the guest address width.",
  [REASON.SFS_6]: "The second stage does not permit reading the first-stage root entry.",
  [REASON.SFS_7]: "The second stage does not permit reading a first-stage entry.",
  [REASON.SFS_8]: "The second stage does not permit updating a first-stage entry.",
  [REASON.SSS_1]: "A second-stage entry cannot be read.",
  [REASON.SSS_2]: "The second stage permits neither reading nor writing.",
  [REASON.SSS_3]: "A reserved bit of a second-stage entry is set.",
  [REASON.SSS_4]: "The second-stage root entry cannot be read.",
  [REASON.SSS_5]: "A second-stage accessed or dirty bit must be set, but the walk is not snooped.",
  [REASON.SSS_6]: "A second-stage accessed or dirty bit could not be set.",
  [REASON.SGN_1]: "The address is not canonical.",
  [REASON.SGN_2]: "A user request met a supervisor page.",
  [REASON.SGN_4]: "The address is beyond the host address width.",
  [REASON.SGN_5]: "The address is beyond the second-stage width.",
  [REASON.SGN_6]: "The page tables do not permit writing.",
  [REASON.SGN_7]: "The page tables do not permit reading.",
  [REASON.SGN_8]: "The output address is in the interrupt address range.",
  [REASON.SGN_10]: "The PASID is wider than the unit supports (PSS).",
  [REASON.SFS_9]: "A first-stage accessed or dirty bit must be set, but the walk is not snooped.",
  [REASON.SFS_10]: "A first-stage accessed or dirty bit could not be set.",
  [REASON.HPT_1]: "A host permission entry cannot be read.",
  [REASON.HPT_2]: "A reserved bit of a host permission entry is set.",
  [REASON.HPT_3]: "The host permission root entry cannot be read.",
  [REASON.HPT_4]: "The host permission table has nothing for the address.",
  [REASON.HPT_5]: "The host permission table does not permit writing.",
  [REASON.HPT_6]: "The host permission table does not permit reading.",
};

/** What a fault reason (FRCD.FR) means; reasons the architecture does not use get the name "". */
export function faultReason(code: number): FaultReason {
  checkInteger("code", code, 0, 0xff);
  const interrupt = INTERRUPT_REASONS[code];
  if (interrupt) {
    return { name: `IR.${code.toString(16)}h`, meaning: `${interrupt[0]?.toUpperCase()}${interrupt.slice(1)}.` };
  }
  const meaning = REASONS[code];
  return meaning ? { name: dotted(REASON[code] as string), meaning } : { name: "", meaning: "Not a fault reason." };
}

/** LCT_4_1 is LCT.4.1 in the manual. */
function dotted(name: string): string {
  return name.replaceAll("_", ".");
}

/** Rule in words and section of VT-d rev 5.10, by CHECK number. */
const CHECKS: Readonly<Record<number, readonly [rule: string, section: string]>> = {
  [CHECK.IR_ILLEGAL_ACCESS]: ["access to FEEx_xxxxh is an interrupt or a zero-length read", "3.15"],
  [CHECK.AT]: ["a translation request is a read", "4.2.3"],
  [CHECK.PTRS]: ["a PASID in a translated request needs ECAP.PTRS", "4.2.5"],
  [CHECK.TES]: ["translation is enabled (GSTS.TES)", "11.4.4.1"],
  [CHECK.RTA_1_1]: ["RTADDR.TTM is a mode this unit has", "11.4.5"],
  [CHECK.RTA_1_4]: ["RTADDR.SSIRWE = 0 in legacy mode", "11.4.5"],
  [CHECK.RTA_2]: ["no PASID in legacy mode", "7.1.3"],
  [CHECK.RTA_3]: ["no page request in legacy mode", "7.1.3"],
  [CHECK.RTA_4]: ["not in abort-DMA mode", "7.1.3"],
  [CHECK.RTA_5]: ["no execute request (VER.MAX >= 8)", "7.1.3"],
  [CHECK.LRT_1]: ["root entry can be read", "9.1"],
  [CHECK.LRT_2]: ["root entry P = 1", "9.1"],
  [CHECK.LRT_3]: ["root entry reserved bits are 0", "9.1"],
  [CHECK.LCT_1]: ["context entry can be read", "9.3"],
  [CHECK.LCT_2]: ["context entry P = 1", "9.3"],
  [CHECK.LCT_3]: ["context entry reserved bits are 0", "9.3"],
  [CHECK.LCT_4_1]: ["AW is in CAP.SAGAW (pass-through: the widest)", "9.3"],
  [CHECK.LCT_4_2]: ["TT is a type this unit has", "9.3"],
  [CHECK.LCT_4_3]: ["top second-stage entry can be read", "3.7"],
  [CHECK.LCT_5]: ["TT permits ATS", "9.3"],
  [CHECK.LGN_1_1]: ["address is below 2^min(MGAW, AGAW)", "3.7"],
  [CHECK.LGN_1_2]: ["translated address is below 2^HAW", "4.2.5"],
  [CHECK.LGN_1_3]: ["pass-through address is below 2^HAW", "3.9"],
  [CHECK.LGN_2]: ["the path grants writing", "3.7.1"],
  [CHECK.LGN_3]: ["the path grants reading", "3.7.1"],
  [CHECK.LGN_4]: ["output is not in FEEx_xxxxh", "3.15"],
  [CHECK.LSS_1]: ["second-stage entry can be read", "3.7"],
  [CHECK.LSS_2]: ["second-stage reserved bits are 0", "9.8"],
  [CHECK.SRT_1]: ["scalable root entry can be read", "9.2"],
  [CHECK.SRT_2]: ["LP or UP = 1", "9.2"],
  [CHECK.SRT_3]: ["reserved bits of this half are 0", "9.2"],
  [CHECK.SCT_1]: ["scalable context entry can be read", "9.4"],
  [CHECK.SCT_2]: ["scalable context entry P = 1", "9.4"],
  [CHECK.SCT_3]: ["scalable context entry reserved bits are 0", "9.4"],
  [CHECK.SCT_4_1]: ["PRE = 1 only with DTE = 1", "9.4"],
  [CHECK.SCT_4_2]: ["RID_PASID is within the directory (PDTS)", "9.4"],
  [CHECK.SCT_4_3]: ["EPTR = 1 only with PASIDE = 1", "9.4"],
  [CHECK.SCT_5]: ["DTE permits ATS", "9.4"],
  [CHECK.SCT_6]: ["PASIDE permits a PASID", "9.4"],
  [CHECK.SCT_7]: ["PASID is within the directory (PDTS)", "9.4"],
  [CHECK.SCT_8]: ["PRE permits page requests", "9.4"],
  [CHECK.SCT_9]: ["PASID is not RID_PASID", "9.4"],
  [CHECK.SCT_10]: ["EPTR permits a PASID in translated requests", "9.4"],
  [CHECK.SPD_1]: ["PASID directory entry can be read", "9.5"],
  [CHECK.SPD_2]: ["PASID directory entry P = 1", "9.5"],
  [CHECK.SPD_3]: ["PASID directory entry reserved bits are 0", "9.5"],
  [CHECK.SPT_1]: ["PASID table entry can be read", "9.6"],
  [CHECK.SPT_2]: ["PASID table entry P = 1", "9.6"],
  [CHECK.SPT_3]: ["PASID table entry reserved bits are 0", "9.6"],
  [CHECK.SPT_4_1]: ["AW is in CAP.SAGAW", "9.6"],
  [CHECK.SPT_4_2]: ["PGTT is a type this unit has", "9.6"],
  [CHECK.SPT_4_3]: ["FSPM is a mode this unit has", "9.6"],
  [CHECK.SPT_4_4]: ["FSPTPTR is below 2^min(MGAW, AGAW)", "9.6"],
  [CHECK.SPT_5]: ["execute requests are supported", "9.6"],
  [CHECK.SPT_6]: ["SRE permits supervisor requests", "9.6"],
  [CHECK.SPT_9]: ["address is below the host permission table's limit", "4.2.4"],
  [CHECK.SFS_1]: ["first-stage entry can be read", "3.6"],
  [CHECK.SFS_2]: ["first-stage entry P = 1", "9.7"],
  [CHECK.SFS_3]: ["first-stage reserved bits are 0", "9.7"],
  [CHECK.SFS_4]: ["top first-stage entry can be read", "3.6"],
  [CHECK.SFS_5]: ["address in the entry is below 2^min(MGAW, AGAW)", "3.8"],
  [CHECK.SFS_6]: ["second stage grants reading the top entry", "3.8.1"],
  [CHECK.SFS_7]: ["second stage grants reading the entry", "3.8.1"],
  [CHECK.SFS_8]: ["second stage grants updating the entries", "3.8.1"],
  [CHECK.SFS_9]: ["PWSNP = 1 where A, EA or D must be set", "3.6.2"],
  [CHECK.SFS_10]: ["A, EA or D can be set", "3.6.2"],
  [CHECK.SSS_1]: ["second-stage entry can be read", "3.7"],
  [CHECK.SSS_2]: ["the path grants reading or writing", "9.8"],
  [CHECK.SSS_3]: ["second-stage reserved bits are 0", "9.8"],
  [CHECK.SSS_4]: ["top second-stage entry can be read", "3.7"],
  [CHECK.SSS_5]: ["PWSNP = 1 where A or D must be set", "3.7.2"],
  [CHECK.SSS_6]: ["A or D can be set", "3.7.2"],
  [CHECK.SGN_1]: ["address is canonical", "3.6"],
  [CHECK.SGN_2]: ["U/S = 1 all the way, or a supervisor request", "3.6.1"],
  [CHECK.SGN_4_1]: ["translated address is below 2^HAW", "4.2.5"],
  [CHECK.SGN_4_2]: ["pass-through address is below 2^HAW", "3.9"],
  [CHECK.SGN_5]: ["address is below 2^min(MGAW, AGAW)", "3.7"],
  [CHECK.SGN_6]: ["the path grants writing", "3.6.1"],
  [CHECK.SGN_7]: ["the path grants reading", "3.7.1"],
  [CHECK.SGN_8_1]: ["output is not in FEEx_xxxxh", "3.15"],
  [CHECK.SGN_8_2]: ["page does not reach into FEEx_xxxxh", "4.2.3"],
  [CHECK.SGN_8_3]: ["translated address is not in FEEx_xxxxh", "4.2.5"],
  [CHECK.SGN_10]: ["PASID is below 2^(PSS + 1)", "7.1.3"],
  [CHECK.HPT_1]: ["host permission entry can be read", "4.2.4"],
  [CHECK.HPT_2]: ["host permission reserved bits are 0", "9.12"],
  [CHECK.HPT_3]: ["top host permission entry can be read", "4.2.4"],
  [CHECK.HPT_4]: ["something is permitted to a zero-length read", "4.2.4.1"],
  [CHECK.HPT_5]: ["host permission grants writing", "4.2.4.1"],
  [CHECK.HPT_6]: ["host permission grants reading", "4.2.4.1"],
};

/** Id, rule and section of a CHECK number; 0 (no check) has the id "". */
export function checkName(check: number): Omit<TraceCheck, "failed"> {
  const row = CHECKS[check];
  if (!row) return { id: "", rule: "", section: "" };
  return { id: dotted(CHECK[check] as string), rule: row[0], section: `VT-d ${row[1]}` };
}

/** What values of enumerated fields mean, by structure and field; values not listed are reserved. */
const MEANINGS: Readonly<Record<string, Readonly<Record<number, string>>>> = {
  "CONTEXT.TT": { 0: "second stage, ATS blocked", 1: "second stage, ATS allowed", 2: "pass-through" },
  "CONTEXT.AW": { 1: "39 bits, 3 levels", 2: "48 bits, 4 levels", 3: "57 bits, 5 levels" },
  "PASID.AW": { 1: "39 bits, 3 levels", 2: "48 bits, 4 levels", 3: "57 bits, 5 levels" },
  "PASID.PGTT": { 1: "first stage", 2: "second stage", 3: "nested", 4: "pass-through" },
  "PASID.FSPM": { 0: "4 levels", 1: "5 levels" },
  "RTADDR.TTM": { 0: "legacy mode", 1: "scalable mode", 3: "abort-DMA mode" },
  "IRTE.DM": { 0: "physical", 1: "logical" },
  "IRTE.TM": { 0: "edge", 1: "level" },
  "IRTE.DLM": { 0: "fixed", 1: "lowest priority", 2: "SMI", 4: "NMI", 5: "INIT", 7: "ExtINT" },
  "IRTE.IM": { 0: "remapped", 1: "posted" },
  "IRTE.SVT": { 0: "any source", 1: "source-id", 2: "bus range" },
  "IRTE.SQ": { 0: "all bits", 1: "function bit 2 ignored", 2: "function bits 2:1 ignored", 3: "function ignored" },
  "SSPTE.EMT": { 0: "UC", 1: "WC", 4: "WT", 5: "WP", 6: "WB" },
};

/** What the value of an enumerated field means ("reserved" where nothing), undefined for other fields. */
export function fieldMeaning(structure: string, field: string, value: bigint | number): string | undefined {
  const meanings = MEANINGS[`${structure}.${field}`];
  return meanings && (meanings[Number(value)] ?? "reserved");
}
