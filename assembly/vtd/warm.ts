/**
 * The warming pass of a batch: reads the entries that a group of scalable-mode walks will read, level
 * by level in lock step, and concludes nothing.
 *
 * It follows pointers without looking whether they may be followed: an address outside the two big
 * segments reads as zeros, and whatever comes of a wrong turn is thrown away. The walker does the
 * walking afterwards.
 */
import { get, has, mask, word } from "../bits";
import { REQUEST, REQUEST_BYTES, REQUEST_FLAG } from "../layout/core";
import {
  AW_BASE_LEVELS, FSPM_BASE_LEVELS, FSPTE, LEVEL_BITS, PAGE_SHIFT, PASID, PASIDDIR, PASIDDIR_BYTES, PASID_BYTES,
  PASID_INDEX, PGTT, PTE_SHIFT, ROOT_BYTES, SCONTEXT, SCONTEXT_BYTES, SOURCE_ID, SROOT, SSPTE, TABLE_OFFSET,
} from "../layout/vtd";
import { LANE, LANE_BYTES, VTD } from "../layout/vtd-unit";
import { fetchLinear } from "../memory";
import { FEWEST, looksCold, looksWarm, wasWalked } from "../warm";

/** Bytes of one half of a scalable root entry. */
const HALF = 8;

/** Warms what `count` requests need, those that were not walked lately. */
export function warm(unit: usize, requests: usize, count: u32): void {
  if (looksWarm(unit + VTD.RECENT, requests, count)) return;
  const lanes = unit + VTD.LANES;
  let n: u32 = 0;
  for (let i: u32 = 0; i < count; i++) {
    const request = requests + i * REQUEST_BYTES;
    if (wasWalked(unit + VTD.RECENT, request)) continue;
    store<u32>(lanes + n * LANE_BYTES, <u32>request, LANE.REQUEST);
    n++;
  }
  warmLanes(unit, lanes, n);
}

/** Warms what the requests of the first `n` lanes need. */
function warmLanes(unit: usize, lanes: usize, n: u32): void {
  if (n < FEWEST) return;
  const end = lanes + n * LANE_BYTES;
  toPasidEntries(unit, lanes, end);
  if (openEntries(lanes, end)) {
    warmNested(lanes, end);
    return;
  }
  let open = true;
  while (open) {
    open = false;
    for (let lane = lanes; lane < end; lane += LANE_BYTES) {
      const levels = load<u32>(lane, LANE.LEVELS);
      if (!levels) continue;
      const entry = load<u64>(fetchLinear(load<u64>(lane, LANE.AT)));
      store<u32>(lane, levels - 1, LANE.LEVELS);
      store<u64>(lane, nextEntry(entry, load<u64>(lane, LANE.ADDRESS), levels - 1), LANE.AT);
      open = true;
    }
  }
}

/**
 * Warms what the requests from `first` on need, if most of a sample of the group were not walked lately.
 * `first` is the first of the group that the IOTLB did not answer: perhaps it answers all that follow.
 */
export function warmIfCold(unit: usize, group: usize, first: usize, end: usize): void {
  if (!looksCold(unit + VTD.RECENT, group, end)) return;
  // Not `warm`: it would remember them all, and the next sample be lost among them.
  let n: u32 = 0;
  for (let request = first; request < end; request += REQUEST_BYTES, n++) {
    store<u32>(unit + VTD.LANES + n * LANE_BYTES, <u32>request, LANE.REQUEST);
  }
  warmLanes(unit, unit + VTD.LANES, n);
}

/** From the source-ids to the PASID entries: LANE.AT becomes their addresses. */
function toPasidEntries(unit: usize, lanes: usize, end: usize): void {
  const rootTable = load<u64>(unit, VTD.ROOT_TABLE);
  for (let lane = lanes; lane < end; lane += LANE_BYTES) {
    const sid = load<u32>(load<u32>(lane, LANE.REQUEST), REQUEST.SID);
    const at = rootTable + get(sid, SOURCE_ID.BUS) * ROOT_BYTES + get(sid, SOURCE_ID.UPPER_HALF) * HALF;
    const root = load<u64>(fetchLinear(at));
    store<u64>(lane, (root & mask(SROOT.LCTP)) + get(sid, SOURCE_ID.HALF_DEVFN) * SCONTEXT_BYTES, LANE.AT);
  }
  for (let lane = lanes; lane < end; lane += LANE_BYTES) {
    const request: usize = load<u32>(lane, LANE.REQUEST);
    const context = fetchLinear(load<u64>(lane, LANE.AT));
    const hasPasid = (load<u32>(request, REQUEST.FLAGS) & REQUEST_FLAG.PASID) != 0;
    const rid = get(word(context, SCONTEXT.RID_PASID), SCONTEXT.RID_PASID);
    const pasid = hasPasid ? <u64>load<u32>(request, REQUEST.PASID) : rid;
    const directory = load<u64>(context) & mask(SCONTEXT.PASIDDIRPTR);
    store<u64>(lane, directory + get(pasid, PASID_INDEX.DIRECTORY) * PASIDDIR_BYTES, LANE.AT);
    store<u64>(lane, get(pasid, PASID_INDEX.TABLE) * PASID_BYTES, LANE.ADDRESS);
  }
  for (let lane = lanes; lane < end; lane += LANE_BYTES) {
    const directory = load<u64>(fetchLinear(load<u64>(lane, LANE.AT)));
    store<u64>(lane, (directory & mask(PASIDDIR.SMPTBLPTR)) + load<u64>(lane, LANE.ADDRESS), LANE.AT);
  }
}

