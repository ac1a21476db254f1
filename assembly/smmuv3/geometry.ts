/**
 * How translation tables are shaped, for every combination of granule, size and start level.
 * Arm ARM DDI 0487 D8.2 "Translation granules", IHI 0070 5.2 (S2T0SZ, S2SL0) and 5.4 (TxSZ, TGx).
 *
 * One word for each combination, 0 for an illegal one: a walk looks its start up instead of working it out.
 */
import { below, element, get, has, mask, put, setElement } from "../bits";
import { ADDRESS, PTE, PTE_SIZE, STE, STE_PART, TG0, TG1 } from "../layout/smmuv3";
import { AIDR, IDR3, IDR5 } from "../layout/smmuv3-ids";
import { FEATURE, GEOMETRY, SMMU } from "../layout/smmuv3-unit";

/** log2 of the granules; 0 = none. */
const PAGE_4K: i32 = 12;
const PAGE_16K: i32 = 14;
const PAGE_64K: i32 = 16;
const WORD_BYTES: i32 = 8;
/** log2 of how many start tables stage 2 may concatenate. */
const CONCATENATION: i32 = 4;

export function deriveGeometries(unit: usize): void {
  for (let shift = PAGE_4K; shift <= PAGE_64K; shift++) {
    setElement(unit + SMMU.TABLE_MASKS, shift - PAGE_4K, mask(PTE.ADDRESS) & ~below(shift));
    setElement(unit + SMMU.INDEX_MASKS, shift - PAGE_4K, below(shift - 3));
  }
  for (let index = 0; index < 256; index++) {
    const txsz = index & 63;
    const tg = index / 64;
    store<u32>(unit + index * 4, stage1(unit, tg, txsz), SMMU.GEOMETRY0);
    store<u32>(unit + index * 4, stage1(unit, asTG0(tg), txsz), SMMU.GEOMETRY1);
  }
  for (let index = 0; index < 1024; index++) {
    const t0sz = index & 63;
    const sl0 = (index / 64) & 3;
    store<u32>(unit + index * 4, stage2(unit, index / 256, sl0, t0sz), SMMU.GEOMETRY2);
  }
}

/** Index of an STE's stage 2 geometry. */
// @ts-ignore: decorator
@inline
export function stage2Index(word2: u64): usize {
  const low = (word2 >> (<u64>STE_PART.S2SL0_S2T0SZ & 63)) & 255;
  const tg = (word2 >> (<u64>STE.S2TG & 63)) & 3;
  return <usize>(low + tg * 256);
}

/**
 * Ones where an output address has none, by IPS or S2PS: from bit 48 on at least, unless the granule is 64 KiB
 * (which is all that is LONG).
 */
// @ts-ignore: decorator
@inline
export function beyondOutput(unit: usize, encoded: u64, is64K: bool): u64 {
  return element(unit + (is64K ? SMMU.BEYOND_LONG_OUTPUT : SMMU.BEYOND_OUTPUT), <u32>encoded);
}

/** TG0's code for the granule that TG1's code means; 3 where that is reserved. */
export function asTG0(tg1: i32): i32 {
  if (tg1 == TG1.GRANULE_4K) return TG0.GRANULE_4K;
  if (tg1 == TG1.GRANULE_16K) return TG0.GRANULE_16K;
  return tg1 == TG1.GRANULE_64K ? TG0.GRANULE_64K : 3;
}

/** log2 of the granule, 0 where IDR5 does not offer it. */
export function granule(unit: usize, tg: i32): i32 {
  const idr5 = <u64>load<u32>(unit, SMMU.IDR5);
  if (tg == TG0.GRANULE_4K) return has(idr5, IDR5.GRAN4K) ? PAGE_4K : 0;
  if (tg == TG0.GRANULE_16K) return has(idr5, IDR5.GRAN16K) ? PAGE_16K : 0;
  if (tg == TG0.GRANULE_64K) return has(idr5, IDR5.GRAN64K) ? PAGE_64K : 0;
  return 0;
}

/** log2 of the smallest granule that IDR5 offers. */
export function smallestGranule(unit: usize): u64 {
  if (granule(unit, TG0.GRANULE_4K)) return PAGE_4K;
  return granule(unit, TG0.GRANULE_16K) ? PAGE_16K : PAGE_64K;
}

/** § 5.4 TxSZ, 5.2 S2T0SZ, IDR3.STT: the largest TxSZ. */
function largestTxSZ(unit: usize, tg: i32): i32 {
  if (!has(<u64>load<u32>(unit, SMMU.IDR3), IDR3.STT)) return 39;
  return tg == TG0.GRANULE_64K ? 47 : 48;
}

/** § 5.4 TxSZ: the range of TxSZ, by the code of TG0. */
export function isStage1Size(unit: usize, tg: i32, txsz: i32): bool {
  const longInputs = has(<u64>load<u32>(unit, SMMU.IDR5), IDR5.VAX) && !isFirstVersion(unit);
  const smallest = tg == TG0.GRANULE_64K && longInputs ? 12 : 16;
  return txsz >= smallest && txsz <= largestTxSZ(unit, tg);
}

/** § DDI 0487 D8.2: the start level follows from granule and size. */
function stage1(unit: usize, tg: i32, txsz: i32): u32 {
  const pageShift = granule(unit, tg);
  if (!pageShift || !isStage1Size(unit, tg, txsz)) return 0;
  const inputBits = 64 - txsz;
  const levelBits = pageShift - 3;
  const levels = (inputBits - pageShift + levelBits - 1) / levelBits;
  return pack(unit, pageShift, 4 - levels, inputBits);
}

