/**
 * Serves a bridge until told to stop: sockets, the RAM file, firmware files, and QEMU if asked.
 *
 * Whatever happens, what was made is removed.
 */
import { mkdirSync, mkdtempSync, rmdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { COMMAND, CONFIG, EXTENDED_CONFIG_BYTES } from "../../../assembly/layout/pci.ts";
import { InputError } from "../../capture/input.ts";
import { maskOf } from "../../structure.ts";
import { Bridge, type BridgeOptions, FIRST_DEVICE_SLOT, IOMMU_SLOT, sidOfSlot } from "../bridge.ts";
import { buildDmar } from "../dmar.ts";
import { buildOptionRom } from "../option-rom.ts";
import { type MachineOptions, qemuCommand } from "../qemu-command.ts";
import { addSmmu, SMMU_BASE } from "../smmu-tree.ts";
import { type Poke, pokeAndStart } from "./gdb.ts";
import { SharedRamFile } from "./ram-file.ts";
import { FunctionServer } from "./server.ts";

export interface ServeOptions {
  unit: BridgeOptions["unit"];
  caches: NonNullable<BridgeOptions["caches"]>;
  /** Devices behind the unit. */
  devices: number;
  ram: string;
  /** Bytes */
  memory: number;
  /** Folder of sockets and firmware files; a new one under the system's temporary folder unless told. */
  folder?: string | undefined;
  machine: Pick<MachineOptions, "qemu" | "kernel" | "initrd" | "append" | "more">;
  /** The device tree of the machine without an SMMU, arm64 only. */
  tree?: Uint8Array | undefined;
  log: (line: string) => void;
}

/** Names of the sockets, the IOMMU's first. */
export function socketNames(devices: number): string[] {
  return ["iommu.sock", ...Array.from({ length: devices }, (_, i) => `dma${i}.sock`)];
}

/** The QEMU command line that goes with `options`, whose files are in `folder`. */
export function commandFor(options: ServeOptions, folder: string): string[] {
  const isVtd = options.unit.vendor === "vtd";
  return qemuCommand({
    ...options.machine,
    vendor: options.unit.vendor,
    memory: options.memory,
    ram: options.ram,
    sockets: socketNames(options.devices).map((name) => join(folder, name)),
    ...(isVtd
      ? { rom: join(folder, ROM_FILE), dmar: join(folder, DMAR_FILE) }
      : { tree: join(folder, TREE_FILE), debugger: join(folder, DEBUGGER_SOCKET) }),
  });
}

/** The command line of the same machine as it is without an SMMU; its device tree is what `tree` wants. */
export function plainCommandFor(options: ServeOptions): string[] {
  const { vendor } = options.unit;
  return qemuCommand({ ...options.machine, vendor, memory: options.memory, ram: options.ram, sockets: [] });
}

const ROM_FILE = "iommu.rom";
const DMAR_FILE = "dmar.bin";
const TREE_FILE = "smmu.dtb";
const DEBUGGER_SOCKET = "gdb.sock";
/** COMMAND with memory decoding and bus mastering on. */
const MEMORY_AND_MASTER = Number(maskOf(COMMAND.MEMORY_SPACE) | maskOf(COMMAND.BUS_MASTER));
/** How often it is looked whether the sockets are still there. */
const WATCH_MILLISECONDS = 1000;

export class BridgeServer {
  readonly bridge: Bridge;
  readonly folder: string;
  /** Program and arguments of the QEMU that goes with it. */
  readonly command: readonly string[];
  /** Rejects with an InputError when it cannot go on. */
  readonly failed: Promise<never>;
  readonly #ram: SharedRamFile;
  readonly #isOwnFolder: boolean;
  readonly #files: string[] = [];
  #servers: FunctionServer[] = [];
  #watch: NodeJS.Timeout | undefined;
  #closed: Promise<void> | undefined;
  /** Where configuration space is mapped, arm64 only. */
  #ecam: bigint | undefined;
  #fail: (error: InputError) => void = () => {};

  private constructor(options: ServeOptions, folder: string) {
    this.#ram = new SharedRamFile(options.ram, options.memory);
    this.failed = new Promise((_, reject) => {
      this.#fail = reject;
    });
    // Nobody may be waiting when it happens.
    this.failed.catch(() => {});
    this.#ram.onShrunk = (problem) => this.#fail(new InputError(options.ram, "", problem));
    this.bridge = new Bridge({
      unit: options.unit,
      caches: options.caches,
      ram: this.#ram,
      devices: options.devices,
      log: options.log,
    });
    this.#isOwnFolder = options.folder === undefined;
    this.folder = folder;
    this.command = commandFor(options, this.folder);
  }

  /** @throws InputError when the RAM file or a socket cannot be had; then nothing is left behind */
  static async open(options: ServeOptions): Promise<BridgeServer> {
    const server = new BridgeServer(options, options.folder ?? temporaryFolder());
    try {
      await server.#listen(options);
    } catch (error) {
      await server.close();
      throw error;
    }
    return server;
  }

  /** Ends all connections, and removes sockets and files. */
  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    clearInterval(this.#watch);
    await Promise.all(this.#servers.map((server) => server.close()));
    for (const file of this.#files) rmSync(file, { force: true });
    if (this.#isOwnFolder) rmdirSync(this.folder);
    this.#ram.close();
  }

  async #listen(options: ServeOptions): Promise<void> {
    const { unit, devices, log } = options;
    try {
      mkdirSync(this.folder, { recursive: true });
      if (unit.vendor === "vtd") {
        const slots = Array.from({ length: devices }, (_, i) => FIRST_DEVICE_SLOT + i);
        this.#writeFile(ROM_FILE, buildOptionRom());
        this.#writeFile(DMAR_FILE, buildDmar(unit.capabilities.haw, slots));
      } else if (options.tree) {
        const { blob, ecam } = addSmmu(options.tree, sidOfSlot(FIRST_DEVICE_SLOT), sidOfSlot(devices));
        this.#writeFile(TREE_FILE, blob);
        this.#ecam = ecam;
      }
    } catch (error) {
      if (error instanceof RangeError) throw new InputError("device tree", "", error.message);
      const { code } = error as NodeJS.ErrnoException;
      throw new InputError(this.folder, "", `cannot be written to (${code ?? error}); use another --sockets`);
    }
    const names = socketNames(devices);
    for (const [i, target] of this.bridge.functions.entries()) {
      const path = join(this.folder, names[i] as string);
      this.#servers.push(await FunctionServer.listen({ path, target, log }));
    }
    if (this.#ecam !== undefined) this.#startWith(this.#ecam, log);
    this.#watch = setInterval(() => this.#lookForSockets(), WATCH_MILLISECONDS);
    this.#watch.unref();
  }

  /**
   * Each time a machine has come, which stands still as yet: gives the SMMU its place, which no firmware does
   * on arm64 before the kernel looks for it, and starts the machine.
   */
  #startWith(ecam: bigint, log: (line: string) => void): void {
    const config = ecam + BigInt(sidOfSlot(IOMMU_SLOT) * EXTENDED_CONFIG_BYTES);
    const pokes: Poke[] = [
      { address: config + BigInt(CONFIG.BAR0), value: SMMU_BASE, bytes: 4 },
      { address: config + BigInt(CONFIG.COMMAND), value: MEMORY_AND_MASTER, bytes: 2 },
    ];
    const [iommu] = this.#servers;
    if (!iommu) return;
    let gone = new AbortController();
    iommu.onClient = (isThere) => {
      gone.abort();
      if (!isThere) return;
      gone = new AbortController();
      const { signal } = gone;
      pokeAndStart(join(this.folder, DEBUGGER_SOCKET), pokes, signal).catch((error: Error) => {
        if (!signal.aborted) log(`the machine could not be started: ${error.message}`);
      });
    };
    this.#files.push(join(this.folder, DEBUGGER_SOCKET));
  }

  #writeFile(name: string, content: Uint8Array): void {
    const path = join(this.folder, name);
    writeFileSync(path, content);
    this.#files.push(path);
  }

  /** A socket that was removed cannot be found by the next client. */
  #lookForSockets(): void {
    const gone = this.#servers.find((server) => !server.busy && !server.isReachable);
    if (gone)
      this.#fail(new InputError(gone.path, "", "the socket has vanished; start over, in a folder nobody cleans"));
  }
}

function temporaryFolder(): string {
  try {
    return mkdtempSync(join(tmpdir(), "iommulator-"));
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new InputError(tmpdir(), "", `no folder can be made here (${code ?? error}); give one with --sockets`);
  }
}
