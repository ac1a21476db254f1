/**
 * A lone request answered from the unit's cache of translations by request, on this side of the
 * boundary: a hit costs less than the call into WebAssembly would.
 *
 * The twin of `look` in `assembly/tlb.ts`. It reads the very entries that `look` reads, so nothing is
 * held twice and nothing more is to be invalidated; and it writes nothing but the caller's object.
 */
import {
  CACHE,
  MIX_ROTATION,
  REQUESTER,
  REQUESTER_FLAGS_SHIFT,
  SECOND_WORD,
  SET_TAG_BYTES,
  SPREAD_HIGH,
  SPREAD_LOW,
  SPREAD_MIXED,
  TLB_VALUE_BYTES,
  WAYS,
} from "../../assembly/layout/caches.ts";
import { REQUEST_FLAG, RESULT, UNIT } from "../../assembly/layout/core.ts";
import type { Core } from "../core/core.ts";
import { maskOf } from "../structure.ts";
import type { BareResult } from "./result.ts";

// V8 knows the numbers of this module when it compiles it; those of others it reads from memory each time.
const ACCESS = REQUEST_FLAG.READ | REQUEST_FLAG.WRITE;
const HAS_PASID: number = REQUEST_FLAG.PASID;
/** In the upper half of a key's second word: the PASID, and how the request is made, as far as entries differ. */
const PASID = Number(maskOf(REQUESTER.PASID) >> 32n);
const VALID = Number(maskOf(REQUESTER.VALID) >> 32n);
const KIND = REQUEST_FLAG.EXECUTE | REQUEST_FLAG.PRIVILEGED | REQUEST_FLAG.PASID;
const KIND_SHIFT = REQUESTER_FLAGS_SHIFT - 32;
/** Of `hash`. */
const ROTATION: number = MIX_ROTATION;
const LOW: number = SPREAD_LOW;
const MIXED: number = SPREAD_MIXED;
const HIGH: number = SPREAD_HIGH;
/** Units of 32 bits: a set's tags; from a tag's first word to its second; a value. */
const SET = SET_TAG_BYTES >> 2;
const SECOND = SECOND_WORD >> 2;
const VALUE = TLB_VALUE_BYTES >> 2;
const SET_VALUES_RATIO = (WAYS * VALUE) / SET;
/** The same, within a value. */
const FLAGS = RESULT.FLAGS >> 2;
const ADDRESS = RESULT.ADDRESS >> 2;
const SMALL = RESULT.PAGE_SHIFT >> 2;
const PERMISSIONS_SHIFT = 8 * (RESULT.PERMISSIONS - RESULT.PAGE_SHIFT);
const ATTRIBUTES_SHIFT = 8 * (RESULT.ATTRIBUTES - RESULT.PAGE_SHIFT);

export class Tlb {
  // Not #private: V8 needs more code to read such members, and inlines `look` only while that is short.
  private readonly u32: Uint32Array;
  /** Indices of 32-bit words: UNIT.WALKED, CACHE.SHIFTS, the first tag, the first value. */
  private readonly walked: number;
  private readonly shifts: number;
  private readonly tags: number;
  private readonly values: number;
  private readonly hashShift: number;

  /** @param cache an open cache of translations by request, that of the unit block at `unit` */
  constructor(core: Core, unit: number, cache: number) {
    const { u32 } = core;
    const header = (field: CACHE): number => u32[(cache + field) >>> 2] as number;
    this.u32 = u32;
    this.walked = (unit + UNIT.WALKED) >>> 2;
    this.shifts = (cache + CACHE.SHIFTS) >>> 2;
    this.tags = header(CACHE.TAGS) >>> 2;
    this.values = header(CACHE.VALUES) >>> 2;
    this.hashShift = header(CACHE.HASH_SHIFT) + 2;
  }

  /**
   * Whether an entry serves the request; then `into` says what its walk would say. The arguments are
   * those of `Walker.walkInto`. Pages of 4 GiB and more are left to Wasm.
   */
  look(sid: number, pasid: number, low: number, high: number, flags: number, into: BareResult): boolean {
    const { u32 } = this;
    const access = flags & ACCESS;
    if (access === 0 || (flags & (u32[this.walked] as number)) !== 0) return false;
    const who = requester(pasid, flags);
    for (let shifts = (u32[this.shifts] as number) | 0; shifts !== 0; shifts &= shifts - 1) {
      const within = below(shifts);
      const page = pageKey(low, within);
      const set = (hash(page, high, sid, who) >>> this.hashShift) & -SET;
      let tag = this.tags + set;
      let value = this.values + set * SET_VALUES_RATIO;
      for (const end = tag + SECOND; tag < end; tag += 2, value += VALUE) {
        if (((u32[tag] as number) | 0) !== page || ((u32[tag + SECOND + 1] as number) | 0) !== who) continue;
        if ((((u32[tag + 1] as number) ^ high) | ((u32[tag + SECOND] as number) ^ sid)) !== 0) continue;
        const output = u32[value + ADDRESS] as number;
        if ((access & ~output) !== 0) return false;
        const small = u32[value + SMALL] as number;
        into.code = 0;
        into.flags = u32[value + FLAGS] as number;
        into.addressLow = ((output & ~within) | (low & within)) >>> 0;
        into.addressHigh = u32[value + ADDRESS + 1] as number;
        into.pageShift = small & 0xff;
        into.permissions = (small >>> PERMISSIONS_SHIFT) & 0xff;
        into.attributes = small >>> ATTRIBUTES_SHIFT;
        return true;
      }
    }
    return false;
  }
}

/** Ones below the lowest bit that is set. */
function below(bits: number): number {
  return (bits & -bits) - 1;
}

/** Lower half of a key's first word. */
function pageKey(low: number, within: number): number {
  return (low & ~within) | (32 - Math.clz32(within));
}

/** Upper half of its second word. */
function requester(pasid: number, flags: number): number {
  return (flags & HAS_PASID ? pasid & PASID : 0) | ((flags & KIND) << KIND_SHIFT) | VALID;
}

/** `setOf` of `assembly/caches.ts`, before the shift. */
function hash(pageLow: number, pageHigh: number, sid: number, who: number): number {
  const mixed = sid ^ ((pageHigh << ROTATION) | (pageHigh >>> (32 - ROTATION)));
  return Math.imul(pageLow, LOW) ^ Math.imul(mixed, MIXED) ^ Math.imul(who, HIGH);
}
