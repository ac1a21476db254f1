/** Random STEs and CDs that are legal for the features at hand, before anything is broken. */
import type { Choices } from "../choices.ts";
import type { Features } from "../smmu-oracle/index.ts";
import { put } from "./image.ts";
import { covered, describeTables, type Tables } from "./tables.ts";

const TG0 = new Map([
  [12, 0],
  [16, 1],
  [14, 2],
]);
const TG1 = new Map([
  [14, 1],
  [12, 2],
  [16, 3],
]);
/** Encoding of an output size, and its bits. */
const SIZES = [32, 36, 40, 42, 44, 48, 52];

const emptyStructure = (): bigint[] => new Array<bigint>(8).fill(0n);

/** Output size: mostly the largest there is. */
function chooseOutput(c: Choices, f: Features): { encoding: number; outputBits: number } {
  const all = SIZES.filter((size) => size <= f.oas);
  const encoding = c.chance(20) ? c.below(8) : all.length - 1;
  const outputBits = Math.min(SIZES[Math.min(encoding, f.minor === 0 ? 5 : 6)] as number, f.oas);
  return { encoding, outputBits };
}

export function chooseSte(c: Choices, f: Features): { words: bigint[]; config: number } {
  const words = emptyStructure();
  const possible = [f.stage1 && f.stage2 ? 7 : 0, f.stage1 ? 5 : 0, f.stage2 ? 6 : 0].filter((config) => config > 0);
  const config = c.chance(5) ? c.below(5) : c.pick([...possible, possible[0] as number, possible[0] as number]);
  put(words, 0, 0, 1);
  put(words, 3, 1, config);
  const formats = f.twoLevelCd ? [0, 1, 2, 3] : [0, 3];
  put(words, 5, 4, c.pick(formats));
  const cdMax = f.ssidBits === 0 ? 0 : c.chance(20) ? 0 : 1 + c.below(f.ssidBits);
  put(words, 63, 59, cdMax);
  put(words, 65, 64, c.below(4));
  put(words, 71, 66, c.bits(6));
  if (f.stallModel === 0) put(words, 91, 91, c.chance(15) ? 1 : 0);
  put(words, 89, 89, c.chance(25) ? 1 : 0);
  const stall = f.stallModel === 2 || (f.stallModel === 0 && c.chance(20)) ? 1 : 0;
  const split = config === 7 && !stall && !f.noSplitStageAts;
  put(words, 93, 92, c.pick(stall && (config & 2) === 2 ? [0, 3] : split ? [1, 2, 2, 0] : [1, 0]));
  put(words, 95, 94, c.pick([0, 2]));
  if (c.chance(40)) put(words, 108, 96, c.bits(13));
  put(words, 109, 108, c.pick([1, 0, 2, 3]));
  if (c.chance(25)) put(words, 115, 112, c.bits(4));
  put(words, 143, 128, f.vmid16 ? c.bits(16) : c.bits(8));
  put(words, 178, 176, 0);
  put(words, 179, 179, 1);
  put(words, 180, 180, f.endian === 2 ? 0 : f.endian === 3 ? 1 : c.chance(30) ? 1 : 0);
  put(words, 181, 181, c.chance(20) ? 1 : 0);
  put(words, 182, 182, c.chance(25) ? 1 : 0);
  if (f.httu >= 2) put(words, 183, 183, c.chance(60) ? 1 : 0);
  if (f.httu >= 1) put(words, 184, 184, c.chance(70) ? 1 : 0);
  put(words, 185, 185, stall);
  put(words, 186, 186, c.below(2));
  return { words, config };
}

