/** What the numbers of the SMMUv3 walker are called: structures, events, checks, field values. */
import {
  CD,
  CONFIG,
  EATS,
  L1CD,
  L1STD,
  PTE,
  PTE1,
  PTE2,
  S1DSS,
  S1FMT,
  SHAREABILITY,
  STE,
  STRW,
  TG0,
  TG1,
} from "../../assembly/layout/smmuv3.ts";
import { EVENT_NUMBER } from "../../assembly/layout/smmuv3-faults.ts";
import { ATTRIBUTE, CHECK, STRUCTURE } from "../../assembly/layout/smmuv3-unit.ts";
import type { TraceCheck } from "../iommu.ts";
import { getField, type Layout } from "../structure.ts";

/** A structure that traces name. */
export interface SmmuStructure {
  name: string;
  /** What it is, for people. */
  title: string;
  /** Its fields. Descriptors have those of their stage as well, see `descriptorFields`. */
  layout: Layout;
}

const STRUCTURES: Readonly<Record<STRUCTURE, SmmuStructure>> = {
  [STRUCTURE.L1STD]: { name: "L1STD", title: "level 1 stream table descriptor", layout: L1STD },
  [STRUCTURE.STE]: { name: "STE", title: "stream table entry", layout: STE },
  [STRUCTURE.L1CD]: { name: "L1CD", title: "level 1 context descriptor", layout: L1CD },
  [STRUCTURE.CD]: { name: "CD", title: "context descriptor", layout: CD },
  [STRUCTURE.DESCRIPTOR]: { name: "descriptor", title: "translation table descriptor", layout: PTE },
};

/** Every structure that a walk may read. */
export const SMMU_STRUCTURES: readonly SmmuStructure[] = Object.values(STRUCTURES);

export function structureName(structure: number): string {
  return STRUCTURES[structure as STRUCTURE]?.name ?? `structure ${structure}`;
}

/** The fields of a translation table descriptor: those of both stages, and those of `stage`. */
export function descriptorFields(stage: number): Layout {
  return { ...PTE, ...(stage === 2 ? PTE2 : PTE1) };
}

/** An event in a plain sentence. */
const EVENTS: Readonly<Record<EVENT_NUMBER, string>> = {
  [EVENT_NUMBER.F_UUT]: "The transaction is of a kind that the SMMU does not support.",
  [EVENT_NUMBER.C_BAD_STREAMID]: "The StreamID is outside the stream table.",
  [EVENT_NUMBER.F_STE_FETCH]: "The stream table could not be read.",
  [EVENT_NUMBER.C_BAD_STE]: "The stream table entry is invalid.",
  [EVENT_NUMBER.F_BAD_ATS_TREQ]: "The stream may not send ATS translation requests.",
  [EVENT_NUMBER.F_STREAM_DISABLED]: "The stream takes no transaction without (or with this) SubstreamID.",
  [EVENT_NUMBER.F_TRANSL_FORBIDDEN]: "The stream may not send translated transactions.",
  [EVENT_NUMBER.C_BAD_SUBSTREAMID]: "The SubstreamID has no context descriptor.",
  [EVENT_NUMBER.F_CD_FETCH]: "The context descriptor could not be read.",
  [EVENT_NUMBER.C_BAD_CD]: "The context descriptor is invalid.",
  [EVENT_NUMBER.F_WALK_EABT]: "A translation table could not be read or updated.",
  [EVENT_NUMBER.F_TRANSLATION]: "No table maps the address.",
  [EVENT_NUMBER.F_ADDR_SIZE]: "An address is wider than the tables or the SMMU may use.",
  [EVENT_NUMBER.F_ACCESS]: "The page's access flag is clear.",
  [EVENT_NUMBER.F_PERMISSION]: "The page does not permit the access.",
  [EVENT_NUMBER.F_TLB_CONFLICT]: "More than one TLB entry matched.",
  [EVENT_NUMBER.F_CFG_CONFLICT]: "More than one configuration cache entry matched.",
  [EVENT_NUMBER.E_PAGE_REQUEST]: "A device hints that it will need a page.",
  [EVENT_NUMBER.F_VMS_FETCH]: "The virtual machine structure could not be read.",
};

/** The architecture's name of an event number. */
export function eventName(event: number): string {
  return EVENT_NUMBER[event] ?? `event 0x${event.toString(16)}`;
}

/** What an event means, in a sentence; "" for one that does not exist. */
export function eventMeaning(event: number): string {
  return EVENTS[event as EVENT_NUMBER] ?? "";
}

