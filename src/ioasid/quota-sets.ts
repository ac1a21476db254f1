/**
 * Sets with a quota and a token, and the capacity they draw on.
 * "IOASID extensions for guest SVA", v2 (August 2020), v3 (September 2020), V4 (February 2021).
 */
import { checkInteger, checkOneOf } from "../check.ts";
import { MAX_ID } from "./bitmap.ts";
import { Capacity } from "./capacity.ts";
import { NotifierChain, PRIORITY_ORDER } from "./notifiers.ts";
import type { Log, Rules } from "./profile.ts";
import { done, fail, OK, type Result, type Status } from "./result.ts";
import { IoasidSet } from "./sets.ts";
import type { Mm } from "./sva.ts";

export type Series = "v2" | "v3" | "v4";
export const SERIES: readonly Series[] = ["v2", "v3", "v4"];

export interface QuotaSetOptions {
  /** "mm": its token is an address space, and no other set has it. "null": no token. */
  type: "null" | "mm";
  token?: Mm | null;
  /** IDs it may hold, taken from the capacity. 0: EINVAL in v2 and v3, all that is left in V4. */
  quota: number;
}

/** From a number of a set's own to the IDs bound to it: more than one only in series v2. */
export class SpidIndex {
  readonly #holders: Map<number, Set<number>> = new Map();

  holders(spid: number): number[] {
    return [...(this.#holders.get(spid) ?? [])].sort((a, b) => a - b);
  }

  /** Moves an ID from one number to another; undefined is none. */
  move(id: number, from: number | undefined, to: number | undefined): void {
    if (from !== undefined) this.#holders.get(from)?.delete(id);
    if (from !== undefined && this.#holders.get(from)?.size === 0) this.#holders.delete(from);
    if (to !== undefined) this.#holders.set(to, (this.#holders.get(to) ?? new Set()).add(id));
  }
}

export class QuotaSet<T = unknown> extends IoasidSet<T> {
  readonly type: "null" | "mm";
  readonly token: Mm | null;
  /** IDs it may hold. */
  quota: number;
  readonly chain: NotifierChain<AnyQuotaSet>;
  /** Its IDs, freed but referenced ones included. */
  readonly ids: Set<number> = new Set();
  readonly spids: SpidIndex = new SpidIndex();
  /** Freed sets are no use any more. */
  valid = true;

  constructor(type: "null" | "mm", token: Mm | null, quota: number, chain: NotifierChain<AnyQuotaSet>) {
    super(token ? `set of ${token.name}` : "set");
    this.type = type;
    this.token = token;
    this.quota = quota;
    this.chain = chain;
  }
}

/** A quota set of whatever data. */
export type AnyQuotaSet = Pick<
  QuotaSet,
  "name" | "key" | "type" | "token" | "quota" | "chain" | "ids" | "spids" | "valid"
>;

export class QuotaSets {
  readonly capacity: Capacity;
  readonly #series: Series;
  readonly #rules: Rules;
  readonly #sets: Set<AnyQuotaSet> = new Set();

  constructor(series: Series, rules: Rules, log: Log) {
    this.capacity = new Capacity(log);
    this.#series = series;
    this.#rules = rules;
  }

  has(set: AnyQuotaSet): boolean {
    return set.valid && this.#sets.has(set);
  }

  /** The set whose token is this address space. */
  ofMm(mm: Mm): AnyQuotaSet | undefined {
    return [...this.#sets].find((set) => set.token === mm);
  }

  create<T>({ type, token = null, quota }: QuotaSetOptions): Result<QuotaSet<T>, "EINVAL" | "EEXIST" | "ENOSPC"> {
    checkOneOf("type", type, ["null", "mm"]);
    checkInteger("quota", quota, 0, MAX_ID + 1);
    // § v2 let a set of type mm pass without its token.
    const needsToken = type === "mm" && !(this.#series === "v2" && this.#rules === "compat");
    if ((type === "null" && token) || (needsToken && !token)) return fail("EINVAL");
    if (token && this.ofMm(token)) return fail("EEXIST");
    if (quota === 0 && this.#series !== "v4") return fail("EINVAL");
    const reserved = this.capacity.reserve(quota);
    if (!reserved.ok) return reserved;
    const set = new QuotaSet<T>(type, token, reserved.value, new NotifierChain(PRIORITY_ORDER[this.#series]));
    this.#sets.add(set);
    return done(set);
  }

  /** Changes a quota; on error nothing changes. */
  adjust(set: AnyQuotaSet, quota: number): Status<"EINVAL" | "ENOSPC"> {
    if (this.#series === "v4" && this.#rules === "compat") throw new TypeError("adjustSet: series v4 has none");
    checkInteger("quota", quota, 0, MAX_ID + 1);
    if (!this.has(set) || quota < set.ids.size || (quota === 0 && this.#series !== "v2")) return fail("EINVAL");
    const growth = quota - set.quota;
    // § v2 held the whole new quota against what is available, and so refused even to shrink.
    const short =
      this.#series === "v2" && this.#rules === "compat"
        ? quota >= this.capacity.available
        : growth > this.capacity.available;
    if (short) return fail("ENOSPC");
    if (growth > 0) this.capacity.reserve(growth);
    if (growth < 0) this.capacity.cancel(-growth);
    set.quota = quota;
    return OK;
  }

  /** Ends a set and releases its token. V4 forgot to give the quota back. */
  remove(set: AnyQuotaSet): void {
    this.#sets.delete(set);
    set.valid = false;
    if (this.#series !== "v4" || this.#rules === "strict") this.capacity.cancel(set.quota);
  }
}
