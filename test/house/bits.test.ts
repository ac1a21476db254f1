/** A bit number lives in `assembly/layout`, and nowhere else. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { fieldsOf, type Layout } from "../../src/structure.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));

/** Shapes in which a bit position, mask or field of an architecture's structure would be spelled out. */
const SUSPECTS: readonly [RegExp, string][] = [
  [/\b\d+\s*<<\s*16\s*\|\s*\d+/, "a field (msb << 16 | lsb)"],
  [/(?:>>>?|<<)\s*(?:<u64>\s*)?(?:[1-9]\d*n?)\b/, "a shift by a literal"],
  [/[&|]\s*~?\s*\(?\s*(?:<u64>\s*)?0x[0-9a-f_]{3,}n?/i, "a literal mask"],
  [/\b1n?\s*<<\s*(?:[1-9]\d*)n?\b/, "a literal bit"],
];

/**
 * What may shift by literals: arithmetic on our own ABI and on numbers, not on the architectures'
 * structures. Each with its reason.
 */
const ALLOWED: Readonly<Record<string, string>> = {
  "assembly/bits.ts": "takes fields apart: word index and field encoding",
  "assembly/memory.ts": "pages and regions of our own memory map",
  "assembly/trace.ts": "our own trace buffer",
  "assembly/bitmap.ts": "word and summary indices of the bitmap",
  "assembly/caches.ts": "set indices and hashes of our own caches",
  "assembly/warm.ts": "hashes of our own filter",
  "src/structure.ts": "takes fields apart: word index and field encoding",
  "src/memory.ts": "pages and 52-bit limits of the memory map",
  "src/walker.ts": "the limit of an argument",
  "src/walk/batch.ts": "words of our own request block",
  "src/walk/result.ts": "words of our own result block",
  "src/walk/tlb.ts": "words of our own caches and results",
  "src/core/core.ts": "base64",
  "src/core/binary.ts": "generated",
};

/** The halves of a 64-bit number, and 64 bits of ones, belong to no structure. */
const HALVES = /(?:>>>?|<<)\s*32n?\b|0xffff_?ffff(?:_?ffff_?ffff)?n?\b/gi;

/** A line may say why a literal shift on it is no architectural bit number: `// not a field: reason`. */
const EXCUSE = /not a field: \S+/;

function sources(folder: string): string[] {
  return readdirSync(join(ROOT, folder), { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".ts"))
    .map((name) => join(folder, name));
}

function findings(path: string): string[] {
  const code = readFileSync(join(ROOT, path), "utf8").replace(/\/\*[\s\S]*?\*\//g, (comment) =>
    comment.replace(/[^\n]/g, " "),
  );
  return code.split("\n").flatMap((line, i) => {
    if (EXCUSE.test(line)) return [];
    const bare = line
      .replace(/\/\/.*$/, "")
      .replace(/"(?:[^"\\]|\\.)*"|`(?:[^`\\]|\\.)*`/g, '""')
      .replace(HALVES, "");
    return SUSPECTS.filter(([shape]) => shape.test(bare))
      .slice(0, 1)
      .map(([, what]) => `${path}:${i + 1}: ${what}: ${line.trim()}`);
  });
}

describe("bit numbers", () => {
  it("appear in assembly/layout only", () => {
    const paths = [...sources("assembly"), ...sources("src")].filter(
      (path) => !path.startsWith("assembly/layout/") && !(path in ALLOWED),
    );
    expect(paths.length).toBeGreaterThan(5);
    expect(paths.flatMap(findings)).toEqual([]);
  });

  it("would be seen: the shapes match what they are for", () => {
    const shapes = ["31 << 16 | 31", "entry >> 12", "word & 0xfff", "1n << 52n", "(value >> <u64>12)"];
    for (const text of shapes)
      expect(
        SUSPECTS.some(([shape]) => shape.test(text)),
        text,
      ).toBe(true);
  });
});

describe("layouts", () => {
  it("have sane fields: lsb <= msb, within one 64-bit word, no two of one structure overlapping unless aliases", async () => {
    const modules = readdirSync(join(ROOT, "assembly/layout")).filter(
      (name) => name !== "core.ts" && name !== "bitmap.ts",
    );
    const broken: string[] = [];
    for (const name of modules) {
      const layouts = (await import(join(ROOT, "assembly/layout", name))) as Record<string, unknown>;
      for (const [layout, members] of Object.entries(layouts)) {
        if (typeof members !== "object" || members === null) continue;
        for (const { name: field, msb, lsb } of fieldsOf(members as Layout)) {
          if (msb === 0) continue; // a plain number (an offset, a code), or bit 0
          if (lsb > msb || lsb >> 6 !== msb >> 6) broken.push(`${name}: ${layout}.${field} ${msb}:${lsb}`);
        }
      }
    }
    expect(broken).toEqual([]);
  });
});
