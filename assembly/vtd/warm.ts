/**
 * The warming pass of a batch: reads the entries that a group of scalable-mode walks will read, level
 * by level in lock step, and concludes nothing.
 *
 * It follows pointers without looking whether they may be followed: an address outside the two big
 * segments reads as zeros, and whatever comes of a wrong turn is thrown away. The walker does the
 * walking afterwards.
 */
import { get, has, mask, word } from "../bits";
import { touch } from "../lanes";
import { LANE, LANE_BYTES, REQUEST, REQUEST_BYTES, REQUEST_FLAG } from "../layout/core";
import {
  AW_BASE_LEVELS, FSPM_BASE_LEVELS, FSPTE, LEVEL_BITS, PAGE_SHIFT, PASID, PASIDDIR, PASIDDIR_BYTES, PASID_BYTES,
  PASID_INDEX, PGTT, PTE_SHIFT, ROOT_BYTES, SCONTEXT, SCONTEXT_BYTES, SOURCE_ID, SROOT, SSPTE, TABLE_OFFSET,
} from "../layout/vtd";
import { LEVELS, VTD, VTD_LANE } from "../layout/vtd-unit";
import { fetchLinear } from "../memory";
import { FEWEST, looksCold, looksWarm, wasWalked } from "../warm";

/** Bytes of one half of a scalable root entry. */
const HALF = 8;

/** Warms what `count` requests need, those that were not walked lately. */
export function warm(unit: usize, requests: usize, count: u32): void {
  if (looksWarm(unit + VTD.RECENT, requests, count)) return;
  let end = unit + VTD.LANES;
  for (let i: u32 = 0; i < count; i++) {
    const request = requests + i * REQUEST_BYTES;
    if (!wasWalked(unit + VTD.RECENT, request)) end = start(unit, end, request);
  }
  warmLanes(unit + VTD.LANES, end);
}

/**
 * Warms what the requests from `first` on need, if most of a sample of the group were not walked lately.
 * `first` is the first of the group that the IOTLB did not answer: perhaps it answers all that follow.
 */
export function warmIfCold(unit: usize, group: usize, first: usize, end: usize): void {
  if (!looksCold(unit + VTD.RECENT, group, end)) return;
  // Not `warm`: it would remember them all, and the next sample be lost among them.
  let lane = unit + VTD.LANES;
  for (let request = first; request < end; request += REQUEST_BYTES) lane = start(unit, lane, request);
  warmLanes(unit + VTD.LANES, lane);
}

/** Puts a lane at its root entry. @returns where the next lane is */
// @ts-ignore: decorator
@inline
function start(unit: usize, lane: usize, request: usize): usize {
  const sid = load<u32>(request, REQUEST.SID);
  const half = get(sid, SOURCE_ID.BUS) * ROOT_BYTES + get(sid, SOURCE_ID.UPPER_HALF) * HALF;
  store<u64>(lane, load<u64>(unit, VTD.ROOT_TABLE) + half, LANE.AT);
  store<u64>(lane, load<u64>(request, REQUEST.ADDRESS), LANE.INPUT);
  store<u32>(lane, <u32>request, LANE.REQUEST);
  return lane + LANE_BYTES;
}

/** Warms what the requests of the lanes up to `end` need. */
function warmLanes(lanes: usize, end: usize): void {
  if (end - lanes < <usize>FEWEST * LANE_BYTES) return;
  toPasidEntries(lanes, end);
  touch(lanes, end);
  const nested = openEntries(lanes, end);
  for (let level = LEVELS - 1; level > 0; level--) {
    if (nested) throughSecondStage(lanes, end, level);
    touch(lanes, end);
    if (nested || level > 1) toNextLevel(lanes, end, level);
  }
  // The page itself is the device's, but its address goes through the second stage.
  if (nested) throughSecondStage(lanes, end, 0);
}

/** From the source-ids to the PASID entries. */
function toPasidEntries(lanes: usize, end: usize): void {
  touch(lanes, end);
  for (let lane = lanes; lane < end; lane += LANE_BYTES) {
    const sid = load<u32>(load<u32>(lane, LANE.REQUEST), REQUEST.SID);
    const contexts = load<u64>(lane, LANE.ENTRY) & mask(SROOT.LCTP);
    store<u64>(lane, contexts + get(sid, SOURCE_ID.HALF_DEVFN) * SCONTEXT_BYTES, LANE.AT);
  }
  touch(lanes, end);
  for (let lane = lanes; lane < end; lane += LANE_BYTES) {
    const pasid = pasidOf(lane);
    const directory = load<u64>(lane, LANE.ENTRY) & mask(SCONTEXT.PASIDDIRPTR);
    store<u64>(lane, directory + get(pasid, PASID_INDEX.DIRECTORY) * PASIDDIR_BYTES, LANE.AT);
    store<u64>(lane, get(pasid, PASID_INDEX.TABLE) * PASID_BYTES, LANE.IPA);
  }
  touch(lanes, end);
  for (let lane = lanes; lane < end; lane += LANE_BYTES) {
    const table = load<u64>(lane, LANE.ENTRY) & mask(PASIDDIR.SMPTBLPTR);
    store<u64>(lane, table + load<u64>(lane, LANE.IPA), LANE.AT);
  }
}

