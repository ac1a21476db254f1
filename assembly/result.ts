/** The result block that every walk fills in; the offsets are RESULT of `layout/core.ts`. */
import { RESULT } from "./layout/core";

/** Writes the part that every walk writes, in four words. */
// @ts-ignore: decorator
@inline
export function finish(
  result: usize,
  flags: u32,
  address: u64,
  pageShift: u64,
  permissions: u64,
  attributes: u64,
  tags: u64,
  pasid: u64,
  extra: u64,
): void {
  store<u64>(result, <u64>flags << ((RESULT.FLAGS - RESULT.CODE) * 8), RESULT.CODE);
  store<u64>(result, address, RESULT.ADDRESS);
  store<u64>(
    result,
    pageShift |
      (permissions << ((RESULT.PERMISSIONS - RESULT.PAGE_SHIFT) * 8)) |
      (attributes << ((RESULT.ATTRIBUTES - RESULT.PAGE_SHIFT) * 8)) |
      (tags << ((RESULT.TAGS - RESULT.PAGE_SHIFT) * 8)),
    RESULT.PAGE_SHIFT,
  );
  store<u64>(result, pasid | (extra << ((RESULT.EXTRA - RESULT.PASID) * 8)), RESULT.PASID);
}
