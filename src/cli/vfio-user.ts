/** `vfio-user`: a unit and devices behind it, for a virtual machine to use. */
import type { CacheChoice } from "../bridge/bridge.ts";
import { checkQemu, dumpTree, QemuProcess } from "../bridge/node/qemu.ts";
import { BridgeServer, commandFor, plainCommandFor, type ServeOptions, socketNames } from "../bridge/node/serve.ts";
import { QEMU_PROGRAM, shellCommand } from "../bridge/qemu-command.ts";
import { InputError } from "../capture/input.ts";
import { readFile } from "../capture/node/files.ts";
import { SMMU_PRESETS, type SmmuPreset } from "../smmuv3/presets.ts";
import { VTD_PRESETS, type VtdPreset } from "../vtd/capabilities.ts";
import type { Io } from "./io.ts";
import { type Arguments, EXIT, readArguments, UsageError, type Verb } from "./verb.ts";

const DEFAULT_VTD: VtdPreset = "server-5-level";
const DEFAULT_SMMU: SmmuPreset = "server";
const CACHES: readonly CacheChoice[] = ["none", "sized", "retain"];
const MAX_DEVICES = 8;
const MIB = 1024 * 1024;
const UNITS: Readonly<Record<string, number>> = { M: MIB, G: 1024 * MIB };
const MIN_MEMORY = 64 * MIB;
const MAX_MEMORY = 1024 * 1024 * MIB;

export const vfioUser: Verb = {
  name: "vfio-user",
  summary: "serve a unit and DMA devices behind it to QEMU: your kernel's driver on it",
  form: "vfio-user --vtd [PRESET]|--smmuv3 [PRESET] --ram FILE [options] [-- QEMU ARGUMENTS]",
  help: `--vtd       an Intel VT-d unit: ${Object.keys(VTD_PRESETS).slice(0, 3).join(", ")},
            ...; "${DEFAULT_VTD}" unless told
--smmuv3    an Arm SMMUv3: ${Object.keys(SMMU_PRESETS).join(", ")};
            "${DEFAULT_SMMU}" unless told
--ram       the guest's RAM: a file that QEMU maps too; one that is missing is
            made, and goes in the end; in /dev/shm it is fastest
--memory    its size, 1G unless told (64M..1T)
--devices   DMA devices behind the unit, 1 unless told (0..${MAX_DEVICES})
--caches    none, sized, or retain: what the unit may keep until an
            invalidation says otherwise; "retain" finds missing ones
--sockets   folder for sockets and firmware files; a temporary one unless told
--kernel, --initrd, --append
            as QEMU has them
--dtb       SMMUv3: the device tree that QEMU dumps; unless told it is asked
--run       start QEMU, with this terminal as its serial console
--qemu      where QEMU is, if it is not the one in PATH
--print     print the QEMU command line and stop
--json      one object: {"sockets":[...],"qemu":[...]}

It prints the QEMU command line to use (11.1 or newer) and serves until Ctrl-C;
machines may come and go. Behind "--" are more arguments for QEMU.

example:
  npm run -s cli -- vfio-user --vtd --ram /dev/shm/guest.ram --print
`,
  async run(args, io: Io) {
    const given = readArguments(withPresets(ownPart(args)), io, OPTIONS, [0, 0]);
    const options = serveOptions(given, qemuPart(args), io);
    if (given.flag("print")) {
      const folder = given.text("sockets") ?? "SOCKETS";
      tell(io, given.json, socketsIn(options, folder), commandFor(options, folder));
      return EXIT.OK;
    }
    const run = given.flag("run");
    prepare(options, run);
    const server = await BridgeServer.open(options);
    const signal = new Signal();
    let qemu: QemuProcess | undefined;
    try {
      if (!run || given.json) tell(io, given.json, socketsIn(options, server.folder), server.command);
      if (run) qemu = new QemuProcess(server.command);
      const code = await Promise.race([server.failed, signal.arrived, qemu?.ended ?? new Promise<number>(() => {})]);
      if (code !== 0)
        throw new InputError(server.command[0] as string, "", `ended with code ${code}; its last lines say why`);
      return EXIT.OK;
    } finally {
      signal.forget();
      await qemu?.stop();
      await server.close();
    }
  },
};

/** What only QEMU knows: whether it will do, and arm64's device tree. @throws InputError */
function prepare(options: ServeOptions, run: boolean): void {
  const program = options.machine.qemu ?? QEMU_PROGRAM[options.unit.vendor];
  const needsTree = options.unit.vendor === "smmuv3" && options.tree === undefined;
  if (run || needsTree) checkQemu(program);
  if (needsTree) options.tree = dumpTree(plainCommandFor(options));
}

