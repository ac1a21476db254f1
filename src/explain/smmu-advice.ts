/** Why SMMUv3 events and errors happen, likeliest first, and what to run next. Data, by event number. */
import { EVENT_NUMBER as E } from "../../assembly/layout/smmuv3-faults.ts";
import { CERROR } from "../../assembly/layout/smmuv3-registers.ts";
import type { SmmuEvent } from "../smmuv3/event-record.ts";
import type { Advice } from "./finding.ts";

const LOOK = {
  stream:
    "grep . /sys/bus/*/devices/*/of_node/iommus /sys/bus/pci/devices/*/iommu_group 2>/dev/null   # which device is stream {sid}?",
  iort: "iommulator acpi /sys/firmware/acpi/tables/IORT   # how requester ids map to streams",
  maps: "trace-cmd record -e iommu:map -e iommu:unmap   # was {iova} mapped, and when not any more?",
  lspci: "lspci -vvv   # ATS, PRI and PASID of the device: enabled?",
  boot: "dmesg | grep -iE 'smmu|iommu'   # features, sizes and the first event",
  walk: "iommulator walk CAPTURE --sid {sid} {pasid}--iova {iova} --access {access}",
  decode: (name: string) => `iommulator decode smmu.${name} WORD...   # names the field`,
} as const;

const FIRMWARE =
  "firmware or a previous kernel left the device running (display, USB, boot storage): it needs an IORT RMR node or a reserved-memory region";
const STALE_DMA = "the driver unmapped the buffer too early, or never mapped it, or mapped less than the device uses";
const RUNAWAY =
  "the device runs past its buffer, or got a physical or CPU address where an I/O virtual address belongs";
const NOT_INVALIDATED =
  "an old entry is still cached: the TLBI or CFGI command, or the CMD_SYNC after it, is missing or covers too little";
const UNREACHABLE =
  "the pointer to the table leads nowhere: no memory there, a freed page, or memory that the SMMU may not read";
const NOT_COHERENT =
  "the SMMU does not snoop (IDR0.COHACC is 0, or the attributes say non-cacheable) and software did not clean its cache";

const fetch = (structure: string): Advice => ({
  causes: [
    UNREACHABLE,
    `the base of the ${structure} is wrong, or its memory was freed while in use`,
    "a firewall or an uncorrectable memory error answers with an abort; see FetchAddr",
  ],
  next: [LOOK.boot, "cat /proc/iomem   # is FetchAddr RAM?"],
});

const CONFIG_ERROR = (name: string): string[] => [
  `software writes a ${name} that this SMMU cannot do: a size, granule, format or stall setting beyond the ID registers`,
  `the ${name} was changed in an order that hardware may see half of: V = 0 first, or one 64-bit word at a time with CFGI and CMD_SYNC between`,
  NOT_COHERENT,
  NOT_INVALIDATED,
];

const ATS: Advice = {
  causes: [
    "ATS is enabled in the device and not in the stream table (EATS), or the device stays enabled after the stream was detached",
    "a switch or root port on the way does not do ATS",
    "the device makes up translated requests: do not trust its ATS",
  ],
  next: [LOOK.lspci, LOOK.decode("ste")],
};

const CONFLICT: Advice = {
  causes: [
    "a mapping was replaced by one of another size without break-before-make: two entries of the TLB match",
    "the CONT or Contiguous hint is set on entries that differ",
    NOT_INVALIDATED,
  ],
  next: [LOOK.maps, LOOK.boot],
};

const BY_EVENT: Readonly<Record<number, Advice>> = {
  [E.F_UUT]: {
    causes: ["the device or the interconnect sends a kind of transaction that this SMMU does not take"],
    next: [LOOK.stream, LOOK.boot],
  },
  [E.C_BAD_STREAMID]: {
    causes: [
      "firmware's tables (IORT, iommu-map) give the device another StreamID than the hardware sends",
      "the stream table is smaller than the StreamIDs in use: LOG2SIZE, SPLIT or a level 1 Span of 0",
      "a device without driver does DMA: its part of the stream table was never made",
    ],
    next: [LOOK.stream, LOOK.iort, LOOK.boot],
  },
  [E.F_STE_FETCH]: fetch("stream table"),
  [E.C_BAD_STE]: { causes: CONFIG_ERROR("stream table entry"), next: [LOOK.decode("ste"), LOOK.boot] },
  [E.F_BAD_ATS_TREQ]: ATS,
  [E.F_STREAM_DISABLED]: {
    causes: [
      "the device sends without PASID although the stream takes only transactions with one (STE.S1DSS = terminate)",
      "the device uses PASID 0, which S1DSS keeps for transactions without PASID",
      "the device was not told to use its PASID, or forgot it at a reset",
    ],
    next: [LOOK.lspci, LOOK.decode("ste")],
  },
  [E.F_TRANSL_FORBIDDEN]: ATS,
  [E.C_BAD_SUBSTREAMID]: {
    causes: [
      "the PASID was never bound, or unbound while the device still used it: stop and drain the queue before unbinding",
      "the PASID is beyond the stream's CD table (S1CDMax), or its level 1 descriptor has V = 0",
      "the stream's stage 1 is off (bypass or stage 2 only): it takes no PASIDs",
      NOT_COHERENT,
    ],
    next: [LOOK.decode("ste"), LOOK.decode("l1cd"), LOOK.lspci],
  },
  [E.F_CD_FETCH]: fetch("table of context descriptors"),
  [E.C_BAD_CD]: {
    causes: [
      "the PASID's descriptor has V = 0: never bound, or unbound while the device still used it",
      ...CONFIG_ERROR("context descriptor"),
    ],
    next: [LOOK.decode("cd"), LOOK.boot],
  },
  [E.F_WALK_EABT]: fetch("translation table"),
  [E.F_TRANSLATION]: {
    causes: [
      STALE_DMA,
      RUNAWAY,
      FIRMWARE,
      "the page is not mapped for this PASID: the process unmapped it, or the device got an address of another process",
      "the address is beyond what TxSZ covers, or on the side of a table that is off (EPD)",
      NOT_INVALIDATED,
    ],
    next: [LOOK.maps, LOOK.stream, LOOK.walk],
  },
  [E.F_ADDR_SIZE]: {
    causes: [
      "a table holds an address beyond IPS, S2PS or the SMMU's OAS: the CPU's tables are wider than the SMMU can follow",
      "a stream in bypass sends an address beyond OAS",
      "the table is corrupt, or not a table at all",
    ],
    next: [LOOK.boot, LOOK.decode("cd"), LOOK.walk],
  },
  [E.F_ACCESS]: {
    causes: [
      "software manages the access flag and AF is 0: the page was aged, or mapped without AF (set CD.AFFD, or HA with HTTU)",
      "an SVA device got no stall or PRI, so nobody can set AF for it",
    ],
    next: [LOOK.walk, LOOK.boot],
  },
  [E.F_PERMISSION]: {
    causes: [
      "the buffer is mapped for the other direction: DMA_TO_DEVICE for something that the device writes",
      "the access is unprivileged and the page is the kernel's (AP), or privileged and PAN is set",
      "the page is clean and nobody may mark it dirty: DBM without HD, or HD without HTTU",
      "an instruction fetch met a page that is not executable",
      NOT_INVALIDATED,
    ],
    next: [LOOK.maps, LOOK.walk, LOOK.decode("s1-pte")],
  },
  [E.F_TLB_CONFLICT]: CONFLICT,
  [E.F_CFG_CONFLICT]: CONFLICT,
  [E.E_PAGE_REQUEST]: {
    causes: ["no error: the device hints at pages that it will need"],
    next: [LOOK.boot],
  },
  [E.F_VMS_FETCH]: fetch("virtual machine structure"),
};

