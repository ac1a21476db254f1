/** Kinds of requests that need decisions before, or instead of, a page walk. */
import { REQUEST_FLAG } from "../layout/core";
import { marks } from "../modes";

/** `Fast` leaves them to `Exact`. */
export const UNCOMMON: u32 = REQUEST_FLAG.TRANSLATION | REQUEST_FLAG.TRANSLATED | REQUEST_FLAG.PAGE_REQUEST |
  REQUEST_FLAG.EXECUTE;

/** Which of them the request is; known to be none in a `Fast` walk, so that nothing asks there. */
// @ts-ignore: decorator
@inline
export function uncommon<T>(flags: u32): u32 {
  return marks<T>() ? flags & UNCOMMON : 0;
}
