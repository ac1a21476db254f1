/**
 * What stands in the SMMUv3's queues: commands (Arm IHI 0070, chapter 4), event records (7.3) and PRI
 * queue entries (chapter 8). A field is `msb << 16 | lsb`, absolute in its entry.
 */

export const COMMAND_BYTES = 16;
export const EVENT_BYTES = 32;
export const PRI_BYTES = 16;

/** Opcodes, 4.1.1. */
export enum OPCODE {
  CMD_PREFETCH_CONFIG = 0x01,
  CMD_PREFETCH_ADDR = 0x02,
  CMD_CFGI_STE = 0x03,
  CMD_CFGI_STE_RANGE = 0x04,
  CMD_CFGI_CD = 0x05,
  CMD_CFGI_CD_ALL = 0x06,
  CMD_CFGI_VMS_PIDM = 0x07,
  CMD_TLBI_NH_ALL = 0x10,
  CMD_TLBI_NH_ASID = 0x11,
  CMD_TLBI_NH_VA = 0x12,
  CMD_TLBI_NH_VAA = 0x13,
  CMD_TLBI_EL3_ALL = 0x18,
  CMD_TLBI_EL3_VA = 0x1a,
  CMD_TLBI_EL2_ALL = 0x20,
  CMD_TLBI_EL2_ASID = 0x21,
  CMD_TLBI_EL2_VA = 0x22,
  CMD_TLBI_EL2_VAA = 0x23,
  CMD_TLBI_S12_VMALL = 0x28,
  CMD_TLBI_S2_IPA = 0x2a,
  CMD_TLBI_NSNH_ALL = 0x30,
  CMD_ATC_INV = 0x40,
  CMD_PRI_RESP = 0x41,
  CMD_RESUME = 0x44,
  CMD_STALL_TERM = 0x45,
  CMD_SYNC = 0x46,
}

/** What all commands have, and most: a stream (4.1.6). */
export enum COMMAND {
  OPCODE = (7 << 16) | 0,
  SSec = (10 << 16) | 10,
}

/** 4.2.1 */
export enum CMD_PREFETCH_CONFIG {
  OPCODE = (7 << 16) | 0,
  SSec = (10 << 16) | 10,
  SSV = (11 << 16) | 11,
  SubstreamID = (31 << 16) | 12,
  StreamID = (63 << 16) | 32,
}

/** 4.2.2 */
export enum CMD_PREFETCH_ADDR {
  OPCODE = (7 << 16) | 0,
  SSec = (10 << 16) | 10,
  SSV = (11 << 16) | 11,
  SubstreamID = (31 << 16) | 12,
  StreamID = (63 << 16) | 32,
  Size = (68 << 16) | 64,
  Stride = (73 << 16) | 69,
  NS = (74 << 16) | 74,
  Addr = (127 << 16) | 76,
}

/** 4.3.1 */
export enum CMD_CFGI_STE {
  OPCODE = (7 << 16) | 0,
  SSec = (10 << 16) | 10,
  StreamID = (63 << 16) | 32,
  Leaf = (64 << 16) | 64,
}

/** 4.3.2; with Range = 31 it is CMD_CFGI_ALL (4.3.6). */
export enum CMD_CFGI_STE_RANGE {
  OPCODE = (7 << 16) | 0,
  SSec = (10 << 16) | 10,
  StreamID = (63 << 16) | 32,
  Range = (68 << 16) | 64,
}

/** 4.3.3 */
export enum CMD_CFGI_CD {
  OPCODE = (7 << 16) | 0,
  SSec = (10 << 16) | 10,
  SubstreamID = (31 << 16) | 12,
  StreamID = (63 << 16) | 32,
  Leaf = (64 << 16) | 64,
}

/** 4.3.5 */
export enum CMD_CFGI_VMS_PIDM {
  OPCODE = (7 << 16) | 0,
  SSec = (10 << 16) | 10,
  VMID = (47 << 16) | 32,
}

/** 4.4: each TLBI command uses some of these. */
export enum CMD_TLBI {
  OPCODE = (7 << 16) | 0,
  NUM = (16 << 16) | 12,
  SCALE = (24 << 16) | 20,
  VMID = (47 << 16) | 32,
  ASID = (63 << 16) | 48,
  Leaf = (64 << 16) | 64,
  TTL = (73 << 16) | 72,
  TG = (75 << 16) | 74,
  Address = (127 << 16) | 76,
}

/** 4.4: CMD_TLBI_S2_IPA carries IPA[51:12]. */
export enum CMD_TLBI_S2_IPA {
  OPCODE = (7 << 16) | 0,
  NUM = (16 << 16) | 12,
  SCALE = (24 << 16) | 20,
  VMID = (47 << 16) | 32,
  Leaf = (64 << 16) | 64,
  TTL = (73 << 16) | 72,
  TG = (75 << 16) | 74,
  IPA = (115 << 16) | 76,
}

/** CMD_TLBI.TG: the granule of a range, or no range at all. */
export enum TLBI_TG {
  NONE = 0,
  GRANULE_4K = 1,
  GRANULE_16K = 2,
  GRANULE_64K = 3,
}

