/**
 * What VT-d's records and descriptors mean, in plain words: fault records, page requests,
 * invalidation descriptors, interrupt remapping entries (VT-d rev 5.10, chapters 6, 7, 9 and 11).
 */
import { IRTE } from "../../../assembly/layout/vtd.ts";
import {
  CC_INV,
  DESCRIPTOR,
  DEV_TLB_INV,
  HPT_INV,
  IEC_INV,
  INV_WAIT,
  IOTLB_INV,
  P_DEV_TLB_INV,
  P_IOTLB_INV,
  PAGE_GRP_RESP,
  PAGE_REQ,
  PC_INV,
  TYPE,
} from "../../../assembly/layout/vtd-descriptors.ts";
import { REASON } from "../../../assembly/layout/vtd-faults.ts";
import { FRCD } from "../../../assembly/layout/vtd-registers.ts";
import { hex } from "../../check.ts";
import { getField, type Layout } from "../../structure.ts";
import { faultReason, fieldMeaning } from "../../vtd/names.ts";
import { choice, type Meaning, type Shape, yes } from "../shape.ts";
import { showSourceId } from "../source-id.ts";

const SOURCE: Meaning = (value) => `device ${showSourceId(Number(value))}`;
const DID = "domain id";
const AM: Meaning = (value) => `2^${value} pages`;
const IH = "only leaves changed: paging-structure caches may stay";

/** FRCD.FR of interrupt remapping. */
export function isInterruptReason(reason: number): boolean {
  return reason >= REASON.IR_RESERVED_REQUEST && reason <= REASON.IR_DISABLED;
}

/** A fault record: its address is an index when interrupt remapping raised it. */
export function faultRecordShape(words: readonly bigint[]): Shape {
  const interrupt = isInterruptReason(Number(getField(words, FRCD.FR)));
  return {
    title: "Fault recording register (FRCD)",
    purpose: "one fault: who, what, where and why",
    layout: FRCD,
    addresses: ["FI"],
    always: ["F", "SID", "FR", "T1", interrupt ? "INDEX" : "FI"],
    unused: [interrupt ? "FI" : "INDEX"],
    register: true,
    meanings: {
      FI: "page that the request was for",
      INDEX: "index into the interrupt remapping table",
      SID: SOURCE,
      FR: (value) => {
        const { name, meaning } = faultReason(Number(value));
        return name ? `${name}: ${meaning}` : "reserved";
      },
      T1: yes("read (with T2: atomic)", "write (with T2: page request)"),
      T2: "page request, or atomic",
      PRIV: "privileged request",
      EXE: "execute request",
      PP: "the request carried a PASID",
      PV: "PASID, with PP = 1",
      AT: choice("untranslated", "translation request", "translated", "reserved"),
      F: yes("a fault is recorded here", "empty"),
    },
  };
}

export const PAGE_REQ_SHAPE: Shape = {
  title: "Page request descriptor",
  purpose: "a device asks software for a page",
  layout: PAGE_REQ,
  addresses: ["ADDR"],
  always: ["TYPE", "PP", "RID", "RDR", "WRR", "LPIG", "ADDR"],
  meanings: {
    TYPE: (value) => (value === 1n ? "page request" : "reserved"),
    PP: yes("carries a PASID", "no PASID"),
    RID: SOURCE,
    PASID: "PASID, with PP = 1",
    EXR: "wants to execute",
    PMR: "privileged",
    RDR: yes("wants to read", "no read asked"),
    WRR: yes("wants to write", "no write asked"),
    LPIG: yes("last of its group: expects a response", "more of this group follow"),
    PRGI: "page request group",
    ADDR: "page that is wanted",
  },
};

/** Remapped or posted, as IM says. */
export function irteShape(words: readonly bigint[]): Shape {
  const posted = getField(words, IRTE.IM) === 1n;
  const remapped = ["DM", "RH", "TM", "DLM", "DST", "DST_XAPIC"];
  const word =
    (field: string): Meaning =>
    (value) =>
      fieldMeaning("IRTE", field, value) ?? "";
  return {
    title: `Interrupt remapping table entry (${posted ? "posted" : "remapped"})`,
    purpose: "says which interrupt a device's message becomes, and who may send it",
    layout: IRTE,
    addresses: [],
    always: ["P", "IM", "V", "SID", "SVT"],
    unused: posted ? remapped : ["DST_XAPIC", "URG", "PDAL", "PDAH"],
    meanings: {
      P: yes("present", "not present"),
      FPD: "faults are not recorded",
      DM: word("DM"),
      RH: "redirection hint",
      TM: word("TM"),
      DLM: word("DLM"),
      AVAIL: "free for software",
      URG: "urgent: notifies at once",
      IM: word("IM"),
      V: "vector",
      DST: "APIC id; without extended mode its bits 15:8",
      SID: SOURCE,
      SQ: word("SQ"),
      SVT: word("SVT"),
      PDAL: "posted descriptor, address bits 31:6",
      PDAH: "posted descriptor, address bits 63:32",
    },
  };
}

