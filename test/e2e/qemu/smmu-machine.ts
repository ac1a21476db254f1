/** QEMU's virt machine with its SMMUv3 and test devices, and how to reach the unit's registers there. */
import { qemu } from "../cache.ts";
import { deviceOptions, enumerate, type TestDevice, type Topology } from "./pci.ts";
import { command, Qtest } from "./qtest.ts";
import type { Range } from "./ram.ts";

export const UNIT = 0x905_0000n;
const GIBIBYTE = 1n << 30n;

export const RAM: readonly Range[] = [{ base: GIBIBYTE, size: GIBIBYTE }];
/** Flash and devices below RAM; redistributors and configuration space; the high PCIe window. */
export const DEVICES: readonly Range[] = [
  { base: 0n, size: GIBIBYTE },
  { base: 0x40_0000_0000n, size: 0x2000_0000n },
  { base: 0x80_0000_0000n, size: 0x80_0000_0000n },
];

const ECAM = 0x40_1000_0000n;
const DEVICE_TREE_BYTES = 0x20_0000;
const BARS = 0x1000_0000;
const ROOT = [0x18, 0x40, 0x88, 0xf0, 0xf7];
const BEHIND = [0, 3];

export interface SmmuMachine {
  qtest: Qtest;
  devices: TestDevice[];
  ids: { IDR0: number; IDR1: number; IDR3: number; IDR5: number; AIDR: number };
}

/** Starts QEMU's `machine` (a virt, with the SMMU's options), and two root ports with these bus numbers. */
export async function startSmmu(machine: string, buses: readonly number[]): Promise<SmmuMachine> {
  const topology: Topology = { root: ROOT, ports: buses.map((bus) => ({ bus, functions: BEHIND })) };
  const [type = "", ...globals] = machine.split(" ");
  const qtest = new Qtest(qemu("arm64"), [
    ...["-M", type, "-cpu", "max", "-m", "1G", "-nodefaults"],
    ...globals.flatMap((option) => ["-global", option]),
    ...deviceOptions(topology, "pcie.0"),
  ]);
  const config = (sid: number, offset: number, value: number) => [
    command.write32(ECAM + BigInt(sid * 0x1000 + offset), value >>> 0),
  ];
  const { devices, commands } = enumerate(topology, BARS, config);
  // QEMU puts its device tree at the start of RAM.
  await qtest.batch([command.clear(GIBIBYTE, DEVICE_TREE_BYTES), ...commands]);
  const registers = [0x00n, 0x04n, 0x0cn, 0x14n, 0x1cn].map((offset) => command.read32(UNIT + offset));
  const [IDR0 = 0, IDR1 = 0, IDR3 = 0, IDR5 = 0, AIDR = 0] = (await qtest.batch(registers)).map(Number);
  return { qtest, devices, ids: { IDR0, IDR1, IDR3, IDR5, AIDR } };
}
