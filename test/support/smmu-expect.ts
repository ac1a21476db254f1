/** What conformance tests say of a request. */
import { expect } from "vitest";
import type { Request } from "../../src/index.ts";
import { type Expected, hexWords, record, SID, type SmmuMachine, VA } from "./smmu-machine.ts";

/** The request is answered so, and leaves exactly the record expected, or none. */
export function answers(
  machine: SmmuMachine,
  request: Partial<Request>,
  answer: string,
  expected?: Expected | undefined,
): void {
  const outcome = machine.ask(request);
  const wanted = expected ? [hexWords(record({ sid: SID, address: VA, ...request }, expected))] : [];
  expect({ answer: outcome.ok ? "translated" : outcome.answer, events: machine.events().map(hexWords) }).toEqual({
    answer,
    events: wanted,
  });
}

export function aborts(machine: SmmuMachine, request: Partial<Request>, expected?: Expected): void {
  answers(machine, request, "abort", expected);
}

/** The request gets through to `address`, and leaves no record. */
export function translates(machine: SmmuMachine, request: Partial<Request>, address: bigint): void {
  expect(machine.ask(request)).toMatchObject({ ok: true, address });
  expect(machine.events()).toEqual([]);
}

/** Fault of stage 1 for the input address. */
export function stage1(code: number, more: Partial<Expected> = {}): Expected {
  return { code, stage: 1, class: 2, ...more };
}
