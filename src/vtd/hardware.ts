/**
 * Everything of a unit but translation: its registers, and the parts that they set in motion.
 */
import { GSTS } from "../../assembly/layout/vtd-base.ts";
import type { InterruptSink } from "../iommu.ts";
import { RegisterFile, type RegisterFragment, type ResetKind } from "../registers.ts";
import type { VtdCapabilities } from "./capabilities.ts";
import { GlobalCommands } from "./commands.ts";
import { DeviceMessages } from "./endpoints.ts";
import { EventInterrupt } from "./events.ts";
import { FaultLog } from "./faults.ts";
import { InterruptRemapper } from "./interrupts.ts";
import { PageRequestQueue } from "./page-requests.ts";
import type { UnitParts } from "./parts.ts";
import { ProtectedMemory } from "./protected-memory.ts";
import { InvalidationQueue } from "./queue.ts";
import { RegisterInvalidation } from "./register-invalidation.ts";
import { type RegisterEffects, registerBytes, vtdRegisters } from "./registers.ts";

export interface HardwareOptions extends Omit<UnitParts, "registers" | "latched" | "features"> {
  capabilities: VtdCapabilities;
  queue: "immediate" | "stepped";
  compressFaults: boolean;
  fragments: readonly RegisterFragment[];
  /** Sends a message-signalled interrupt, never remapped. */
  interrupt: InterruptSink;
  /** TES, IRES or the latched root table changed. */
  reconfigure(): void;
  /** Protected memory regions changed. */
  protect(memory: ProtectedMemory): void;
}

export class VtdHardware {
  readonly parts: UnitParts;
  readonly registers: RegisterFile;
  readonly faults: FaultLog;
  readonly queue: InvalidationQueue;
  readonly pageRequests: PageRequestQueue;
  readonly interrupts: InterruptRemapper;
  readonly protectedMemory: ProtectedMemory;
  readonly devices: DeviceMessages = new DeviceMessages();
  readonly capabilities: VtdCapabilities;
  readonly fragments: readonly RegisterFragment[];
  readonly options: HardwareOptions;
  readonly #commands: GlobalCommands;
  readonly #invalidation: RegisterInvalidation;
  readonly #events: Readonly<Record<"fault" | "completion" | "page", EventInterrupt>>;

  /** @throws RangeError when registers overlap */
  constructor(options: HardwareOptions) {
    const { capabilities, fragments, bus, caches, interrupt } = options;
    const { features } = capabilities;
    this.options = options;
    this.capabilities = capabilities;
    this.fragments = fragments;
    const mounted = fragments.flatMap(({ registers }) => registers);
    const rows = [...vtdRegisters(capabilities, this.#effects()), ...mounted];
    this.registers = new RegisterFile(rows, { bytes: registerBytes(capabilities, mounted) });
    this.parts = { features, registers: this.registers, bus, caches, latched: { rtaddr: 0n, irta: 0n } };
    const event = (prefix: string) => new EventInterrupt(this.registers, prefix, interrupt);
    this.#events = { fault: event("FE"), completion: event("IE"), page: event("PE") };
    this.faults = new FaultLog(this.registers, features, this.#events.fault, options.compressFaults);
    this.queue = new InvalidationQueue(this.parts, this.faults, this.#events.completion, this.devices);
    this.pageRequests = new PageRequestQueue(this.parts, this.#events.page, this.devices);
    this.interrupts = new InterruptRemapper(this.parts, this.faults);
    this.protectedMemory = new ProtectedMemory(this.registers, features);
    this.#invalidation = new RegisterInvalidation(this.parts);
    this.#commands = new GlobalCommands(this.parts, {
      reconfigure: () => options.reconfigure(),
      queueEnabled: () => this.#runQueue(),
      queueDisabled: () => this.queue.disable(),
      allOff: () => {
        this.faults.index = 0;
      },
    });
    for (const fragment of fragments) fragment.mount(this.registers);
  }

  /** Whether DMA is remapped. */
  get translates(): boolean {
    return this.registers.has("GSTS", GSTS.TES);
  }

  /** Whether interrupts are remapped. */
  get remapsInterrupts(): boolean {
    return this.registers.has("GSTS", GSTS.IRES);
  }

  reset(kind: ResetKind): void {
    const { latched } = this.parts;
    this.registers.reset(kind);
    latched.rtaddr = 0n;
    latched.irta = 0n;
    this.queue.restore([]);
    this.faults.index = 0;
    for (const fragment of this.fragments) fragment.reset(kind);
    this.dropCaches();
    this.refresh();
  }

  /** Nothing that was cached is used from here on. */
  dropCaches(): void {
    this.parts.caches.invalidateAll();
    this.parts.caches.invalidateInterrupts();
  }

  /** Brings up to date what is derived from registers, after they all changed at once. */
  refresh(): void {
    this.#protect();
    this.options.reconfigure();
  }

  #effects(): RegisterEffects {
    return {
      globalCommand: ({ value }) => this.#commands.write(value),
      contextCommand: (write) => this.#invalidation.contextCommand(write),
      iotlbCommand: (write) => this.#invalidation.iotlbCommand(write),
      faultStatus: () => {
        this.faults.statusCleared();
        this.queue.errorsCleared();
        this.#runQueue();
      },
      faultRecord: () => this.faults.recordCleared(),
      faultControl: () => this.#events.fault.sendIfUnmasked(),
      completionControl: () => this.#events.completion.sendIfUnmasked(),
      pageRequestControl: () => this.#events.page.sendIfUnmasked(),
      completionStatus: () => this.queue.statusWritten(),
      pageRequestStatus: () => this.pageRequests.statusWritten(),
      protectedMemory: () => this.#protect(),
      queueTail: () => this.#runQueue(),
    };
  }

  #protect(): void {
    this.protectedMemory.update();
    this.options.protect(this.protectedMemory);
  }

  #runQueue(): void {
    if (this.options.queue === "immediate") this.queue.run();
  }
}
