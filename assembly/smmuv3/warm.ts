/**
 * Lets cache misses of a batch overlap.
 *
 * A walk is a chain of loads, each waiting for the one before. Here a group of requests advances one
 * load at a time, all lanes together, so that the processor waits for many lines at once. Nothing is
 * checked or concluded: a lane that goes astray reads zeros. The ordinary walk comes after, on warm
 * lines, and alone decides. Nested streams end at the STE, host-backed memory is not touched.
 */
import { below, get, has, mask, readInPlace, word } from "../bits";
import { REQUEST, REQUEST_BYTES, REQUEST_FLAG } from "../layout/core";
import { CD, CD_PART, CD_SIZE, CDS_PER_4K_LEAF_LOG2, CDS_PER_64K_LEAF_LOG2, CONFIG } from "../layout/smmuv3";
import { L1CD, L1CD_SIZE, L1STD, L1STD_SIZE, PTE, PTE_SIZE, S1FMT, STE, STE_SIZE, VA } from "../layout/smmuv3";
import { GEOMETRY, LANE, LANE_BYTES, SMMU } from "../layout/smmuv3-unit";
import { fetchLinear } from "../memory";
import { FEWEST, looksCold, looksWarm, wasWalked } from "../warm";
import { stage2Index } from "./geometry";

/** What no memory holds: a lane that ended reads zeros there. */
const NOWHERE: u64 = -1;
const LEVELS: i32 = 4;

/** Warms what at most GROUP requests need, those that were not walked lately. */
export function warm(unit: usize, requests: usize, count: u32): void {
  if (looksWarm(unit + SMMU.RECENT, requests, count)) return;
  let lane = unit + SMMU.LANES;
  for (let i: u32 = 0; i < count; i++) {
    const request = requests + i * REQUEST_BYTES;
    if (!wasWalked(unit + SMMU.RECENT, request)) lane = start(unit, lane, request);
  }
  warmLanes(unit, lane);
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
  warmLanes(unit, lane);
}

/** Warms what the requests of the lanes up to `end` need. */
function warmLanes(unit: usize, end: usize): void {
  if (end - (unit + SMMU.LANES) < <usize>FEWEST * LANE_BYTES) return;
  if (load<u32>(unit, SMMU.SPLIT)) passL1Std(unit, end);
  passSte(unit, end);
  passL1Cd(unit, end);
  passCd(unit, end);
  let seen: u64 = 0;
  for (let i = 0; i < LEVELS; i++) seen ^= descend(unit, end);
  store<u64>(unit, seen, SMMU.SINK);
}

/** Puts a lane at its L1STD, or at its STE in a linear table. Returns where the next lane is. */
// @ts-ignore: decorator
@inline
function start(unit: usize, lane: usize, request: usize): usize {
  const split = load<u32>(unit, SMMU.SPLIT);
  const size: u64 = split ? L1STD_SIZE : STE_SIZE;
  const sid = load<u32>(request, REQUEST.SID);
  store<u64>(lane, load<u64>(request, REQUEST.ADDRESS), LANE.INPUT);
  store<u64>(lane, load<u64>(unit, SMMU.STREAM_TABLE) + <u64>(sid >> split) * size, LANE.AT);
  store<u32>(lane, <u32>request, LANE.REQUEST);
  return lane + LANE_BYTES;
}

function passL1Std(unit: usize, end: usize): void {
  const inLeaf = below(load<u32>(unit, SMMU.SPLIT));
  for (let lane = unit + SMMU.LANES; lane < end; lane += LANE_BYTES) {
    const table = load<u64>(fetchLinear(load<u64>(lane, LANE.AT))) & mask(L1STD.L2Ptr);
    store<u64>(lane, table + (<u64>load<u32>(load<u32>(lane, LANE.REQUEST), REQUEST.SID) & inLeaf) * STE_SIZE, LANE.AT);
  }
}

