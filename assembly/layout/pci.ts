/**
 * PCI configuration space: PCI Local Bus 3.0 chapter 6, PCI Express Base 6.0 chapter 7, the values also in
 * linux/pci_regs.h.
 *
 * Offsets are bytes: from the start of configuration space in CONFIG, from the start of the capability in
 * the others. Fields are `msb << 16 | lsb` of their register, which has 16 bits unless marked.
 */

export const CONFIG_BYTES = 256;
export const EXTENDED_CONFIG_BYTES = 4096;

export enum CONFIG {
  VENDOR = 0x0,
  DEVICE = 0x2,
  COMMAND = 0x4,
  STATUS = 0x6,
  /** 32: REVISION_CLASS */
  REVISION_CLASS = 0x8,
  HEADER_TYPE = 0xe,
  /** 32 */
  BAR0 = 0x10,
  SUBSYSTEM_VENDOR = 0x2c,
  SUBSYSTEM = 0x2e,
  /** 8: first capability */
  CAPABILITIES = 0x34,
}

export enum COMMAND {
  IO_SPACE = (0 << 16) | 0,
  MEMORY_SPACE = (1 << 16) | 1,
  BUS_MASTER = (2 << 16) | 2,
  PARITY_ERROR_RESPONSE = (6 << 16) | 6,
  SERR = (8 << 16) | 8,
  INTX_DISABLE = (10 << 16) | 10,
}

export enum STATUS {
  CAPABILITIES_LIST = (4 << 16) | 4,
}

/** 32 bits */
export enum REVISION_CLASS {
  REVISION = (7 << 16) | 0,
  /** Base class, subclass, programming interface. */
  CLASS = (31 << 16) | 8,
}

export const CLASS_HOST_BRIDGE = 0x060000;
/** Base system peripheral, other. */
export const CLASS_OTHER = 0x088000;

/** 32 bits: a memory BAR; type 0 and not prefetchable. */
export enum BAR {
  ADDRESS = (31 << 16) | 4,
}

/** Head of a capability. */
export enum CAPABILITY {
  ID = (7 << 16) | 0,
  NEXT = (15 << 16) | 8,
}
export enum CAPABILITY_ID {
  MSI = 0x05,
  PCIE = 0x10,
}

/** 32 bits: head of an extended capability. */
export enum EXTENDED {
  ID = (15 << 16) | 0,
  VERSION = (19 << 16) | 16,
  NEXT = (31 << 16) | 20,
}
export enum EXTENDED_ID {
  ATS = 0x0f,
  PRI = 0x13,
  PASID = 0x1b,
}
/** Where the first extended capability is. */
export const FIRST_EXTENDED = 0x100;

export enum PCIE {
  CAPABILITIES = 2,
  /** 32 */
  DEVICE_CAPABILITIES = 4,
  DEVICE_CONTROL = 8,
  /** 32 */
  DEVICE_CAPABILITIES_2 = 0x24,
}

export enum PCIE_CAPABILITIES {
  VERSION = (3 << 16) | 0,
  TYPE = (7 << 16) | 4,
}
/** Root complex integrated endpoint. */
export const PCIE_TYPE_RCIEP = 9;

export enum DEVICE_CAPABILITIES {
  EXTENDED_TAG = (5 << 16) | 5,
  ROLE_BASED_ERRORS = (15 << 16) | 15,
  FUNCTION_LEVEL_RESET = (28 << 16) | 28,
}
export enum DEVICE_CONTROL {
  /** All but the reset. */
  SETTINGS = (14 << 16) | 0,
  FUNCTION_LEVEL_RESET = (15 << 16) | 15,
}
export enum DEVICE_CAPABILITIES_2 {
  /** PASID is an end-to-end prefix. */
  END_TO_END_PREFIX = (21 << 16) | 21,
  MAX_PREFIXES = (23 << 16) | 22,
}

export enum MSI {
  CONTROL = 2,
  /** 32 */
  ADDRESS = 4,
  /** 32 */
  UPPER_ADDRESS = 8,
  DATA = 0xc,
  /** 32 */
  MASK = 0x10,
  /** 32 */
  PENDING = 0x14,
}
export const MSI_BYTES = 0x18;

export enum MSI_CONTROL {
  ENABLE = (0 << 16) | 0,
  MULTIPLE_ENABLE = (6 << 16) | 4,
  ADDRESS_64 = (7 << 16) | 7,
  MASKABLE = (8 << 16) | 8,
}
/** 32 bits */
export enum MSI_ADDRESS {
  ADDRESS = (31 << 16) | 2,
}
/** 32 bits: of mask and pending */
export enum MSI_VECTOR {
  FIRST = (0 << 16) | 0,
}

export enum ATS {
  CAPABILITY = 4,
  CONTROL = 6,
}
export enum ATS_CAPABILITY {
  /** 0 stands for 32. */
  QUEUE_DEPTH = (4 << 16) | 0,
  PAGE_ALIGNED = (5 << 16) | 5,
  GLOBAL_INVALIDATE = (6 << 16) | 6,
}
export enum ATS_CONTROL {
  /** Smallest translation unit: log2 of 4 KiB pages. */
  STU = (4 << 16) | 0,
  ENABLE = (15 << 16) | 15,
}

export enum PRI {
  CONTROL = 4,
  STATUS = 6,
  /** 32: page requests that may be outstanding */
  CAPACITY = 8,
  /** 32: how many software allows */
  ALLOCATION = 12,
}
export enum PRI_CONTROL {
  ENABLE = (0 << 16) | 0,
  RESET = (1 << 16) | 1,
}
export enum PRI_STATUS {
  RESPONSE_FAILURE = (0 << 16) | 0,
  UNEXPECTED_GROUP = (1 << 16) | 1,
  STOPPED = (8 << 16) | 8,
  PASID_REQUIRED = (15 << 16) | 15,
}

export enum PASID {
  CAPABILITY = 4,
  CONTROL = 6,
}
export enum PASID_CAPABILITY {
  EXECUTE = (1 << 16) | 1,
  PRIVILEGED = (2 << 16) | 2,
  WIDTH = (12 << 16) | 8,
}
export enum PASID_CONTROL {
  ENABLE = (0 << 16) | 0,
  EXECUTE = (1 << 16) | 1,
  PRIVILEGED = (2 << 16) | 2,
}
