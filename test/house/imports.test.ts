/** The direction of imports, as drawn in the README: down only, vendors never at each other. */
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));

interface Import {
  from: string;
  to: string;
}

/** Every import in `folder`, as paths from the root; packages and `node:` keep their names. */
function importsIn(folder: string): Import[] {
  const files = readdirSync(join(ROOT, folder), { recursive: true, encoding: "utf8" }).filter((name) =>
    name.endsWith(".ts"),
  );
  return files.flatMap((name) => {
    const from = join(folder, name);
    const text = readFileSync(join(ROOT, from), "utf8");
    const specifiers = [...text.matchAll(/^\s*(?:import|export)\b[^;]*?\bfrom\s+"([^"]+)"/gm)].map(([, path]) => path);
    const dynamic = [...text.matchAll(/\bimport\(\s*"([^"]+)"/g)].map(([, path]) => path);
    return [...specifiers, ...dynamic].map((specifier) => {
      const path = specifier as string;
      const to = path.startsWith(".") ? relative(ROOT, join(ROOT, dirname(from), path)) : path;
      return { from, to: to.endsWith(".ts") || !path.startsWith(".") ? to : `${to}.ts` };
    });
  });
}

const under = (path: string, ...folders: string[]): boolean => folders.some((folder) => path.startsWith(`${folder}/`));
const list = (imports: Import[]): string[] => imports.map(({ from, to }) => `${from} -> ${to}`);

describe("imports point down", () => {
  const assembly = importsIn("assembly");
  const src = importsIn("src");

  it("finds the imports at all", () => {
    expect(assembly.length).toBeGreaterThan(3);
    expect(src.length).toBeGreaterThan(10);
  });

  it("assembly/layout imports nothing but layout", () => {
    expect(
      list(assembly.filter(({ from, to }) => under(from, "assembly/layout") && !under(to, "assembly/layout"))),
    ).toEqual([]);
  });

  it("assembly imports only assembly", () => {
    expect(list(assembly.filter(({ to }) => !under(to, "assembly")))).toEqual([]);
  });

  it("src sees of assembly only the layout", () => {
    expect(list(src.filter(({ to }) => under(to, "assembly") && !under(to, "assembly/layout")))).toEqual([]);
  });

  it("vtd and smmuv3 never import each other, nor the IOASID layer's insides", () => {
    const crossings = [...assembly, ...src].filter(
      ({ from, to }) =>
        (from.includes("/vtd/") && to.includes("/smmuv3/")) ||
        (from.includes("/smmuv3/") && to.includes("/vtd/")) ||
        (under(from, "src/ioasid") && under(to, "src/smmuv3")),
    );
    expect(list(crossings)).toEqual([]);
  });

  it("only the CLI, capture/node and bridge/node touch Node, and nobody in the core imports a package", () => {
    const outside = src.filter(({ to }) => !under(to, "src", "assembly"));
    expect(list(outside.filter(({ from }) => !under(from, "src/cli", "src/capture/node", "src/bridge/node")))).toEqual(
      [],
    );
  });

  it("only src/core says WebAssembly, apart from types handed through", () => {
    const files = readdirSync(join(ROOT, "src"), { recursive: true, encoding: "utf8" }).filter(
      (name) => name.endsWith(".ts") && !name.startsWith("core/"),
    );
    const users = files.filter((name) => /new WebAssembly\./.test(readFileSync(join(ROOT, "src", name), "utf8")));
    expect(users).toEqual([]);
  });

  it("the core never reaches up into the CLI or the captures", () => {
    const up = src.filter(
      ({ from, to }) =>
        (!under(from, "src/cli") && under(to, "src/cli")) ||
        (under(from, "src/vtd", "src/smmuv3", "src/ioasid", "src/core") && under(to, "src/capture")) ||
        (under(from, "src/core") && !under(to, "src/core", "assembly/layout")),
    );
    expect(list(up)).toEqual([]);
  });
});
