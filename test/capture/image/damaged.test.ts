/** Dumps damaged at random: refused by an InputError, or walked. */
import fc from "fast-check";
import { describe, it } from "vitest";
import { LoadedBytes } from "../../../src/capture/image/bytes.ts";
import type { MachineImage } from "../../../src/capture/image/image.ts";
import { openDump } from "../../../src/capture/image/open.ts";
import { InputError } from "../../../src/capture/input.ts";
import { unpackers } from "../../../src/capture/node/unpackers.ts";
import { openWalker } from "../../../src/capture/state.ts";
import { requestOf } from "../../../src/capture/verify.ts";
import { numbers, readCapture, runsOf } from "../../support/dumps/pages.ts";
import { avml, elfCore, flatten, kdump, lime, PACKINGS } from "../../support/dumps/write.ts";
import { runs, seed } from "../../support/runs.ts";

const X86 = 62;

describe("dumps damaged at random", () => {
  const capture = readCapture("A-vtd-sva-pt");
  const rows = capture.expected.slice(0, 12);
  const memory = runsOf(capture);
  const dumps = {
    "ELF core": elfCore(memory, X86),
    LiME: lime(memory),
    AVML: avml(memory),
    kdump: kdump(memory, { machine: "x86_64", pack: PACKINGS.snappy! }),
    "flattened kdump": flatten(kdump(memory, { machine: "x86_64", pack: PACKINGS.lzo! })),
  };

  /** A place near the beginning or anywhere, and a number that readers may trip over. */
  const change = fc.record({
    at: fc.oneof(fc.nat(700), fc.nat(40_000), fc.nat()),
    bytes: fc.constantFrom<1 | 2 | 4 | 8>(1, 2, 4, 8),
    value: fc.oneof(
      fc.constantFrom(0n, 1n, 0xffn, 0xffffn, 0xffff_ffffn, 2n ** 31n, 2n ** 52n, 2n ** 63n, 2n ** 64n - 1n, 4095n),
      fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
    ),
  });

  it.each(Object.entries(dumps))("%s: an InputError, or walks", (_, good) => {
    fc.assert(
      fc.property(fc.array(change, { minLength: 1, maxLength: 4 }), fc.option(fc.nat()), (changes, cut) => {
        const torn = good.slice(0, cut === null || cut % 3 ? undefined : cut % good.length);
        for (const { at, bytes, value } of changes) {
          const place = at % good.length;
          torn.set(
            numbers([bytes, value & (2n ** BigInt(8 * bytes) - 1n)]).subarray(0, Math.max(0, torn.length - place)),
            Math.min(place, torn.length),
          );
        }
        tolerate(() => {
          const dump = openDump(new LoadedBytes("dump", torn), [], unpackers("dump"));
          if (!dump) return;
          const { registers } = capture;
          const image: MachineImage = { name: "dump", devices: [], ...dump, iommu: "vtd", registers };
          const walker = openWalker(image);
          for (const row of rows) walker.translate(requestOf(row));
        });
      }),
      { numRuns: runs(150, 10_000), seed },
    );
  });
});

function tolerate(use: () => void): void {
  try {
    use();
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
  }
}
