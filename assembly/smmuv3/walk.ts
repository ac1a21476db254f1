/**
 * One transaction, from StreamID to output address, in the order of IHI 0070 3.4 and 7.3. In this folder
 * `§` cites IHI 0070, by section and field, or what it names: DDI 0487 is the Arm ARM.
 *
 * Every step returns a value or notes a fault; `conclude` turns a fault into answer and record. See
 * `../modes` for the ways in which all of this is compiled.
 */
import { below, get, has, mask, place, put, word } from "../bits";
import { ANSWER, PERMISSION, REQUEST_FLAG, RESULT, RESULT_FLAG } from "../layout/core";
import { CD, CONFIG, CONFIG_BIT, EATS, STE, VA } from "../layout/smmuv3";
import { EVENT_CLASS, EVENT_NUMBER } from "../layout/smmuv3-faults";
import { CHECK, EXTRA, FEATURE, MAX_RETRIES, SMMU, START_OVER, WORLD } from "../layout/smmuv3-unit";
import { firstWord } from "../memory";
import { begin, check, Exact, Fast, Filling, isCached, marks, notes } from "../modes";
import { finish } from "../result";
import { overridden, wantedRights } from "./access";
import { complete, completionRights, effectiveEats, isAtsForbidden, plainFlags } from "./ats";
import { combine, incomingBySte } from "./attributes";
import { bypassByGbpa, bypassBySte, passTranslated } from "./bypass";
import { checkCd, isOddCd } from "./cd";
import { findCd } from "./context";
import { conclude, fail, failStage } from "./fault";
import { heldTranslation, keepTranslation, stage1Key } from "./held";
import { untagged, walkStage1 } from "./stage1";
import { forcesTypes, walkStage2 } from "./stage2";
import { checkSte, isOddStage1, isOddSte } from "./ste";
import { findSte } from "./stream";
import { BYPASS_STAGE1, log2Cds, selectCd } from "./substream";
import { tags, worldOf } from "./tags";

const ALL_RIGHTS: u32 = PERMISSION.READ | PERMISSION.WRITE | PERMISSION.EXECUTE;
const ATS: u32 = REQUEST_FLAG.TRANSLATION | REQUEST_FLAG.TRANSLATED;
/** Said by `answerEarly` when the STE is to be looked at; no event number. */
const GO_ON: i32 = -2;

/** Which streams a compilation is for: all; or, the fast walk of the most, those with stage 1 alone and not EL2. */
type Any = i32;
type Stage1 = f32;
/** Said by the walk for the most streams of one that is none of them; no event number. */
const OTHER_STREAM: i32 = -3;

/** Walks one transaction; everything it finds is in `result`. Returns the event number, 0 = none. */
// @ts-ignore: decorator
@inline
export function walkFast(unit: usize, sid: u32, pasid: u32, address: u64, flags: u32, result: usize): i32 {
  let event = walk<Fast, Stage1>(unit, sid, pasid, address, flags, result);
  if (event == OTHER_STREAM) event = walk<Fast, Any>(unit, sid, pasid, address, flags, result);
  return event == START_OVER ? walkExactly<Exact>(unit, sid, pasid, address, flags, result) : event;
}

/** Walks fast, noting which entries it reads; false: it must be walked exactly. */
export function walkFilling(unit: usize, sid: u32, pasid: u32, address: u64, flags: u32, result: usize): bool {
  let event = walk<Filling, Stage1>(unit, sid, pasid, address, flags, result);
  if (event == OTHER_STREAM) event = walk<Filling, Any>(unit, sid, pasid, address, flags, result);
  return event != START_OVER;
}

/** Walks with effects, again as long as somebody changes entries under the walker's hands. */
export function walkExactly<T>(unit: usize, sid: u32, pasid: u32, address: u64, flags: u32, result: usize): i32 {
  store<u32>(unit, MAX_RETRIES, SMMU.RETRIES);
  store<u32>(unit, 0, SMMU.UPDATED);
  while (true) {
    const event = walk<T, Any>(unit, sid, pasid, address, flags, result);
    if (event != START_OVER) return event;
  }
}

