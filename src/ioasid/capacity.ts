/**
 * The capacity of the system: how many IDs may be promised to sets and control groups.
 * Extensions series, ioasid_install_capacity and friends.
 */
import { checkInteger } from "../check.ts";
import { MAX_ID } from "./bitmap.ts";
import type { Log } from "./profile.ts";
import { done, fail, type Result } from "./result.ts";

const DEFAULT = MAX_ID + 1;

export class Capacity {
  #total = DEFAULT;
  #available = DEFAULT;
  readonly #log: Log;

  constructor(log: Log) {
    this.#log = log;
  }

  get total(): number {
    return this.#total;
  }
  /** Not promised to anybody. */
  get available(): number {
    return this.#available;
  }

  /** Sets the total, e.g. to what the hardware's PASID width allows; only once. */
  install(total: number): void {
    checkInteger("total", total, 1, DEFAULT);
    if (this.#total !== DEFAULT) {
      this.#log({ level: "warn", message: `IOASID capacity is ${this.#total} already` });
      return;
    }
    this.#available -= this.#total - total;
    this.#total = total;
  }

  /** Takes `count` out, 0 for all that is left; answers how many. */
  reserve(count: number): Result<number, "ENOSPC"> {
    checkInteger("count", count, 0, DEFAULT);
    if (count > this.#available) return fail("ENOSPC");
    const taken = count === 0 ? this.#available : count;
    this.#available -= taken;
    return done(taken);
  }

  /** Puts `count` back; answers what is available then. */
  cancel(count: number): Result<number, "EINVAL"> {
    checkInteger("count", count, 0, DEFAULT);
    if (this.#available + count > this.#total) return fail("EINVAL");
    this.#available += count;
    return done(this.#available);
  }
}