/** Chooses S2TG, S2T0SZ, S2SL0, S2PS and writes them to the STE. */
export function chooseStage2(c: Choices, f: Features, words: bigint[]): Tables {
  const granule = c.pick(f.granules);
  const shortest = Math.max(granule === 16 ? 12 : 16, 64 - f.ias);
  const longest = f.smallTables ? (granule === 16 ? 47 : 48) : 39;
  const t0sz = Math.min(c.chance(50) ? shortest + c.below(Math.max(longest - shortest + 1, 1)) : shortest, longest);
  const inputBits = 64 - t0sz;
  const levels = granule === 12 ? [2, 1, 0, 3] : [3, 2, 1];
  const fitting = levels.flatMap((level, sl0) => {
    const index = inputBits - covered(granule, level);
    const ok = index >= 1 && index <= granule + 1 && (granule !== 12 || level < 3 || f.smallTables);
    return ok ? [{ level, sl0 }] : [];
  });
  const { level, sl0 } = fitting.length > 0 ? c.pick(fitting) : { level: 1, sl0: 1 };
  const { encoding, outputBits } = chooseOutput(c, f);
  put(words, 165, 160, t0sz);
  put(words, 167, 166, sl0);
  put(words, 175, 174, TG0.get(granule) as number);
  put(words, 178, 176, encoding);
  return {
    ...describeTables(granule, inputBits, level),
    outputBits,
    bigEndian: ((words[2] as bigint) >> 52n) % 2n === 1n,
    base: 0n,
    wide: f.oas === 52,
  };
}

export interface ChosenCd {
  words: bigint[];
  halves: [Tables, Tables];
}

export function chooseCd(c: Choices, f: Features, stallDisabled: boolean): ChosenCd {
  const words = emptyStructure();
  const bigEndian = f.endian === 3 || (f.endian !== 2 && c.chance(30));
  put(words, 15, 15, bigEndian ? 1 : 0);
  put(words, 31, 31, 1);
  const { encoding, outputBits } = chooseOutput(c, f);
  put(words, 34, 32, encoding);
  put(words, 35, 35, c.chance(20) ? 1 : 0);
  put(words, 36, 36, c.chance(15) ? 1 : 0);
  put(words, 39, 38, c.bits(2));
  put(words, 40, 40, c.chance(15) ? 1 : 0);
  put(words, 41, 41, 1);
  if (f.httu >= 2) put(words, 42, 42, c.chance(60) ? 1 : 0);
  if (f.httu >= 1) put(words, 43, 43, c.chance(70) ? 1 : 0);
  put(words, 44, 44, f.stallModel === 2 || (f.stallModel === 0 && !stallDisabled && c.chance(20)) ? 1 : 0);
  put(words, 45, 45, c.below(2));
  put(words, 46, 46, f.alwaysAbort ? 1 : c.below(2));
  put(words, 63, 47, f.asid16 ? c.bits(17) : c.bits(9));
  put(words, 65, 65, c.chance(15) ? 1 : 0);
  put(words, 129, 129, c.chance(15) ? 1 : 0);
  put(words, 14, 14, c.chance(8) ? 1 : 0);
  put(words, 30, 30, c.chance(8) ? 1 : 0);
  for (let i = 0; i < 8; i++)
    put(
      words,
      192 + 8 * i + 7,
      192 + 8 * i,
      c.pick([0xff, 0x44, 0x00, 0x04, 0x08, 0x0c, 0xbb, 0xf4, 0x4f, 0xee, 0x5b, 0x7a]),
    );
  const half = (tsz: number, tg: number, codes: Map<number, number>): Tables => {
    const granule = c.pick(f.granules);
    const shortest = granule === 16 && f.wideVa ? 12 : 16;
    const longest = f.smallTables ? (granule === 16 ? 47 : 48) : 39;
    const size = c.chance(60) ? shortest + c.below(longest - shortest + 1) : shortest;
    put(words, tsz + 5, tsz, size);
    put(words, tg + 1, tg, codes.get(granule) as number);
    const inputBits = 64 - size;
    const level = 4 - Math.ceil((inputBits - granule) / (granule - 3));
    return { ...describeTables(granule, inputBits, level), outputBits, bigEndian, base: 0n, wide: f.oas === 52 };
  };
  return { words, halves: [half(0, 6, TG0), half(16, 22, TG1)] };
}
