/** QEMU's q35 with its intel-iommu and test devices, and how to reach the unit's registers there. */
import { qemu } from "../cache.ts";
import { deviceOptions, enumerate, type TestDevice, type Topology } from "./pci.ts";
import { command, Qtest } from "./qtest.ts";
import type { Range } from "./ram.ts";

export const UNIT = 0xfed9_0000n;
const MEBIBYTE = 1n << 20n;
const GIBIBYTE = 1n << 30n;

/** RAM of a q35 with 40 GiB, without the 640 KiB hole; devices, flash and windows in between. */
export const RAM: readonly Range[] = [
  { base: 0n, size: 0xa_0000n },
  { base: MEBIBYTE, size: 2n * GIBIBYTE - MEBIBYTE },
  { base: 4n * GIBIBYTE, size: 38n * GIBIBYTE },
];
export const DEVICES: readonly Range[] = [
  { base: 0xa_0000n, size: 0x6_0000n },
  { base: 2n * GIBIBYTE, size: 2n * GIBIBYTE },
];

const BARS = 0xe000_0000;
/** Functions above and below the half of a scalable root entry; a second one in a slot. */
const ROOT = [0x18, 0x40, 0x88, 0x98, 0xf0, 0xf7];
const BEHIND = [0, 3];

const CONFIG_ADDRESS = 0xcf8;
const CONFIG_DATA = 0xcfc;

export interface VtdMachine {
  qtest: Qtest;
  devices: TestDevice[];
  ver: bigint;
  cap: bigint;
  ecap: bigint;
}

/** Starts QEMU with an `intel-iommu` of these options, and two root ports with these bus numbers. */
export async function startVtd(options: string, buses: readonly number[]): Promise<VtdMachine> {
  const topology: Topology = { root: ROOT, ports: buses.map((bus) => ({ bus, functions: BEHIND })) };
  const qtest = new Qtest(qemu("amd64"), [
    ...["-M", "q35,kernel-irqchip=off", "-m", "40G", "-nodefaults"],
    ...["-object", "memory-backend-ram,id=ram,size=40G,reserve=off", "-machine", "memory-backend=ram"],
    ...["-device", options, ...deviceOptions(topology, "pcie.0")],
  ]);
  const config = (sid: number, offset: number, value: number) => [
    command.out32(CONFIG_ADDRESS, (0x8000_0000 | (sid << 8) | offset) >>> 0),
    command.out32(CONFIG_DATA, value >>> 0),
  ];
  const { devices, commands } = enumerate(topology, BARS, config);
  await qtest.batch(commands);
  const [ver = 0n, cap = 0n, ecap = 0n] = await qtest.batch([
    command.read32(UNIT),
    command.read64(UNIT + 0x8n),
    command.read64(UNIT + 0x10n),
  ]);
  return { qtest, devices, ver, cap, ecap };
}
