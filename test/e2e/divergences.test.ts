/** The list of divergences and the code that foretells them name the same. */
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";

const read = (path: string): string => readFileSync(new URL(path, import.meta.url), "utf8");
/** Kebab-case words in quotes are names of departures. */
const NAME = /"([a-z0-9]+(?:-[a-z0-9]+)+)"/g;

const named = (code: string): string[] =>
  [...new Set([...code.matchAll(NAME)].map(([, name]) => name as string))].sort();

describe("divergences of QEMU", () => {
  it.each([
    ["VT-d", "./qemu/vtd-dialect.ts"],
    ["SMMUv3", "./qemu/smmu-dialect.ts"],
  ])("%s: all that the code foretells is listed, and nothing else", (vendor, path) => {
    const section =
      read("./divergences.md")
        .split(/^## /m)
        .find((text) => text.startsWith(`${vendor}\n`)) ?? "";
    const listed = [...section.matchAll(/^\| `([^`]+)` +\|/gm)].map(([, name]) => name as string).sort();
    expect(listed.length).toBeGreaterThan(10);
    expect(named(read(path))).toEqual(listed);
  });
});