const OPTIONS = {
  vtd: { type: "string" },
  smmuv3: { type: "string" },
  ram: { type: "string" },
  memory: { type: "string" },
  devices: { type: "string" },
  caches: { type: "string" },
  sockets: { type: "string" },
  kernel: { type: "string" },
  initrd: { type: "string" },
  append: { type: "string" },
  dtb: { type: "string" },
  qemu: { type: "string" },
  run: { type: "boolean" },
  print: { type: "boolean" },
} as const;

function ownPart(args: readonly string[]): readonly string[] {
  const end = args.indexOf("--");
  return end < 0 ? args : args.slice(0, end);
}

function qemuPart(args: readonly string[]): readonly string[] {
  const end = args.indexOf("--");
  return end < 0 ? [] : args.slice(end + 1);
}

/** `--vtd` and `--smmuv3` may stand alone. */
function withPresets(args: readonly string[]): string[] {
  const defaults: Readonly<Record<string, string>> = { "--vtd": DEFAULT_VTD, "--smmuv3": DEFAULT_SMMU };
  return args.flatMap((word, i) => {
    const preset = defaults[word];
    const next = args[i + 1];
    const isAlone = preset !== undefined && (next === undefined || next.startsWith("-"));
    return isAlone ? [word, preset] : [word];
  });
}

function serveOptions(given: Arguments, more: readonly string[], io: Io): ServeOptions {
  const ram = given.text("ram");
  const tree = given.text("dtb");
  const unit = chooseUnit(given.text("vtd"), given.text("smmuv3"));
  if (ram === undefined) throw new UsageError("--ram is missing: a file for the guest's RAM");
  const caches = given.text("caches") ?? "none";
  if (!isOneOf(CACHES, caches)) throw new UsageError(`--caches: "${caches}" is not one of ${CACHES.join(", ")}`);
  return {
    unit,
    caches,
    ram,
    devices: parseDevices(given.text("devices") ?? "1"),
    memory: parseMemory(given.text("memory") ?? "1G"),
    folder: given.text("sockets"),
    machine: {
      qemu: given.text("qemu"),
      kernel: given.text("kernel"),
      initrd: given.text("initrd"),
      append: given.text("append"),
      more,
    },
    tree: tree === undefined ? undefined : readFile(tree),
    log: (line) => io.err(`iommulator vfio-user: ${line}\n`),
  };
}

function chooseUnit(vtd: string | undefined, smmuv3: string | undefined): ServeOptions["unit"] {
  if ((vtd === undefined) === (smmuv3 === undefined)) throw new UsageError("give one of --vtd and --smmuv3");
  if (vtd !== undefined) {
    const names = Object.keys(VTD_PRESETS) as VtdPreset[];
    if (!isOneOf(names, vtd)) throw new UsageError(`--vtd: "${vtd}" is not one of ${names.join(", ")}`);
    return { vendor: "vtd", capabilities: VTD_PRESETS[vtd] };
  }
  const names = Object.keys(SMMU_PRESETS) as SmmuPreset[];
  if (!isOneOf(names, smmuv3)) throw new UsageError(`--smmuv3: "${smmuv3}" is not one of ${names.join(", ")}`);
  return { vendor: "smmuv3", features: SMMU_PRESETS[smmuv3] };
}

function isOneOf<T extends string>(allowed: readonly T[], text: string | undefined): text is T {
  return (allowed as readonly (string | undefined)[]).includes(text);
}

function parseDevices(text: string): number {
  const count = Number(text);
  if (!/^\d+$/.test(text) || count > MAX_DEVICES) {
    throw new UsageError(`--devices: "${text}" is not a number in 0..${MAX_DEVICES}`);
  }
  return count;
}

function parseMemory(text: string): number {
  const [, digits, unit] = /^(\d+)([MG])$/.exec(text) ?? [];
  const bytes = Number(digits) * (UNITS[unit ?? ""] ?? 0);
  if (!(bytes >= MIN_MEMORY && bytes <= MAX_MEMORY)) {
    throw new UsageError(`--memory: "${text}" is not a size such as 512M or 4G (64M..1024G)`);
  }
  return bytes;
}

function socketsIn(options: ServeOptions, folder: string): string[] {
  return socketNames(options.devices).map((name) => `${folder}/${name}`);
}

function tell(io: Io, json: boolean, sockets: readonly string[], qemu: readonly string[]): void {
  io.out(json ? `${JSON.stringify({ sockets, qemu })}\n` : `${shellCommand(qemu)}\n`);
}

/** Ctrl-C, or a polite kill: all is well. */
class Signal {
  /** Resolves to an exit code. */
  readonly arrived: Promise<number>;
  #hear: () => void = () => {};

  constructor() {
    this.arrived = new Promise((resolve) => {
      this.#hear = () => resolve(0);
    });
    for (const name of SIGNALS) process.on(name, this.#hear);
  }

  forget(): void {
    for (const name of SIGNALS) process.off(name, this.#hear);
  }
}

const SIGNALS = ["SIGINT", "SIGTERM"] as const;
