/**
 * The warming pass of a batch: reads what a group of walks will read, from the stream table to the last
 * descriptor, all lanes together, and concludes nothing.
 *
 * Nothing is checked: a lane that goes astray reads zeros. The ordinary walk comes after, on warm lines,
 * and alone decides. Host-backed memory is not touched.
 */
import { below, get, has, mask, readInPlace, word } from "../bits";
import { touch } from "../lanes";
import { LANE, LANE_BYTES, REQUEST, REQUEST_BYTES, REQUEST_FLAG } from "../layout/core";
import { CD, CD_PART, CD_SIZE, CDS_PER_4K_LEAF_LOG2, CDS_PER_64K_LEAF_LOG2, CONFIG_BIT } from "../layout/smmuv3";
import { L1CD, L1CD_SIZE, L1STD, L1STD_SIZE, PTE, PTE_SIZE, S1FMT, STE, STE_SIZE, VA } from "../layout/smmuv3";
import { GEOMETRY, SMMU, SMMU_LANE, WAITS_FOR } from "../layout/smmuv3-unit";
import { fetchLinear } from "../memory";
import { FEWEST, looksCold, looksWarm, wasWalked } from "../warm";
import { stage2Index } from "./geometry";

/** Levels of tables, at most. */
const LEVELS: i32 = 4;

/** Warms what at most GROUP requests need, those that were not walked lately. */
export function warm(unit: usize, requests: usize, count: u32): void {
  if (looksWarm(unit + SMMU.RECENT, requests, count)) return;
  let lane = unit + SMMU.LANES;
  for (let i: u32 = 0; i < count; i++) {
    const request = requests + i * REQUEST_BYTES;
    if (!wasWalked(unit + SMMU.RECENT, request)) lane = start(unit, lane, request);
  }
  warmLanes(unit, unit + SMMU.LANES, lane);
}

/**
 * Warms what the requests from `first` on need, if most of a sample of the group were not walked lately.
 * `first` is the first of the group that the cache by request did not answer: perhaps it answers all that follow.
 */
export function warmIfCold(unit: usize, group: usize, first: usize, end: usize): void {
  if (!looksCold(unit + SMMU.RECENT, group, end)) return;
  // Not `warm`: it would remember them all, and the next sample be lost among them.
  let lane = unit + SMMU.LANES;
  for (let request = first; request < end; request += REQUEST_BYTES) lane = start(unit, lane, request);
  warmLanes(unit, unit + SMMU.LANES, lane);
}

/** Puts a lane at its L1STD, or at its STE in a linear table. @returns where the next lane is */
// @ts-ignore: decorator
@inline
function start(unit: usize, lane: usize, request: usize): usize {
  const split = load<u32>(unit, SMMU.SPLIT);
  const size: u64 = split ? L1STD_SIZE : STE_SIZE;
  const sid = load<u32>(request, REQUEST.SID);
  store<u64>(lane, load<u64>(unit, SMMU.STREAM_TABLE) + <u64>(sid >> split) * size, LANE.AT);
  store<u64>(lane, load<u64>(request, REQUEST.ADDRESS), LANE.INPUT);
  store<u32>(lane, <u32>request, LANE.REQUEST);
  return lane + LANE_BYTES;
}

/** Warms what the requests of the lanes up to `end` need. */
function warmLanes(unit: usize, lanes: usize, end: usize): void {
  if (end - lanes < <usize>FEWEST * LANE_BYTES) return;
  if (load<u32>(unit, SMMU.SPLIT)) passL1Stds(unit, lanes, end);
  const nested = passStes(unit, lanes, end);
  if (nested) throughStage2(lanes, end, WAITS_FOR.L1CD);
  passL1Cds(lanes, end);
  if (nested) throughStage2(lanes, end, WAITS_FOR.CD);
  passCds(unit, lanes, end);
  for (let i = 0; i < LEVELS; i++) {
    if (nested) throughStage2(lanes, end, WAITS_FOR.DESCRIPTOR);
    if (!passDescriptors(lanes, end)) break;
  }
  // The page itself is the device's, but its address goes through stage 2.
  if (nested) throughStage2(lanes, end, WAITS_FOR.PAGE);
}

/** A lane waits for what lies at `address`, which in a nested stream stage 2 has yet to translate. */
// @ts-ignore: decorator
@inline
function waitFor(lane: usize, what: u32, address: u64): void {
  store<u32>(lane, what, SMMU_LANE.WAITS_FOR);
  store<u64>(lane, address, LANE.AT);
  store<u64>(lane, address, LANE.IPA);
}

function passL1Stds(unit: usize, lanes: usize, end: usize): void {
  const inLeaf = below(load<u32>(unit, SMMU.SPLIT));
  touch(lanes, end);
  for (let lane = lanes; lane < end; lane += LANE_BYTES) {
    const index = <u64>load<u32>(load<u32>(lane, LANE.REQUEST), REQUEST.SID) & inLeaf;
    store<u64>(lane, (load<u64>(lane, LANE.ENTRY) & mask(L1STD.L2Ptr)) + index * STE_SIZE, LANE.AT);
  }
}

