/** Files with holes: as long as a machine's memory, and little on disk. */
import { closeSync, openSync, truncateSync, writeSync } from "node:fs";
import type { Run } from "./pages.ts";

/** Writes `head`, and every run `offset` bytes after its own address; the file gets `size` bytes. */
export function writeSparse(
  path: string,
  {
    head = new Uint8Array(),
    offset = 0,
    runs,
    size,
  }: { head?: Uint8Array; offset?: number; runs: readonly Run[]; size: number },
): void {
  const file = openSync(path, "w");
  writeSync(file, head);
  for (const { base, bytes } of runs) writeSync(file, bytes, 0, bytes.length, offset + Number(base));
  closeSync(file);
  truncateSync(path, size);
}