function walk<T, S>(unit: usize, sid: u32, pasid: u32, address: u64, flags: u32, result: usize): i32 {
  begin<T>(unit);
  if (!marks<T>()) {
    if (flags & ATS) return START_OVER;
    if (<u64>sid >= load<u64>(unit, SMMU.STREAMS)) return START_OVER;
  } else if (flags & REQUEST_FLAG.TRANSLATED || <u64>sid >= load<u64>(unit, SMMU.STREAMS)) {
    const event = answerEarly<T>(unit, sid, pasid, address, flags, result);
    if (event != GO_ON) return event;
  }
  const ste = findSte<T>(unit, sid, flags, result);
  // what `Fast` finds at 0 is no valid STE
  if (marks<T>() && !ste) return conclude<T>(unit, 0, 0, pasid, flags, result);
  const word0 = firstWord(ste);
  const word1 = word(ste, STE.EATS);
  if (isFloat<S>()) {
    const common = mask(STE.V) | place(STE.Config, CONFIG.STAGE1);
    if ((word0 & (mask(STE.V) | mask(STE.Config))) != common) return OTHER_STREAM;
    if (isOddStage1(unit, word0, word1, word(ste, STE.S2VMID))) return START_OVER;
  } else if (!marks<T>()) {
    if (isOddSte(unit, ste, word0, word1, word(ste, STE.S2VMID))) return START_OVER;
  } else if (!isCached<T>() || isOddSte(unit, ste, word0, word1, word(ste, STE.S2VMID))) {
    const id = checkSte<T>(unit, ste);
    if (id) {
      // § 7.3 C_BAD_STE; § 5.2 Config = 0b0xx
      fail<T>(result, id == CHECK.STE_CONFIG ? 0 : EVENT_NUMBER.C_BAD_STE, id, 0, word0);
      return conclude<T>(unit, ste, 0, pasid, flags, result);
    }
  }
  return translate<T, S>(unit, sid, ste, word0, word1, pasid, address, flags, result);
}

/** What needs no STE: SMMU disabled, unchecked translated transactions, no such stream. */
function answerEarly<T>(unit: usize, sid: u32, pasid: u32, address: u64, flags: u32, result: usize): i32 {
  const features = load<u64>(unit, SMMU.FEATURES);
  if (!has(features, FEATURE.SMMUEN)) {
    // § 3.11.1 SMMUEN = 0
    if (!(flags & ATS)) return bypassByGbpa<T>(unit, pasid, address, flags, result);
    // § 3.9.1 SMMUEN = 0
    if (flags & REQUEST_FLAG.TRANSLATION) fail<T>(result, EVENT_NUMBER.F_BAD_ATS_TREQ, CHECK.ATS_REQUEST, 0, 0);
    else fail<T>(result, EVENT_NUMBER.F_TRANSL_FORBIDDEN, CHECK.ATS_FORBIDDEN, 0, 0);
    return conclude<T>(unit, 0, 0, pasid, flags, result);
  }
  // § 3.9.1 CR0.ATSCHK = 0
  if (flags & REQUEST_FLAG.TRANSLATED && !has(features, FEATURE.ATS_CHECK)) {
    return passTranslated<T>(unit, pasid, address, flags, result);
  }
  // § 3.3.1 LOG2SIZE, SIDSIZE
  if (<u64>sid < load<u64>(unit, SMMU.STREAMS)) return GO_ON;
  fail<T>(result, EVENT_NUMBER.C_BAD_STREAMID, CHECK.SID_RANGE, 0, 0);
  return conclude<T>(unit, 0, 0, pasid, flags, result);
}