/** PASID of the request of a lane that is at its context entry. */
// @ts-ignore: decorator
@inline
function pasidOf(lane: usize): u64 {
  const request = load<u32>(lane, LANE.REQUEST);
  if (load<u32>(request, REQUEST.FLAGS) & REQUEST_FLAG.PASID) return load<u32>(request, REQUEST.PASID);
  return get(word(fetchLinear(load<u64>(lane, LANE.AT)), SCONTEXT.RID_PASID), SCONTEXT.RID_PASID);
}

/** Puts the lanes at the top of their page tables. @returns whether any of them is nested */
function openEntries(lanes: usize, end: usize): bool {
  let nested = false;
  for (let lane = lanes; lane < end; lane += LANE_BYTES) {
    const control = load<u64>(lane, LANE.ENTRY);
    const first = word(fetchLinear(load<u64>(lane, LANE.AT)), PASID.FSPTPTR);
    const pgtt = <i32>get(control, PASID.PGTT);
    const secondLevels: u32 = AW_BASE_LEVELS + <u32>get(control, PASID.AW);
    const alone = pgtt == PGTT.SECOND_STAGE;
    const levels: u32 = alone ? secondLevels : FSPM_BASE_LEVELS + <u32>get(first, PASID.FSPM);
    const table = alone ? control & mask(PASID.SSPTPTR) : first & mask(PASID.FSPTPTR);
    const isTable = pgtt >= PGTT.FIRST_STAGE && pgtt <= PGTT.NESTED;
    store<u32>(lane, isTable ? levels : 0, VTD_LANE.LEVEL);
    goTo(lane, nextEntry(table, load<u64>(lane, LANE.INPUT), levels));
    store<u32>(lane, pgtt == PGTT.NESTED ? secondLevels : 0, VTD_LANE.SECOND_LEVELS);
    store<u64>(lane, control & mask(PASID.SSPTPTR), VTD_LANE.SECOND_ROOT);
    if (pgtt == PGTT.NESTED) nested = true;
  }
  return nested;
}

/** What a lane reads next is at `address`, which for a nested one is to be translated first. */
// @ts-ignore: decorator
@inline
function goTo(lane: usize, address: u64): void {
  store<u64>(lane, address, LANE.AT);
  store<u64>(lane, address, LANE.IPA);
}

/** Takes lanes that have read their entry of `level` on to the next one, or to the page. */
function toNextLevel(lanes: usize, end: usize, level: u32): void {
  for (let lane = lanes; lane < end; lane += LANE_BYTES) {
    if (load<u32>(lane, VTD_LANE.LEVEL) != level) continue;
    const entry = load<u64>(lane, LANE.ENTRY);
    const input = load<u64>(lane, LANE.INPUT);
    if (level == 1 || has(entry, FSPTE.PS)) {
      store<u64>(lane, pageAddress(entry, input, level), LANE.IPA);
      store<u32>(lane, 0, VTD_LANE.LEVEL);
      continue;
    }
    goTo(lane, nextEntry(entry, input, level - 1));
    store<u32>(lane, level - 1, VTD_LANE.LEVEL);
  }
}

/** Takes the nested ones of the lanes at `level` through the second stage: LANE.AT becomes a host address. */
function throughSecondStage(lanes: usize, end: usize, level: u32): void {
  for (let lane = lanes; lane < end; lane += LANE_BYTES) {
    const levels = load<u32>(lane, VTD_LANE.LEVEL) == level ? load<u32>(lane, VTD_LANE.SECOND_LEVELS) : 0;
    store<u32>(lane, levels, VTD_LANE.SECOND_LEVEL);
    if (!levels) continue;
    store<u64>(lane, nextEntry(load<u64>(lane, VTD_LANE.SECOND_ROOT), load<u64>(lane, LANE.IPA), levels), LANE.AT);
  }
  for (let second: u32 = LEVELS - 1; second > 0; second--) {
    touch(lanes, end);
    for (let lane = lanes; lane < end; lane += LANE_BYTES) {
      if (load<u32>(lane, VTD_LANE.SECOND_LEVEL) != second) continue;
      const entry = load<u64>(lane, LANE.ENTRY);
      const address = load<u64>(lane, LANE.IPA);
      const last = second == 1 || has(entry, SSPTE.PS);
      store<u64>(lane, last ? pageAddress(entry, address, second) : nextEntry(entry, address, second - 1), LANE.AT);
      store<u32>(lane, last ? 0 : second - 1, VTD_LANE.SECOND_LEVEL);
    }
  }
}

/** Address of the entry for `address` on `level` of the table that `entry` links. */
// @ts-ignore: decorator
@inline
function nextEntry(entry: u64, address: u64, level: u32): u64 {
  const shift = <u64>(PAGE_SHIFT - PTE_SHIFT - LEVEL_BITS) + LEVEL_BITS * <u64>level;
  return (entry & mask(FSPTE.ADDR)) + ((address >> shift) & mask(TABLE_OFFSET.ENTRY));
}

/** What `address` becomes by a leaf of `level`. */
// @ts-ignore: decorator
@inline
function pageAddress(leaf: u64, address: u64, level: u32): u64 {
  const shift = <u64>(PAGE_SHIFT - LEVEL_BITS) + LEVEL_BITS * <u64>level;
  const within = (<u64>1 << shift) - 1;
  return (leaf & mask(FSPTE.ADDR) & ~within) | (address & within);
}
