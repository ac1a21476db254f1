/** Output = input: PGTT = 100b, and translated requests. VT-d rev 5.10, 3.9 "Pass-through Translation". */
import { ANSWER, PERMISSION, REQUEST_FLAG, RESULT_FLAG } from "../layout/core";
import { CHECK } from "../layout/vtd-faults";
import { VTD } from "../layout/vtd-unit";
import { passThroughAttributes } from "./attributes";
import { faultOfRequest } from "./faults";
import { bypass, EVERYTHING, extraOf, isInterruptAddress, succeed, tagsOf } from "./result";
import { asksWrite } from "./second-stage";
import { check } from "../modes";

/** A completion for a translation request names the largest page the unit has. */
// @ts-ignore: decorator
@inline
export function passThrough<T>(
  unit: usize, result: usize, flags: u32, met: u64, entry: usize, address: u64, id: u32,
): u32 {
  if (check<T>(unit, CHECK.SGN_4_2, (address & load<u64>(unit, VTD.BEYOND_HAW)) != 0)) {
    return faultOfRequest<T>(result, flags, CHECK.SGN_4_2, met);
  }
  let shift = EVERYTHING;
  if (flags & REQUEST_FLAG.TRANSLATION) shift = load<u32>(unit, VTD.PASS_THROUGH_SHIFT);
  else if (check<T>(unit, CHECK.SGN_8_1, isInterruptAddress(address))) {
    return faultOfRequest<T>(result, flags, CHECK.SGN_8_1, met);
  }
  return succeed<T>(
    unit, result, ANSWER.SUCCESS | RESULT_FLAG.BYPASS | RESULT_FLAG.DIRTY, address, shift,
    PERMISSION.READ | (asksWrite<T>(flags) ? PERMISSION.WRITE : 0), passThroughAttributes(entry), tagsOf(entry), id,
    extraOf(flags),
  );
}

/** C17: a translated request that no host permission table watches. */
export function translated<T>(unit: usize, result: usize, flags: u32, address: u64, met: u64): u32 {
  if (check<T>(unit, CHECK.SGN_4_1, (address & load<u64>(unit, VTD.BEYOND_HAW)) != 0)) {
    return faultOfRequest<T>(result, flags, CHECK.SGN_4_1, met);
  }
  if (check<T>(unit, CHECK.SGN_8_3, isInterruptAddress(address))) {
    return faultOfRequest<T>(result, flags, CHECK.SGN_8_3, met);
  }
  return bypass(unit, result, address, 0, 0, ANSWER.SUCCESS);
}
