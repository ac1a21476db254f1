/**
 * The recorded requests that a caching unit answers otherwise, one by one: the answer is that of another
 * PASID entry's page tables which software gave the same tags.
 *
 * Rev. 5.10, 6.2.1 "Tagging of Cached Translations": paging-structure caches know the second stage by its
 * domain id, the first by domain id and PASID. Entries that share them but not the table are an error of
 * software, and which of the tables is used cannot be foreseen.
 */
import { readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { PASID } from "../../assembly/layout/vtd.ts";
import { REG } from "../../assembly/layout/vtd-registers.ts";
import { SparsePages } from "../../src/capture/pages.ts";
import { parseScenarios, type ScenarioOp, type VtdScenario, type VtdScenarioRequest } from "../../src/capture/scenario.ts";
import { runVtdScenario, type VtdScenarioOptions } from "../../src/capture/scenario-vtd.ts";
import { GuestMemory, VtdWalker } from "../../src/index.ts";
import { getField, getInPlace, setInPlace } from "../../src/structure.ts";
import { SHARED_TAG } from "./vtd-shared-tag.ts";

type Op = ScenarioOp<VtdScenarioRequest>;
const FILE = new URL("./vtd-A.jsonl.gz", import.meta.url);
const SCENARIOS = new Map(
  [...parseScenarios(gunzipSync(readFileSync(FILE)).toString("utf8"), "vtd-A.jsonl.gz")]
    .filter((scenario): scenario is VtdScenario => scenario.iommu === "vtd")
    .map((scenario) => [scenario.id, scenario]),
);

/** What a unit answers to the last of some operations, if it is not what was recorded. */
function answer(scenario: VtdScenario, ops: readonly Op[], unit: VtdScenarioOptions["unit"] = {}): string | undefined {
  const { differences } = runVtdScenario({ ...scenario, ops, memoryAfter: [] }, { unit });
  return differences.find(({ at }) => at === `${scenario.id} op ${ops.length - 1}`)?.found;
}

/** Memory and root table as software has left them after some operations. */
function stateAfter({ memory, ram }: VtdScenario, ops: readonly Op[]) {
  const words = new Map<bigint, bigint>();
  const stores = ops.filter((op) => op.op === "memory");
  for (const { address, words: values } of [...memory, ...stores]) {
    for (const [i, value] of values.entries()) words.set(address + BigInt(8 * i), value);
  }
  const host = new SparsePages();
  for (const [address, word] of words) host.write(address, new Uint8Array(BigUint64Array.of(word).buffer));
  const roots = ops.filter((op) => op.op === "write" && op.offset === REG.RTADDR);
  const root = roots.at(-1);
  return {
    guest: new GuestMemory({ ram: ram.map((range) => ({ ...range, host })) }),
    rtaddr: root?.op === "write" ? root.value : 0n,
    words,
    entry: (address: bigint) => Array.from({ length: 8 }, (_, i) => words.get(address + BigInt(8 * i)) ?? 0n),
  };
}

describe("a recorded request that caches answer otherwise", () => {
  it.each(SHARED_TAG)("%s: is answered from a table with the same tags", (at) => {
    const [id, index] = at.split(" op ") as [string, string];
    const scenario = SCENARIOS.get(id) as VtdScenario;
    const before = scenario.ops.slice(0, Number(index));
    const last = scenario.ops[Number(index)] as Op;
    if (last.op !== "dma") throw new TypeError(`${at}: ${last.op} is no request`);
    const cached = answer(scenario, [...before, last], { caches: "retain" });
    expect(cached).toBeDefined();
    // Without caches it is as recorded.
    expect(answer(scenario, [...before, last])).toBeUndefined();

    const { guest, rtaddr, words, entry } = stateAfter(scenario, before);
    const { cap, architectureEcap: ecap, haw } = scenario;
    const { sid, address, write } = last.request;
    const trace = new VtdWalker(guest, { cap, ecap, haw, rtaddr }).trace({ sid, address, access: write ? "w" : "r" });
    const own = trace.steps.find(({ words: read }) => read.length === 8);
    if (!own) throw new TypeError(`${at}: the walk meets no PASID entry`);
    const field = trace.steps.some(({ stage }) => stage === 1) ? PASID.FSPTPTR : PASID.SSPTPTR;
    const others = [...words.keys()]
      .filter((other) => other % 64n === 0n && other !== own.address)
      .map(entry)
      .filter((other) => getField(other, PASID.P) === 1n && getField(other, PASID.DID) === getField(own.words, PASID.DID))
      .map((other) => getInPlace(other, field))
      .filter((table) => table !== getInPlace(own.words, field));
    const answers = [...new Set(others)].map((table) => {
      const swapped = [...own.words];
      setInPlace(swapped, field, table);
      return answer(scenario, [...before, { op: "memory", address: own.address, words: swapped }, last]);
    });
    expect(answers).toContain(cached);
  });
});
