/**
 * What calls answer that may fail for the kernel's reasons: a value or an errno, told apart by `ok`.
 *
 * Exceptions are for misuse (a wrong type, an ID beyond 20 bits); running out of IDs or asking for a
 * foreign one is an answer.
 */

/** Linux errno numbers of the names used here. ENOTSUPP is kernel-internal and not EOPNOTSUPP. */
export const ERRNO = {
  EPERM: 1,
  ENOENT: 2,
  EAGAIN: 11,
  ENOMEM: 12,
  EACCES: 13,
  EBUSY: 16,
  EEXIST: 17,
  ENODEV: 19,
  EINVAL: 22,
  ENOSPC: 28,
  EOVERFLOW: 75,
  EOPNOTSUPP: 95,
  ENOTSUPP: 524,
} as const;

export type Errno = keyof typeof ERRNO;

export interface Failure<E extends Errno = Errno> {
  ok: false;
  error: E;
}
/** Done, or why not. */
export type Status<E extends Errno = Errno> = { ok: true } | Failure<E>;
/** A value, or why there is none. */
export type Result<T, E extends Errno = Errno> = { ok: true; value: T } | Failure<E>;

export const OK: { ok: true } = { ok: true };

export function fail<E extends Errno>(error: E): Failure<E> {
  return { ok: false, error };
}

export function done<T>(value: T): { ok: true; value: T } {
  return { ok: true, value };
}

/**
 * What looking up an ID yields, three ways as in the kernel (pointer, NULL, error pointer), but told
 * apart by `kind`: the compiler lets nobody take an error for data.
 */
export type Found<T> =
  /** The private data. */
  | { kind: "value"; value: T }
  /** The ID is allocated and has no data (yet), or the getter refused to take a reference. */
  | { kind: "none" }
  /** ENOENT: not allocated. EACCES: allocated in another set. */
  | { kind: "error"; error: "ENOENT" | "EACCES" };