/** 4.5.1 */
export enum CMD_ATC_INV {
  OPCODE = (7 << 16) | 0,
  Global = (9 << 16) | 9,
  SSec = (10 << 16) | 10,
  SSV = (11 << 16) | 11,
  SubstreamID = (31 << 16) | 12,
  StreamID = (63 << 16) | 32,
  Size = (69 << 16) | 64,
  Address = (127 << 16) | 76,
}

/** CMD_ATC_INV.Size of the whole 64-bit space. */
export const ATC_INV_ALL = 52;

/** 4.5.2 */
export enum CMD_PRI_RESP {
  OPCODE = (7 << 16) | 0,
  SSec = (10 << 16) | 10,
  SSV = (11 << 16) | 11,
  SubstreamID = (31 << 16) | 12,
  StreamID = (63 << 16) | 32,
  PRGIndex = (72 << 16) | 64,
  Resp = (77 << 16) | 76,
}

/** CMD_PRI_RESP.Resp */
export enum PRI_RESP {
  FAILURE = 0,
  INVALID_REQUEST = 1,
  SUCCESS = 2,
  RESERVED = 3,
}

/** Response codes of a PCIe page request group response message. */
export enum PRG_RESPONSE {
  SUCCESS = 0,
  INVALID_REQUEST = 1,
  FAILURE = 15,
}

/** 4.7.1 */
export enum CMD_RESUME {
  OPCODE = (7 << 16) | 0,
  SSec = (10 << 16) | 10,
  Ac = (12 << 16) | 12,
  Ab = (13 << 16) | 13,
  StreamID = (63 << 16) | 32,
  STAG = (79 << 16) | 64,
}

/** 4.7.2, and CMD_CFGI_CD_ALL (4.3.4) */
export enum CMD_STREAM {
  OPCODE = (7 << 16) | 0,
  SSec = (10 << 16) | 10,
  StreamID = (63 << 16) | 32,
}

/** 4.7.3 */
export enum CMD_SYNC {
  OPCODE = (7 << 16) | 0,
  CS = (13 << 16) | 12,
  MSH = (23 << 16) | 22,
  MSIAttr = (27 << 16) | 24,
  MSIData = (63 << 16) | 32,
  MSIAddress = (119 << 16) | 66,
}

/** CMD_SYNC.CS, the completion signal. */
export enum SYNC_SIGNAL {
  NONE = 0,
  IRQ = 1,
  SEV = 2,
  RESERVED = 3,
}

/**
 * Fields of event records that mean the same in every record that has them; which record has which is
 * a table in `src/smmuv3/events.ts`.
 */
export enum EVENT {
  Number = (7 << 16) | 0,
  SSV = (11 << 16) | 11,
  SubstreamID = (31 << 16) | 12,
  StreamID = (63 << 16) | 32,
  STAG = (79 << 16) | 64,
  Stall = (95 << 16) | 95,
  PnU = (97 << 16) | 97,
  InD = (98 << 16) | 98,
  RnW = (99 << 16) | 99,
  NSIPA = (102 << 16) | 102,
  S2 = (103 << 16) | 103,
  CLASS = (105 << 16) | 104,
  TTRnW = (108 << 16) | 108,
  InputAddr = (191 << 16) | 128,
  IPA = (243 << 16) | 204,
}

/** Events that tell why an access failed: 0x01, 0x03, 0x09, 0x0B, 0x25. */
export enum EVENT_FETCH {
  Reason = (79 << 16) | 64,
  FetchAddr = (243 << 16) | 195,
}

/** 0x20 and 0x21 have a longer reason. */
export enum EVENT_CONFLICT {
  Reason = (95 << 16) | 64,
}

/** F_BAD_ATS_TREQ, 7.3.6. */
export enum F_BAD_ATS_TREQ {
  Span = (67 << 16) | 64,
  Priv = (92 << 16) | 92,
  Exec = (93 << 16) | 93,
  Write = (94 << 16) | 94,
  Read = (95 << 16) | 95,
  InputAddr = (191 << 16) | 140,
}

/** E_PAGE_REQUEST, 7.3.19. */
export enum E_PAGE_REQUEST {
  uX = (97 << 16) | 97,
  uW = (98 << 16) | 98,
  uR = (99 << 16) | 99,
  pX = (101 << 16) | 101,
  pW = (102 << 16) | 102,
  pR = (103 << 16) | 103,
  Span = (115 << 16) | 108,
  InputAddr = (191 << 16) | 140,
}

/** PRI queue entry, chapter 8. */
export enum PRI {
  StreamID = (31 << 16) | 0,
  SubstreamID = (51 << 16) | 32,
  Priv = (58 << 16) | 58,
  X = (59 << 16) | 59,
  R = (60 << 16) | 60,
  W = (61 << 16) | 61,
  Last = (62 << 16) | 62,
  SSV = (63 << 16) | 63,
  PRGIndex = (72 << 16) | 64,
  Addr = (127 << 16) | 76,
}
