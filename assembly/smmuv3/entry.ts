/** What the TypeScript side calls: single, traced and batched walks. */
import { REQUEST, REQUEST_BYTES, RESULT_BYTES } from "../layout/core";
import { Traced } from "../modes";
import { GROUP } from "../warm";
import { walkExactly, walkFast } from "./walk";
import { warm } from "./warm";

/** Walks one request. Returns the event number, 0 = none; the rest is in `result`. */
export function smmuWalk(unit: usize, sid: u32, pasid: u32, low: u32, high: u32, flags: u32, result: usize): i32 {
  return walkFast(unit, sid, pasid, (<u64>high << 32) | low, flags, result);
}

/** The same, and leaves a trace in the unit's trace buffer. */
export function smmuWalkTraced(unit: usize, sid: u32, pasid: u32, low: u32, high: u32, flags: u32, result: usize): i32 {
  return walkExactly<Traced>(unit, sid, pasid, (<u64>high << 32) | low, flags, result);
}

/** Walks `count` REQUEST records into as many RESULT records, in their order; @returns how many had an event. */
export function smmuWalkMany(unit: usize, requests: usize, results: usize, count: u32): u32 {
  let events: u32 = 0;
  while (count) {
    const group = min<u32>(count, GROUP);
    warm(unit, requests, group);
    for (let i: u32 = 0; i < group; i++) {
      const code = walkFast(
        unit,
        load<u32>(requests, REQUEST.SID),
        load<u32>(requests, REQUEST.PASID),
        load<u64>(requests, REQUEST.ADDRESS),
        load<u32>(requests, REQUEST.FLAGS),
        results,
      );
      if (code) events++;
      requests += REQUEST_BYTES;
      results += RESULT_BYTES;
    }
    count -= group;
  }
  return events;
}
