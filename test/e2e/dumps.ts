/**
 * `npm run e2e -- dumps`: kernels that boot with QEMU's own IOMMUs, dumped in every format that QEMU has. The
 * registers are asked for with the very commands that a dump without registers is answered with.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import type { ImageIommu } from "../../src/capture/image/image.ts";
import { MissingRegisters } from "../../src/capture/image/unit.ts";
import { main } from "../../src/cli/cli.ts";
import { type Io, lines } from "../../src/cli/io.ts";
import { Qmp } from "../support/dumps/qmp.ts";
import { type Architecture, kernel, qemu } from "./cache.ts";

interface Machine {
  architecture: Architecture;
  iommu: ImageIommu;
  args: string[];
  console: string;
}

const DEVICES = ["-device", "nvme,serial=a,drive=d", "-drive", "if=none,id=d,file=null-co://,format=raw,file.size=1M"];

const MACHINES: readonly Machine[] = [
  {
    architecture: "amd64",
    iommu: "vtd",
    args: ["-M", "q35", "-device", "intel-iommu,scalable-mode=on,intremap=off", ...DEVICES],
    console: "ttyS0 intel_iommu=on",
  },
  {
    architecture: "arm64",
    iommu: "smmuv3",
    args: ["-M", "virt,iommu=smmuv3,gic-version=3", "-cpu", "max", ...DEVICES],
    console: "ttyAMA0",
  },
];

/** [file, format, paging]; not every build of QEMU has all of them. */
const DUMPS = [
  ["elf", "elf", false],
  ["elf-paging", "elf", true],
  ["kdump-zlib", "kdump-zlib", false],
  ["kdump-lzo", "kdump-lzo", false],
  ["kdump-snappy", "kdump-snappy", false],
  ["kdump-raw-zlib", "kdump-raw-zlib", false],
] as const;

/** A kernel without a root file system ends like this, with its IOMMU and devices set up. */
const END = "Unable to mount root fs";
const MINUTES = 5;

/** @returns whether all dumps of a machine say the same, and something */
export async function readDumps(say: (line: string) => void): Promise<boolean> {
  let good = true;
  for (const machine of MACHINES) {
    const folder = mkdtempSync(join(tmpdir(), "iommulator-e2e-dumps-"));
    try {
      const found = await dumpsOf(machine, folder);
      const maps = new Set<string>();
      for (const path of found) maps.add(await mapOf(path, join(folder, "registers")));
      const devices = [...maps].map((map) => (JSON.parse(map) as { devices: unknown[] }).devices.length);
      say(
        `${machine.iommu}: ${found.length} dumps, ${maps.size} different maps, ${devices.join(" or ")} groups of devices`,
      );
      good &&= maps.size === 1 && (devices[0] ?? 0) > 0;
    } finally {
      rmSync(folder, { recursive: true });
    }
  }
  return good;
}

async function dumpsOf({ architecture, iommu, args, console }: Machine, folder: string): Promise<string[]> {
  const log = join(folder, "console");
  const release = readFileSync(join(kernel(architecture), "release"), "utf8").trim();
  const image = join(kernel(architecture), "usr/lib/modules", release, "vmlinuz");
  const software = ["-kernel", image, "-append", `console=${console} iommu.passthrough=0`];
  const plain = ["-m", "512M", "-display", "none", "-nodefaults", "-serial", `file:${log}`];
  const qmp = await Qmp.start(qemu(architecture), [...plain, ...args, ...software]);
  try {
    await waitFor(log, END);
    await qmp.run("stop");
    writeFileSync(join(folder, "registers"), await answers(qmp, iommu));
    return await dump(qmp, folder);
  } finally {
    await qmp.quit();
  }
}

async function waitFor(log: string, text: string): Promise<void> {
  for (let seconds = 0; seconds < MINUTES * 60; seconds++) {
    await setTimeout(1000);
    if (readFileSync(log, "utf8").includes(text)) return;
  }
  throw new Error(`${log}: no "${text}" within ${MINUTES} minutes`);
}

/** The monitor's answers to the commands that our own advice has for it. */
async function answers(qmp: Qmp, iommu: ImageIommu): Promise<string> {
  const { advice } = new MissingRegisters("", iommu, []);
  const commands = advice.split("\n").flatMap((line) => /^ +(xp .*)$/.exec(line)?.[1] ?? []);
  if (commands.length === 0) throw new Error(`no commands for QEMU's monitor in:\n${advice}`);
  let text = "";
  for (const command of commands) text += await qmp.monitor(command);
  return text;
}

async function dump(qmp: Qmp, folder: string): Promise<string[]> {
  const made: string[] = [];
  for (const [name, format, paging] of DUMPS) {
    const path = join(folder, name);
    try {
      await qmp.dump(path, format, paging);
      made.push(path);
    } catch (error) {
      if (!/not available/.test((error as Error).message)) throw error;
    }
  }
  return made;
}

/** What `map` says of a dump, without the file's name. */
async function mapOf(path: string, registers: string): Promise<string> {
  let out = "";
  const io: Io = {
    out: (text) => {
      out += text;
    },
    err: (text) => void process.stderr.write(text),
    color: false,
    lines,
    save: () => {},
  };
  const code = await main(["map", path, "--regs", registers, "--json"], io);
  if (code > 1) throw new Error(`${path}: exit ${code}`);
  return out.replaceAll(path, "");
}
