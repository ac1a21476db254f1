/** Every capture's memory through every kind of dump: all of its translations come out the same. */
import { describe, expect, it } from "vitest";
import type { Capture } from "../../../src/capture/capture.ts";
import { LoadedBytes } from "../../../src/capture/image/bytes.ts";
import type { MachineImage } from "../../../src/capture/image/image.ts";
import { openDump } from "../../../src/capture/image/open.ts";
import { parseRawRange, type RawRange } from "../../../src/capture/image/raw.ts";
import { unpackers } from "../../../src/capture/node/unpackers.ts";
import { openWalker } from "../../../src/capture/state.ts";
import { requestOf } from "../../../src/capture/verify.ts";
import { CAPTURE_NAMES, type Run, readCapture, runsOf } from "../../support/dumps/pages.ts";
import { avml, elfCore, elfCore32, flatten, kdump, lime, PACKINGS, raw } from "../../support/dumps/write.ts";

const ELF_MACHINES = { vtd: 62, smmuv3: 183 } as const;
const NAMES = { vtd: "x86_64", smmuv3: "aarch64" } as const;

interface Kind {
  kind: string;
  write(runs: readonly Run[], iommu: Capture["iommu"]): Uint8Array;
  /** The dump says what machine it is of. */
  tells: boolean;
  ram?(runs: readonly Run[]): RawRange[];
}

const KINDS: readonly Kind[] = [
  { kind: "ELF core", tells: true, write: (runs, iommu) => elfCore(runs, ELF_MACHINES[iommu]) },
  {
    kind: "ELF core whose segments are counted in section header 0",
    tells: true,
    write: (runs, iommu) => elfCore(runs, ELF_MACHINES[iommu], true),
  },
  { kind: "ELF core of 32 bits", tells: false, write: elfCore32 },
  { kind: "LiME", tells: false, write: lime },
  { kind: "AVML", tells: false, write: avml },
  {
    kind: "raw",
    tells: false,
    write: (runs) => raw(runs).bytes,
    ram: (runs) => raw(runs).ram.map((range) => parseRawRange(range) as RawRange),
  },
  ...Object.entries(PACKINGS).map(([name, pack]) => ({
    kind: `kdump, ${name}`,
    tells: true,
    write: (runs: readonly Run[], iommu: Capture["iommu"]) => kdump(runs, { machine: NAMES[iommu], pack }),
  })),
  {
    kind: "kdump of 64 KiB pages, version 5",
    tells: true,
    write: (runs, iommu) => kdump(runs, { machine: NAMES[iommu], pack: PACKINGS.zlib!, blockSize: 65536, version: 5 }),
  },
  {
    kind: "flattened kdump",
    tells: true,
    write: (runs, iommu) => flatten(kdump(runs, { machine: NAMES[iommu], pack: PACKINGS.snappy! })),
  },
  { kind: "flattened ELF core", tells: true, write: (runs, iommu) => flatten(elfCore(runs, ELF_MACHINES[iommu])) },
];

describe.each(CAPTURE_NAMES)("%s", (name) => {
  const capture = readCapture(name);
  const runs = runsOf(capture);
  const walker = openWalker(capture);
  const expected = capture.expected.map((row) => walker.translate(requestOf(row)));

  it.each(KINDS)("as $kind: every translation is the capture's", ({ write, ram, tells, kind }) => {
    const source = new LoadedBytes("dump", write(runs, capture.iommu));
    const dump = openDump(source, ram?.(runs) ?? [], unpackers("dump"));
    if (!dump) throw new Error("not recognised");
    // What is of 32 bits is an x86.
    expect(dump.iommu).toBe(kind.includes("32 bits") ? "vtd" : tells ? capture.iommu : undefined);
    const { iommu, registers } = capture;
    const image: MachineImage = { name: "dump", devices: [], ...dump, iommu, registers };
    const walker = openWalker(image);
    expect(capture.expected.map((row) => walker.translate(requestOf(row)))).toEqual(expected);
    // Runs that touch are one.
    if (/kdump$|kdump, /.test(kind) && !kind.includes("64 KiB")) {
      expect(dump.ram).toEqual(runs.map(({ base, bytes }) => ({ base, size: BigInt(bytes.length) })));
    }
    // What was not captured is absent, not zero: but for pages of 64 KiB, which hold it as zeros.
    if (!kind.includes("64 KiB")) {
      expect(dump.pages.page(runs[0]!.base - 4096n)).toBeUndefined();
      expect(dump.pages.page(runs.at(-1)!.base + BigInt(runs.at(-1)!.bytes.length))).toBeUndefined();
    }
  });
});
