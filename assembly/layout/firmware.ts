/**
 * Firmware structures: ACPI 6.5 table header (5.2.6), the DMAR table (Intel D51397 rev 5.10 chapter 8), the
 * PCI expansion ROM (PCI Firmware 3.3 chapter 5) and its Plug and Play header (PnP BIOS 1.0A 3.2).
 *
 * Offsets are bytes from the start of the structure, little-endian.
 */

export enum ACPI {
  SIGNATURE = 0,
  /** 32 bits: bytes of the whole table */
  LENGTH = 4,
  REVISION = 8,
  /** All bytes of the table sum to 0. */
  CHECKSUM = 9,
  OEM_ID = 10,
  OEM_TABLE = 16,
  OEM_REVISION = 24,
  CREATOR = 28,
  CREATOR_REVISION = 32,
}

export enum DMAR {
  /** Host address width - 1 */
  WIDTH = 36,
  FLAGS = 37,
}
/** Where the remapping structures start. */
export const DMAR_BYTES = 48;

/** DMA remapping hardware unit. */
export enum DRHD {
  /** 16 bits each */
  TYPE = 0,
  LENGTH = 2,
  FLAGS = 4,
  SIZE = 5,
  /** 16 bits */
  SEGMENT = 6,
  /** 64 bits */
  BASE = 8,
}
export const DRHD_BYTES = 16;
export const DRHD_TYPE = 0;

/** A device scope entry with a path of one step. */
export enum SCOPE {
  TYPE = 0,
  LENGTH = 1,
  BUS = 5,
  DEVICE = 6,
  FUNCTION = 7,
}
export const SCOPE_BYTES = 8;
export const SCOPE_ENDPOINT = 1;

export enum ROM {
  /** 55h AAh */
  SIGNATURE = 0,
  /** In units of 512 bytes */
  BLOCKS = 2,
  /** Firmware calls it far. */
  ENTRY = 3,
  /** 16 bits: offset of PCIR */
  PCIR = 24,
  /** 16 bits: offset of PNP */
  PNP = 26,
}

export enum PCIR {
  /** "PCIR" */
  SIGNATURE = 0,
  /** 16 bits each */
  VENDOR = 4,
  DEVICE = 6,
  LENGTH = 10,
  REVISION = 12,
  /** 24 bits */
  CLASS = 13,
  /** 16 bits: image in units of 512 bytes */
  BLOCKS = 16,
  CODE_TYPE = 20,
  /** 80h: the last image */
  INDICATOR = 21,
}
export const PCIR_BYTES = 24;
export const PCIR_LAST_IMAGE = 0x80;

export enum PNP {
  /** "$PnP" */
  SIGNATURE = 0,
  REVISION = 4,
  /** In units of 16 bytes */
  LENGTH = 5,
  /** All bytes of the header sum to 0. */
  CHECKSUM = 9,
}
export const PNP_BYTES = 32;

/** Flattened device tree: Devicetree Specification 0.4, chapter 5. Big-endian, 32 bits each. */
export enum FDT {
  MAGIC = 0,
  TOTAL_SIZE = 4,
  STRUCTURE = 8,
  STRINGS = 12,
  RESERVATIONS = 16,
  VERSION = 20,
  LAST_COMPATIBLE = 24,
  BOOT_CPU = 28,
  STRINGS_SIZE = 32,
  STRUCTURE_SIZE = 36,
}
export const FDT_BYTES = 40;
export const FDT_MAGIC = 0xd00dfeed;
export const FDT_VERSION = 17;
export const FDT_LAST_COMPATIBLE = 16;
/** Address and size, 64 bits each; a pair of zeros ends the list. */
export const FDT_RESERVATION_BYTES = 16;

export enum FDT_TOKEN {
  BEGIN_NODE = 1,
  END_NODE = 2,
  PROPERTY = 3,
  NOP = 4,
  END = 9,
}
