/** The machines that are booted, and what has to be seen of each. */
import { SMMU_PRESETS, VTD_PRESETS } from "../../../src/index.ts";
import type { Architecture } from "../cache.ts";
import type { Boot } from "./boot.ts";

const VTD = VTD_PRESETS["server-5-level"];
export const UNITS = {
  amd64: { vendor: "vtd", capabilities: VTD },
  arm64: { vendor: "smmuv3", features: SMMU_PRESETS.server },
} as const;

/** Something to be seen: its name, and whether it was. */
export type Check = readonly [what: string, seen: (boot: Boot) => boolean];

export interface Machine {
  name: string;
  architecture: Architecture;
  append: string;
  checks: readonly Check[];
}

/** The engine's requester, and the addresses that `guest/dma.c` uses. */
const DEVICE = "0000:00:06.0";
const READ_ONLY = 0x2000_2008;
const NOWHERE = 0x3000_3010;
const UNMAPPED = 0x1000_1000;
const PAGE = 0x1000;

const says = (pattern: RegExp | string) => (boot: Boot) =>
  boot.lines.some((line) => (typeof pattern === "string" ? line.includes(pattern) : pattern.test(line)));
/** A verdict of the guest's program. */
const passed = (...names: string[]): Check[] => names.map((name) => [name, says(`e2e: ${name}: ok`)]);
/** While the guest said so, the unit's status register had these bits. */
const status = (when: string, bits: number) => (boot: Boot) =>
  ((boot.states.get(when)?.status ?? 0) & bits) >>> 0 === bits >>> 0;

const DMA = passed("engine", "read", "write", "interrupt", "read-only", "unmapped", "after unmap");
const SVA = passed(
  "bind",
  "page request",
  "sva write",
  "sva read",
  "refused page request",
  "device invalidated",
  "after munmap",
  "after unbind",
);

/** Faults as the device saw them (by the emulator's aid) and as the kernel's driver decoded them are the same. */
function vtdFault(name: string, access: "Read" | "Write", address: number, code: number): Check {
  const page = (address - (address % PAGE)).toString(16);
  const reason = code.toString(16).padStart(2, "0");
  const line = new RegExp(
    `DMA ${access} NO_PASID\\] Request device \\[${DEVICE}\\] fault addr 0x${page} \\[fault reason 0x${reason}\\]`,
  );
  return [
    `kernel logs ${name}: reason 0x${reason} at 0x${page}`,
    (boot) => says(line)(boot) && says(`e2e: code of ${name}: 0x${code.toString(16)}`)(boot),
  ];
}

function smmuEvent(name: string, event: string, code: number, access: "read" | "write", address: number): Check {
  const at = address.toString(16);
  const decoded = new RegExp(`event: ${event} client: ${DEVICE} sid: 0x30 ssid: 0x0 iova: 0x${at} `);
  const what = new RegExp(`unpriv data ${access} s1 "Input address caused fault"`);
  return [
    `kernel logs ${name}: ${event} at 0x${at}`,
    ({ lines }) => {
      const i = lines.findIndex((line) => decoded.test(line));
      return (
        i >= 0 &&
        what.test(lines[i + 1] ?? "") &&
        lines.some((line) => line.includes(`e2e: code of ${name}: 0x${code.toString(16)}`))
      );
    },
  ];
}

const X86_PROBE: readonly Check[] = [
  ["probe: capabilities as the unit's", says(`cap ${VTD.cap.toString(16)} ecap ${VTD.ecap.toString(16)}`)],
  ["queued invalidation", says("dmar0: Using Queued invalidation")],
  ["iommu group", says(`pci ${DEVICE}: Adding to iommu group`)],
  ["domain type DMA-FQ", says("e2e: group: DMA-FQ")],
  ["translation, root table and queue enabled", status("engine: ok", 0xc400_0000)],
  ["no fault left unread at the end", (boot) => boot.states.get("end")?.pending === false],
];

/** Both of Linux's records of accesses that software no longer allows, and that it had no time to see. */
const SVA_FAULTS: readonly Check[] = [
  [
    "kernel logs after munmap: reason 0x71 at the page",
    ({ lines }) => {
      const address = lines.map((line) => /e2e: unmapped memory: 0x(\w+)/.exec(line)?.[1]).find(Boolean);
      return lines.some((line) =>
        line.includes(`DMA Read PASID 0x1] Request device [${DEVICE}] fault addr 0x${address} [fault reason 0x71]`),
      );
    },
  ],
  ["kernel logs after unbind: reason 0x59", says(/DMA Read PASID 0x1\] Request device .* \[fault reason 0x59\]/)],
];

export const MACHINES: readonly Machine[] = [
  {
    name: "amd64, scalable mode",
    architecture: "amd64",
    append: "console=ttyS0 intel_iommu=on,sm_on",
    checks: [
      ...X86_PROBE,
      ...DMA,
      vtdFault("read-only", "Write", READ_ONLY, 0x85),
      vtdFault("unmapped", "Read", NOWHERE, 0x71),
      vtdFault("after unmap", "Write", UNMAPPED, 0x71),
      ...SVA,
      ...SVA_FAULTS,
    ],
  },
  {
    name: "amd64, legacy mode",
    architecture: "amd64",
    append: "console=ttyS0 intel_iommu=on,sm_off e2e=vfio",
    checks: [
      ...X86_PROBE,
      ...DMA,
      vtdFault("read-only", "Write", READ_ONLY, 0x05),
      vtdFault("unmapped", "Read", NOWHERE, 0x06),
      vtdFault("after unmap", "Write", UNMAPPED, 0x05),
    ],
  },
  {
    name: "arm64",
    architecture: "arm64",
    append: "console=ttyAMA0",
    checks: [
      ["probe: the unit's address size", says("arm-smmu-v3 3e000000.iommu: oas 48-bit")],
      ["command, event and page request queues", says(/3e000000\.iommu: allocated \d+ entries for priq/)],
      ["iommu group", says(`pci ${DEVICE}: Adding to iommu group`)],
      ["domain type DMA", says("e2e: group: DMA")],
      ["SMMU and all queues enabled", status("engine: ok", 0xf)],
      ["no event left unread at the end", (boot) => boot.states.get("end")?.pending === false],
      ...DMA,
      smmuEvent("read-only", "F_PERMISSION", 0x13, "write", READ_ONLY),
      smmuEvent("unmapped", "F_TRANSLATION", 0x10, "read", NOWHERE),
      smmuEvent("after unmap", "F_TRANSLATION", 0x10, "write", UNMAPPED),
    ],
  },
];
