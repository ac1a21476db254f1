/** Which context descriptor a transaction uses, if any. IHI 0070 3.3.2 "StreamIDs to Context Descriptors". */
import { get } from "../bits";
import { REQUEST_FLAG } from "../layout/core";
import { S1DSS, STE } from "../layout/smmuv3";
import { EVENT_NUMBER } from "../layout/smmuv3-faults";
import { CHECK, SMMU } from "../layout/smmuv3-unit";
import { check, marks } from "../modes";
import { fail } from "./fault";

/** What `selectCd` says besides an index: the fault is noted; stage 1 is bypassed. */
const NO_CD: i32 = -1;
export const BYPASS_STAGE1: i32 = -2;

/** log2 of the CDs of a stream, by a valid STE's word 0; 0 = one, and no substreams. `Fast` knows that it is no more. */
// @ts-ignore: decorator
@inline
export function log2Cds<T>(unit: usize, word0: u64): u32 {
  if (!marks<T>()) return <u32>get(word0, STE.S1CDMax);
  // § 5.2 S1CDMax: at most SSIDSIZE, which counts as 0 where that is 0
  return min<u32>(<u32>get(word0, STE.S1CDMax), load<u32>(unit, SMMU.SSID_BITS));
}

/** Index of the CD for a stream with stage 1; NO_CD or BYPASS_STAGE1. */
// @ts-ignore: decorator
@inline
export function selectCd<T>(
  unit: usize,
  word0: u64,
  word1: u64,
  log2: u32,
  pasid: u32,
  flags: u32,
  result: usize,
): i32 {
  const dss = get(word1, STE.S1DSS);
  if (!(flags & REQUEST_FLAG.PASID)) {
    if (!log2 || dss == S1DSS.SUBSTREAM0) return 0;
    if (dss == S1DSS.BYPASS) return BYPASS_STAGE1;
    // § 5.2 S1DSS = 0b00 (or 0b11)
    check<T>(unit, CHECK.SUBSTREAM_MISSING, true);
    fail<T>(result, EVENT_NUMBER.F_STREAM_DISABLED, CHECK.SUBSTREAM_MISSING, 0, word0);
    return NO_CD;
  }
  // § 3.3.2 S1CDMax = 0 takes no SubstreamID, otherwise it must lie in the table
  if (check<T>(unit, CHECK.SUBSTREAM_RANGE, !log2 || pasid >> log2 != 0)) {
    fail<T>(result, EVENT_NUMBER.C_BAD_SUBSTREAMID, CHECK.SUBSTREAM_RANGE, 0, word0);
    return NO_CD;
  }
  // § 5.2 S1DSS = 0b10 keeps CD 0 for traffic without SubstreamID
  if (check<T>(unit, CHECK.SUBSTREAM_ZERO, !pasid && dss == S1DSS.SUBSTREAM0)) {
    fail<T>(result, EVENT_NUMBER.F_STREAM_DISABLED, CHECK.SUBSTREAM_ZERO, 0, word0);
    return NO_CD;
  }
  return <i32>pasid;
}
