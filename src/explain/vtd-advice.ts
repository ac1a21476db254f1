/** Why VT-d faults happen, likeliest first, and what to run next. Data, by fault reason. */
import { REASON as R } from "../../assembly/layout/vtd-faults.ts";
import type { Advice } from "./finding.ts";

/** {bdf}, {pasid}, {iova} and {access} are filled in. */
const LOOK = {
  debugfs: "cat /sys/kernel/debug/iommu/intel/dmar_translation_struct",
  regset: "cat /sys/kernel/debug/iommu/intel/iommu_regset",
  maps: "trace-cmd record -e iommu:map -e iommu:unmap -e intel_iommu:qi_submit   # was {iova} mapped, and when not any more?",
  lspci: "lspci -vvv -s {bdf}   # ATS, PRI and PASID: capable, and enabled?",
  boot: "dmesg | grep -iE 'DMAR|IOMMU'   # CAP, ECAP, RMRR and the first fault",
  walk: "iommulator walk CAPTURE --sid {bdf} {pasid}--iova {iova} --access {access}",
  rmrr: "iommulator acpi /sys/firmware/acpi/tables/DMAR   # is {iova} in an RMRR of {bdf}?",
  irte: "cat /sys/kernel/debug/iommu/intel/ir_translation_struct",
  queue: "cat /sys/kernel/debug/iommu/intel/invalidation_queue",
} as const;

const FIRMWARE =
  "firmware left the device running (display, USB, storage, network boot) and its memory has no RMRR; typical at boot, before the driver takes over";
const STALE_DMA = "the driver unmapped the buffer too early, or never mapped it, or mapped less than the device uses";
const RUNAWAY =
  "the device runs past its buffer or follows a stale ring: a prefetch, a speculative or wide read, a missed reset";
/** What tables that look right in a log were when hardware read them. */
export const NOT_FLUSHED =
  "the tables are right in the CPU's cache and wrong in memory: the unit does not snoop (ECAP.C or PWSNP is 0) and software did not flush";
export const NOT_INVALIDATED =
  "an old entry is still cached: software changed the tables without the invalidation that goes with it";
const CORRUPT = "memory corruption: something else wrote to a page of tables, or the page was freed while in use";
const KDUMP = "a kexec or kdump kernel took over while devices of the old kernel still run";
const LAYOUT = "software builds the entry with a wrong layout or stale fields; compare it with `iommulator decode`";
const HANDED_OVER = "the entry was zeroed or replaced while in use and hardware read a torn mixture of old and new";

