/** The command line of a QEMU whose IOMMU is ours. */
import { FIRST_DEVICE_SLOT, IOMMU_SLOT } from "./bridge.ts";
import { IOMMU_DEVICE, IOMMU_VENDOR } from "./iommu-function.ts";
import type { Vendor } from "./unit.ts";

export interface MachineOptions {
  vendor: Vendor;
  /** The program; `qemu-system-x86_64` or `qemu-system-aarch64` unless told. */
  qemu?: string | undefined;
  /** Bytes of RAM. */
  memory: number;
  ram: string;
  /** Sockets, the IOMMU's first. */
  sockets: readonly string[];
  /** Firmware files, x86 only. */
  rom?: string | undefined;
  dmar?: string | undefined;
  /** Device tree, and the socket by which the stopped machine is started; arm64 only. */
  tree?: string | undefined;
  debugger?: string | undefined;
  kernel?: string | undefined;
  initrd?: string | undefined;
  append?: string | undefined;
  /** More arguments as they are. */
  more?: readonly string[];
}

/** A breakpoint in the emulator must not cost the machine its devices: an hour, in milliseconds. */
const MESSAGE_TIMEOUT = 3_600_000;

export const QEMU_PROGRAM: Readonly<Record<Vendor, string>> = {
  vtd: "qemu-system-x86_64",
  smmuv3: "qemu-system-aarch64",
};

/** What a kernel must be told to use the unit. */
const KERNEL_ARGUMENTS: Readonly<Record<Vendor, string>> = {
  vtd: "console=ttyS0 intel_iommu=on,sm_on",
  smmuv3: "console=ttyAMA0",
};

/** Program and arguments. */
export function qemuCommand(options: MachineOptions): string[] {
  const { vendor, memory, ram, sockets, kernel, initrd, append, more = [] } = options;
  const size = memory % 2 ** 20 === 0 ? `${memory / 2 ** 20}M` : `${memory}B`;
  const words = [options.qemu ?? QEMU_PROGRAM[vendor]];
  words.push("-M", vendor === "vtd" ? "q35" : "virt,gic-version=2", "-cpu", "max", "-m", size);
  words.push("-object", `memory-backend-file,id=ram,size=${size},share=on,mem-path=${escaped(ram)}`);
  words.push("-machine", "memory-backend=ram", "-nodefaults", "-nographic", "-serial", "stdio", "-no-reboot");
  if (options.rom !== undefined) words.push("-fw_cfg", `name=${romName()},file=${escaped(options.rom)}`);
  if (options.dmar !== undefined) words.push("-acpitable", `file=${escaped(options.dmar)}`);
  if (options.tree !== undefined) words.push("-dtb", options.tree);
  if (options.debugger !== undefined) words.push("-S", "-gdb", `unix:${escaped(options.debugger)},server=on,wait=off`);
  sockets.forEach((path, i) => {
    const slot = i === 0 ? IOMMU_SLOT : FIRST_DEVICE_SLOT + i - 1;
    const device = {
      driver: "vfio-user-pci",
      addr: slot.toString(16),
      socket: { type: "unix", path },
      "x-msg-timeout": MESSAGE_TIMEOUT,
    };
    words.push("-device", JSON.stringify(device));
  });
  if (kernel !== undefined) words.push("-kernel", kernel);
  if (initrd !== undefined) words.push("-initrd", initrd);
  if (kernel !== undefined) words.push("-append", append ?? KERNEL_ARGUMENTS[vendor]);
  return [...words, ...more];
}

/** QEMU's options are separated by commas; one within is doubled. */
function escaped(value: string): string {
  return value.replaceAll(",", ",,");
}

function romName(): string {
  return `pci${id(IOMMU_VENDOR)},,${id(IOMMU_DEVICE)}.rom`;
}

function id(value: number): string {
  return value.toString(16).padStart(4, "0");
}

/** A command line for people to paste: quoted for a shell, an option to a line. */
export function shellCommand(words: readonly string[]): string {
  const quoted = words.map((word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`));
  return quoted
    .map((word, i) => (i > 0 && word.startsWith("-") ? ` \\\n  ${word}` : i > 0 ? ` ${word}` : word))
    .join("");
}
