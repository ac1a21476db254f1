/**
 * Compiles the Wasm core and embeds it: `build/core.wasm` for those who load it themselves, and
 * `src/core/binary.ts` so that `import` alone is enough, in Node, a page or a bundler: a string with a character
 * a byte, which takes gzip two thirds of what base64 does, and next to no time to take apart.
 *
 * Does nothing when the outputs are newer than every source.
 */
import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const wasm = `${root}build/core.wasm`;
const embedded = `${root}src/core/binary.ts`;

const sources = readdirSync(`${root}assembly`, { recursive: true }).map((name) => `${root}assembly/${name}`);
const newest = Math.max(...[...sources, `${root}asconfig.json`].map((path) => statSync(path).mtimeMs));
const fresh = [wasm, embedded].every((path) => existsSync(path) && statSync(path).mtimeMs > newest);

if (!fresh) {
  // Loading the compiler takes longer than finding out that it is not needed.
  const { default: asc } = await import("assemblyscript/asc");
  mkdirSync(`${root}build`, { recursive: true });
  const { error, stderr } = await asc.main(["--target", "release", "--config", "asconfig.json", "--baseDir", root]);
  const messages = stderr.toString().trim();
  if (messages) console.error(messages);
  if (error) {
    console.error(error.message);
    process.exit(1);
  }
  const text = readFileSync(wasm)
    .toString("latin1")
    .replace(/[\\"\n\r]/g, escaped);
  writeFileSync(
    embedded,
    `// Written by assembly/build.mjs from build/core.wasm; not kept in git.\nexport const CORE_BYTES: string =\n  "${text}";\n`,
  );
}
mkdirSync(`${root}dist`, { recursive: true });
copyFileSync(wasm, `${root}dist/core.wasm`);

/** What may not stand in a string literal, as an escape; two digits, for an octal one would read on. */
function escaped(character) {
  return `\\x${character.charCodeAt(0).toString(16).padStart(2, "0")}`;
}