/** On to the L1CD (SHIFT: log2 of the leaf), the CD, or with stage 2 only to the first descriptor. */
function passSte(unit: usize, end: usize): void {
  for (let lane = unit + SMMU.LANES; lane < end; lane += LANE_BYTES) {
    const ste = fetchLinear(load<u64>(lane, LANE.AT));
    const word0 = word(ste, STE.V);
    const config = get(word0, STE.Config);
    let at = NOWHERE;
    let leaf: u64 = 0;
    store<u64>(lane, 0, LANE.SHAPE);
    if (config == CONFIG.STAGE1) {
      const format = get(word0, STE.S1Fmt);
      const isWide = get(word0, STE.S1CDMax) != 0;
      const request = load<u32>(lane, LANE.REQUEST);
      const index = load<u32>(request, REQUEST.FLAGS) & REQUEST_FLAG.PASID ? load<u32>(request, REQUEST.PASID) : 0;
      if (isWide && format == S1FMT.TWO_LEVEL_4K) leaf = CDS_PER_4K_LEAF_LOG2;
      if (isWide && format == S1FMT.TWO_LEVEL_64K) leaf = CDS_PER_64K_LEAF_LOG2;
      const offset = leaf ? (<u64>index >> leaf) * L1CD_SIZE : <u64>index * CD_SIZE;
      at = (word0 & mask(STE.S1ContextPtr)) + offset;
    } else if (config == CONFIG.STAGE2) {
      const shape = load<u32>(unit + stage2Index(word(ste, STE.S2TG)) * 4, SMMU.GEOMETRY2);
      enter(lane, shape, readInPlace(ste, STE.S2TTB));
        continue;
    }
    store<u64>(lane, at, LANE.AT);
    store<u32>(lane, <u32>leaf, LANE.SHIFT);
  }
}

function passL1Cd(unit: usize, end: usize): void {
  for (let lane = unit + SMMU.LANES; lane < end; lane += LANE_BYTES) {
    const leaf = <u64>load<u32>(lane, LANE.SHIFT);
    if (leaf && !load<u64>(lane, LANE.SHAPE)) {
      const table = load<u64>(fetchLinear(load<u64>(lane, LANE.AT))) & mask(L1CD.L2Ptr);
      const index = <u64>load<u32>(load<u32>(lane, LANE.REQUEST), REQUEST.PASID) & ((<u64>1 << leaf) - 1);
      store<u64>(lane, table + index * CD_SIZE, LANE.AT);
    }
  }
}

function passCd(unit: usize, end: usize): void {
  for (let lane = unit + SMMU.LANES; lane < end; lane += LANE_BYTES) {
    if (load<u64>(lane, LANE.SHAPE)) continue;
    const cd = fetchLinear(load<u64>(lane, LANE.AT));
    const word0 = word(cd, CD.V);
    const isHigh = has(load<u64>(lane, LANE.INPUT), VA.SELECT);
    const shape = isHigh
      ? load<u32>(unit + <usize>get(word0, CD_PART.TG1_T1SZ) * 4, SMMU.GEOMETRY1)
      : load<u32>(unit + <usize>get(word0, CD_PART.TG0_T0SZ) * 4, SMMU.GEOMETRY0);
    enter(lane, has(word0, CD.V) ? shape : 0, isHigh ? readInPlace(cd, CD.TTB1) : readInPlace(cd, CD.TTB0));
  }
}

/** Puts a lane before the first descriptor of `table`. */
// @ts-ignore: decorator
@inline
function enter(lane: usize, packed: u32, table: u64): void {
  const shape = <u64>packed;
  const shift = get(shape, GEOMETRY.START_SHIFT);
  const indexBits = get(shape, GEOMETRY.INPUT_BITS) - shift;
  const index = (load<u64>(lane, LANE.INPUT) >> shift) & ((<u64>1 << indexBits) - 1);
  store<u64>(lane, shape, LANE.SHAPE);
  store<u32>(lane, <u32>shift, LANE.SHIFT);
  store<u64>(lane, table + index * PTE_SIZE, LANE.AT);
}

/** One descriptor further, each lane; hands back something of all that was read. */
function descend(unit: usize, end: usize): u64 {
  let seen: u64 = 0;
  for (let lane = unit + SMMU.LANES; lane < end; lane += LANE_BYTES) {
    const shape = load<u64>(lane, LANE.SHAPE);
    const entry = load<u64>(fetchLinear(load<u64>(lane, LANE.AT)));
    const pageShift = get(shape, GEOMETRY.PAGE_SHIFT);
    const levelBits = pageShift - 3;
    const shift = <u64>load<u32>(lane, LANE.SHIFT);
    seen ^= entry;
    if (!has(entry, PTE.VALID) || !has(entry, PTE.TYPE) || shift <= pageShift) {
      store<u64>(lane, NOWHERE, LANE.AT);
      continue;
    }
    const next = shift - levelBits;
    const index = (load<u64>(lane, LANE.INPUT) >> next) & ((<u64>1 << levelBits) - 1);
    const table = entry & mask(PTE.ADDRESS) & ~((<u64>1 << pageShift) - 1);
    store<u32>(lane, <u32>next, LANE.SHIFT);
    store<u64>(lane, table + index * PTE_SIZE, LANE.AT);
  }
  return seen;
}
