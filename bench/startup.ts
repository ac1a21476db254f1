/** What a user waits for once: import, compilation, tables and the first translation, each time in a fresh process. */
import { execFileSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import type { Kernel } from "./harness.ts";

const PROGRAM = fileURLToPath(new URL("./first-translation.js", import.meta.url));

export function startupKernel(name: string): Kernel {
  const round = () => Number(execFileSync(process.execPath, [PROGRAM], { encoding: "utf8" }));
  return { name, operations: 1, implementations: [{ name: "fresh process", round }] };
}
