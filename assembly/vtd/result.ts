/** The result block of a walk that succeeds, and the address range where nothing may end. */
import { get, moved, put, word } from "../bits";
import { ANSWER, PERMISSION, REQUEST_FLAG, RESULT_FLAG } from "../layout/core";
import { INTERRUPT_PREFIX, INTERRUPT_RANGE, MEMORY_TYPE, PASID } from "../layout/vtd";
import { VTD, VTD_ATTRIBUTES, VTD_EXTRA, VTD_TAGS } from "../layout/vtd-unit";
import { uncommon } from "./kind";
import { marks } from "../modes";
import { finish } from "../result";

/** PAGE_SHIFT of a bypass: good for all addresses. */
export const EVERYTHING: u64 = 64;

/** FEEx_xxxxh: interrupts, never memory. */
// @ts-ignore: decorator
@inline
export function isInterruptAddress(address: u64): bool {
  return get(address, INTERRUPT_RANGE.PREFIX) == INTERRUPT_PREFIX;
}

/** Whether the 2^shift bytes around `address` have an address in common with FEEx_xxxxh. */
export function touchesInterruptRange(address: u64, shift: u64): bool {
  const at = max<u64>(shift, INTERRUPT_RANGE.PREFIX & 0xff);
  return address >> at == put(0, INTERRUPT_RANGE.PREFIX, INTERRUPT_PREFIX) >> at;
}

/** The output check of a translated page: for a translation request all of it counts. */
// @ts-ignore: decorator
@inline
export function endsInInterruptRange<T>(flags: u32, address: u64, shift: u64): bool {
  return isInterruptAddress(address) ||
    ((uncommon<T>(flags) & REQUEST_FLAG.TRANSLATION) != 0 && touchesInterruptRange(address, shift));
}

/** RESULT.TAGS of a PASID entry. */
// @ts-ignore: decorator
@inline
export function tagsOf(entry: usize): u64 {
  const pgtt = moved(word(entry, PASID.PGTT), PASID.PGTT, VTD_TAGS.PGTT);
  return pgtt | moved(word(entry, PASID.DID), PASID.DID, VTD_TAGS.DID);
}

/** RESULT.EXTRA: PRIV of a completion is that of the request, and RID_PRIV does not count. */
// @ts-ignore: decorator
@inline
export function extraOf(flags: u32): u64 {
  const kind = flags & (REQUEST_FLAG.PASID | REQUEST_FLAG.PRIVILEGED);
  return put(0, VTD_EXTRA.PRIV, kind == (REQUEST_FLAG.PASID | REQUEST_FLAG.PRIVILEGED) ? 1 : 0);
}

/** Writes the first RESULT.FAULT_PART bytes: success. @returns 0 */
// @ts-ignore: decorator
@inline
export function succeed<T>(
  unit: usize, result: usize, resultFlags: u32, address: u64, shift: u64, permissions: u32, attributes: u64,
  tags: u64, pasid: u32, extra: u64,
): u32 {
  let all = resultFlags;
  if (marks<T>() && load<u32>(unit, VTD.UPDATED)) all |= RESULT_FLAG.UPDATED;
  finish(result, all, address, shift, permissions, attributes, tags, pasid, extra);
  return 0;
}

/** Output = input, no rights asked. */
export function bypass(unit: usize, result: usize, address: u64, tags: u64, pasid: u32, answer: u32): u32 {
  return succeed<i32>(
    unit, result, answer | RESULT_FLAG.BYPASS | RESULT_FLAG.DIRTY, address, EVERYTHING,
    PERMISSION.READ | PERMISSION.WRITE, put(0, VTD_ATTRIBUTES.TYPE, MEMORY_TYPE.WB), tags, pasid, 0,
  );
}

/** § S.1, S.2: a translation request without PASID for an interrupt address may only write untranslated. */
export function interruptCompletion(unit: usize, result: usize, flags: u32, address: u64, shift: u64): u32 {
  const write = (flags & REQUEST_FLAG.WRITE) != 0;
  return succeed<i32>(
    unit, result, ANSWER.SUCCESS | (write ? RESULT_FLAG.UNTRANSLATED_ONLY : 0), address, shift,
    write ? PERMISSION.WRITE : 0, 0, 0, 0, 0,
  );
}