const GRANULARITY = (name: string): Meaning => choice("reserved", "global", "one domain", name);

interface DescriptorWords {
  title: string;
  layout: Layout;
  meanings: Readonly<Record<string, Meaning>>;
  addresses?: readonly string[];
  always: readonly string[];
}

const THROTTLE: Readonly<Record<string, Meaning>> = {
  MIP: "most invalidations that may be pending",
  PFSID_LOW: "physical function, low bits",
  PFSID_HIGH: "physical function, high bits",
};

const RANGE = yes("a range: the lowest 0 of ADDR says how large", "one page");

const DESCRIPTORS: Readonly<Record<TYPE, DescriptorWords>> = {
  [TYPE.CC_INV]: {
    title: "Context-cache invalidation",
    layout: CC_INV,
    always: ["G"],
    meanings: { G: GRANULARITY("one device"), DID, SID: SOURCE, FM: "function mask" },
  },
  [TYPE.IOTLB_INV]: {
    title: "IOTLB invalidation",
    layout: IOTLB_INV,
    always: ["G", "ADDR"],
    addresses: ["ADDR"],
    meanings: {
      G: GRANULARITY("pages of a domain"),
      DW: "drain writes",
      DR: "drain reads",
      DID,
      AM,
      IH,
      ADDR: "first page",
    },
  },
  [TYPE.DEV_TLB_INV]: {
    title: "Device-TLB invalidation",
    layout: DEV_TLB_INV,
    always: ["SID", "S", "ADDR"],
    addresses: ["ADDR"],
    meanings: { ...THROTTLE, SID: SOURCE, S: RANGE, ADDR: "page" },
  },
  [TYPE.IEC_INV]: {
    title: "Interrupt entry cache invalidation",
    layout: IEC_INV,
    always: ["G", "IIDX"],
    meanings: { G: yes("entries by index", "all entries"), IM: (value) => `2^${value} entries`, IIDX: "first index" },
  },
  [TYPE.INV_WAIT]: {
    title: "Invalidation wait",
    layout: INV_WAIT,
    always: ["IF", "SW", "FN"],
    addresses: ["STATUS_ADDR"],
    meanings: {
      IF: "interrupt when done",
      SW: "write STATUS_DATA when done",
      FN: "later descriptors wait",
      PD: "drain page requests",
      STATUS_DATA: "what is written",
      STATUS_ADDR: "where it is written",
    },
  },
  [TYPE.P_IOTLB_INV]: {
    title: "PASID-based IOTLB invalidation",
    layout: P_IOTLB_INV,
    always: ["G", "DID", "PASID"],
    addresses: ["ADDR"],
    meanings: {
      G: choice("reserved", "reserved", "all of a PASID", "pages of a PASID"),
      DID,
      PASID: "PASID",
      AM,
      IH,
      ADDR: "first page",
    },
  },
  [TYPE.PC_INV]: {
    title: "PASID-cache invalidation",
    layout: PC_INV,
    always: ["G"],
    meanings: { G: choice("one domain", "one PASID of a domain", "reserved", "global"), DID, PASID: "PASID" },
  },
  [TYPE.P_DEV_TLB_INV]: {
    title: "PASID-based device-TLB invalidation",
    layout: P_DEV_TLB_INV,
    always: ["SID", "PASID", "S", "ADDR"],
    addresses: ["ADDR"],
    meanings: { ...THROTTLE, SID: SOURCE, PASID: "PASID", GI: "all PASIDs of the device", S: RANGE, ADDR: "page" },
  },
  [TYPE.PAGE_GRP_RESP]: {
    title: "Page group response",
    layout: PAGE_GRP_RESP,
    always: ["PP", "RC", "RID", "PRGI"],
    meanings: {
      PP: yes("carries a PASID", "no PASID"),
      RC: (value) => RESPONSES[Number(value)] ?? "reserved",
      RID: SOURCE,
      PASID: "PASID, with PP = 1",
      IGNORED: "was LPIG before revision 5.10",
      PRGI: "page request group",
    },
  },
  [TYPE.HPT_INV]: {
    title: "Host permission table invalidation",
    layout: HPT_INV,
    always: ["G"],
    addresses: ["ADDR"],
    meanings: { G: GRANULARITY("pages of a domain"), HPTDID: DID, AM, IH: "levels that may stay", ADDR: "first page" },
  },
};

const RESPONSES: Readonly<Record<number, string>> = { 0: "success", 1: "invalid request", 15: "failure" };

/** The shape of an invalidation descriptor; undefined for a type that does not exist. */
export function descriptorShape(type: number): Shape | undefined {
  const words = DESCRIPTORS[type as TYPE];
  if (!words) return undefined;
  const { title, layout, meanings, addresses = [], always } = words;
  return {
    title,
    purpose: "a command in the invalidation queue",
    layout: { ...DESCRIPTOR, ...layout },
    addresses,
    always,
    meanings: { ...meanings, TYPE_LOW: `with TYPE_HIGH: type ${hex(type)}`, TYPE_HIGH: "type, high bits" },
  };
}
