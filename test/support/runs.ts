/**
 * How many cases a random test runs, and from which seed.
 *
 * `npm test` runs the short count, `npm run fuzz` the long one. The seed is printed with every
 * failure (fast-check) and can be fixed: `SEED=123 npm test`.
 */
const LONG = import.meta.env.MODE === "fuzz";

export function runs(short: number, long: number): number {
  return LONG ? long : short;
}

export const seed: number = process.env.SEED ? Number(process.env.SEED) : (Date.now() ^ 0x5eed) >>> 0;
