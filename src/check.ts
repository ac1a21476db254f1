/** Checks of what callers pass: a RangeError or TypeError that names argument, value and range. */

/** A whole number in [min, max]. */
export function checkInteger(name: string, value: number, min: number, max: number): number {
  if (typeof value !== "number") throw new TypeError(`${name}: ${describe(value)} is not a number`);
  if (!Number.isInteger(value) || value < min || value > max) {
    throw new RangeError(`${name}: ${value} is not a whole number in ${min}..${max}`);
  }
  return value;
}

/** A bigint in [min, max]. */
export function checkBigInt(name: string, value: bigint, min: bigint, max: bigint): bigint {
  if (typeof value !== "bigint") throw new TypeError(`${name}: ${describe(value)} is not a bigint`);
  if (value < min || value > max) {
    throw new RangeError(`${name}: ${hex(value)} is not in ${hex(min)}..${hex(max)}`);
  }
  return value;
}

/** A member of a list of strings. */
export function checkOneOf<T extends string>(name: string, value: T, allowed: readonly T[]): T {
  if (!allowed.includes(value)) throw new TypeError(`${name}: ${describe(value)} is not one of ${allowed.join(", ")}`);
  return value;
}

/** `0x` and lower-case hex digits, as every address in this package is printed. */
export function hex(value: bigint | number, digits = 1): string {
  return `${value < 0 ? "-" : ""}0x${(value < 0 ? -value : value).toString(16).padStart(digits, "0")}`;
}

function describe(value: unknown): string {
  return typeof value === "bigint" ? `${value}n` : typeof value === "string" ? JSON.stringify(value) : String(value);
}