const STAGE2: Readonly<Record<number, string>> = {
  0: "stage 2 stopped the read of a context descriptor: the guest's CD table lies at an address that the hypervisor did not map",
  1: "stage 2 stopped the read of a stage 1 table: the guest's page tables lie at an address that the hypervisor did not map",
  2: "stage 1 translated; the hypervisor's stage 2 does not map the intermediate address (see IPA)",
};

/** Causes and next commands of an event. */
export function eventAdvice(event: Pick<SmmuEvent, "number" | "S2" | "CLASS" | "TTRnW">): Advice {
  const advice = BY_EVENT[event.number];
  if (!advice) return { causes: ["an IMPLEMENTATION DEFINED event: see the SMMU's manual"], next: [LOOK.boot] };
  const first: string[] = [];
  const stage2 = event.S2 ? STAGE2[event.CLASS ?? 2] : undefined;
  if (stage2) first.push(stage2);
  if (event.number === E.F_PERMISSION && event.CLASS === 1 && event.TTRnW === false) {
    first.push(
      "hardware wanted to update a flag in a table that may not be written: stage 1 tables mapped read-only by stage 2",
    );
  }
  return { causes: [...first, ...advice.causes], next: advice.next };
}

/** An error of the command queue, by CMDQ_CONS.ERR. */
export const COMMAND_ADVICE: Readonly<Record<number, Advice>> = {
  [CERROR.ILL]: {
    causes: [
      "the driver sent a command that this SMMU does not have (see the ID registers), or with reserved bits set",
      "the queue is not where the SMMU reads it: CMDQ_BASE must be aligned to the size of the queue, which QEMU does not enforce and hardware does",
      "the queue's memory was overwritten, or not visible to the SMMU when PROD moved",
    ],
    next: ["iommulator decode smmu.command WORD0 WORD1", LOOK.boot],
  },
  [CERROR.ABT]: {
    causes: ["the queue's memory cannot be read: CMDQ_BASE is wrong, or a firewall keeps the SMMU out", UNREACHABLE],
    next: [LOOK.boot, "cat /proc/iomem"],
  },
  [CERROR.ATC_INV_SYNC]: {
    causes: [
      "a device did not answer an ATC invalidation: hung, powered off, unplugged, or its link is down",
      "ATS was turned off in the device while the driver still invalidates its cache",
    ],
    next: [LOOK.lspci, "dmesg | grep -iE 'AER|pcieport|link'"],
  },
};

export const GLOBAL_ADVICE: Advice = {
  causes: [
    "a command was refused: see the CMDQ error that follows",
    "a queue or an interrupt message lies where the SMMU may not write",
  ],
  next: [LOOK.boot],
};

export const SYNC_ADVICE: Advice = {
  causes: [
    "the command queue stopped at an error before the CMD_SYNC: look for `CMDQ error` above",
    "the completion (message, event or poll) got lost: an MSI that aborts, a power-gated SMMU",
    "an ATC invalidation waits for a device that does not answer",
  ],
  next: [LOOK.boot, LOOK.lspci],
};

export const OVERFLOW_ADVICE: Advice = {
  causes: [
    "events came faster than software read them: there are more than the log shows, and the first ones count most",
  ],
  next: [LOOK.boot],
};

export const PRI_ADVICE: Advice = {
  causes: [
    "the device has PRI enabled, but no driver handles its page requests: Linux denies them all",
    "PRI stays enabled after the PASID was unbound",
  ],
  next: [LOOK.lspci, LOOK.stream],
};