type CheckText = readonly [id: string, rule: string, section: string];

const CHECKS: Readonly<Record<CHECK, CheckText>> = {
  [CHECK.NONE]: ["", "", ""],
  [CHECK.GBPA_ABORT]: ["GBPA.ABORT", "SMMUEN = 0 and GBPA.ABORT = 1 abort everything", "6.3.14"],
  [CHECK.GBPA_SIZE]: ["GBPA.OAS", "a bypassed address fits the output address size", "3.11"],
  [CHECK.SID_RANGE]: ["SID", "the StreamID is below 2^LOG2SIZE and 2^SIDSIZE", "3.3.1"],
  [CHECK.L1STD_FETCH]: ["L1STD.fetch", "the level 1 descriptor can be read", "3.3.1"],
  [CHECK.L1STD_SPAN]: ["L1STD.Span", "Span is 1 to SPLIT + 1, and at most 11", "5.1"],
  [CHECK.L1STD_INDEX]: ["L1STD.index", "the StreamID lies within the 2^(Span - 1) entries", "5.1"],
  [CHECK.STE_FETCH]: ["STE.fetch", "the stream table entry can be read", "3.3.1"],
  [CHECK.STE_V]: ["STE.V", "V = 1", "5.2"],
  [CHECK.STE_CONFIG]: ["STE.Config", "Config = 0b0xx aborts without an event", "5.2"],
  [CHECK.STE_S1P]: ["STE.S1P", "stage 1 is implemented if Config enables it", "5.2"],
  [CHECK.STE_S2P]: ["STE.S2P", "stage 2 is implemented if Config enables it", "5.2"],
  [CHECK.STE_EATS_SPLIT]: ["STE.EATS=2", "split-stage ATS needs both stages, S2S = 0 and NS1ATS = 0", "5.2"],
  [CHECK.STE_EATS_STALL]: ["STE.EATS=1", "ATS goes with S2S = 0", "5.2"],
  [CHECK.STE_STRW]: ["STE.STRW", "STRW is NS-EL1 or EL2", "5.2"],
  [CHECK.STE_S1STALLD]: ["STE.S1STALLD", "S1STALLD = 1 only where stalling and terminating are both possible", "5.2"],
  [CHECK.STE_S1CDMAX]: ["STE.S1CDMax", "S1CDMax is at most SSIDSIZE", "5.2"],
  [CHECK.STE_S1FMT]: ["STE.S1Fmt", "two-level CD tables are implemented if used", "5.2"],
  [CHECK.STE_S1CONTEXTPTR]: ["STE.S1ContextPtr", "S1ContextPtr is within OAS (nested: IAS)", "5.2"],
  [CHECK.STE_S2FWB]: ["STE.S2FWB", "S2FWB = 1 goes with S2AA64 = 1", "5.2"],
  [CHECK.STE_S2S]: ["STE.S2S", "S2S suits the stall model", "5.2"],
  [CHECK.STE_S2AA64]: ["STE.S2AA64", "the stage 2 table format is implemented", "5.2"],
  [CHECK.STE_HTTU]: ["STE.S2HA,S2HD", "table updates are implemented if enabled", "5.2"],
  [CHECK.STE_S2TG]: ["STE.S2TG", "the stage 2 granule is implemented", "5.2"],
  [CHECK.STE_S2TTB]: ["STE.S2TTB", "S2TTB is within the stage 2 output size", "5.2"],
  [CHECK.STE_S2T0SZ]: ["STE.S2T0SZ", "S2T0SZ is within its range", "5.2"],
  [CHECK.STE_S2SL0]: ["STE.S2SL0", "start level, granule and input size fit each other", "5.2"],
  [CHECK.STE_S2ENDI]: ["STE.S2ENDI", "the stage 2 endianness is implemented", "5.2"],
  [CHECK.STE_S2VMID]: ["STE.S2VMID", "the VMID has 8 bits unless VMID16 = 1", "5.2"],
  [CHECK.ATS_REQUEST]: ["ATS.request", "the stream may send translation requests (EATS)", "3.9.1"],
  [CHECK.ATS_FORBIDDEN]: ["ATS.translated", "the stream may send translated transactions (EATS)", "3.9.1"],
  [CHECK.ATS_SIZE]: ["ATS.OAS", "a translated address fits the output address size", "3.9.1"],
  [CHECK.SUBSTREAM_UNEXPECTED]: ["SSID.none", "no SubstreamID where stage 1 is disabled", "3.3.2"],
  [CHECK.SUBSTREAM_RANGE]: ["SSID.range", "the SubstreamID is below 2^S1CDMax, with S1CDMax > 0", "3.3.2"],
  [CHECK.SUBSTREAM_MISSING]: ["SSID.missing", "S1DSS = 0b00 terminates transactions without SubstreamID", "3.3.2"],
  [CHECK.SUBSTREAM_ZERO]: ["SSID.zero", "S1DSS = 0b10 keeps CD 0 from SubstreamID 0", "3.3.2"],
  [CHECK.BYPASS_SIZE]: ["bypass.OAS", "a bypassed address fits the output address size", "3.4"],
  [CHECK.IAS_SIZE]: ["bypass.IAS", "an address that bypasses stage 1 fits the intermediate address size", "3.4"],
  [CHECK.L1CD_FETCH]: ["L1CD.fetch", "the level 1 context descriptor can be read", "3.3.2"],
  [CHECK.L1CD_V]: ["L1CD.V", "V = 1", "5.3"],
  [CHECK.L1CD_L2PTR]: ["L1CD.L2Ptr", "L2Ptr is within OAS (nested: IAS)", "5.3"],
  [CHECK.CD_FETCH]: ["CD.fetch", "the context descriptor can be read", "3.3.2"],
  [CHECK.CD_V]: ["CD.V", "V = 1", "5.4"],
  [CHECK.CD_S1STALLD]: ["CD.S1STALLD", "S = 0 where STE.S1STALLD = 1", "5.4"],
  [CHECK.CD_A]: ["CD.A", "A = 1 where aborting is the only termination", "5.4"],
  [CHECK.CD_S]: ["CD.S", "S suits the stall model", "5.4"],
  [CHECK.CD_ENDI]: ["CD.ENDI", "the endianness is implemented if a table is in use", "5.4"],
  [CHECK.CD_AA64]: ["CD.AA64", "the table format is implemented", "5.4"],
  [CHECK.CD_HTTU]: ["CD.HA,HD", "table updates are implemented if enabled", "5.4"],
  [CHECK.CD_ASID]: ["CD.ASID", "the ASID has 8 bits unless ASID16 = 1", "5.4"],
  [CHECK.CD_TXSZ]: ["CD.TxSZ", "TxSZ of each table in use is within its range", "5.4"],
  [CHECK.CD_TGX]: ["CD.TGx", "the granule of each table in use is implemented", "5.4"],
  [CHECK.CD_TTBX]: ["CD.TTBx", "the base of each table in use is within the output size", "5.4"],
  [CHECK.INPUT_RANGE]: ["input.size", "the address is within the size that TxSZ sets", "DDI 0487 D8.2"],
  [CHECK.INPUT_EPD]: ["input.EPD", "walks of the selected table are enabled", "5.4"],
  [CHECK.PTE_FETCH]: ["PTE.fetch", "the descriptor can be read", "7.3.12"],
  [CHECK.PTE_VALID]: ["PTE.valid", "bit 0 is set", "DDI 0487 D8.3"],
  [CHECK.PTE_TYPE]: ["PTE.type", "a block or page is allowed at this level", "DDI 0487 D8.3"],
  [CHECK.PTE_ADDRESS]: ["PTE.address", "the address is within the output size", "DDI 0487 D8.2"],
  [CHECK.PTE_AF]: ["PTE.AF", "the access flag is set, or need not be", "DDI 0487 D8.5"],
  [CHECK.PTE_S2PTW]: ["PTE.S2PTW", "stage 1 tables do not lie in Device memory while S2PTW = 1", "5.2"],
  [CHECK.PTE_PERMISSION]: ["PTE.permission", "the page permits the access", "DDI 0487 D8.4"],
  [CHECK.PTE_UPDATE]: ["PTE.update", "the descriptor can be updated", "3.13"],
};