const LEAF_WRITE: Advice = {
  causes: [
    STALE_DMA,
    "the buffer is mapped read-only: DMA_TO_DEVICE for something that the device writes",
    FIRMWARE,
    RUNAWAY,
    "the address was mapped for another device: a wrong alias or requester id behind a bridge",
  ],
  next: [LOOK.maps, LOOK.debugfs, LOOK.rmrr],
};
const LEAF_READ: Advice = {
  causes: [
    STALE_DMA,
    FIRMWARE,
    RUNAWAY,
    "the mapping is write-only: DMA_FROM_DEVICE for something that the device reads as well",
    "the address was mapped for another device: a wrong alias or requester id behind a bridge",
  ],
  next: [LOOK.maps, LOOK.debugfs, LOOK.rmrr],
};
const NO_PAGE: Advice = {
  causes: [
    "the page is not mapped for this PASID: the process unmapped it, or the device got an address of another process",
    STALE_DMA,
    "the device does not ask for pages (no ATS and PRI, or off) although its memory is not pinned",
    RUNAWAY,
    NOT_INVALIDATED,
  ],
  next: [LOOK.maps, LOOK.lspci, LOOK.walk],
};
const UNREADABLE: Advice = {
  causes: [
    "the pointer to the table is wrong: beyond memory, or of a page that was freed",
    NOT_FLUSHED,
    CORRUPT,
    "an uncorrectable memory error in the page of tables; see the machine check log",
  ],
  next: [LOOK.regset, LOOK.debugfs, "dmesg | grep -iE 'mce|EDAC|Hardware Error'"],
};
const RESERVED_BITS: Advice = {
  causes: [
    "a field is set whose capability this unit lacks: code written for a newer unit, or tested only on another",
    LAYOUT,
    NOT_FLUSHED,
    CORRUPT,
    HANDED_OVER,
  ],
  next: ["iommulator decode STRUCTURE WORD...   # names the bit", LOOK.debugfs, LOOK.boot],
};
const NOT_BOUND: Advice = {
  causes: [
    "no driver attached the device to a domain (yet, or any more): it does DMA outside its driver's life",
    FIRMWARE,
    KDUMP,
    "the device uses another requester id than the one that was set up: a phantom function, a bridge alias, an SR-IOV or NTB device",
    NOT_FLUSHED,
  ],
  next: [LOOK.debugfs, "ls -l /sys/bus/pci/devices/*{bdf}/{driver,iommu_group}", LOOK.boot],
};
const NO_PASID_ENTRY: Advice = {
  causes: [
    "the PASID was never bound, or unbound while the device still used it: stop and drain the queue before unbinding",
    "the device was given a wrong PASID: another process's, or one of the guest instead of the host",
    NOT_FLUSHED,
    KDUMP,
    "the PASID's entry was cleared without P = 0 first, invalidation and drain",
  ],
  next: [LOOK.debugfs, LOOK.lspci, LOOK.walk],
};
const PAGE_WIDTH: Advice = {
  causes: [
    "the device got a CPU virtual or physical address where an I/O virtual address belongs",
    "the DMA mask of the driver is wider than the domain",
    "the address was sign-extended or cut to 32 bits on the way to the device",
  ],
  next: [LOOK.boot, LOOK.maps],
};
const CONTEXT_FLAGS: Advice = {
  causes: [
    "the feature was enabled in the device and not in its context entry, or the other way round: the order at enabling or disabling",
    "the device was reset and forgot its PASID, ATS or PRI setting, or kept it over a reset of the driver",
    "the unit or a switch on the way lacks the feature; the driver did not look",
  ],
  next: [LOOK.lspci, LOOK.debugfs, LOOK.boot],
};
const UPDATE_BITS: Advice = {
  causes: [
    "accessed or dirty bits are wanted, but the walk does not snoop: set PWSNP, or do without (SSADE, A/D set by software)",
    "the page tables lie in memory that cannot be written atomically",
  ],
  next: [LOOK.debugfs, LOOK.boot],
};
const OUTPUT_IN_FEE: Advice = {
  causes: [
    "a buffer is mapped onto FEEx_xxxxh, the interrupt range: it must never be a translation's result",
    "a pass-through device with PASID reads or writes the interrupt range",
  ],
  next: [LOOK.maps, LOOK.debugfs],
};
const HOST_PERMISSION: Advice = {
  causes: [
    "the device used a translated address after its translation was taken away: it ignored a device-TLB invalidation",
    "the host permission table was not filled before the translation was given to the device",
    "a device makes up translated addresses: do not trust its ATS",
  ],
  next: [LOOK.lspci, LOOK.queue],
};
const STALE_IRTE: Advice = {
  causes: [
    "the device sends an old message: its vector was freed or moved, and it was not masked or did not take the new address and data",
    "firmware or a previous kernel programmed the interrupt before remapping was enabled",
    "the driver wrote MSI address and data that it made up, not what the kernel composed",
  ],
  next: [LOOK.irte, "lspci -vvv -s {bdf}   # MSI address and data: handle and subhandle against the index", LOOK.boot],
};
const SOURCE: Advice = {
  causes: [
    "the interrupt carries another requester id than the device: a bridge or an NTB takes over, or functions share messages",
    "firmware describes the IOAPIC or HPET scope with a wrong bus or device (DMAR table): `intremap=nosid` hides it, a firmware update fixes it",
    "a device sends another device's message: a confused, or a hostile one",
  ],
  next: [
    LOOK.irte,
    "iommulator acpi /sys/firmware/acpi/tables/DMAR   # the device scopes of IOAPIC and HPET",
    "lspci -tv",
  ],
};

