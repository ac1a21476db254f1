/**
 * Host permission table: which host addresses a device may name in translated requests.
 *
 * VT-d rev 5.10, 4.2.4 "Host Permission Table" and 9.12; conditions SPT.9 and HPT.*.
 */
import { get, has, mask, word } from "../bits";
import { ANSWER, REQUEST_FLAG, RESULT } from "../layout/core";
import { HPTE, HPTE_BYTES, HPTE_RESERVED, HPT_BASE_BITS, HPT_INDEX, PASID, PP, PP_BITS } from "../layout/vtd";
import { CHECK, STRUCTURE } from "../layout/vtd-faults";
import { ECAP } from "../layout/vtd-capabilities";
import { SLOT, VTD } from "../layout/vtd-unit";
import { failure, fault, faultOfRequest } from "./faults";
import { bypass, isInterruptAddress, tagsOf } from "./result";
import { mayReadNothing } from "./second-stage";
import { check, fetch, isMissing, step } from "../modes";

/** Top level; level 1 is the last. */
const TOP = 4;
/** In place of a permission nibble: the fault is in `result`. */
const FAULTED: u64 = -1;

export function checkHostPermission<T>(
  unit: usize, result: usize, flags: u32, met: u64, entry: usize, address: u64, id: u32,
): u32 {
  const width = HPT_BASE_BITS + get(word(entry, PASID.HPTSZ), PASID.HPTSZ);
  if (check<T>(unit, CHECK.SPT_9, address >> width != 0)) return faultOfRequest<T>(result, flags, CHECK.SPT_9, met);
  if (check<T>(unit, CHECK.SGN_4_1, (address & load<u64>(unit, VTD.BEYOND_HAW)) != 0)) {
    return faultOfRequest<T>(result, flags, CHECK.SGN_4_1, met);
  }
  const pp = permission<T>(unit, result, flags, met, word(entry, PASID.HPTPTR) & mask(PASID.HPTPTR), address);
  if (pp == FAULTED) return failure<T>(result);
  const nothing = mayReadNothing(unit, flags);
  if (check<T>(unit, CHECK.HPT_4, nothing && !pp)) return faultOfRequest<T>(result, flags, CHECK.HPT_4, met);
  if (check<T>(unit, CHECK.HPT_5, (flags & REQUEST_FLAG.WRITE) != 0 && !has(pp, PP.W))) {
    return faultOfRequest<T>(result, flags, CHECK.HPT_5, met);
  }
  const unreadable = (flags & REQUEST_FLAG.READ) != 0 && !has(pp, PP.R) && !(nothing && has(pp, PP.W));
  if (check<T>(unit, CHECK.HPT_6, unreadable)) return faultOfRequest<T>(result, flags, CHECK.HPT_6, met);
  if (check<T>(unit, CHECK.SGN_8_3, isInterruptAddress(address))) {
    return faultOfRequest<T>(result, flags, CHECK.SGN_8_3, met);
  }
  bypass(unit, result, address, tagsOf(entry), id, ANSWER.SUCCESS);
  // PERMISSION.READ and WRITE are where PP has R and W.
  store<u8>(result, <u8>pp, RESULT.PERMISSIONS);
  return 0;
}

/** The nibble that decides: the first that is not 0 on the way down, or the last. */
function permission<T>(unit: usize, result: usize, flags: u32, met: u64, root: u64, address: u64): u64 {
  let table = root;
  let level = TOP;
  while (true) {
    const index = indexAt(address, level);
    const at = table + index * HPTE_BYTES;
    const ptr = fetch<T>(unit, at, HPTE_BYTES, SLOT.HPTE);
    step<T>(unit, STRUCTURE.HPTE, 0, level, at, index, ptr, 2);
    const unread = level == TOP ? CHECK.HPT_3 : CHECK.HPT_1;
    if (check<T>(unit, unread, isMissing<T>(ptr))) {
      fault<T>(result, flags, unread, met, at, 0, 0, level);
      return FAULTED;
    }
    const pp = level == TOP ? 0 : nibble(ptr, address, level);
    if (check<T>(unit, CHECK.HPT_2, hasReserved(unit, ptr, level) || has(pp, PP.RESERVED))) {
      fault<T>(result, flags, CHECK.HPT_2, met, at, load<u64>(ptr), 0, level);
      return FAULTED;
    }
    const link = word(ptr, HPTE.AV);
    if (level == 1 || pp || !has(link, HPTE.AV)) return pp;
    table = link & mask(HPTE.ADDR);
    level--;
  }
}

function indexAt(address: u64, level: i32): u64 {
  if (level == TOP) return get(address, HPT_INDEX.L4);
  if (level == 3) return get(address, HPT_INDEX.L3);
  return level == 2 ? get(address, HPT_INDEX.L2) : get(address, HPT_INDEX.L1);
}

/** The nibble for `address` in an entry of two words. */
function nibble(ptr: usize, address: u64, level: i32): u64 {
  let n = get(address, HPT_INDEX.L1_PP);
  if (level == 2) n = get(address, HPT_INDEX.L2_PP);
  if (level == 3) n = get(address, HPT_INDEX.L3_PP);
  const perWord: u64 = 64 / PP_BITS;
  return (load<u64>(ptr + <usize>(n / perWord * 8)) >> ((n % perWord) * PP_BITS)) & (mask(PP.R) | mask(PP.W) | mask(PP.RESERVED));
}

function hasReserved(unit: usize, ptr: usize, level: i32): bool {
  if (level == 1) return false;
  const low = load<u64>(ptr);
  const link = word(ptr, HPTE.AV);
  if (link & (mask(HPTE_RESERVED.R0) | (mask(HPTE.ADDR) & load<u64>(unit, VTD.BEYOND_HAW)))) return true;
  if (level == TOP) return (low & mask(HPTE_RESERVED.L4)) != 0;
  if (level == 2) return false;
  return (low & mask(HPTE_RESERVED.L3)) != 0 || (low != 0 && !has(load<u64>(unit, VTD.ECAP), ECAP.HPT1GPS));
}
