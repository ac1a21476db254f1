/**
 * The command queue: fetching, checking and executing commands, Arm IHI 0070 3.5, 4 and 7.1.
 *
 * Commands are executed in order and complete as they are consumed, so that CMD_SYNC finds its work
 * done. At the first error consumption stops with CONS at the command, until software acknowledges.
 */
import {
  CMD_CFGI_CD,
  CMD_CFGI_STE,
  CMD_CFGI_STE_RANGE,
  CMD_RESUME,
  CMD_STREAM,
  CMD_SYNC,
  OPCODE,
  SYNC_SIGNAL,
} from "../../assembly/layout/smmuv3-queues.ts";
import { CERROR, CMDQ_CONS, CR0, GERROR } from "../../assembly/layout/smmuv3-registers.ts";
import type { Bus } from "../bus.ts";
import { getField, getInPlace } from "../structure.ts";
import type { AtsPort } from "./ats.ts";
import { type CommandWords, commandName, isIllegal, opcodeOf } from "./commands.ts";
import type { SmmuFeatures } from "./features.ts";
import type { Interrupts } from "./interrupts.ts";
import { type SmmuCaches, tlbInvalidation } from "./invalidation.ts";
import type { PriQueue } from "./pri.ts";
import type { SmmuRegisters } from "./registers.ts";
import type { Ring } from "./ring.ts";
import type { Stalls } from "./stalls.ts";

/** Hears every command as it is consumed. */
export type CommandSink = (command: CommandWords) => void;

/** What one step of the queue did. */
export interface CommandStep {
  /** Place of the command in the queue. */
  index: number;
  /** As fetched; empty when that failed. */
  words: CommandWords;
  name: string;
  outcome: "done" | "error";
  /** CERROR: why it was not consumed. */
  error: CERROR;
}

/** Whom commands act on. */
export interface CommandTargets {
  caches: SmmuCaches;
  stalls: Stalls;
  ats: AtsPort;
  pri: PriQueue;
}

type Actions = Readonly<Record<number, (command: CommandWords) => void>>;

const IGNORED: ReadonlySet<number> = new Set([OPCODE.CMD_PREFETCH_CONFIG, OPCODE.CMD_PREFETCH_ADDR]);
const OUTGOING: ReadonlySet<number> = new Set([OPCODE.CMD_ATC_INV, OPCODE.CMD_PRI_RESP]);
const WORDS = 2;
/** Highest CR0.VMW that is not reserved. */
const MAX_VMW = 4;
const ONE = 1n;

export class CommandQueue {
  readonly #features: SmmuFeatures;
  readonly #registers: SmmuRegisters;
  readonly #ring: Ring;
  readonly #bus: Bus;
  readonly #interrupts: Interrupts;
  readonly #targets: CommandTargets;
  readonly #actions: Actions;
  readonly #consumed: CommandSink;
  #isRunning = false;

  constructor(
    features: SmmuFeatures,
    registers: SmmuRegisters,
    ring: Ring,
    bus: Bus,
    interrupts: Interrupts,
    targets: CommandTargets,
    consumed: CommandSink,
  ) {
    this.#features = features;
    this.#registers = registers;
    this.#ring = ring;
    this.#bus = bus;
    this.#interrupts = interrupts;
    this.#targets = targets;
    this.#consumed = consumed;
    this.#actions = actionsOn(targets, features);
  }

  /** § 4.1.2: enabled, not empty, no error; and the indexes make sense. */
  get isReady(): boolean {
    const { used, entries } = this.#ring;
    return (
      used > 0 &&
      used <= entries &&
      this.#registers.has("CR0ACK", CR0.CMDQEN) &&
      !this.#interrupts.isActive(GERROR.CMDQ_ERR)
    );
  }

  /** Consumes commands until there are none or one fails. */
  run(): void {
    while (this.step()?.outcome === "done");
  }

  /** Consumes one command; undefined when none is ready. */
  step(): CommandStep | undefined {
    // An interrupt of a CMD_SYNC can make software add commands: whoever is running sees them.
    if (this.#isRunning || !this.isReady) return undefined;
    this.#isRunning = true;
    try {
      return this.#next();
    } finally {
      this.#isRunning = false;
    }
  }

  #next(): CommandStep {
    const { cons, entries } = this.#ring;
    const words = this.#bus.readWords(this.#ring.addressOf(cons), WORDS);
    const error = this.#process(words);
    if (error !== CERROR.NONE) this.#fail(error);
    return {
      index: cons % entries,
      words: words ?? [],
      name: words ? commandName(words) : "",
      outcome: error ? "error" : "done",
      error,
    };
  }

