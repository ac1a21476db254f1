/**
 * The bridge: one remapping unit, the functions that show it and the devices behind it, and the guest's RAM.
 *
 * No sockets here: a `Session` joins a function with a client, whatever carries the bytes.
 */
import { GuestMemory } from "../memory.ts";
import type { SmmuFeatures } from "../smmuv3/features.ts";
import type { VtdCapabilities } from "../vtd/capabilities.ts";
import { dword } from "./bytes.ts";
import { DmaEngine } from "./dma-engine.ts";
import { patchDmar } from "./dmar.ts";
import type { BusMaster, PciFunction } from "./function.ts";
import { GuestRam, type RamFile } from "./guest-ram.ts";
import { IommuFunction } from "./iommu-function.ts";
import { type BridgeUnit, openSmmu, openVtd, type Requester } from "./unit.ts";

export type CacheChoice = "none" | "sized" | "retain";

export interface BridgeOptions {
  unit: { vendor: "vtd"; capabilities: VtdCapabilities } | { vendor: "smmuv3"; features: SmmuFeatures };
  /** What the unit caches. */
  caches?: CacheChoice;
  ram: RamFile;
  /** Devices behind the unit. */
  devices?: number;
  /** Told what happens that a person may want to know. */
  log?: (line: string) => void;
}

/** Where the machines have RAM: q35 from 0, arm64's "virt" from 1 GiB. */
export const RAM_BASE: Readonly<Record<"vtd" | "smmuv3", bigint>> = { vtd: 0n, smmuv3: 0x4000_0000n };
/** Room for caches of every kind. */
const WORKSPACE_BYTES = 16 * 1024 * 1024;

/** PCI slots on bus 0: the IOMMU, then the devices. */
export const IOMMU_SLOT = 5;
export const FIRST_DEVICE_SLOT = 6;
const FUNCTIONS_PER_SLOT = 8;

interface InterruptMessage {
  address: bigint;
  data: number;
}

export class Bridge {
  readonly unit: BridgeUnit;
  readonly ram: GuestRam;
  readonly memory: GuestMemory;
  readonly iommu: IommuFunction;
  readonly engines: readonly DmaEngine[];
  readonly #log: (line: string) => void;
  /** While a device sends a message: what the unit has sent meanwhile. */
  #held: InterruptMessage[] | undefined;

  constructor(options: BridgeOptions) {
    const { unit, caches = "none", ram } = options;
    this.#log = options.log ?? (() => {});
    this.ram = new GuestRam(ram, RAM_BASE[unit.vendor]);
    this.memory = new GuestMemory({ ram: [this.ram.region], workspace: WORKSPACE_BYTES });
    this.unit =
      unit.vendor === "vtd"
        ? openVtd(this.memory, unit.capabilities, caches)
        : openSmmu(this.memory, unit.features, caches);
    this.iommu = new IommuFunction({
      unit: this.unit,
      onMemory: (memory) => this.ram.useMap(memory),
      onBusMaster: (bar0) => this.#placed(bar0),
    });
    this.engines = Array.from({ length: options.devices ?? 1 }, (_, i) => {
      const requester = this.unit.requester(sidOfSlot(FIRST_DEVICE_SLOT + i));
      return new DmaEngine({
        name: `dma${i}`,
        requester,
        sendMessage: (bus, address, data) => this.#sendMessage(requester, bus, address, data),
      });
    });
    this.unit.onInterrupt = (address, data) => {
      if (this.#held) this.#held.push({ address, data });
      else this.#interrupt({ address, data });
    };
  }

  /** Functions in the order of their slots. */
  get functions(): readonly PciFunction[] {
    return [this.iommu, ...this.engines];
  }

  /** A device's interrupt: a write that the unit remaps, translates or passes on as any other. */
  #sendMessage(requester: Requester, bus: BusMaster, address: bigint, data: number): void {
    const held: InterruptMessage[] = [];
    let isThrough = false;
    this.#held = held;
    this.ram.withMessages(
      (target, bytes) => bus.write(target, bytes),
      () => requester.write(address, dword(data), {}, (result) => (isThrough = result.ok)),
    );
    this.#held = undefined;
    // VT-d hands on an interrupt that it lets through; whatever else came is the unit's own.
    const own = isThrough ? held.pop() : undefined;
    for (const message of held) this.#interrupt(message);
    if (own) bus.write(own.address, dword(own.data));
  }

  /** An interrupt of the unit itself. */
  #interrupt({ address, data }: InterruptMessage): void {
    this.iommu.bus?.write(address, dword(data));
  }

  /** Firmware has placed the registers: x86 learns their address from the DMAR table. */
  #placed(bar0: bigint): void {
    if (this.unit.vendor !== "vtd") return;
    const found = patchDmar(this.ram, bar0);
    const where = found === undefined ? "no DMAR table of ours in low RAM" : `DMAR table at 0x${found.toString(16)}`;
    this.#log(`registers at 0x${bar0.toString(16)}; ${where}`);
  }
}

/** The source-id or StreamID of the function in a slot of bus 0. */
export function sidOfSlot(slot: number): number {
  return slot * FUNCTIONS_PER_SLOT;
}