/** On to the L1CD, the CD, or to stage 2. @returns whether any stream has a stage 2 */
function passStes(unit: usize, lanes: usize, end: usize): bool {
  let nested = false;
  touch(lanes, end);
  for (let lane = lanes; lane < end; lane += LANE_BYTES) {
    const ste = fetchLinear(load<u64>(lane, LANE.AT));
    const word0 = load<u64>(lane, LANE.ENTRY);
    const config = <u32>get(word0, STE.Config);
    store<u32>(lane, 0, SMMU_LANE.SHAPE2);
    if (!(config & CONFIG_BIT.LIVE)) {
      store<u32>(lane, WAITS_FOR.NOTHING, SMMU_LANE.WAITS_FOR);
      continue;
    }
    if (config & CONFIG_BIT.STAGE2) {
      const shape = load<u32>(unit + stage2Index(word(ste, STE.S2TG)) * 4, SMMU.GEOMETRY2);
      store<u32>(lane, shape, SMMU_LANE.SHAPE2);
      store<u64>(lane, readInPlace(ste, STE.S2TTB), SMMU_LANE.TABLE2);
      nested = true;
    }
    if (config & CONFIG_BIT.STAGE1) toContext(lane, word0);
    else waitFor(lane, WAITS_FOR.PAGE, load<u64>(lane, LANE.INPUT));
  }
  return nested;
}

/** From word 0 of an STE on to the L1CD or the CD. */
// @ts-ignore: decorator
@inline
function toContext(lane: usize, word0: u64): void {
  const request = load<u32>(lane, LANE.REQUEST);
  const table = word0 & mask(STE.S1ContextPtr);
  const index: u64 = load<u32>(request, REQUEST.FLAGS) & REQUEST_FLAG.PASID ? load<u32>(request, REQUEST.PASID) : 0;
  const format = get(word0, STE.S1Fmt);
  if (!get(word0, STE.S1CDMax) || format == S1FMT.LINEAR) {
    waitFor(lane, WAITS_FOR.CD, table + index * CD_SIZE);
    return;
  }
  const leaf: u64 = format == S1FMT.TWO_LEVEL_4K ? CDS_PER_4K_LEAF_LOG2 : CDS_PER_64K_LEAF_LOG2;
  store<u8>(lane, <u8>leaf, SMMU_LANE.CD_LEAF);
  waitFor(lane, WAITS_FOR.L1CD, table + (index >> leaf) * L1CD_SIZE);
}

function passL1Cds(lanes: usize, end: usize): void {
  touch(lanes, end);
  for (let lane = lanes; lane < end; lane += LANE_BYTES) {
    if (load<u32>(lane, SMMU_LANE.WAITS_FOR) != WAITS_FOR.L1CD) continue;
    const request = load<u32>(lane, LANE.REQUEST);
    const index: u64 = load<u32>(request, REQUEST.FLAGS) & REQUEST_FLAG.PASID ? load<u32>(request, REQUEST.PASID) : 0;
    const inLeaf = index & below(load<u8>(lane, SMMU_LANE.CD_LEAF));
    waitFor(lane, WAITS_FOR.CD, (load<u64>(lane, LANE.ENTRY) & mask(L1CD.L2Ptr)) + inLeaf * CD_SIZE);
  }
}

function passCds(unit: usize, lanes: usize, end: usize): void {
  touch(lanes, end);
  for (let lane = lanes; lane < end; lane += LANE_BYTES) {
    if (load<u32>(lane, SMMU_LANE.WAITS_FOR) != WAITS_FOR.CD) continue;
    const cd = fetchLinear(load<u64>(lane, LANE.AT));
    const word0 = load<u64>(lane, LANE.ENTRY);
    const isHigh = has(load<u64>(lane, LANE.INPUT), VA.SELECT);
    const shape = isHigh
      ? load<u32>(unit + <usize>get(word0, CD_PART.TG1_T1SZ) * 4, SMMU.GEOMETRY1)
      : load<u32>(unit + <usize>get(word0, CD_PART.TG0_T0SZ) * 4, SMMU.GEOMETRY0);
    if (!shape || !has(word0, CD.V)) {
      store<u32>(lane, WAITS_FOR.NOTHING, SMMU_LANE.WAITS_FOR);
      continue;
    }
    store<u32>(lane, shape, SMMU_LANE.SHAPE);
    store<u8>(lane, <u8>get(shape, GEOMETRY.START_SHIFT), SMMU_LANE.SHIFT);
    const table = isHigh ? readInPlace(cd, CD.TTB1) : readInPlace(cd, CD.TTB0);
    waitFor(lane, WAITS_FOR.DESCRIPTOR, startEntry(table, shape, load<u64>(lane, LANE.INPUT)));
  }
}

