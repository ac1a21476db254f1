import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { parseCapture } from "../../src/capture/capture.ts";
import { InputError } from "../../src/capture/input.ts";
import { loadTrace } from "../../src/capture/node/files.ts";
import type { AccessLine, TraceLine } from "../../src/capture/regtrace.ts";
import { replay } from "../../src/capture/replay/replay.ts";

const CAPTURES = fileURLToPath(new URL("../captures/", import.meta.url));
const names = readdirSync(CAPTURES)
  .filter((name) => name.endsWith(".regtrace.jsonl.gz"))
  .map((name) => name.replace(".regtrace.jsonl.gz", ""));

const isRead = (line: TraceLine): line is AccessLine<"read"> => line.op === "read";

describe("replay of shipped register traces", () => {
  it.each(names)("%s: every read agrees, or differs for a reason of the table", (name) => {
    const { capture, trace } = loadTrace(CAPTURES + name);
    const report = replay(capture, trace);
    expect(report.differ).toEqual([]);
    expect(report.surprises).toEqual([]);
    expect(report.reads).toBe(trace.filter(isRead).length);
    expect(report.agree + report.explained.length).toBe(report.reads);
    // The others come from a recorder that numbers faults as the architecture does, or in legacy mode.
    if (name !== "A-vtd-sl") expect(report.explained).toEqual([]);
  });

  it("A-vtd-sl: 05h, no write permission in legacy mode, is 85h in scalable mode; the other bits stay", () => {
    const { capture, trace } = loadTrace(`${CAPTURES}A-vtd-sl`);
    const { explained } = replay(capture, trace);
    expect(new Set(explained.map(({ reason }) => reason))).toEqual(new Set(["fault-number"]));
    expect(explained).toContainEqual(expect.objectContaining({ expected: 0x8000_0005n, got: 0x8000_0085n }));
  });
});

describe("capabilities that are not modelled", () => {
  const names = { json: "x.json", pages: "x.pages.bin" };
  const altered = (name: string, offset: string, change: (value: number) => number) => {
    const raw = JSON.parse(readFileSync(`${CAPTURES}${name}.json`, "utf8"));
    const value = change(Number(raw.registers[offset]));
    raw.registers[offset] = `0x${value.toString(16)}`;
    const trace = loadTrace(CAPTURES + name).trace.map((line) =>
      isRead(line) && line.offset === Number(offset) && line.size === 4 ? { ...line, value: BigInt(value) } : line,
    );
    return { capture: parseCapture(JSON.stringify(raw), readFileSync(`${CAPTURES}${name}.pages.bin`), names), trace };
  };

  it("are left out, and the reads that show it are explained", () => {
    // IDR0.ATOS, bit 15.
    const { capture, trace } = altered("A-smmu-s1", "0x0", (value) => value + 0x8000);
    const report = replay(capture, trace);
    expect(report.differ).toEqual([]);
    expect(report.explained.map(({ reason }) => reason)).toEqual(["not-modelled"]);
  });

  it("that contradict each other are bad input", () => {
    // IDR0.S1P and S2P, bits 1 and 0: no stage at all.
    const { capture, trace } = altered("A-smmu-s1", "0x0", (value) => value - 3);
    expect(() => replay(capture, trace)).toThrow(InputError);
  });
});

describe("what a replay notices", () => {
  const { capture, trace } = loadTrace(`${CAPTURES}A-vtd-sva`);
  /** The trace with one line replaced. */
  const changed = (fits: (line: TraceLine) => boolean, change: (line: TraceLine) => TraceLine) => {
    const index = trace.findLastIndex(fits);
    expect(index).toBeGreaterThan(0);
    return replay(capture, trace.with(index, change(trace[index] as TraceLine)));
  };

  it("a read that gave another value", () => {
    const report = changed(isRead, (line) => ({ ...(line as AccessLine<"read">), value: 0x1234n }));
    expect(report.differ).toHaveLength(1);
    expect(report.differ[0]).toMatchObject({ expected: 0x1234n });
    expect(report.agree).toBe(report.reads - 1);
  });

  it("a fault with a number that the tables cannot give", () => {
    const report = changed(
      ({ op }) => op === "fault",
      (line) => ({ ...line, fault: 0x3a }) as TraceLine,
    );
    expect(report.surprises).toEqual([
      { line: 808, problem: "the request faults with 81 instead of faulting with 58" },
    ]);
  });

  it("a descriptor that hardware refuses: the queue stops and FSTS shows it", () => {
    const index = trace.findIndex(({ op }) => op === "inv");
    const line = trace[index] as TraceLine & { words: readonly bigint[] };
    // Type 0 is no descriptor.
    const report = replay(capture, trace.with(index, { ...line, words: [0n, 0n, 0n, 0n] } as TraceLine));
    expect(report.differ.length).toBeGreaterThan(10);
    expect(report.differ[0]).toMatchObject({ offset: 0x34, expected: 0n, got: 0x10n });
  });

  it("a message that was not sent", () => {
    const report = changed(
      ({ op }) => op === "msi",
      (line) => ({ ...line, data: 99 }) as TraceLine,
    );
    expect(report.surprises).toHaveLength(1);
    expect(report.surprises[0]?.problem).toMatch(/instead of message 0x63/);
  });

  it("a page request that arrives otherwise", () => {
    const report = changed(
      ({ op }) => op === "prq",
      (line) => ({ ...line, words: [0x1_0030_0101n, 0x1000_0000_002en, 1n, 0n] }) as TraceLine,
    );
    expect(report.surprises[0]?.problem).toMatch(/^page request: /);
  });

  it("an SMMU event whose record differs in a field", () => {
    const smmu = loadTrace(`${CAPTURES}A-smmu-s1`);
    const events = smmu.capture.events.map((words, i) => (i === 3 ? [...words.slice(0, 3), 0x5000n] : words));
    const report = replay({ ...smmu.capture, events }, smmu.trace);
    expect(report.differ).toEqual([]);
    expect(report.surprises).toHaveLength(1);
  });
});
