/** Every structure of the catalogue, from the outside: fields in, words out, and back. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { FAMILIES, findEntry, STRUCTURES } from "../../src/explain/catalogue.ts";
import { blankWords, decodeFields, findProblems, reservedMasks } from "../../src/explain/structure.ts";
import { fieldsOf, setField } from "../../src/structure.ts";
import { runs, seed } from "../support/runs.ts";

const ALL = [...STRUCTURES, ...FAMILIES.flatMap(({ members }) => members)];

describe("the catalogue", () => {
  it("has every structure once, by its name in any case", () => {
    const names = ALL.map(({ name }) => name);
    expect(new Set(names).size).toBe(names.length);
    for (const structure of ALL) expect(findEntry(structure.name.toUpperCase())).toEqual({ structure });
    for (const family of FAMILIES) expect(findEntry(family.name)).toEqual({ family });
    expect(findEntry("vtd.nothing")).toBeUndefined();
  });

  it.each(ALL.map((structure) => [structure.name, structure] as const))(
    "%s: fields lie inside, none is reserved",
    (_, structure) => {
      const blank = blankWords(structure);
      expect(blank).toHaveLength(structure.words);
      const reserved = reservedMasks(structure, blank);
      const { layout, unused = [] } = structure.shape(blank);
      for (const { name, field, msb } of fieldsOf(layout).filter((info) => !unused.includes(info.name))) {
        expect(msb, name).toBeLessThan(structure.bits ?? structure.words * 64);
        const one = new Array<bigint>(structure.words).fill(0n);
        setField(one, field, 1n);
        expect(
          one.some((word, i) => (word & (reserved[i] as bigint)) !== 0n),
          name,
        ).toBe(false);
      }
    },
  );

  it("any words can be decoded: every field has a value that fits it, every finding a place", () => {
    const word = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });
    const structure = fc.constantFrom(...ALL);
    const property = fc.property(structure, fc.array(word, { minLength: 8, maxLength: 8 }), (chosen, random) => {
      const words = random.slice(0, chosen.words);
      for (const { name, value, msb } of decodeFields(chosen.shape(words), words)) {
        expect(value >= 0n && value < 2n ** 64n, `${name} ${msb}`).toBe(true);
      }
      for (const { bits, value } of findProblems(chosen, words)) {
        expect(bits).toMatch(/^\d+(:\d+)?$/);
        expect(value).toBeGreaterThanOrEqual(0n);
      }
    });
    fc.assert(property, { numRuns: runs(500, 20000), seed });
  });

  it("a family picks the member whose preset its words have", () => {
    for (const family of FAMILIES) {
      for (const member of family.members) expect(family.pick(blankWords(member))).toBe(member);
    }
  });
});
