/**
 * Makes a unit fault as it once did.
 *
 * A trace says that a request faulted, not what the tables held at that moment; the capture has the tables
 * at the end. Where they still refuse the request nothing needs doing. Where they were changed since (the
 * page fault was served, the buffer mapped), the leaf entry is changed for as long as the request takes: to
 * 0, or in the one bit that makes the walk end as recorded.
 */
import type { Outcome, Request, Trace } from "../../iommu.ts";
import type { GuestMemory } from "../../memory.ts";

/** What provoking needs of a unit. */
export interface Provokable {
  translate(request: Request): Outcome;
  trace(request: Request): Trace;
}

const WORD_BITS = 64;

/**
 * Sends `request`, in tables that make it fault with one of the `wanted` numbers if there are any such.
 * @returns what became of it
 */
export function provoke(unit: Provokable, memory: GuestMemory, request: Request, wanted: readonly number[]): Outcome {
  const faults = (): boolean => {
    const { outcome } = unit.trace({ ...request, probe: true });
    return !outcome.ok && wanted.includes(outcome.code);
  };
  if (faults()) return unit.translate(request);
  const leaf = unit
    .trace({ ...request, probe: true })
    .steps.findLast(({ stage, words }) => stage > 0 && words.length > 0);
  if (!leaf) return unit.translate(request);
  const entry = leaf.words[0] ?? 0n;
  try {
    for (const changed of changes(entry)) {
      memory.write64(leaf.address, changed);
      if (faults()) return unit.translate(request);
    }
  } finally {
    memory.write64(leaf.address, entry);
  }
  return unit.translate(request);
}

function* changes(entry: bigint): Generator<bigint> {
  yield 0n;
  for (let bit = 0; bit < WORD_BITS; bit++) yield entry ^ (1n << BigInt(bit));
}