/** § 3.3.2, 3.3.3: by a valid STE that does not abort. */
// @ts-ignore: decorator
@inline
function translate<T, S>(
  unit: usize,
  sid: u32,
  ste: usize,
  word0: u64,
  word1: u64,
  pasid: u32,
  address: u64,
  request: u32,
  result: usize,
): i32 {
  const config = <u32>get(word0, STE.Config);
  const flags = overridden(unit, word1, marks<T>() && request & ATS ? plainFlags(request) : request);
  if (notes<T>()) {
    const asRead = overridden(unit, word1, (request | REQUEST_FLAG.READ) & ~REQUEST_FLAG.WRITE);
    store<u32>(unit, wantedRights<T>(asRead), SMMU.READ_NEEDS);
  }
  if (marks<T>() && flags & ATS) {
    if (isAtsForbidden<T>(unit, ste, flags, result)) return conclude<T>(unit, ste, 0, pasid, flags, result);
    if (flags & REQUEST_FLAG.TRANSLATED) return translateTranslated<T>(unit, ste, pasid, address, flags, result);
  }
  if (!isFloat<S>() && !(config & CONFIG_BIT.STAGE1)) {
    // § 3.3.2 Config = 0b1x0 takes no SubstreamID
    if (check<T>(unit, CHECK.SUBSTREAM_UNEXPECTED, (flags & REQUEST_FLAG.PASID) != 0)) {
      fail<T>(result, EVENT_NUMBER.C_BAD_SUBSTREAMID, CHECK.SUBSTREAM_UNEXPECTED, 0, word0);
      return conclude<T>(unit, ste, 0, pasid, flags, result);
    }
    return skipStage1<T>(unit, ste, pasid, address, config, flags, result);
  }
  const log2 = log2Cds<T>(unit, word0);
  const index = selectCd<T>(unit, word0, word1, log2, pasid, flags, result);
  if (index < 0) {
    if (isFloat<S>()) return START_OVER;
    if (index == BYPASS_STAGE1) return skipStage1<T>(unit, ste, pasid, address, config, flags, result);
    return conclude<T>(unit, ste, 0, pasid, flags, result);
  }

  const nested = !isFloat<S>() && (config & CONFIG_BIT.STAGE2) != 0;
  const cd = findCd<T>(unit, sid, ste, word0, log2, <u32>index, nested, flags, result);
  // what `Fast` finds at 0 is no valid CD
  if (marks<T>() && !cd) return conclude<T>(unit, ste, 0, pasid, flags, result);
  const world = worldOf(unit, word1, config);
  if (isFloat<S>() && world == WORLD.EL2) return OTHER_STREAM;
  const isEl2 = !isFloat<S>() && world == WORLD.EL2;
  const cd0 = firstWord(cd);
  if (!marks<T>()) {
    if (isOddCd<T>(unit, word1, cd, cd0, isEl2, address)) return START_OVER;
  } else if (!isCached<T>() || isOddCd<T>(unit, word1, cd, cd0, isEl2, address)) {
    const id = checkCd<T>(unit, ste, cd, world);
    if (id) {
      // § 7.3 C_BAD_CD
      fail<T>(result, EVENT_NUMBER.C_BAD_CD, id, 0, cd0);
      return conclude<T>(unit, ste, cd, pasid, flags, result);
    }
  }
  const counting = cd0 & load<u64>(unit, SMMU.CD_MASK0);
  let key: u64 = 0;
  let input = address;
  const isTlbUsed = isCached<T>() && load<u32>(unit, SMMU.TRANSLATIONS) != 0 && !(flags & ATS);
  if (isCached<T>()) {
    key = stage1Key(tags(unit, ste, isEl2 ? 0 : get(cd0, CD.ASID), world), cd0, world, nested);
  }
  if (isTlbUsed) {
    const isHigh = !isEl2 && has(address, VA.SELECT);
    input = untagged(address, isHigh ? has(cd0, CD.TBI1) : has(cd0, CD.TBI0));
    if (heldTranslation(unit, key, input, <u32>index, flags, result)) return 0;
  }
  // § 3.3.3 stage 1
  const event = walkStage1<T>(unit, ste, cd, counting, <u32>index, address, world, isEl2, nested, key, flags, result);
  if (event) return conclude<T>(unit, ste, cd, pasid, flags, result);
  if (marks<T>() && flags & REQUEST_FLAG.TRANSLATION) {
    return answerRequest<T>(unit, ste, cd, pasid, nested, flags, result);
  }
  const failed = nested ? addStage2<T>(unit, ste, cd, pasid, flags, result) : 0;
  if (isTlbUsed && !failed && isSuccess(result) && !(flags & REQUEST_FLAG.PROBE)) {
    keepTranslation(unit, key, input, flags, result);
  }
  return failed;
}

/** Whether a result without an event is a translation: silent aborts have no event either. */
// @ts-ignore: decorator
@inline
export function isSuccess(result: usize): bool {
  return (load<u32>(result, RESULT.FLAGS) & RESULT_FLAG.ANSWER) == ANSWER.SUCCESS;
}

/** § 3.9.1 the completion of a translation request after stage 1. */
function answerRequest<T>(
  unit: usize,
  ste: usize,
  cd: usize,
  pasid: u32,
  nested: bool,
  flags: u32,
  result: usize,
): i32 {
  const ipa = load<u64>(result, RESULT.ADDRESS);
  // IHI 0070 3.9.1.2: without any right the walk ends here, stage 2 has no say
  if (!completionRights(unit, ste, load<u8>(result, RESULT.PERMISSIONS), flags)) {
    failStage<T>(result, EVENT_NUMBER.F_PERMISSION, CHECK.PTE_PERMISSION, 1, EVENT_CLASS.IN, 0, 0, 0, 0);
    return conclude<T>(unit, ste, cd, pasid, flags, result);
  }
  const event = nested ? addStage2<T>(unit, ste, cd, pasid, flags, result) : 0;
  if (event || !load<u8>(result, RESULT.PERMISSIONS)) return event;
  return complete(unit, ste, ipa, flags, result);
}

