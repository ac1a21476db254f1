/**
 * Makes dist out of src, unless it is newer than every source: declarations by tsc, programs by rolldown.
 * `npm run cli` and `npm start` go through here, so what runs is always what is written, and what is published.
 */
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const dist = join(root, "dist");
/** Written last. */
const finished = join(dist, "index.js");

/** The core's bytes as a string, see assembly/build.mjs, and what stands for them while the rest is minified. */
const embedded = join(root, "src", "core", "binary.ts");
const PLACE = "globalThis.bytesOfTheCore";

/** What a package's user can import or run, and where it lies. */
const ENTRIES = {
  index: "src/index.ts",
  vtd: "src/vtd/index.ts",
  smmuv3: "src/smmuv3/index.ts",
  ioasid: "src/ioasid/index.ts",
  capture: "src/capture/index.ts",
  explain: "src/explain/index.ts",
  workers: "src/workers/index.ts",
  cli: "src/cli/main.ts",
  examples: "src/ioasid/examples/run.ts",
};

const modified = (path) => statSync(path).mtimeMs;
const sources = ["src", "assembly/layout"].flatMap((folder) =>
  readdirSync(join(root, folder), { recursive: true }).map((name) => join(root, folder, name)),
);
const newest = Math.max(...[...sources, join(root, "tsconfig.json"), join(root, "package.json")].map(modified));

if (!existsSync(finished) || modified(finished) < newest) {
  // What no source makes any more must not stay in the package.
  for (const name of existsSync(dist) ? readdirSync(dist) : []) {
    if (name !== "core.wasm") rmSync(join(dist, name), { recursive: true });
  }
  const compiler = join(dirname(createRequire(import.meta.url).resolve("typescript/package.json")), "bin", "tsc");
  const { status } = spawnSync(
    process.execPath,
    [compiler, "-p", join(root, "src", "tsconfig.json"), "--emitDeclarationOnly"],
    { stdio: ["ignore", 2, 2] },
  );
  if (status !== 0) process.exit(1);
  await bundle();
}

/** One file with all that a walk needs, the core's bytes among it, which every entry loads; the rest as entries share it. */
async function bundle() {
  const { rolldown } = await import("rolldown");
  const common = {
    cwd: root,
    platform: "neutral",
    external: [/^node:/, "fzstd"],
    treeshake: { moduleSideEffects: (id) => id.endsWith("/main.ts") || id.endsWith("/run.ts") },
    plugins: [
      {
        name: "core's bytes",
        load: (id) => (id === embedded ? `export const CORE_BYTES = ${PLACE};` : null),
      },
    ],
  };
  const alone = await rolldown({ ...common, input: ENTRIES.index });
  const [{ moduleIds }] = (await alone.generate({ format: "esm" })).output;
  const always = new Set(moduleIds);
  const all = await rolldown({ ...common, input: ENTRIES });
  const { output } = await all.generate({
    format: "esm",
    minify: true,
    chunkFileNames: "[name]-[hash].js",
    codeSplitting: { groups: [{ name: "walks", test: (id) => always.has(id) }] },
  });
  // Put in at the end: the minifier would write every other byte as an escape.
  const [bytes] = readFileSync(embedded, "utf8").match(/".*"/s);
  output.sort((a, b) => (a.fileName === "index.js" ? 1 : b.fileName === "index.js" ? -1 : 0));
  for (const { fileName, code } of output) {
    const whole = code.replace(PLACE, () => bytes);
    writeFileSync(join(dist, fileName), whole);
  }
}