const MODE: Advice = {
  causes: [
    "software and unit disagree about the mode: RTADDR.TTM, and whether `Set root table pointer` latched it",
    "the device sends PASIDs, page requests or translated requests although the unit runs in legacy mode: scalable mode is off (intel_iommu=sm_on)",
    KDUMP,
  ],
  next: [LOOK.regset, "cat /proc/cmdline", LOOK.boot],
};

const BY_REASON: Readonly<Record<number, Advice>> = {
  [R.LRT_1]: UNREADABLE,
  [R.LRT_2]: NOT_BOUND,
  [R.LRT_3]: RESERVED_BITS,
  [R.LCT_1]: UNREADABLE,
  [R.LCT_2]: NOT_BOUND,
  [R.LCT_3]: RESERVED_BITS,
  [R.LCT_4]: RESERVED_BITS,
  [R.LCT_5]: CONTEXT_FLAGS,
  [R.LGN_1]: PAGE_WIDTH,
  [R.LGN_2]: LEAF_WRITE,
  [R.LGN_3]: LEAF_READ,
  [R.LGN_4]: OUTPUT_IN_FEE,
  [R.LSS_1]: UNREADABLE,
  [R.LSS_2]: RESERVED_BITS,
  [R.IR_RESERVED_REQUEST]: STALE_IRTE,
  [R.IR_INDEX]: STALE_IRTE,
  [R.IR_NOT_PRESENT]: STALE_IRTE,
  [R.IR_ACCESS]: UNREADABLE,
  [R.IR_RESERVED_ENTRY]: RESERVED_BITS,
  [R.IR_COMPATIBILITY]: STALE_IRTE,
  [R.IR_SOURCE]: SOURCE,
  [R.IR_PID_ACCESS]: UNREADABLE,
  [R.IR_PID_RESERVED]: RESERVED_BITS,
  [R.IR_ILLEGAL_ACCESS]: {
    causes: [
      "the device reads, or writes more than a dword, at FEEx_xxxxh: a corrupt pointer or ring",
      "a message-signalled interrupt of a device that does not write exactly one dword",
    ],
    next: [LOOK.maps, LOOK.boot],
  },
  [R.IR_MODE]: MODE,
  [R.IR_DISABLED]: MODE,
  [R.RTA_1]: MODE,
  [R.RTA_2]: MODE,
  [R.RTA_3]: MODE,
  [R.RTA_4]: {
    causes: [
      "abort-DMA mode is on purpose: firmware or a kernel that starts keeps every device out until its tables are ready",
      FIRMWARE,
    ],
    next: [LOOK.regset, LOOK.boot],
  },
  [R.RTA_5]: CONTEXT_FLAGS,
  [R.SRT_1]: UNREADABLE,
  [R.SRT_2]: NOT_BOUND,
  [R.SRT_3]: RESERVED_BITS,
  [R.SCT_1]: UNREADABLE,
  [R.SCT_2]: NOT_BOUND,
  [R.SCT_3]: RESERVED_BITS,
  [R.SCT_4]: RESERVED_BITS,
  [R.SCT_5]: CONTEXT_FLAGS,
  [R.SCT_6]: CONTEXT_FLAGS,
  [R.SCT_7]: NO_PASID_ENTRY,
  [R.SCT_8]: CONTEXT_FLAGS,
  [R.SCT_9]: NO_PASID_ENTRY,
  [R.SCT_10]: CONTEXT_FLAGS,
  [R.SPD_1]: UNREADABLE,
  [R.SPD_2]: NO_PASID_ENTRY,
  [R.SPD_3]: RESERVED_BITS,
  [R.SPT_1]: UNREADABLE,
  [R.SPT_2]: NO_PASID_ENTRY,
  [R.SPT_3]: RESERVED_BITS,
  [R.SPT_4]: RESERVED_BITS,
  [R.SPT_5]: CONTEXT_FLAGS,
  [R.SPT_6]: CONTEXT_FLAGS,
  [R.SPT_9]: HOST_PERMISSION,
  [R.SFS_1]: UNREADABLE,
  [R.SFS_2]: NO_PAGE,
  [R.SFS_3]: RESERVED_BITS,
  [R.SFS_4]: UNREADABLE,
  [R.SFS_5]: PAGE_WIDTH,
  [R.SFS_6]: NO_PAGE,
  [R.SFS_7]: NO_PAGE,
  [R.SFS_8]: UPDATE_BITS,
  [R.SFS_9]: UPDATE_BITS,
  [R.SFS_10]: UPDATE_BITS,
  [R.SSS_1]: UNREADABLE,
  [R.SSS_2]: NO_PAGE,
  [R.SSS_3]: RESERVED_BITS,
  [R.SSS_4]: UNREADABLE,
  [R.SSS_5]: UPDATE_BITS,
  [R.SSS_6]: UPDATE_BITS,
  [R.SGN_1]: PAGE_WIDTH,
  [R.SGN_2]: {
    causes: [
      "a user-mode PASID touches a kernel page: the address is the kernel's, or the request should be privileged (PR = 1 and SRE = 1)",
      "kernel memory is used through the process's PASID",
    ],
    next: [LOOK.walk, LOOK.debugfs],
  },
  [R.SGN_4]: PAGE_WIDTH,
  [R.SGN_5]: PAGE_WIDTH,
  [R.SGN_6]: LEAF_WRITE,
  [R.SGN_7]: LEAF_READ,
  [R.SGN_8]: OUTPUT_IN_FEE,
  [R.SGN_10]: NO_PASID_ENTRY,
  [R.HPT_1]: UNREADABLE,
  [R.HPT_2]: RESERVED_BITS,
  [R.HPT_3]: UNREADABLE,
  [R.HPT_4]: HOST_PERMISSION,
  [R.HPT_5]: HOST_PERMISSION,
  [R.HPT_6]: HOST_PERMISSION,
};