/** Id, rule and section (of IHI 0070 unless told) of a CHECK number. */
export function checkInfo(check: number): Omit<TraceCheck, "failed"> {
  const [id, rule, section] = CHECKS[check as CHECK] ?? CHECKS[CHECK.NONE];
  return { id, rule, section };
}

const GRANULE0 = { [TG0.GRANULE_4K]: "4 KiB", [TG0.GRANULE_64K]: "64 KiB", [TG0.GRANULE_16K]: "16 KiB" };
const SIZES = ["32 bits", "36 bits", "40 bits", "42 bits", "44 bits", "48 bits", "52 bits", "56 bits"];
const SHARE = {
  [SHAREABILITY.NON_SHAREABLE]: "non-shareable",
  [SHAREABILITY.OUTER]: "outer shareable",
  [SHAREABILITY.INNER]: "inner shareable",
};
const CACHE = ["non-cacheable", "write-back", "write-through", "write-back, no write-allocate"];
const WALK_CACHE = ["non-cacheable", "write-back", "write-through", "write-back, no read-allocate"];
const OVERRIDE = ["incoming", "incoming"];

/** Meanings of enumerated field values, by structure and field, for people. */
const MEANINGS: Readonly<Record<string, Readonly<Record<string, Readonly<Record<number, string>>>>>> = {
  STE: {
    Config: {
      [CONFIG.ABORT]: "abort",
      [CONFIG.BYPASS]: "bypass",
      [CONFIG.STAGE1]: "stage 1",
      [CONFIG.STAGE2]: "stage 2",
      [CONFIG.NESTED]: "stage 1 and 2",
    },
    S1Fmt: {
      [S1FMT.LINEAR]: "linear",
      [S1FMT.TWO_LEVEL_4K]: "2-level, 4 KiB leaves",
      [S1FMT.TWO_LEVEL_64K]: "2-level, 64 KiB leaves",
    },
    S1DSS: {
      [S1DSS.TERMINATE]: "terminate without SubstreamID",
      [S1DSS.BYPASS]: "bypass stage 1 without SubstreamID",
      [S1DSS.SUBSTREAM0]: "CD 0 without SubstreamID",
    },
    S1CIR: WALK_CACHE,
    S1COR: WALK_CACHE,
    S1CSH: SHARE,
    EATS: { [EATS.NONE]: "no ATS", [EATS.FULL]: "ATS", [EATS.SPLIT]: "split-stage ATS" },
    STRW: { [STRW.NS_EL1]: "NS-EL1", [STRW.EL2]: "EL2" },
    SHCFG: { ...SHARE, 1: "incoming" },
    PRIVCFG: [...OVERRIDE, "unprivileged", "privileged"],
    INSTCFG: [...OVERRIDE, "data", "instruction"],
    S2IR0: CACHE,
    S2OR0: CACHE,
    S2SH0: SHARE,
    S2TG: GRANULE0,
    S2PS: SIZES,
  },
  CD: {
    TG0: GRANULE0,
    TG1: { [TG1.GRANULE_16K]: "16 KiB", [TG1.GRANULE_4K]: "4 KiB", [TG1.GRANULE_64K]: "64 KiB" },
    IR0: CACHE,
    OR0: CACHE,
    SH0: SHARE,
    IR1: CACHE,
    OR1: CACHE,
    SH1: SHARE,
    IPS: SIZES,
    ASET: ["shared with the CPU", "not shared"],
  },
  descriptor: { SH: SHARE, TYPE: ["block", "table or page"] },
};

