/** One line per way to raise a fault: what breaks, what is asked, what the device gets. */
import type { Request } from "../../../src/index.ts";
import type { GuestOptions, VtdGuest } from "../vtd-guest.ts";

/** Answers to an untranslated, a translation and a translated request. "-": the condition is not for it. */
export type Answers = `${"ur" | "-"} ${"ur" | "ca" | "s0" | "-"} ${"ur" | "ca" | "-"}`;

/** What a row may break: all guests of this folder have these. */
export interface Broken {
  guest: VtdGuest;
  context: bigint;
}

export interface Row<G extends Broken> {
  code: number;
  check: string;
  /** FPD suppresses the record. */
  qualified: boolean;
  answers: Answers;
  /** Breaks what must break and says what to ask. */
  arrange: (g: G) => Partial<Request>;
  options: GuestOptions;
  /** Fields of the context entry. */
  context: Record<string, number>;
}

export type Extra = GuestOptions & { context?: Record<string, number> };

/** A fault that FPD suppresses. */
export function qualified<G extends Broken>(
  code: number,
  check: string,
  answers: Answers,
  arrange: (g: G) => Partial<Request>,
  { context = {}, ...options }: Extra = {},
): Row<G> {
  return { code, check, qualified: true, answers, arrange, options, context };
}

/** A fault that is recorded whatever FPD says. */
export function always<G extends Broken>(
  ...args: [number, string, Answers, (g: G) => Partial<Request>, Extra?]
): Row<G> {
  return { ...qualified(...args), qualified: false };
}

export const bit = (n: number): bigint => 1n << BigInt(n);
export const ALL: bigint = bit(64) - 1n;
/** Bits 51:12. */
export const ADDRESS = 0xf_ffff_ffff_f000n;
export const FEE = 0xfee0_0000n;

/** Replaces bits of the word at `address`. */
export function change({ guest }: Broken, address: bigint, mask: bigint, value?: bigint): object {
  guest.change(address, mask, value);
  return {};
}

/** Sets bit `position` of the structure at `address`. */
export function set({ guest }: Broken, address: bigint, position: number): object {
  guest.change(address + BigInt(position >> 6) * 8n, 0n, bit(position & 63));
  return {};
}

/** Clears it. */
export function clear({ guest }: Broken, address: bigint, position: number): object {
  guest.change(address + BigInt(position >> 6) * 8n, bit(position & 63));
  return {};
}

/** Makes `bytes` at `address` a bus error. */
export function poison({ guest }: Broken, address: bigint, bytes = 8): object {
  guest.memory.poison(address, bytes);
  return {};
}