/** § 3.3.3 stage 2 after stage 1: `result` holds what stage 1 made of the address. */
function addStage2<T>(unit: usize, ste: usize, cd: usize, pasid: u32, flags: u32, result: usize): i32 {
  const ipa = load<u64>(result, RESULT.ADDRESS);
  const above = load<u8>(result, RESULT.PERMISSIONS);
  const access = flags & REQUEST_FLAG.TRANSLATION ? above : wantedRights<T>(flags);
  const event = walkStage2<T>(unit, ste, ipa, access, flags, EVENT_CLASS.IN, result);
  if (event) return conclude<T>(unit, ste, cd, pasid, flags, result);
  const first = load<u32>(result, RESULT.FLAGS);
  const second = load<u32>(unit, SMMU.STAGE2_FLAGS);
  const shift = load<u32>(unit, SMMU.STAGE2_SHIFT);
  const type = combine(
    load<u16>(result, RESULT.ATTRIBUTES),
    load<u64>(unit, SMMU.STAGE2_ENTRY),
    forcesTypes(unit, ste),
    flags,
  );
  finish(
    result,
    (first & second & RESULT_FLAG.DIRTY) | (marks<T>() ? load<u32>(unit, SMMU.UPDATED) : 0),
    load<u64>(unit, SMMU.STAGE2_ADDRESS),
    min<u32>(load<u8>(result, RESULT.PAGE_SHIFT), shift),
    above & load<u32>(unit, SMMU.STAGE2_PERMISSIONS),
    type,
    load<u32>(result, RESULT.TAGS),
    load<u32>(result, RESULT.PASID),
    put(<u64>load<u32>(result, RESULT.EXTRA), EXTRA.STAGE2_SHIFT, <u64>shift),
  );
  return 0;
}

/** § 5.2 Config, S1DSS: stage 1 is bypassed or absent. */
function skipStage1<T>(
  unit: usize,
  ste: usize,
  pasid: u32,
  address: u64,
  config: u32,
  flags: u32,
  result: usize,
): i32 {
  if (!(config & CONFIG_BIT.STAGE2)) {
    if (!marks<T>()) return START_OVER;
    const event = bypassBySte<T>(unit, ste, pasid, address, !(config & CONFIG_BIT.STAGE1), flags, result);
    // IHI 0070 13.6.4: the completion is an identity to read and write, whatever NW says
    const isIdentity = !event && flags & REQUEST_FLAG.TRANSLATION && load<u8>(result, RESULT.PERMISSIONS);
    if (isIdentity) store<u8>(result, PERMISSION.READ | PERMISSION.WRITE, RESULT.PERMISSIONS);
    return event;
  }
  return onlyStage2<T>(unit, ste, pasid, address, flags, result);
}

/** § 3.9.1 translated transactions of a stream that may send them. */
function translateTranslated<T>(unit: usize, ste: usize, pasid: u32, address: u64, flags: u32, result: usize): i32 {
  if (effectiveEats(unit, ste) == EATS.FULL) return passTranslated<T>(unit, pasid, address, flags, result);
  return onlyStage2<T>(unit, ste, pasid, address, flags, result);
}

/** § 3.3.3 stage 2 without stage 1. */
function onlyStage2<T>(unit: usize, ste: usize, pasid: u32, address: u64, flags: u32, result: usize): i32 {
  // § 3.4 IAS
  if (check<T>(unit, CHECK.IAS_SIZE, address > below(load<u32>(unit, SMMU.IAS)))) {
    failStage<T>(result, EVENT_NUMBER.F_ADDR_SIZE, CHECK.IAS_SIZE, 0, EVENT_CLASS.IN, 0, 0, 0, 0);
    return conclude<T>(unit, ste, 0, pasid, flags, result);
  }
  const isRequest = (flags & REQUEST_FLAG.TRANSLATION) != 0;
  const access = isRequest ? ALL_RIGHTS : wantedRights<T>(flags);
  const event = walkStage2<T>(unit, ste, address, access, flags, EVENT_CLASS.IN, result);
  if (event) return conclude<T>(unit, ste, 0, pasid, flags, result);
  const shift = load<u32>(unit, SMMU.STAGE2_SHIFT);
  finish(
    result,
    load<u32>(unit, SMMU.STAGE2_FLAGS) | (marks<T>() ? load<u32>(unit, SMMU.UPDATED) : 0),
    load<u64>(unit, SMMU.STAGE2_ADDRESS),
    shift,
    load<u32>(unit, SMMU.STAGE2_PERMISSIONS),
    combine(incomingBySte(unit, ste), load<u64>(unit, SMMU.STAGE2_ENTRY), forcesTypes(unit, ste), flags),
    tags(unit, ste, 0, WORLD.NS_EL1),
    flags & REQUEST_FLAG.PASID ? pasid : 0,
    put(put(0, EXTRA.WORLD, WORLD.NS_EL1), EXTRA.STAGE2_SHIFT, <u64>shift),
  );
  return isRequest ? complete(unit, ste, address, flags, result) : 0;
}
