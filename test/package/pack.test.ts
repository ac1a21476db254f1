/**
 * The package as a stranger gets it: packed, installed into an empty project, and the README's own
 * library examples run there by Node and the first out of a Vite build.
 */
import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const npm = process.platform === "win32" ? "npm.cmd" : "npm";

/** The `js` blocks after the README's heading "As a library", and what they say they print. */
function readmeExamples(): { code: string; prints: string }[] {
  const readme = readFileSync(join(ROOT, "README.md"), "utf8");
  const [, section = ""] = readme.split(/^## As a library$/m);
  return [...section.matchAll(/```js\n([\s\S]*?)```/g)].map(([, code = ""]) => ({
    code,
    prints: [...code.matchAll(/^\/\/ => (.*)$/gm)].map(([, line]) => `${line}\n`).join(""),
  }));
}

describe("npm pack", () => {
  const project = mkdtempSync(join(tmpdir(), "iommulator-pack-"));
  const examples = readmeExamples();

  beforeAll(() => {
    const run = (command: string, args: string[], cwd: string) => execFileSync(command, args, { cwd, stdio: "pipe" });
    run(npm, ["run", "-s", "build"], ROOT);
    run(npm, ["pack", "--ignore-scripts", "--pack-destination", project], ROOT);
    const tarball = readdirSync(project).find((name) => name.endsWith(".tgz")) as string;
    writeFileSync(join(project, "package.json"), JSON.stringify({ name: "stranger", private: true, type: "module" }));
    run(npm, ["install", "--no-audit", "--no-fund", `./${tarball}`], project);
    examples.forEach(({ code }, i) => {
      writeFileSync(join(project, `example${i}.js`), code);
    });
  });
  afterAll(() => rmSync(project, { recursive: true, force: true }));

  it("installs without pulling in anything else, and ships no captures, tests or sources of the build", () => {
    const installed = readdirSync(join(project, "node_modules")).filter((name) => !name.startsWith("."));
    expect(installed).toEqual(["iommulator"]);
    const files = readdirSync(join(project, "node_modules/iommulator"), { recursive: true, encoding: "utf8" });
    expect(files.filter((name) => /captures|\.test\.|vectors/.test(name))).toEqual([]);
    expect(files).toContain("LICENSE");
    expect(files).toContain(join("dist", "core.wasm"));
  });

  it("runs the README's examples in Node", () => {
    expect(examples).toHaveLength(3);
    examples.forEach(({ prints }, i) => {
      expect(prints).not.toBe("");
      expect(execFileSync("node", [`example${i}.js`], { cwd: project, encoding: "utf8" })).toBe(prints);
    });
  });

  it("runs the README's first example out of a Vite build for the browser", async () => {
    const { build } = await import("vite");
    await build({
      root: project,
      configFile: false,
      logLevel: "silent",
      build: { outDir: "out", target: "es2022", rollupOptions: { input: join(project, "example0.js") } },
    });
    const bundle = readdirSync(join(project, "out/assets")).find((name) => name.endsWith(".js")) as string;
    const text = readFileSync(join(project, "out/assets", bundle), "utf8");
    expect(text).not.toMatch(/from\s*["']node:|require\(/);
    writeFileSync(join(project, "out/bundle.mjs"), text);
    expect(execFileSync("node", ["out/bundle.mjs"], { cwd: project, encoding: "utf8" })).toBe(examples[0]?.prints);
  });

  it("loads two files and at most 85 kB of gzip for a walk", () => {
    const dist = join(project, "node_modules/iommulator/dist");
    const loaded = new Set<string>();
    const load = (name: string): void => {
      if (loaded.has(name)) return;
      loaded.add(name);
      const text = readFileSync(join(dist, name), "utf8");
      for (const [, file = ""] of text.matchAll(/from\s*["'`]\.\/([^"'`]+)["'`]/g)) load(file);
    };
    load("index.js");
    const bytes = Buffer.concat([...loaded].map((name) => readFileSync(join(dist, name))));
    expect(loaded.size).toBe(2);
    expect(gzipSync(bytes, { level: 9 }).length).toBeLessThanOrEqual(85_000);
  });

  it("has a working command", () => {
    const cli = join(project, "node_modules/iommulator/dist/cli.js");
    const version = execFileSync("node", [cli, "--version"], { encoding: "utf8" });
    const { version: expected } = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8")) as { version: string };
    expect(version.trim()).toContain(expected);
  });
});
