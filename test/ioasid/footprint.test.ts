/** A space that is nearly full, with data of its own on every ID. */
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { describe, expect, it } from "vitest";
import { ID_BITMAP_BYTES, Ioasid, IoasidSet } from "../../src/ioasid/index.ts";

setFlagsFromString("--expose-gc");
const collectGarbage = runInNewContext("gc") as () => void;

/** Bytes of this thread's heap and array buffers that are still referred to. */
function retained(): number {
  collectGarbage();
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return heapUsed + arrayBuffers;
}

describe("memory", () => {
  it("a million live IDs with private data take less than 64 MiB, the data included", () => {
    const live = 1_000_000;
    const set = new IoasidSet<{ process: number }>("processes");
    const before = retained();
    const ids = new Ioasid();
    for (let i = 0; i < live; i++) ids.alloc(set, 1, 0xfffff, { process: i });
    const bytes = retained() - before + ID_BITMAP_BYTES;
    expect(ids.count).toBe(live);
    expect(ids.find(set, live)).toEqual({ kind: "value", value: { process: live - 1 } });
    // More than the bare numbers and objects, or the measurement is wrong.
    expect(bytes).toBeGreaterThan(live * 16);
    expect(bytes).toBeLessThan(64 * 2 ** 20);
  });
});
