/**
 * The vfio-user protocol, version 0.1: messages between a virtual machine and a device in another process.
 *
 * Facts of QEMU's docs/interop/vfio-user.rst and of linux/vfio.h. Offsets are bytes from the start of the
 * payload (of the message, in HEADER), little-endian; a flag is `msb << 16 | lsb` of its word.
 */

export const MAJOR = 0;
export const MINOR = 1;

/** Every message starts with it. */
export enum HEADER {
  /** 16 bits, chosen by the sender, repeated in the reply. */
  ID = 0,
  /** 16 bits */
  COMMAND = 2,
  /** 32 bits: bytes of the whole message */
  SIZE = 4,
  /** 32 bits: MESSAGE_FLAGS */
  FLAGS = 8,
  /** 32 bits: errno, in a reply with ERROR */
  ERROR = 12,
}
export const HEADER_BYTES = 16;

export enum MESSAGE_FLAGS {
  TYPE = (3 << 16) | 0,
  NO_REPLY = (4 << 16) | 4,
  ERROR = (5 << 16) | 5,
}

export enum MESSAGE_TYPE {
  COMMAND = 0,
  REPLY = 1,
}

export enum COMMAND {
  VERSION = 1,
  DMA_MAP = 2,
  DMA_UNMAP = 3,
  DEVICE_GET_INFO = 4,
  DEVICE_GET_REGION_INFO = 5,
  DEVICE_GET_REGION_IO_FDS = 6,
  DEVICE_GET_IRQ_INFO = 7,
  DEVICE_SET_IRQS = 8,
  REGION_READ = 9,
  REGION_WRITE = 10,
  /** The only two that the server sends. */
  DMA_READ = 11,
  DMA_WRITE = 12,
  DEVICE_RESET = 13,
  REGION_WRITE_MULTI = 15,
  DEVICE_FEATURE = 16,
}

/** Followed by JSON and a NUL, both optional. */
export enum VERSION {
  /** 16 bits each */
  MAJOR = 0,
  MINOR = 2,
  DATA = 4,
}

export enum DMA_MAP {
  ARGSZ = 0,
  FLAGS = 4,
  /** 64 bits: into the file that came with the message */
  OFFSET = 8,
  /** 64 bits */
  ADDRESS = 16,
  /** 64 bits */
  SIZE = 24,
}
export const DMA_MAP_BYTES = 32;

export enum DMA_MAP_FLAGS {
  READABLE = (0 << 16) | 0,
  WRITEABLE = (1 << 16) | 1,
}

export enum DMA_UNMAP {
  ARGSZ = 0,
  FLAGS = 4,
  /** 64 bits */
  ADDRESS = 8,
  /** 64 bits */
  SIZE = 16,
}
export const DMA_UNMAP_BYTES = 24;

export enum DMA_UNMAP_FLAGS {
  GET_DIRTY_BITMAP = (0 << 16) | 0,
  /** With address and size 0: every region. */
  ALL = (1 << 16) | 1,
}

export enum DEVICE_INFO {
  ARGSZ = 0,
  FLAGS = 4,
  NUM_REGIONS = 8,
  NUM_IRQS = 12,
}
export const DEVICE_INFO_BYTES = 16;

export enum DEVICE_FLAGS {
  RESET = (0 << 16) | 0,
  PCI = (1 << 16) | 1,
}

export enum REGION_INFO {
  ARGSZ = 0,
  FLAGS = 4,
  INDEX = 8,
  CAP_OFFSET = 12,
  /** 64 bits */
  SIZE = 16,
  /** 64 bits: for mmap */
  OFFSET = 24,
}
export const REGION_INFO_BYTES = 32;

export enum REGION_FLAGS {
  READ = (0 << 16) | 0,
  WRITE = (1 << 16) | 1,
}

/** Regions of a PCI device. */
export enum REGION {
  BAR0 = 0,
  BAR5 = 5,
  ROM = 6,
  CONFIG = 7,
  VGA = 8,
}
export const NUM_REGIONS = 9;

export enum IRQ_INFO {
  ARGSZ = 0,
  FLAGS = 4,
  INDEX = 8,
  COUNT = 12,
}
export const IRQ_INFO_BYTES = 16;

export enum IRQ_INFO_FLAGS {
  EVENTFD = (0 << 16) | 0,
  MASKABLE = (1 << 16) | 1,
  AUTOMASKED = (2 << 16) | 2,
  NORESIZE = (3 << 16) | 3,
}

/** Interrupt types of a PCI device. */
export enum IRQ {
  INTX = 0,
  MSI = 1,
  MSIX = 2,
  ERR = 3,
  REQ = 4,
}
export const NUM_IRQS = 5;

export enum IRQ_SET {
  ARGSZ = 0,
  FLAGS = 4,
  INDEX = 8,
  START = 12,
  COUNT = 16,
  DATA = 20,
}

export enum IRQ_SET_FLAGS {
  /** Exactly one of these */
  DATA_NONE = (0 << 16) | 0,
  DATA_BOOL = (1 << 16) | 1,
  DATA_EVENTFD = (2 << 16) | 2,
  /** and exactly one of these. */
  ACTION_MASK = (3 << 16) | 3,
  ACTION_UNMASK = (4 << 16) | 4,
  ACTION_TRIGGER = (5 << 16) | 5,
}

/** REGION_READ and REGION_WRITE; an element of REGION_WRITE_MULTI, whose DATA always has 8 bytes. */
export enum REGION_ACCESS {
  /** 64 bits */
  OFFSET = 0,
  REGION = 8,
  COUNT = 12,
  DATA = 16,
}

export enum WRITE_MULTI {
  /** 64 bits: number of writes */
  COUNT = 0,
  WRITES = 8,
}
export const WRITE_MULTI_ENTRY_BYTES = 24;
export const WRITE_MULTI_DATA_BYTES = 8;

/** DMA_READ and DMA_WRITE. */
export enum DMA_ACCESS {
  /** 64 bits */
  ADDRESS = 0,
  /** 64 bits */
  COUNT = 8,
  DATA = 16,
}

/** Linux errno values that replies carry. */
export enum ERRNO {
  ENOENT = 2,
  E2BIG = 7,
  EEXIST = 17,
  EINVAL = 22,
  ENOSPC = 28,
  EOPNOTSUPP = 95,
}
