/**
 * Dumps that QEMU itself made, where qemu-system-x86_64 is installed (elsewhere there is no such test): a machine's
 * memory is set up from a capture's pages, and dumped in the formats that every build of QEMU has.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openImage, openMemory } from "../../../src/capture/node/image.ts";
import { openWalker } from "../../../src/capture/state.ts";
import { requestOf } from "../../../src/capture/verify.ts";
import { capturePath, readCapture, runsOf } from "../../support/dumps/pages.ts";
import { type DumpFormat, dumpGuestMemory, qemuInstalled } from "../../support/dumps/qemu.ts";
import { writeSparse } from "../../support/dumps/sparse.ts";

const FORMATS: readonly DumpFormat[] = ["elf", "kdump-zlib"];
/** A capture whose pages all lie low, so that the machine can be small. */
const NAME = "A-vtd-fl";
const MIB = 96;

if (qemuInstalled) {
  describe("dump-guest-memory of the installed QEMU", () => {
    const folder = mkdtempSync(join(tmpdir(), "iommulator-qemu-"));
    const path = (format: DumpFormat) => join(folder, `${format}.dump`);
    const capture = readCapture(NAME);
    beforeAll(async () => {
      const ram = join(folder, "ram");
      writeSparse(ram, { runs: runsOf(capture), size: MIB * 2 ** 20 });
      await dumpGuestMemory(
        ram,
        MIB,
        FORMATS.map((format) => [format, path(format)]),
      );
    });
    afterAll(() => rmSync(folder, { recursive: true }));

    it.each(FORMATS)("%s: every translation is the capture's", (format) => {
      const { image, close } = openImage(path(format), { registerFiles: [capturePath(NAME)] });
      const walker = openWalker(image);
      const original = openWalker(capture);
      let same = 0;
      for (const row of capture.expected) {
        const before = original.translate(requestOf(row));
        // Beyond the capture's pages the machine's memory goes on.
        if (!before.ok && before.entry === 0n && before.check.endsWith(".1")) continue;
        expect(walker.translate(requestOf(row))).toEqual(before);
        same++;
      }
      close();
      const memory = openMemory(path(format));
      memory.close();
      expect(memory.iommu).toBe("vtd");
      expect(same).toBeGreaterThan(capture.expected.length / 2);
    });
  });
}
