/** The argument that is a machine image, and the options that say what a dump does not. */
import { IOMMUS } from "../capture/capture.ts";
import type { MachineImage } from "../capture/image/image.ts";
import { parseRawRange, type RawRange } from "../capture/image/raw.ts";
import { REGISTER_OPTIONS } from "../capture/image/unit.ts";
import { type ImageOptions, openImage } from "../capture/node/image.ts";
import { parseNumber } from "./values.ts";
import { type Arguments, type Options, UsageError } from "./verb.ts";

const TEXT = { type: "string" } as const;
const TEXTS = { type: "string", multiple: true } as const;

/** For `readArguments`. */
export const IMAGE_OPTIONS: Options = {
  ram: TEXTS,
  regs: TEXTS,
  unit: TEXT,
  iommu: TEXT,
  ...Object.fromEntries(Object.keys(REGISTER_OPTIONS).map((name) => [name, TEXT])),
};

export const IMAGE_HELP = `IMAGE       a capture (x.json, x.json.gz or x, with x.pages.bin beside it); a
            dump: an ELF core (QEMU's dump-guest-memory, vmcore), kdump, LiME,
            AVML, raw; or text from debugfs (dmar_translation_struct ...)
--regs      a dump's registers: text of iommu_regset, boot lines, sysfs, words
            from QEMU's xp, NAME VALUE lines, or a capture's JSON; lspci -vv in
            it names the devices; repeatable
--ram       a raw image: base[:size][@offset], sizes with K, M, G; repeatable
--unit      which unit, where a text names several (dmar0)
--iommu     vtd or smmuv3, where nothing else tells
--rtaddr, --cap, --ecap, --ver, --gsts, --strtab-base, --strtab-base-cfg,
--idr0, --idr1, --idr3, --idr5, --cr0: one register; wins over everything else
`;

/** What the arguments say about the image. @throws UsageError */
export function imageOptions({ text, texts }: Arguments): ImageOptions {
  const registers = new Map<string, bigint>();
  for (const [name, { bits }] of Object.entries(REGISTER_OPTIONS)) {
    const given = text(name);
    if (given === undefined) continue;
    const value = parseNumber(given);
    if (value === undefined || value >> BigInt(bits)) {
      throw new UsageError(`--${name}: "${given}" is not a number of ${bits} bits, decimal or 0x..`);
    }
    registers.set(name, value);
  }
  const iommu = text("iommu");
  const known = IOMMUS.find((name) => name === iommu);
  if (iommu !== undefined && known === undefined)
    throw new UsageError(`--iommu: "${iommu}" is not ${IOMMUS.join(" or ")}`);
  return { registers, iommu: known, unit: text("unit"), registerFiles: texts("regs"), ram: texts("ram").map(rawRange) };
}

/** Opens the image, hands it to `use`, and closes it. @throws UsageError, InputError */
export async function withImage<T>(args: Arguments, use: (image: MachineImage) => Promise<T> | T): Promise<T> {
  const { image, close } = openImage(args.positionals[0] as string, imageOptions(args));
  try {
    return await use(image);
  } finally {
    close();
  }
}

function rawRange(given: string): RawRange {
  const range = parseRawRange(given);
  if (!range) throw new UsageError(`--ram: "${given}" is not base[:size][@offset], such as 0x100000000:2G@0x80000000`);
  return range;
}