  #process(command: CommandWords | undefined): CERROR {
    if (!command) return CERROR.ABT;
    if (isIllegal(command, this.#features)) return CERROR.ILL;
    if (opcodeOf(command) === OPCODE.CMD_SYNC) return this.#sync(command);
    this.#execute(command);
    this.#consume(command);
    return CERROR.NONE;
  }

  #execute(command: CommandWords): void {
    const opcode = opcodeOf(command);
    // § 4.5: with SMMUEN = 0 nothing goes out to endpoints. § 4.2: prefetching is optional.
    if (IGNORED.has(opcode) || (OUTGOING.has(opcode) && !this.#registers.has("CR0ACK", CR0.SMMUEN))) return;
    const action = this.#actions[opcode];
    if (action) action(command);
    else this.#targets.caches.invalidateTlb(tlbInvalidation(command, this.#features, this.#wildcard));
  }

  #consume(command: CommandWords): void {
    const wasFull = this.#ring.isFull;
    this.#ring.advanceCons();
    this.#consumed(command);
    // § 4.1.2: those who wait for room are woken.
    if (wasFull && this.#features.SEV) this.#interrupts.sendEvent();
  }

  #fail(reason: CERROR): void {
    // § 7.1: the reason is visible before the error is.
    this.#registers.setField("CMDQ_CONS", CMDQ_CONS.ERR, reason);
    this.#interrupts.error(GERROR.CMDQ_ERR);
  }

  get #wildcard(): number {
    const vmw = Number(this.#registers.getField("CR0ACK", CR0.VMW));
    return vmw > MAX_VMW ? 0 : vmw;
  }

  /** § 4.7.3: everything before it is complete by now, except for endpoints that never answered. */
  #sync(command: CommandWords): CERROR {
    if (this.#targets.ats.takeTimeout()) return CERROR.ATC_INV_SYNC;
    this.#consume(command);
    const signal = Number(getField(command, CMD_SYNC.CS));
    if (signal === SYNC_SIGNAL.IRQ) {
      const address = this.#features.MSI ? getInPlace(command, CMD_SYNC.MSIAddress) : 0n;
      this.#interrupts.raiseSync(address, Number(getField(command, CMD_SYNC.MSIData)));
    }
    if (signal === SYNC_SIGNAL.SEV && this.#features.SEV) this.#interrupts.sendEvent();
    return CERROR.NONE;
  }
}

/** What each command does, except for CMD_SYNC and the hints to prefetch, and CMD_TLBI_*. */
function actionsOn({ caches, stalls, ats, pri }: CommandTargets, features: SmmuFeatures): Actions {
  const sidOf = (command: CommandWords): number => Number(getField(command, CMD_STREAM.StreamID));
  const isLeaf = (command: CommandWords): boolean => getField(command, CMD_CFGI_STE.Leaf) === ONE;
  return {
    [OPCODE.CMD_CFGI_STE]: (command) => caches.invalidateSte(sidOf(command), isLeaf(command)),
    [OPCODE.CMD_CFGI_STE_RANGE]: (command) =>
      caches.invalidateSteRange(sidOf(command), Number(getField(command, CMD_CFGI_STE_RANGE.Range)) + 1),
    [OPCODE.CMD_CFGI_CD]: (command) =>
      caches.invalidateCd(sidOf(command), Number(getField(command, CMD_CFGI_CD.SubstreamID)), isLeaf(command)),
    [OPCODE.CMD_CFGI_CD_ALL]: (command) => caches.invalidateCdAll(sidOf(command)),
    [OPCODE.CMD_ATC_INV]: (command) => ats.invalidate(command),
    [OPCODE.CMD_PRI_RESP]: (command) => pri.respond(command),
    [OPCODE.CMD_RESUME]: (command) => {
      const isRetry = getField(command, CMD_RESUME.Ac) === ONE;
      // § 4.7.1: an SMMU without RAZ/WI ignores Ab.
      const isAbort = features.TERM_MODEL === 1 || getField(command, CMD_RESUME.Ab) === ONE;
      const action = isRetry ? "retry" : isAbort ? "abort" : "raz-wi";
      stalls.resume(sidOf(command), Number(getField(command, CMD_RESUME.STAG)), action);
    },
    [OPCODE.CMD_STALL_TERM]: (command) => stalls.terminateStream(sidOf(command)),
  };
}