/** What a value of a field means, in a few words; "" where the number says it all. */
export function fieldMeaning(structure: string, field: string, value: bigint | number): string {
  return MEANINGS[structure]?.[field]?.[Number(value)] ?? "";
}

/**
 * `Translation.attributes` of an SMMU: how the transaction goes out, IHI 0070 13.
 * Bits 7:0 memory type as a MAIR byte, 9:8 shareability, 10 privileged, 11 instruction.
 */
export interface SmmuAttributes {
  /** 0b0000dd00 Device (nGnRnE, nGnRE, nGRE, GRE); else outer and inner half of Normal memory. */
  type: number;
  shareability: "non-shareable" | "outer" | "inner";
  /** PnU after STE.PRIVCFG. */
  privileged: boolean;
  /** InD after STE.INSTCFG. */
  instruction: boolean;
}

const SHAREABILITIES = ["non-shareable", "non-shareable", "outer", "inner"] as const;

/** Takes `Translation.attributes` apart. */
export function smmuAttributes(attributes: number): SmmuAttributes {
  const field = (at: number) => Number(getField([BigInt(attributes)], at));
  return {
    type: field(ATTRIBUTE.TYPE),
    shareability: SHAREABILITIES[field(ATTRIBUTE.SH)] ?? "non-shareable",
    privileged: field(ATTRIBUTE.PRIVILEGED) === 1,
    instruction: field(ATTRIBUTE.INSTRUCTION) === 1,
  };
}
