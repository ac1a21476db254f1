/** VT-d and SMMUv3 units behind one face, as the bridge needs them: registers, and devices that do DMA. */
import type { EndpointLog, PageRequest, TranslationCompletion, TranslationOptions } from "../endpoint.ts";
import type { Fault, InterruptSink } from "../iommu.ts";
import type { GuestMemory } from "../memory.ts";
import type { SmmuCachePolicy } from "../smmuv3/caches.ts";
import type { DmaRead as SmmuRead, DmaWrite as SmmuWrite } from "../smmuv3/device.ts";
import type { SmmuFeatures } from "../smmuv3/features.ts";
import { type SmmuDevice, Smmuv3 } from "../smmuv3/index.ts";
import type { VtdCachePolicy } from "../vtd/caches.ts";
import type { VtdCapabilities } from "../vtd/capabilities.ts";
import type { DmaRead as VtdRead, DmaWrite as VtdWrite } from "../vtd/device.ts";
import { type VtdDevice, VtdUnit } from "../vtd/index.ts";

export type Vendor = "vtd" | "smmuv3";

export interface DmaOptions {
  /** Absent: a request without PASID. */
  pasid?: number;
  privileged?: boolean;
  /** The address is what a translation completion gave. */
  translated?: boolean;
}

/** How a transfer ended. */
export type DmaResult =
  | { ok: true; data: Uint8Array }
  | {
      ok: false;
      /** Bytes moved before the piece that failed. */
      done: number;
      /** What the device sees. */
      answer: Fault["answer"] | "bus error";
      /** VT-d fault reason or SMMUv3 event, 0 for none: hardware would not tell the device. */
      code: number;
    };

/** A device behind the unit. */
export interface Requester {
  /** What the unit sends it: invalidations and page group responses. */
  readonly log: EndpointLog;
  /** `done` is called when the transfer is over, which may be at once: a stall waits for software. */
  read(address: bigint, bytes: number, options: DmaOptions, done: (result: DmaResult) => void): void;
  write(address: bigint, data: Uint8Array, options: DmaOptions, done: (result: DmaResult) => void): void;
  requestTranslation(address: bigint, options: TranslationOptions): TranslationCompletion;
  /** False: the request is gone without an answer. Otherwise `log.onResponse` hears it, maybe at once. */
  requestPage(request: Omit<PageRequest, "sid">): boolean;
}

export interface BridgeUnit {
  readonly vendor: Vendor;
  /** Bytes of the register block. */
  readonly registerBytes: number;
  read(offset: number, bytes: 4 | 8): bigint;
  write(offset: number, bytes: 4 | 8, value: bigint): void;
  reset(): void;
  requester(sid: number): Requester;
  /** Takes interrupts that go to no RAM. */
  onInterrupt: InterruptSink | undefined;
}

export function openVtd(memory: GuestMemory, capabilities: VtdCapabilities, caches: VtdCachePolicy): BridgeUnit {
  const unit = new VtdUnit(memory, { capabilities, caches });
  const bridged: BridgeUnit = {
    vendor: "vtd",
    registerBytes: unit.mmio.bytes,
    read: (offset, bytes) => unit.mmio.read(offset, bytes),
    write: (offset, bytes, value) => unit.mmio.write(offset, bytes, value),
    reset: () => unit.reset("cold"),
    requester: (sid) => vtdRequester(unit.device(sid)),
    onInterrupt: undefined,
  };
  unit.onInterrupt = (address, data) => bridged.onInterrupt?.(address, data);
  return bridged;
}

function vtdRequester(device: VtdDevice): Requester {
  return {
    log: device,
    read: (address, bytes, options, done) => done(resultOf(device.read(address, bytes, options))),
    write: (address, data, options, done) => done(resultOf(device.write(address, data, options))),
    requestTranslation: (address, options) => device.requestTranslation(address, options),
    requestPage: (request) => device.requestPage(request) !== "dropped",
  };
}

export function openSmmu(memory: GuestMemory, features: SmmuFeatures, caches: SmmuCachePolicy): BridgeUnit {
  const unit = new Smmuv3(memory, { features, caches });
  const bridged: BridgeUnit = {
    vendor: "smmuv3",
    registerBytes: unit.mmio.bytes,
    read: (offset, bytes) => unit.mmio.read(offset, bytes),
    write: (offset, bytes, value) => unit.mmio.write(offset, bytes, value),
    reset: () => unit.reset("cold"),
    requester: (sid) => smmuRequester(unit.device(sid)),
    onInterrupt: undefined,
  };
  unit.onInterrupt = (address, data) => bridged.onInterrupt?.(address, data);
  return bridged;
}

function smmuRequester(device: SmmuDevice): Requester {
  const end = (result: SmmuRead | SmmuWrite, done: (result: DmaResult) => void): void => {
    // A stalled transfer comes back through onDone.
    const stalls = !result.ok && result.fault !== "bus error" && result.fault.transaction !== undefined;
    if (!stalls) done(resultOf(result));
  };
  return {
    log: device,
    read: (address, bytes, options, done) =>
      end(device.read(address, bytes, { ...options, onDone: (result) => end(result, done) }), done),
    write: (address, data, options, done) =>
      end(device.write(address, data, { ...options, onDone: (result) => end(result, done) }), done),
    requestTranslation: (address, options) => device.requestTranslation(address, options),
    requestPage: (request) => device.requestPage(request) !== "dropped",
  };
}

const NOTHING = new Uint8Array(0);

function resultOf(result: VtdRead | VtdWrite | SmmuRead | SmmuWrite): DmaResult {
  if (result.ok) return { ok: true, data: "data" in result ? result.data : NOTHING };
  const { done, fault } = result;
  if (fault === "bus error") return { ok: false, done, answer: fault, code: 0 };
  return { ok: false, done, answer: fault.answer, code: fault.code };
}
