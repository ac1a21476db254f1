/** What a replay needs of either vendor, and what both sides of it use. */
import { hex } from "../../check.ts";
import type { GuestMemory } from "../../memory.ts";
import type { Capture } from "../capture.ts";
import { InputError } from "../input.ts";
import type { AccessLine, DescriptorLine, StimulusLine } from "../regtrace.ts";
import type { ReasonId } from "./reasons.ts";

/** A unit in its memory, as a trace sees it. */
export interface Rig {
  read(offset: number, size: number): bigint;
  /** @param shown VT-d descriptors that the write makes visible */
  write(line: AccessLine, shown: readonly DescriptorLine[]): void;
  /** Lets happen what an asynchronous line tells. @returns what went otherwise, in words */
  stimulate(line: StimulusLine): string | undefined;
  /** Why a read gave `got`, if the recorder is known to depart from the architecture there. */
  explain(line: AccessLine, got: bigint): ReasonId | undefined;
}

/**
 * Builds a unit with a capture's capabilities.
 * @throws InputError where they are those of no unit that this package can be
 */
export function buildFrom<T>({ name }: Capture, build: () => T): T {
  try {
    return build();
  } catch (error) {
    if (error instanceof RangeError) throw new InputError(name, "registers", error.message);
    throw error;
  }
}

/** Messages that a unit sent and the trace has not spoken of yet. */
export class Mailbox {
  readonly #sent: { address: bigint; data: number }[] = [];

  take(address: bigint, data: number): void {
    this.#sent.push({ address, data });
  }

  /** Compares the oldest with what the recorder's unit sent. */
  expect(address: bigint, data: number): string | undefined {
    const message = this.#sent.shift();
    if (!message) return `no ${showMessage(address, data)}`;
    if (message.address === address && message.data === data) return undefined;
    return `${showMessage(message.address, message.data)} instead of ${showMessage(address, data)}`;
  }
}

function showMessage(address: bigint, data: number): string {
  return `message ${hex(data)} to ${hex(address)}`;
}

/** How two records differ, word by word; undefined when they do not. */
export function compareWords(
  what: string,
  expected: readonly bigint[],
  got: readonly bigint[] | undefined,
): string | undefined {
  if (!got) return `${what}: none was written`;
  if (expected.every((word, i) => word === (got[i] ?? 0n))) return undefined;
  const show = (words: readonly bigint[]) => words.map((word) => word.toString(16)).join(" ");
  return `${what}: ${show(got)} instead of ${show(expected)}`;
}

/** Stores words where there is RAM: a guest may have put a queue anywhere. */
export function writeWords(memory: GuestMemory, address: bigint, words: readonly bigint[]): void {
  if (!memory.contains(address, 8 * words.length)) return;
  words.forEach((word, i) => {
    memory.write64(address + BigInt(8 * i), word);
  });
}

export function readWords(memory: GuestMemory, address: bigint, count: number): bigint[] | undefined {
  if (!memory.contains(address, 8 * count)) return undefined;
  return Array.from({ length: count }, (_, i) => memory.read64(address + BigInt(8 * i)));
}
