/**
 * The lanes of a warming pass: the requests of a group, each waiting for one entry of its tables.
 *
 * A walk is a chain of loads, each of which waits for the one before. Lanes advance together, one
 * load each: `touch` starts all those loads, and what comes of them is worked out in another loop
 * afterwards. A processor has only so many instructions in flight, and a load that misses holds up
 * all that follow, so that the loop must be short for many misses to overlap.
 */
import { GUEST, LANE, LANE_BYTES } from "./layout/core";
import { linearIn } from "./memory";

/** Reads what each lane waits for: LANE.ENTRY becomes the word at LANE.AT, 0 outside the two big segments. */
export function touch(lanes: usize, end: usize): void {
  const base = load<u64>(GUEST.BASE0);
  const size = load<u64>(GUEST.SIZE0);
  const delta = load<u32>(GUEST.DELTA0);
  for (let lane = lanes; lane < end; lane += LANE_BYTES) {
    store<u64>(lane, load<u64>(linearIn(base, size, delta, load<u64>(lane, LANE.AT))), LANE.ENTRY);
  }
}
