/**
 * What the VT-d unit and its driver exchange through queues and messages: invalidation descriptors
 * (Intel D51397, rev 5.10, "Invalidation of Translation Caches"), page requests ("Page Request
 * Descriptor") and interrupt requests ("Interrupt Remapping").
 *
 * A field is `msb << 16 | lsb`, absolute within the descriptor.
 */

/** Bytes of a descriptor when IQA.DW is 0, and when it is 1. */
export const DESCRIPTOR_BYTES = 16;
export const WIDE_DESCRIPTOR_BYTES = 32;
/** log2 of the descriptors in a queue of IQA.QS = 0: 128-bit, 256-bit. */
export const LOG2_DESCRIPTORS = 8;
export const LOG2_WIDE_DESCRIPTORS = 7;

/** What every descriptor has: Type = TYPE_HIGH << 4 | TYPE_LOW. */
export enum DESCRIPTOR {
  TYPE_LOW = (3 << 16) | 0,
  TYPE_HIGH = (11 << 16) | 9,
}
export const TYPE_LOW_BITS = 4;

export enum TYPE {
  CC_INV = 1,
  IOTLB_INV = 2,
  DEV_TLB_INV = 3,
  IEC_INV = 4,
  INV_WAIT = 5,
  P_IOTLB_INV = 6,
  PC_INV = 7,
  P_DEV_TLB_INV = 8,
  PAGE_GRP_RESP = 9,
  HPT_INV = 10,
}

/** Context-cache invalidate; G is GRANULARITY. */
export enum CC_INV {
  G = (5 << 16) | 4,
  DID = (31 << 16) | 16,
  SID = (47 << 16) | 32,
  FM = (49 << 16) | 48,
}

/** IOTLB invalidate; G is GRANULARITY. */
export enum IOTLB_INV {
  G = (5 << 16) | 4,
  DW = (6 << 16) | 6,
  DR = (7 << 16) | 7,
  DID = (31 << 16) | 16,
  AM = (69 << 16) | 64,
  IH = (70 << 16) | 70,
  ADDR = (127 << 16) | 76,
}

/** Device-TLB invalidate. PFSID and MIP count with ECAP.DIT only. */
export enum DEV_TLB_INV {
  PFSID_LOW = (15 << 16) | 12,
  MIP = (20 << 16) | 16,
  SID = (47 << 16) | 32,
  PFSID_HIGH = (63 << 16) | 52,
  S = (64 << 16) | 64,
  ADDR = (127 << 16) | 76,
}

/** Interrupt entry cache invalidate; G = 0 global, 1 index-selective. */
export enum IEC_INV {
  G = (4 << 16) | 4,
  IM = (31 << 16) | 27,
  IIDX = (47 << 16) | 32,
}

export enum INV_WAIT {
  IF = (4 << 16) | 4,
  SW = (5 << 16) | 5,
  FN = (6 << 16) | 6,
  /** With ECAP.PDS only. */
  PD = (7 << 16) | 7,
  STATUS_DATA = (63 << 16) | 32,
  STATUS_ADDR = (127 << 16) | 66,
}

/** PASID-based IOTLB invalidate; G is P_IOTLB_G. */
export enum P_IOTLB_INV {
  G = (5 << 16) | 4,
  DID = (31 << 16) | 16,
  PASID = (51 << 16) | 32,
  AM = (69 << 16) | 64,
  IH = (70 << 16) | 70,
  ADDR = (127 << 16) | 76,
}
export enum P_IOTLB_G {
  PASID = 2,
  PAGE = 3,
}

/** PASID-cache invalidate; G is PC_G. */
export enum PC_INV {
  G = (5 << 16) | 4,
  DID = (31 << 16) | 16,
  PASID = (51 << 16) | 32,
}
export enum PC_G {
  DOMAIN = 0,
  PASID = 1,
  RESERVED = 2,
  GLOBAL = 3,
}

/** PASID-based device-TLB invalidate. PFSID and MIP count with ECAP.DIT only. */
export enum P_DEV_TLB_INV {
  MIP = (8 << 16) | 4,
  PFSID_LOW = (15 << 16) | 12,
  SID = (31 << 16) | 16,
  PASID = (51 << 16) | 32,
  PFSID_HIGH = (63 << 16) | 52,
  GI = (64 << 16) | 64,
  S = (75 << 16) | 75,
  ADDR = (127 << 16) | 76,
}
export const PFSID_LOW_BITS = 4;

/** Page group response. */
export enum PAGE_GRP_RESP {
  PP = (4 << 16) | 4,
  RC = (15 << 16) | 12,
  RID = (31 << 16) | 16,
  PASID = (51 << 16) | 32,
  /** Ignored since revision 5.10. */
  IGNORED = (66 << 16) | 66,
  PRGI = (75 << 16) | 67,
}

/** PAGE_GRP_RESP.RC */
export enum RESPONSE {
  SUCCESS = 0,
  INVALID_REQUEST = 1,
  FAILURE = 15,
}

/** Host permission table invalidate; G is GRANULARITY. */
export enum HPT_INV {
  G = (5 << 16) | 4,
  HPTDID = (31 << 16) | 16,
  AM = (69 << 16) | 64,
  IH = (71 << 16) | 70,
  ADDR = (127 << 16) | 76,
}

/** Page request descriptor; all of its words 2 and 3 are 0. */
export enum PAGE_REQ {
  TYPE = (7 << 16) | 0,
  PP = (8 << 16) | 8,
  RID = (31 << 16) | 16,
  PASID = (51 << 16) | 32,
  EXR = (52 << 16) | 52,
  PMR = (53 << 16) | 53,
  RDR = (64 << 16) | 64,
  WRR = (65 << 16) | 65,
  LPIG = (66 << 16) | 66,
  PRGI = (75 << 16) | 67,
  ADDR = (127 << 16) | 76,
}
export const PAGE_REQ_BYTES = 32;
/** PAGE_REQ.TYPE */
export const PAGE_REQ_TYPE = 1;
/** log2 of the descriptors in a queue of PQA.PQS = 0. */
export const LOG2_PAGE_REQS = 7;

/** Address of an interrupt request: FEE0_0000h to FEEF_FFFFh. */
export enum INTERRUPT_ADDRESS {
  /** Handle bit 15. */
  HANDLE_HIGH = (2 << 16) | 2,
  SHV = (3 << 16) | 3,
  /** 1 remappable, 0 compatibility format. */
  FORMAT = (4 << 16) | 4,
  HANDLE_LOW = (19 << 16) | 5,
  /** FEEh */
  PREFIX = (31 << 16) | 20,
}
export const HANDLE_LOW_BITS = 15;

/** Data of a remappable interrupt request. */
export enum INTERRUPT_DATA {
  SUBHANDLE = (15 << 16) | 0,
  RESERVED = (31 << 16) | 16,
}

/** The message that a remapped interrupt becomes: address. */
export enum MSI_ADDRESS {
  DM = (2 << 16) | 2,
  RH = (3 << 16) | 3,
  DESTINATION = (19 << 16) | 12,
  PREFIX = (31 << 16) | 20,
  /** x2APIC destination bits 31:8. */
  DESTINATION_HIGH = (63 << 16) | 40,
}
/** Destination bits that lie in MSI_ADDRESS.DESTINATION. */
export const DESTINATION_LOW_BITS = 8;

/** The message that a remapped interrupt becomes: data. */
export enum MSI_DATA {
  VECTOR = (7 << 16) | 0,
  DELIVERY_MODE = (10 << 16) | 8,
  ASSERT = (14 << 16) | 14,
  TRIGGER_MODE = (15 << 16) | 15,
}
