import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { lines } from "../../src/cli/io.ts";

const folder = mkdtempSync(join(tmpdir(), "iommulator-"));
afterAll(() => rmSync(folder, { recursive: true }));

async function read(path: string): Promise<string[]> {
  const all: string[] = [];
  for await (const line of lines(path)) all.push(line);
  return all;
}

describe("lines of a file", () => {
  it("end with LF, CR LF or the file", async () => {
    const path = join(folder, "lines");
    writeFileSync(path, "one\n\ntwo\r\nthree");
    expect(await read(path)).toEqual(["one", "", "two", "three"]);
  });

  it("that is not there, or is a folder, are bad input", async () => {
    await expect(read(join(folder, "none"))).rejects.toThrow(/none: cannot be read \(ENOENT\)/);
    await expect(read(folder)).rejects.toThrow(/cannot be read \(EISDIR\)/);
  });
});