/** One descriptor further, each lane; @returns whether any waits for another */
function passDescriptors(lanes: usize, end: usize): bool {
  let open = false;
  touch(lanes, end);
  for (let lane = lanes; lane < end; lane += LANE_BYTES) {
    if (load<u32>(lane, SMMU_LANE.WAITS_FOR) != WAITS_FOR.DESCRIPTOR) continue;
    const entry = load<u64>(lane, LANE.ENTRY);
    const input = load<u64>(lane, LANE.INPUT);
    const pageShift = get(load<u32>(lane, SMMU_LANE.SHAPE), GEOMETRY.PAGE_SHIFT);
    const shift = <u64>load<u8>(lane, SMMU_LANE.SHIFT);
    if (isTable(entry, shift, pageShift)) {
      const next = shift - tableBits(pageShift);
      store<u8>(lane, <u8>next, SMMU_LANE.SHIFT);
      waitFor(lane, WAITS_FOR.DESCRIPTOR, nextEntry(entry, pageShift, next, input));
      open = true;
    } else {
      // LANE.AT stays: without a stage 2 the page is not touched.
      store<u32>(lane, has(entry, PTE.VALID) ? WAITS_FOR.PAGE : WAITS_FOR.NOTHING, SMMU_LANE.WAITS_FOR);
      store<u64>(lane, pageAddress(entry, shift, input), LANE.IPA);
    }
  }
  return open;
}

/** Takes the lanes that wait for `what` and have a stage 2 through that: LANE.AT becomes a physical address. */
function throughStage2(lanes: usize, end: usize, what: u32): void {
  for (let lane = lanes; lane < end; lane += LANE_BYTES) {
    const shape = load<u32>(lane, SMMU_LANE.WAITS_FOR) == what ? load<u32>(lane, SMMU_LANE.SHAPE2) : 0;
    store<u8>(lane, <u8>get(shape, GEOMETRY.START_SHIFT), SMMU_LANE.SHIFT2);
    if (!shape) continue;
    store<u64>(lane, startEntry(load<u64>(lane, SMMU_LANE.TABLE2), shape, load<u64>(lane, LANE.IPA)), LANE.AT);
  }
  for (let i = 0; i < LEVELS; i++) {
    if (!passStage2Descriptors(lanes, end)) return;
  }
}

/** One descriptor of stage 2 further; @returns whether any lane waits for another */
function passStage2Descriptors(lanes: usize, end: usize): bool {
  let open = false;
  touch(lanes, end);
  for (let lane = lanes; lane < end; lane += LANE_BYTES) {
    const shift = <u64>load<u8>(lane, SMMU_LANE.SHIFT2);
    if (!shift) continue;
    const entry = load<u64>(lane, LANE.ENTRY);
    const ipa = load<u64>(lane, LANE.IPA);
    const pageShift = get(load<u32>(lane, SMMU_LANE.SHAPE2), GEOMETRY.PAGE_SHIFT);
    if (isTable(entry, shift, pageShift)) {
      const next = shift - tableBits(pageShift);
      store<u8>(lane, <u8>next, SMMU_LANE.SHIFT2);
      store<u64>(lane, nextEntry(entry, pageShift, next, ipa), LANE.AT);
      open = true;
    } else {
      store<u8>(lane, 0, SMMU_LANE.SHIFT2);
      store<u64>(lane, pageAddress(entry, shift, ipa), LANE.AT);
    }
  }
  return open;
}

// @ts-ignore: decorator
@inline
function isTable(entry: u64, shift: u64, pageShift: u64): bool {
  return has(entry, PTE.VALID) && has(entry, PTE.TYPE) && shift > pageShift;
}

/** Address bits that the index of a whole table takes. */
// @ts-ignore: decorator
@inline
function tableBits(pageShift: u64): u64 {
  return pageShift - 3;
}

/** Address of the first descriptor that `address` is looked up by. */
// @ts-ignore: decorator
@inline
function startEntry(table: u64, shape: u64, address: u64): u64 {
  const shift = get(shape, GEOMETRY.START_SHIFT);
  const indexBits = get(shape, GEOMETRY.INPUT_BITS) - shift;
  return table + ((address >> shift) & ((<u64>1 << indexBits) - 1)) * PTE_SIZE;
}

/** Address of the descriptor in the table that `entry` links. */
// @ts-ignore: decorator
@inline
function nextEntry(entry: u64, pageShift: u64, shift: u64, address: u64): u64 {
  const index = (address >> shift) & ((<u64>1 << tableBits(pageShift)) - 1);
  return (entry & mask(PTE.ADDRESS) & ~((<u64>1 << pageShift) - 1)) + index * PTE_SIZE;
}

/** What `address` becomes by a block or page of 2^shift bytes. */
// @ts-ignore: decorator
@inline
function pageAddress(leaf: u64, shift: u64, address: u64): u64 {
  const within = (<u64>1 << shift) - 1;
  return (leaf & mask(PTE.ADDRESS) & ~within) | (address & within);
}
