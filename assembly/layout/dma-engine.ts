/**
 * Registers of the bridge's DMA engine, a PCI function that does what it is told, one transfer at a time.
 *
 * BAR 0 has the registers in its first page and a buffer at DMA_BUFFER. A transfer moves LENGTH bytes
 * between the buffer, from BUFFER_OFFSET on, and the bus, from ADDRESS on. Offsets are bytes; registers have
 * 32 bits unless marked; a field is `msb << 16 | lsb`. All registers but STATUS and BEHAVIOUR take no writes
 * while STATUS.BUSY is 1.
 *
 * A driver's round: ADDRESS, LENGTH, BUFFER_OFFSET and PASID, then COMMAND with START; wait for STATUS.DONE
 * or the interrupt; read RESULT; write DONE and FAILED back to STATUS.
 */
export enum DMA {
  /** Read-only: DMA_ID. */
  ID = 0x0,
  /** Read-only: bytes of the buffer. */
  BUFFER_BYTES = 0x4,
  /** DMA_COMMAND */
  COMMAND = 0x8,
  /** DMA_STATUS */
  STATUS = 0xc,
  /** 64 bits: where on the bus. */
  ADDRESS = 0x10,
  LENGTH = 0x18,
  BUFFER_OFFSET = 0x1c,
  /** 20 bits */
  PASID = 0x20,
  /** Read-only: how the last transfer ended, DMA_RESULT. */
  RESULT = 0x24,
  /** Read-only: bytes moved. */
  MOVED = 0x28,
  /** Read-only: VT-d fault reason or SMMUv3 event. An aid of the emulator: real devices are not told. */
  CODE = 0x2c,
  /** 64 bits, read-only: the address at which the transfer failed. */
  FAULT_ADDRESS = 0x30,
  /** 64 bits, read-only: address in the last translation completion, as on the wire. */
  TRANSLATION = 0x38,
  /** Read-only: DMA_TRANSLATION of the last translation completion. */
  TRANSLATION_FLAGS = 0x40,
  /** Read-only: page requests sent since reset. */
  PAGE_REQUESTS = 0x44,
  /** Read-only: page group responses received since reset. */
  RESPONSES = 0x48,
  /** Read-only: code of the last response. */
  RESPONSE_CODE = 0x4c,
  /** Read-only: invalidation requests received since reset. */
  INVALIDATIONS = 0x50,
  /** Read-only: translations held in the device's TLB. */
  CACHED = 0x54,
  /** DMA_BEHAVIOUR */
  BEHAVIOUR = 0x58,
}

/** Version 1 of the interface, and the PCI device number. */
export const DMA_ID = 0x1d3a2;
export const DMA_BUFFER = 0x10000;
export const DMA_BUFFER_BYTES = 0x10000;

export enum DMA_COMMAND {
  /** Starts; reads as 0. */
  START = (0 << 16) | 0,
  /** 0: from the bus into the buffer. 1: from the buffer to the bus. */
  WRITE = (1 << 16) | 1,
  /** Requests carry PASID. */
  PASID_VALID = (2 << 16) | 2,
  /** Privileged-mode requests. */
  PRIVILEGED = (3 << 16) | 3,
  /** Asks for translations first (ATS), keeps them, and sends translated requests. */
  ATS = (4 << 16) | 4,
  /** Asks software for pages that a translation completion does not give (PRI), and waits; with ATS only. */
  PRI = (5 << 16) | 5,
  /** Sends the MSI when the transfer is over. */
  INTERRUPT = (6 << 16) | 6,
  /** Only asks for the translation of ADDRESS, and moves nothing; with ATS only. */
  TRANSLATE = (7 << 16) | 7,
}

export enum DMA_STATUS {
  BUSY = (0 << 16) | 0,
  /** The transfer is over, one way or the other. Cleared by writing 1. */
  DONE = (1 << 16) | 1,
  /** It failed. Cleared by writing 1. */
  FAILED = (2 << 16) | 2,
  /** It waits for software: for a page response, or stalled by an SMMU. */
  WAITING = (3 << 16) | 3,
}

export enum DMA_RESULT {
  OK = 0,
  /** Not started: beyond the buffer, or configuration space does not allow it. */
  REFUSED = 1,
  UNSUPPORTED_REQUEST = 2,
  COMPLETER_ABORT = 3,
  /** Translated, and nobody answers at that address. */
  BUS_ERROR = 4,
  /** The translation completion does not permit the access. */
  NO_PERMISSION = 5,
  /** Software did not make the page present. */
  PAGE_REQUEST_FAILED = 6,
}

export enum DMA_TRANSLATION {
  READ = (0 << 16) | 0,
  WRITE = (1 << 16) | 1,
  EXECUTE = (2 << 16) | 2,
  PRIVILEGED = (3 << 16) | 3,
  GLOBAL = (4 << 16) | 4,
  /** U */
  UNTRANSLATED_ONLY = (5 << 16) | 5,
  /** N */
  NON_SNOOPED = (6 << 16) | 6,
  /** S: more than 4 KiB. */
  SIZED = (7 << 16) | 7,
}

export enum DMA_BEHAVIOUR {
  /** Leaves invalidation requests unanswered, so that they time out. */
  IGNORE_INVALIDATIONS = (0 << 16) | 0,
}
