/** ATS: translation requests and translated transactions. IHI 0070 3.9 "Support for PCI Express, PASIDs, PRI, and ATS". */
import { has, read, word } from "../bits";
import { PERMISSION, REQUEST_FLAG, RESULT } from "../layout/core";
import { CONFIG_BIT, EATS, STE } from "../layout/smmuv3";
import { EVENT_NUMBER } from "../layout/smmuv3-queues";
import { CHECK, FEATURE, SMMU } from "../layout/smmuv3-unit";
import { check } from "../trace";
import { fail } from "./fault";

/** The STE's EATS as it counts. */
export function effectiveEats(unit: usize, ste: usize): u64 {
  const features = load<u64>(unit, SMMU.FEATURES);
  const config = <u32>read(ste, STE.Config);
  // § 2.2 none without ATS and without a stage
  if (!has(features, FEATURE.ATS) || !(config & (CONFIG_BIT.STAGE1 | CONFIG_BIT.STAGE2))) return EATS.NONE;
  const eats = read(ste, STE.EATS);
  // § 3.13 AT11: split-stage ATS wants ATSCHK; § 2.3 S7: 0b11 is as 0b00
  if (eats == EATS.SPLIT) return has(features, FEATURE.ATS_CHECK) ? eats : EATS.NONE;
  return eats == EATS.FULL ? eats : EATS.NONE;
}

/** § 3.13 AT1, AT7: whether ATS traffic of this stream is forbidden; the fault is noted. */
export function isAtsForbidden<T>(unit: usize, ste: usize, flags: u32, result: usize): bool {
  const forbidden = effectiveEats(unit, ste) == EATS.NONE;
  if (flags & REQUEST_FLAG.TRANSLATION) {
    if (check<T>(unit, CHECK.ATS_REQUEST, forbidden)) {
      fail(result, EVENT_NUMBER.F_BAD_ATS_TREQ, CHECK.ATS_REQUEST, 0, word(ste, STE.EATS));
    }
  } else if (check<T>(unit, CHECK.ATS_FORBIDDEN, forbidden)) {
    fail(result, EVENT_NUMBER.F_TRANSL_FORBIDDEN, CHECK.ATS_FORBIDDEN, 0, word(ste, STE.EATS));
  }
  return forbidden;
}

/** Rights as a translation completion can tell them; other transactions keep theirs. */
// @ts-ignore: decorator
@inline
export function limitRights(rights: u32, flags: u32): u32 {
  return flags & REQUEST_FLAG.TRANSLATION ? completionRights(rights, flags) : rights;
}

/** § 3.13 AT5 */
function completionRights(rights: u32, flags: u32): u32 {
  if (flags & REQUEST_FLAG.NO_WRITE) rights &= ~PERMISSION.WRITE;
  // execute only if asked for, and never without read
  if (!(flags & REQUEST_FLAG.EXECUTE) || !(rights & PERMISSION.READ)) rights &= ~PERMISSION.EXECUTE;
  return rights;
}

/** Turns a finished translation into a completion. */
export function completeRequest(flags: u32, result: usize): void {
  store<u8>(result, <u8>completionRights(load<u8>(result, RESULT.PERMISSIONS), flags), RESULT.PERMISSIONS);
}
