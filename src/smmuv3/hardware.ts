/**
 * The SMMU behind its registers: queues, interrupts, stalls, and what a write to an enable sets off.
 * Arm IHI 0070 6.3.9 (CR0), 6.3.14 (GBPA), 6.3.16 (IRQ_CTRL).
 */
import { COMMAND_BYTES, EVENT_BYTES, PRI_BYTES } from "../../assembly/layout/smmuv3-queues.ts";
import { CR0, GBPA } from "../../assembly/layout/smmuv3-registers.ts";
import type { Bus } from "../bus.ts";
import type { Request } from "../iommu.ts";
import type { GuestMemory } from "../memory.ts";
import { getBits } from "../structure.ts";
import { AtsPort } from "./ats.ts";
import { EventQueue, type EventSink } from "./events.ts";
import { idRegisters, oasBits, type SmmuFeatures, stallLimit } from "./features.ts";
import { Interrupts, type LineSink, type MessageSink } from "./interrupts.ts";
import type { SmmuCaches } from "./invalidation.ts";
import { PriQueue } from "./pri.ts";
import { CommandQueue, type CommandSink } from "./queue.ts";
import { type SmmuRegister, type SmmuRegisters, smmuRegisters } from "./registers.ts";
import { Ring } from "./ring.ts";
import { type Attempt, type FinishSink, Stalls } from "./stalls.ts";
import type { SmmuState } from "./walker.ts";

/** "immediate": within the write that asks for it; "stepped": when the host says so. */
export type WorkMode = "immediate" | "stepped";

export interface SmmuHardwareOptions {
  features: Readonly<SmmuFeatures>;
  queue: WorkMode;
  updates: WorkMode;
  memory: GuestMemory;
  bus: Bus;
  caches: SmmuCaches;
  /** Whoever walks tables, told of every change that concerns walks. */
  configure(state: SmmuState): void;
  /** Translates a held transaction again. */
  retry(request: Request): Attempt;
  /** STE.PPAR of a stream; undefined without a valid STE. */
  pasidRequired(sid: number): boolean | undefined;
  onMessage: MessageSink;
  onLine: LineSink;
  onEvent: EventSink;
  onCommand: CommandSink;
  onFinish: FinishSink;
}

export class SmmuHardware {
  readonly features: Readonly<SmmuFeatures>;
  readonly queue: WorkMode;
  readonly updates: WorkMode;
  readonly registers: SmmuRegisters;
  readonly rings: Readonly<Record<"CMDQ" | "EVENTQ" | "PRIQ", Ring>>;
  readonly interrupts: Interrupts;
  readonly ats: AtsPort;
  readonly events: EventQueue;
  readonly stalls: Stalls;
  readonly pri: PriQueue;
  readonly commands: CommandQueue;
  readonly #caches: SmmuCaches;
  readonly #configureWalks: (state: SmmuState) => void;
  /** GBPA in effect; the register may ask for something else already. */
  bypass: bigint;

  constructor(options: SmmuHardwareOptions) {
    const { features, bus, memory } = options;
    const bits = oasBits(features);
    this.features = features;
    this.queue = options.queue;
    this.updates = options.updates;
    this.#caches = options.caches;
    this.#configureWalks = options.configure;
    const registers = smmuRegisters(features, {
      update: () => this.updates === "immediate" && this.acknowledge(),
      configuration: () => this.configure(),
      acknowledged: () => {
        this.interrupts.acknowledge();
        this.#goOn();
      },
      commands: () => this.#goOn(),
      room: () => this.stalls.retryWaiting(),
    });
    this.registers = registers;
    this.bypass = registers.get("GBPA");
    this.rings = {
      CMDQ: new Ring(registers, "CMDQ", COMMAND_BYTES, features.CMDQS, bits),
      EVENTQ: new Ring(registers, "EVENTQ", EVENT_BYTES, features.EVENTQS, bits),
      PRIQ: new Ring(registers, "PRIQ", PRI_BYTES, features.PRIQS, bits),
    };
    const interrupts = new Interrupts(registers, memory, bus, bits, options.onMessage, options.onLine);
    this.interrupts = interrupts;
    this.events = new EventQueue(registers, this.rings.EVENTQ, bus, interrupts, options.onEvent);
    this.ats = new AtsPort(features);
    this.pri = new PriQueue(features, registers, this.rings.PRIQ, bus, interrupts, this.ats, options.pasidRequired);
    this.stalls = new Stalls(stallLimit(features), {
      retry: options.retry,
      record: (event) => this.events.record(event),
      isWritable: () => this.events.isWritable,
      finish: options.onFinish,
    });
    const targets = { caches: options.caches, stalls: this.stalls, ats: this.ats, pri: this.pri };
    this.commands = new CommandQueue(features, registers, this.rings.CMDQ, bus, interrupts, targets, options.onCommand);
  }

  /** Whether CR0, IRQ_CTRL or GBPA asks for what is not in effect. */
  get isUpdateDue(): boolean {
    const { registers } = this;
    return (
      registers.get("CR0") !== registers.get("CR0ACK") ||
      registers.get("IRQ_CTRL") !== registers.get("IRQ_CTRLACK") ||
      registers.has("GBPA", GBPA.Update)
    );
  }

  /** Brings CR0, IRQ_CTRL and GBPA into effect, and acknowledges. */
  acknowledge(): void {
    const { registers } = this;
    const before = registers.get("CR0ACK");
    const now = registers.get("CR0");
    registers.set("IRQ_CTRLACK", registers.get("IRQ_CTRL"));
    if (registers.has("GBPA", GBPA.Update)) {
      registers.setField("GBPA", GBPA.Update, 0);
      this.bypass = registers.get("GBPA");
    }
    registers.set("CR0ACK", now);
    this.configure();
    // § 6.3.9.6: whatever was stalled is aborted.
    if (getBits(before, CR0.SMMUEN) && !getBits(now, CR0.SMMUEN)) this.stalls.terminateAll();
    this.#goOn();
  }

  /** The state after power-on. */
  reset(): void {
    this.registers.reset("cold");
    this.bypass = this.registers.get("GBPA");
    this.interrupts.active = 0n;
    this.ats.hasTimedOut = false;
    this.startOver();
    this.stalls.terminateAll();
  }

  /** Walks go by the registers as they are now, and nothing is cached. */
  startOver(): void {
    this.#caches.invalidateAll();
    this.configure();
  }

  /** Tells whoever walks what to go by: enables and GBPA as they are in effect. */
  configure(): void {
    this.#configureWalks(this.#walkState());
  }

  #walkState(): SmmuState {
    const { IDR0, IDR1, IDR3, IDR5, AIDR } = idRegisters(this.features);
    const value = (name: SmmuRegister): number => Number(this.registers.get(name));
    return {
      idr0: IDR0,
      idr1: IDR1,
      idr3: IDR3,
      idr5: IDR5,
      aidr: AIDR,
      cr0: value("CR0ACK"),
      cr2: value("CR2"),
      gbpa: Number(this.bypass),
      strtabBase: this.registers.get("STRTAB_BASE"),
      strtabBaseCfg: value("STRTAB_BASE_CFG"),
    };
  }

  /** Something changed that stalls and commands may have waited for. */
  #goOn(): void {
    this.stalls.retryWaiting();
    if (this.queue === "immediate") this.commands.run();
  }
}
