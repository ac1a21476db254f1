/**
 * Compiles src into dist, unless dist is newer than every source: `npm run cli` and `npm start` go through
 * here, so what runs is always what is written.
 */
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, rmSync, statSync, utimesSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const output = join(root, "dist", "src", "index.js");

const modified = (path) => statSync(path).mtimeMs;
const sources = ["src", "assembly/layout"].flatMap((folder) =>
  readdirSync(join(root, folder), { recursive: true }).map((name) => join(root, folder, name)),
);
const newest = Math.max(...[...sources, join(root, "tsconfig.json"), join(root, "package.json")].map(modified));

if (!existsSync(output) || modified(output) < newest) {
  // What no source makes any more must not stay in the package.
  for (const folder of ["src", "assembly"]) rmSync(join(root, "dist", folder), { recursive: true, force: true });
  const compiler = join(dirname(createRequire(import.meta.url).resolve("typescript/package.json")), "bin", "tsc");
  const started = new Date();
  const { status } = spawnSync(process.execPath, [compiler, "-p", join(root, "src", "tsconfig.json")], {
    stdio: ["ignore", 2, 2],
  });
  // As old as the sources it was made from; a failed build is as good as none.
  if (existsSync(output)) utimesSync(output, started, status === 0 ? started : new Date(0));
  if (status !== 0) process.exit(1);
}
