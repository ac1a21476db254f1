/**
 * The IOMMU as a PCI function: BAR 0 is its register block.
 *
 * It calls itself a host bridge, since systems leave a host bridge's BARs where firmware put them and never
 * turn its decoding off, not even to size it: a driver may hold the registers before PCI is looked at.
 */
import { CLASS_HOST_BRIDGE, COMMAND, CONFIG, CONFIG_BYTES } from "../../assembly/layout/pci.ts";
import { REGION } from "../../assembly/layout/vfio-user.ts";
import { ConfigSpace } from "./config-space.ts";
import type { DmaMap } from "./dma-map.ts";
import type { BusMaster, PciFunction } from "./function.ts";
import { readRegisters, writeRegisters } from "./registers-bar.ts";
import type { BridgeUnit } from "./unit.ts";

export const IOMMU_VENDOR = 0x1234;
export const IOMMU_DEVICE = 0xd3a1;

const PAGE = 4096;

export interface IommuFunctionOptions {
  unit: BridgeUnit;
  /** The client's memory, which is what the unit reads; undefined when it has gone. */
  onMemory: (memory: DmaMap | undefined) => void;
  /** Software has switched bus mastering on, with BAR 0 at this address. */
  onBusMaster: (bar0: bigint) => void;
}

export class IommuFunction implements PciFunction {
  readonly name = "iommu";
  readonly config: ConfigSpace;
  readonly #unit: BridgeUnit;
  readonly #options: IommuFunctionOptions;
  readonly #barBytes: number;
  #bus: BusMaster | undefined;

  constructor(options: IommuFunctionOptions) {
    this.#options = options;
    this.#unit = options.unit;
    this.#barBytes = PAGE;
    while (this.#barBytes < options.unit.registerBytes) this.#barBytes *= 2;
    this.config = new ConfigSpace({
      bytes: CONFIG_BYTES,
      vendor: IOMMU_VENDOR,
      device: IOMMU_DEVICE,
      classCode: CLASS_HOST_BRIDGE,
      bar0Bytes: this.#barBytes,
    });
  }

  /** Where the unit's interrupts go. */
  get bus(): BusMaster | undefined {
    return this.#bus;
  }

  regionBytes(index: number): number {
    if (index === REGION.BAR0) return this.#barBytes;
    return index === REGION.CONFIG ? this.config.bytes : 0;
  }

  readRegion(index: number, offset: number, into: Uint8Array): void {
    if (index === REGION.CONFIG) this.config.read(offset, into);
    else readRegisters(this.#unit, offset, into);
  }

  writeRegion(index: number, offset: number, data: Uint8Array): void {
    if (index === REGION.CONFIG) this.#configure(offset, data);
    else writeRegisters(this.#unit, offset, data);
  }

  #configure(offset: number, data: Uint8Array): void {
    const was = this.config.has(CONFIG.COMMAND, COMMAND.BUS_MASTER);
    this.config.write(offset, data);
    const { bar0 } = this.config;
    const isNow = this.config.has(CONFIG.COMMAND, COMMAND.BUS_MASTER);
    if (isNow && !was && bar0 !== undefined) this.#options.onBusMaster(bar0);
  }

  /** It has no interrupt of its own: its registers say where its messages go. */
  irqCount(): number {
    return 0;
  }

  trigger(): void {}

  reset(): void {
    this.config.reset();
    this.#unit.reset();
  }

  attach(memory: DmaMap, bus: BusMaster): void {
    this.#bus = bus;
    this.#options.onMemory(memory);
  }

  detach(): void {
    this.#bus = undefined;
    this.#options.onMemory(undefined);
  }
}
