/** `explain` over the corpus of log shapes, and over anything that is made of them. */
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { findingToJson } from "../../src/cli/show/finding.ts";
import { type Explanation, explain } from "../../src/explain/explain.ts";
import { runs, seed } from "../support/runs.ts";

const CORPUS = fileURLToPath(new URL("../corpus/", import.meta.url));
const NAMES = readdirSync(CORPUS)
  .filter((name) => name.endsWith(".txt"))
  .map((name) => name.slice(0, -4));

const paste = (name: string): string => readFileSync(`${CORPUS}${name}.txt`, "utf8");
const told = (text: string): Explanation => explain(text.split("\n"));

interface Expected {
  unrecognised: number;
  findings: Record<string, unknown>[];
}

describe("the corpus", () => {
  it.each(NAMES)("%s", (name) => {
    const expected = JSON.parse(readFileSync(`${CORPUS}${name}.json`, "utf8")) as Expected;
    const { findings, unrecognised } = told(paste(name));
    const json = findings.map(findingToJson);
    expect(json.map(({ code, name: called }) => `${code} ${called}`)).toHaveLength(expected.findings.length);
    for (const [i, wanted] of expected.findings.entries()) expect(json[i]).toMatchObject(wanted);
    expect(unrecognised).toBe(expected.unrecognised);
  });

  it("every finding has a meaning, rules with sections, causes and a next command, all filled in", () => {
    for (const found of NAMES.flatMap((name) => told(paste(name)).findings.map(findingToJson))) {
      const { kind, meaning, rules, causes, next } = found as {
        kind: string;
        meaning: string;
        rules: { section: string }[];
        causes: string[];
        next: string[];
      };
      expect(meaning, kind).toMatch(/^[A-Z].*\.$/);
      for (const { section } of rules) expect(section).toMatch(/^(VT-d|IHI 0070|DDI 0487) [\dD]/);
      if (kind !== "inconsistent") expect(rules.length, kind).toBeGreaterThan(0);
      if (kind !== "capabilities" && kind !== "tables") expect(causes.length, kind).toBeGreaterThan(0);
      expect(next.length, kind).toBeGreaterThan(0);
      expect(JSON.stringify(found)).not.toMatch(/\{(bdf|sid|pasid|iova|access)\}|undefined|NaN/);
    }
  });

  it("tables that look right are told from tables that are wrong", () => {
    const [stale] = told(paste("vtd-dump-stale")).findings;
    expect(stale?.causes[0]).toContain("software did not flush");
    const [, reserved] = told(paste("vtd-dump-reserved")).findings;
    expect(reserved?.causes[0]).toContain("capability this unit lacks");
  });
});

describe("the same paste, otherwise dressed", () => {
  const key = ({ findings }: Explanation) => findings.map(({ line: _, ...found }) => found);
  const dress: readonly [string, (line: string) => string][] = [
    ["CRLF", (line) => `${line}\r`],
    ["quoted", (line) => `> > ${line}`],
    ["coloured", (line) => `\u001b[1;31m${line}\u001b[0m`],
    ["with a terminal's control characters", (line) => `\u0000${line}\u0007\u0008`],
    ["with syslog's prefix", (line) => `2026-11-25T05:00:00.123456+00:00 host-1 kernel: [12345.678901] ${line}`],
  ];
  // What a mailer broke has no prefix in the middle.
  const cases = dress
    .flatMap(([how, change]) => NAMES.map((name) => [how, name, change] as const))
    .filter(([how, name]) => how !== "with syslog's prefix" || name !== "vtd-mail");
  it.each(cases)("%s: %s", (_, name, change) => {
    const plain = paste(name).replaceAll("\r", "");
    expect(key(told(plain.split("\n").map(change).join("\n")))).toEqual(key(told(plain)));
  });

  it("all of it at once, with other lines between", () => {
    const all = NAMES.map((name) => paste(name)).join("\nsystemd[1]: Started something.\n");
    const apart = NAMES.map((name) => told(paste(name)).findings.length).reduce((sum, count) => sum + count, 0);
    expect(told(all).findings.length).toBe(apart);
  });
});

describe("text from anywhere", () => {
  const lines = NAMES.flatMap((name) => paste(name).split("\n"));
  const line = fc.oneof(fc.constantFrom(...lines), fc.string({ unit: "binary", maxLength: 200 }));
  /** A line with a piece cut out, doubled, or replaced. */
  const damaged = fc
    .tuple(
      line,
      fc.nat(400),
      fc.nat(40),
      fc.oneof(
        fc.constant(""),
        fc.string({ maxLength: 12 }),
        fc.constantFrom("0x", "ffffffffffffffff", "[[", "fault reason"),
      ),
    )
    .map(
      ([text, at, cut, put]) =>
        text.slice(0, at % (text.length + 1)) + put + text.slice((at % (text.length + 1)) + cut),
    );

  it("is never refused, and no line is counted twice", () => {
    const property = fc.property(fc.array(fc.oneof(line, damaged), { maxLength: 60 }), (text) => {
      const { findings, unrecognised } = explain(text);
      expect(unrecognised).toBeLessThanOrEqual(text.length);
      for (const found of findings) {
        expect(() => JSON.stringify(findingToJson(found))).not.toThrow();
        expect(found.line).toBeGreaterThanOrEqual(1);
        expect(found.line).toBeLessThanOrEqual(text.length);
      }
    });
    fc.assert(property, { numRuns: runs(300, 20000), seed });
  });

  it("long lines and many lines end: patterns do not backtrack", () => {
    const heads = [
      "[DMA Read",
      "INTR-REMAP Request device [",
      "QI HEAD: ",
      "event 0x10 received: ",
      "event: F_TRANSLATION client: ",
    ];
    const long = heads.flatMap((head) => [
      head + "a".repeat(1_000_000),
      head + "0x ".repeat(300_000),
      head + "[".repeat(500_000),
    ]);
    expect(told(long.join("\n")).findings).toEqual([]);
    const many = "DMAR: [DMA Read NO_PASID] Request device [00:02.0] fault addr 0x1000 [fault reason 0x06] x\n".repeat(
      20_000,
    );
    expect(told(many).findings).toMatchObject([{ count: 20_000 }]);
  });
});
