/**
 * Where the architecture leaves a choice (CONSTRAINED UNPREDICTABLE, IMPLEMENTATION DEFINED, UNKNOWN):
 * what this SMMU does. One line a case; `describe()` of a unit prints them.
 */
export interface Choice {
  /** Section of IHI 0070. */
  section: string;
  /** The case. */
  when: string;
  /** What happens here. */
  outcome: string;
}

export const SMMU_CHOICES: readonly Choice[] = [
  {
    section: "6.1",
    when: "MMIO of 8 or 16 bits, unaligned, beyond page 1, or of a register that is not there",
    outcome: "reads 0, writes are ignored",
  },
  { section: "6.1", when: "64-bit access to two adjacent 32-bit registers", outcome: "made as two, lower half first" },
  {
    section: "6.2",
    when: "page 0 offsets 0xA8, 0xAC, 0xC8, 0xCC",
    outcome: "alias the queue indexes of page 1; other offsets of page 1 are RAZ/WI",
  },
  {
    section: "6.3",
    when: "registers of UNKNOWN reset value",
    outcome: "0; GBPA 0x1000 (bypass, incoming shareability)",
  },
  {
    section: "6.3",
    when: "a write to a register, or part of one, while what it configures is enabled",
    outcome: "ignored, in every version",
  },
  { section: "6.3", when: "a reserved value written to CR0.VMW", outcome: "kept and acknowledged; acts as 0" },
  {
    section: "6.3.14",
    when: "GBPA written without Update, or while an update is pending",
    outcome: "ignored, in every version",
  },
  {
    section: "6.3.20",
    when: "GERRORN toggled while the error is not active",
    outcome: "no error becomes active; the next error of that kind toggles GERROR all the same",
  },
  {
    section: "3.5.1",
    when: "queue indexes further apart than the queue is long",
    outcome: "the command queue does not run; an output queue counts as full",
  },
  {
    section: "3.4.3",
    when: "addresses of queues, stream tables and MSIs above the physical address size",
    outcome: "truncated to it",
  },
  { section: "3.4.3", when: "an STE of a level 2 table above the physical address size", outcome: "F_STE_FETCH" },
  {
    section: "3.4.3",
    when: "STE.S1ContextPtr above the physical (nested: intermediate) address size",
    outcome: "C_BAD_STE, in every version",
  },
  {
    section: "3.4.3",
    when: "L1CD.L2Ptr above the physical (nested: intermediate) address size",
    outcome: "C_BAD_SUBSTREAMID, in every version",
  },
  {
    section: "3.18",
    when: "an MSI to an address that is no RAM, without anybody listening for interrupts",
    outcome: "aborts, and sets the MSI_*_ABT_ERR of its source",
  },
  { section: "4.1.5", when: "reserved fields of a command", outcome: "ignored" },
  { section: "4.1.7", when: "a StreamID or SubstreamID out of range in a command", outcome: "matches nothing" },
  { section: "4.4", when: "an address not aligned for TG and TTL", outcome: "aligned down to the granule" },
  {
    section: "4.4",
    when: "ASID[15:8] or VMID[15:8] in a command with 8-bit ASIDs or VMIDs",
    outcome: "ignored; VMID as a whole without stage 2",
  },
  { section: "4.5.1", when: "CMD_ATC_INV.Size above 52", outcome: "CERROR_ILL" },
  {
    section: "4.5",
    when: "SSV = 1 in CMD_ATC_INV or CMD_PRI_RESP of an SMMU without substreams",
    outcome: "acts as SSV = 0",
  },
  {
    section: "4.7.3",
    when: "CERROR_ATC_INV_SYNC was reported and the CMD_SYNC is fetched again",
    outcome: "it completes: the invalidations that timed out are given up",
  },
  {
    section: "7.2",
    when: "an event queue write aborts",
    outcome: "synchronously: PROD stays, a stall is recorded later",
  },
  {
    section: "7.2",
    when: "a stalled transaction whose event could not be written, and space appears",
    outcome: "it is retried from the start, and recorded if it faults again",
  },
  { section: "7.3.1", when: "identical events", outcome: "never merged, whatever STE.MEV says" },
  { section: "7.3", when: "IMPLEMENTATION DEFINED Reason, and UNKNOWN fields", outcome: "0" },
  { section: "7.3.6", when: "F_BAD_ATS_TREQ.Span", outcome: "1" },
  { section: "3.12.2", when: "STAGs", outcome: "the lowest free one, unique over all streams" },
  {
    section: "3.12.2",
    when: "more faults that stall than IDR5.STALL_MAX records",
    outcome: "held without a record, in order, until a record is answered",
  },
  {
    section: "3.12.2",
    when: "early retry, and duplicate stall events",
    outcome: "no early retry, every stall is recorded",
  },
  { section: "3.12.1", when: "streams that should not stall (PCIe)", outcome: "stall if they are configured to" },
  {
    section: "4.2",
    when: "CMD_PREFETCH_CONFIG and CMD_PREFETCH_ADDR",
    outcome: "checked and consumed; nothing is prefetched",
  },
  { section: "5.2", when: "STE.CONT, and the Contiguous bit of descriptors", outcome: "hints that are not taken" },
  { section: "5.2, 5.4", when: "S2T0SZ or TxSZ out of range", outcome: "C_BAD_STE, C_BAD_CD, in every version" },
  {
    section: "5.4",
    when: "CD.HA = HD = 1 without the hardware updates that they ask for",
    outcome: "taken as what is implemented, for Linux sets them so (the architecture: C_BAD_CD)",
  },
  {
    section: "3.13",
    when: "the access flag where the access then fails on permission",
    outcome: "stays clear: flag and dirty state are set together, once everything at that stage passed",
  },
  {
    section: "3.13.1",
    when: "a descriptor that changes under an update again and again",
    outcome: "the walk starts over 64 times, then F_WALK_EABT",
  },
  { section: "3.9.1.1", when: "a translated transaction above the physical address size", outcome: "aborts, no event" },
  { section: "13.7", when: "a translation request with NW = 1", outcome: "is granted no write access" },
  {
    section: "13.6.3",
    when: "hardware updates of stage 2 with split-stage ATS",
    outcome: "made at the translation request",
  },
  { section: "13.1", when: "reserved codes of MemAttr, in STEs and descriptors", outcome: "Device-nGnRnE" },
  { section: "3.21.1", when: "the nT bit of block descriptors", outcome: "ignored" },
  {
    section: "3.21",
    when: "configuration that was read invalid, with caches",
    outcome: "held like any other until CMD_CFGI_*",
  },
  { section: "13.1.1", when: "RnW of an atomic that may write but not read, in v3.0", outcome: "1, as from v3.1" },
  { section: "16.2", when: "caches after a reset, or a restored snapshot", outcome: "empty" },
];
