/**
 * Which answers a unit with caches may give: a model of VT-d 6.2 and 6.5.
 *
 * Each word of the tables has the values it had that may still be in some cache. An old value goes
 * through stages: it may sit in the cache of its own kind, and, read from there, end up in the caches
 * behind it; so a context entry's old value is gone only after a context, then a PASID, then an IOTLB
 * invalidation that covers it. A request may be answered as a walk would that reads any of these
 * values, each word on its own.
 */
import { type OracleOutcome, type OracleRequest, type OracleState, oracleTranslate } from "./vtd-oracle/index.ts";

/** The caches that hold what was read from a word, or what is behind it. */
export type Stage = "context" | "pasid" | "iotlb";
/** Invalidations that an old value needs, in order, by what the word is part of. */
const NEEDS: Readonly<Record<Stage, readonly Stage[]>> = {
  context: ["context", "pasid", "iotlb"],
  pasid: ["pasid", "iotlb"],
  iotlb: ["iotlb"],
};

export interface Invalidation {
  stage: Stage;
  /** Whether a request for `input` can no longer see what was read from the word at `address`. */
  covers(address: bigint, input: bigint): boolean;
}

interface Old {
  value: bigint;
  /** Invalidations since it was replaced. */
  since: Invalidation[];
}

export class StaleMemory {
  readonly #words = new Map<bigint, bigint>();
  readonly #kinds = new Map<bigint, Stage>();
  readonly #old = new Map<bigint, Old[]>();

  /** Declares a word of a table. */
  declare(address: bigint, kind: Stage, value: bigint): void {
    this.#words.set(address, value);
    this.#kinds.set(address, kind);
  }

  /** Software stores a word. */
  store(address: bigint, value: bigint): void {
    const was = this.#words.get(address) ?? 0n;
    if (was === value) return;
    this.#old.set(address, [...(this.#old.get(address) ?? []), { value: was, since: [] }]);
    this.#words.set(address, value);
  }

  invalidate(invalidation: Invalidation): void {
    for (const olds of this.#old.values()) for (const { since } of olds) since.push(invalidation);
  }

  /** Values that a walk for `input` may read at `address`. */
  values(address: bigint, input: bigint): readonly bigint[] {
    const now = this.#words.get(address) ?? 0n;
    const needs = NEEDS[this.#kinds.get(address) ?? "iotlb"];
    const left = (this.#old.get(address) ?? []).filter(({ since }) => {
      let done = 0;
      for (const { stage, covers } of since) if (stage === needs[done] && covers(address, input)) done++;
      return done < needs.length;
    });
    return [...new Set([now, ...left.map(({ value }) => value)])];
  }

  /** Every answer that the request may get, as text. */
  answers(state: OracleState, request: OracleRequest): ReadonlySet<string> {
    const found = new Set<string>();
    const open: number[][] = [[]];
    for (let path = open.pop(); path && found.size < 64; path = open.pop()) {
      const taken: number[] = [];
      const picks = new Map<bigint, bigint>();
      const choose = (address: bigint): bigint => {
        const before = picks.get(address);
        if (before !== undefined) return before;
        const values = this.values(address, request.address);
        const at = taken.length;
        const pick = values.length > 1 ? (path?.[at] ?? 0) : 0;
        if (values.length > 1) {
          if (at >= (path?.length ?? 0)) for (let i = 1; i < values.length; i++) open.push([...taken, i]);
          taken.push(pick);
        }
        picks.set(address, values[pick] as bigint);
        return values[pick] as bigint;
      };
      const memory = {
        read: (address: bigint, count: number) =>
          Array.from({ length: count }, (_, i) => choose(address + BigInt(8 * i))),
        compareExchange: (_address: bigint, expected: bigint) => expected,
      };
      found.add(answerText(oracleTranslate(memory, state, request)));
    }
    return found;
  }
}

/** What of an answer counts: where it leads, or how it fails. */
export function answerText(
  outcome: OracleOutcome | { ok: true; address: bigint } | { ok: false; code: number },
): string {
  return outcome.ok ? `0x${outcome.address.toString(16)}` : `fault ${outcome.code.toString(16)}h`;
}