const UNKNOWN: Advice = {
  causes: ["the reason is not in the architecture: a damaged line, or a unit newer than revision 5.10"],
  next: [LOOK.boot],
};

/** Causes and next commands of a fault reason. */
export function vtdAdvice(code: number): Advice {
  return BY_REASON[code] ?? UNKNOWN;
}

/** An error of the invalidation queue, by IQERCD.IQEI. */
export const QUEUE_ADVICE: Readonly<Record<"error" | "timeout" | "completion", Advice>> = {
  error: {
    causes: [
      "the driver wrote a descriptor that this unit does not have, or with reserved bits set: see QI HEAD",
      "the driver uses 128-bit descriptors where the mode needs 256 bits (IQA.DW), or the other way round",
      "the queue's memory was overwritten",
    ],
    next: [LOOK.queue, "iommulator decode vtd.descriptor QW0 QW1", LOOK.regset],
  },
  timeout: {
    causes: [
      "a device did not answer a device-TLB invalidation: it is hung, powered off, unplugged, or behind a link that went down",
      "ATS was turned off in the device while the driver still invalidates its TLB",
      "the wait descriptor is lost with it: software must submit again after clearing ITE",
    ],
    next: ["lspci -vvv -s {bdf}   # still there? ATSCtl: Enable+?", LOOK.queue, "dmesg | grep -iE 'AER|pcieport|link'"],
  },
  completion: {
    causes: [
      "a device answered an invalidation that was not asked, or with a wrong tag: a broken or hostile ATS device",
    ],
    next: [LOOK.lspci, LOOK.queue],
  },
};

export const LOST_ADVICE: Advice = {
  causes: [
    "faults came faster than software read them: there are more than the log shows, and the first ones count most",
  ],
  next: [LOOK.boot, "dmesg --follow   # with one device at a time"],
};

export const PAGE_REQUEST_ADVICE: Advice = {
  causes: [
    "the device sends page requests that the driver's setup does not allow: without PASID, privileged, executing",
    "PRI was enabled without SVA, or stays enabled after the PASID was unbound",
  ],
  next: [LOOK.lspci, LOOK.boot],
};

export const INCONSISTENT_ADVICE: Advice = {
  causes: [
    "the units of this machine differ: Linux turns the feature off unless all have it",
    "firmware hides or enables the feature on some sockets only",
  ],
  next: ["dmesg | grep reg_base_addr   # paste it here: CAP and ECAP of every unit are compared", LOOK.boot],
};
