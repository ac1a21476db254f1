/** ATS: translation requests and translated transactions. IHI 0070 3.9 "Support for PCI Express, PASIDs, PRI, and ATS". */
import { has, read, word } from "../bits";
import { PERMISSION, REQUEST_FLAG, RESULT } from "../layout/core";
import { CONFIG_BIT, EATS, INSTCFG, STE } from "../layout/smmuv3";
import { EVENT_NUMBER } from "../layout/smmuv3-faults";
import { CHECK, FEATURE, SMMU } from "../layout/smmuv3-unit";
import { check } from "../modes";
import { fail } from "./fault";

/** The STE's EATS as it counts. */
export function effectiveEats(unit: usize, ste: usize): u64 {
  const features = load<u64>(unit, SMMU.FEATURES);
  const config = <u32>read(ste, STE.Config);
  // § 5.2 EATS: none without ATS and without a stage
  if (!has(features, FEATURE.ATS) || !(config & (CONFIG_BIT.STAGE1 | CONFIG_BIT.STAGE2))) return EATS.NONE;
  const eats = read(ste, STE.EATS);
  // § 5.2 EATS: 0b10 wants CR0.ATSCHK; 0b11 is as 0b00
  if (eats == EATS.SPLIT) return has(features, FEATURE.ATS_CHECK) ? eats : EATS.NONE;
  return eats == EATS.FULL ? eats : EATS.NONE;
}

/** § 3.9.1 EATS: whether ATS traffic of this stream is forbidden; the fault is noted. */
export function isAtsForbidden<T>(unit: usize, ste: usize, flags: u32, result: usize): bool {
  const forbidden = effectiveEats(unit, ste) == EATS.NONE;
  if (flags & REQUEST_FLAG.TRANSLATION) {
    if (check<T>(unit, CHECK.ATS_REQUEST, forbidden)) {
      fail<T>(result, EVENT_NUMBER.F_BAD_ATS_TREQ, CHECK.ATS_REQUEST, 0, word(ste, STE.EATS));
    }
  } else if (check<T>(unit, CHECK.ATS_FORBIDDEN, forbidden)) {
    fail<T>(result, EVENT_NUMBER.F_TRANSL_FORBIDDEN, CHECK.ATS_FORBIDDEN, 0, word(ste, STE.EATS));
  }
  return forbidden;
}

/** IHI 0070 13.7: what ATS traffic cannot say: Execute and Privileged without a PASID, or once translated. */
export function plainFlags(flags: u32): u32 {
  const saysMore = flags & REQUEST_FLAG.TRANSLATION && flags & REQUEST_FLAG.PASID;
  return saysMore ? flags : flags & ~(REQUEST_FLAG.EXECUTE | REQUEST_FLAG.PRIVILEGED);
}

/** § 13.7.1 what a completion grants, of the rights that the tables do. */
export function completionRights(unit: usize, ste: usize, rights: u32, flags: u32): u32 {
  const overrides = has(load<u64>(unit, SMMU.FEATURES), FEATURE.PERMISSION_OVERRIDES);
  const instCfg = overrides ? read(ste, STE.INSTCFG) : 0;
  let readable = (rights & PERMISSION.READ) != 0;
  let executable = readable && (rights & PERMISSION.EXECUTE) != 0;
  if (instCfg == INSTCFG.INSTRUCTION) {
    readable = (rights & PERMISSION.EXECUTE) != 0;
    executable = readable;
  } else if (instCfg == INSTCFG.DATA) executable = readable;
  const writable = rights & PERMISSION.WRITE && !(flags & REQUEST_FLAG.NO_WRITE);
  return (
    (readable ? PERMISSION.READ : 0) |
    (writable ? PERMISSION.WRITE : 0) |
    (executable && flags & REQUEST_FLAG.EXECUTE ? PERMISSION.EXECUTE : 0)
  );
}

/** Turns a finished translation into a completion. Returns the event, which is none. */
export function complete(unit: usize, ste: usize, address: u64, flags: u32, result: usize): i32 {
  const rights = completionRights(unit, ste, load<u8>(result, RESULT.PERMISSIONS), flags);
  store<u8>(result, <u8>rights, RESULT.PERMISSIONS);
  // § 13.6.3 split-stage ATS hands out the intermediate address
  if (effectiveEats(unit, ste) == EATS.SPLIT) store<u64>(result, address, RESULT.ADDRESS);
  return 0;
}
