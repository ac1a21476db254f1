/** Every rule of the linter is told apart from the others, and is planted somewhere. */
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { SMMU_RULES } from "../../src/lint/smmu-rules.ts";
import { VTD_RULES } from "../../src/lint/vtd-rules.ts";

const RULES = [...Object.values(VTD_RULES), ...Object.values(SMMU_RULES)];
const TESTS = ["vtd", "smmuv3"]
  .map((name) => readFileSync(new URL(`./${name}.test.ts`, import.meta.url), "utf8"))
  .join();

describe("lint rules", () => {
  it("have ids of their own", () => {
    expect(new Set(RULES.map(({ id }) => id)).size).toBe(RULES.length);
  });

  it.each(RULES)("$id is found where it is planted, and says why it matters", ({ id, why, title, section }) => {
    // In a title a rule may stand beside another; in what a test expects it may be a pattern.
    expect(TESTS.replaceAll("\\.", ".")).toContain(id);
    for (const text of [why, title]) expect(text.length).toBeGreaterThan(10);
    expect(section).toMatch(/^(VT-d|IHI 0070) \d/);
  });
});
