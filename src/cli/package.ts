/** Where this package lies, whether it runs from `src` or from `dist`. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { InputError } from "../capture/input.ts";

function packageRoot(): string {
  let folder = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(folder, "package.json"))) folder = dirname(folder);
  return folder;
}

export function packageVersion(): string {
  return (JSON.parse(readFileSync(join(packageRoot(), "package.json"), "utf8")) as { version: string }).version;
}

/** The captures that the repository ships. @throws InputError in an installed package, which has none */
export function shippedCaptures(): string[] {
  const folder = join(packageRoot(), "test", "captures");
  if (!existsSync(folder)) {
    throw new InputError(folder, "", "no captures here: they are in the source repository, not in the npm package");
  }
  return readdirSync(folder)
    .filter((name) => name.endsWith(".json"))
    .sort()
    .map((name) => join(folder, name));
}