/** § 5.2 S2T0SZ: the range of S2T0SZ. */
export function isStage2Size(unit: usize, tg: i32, t0sz: i32): bool {
  const floor = isFirstVersion(unit) ? 0 : tg == TG0.GRANULE_64K ? 12 : 16;
  return t0sz >= max(floor, 64 - load<i32>(unit, SMMU.IAS)) && t0sz <= largestTxSZ(unit, tg);
}

/** § 5.2 S2SL0: a start level that fits the size. */
function stage2(unit: usize, tg: i32, sl0: i32, t0sz: i32): u32 {
  if (!has(load<u64>(unit, SMMU.FEATURES), FEATURE.STAGE2)) return 0;
  const pageShift = granule(unit, tg);
  if (!pageShift || !isStage2Size(unit, tg, t0sz)) return 0;
  const level = startLevel(unit, pageShift, sl0);
  if (level < 0) return 0;
  const inputBits = 64 - t0sz;
  const levelBits = pageShift - 3;
  const indexBits = inputBits - (pageShift + levelBits * (3 - level));
  if (indexBits < 1 || indexBits > levelBits + CONCATENATION) return 0;
  // § 5.2 S2SL0: no concatenation at level 0
  if (level == 0 && indexBits > levelBits) return 0;
  return pack(unit, pageShift, level, inputBits);
}

/** § 5.2 S2SL0: by granule; -1 where it is reserved. */
function startLevel(unit: usize, pageShift: i32, sl0: i32): i32 {
  const small = has(<u64>load<u32>(unit, SMMU.IDR3), IDR3.STT);
  if (pageShift == PAGE_4K) return sl0 < 3 ? 2 - sl0 : small ? 3 : -1;
  return sl0 < 3 ? 3 - sl0 : -1;
}

function isFirstVersion(unit: usize): bool {
  return !has(<u64>load<u32>(unit, SMMU.AIDR), AIDR.ArchMinorRev);
}

/** The address bits of a table descriptor, by log2 of the granule. */
// @ts-ignore: decorator
@inline
export function tableMaskOf(unit: usize, pageShift: u64): u64 {
  return element(unit + (SMMU.TABLE_MASKS - PAGE_4K * WORD_BYTES), <u32>pageShift);
}

/** Ones over an index into a table that is not the first, by log2 of the granule. */
// @ts-ignore: decorator
@inline
export function indexMaskOf(unit: usize, pageShift: u64): u64 {
  return element(unit + (SMMU.INDEX_MASKS - PAGE_4K * WORD_BYTES), <u32>pageShift);
}

/** Output or next-table address of a descriptor, aligned to 2^shift. */
// @ts-ignore: decorator
@inline
export function addressOf(entry: u64, shift: u64, isLong: bool): u64 {
  return isLong ? longAddressOf(entry, shift) : entry & mask(PTE.ADDRESS) & ~((<u64>1 << shift) - 1);
}

/** The same with bits 51:48 at 15:12. */
export function longAddressOf(entry: u64, shift: u64): u64 {
  const low = entry & mask(PTE.ADDRESS) & ~((<u64>1 << shift) - 1);
  return put(low, ADDRESS.BITS_51_48, get(entry, PTE.ADDRESS_51_48));
}

/** § DDI 0487 D8.3: a block at a level that has none, or type 0 at level 3; for a valid entry that is no table. */
// @ts-ignore: decorator
@inline
export function isMisplaced(entry: u64, shape: u64, shift: u64, isLast: bool): bool {
  return isLast ? !has(entry, PTE.TYPE) : shift > get(shape, GEOMETRY.LARGEST_BLOCK);
}

/**
 * Base of a start table with that mask of indices: aligned to its size (stage 2: to all concatenated tables),
 * 16 bytes at least, 64 where addresses have 52 bits.
 */
// @ts-ignore: decorator
@inline
export function startTable(table: u64, indexMask: u64, beyond: u64): u64 {
  const smallest: u64 = has(beyond, ADDRESS.BITS_51_48) ? 16 : 64;
  return table & -max<u64>((indexMask + 1) * PTE_SIZE, smallest);
}

function pack(unit: usize, pageShift: i32, level: i32, inputBits: i32): u32 {
  const long = pageShift == PAGE_64K && has(load<u64>(unit, SMMU.FEATURES), FEATURE.LONG_ADDRESSES);
  // § DDI 0487 D8.3: 1 GiB and 2 MiB; 32 MiB; 512 MiB, and 4 TiB with 52-bit addresses
  const largestBlock = pageShift + (pageShift - 3) * (pageShift == PAGE_4K || long ? 2 : 1);
  let packed: u64 = 0;
  packed = put(packed, GEOMETRY.PAGE_SHIFT, <u64>pageShift);
  packed = put(packed, GEOMETRY.START_SHIFT, <u64>(pageShift + (pageShift - 3) * (3 - level)));
  packed = put(packed, GEOMETRY.INPUT_BITS, <u64>inputBits);
  packed = put(packed, GEOMETRY.START_LEVEL, <u64>level);
  packed = put(packed, GEOMETRY.LARGEST_BLOCK, <u64>largestBlock);
  packed = put(packed, GEOMETRY.LONG, long ? 1 : 0);
  return <u32>packed;
}
