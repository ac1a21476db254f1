/**
 * A cache of translations by request, in front of all other caches of a unit: a hit needs nothing but
 * the request.
 *
 * A lone request that hits is answered without WebAssembly, from the same entries and in the same way:
 * `src/walk/tlb.ts` is the twin of `look`.
 *
 * The first word of a key is the page's address, with log2 of its bytes where that is 0; the second is
 * who asks, and how. A value is a result's first part with, where its page's address is 0, the
 * accesses that it serves: so one word says whether it serves, and where it leads.
 */
import { mask } from "./bits";
import { compare, setOf } from "./caches";
import {
  CACHE, REQUESTER, REQUESTER_FLAGS_SHIFT, SECOND_WORD, SET_TAG_BYTES, TLB_VALUE_BYTES, WAYS,
} from "./layout/caches";
import { REQUEST_FLAG, RESULT, RESULT_FLAG } from "./layout/core";

/** What `look` says: answered; nothing is held; what is held does not serve this access. */
export const HIT: i32 = 1;
export const ABSENT: i32 = 0;
export const UNFIT: i32 = -1;

/** Bytes of a word of a tag. */
const WORD = 8;
/** How much bigger a set's values are than its tags. */
const SET_VALUES_RATIO = (WAYS * TLB_VALUE_BYTES) / SET_TAG_BYTES;

/** How a request is made, as far as an entry is for one way only. */
const KIND: u32 = REQUEST_FLAG.EXECUTE | REQUEST_FLAG.PRIVILEGED | REQUEST_FLAG.PASID;

/**
 * Second word of a key: which requests an entry serves.
 * @param ids source-id and PASID (StreamID and SubstreamID), as a request has them
 */
// @ts-ignore: decorator
@inline
export function requester(ids: u64, flags: u32): u64 {
  const who = flags & REQUEST_FLAG.PASID ? mask(REQUESTER.SID) | mask(REQUESTER.PASID) : mask(REQUESTER.SID);
  return mask(REQUESTER.VALID) | (ids & who) | (<u64>(flags & KIND) << REQUESTER_FLAGS_SHIFT);
}

/** First word of the key of the page around `address`. */
// @ts-ignore: decorator
@inline
export function pageKey(address: u64, shift: u64): u64 {
  return (address & ~((<u64>1 << shift) - 1)) | shift;
}

/**
 * Looks for a page of any size that has `address`; with HIT, `result` is written.
 * @param access REQUEST_FLAG.READ and WRITE as the request has them
 */
// @ts-ignore: decorator
@inline
export function look(tlb: usize, key: u64, address: u64, access: u32, result: usize): i32 {
  for (let shifts = load<u64>(tlb, CACHE.SHIFTS); shifts; shifts &= shifts - 1) {
    const shift = ctz(shifts);
    const page = pageKey(address, shift);
    const set = setOf(page, key, load<u32>(tlb, CACHE.HASH_SHIFT));
    const tags = <usize>load<u32>(tlb, CACHE.TAGS) + set;
    for (let hits = compare(tags, page); hits; hits &= hits - 1) {
      const way = ctz(hits);
      if (load<u64>(tags + way * WORD, SECOND_WORD) != key) continue;
      const value = <usize>load<u32>(tlb, CACHE.VALUES) + set * SET_VALUES_RATIO + way * TLB_VALUE_BYTES;
      const output = load<u64>(value, RESULT.ADDRESS);
      if (access & ~<u32>output) return UNFIT;
      const within = (<u64>1 << shift) - 1;
      store<u64>(result, load<u64>(value));
      store<u64>(result, output ^ ((output ^ address) & within), RESULT.ADDRESS);
      v128.store(result, v128.load(value, RESULT.PAGE_SHIFT), RESULT.PAGE_SHIFT);
      return HIT;
    }
  }
  return ABSENT;
}

/** Holds the translation in `result`, as entry `index`, which has the key of a page of 2^shift bytes. */
// @ts-ignore: decorator
@inline
export function hold(tlb: usize, index: i32, shift: u64, serves: u32, result: usize): void {
  const shifts = load<u64>(tlb, CACHE.SHIFTS);
  const all = shifts | (<u64>1 << shift);
  // To store it always would make the next look wait for the end of this walk.
  if (all != shifts) store<u64>(tlb, all, CACHE.SHIFTS);
  const value = <usize>load<u32>(tlb, CACHE.VALUES) + index * TLB_VALUE_BYTES;
  // Word by word, as they were just written: a vector would wait for two of them to reach the cache.
  const updated = <u64>RESULT_FLAG.UPDATED << ((RESULT.FLAGS - RESULT.CODE) * 8);
  const within = (<u64>1 << shift) - 1;
  store<u64>(value, load<u64>(result) & ~updated);
  store<u64>(value, (load<u64>(result, RESULT.ADDRESS) & ~within) | serves, RESULT.ADDRESS);
  store<u64>(value, load<u64>(result, RESULT.PAGE_SHIFT), RESULT.PAGE_SHIFT);
  store<u64>(value, load<u64>(result, RESULT.PASID), RESULT.PASID);
}