/** Sets the lanes at the top of their page tables. @returns whether any of them is nested */
function openEntries(lanes: usize, end: usize): bool {
  let nested = false;
  for (let lane = lanes; lane < end; lane += LANE_BYTES) {
    const entry = fetchLinear(load<u64>(lane, LANE.AT));
    const control = load<u64>(entry);
    const first = word(entry, PASID.FSPTPTR);
    const address = load<u64>(load<u32>(lane, LANE.REQUEST), REQUEST.ADDRESS);
    const pgtt = <i32>get(control, PASID.PGTT);
    const secondLevels = AW_BASE_LEVELS + <u32>get(control, PASID.AW);
    const alone = pgtt == PGTT.SECOND_STAGE;
    const levels = alone ? secondLevels : FSPM_BASE_LEVELS + <u32>get(first, PASID.FSPM);
    const table = alone ? control & mask(PASID.SSPTPTR) : first & mask(PASID.FSPTPTR);
    store<u64>(lane, address, LANE.ADDRESS);
    store<u32>(lane, pgtt >= PGTT.FIRST_STAGE && pgtt <= PGTT.NESTED ? levels : 0, LANE.LEVELS);
    store<u64>(lane, nextEntry(table, address, levels), LANE.AT);
    store<u64>(lane, pgtt == PGTT.NESTED ? control & mask(PASID.SSPTPTR) : 0, LANE.SECOND_ROOT);
    store<u32>(lane, secondLevels, LANE.SECOND_LEVELS);
    if (pgtt == PGTT.NESTED) nested = true;
  }
  return nested;
}

/** Address of the entry for `address` on `level` of the table that `entry` links (level 0: of no use). */
// @ts-ignore: decorator
@inline
function nextEntry(entry: u64, address: u64, level: u32): u64 {
  const shift = <u64>(PAGE_SHIFT - PTE_SHIFT - LEVEL_BITS) + LEVEL_BITS * <u64>level;
  return (entry & mask(FSPTE.ADDR)) + ((address >> shift) & mask(TABLE_OFFSET.ENTRY));
}

/** First-stage levels, each found through the second stage; then the page itself. */
function warmNested(lanes: usize, end: usize): void {
  let open = true;
  while (open) {
    throughSecondStage(lanes, end);
    open = false;
    for (let lane = lanes; lane < end; lane += LANE_BYTES) {
      const levels = load<u32>(lane, LANE.LEVELS);
      if (!levels) {
        store<u64>(lane, 0, LANE.SECOND_ROOT);
        continue;
      }
      const entry = load<u64>(fetchLinear(load<u64>(lane, LANE.AT)));
      const last = levels == 1 || has(entry, FSPTE.PS);
      const address = load<u64>(lane, LANE.ADDRESS);
      const within = pageMask(levels);
      const page = (entry & mask(FSPTE.ADDR) & ~within) | (address & within);
      store<u64>(lane, last ? page : nextEntry(entry, address, levels - 1), LANE.AT);
      store<u32>(lane, last ? 0 : levels - 1, LANE.LEVELS);
      open = true;
    }
  }
}

/** Takes LANE.AT of nested lanes through the second stage, in lock step. */
function throughSecondStage(lanes: usize, end: usize): void {
  for (let lane = lanes; lane < end; lane += LANE_BYTES) {
    const root = load<u64>(lane, LANE.SECOND_ROOT);
    const levels = root ? load<u32>(lane, LANE.SECOND_LEVELS) : 0;
    store<u32>(lane, levels, LANE.SECOND_OPEN);
    store<u64>(lane, nextEntry(root, load<u64>(lane, LANE.AT), levels), LANE.SECOND_AT);
  }
  let open = true;
  while (open) {
    open = false;
    for (let lane = lanes; lane < end; lane += LANE_BYTES) {
      const levels = load<u32>(lane, LANE.SECOND_OPEN);
      if (!levels) continue;
      const entry = load<u64>(fetchLinear(load<u64>(lane, LANE.SECOND_AT)));
      const address = load<u64>(lane, LANE.AT);
      if (levels == 1 || has(entry, SSPTE.PS)) {
        const within = pageMask(levels);
        store<u64>(lane, (entry & mask(SSPTE.ADDR) & ~within) | (address & within), LANE.AT);
        store<u32>(lane, 0, LANE.SECOND_OPEN);
        continue;
      }
      store<u64>(lane, nextEntry(entry, address, levels - 1), LANE.SECOND_AT);
      store<u32>(lane, levels - 1, LANE.SECOND_OPEN);
      open = true;
    }
  }
}

/** Ones over the offset within a page of `level`. */
// @ts-ignore: decorator
@inline
function pageMask(level: u32): u64 {
  const shift = <u64>(PAGE_SHIFT - LEVEL_BITS) + LEVEL_BITS * <u64>level;
  return (<u64>1 << shift) - 1;
}
