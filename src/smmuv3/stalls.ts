/**
 * Stalled transactions: Arm IHI 0070 3.12.2, 4.7.1 and 4.7.2.
 *
 * A transaction that stalls is held, and an event with a tag (STAG) says so. Software answers with
 * CMD_RESUME or CMD_STALL_TERM. Where no event can be written (no room, or as many records open as
 * STALL_MAX allows) the transaction waits, and is tried anew from the start once one can.
 */
import { type Outcome, type Request, silentFault } from "../iommu.ts";
import type { Json } from "../snapshot.ts";
import type { SmmuEvent } from "./event-record.ts";

/** What trying a held transaction gave: an end, or the event of the stall to record. */
export type Attempt = { outcome: Outcome } | { stall: SmmuEvent };

/** The transaction has come to its end. */
export type FinishSink = (transaction: number, request: Request, outcome: Outcome) => void;

export interface StallHost {
  /** Translates once more, with the configuration of now; events of a terminating fault included. */
  retry(request: Request): Attempt;
  /** Records the event of a stall; false: not now. */
  record(event: SmmuEvent): boolean;
  /** Whether `record` can work at all. */
  isWritable(): boolean;
  finish: FinishSink;
}

/** How CMD_RESUME terminates. */
export type Termination = "abort" | "raz-wi";

interface Held {
  /** Counts up, for the caller to tell transactions apart. */
  readonly transaction: number;
  readonly request: Request;
  /** Undefined until its event is written. */
  tag: number | undefined;
  /** `hold` has not returned yet: its caller is to hear how it ended, if software is that fast. */
  isArriving: boolean;
  ended?: Outcome;
}

/** A transaction that was held: its number, or how it ended while its event was being written. */
export type Holding = { transaction: number } | { outcome: Outcome };

export class Stalls {
  readonly #host: StallHost;
  readonly #limit: number;
  /** In the order in which they are to be recorded. */
  #held: Held[] = [];
  #transactions = 0;
  /** Trying can write events, interrupt software, and have it make room: no second try on top of the first. */
  #trying = 0;

  /** @param limit records open at a time */
  constructor(limit: number, host: StallHost) {
    this.#limit = limit;
    this.#host = host;
  }

  /** Transactions held, recorded or not. */
  get count(): number {
    return this.#held.length;
  }

  /** Holds a transaction that stalls and records it if that is possible now. */
  hold(request: Request, event: SmmuEvent): Holding {
    const held: Held = { transaction: this.#transactions++, request, tag: undefined, isArriving: true };
    const isFirst = !this.#held.some(isWaiting);
    this.#held.push(held);
    // Those that wait longer come first.
    if (isFirst) this.#record(held, event);
    held.isArriving = false;
    return held.ended ? { outcome: held.ended } : { transaction: held.transaction };
  }

  /** Tries those that wait for their record, as long as records can be written. */
  retryWaiting(): void {
    if (this.#trying) return;
    let goesOn = true;
    while (goesOn) {
      const held = this.#nextWaiting();
      goesOn = held !== undefined && this.#tryOnce(held);
    }
  }

  /** CMD_RESUME: nothing happens unless tag and stream belong together. */
  resume(sid: number, tag: number, action: "retry" | Termination): void {
    const held = this.#held.find((one) => one.tag === tag && one.request.sid === sid);
    if (!held) return;
    held.tag = undefined;
    if (action !== "retry") this.#finish(held, silentFault(action));
    else this.#tryOnce(held);
    this.retryWaiting();
  }

  /** CMD_STALL_TERM: all of one stream. */
  terminateStream(sid: number): void {
    this.#terminate((held) => held.request.sid === sid);
    this.retryWaiting();
  }

  /** SMMUEN = 0: all of all streams. */
  terminateAll(): void {
    this.#terminate(() => true);
  }

  #terminate(matches: (held: Held) => boolean): void {
    const gone = this.#held.filter(matches);
    this.#held = this.#held.filter((held) => !matches(held));
    for (const held of gone) this.#end(held, silentFault("abort"));
  }

  /** False: it still waits. */
  #tryOnce(held: Held): boolean {
    const attempt = this.#attempt(held);
    if (attempt !== "waits" && attempt !== "recorded") this.#finish(held, attempt);
    return attempt !== "waits";
  }

  #attempt(held: Held): Outcome | "recorded" | "waits" {
    this.#trying++;
    try {
      const attempt = this.#host.retry(held.request);
      if ("outcome" in attempt) return attempt.outcome;
      return this.#record(held, attempt.stall) ? "recorded" : "waits";
    } finally {
      this.#trying--;
    }
  }

  #finish(held: Held, outcome: Outcome): void {
    this.#held = this.#held.filter((one) => one !== held);
    this.#end(held, outcome);
  }

  #end(held: Held, outcome: Outcome): void {
    if (held.isArriving) held.ended = outcome;
    else this.#host.finish(held.transaction, held.request, outcome);
  }

  #record(held: Held, event: SmmuEvent): boolean {
    const tag = this.#freeTag();
    if (tag === undefined) return false;
    // Software may answer from within the interrupt of the event.
    held.tag = tag;
    if (this.#host.record({ ...event, Stall: true, STAG: tag })) return true;
    held.tag = undefined;
    return false;
  }

  #nextWaiting(): Held | undefined {
    if (!this.#host.isWritable() || this.#freeTag() === undefined) return undefined;
    return this.#held.find(isWaiting);
  }

  /** The lowest tag of `limit` that nobody holds. */
  #freeTag(): number | undefined {
    const taken = new Set(this.#held.map(({ tag }) => tag));
    for (let tag = 0; tag < this.#limit; tag++) if (!taken.has(tag)) return tag;
    return undefined;
  }

  /** For a snapshot. */
  save(): Json {
    const held = this.#held.map(({ transaction, request, tag }) => ({
      transaction,
      tag: tag ?? null,
      request: { ...request, address: String(request.address) },
    }));
    return { transactions: this.#transactions, held };
  }

  load(state: Json): void {
    const { transactions, held } = state as unknown as {
      transactions: number;
      held: { transaction: number; tag: number | null; request: Request & { address: string } }[];
    };
    this.#transactions = transactions;
    this.#held = held.map(({ transaction, tag, request }) => ({
      transaction,
      tag: tag ?? undefined,
      isArriving: false,
      request: { ...request, address: BigInt(request.address) },
    }));
  }
}

function isWaiting(held: Held): boolean {
  return held.tag === undefined;
}
