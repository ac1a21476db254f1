/**
 * What a failed walk means to the device and to the event queue. IHI 0070 3.12 "Fault models,
 * recording and reporting", 3.9.1.2 (ATS responses), 7.3 "Event records".
 *
 * A step that fails notes where and why with `fail`; `conclude` alone decides what follows from it.
 */
import { has, put, read } from "../bits";
import { ANSWER, REQUEST_FLAG, RESULT, RESULT_FLAG } from "../layout/core";
import { CD, STE } from "../layout/smmuv3";
import { EVENT_CLASS, EVENT_NUMBER } from "../layout/smmuv3-faults";
import { CHECK, EXTRA, FEATURE, SMMU, START_OVER, WORLD } from "../layout/smmuv3-unit";
import { marks } from "../modes";
import { finish } from "../result";
import { smallestGranule } from "./geometry";

/** Notes a fault that concerns no stage of translation. Returns its event number, or START_OVER. */
// @ts-ignore: decorator
@inline
export function fail<T>(result: usize, event: u32, check: u32, gpa: u64, entry: u64): i32 {
  return failStage<T>(result, event, check, 0, EVENT_CLASS.CD, 0, gpa, 0, entry);
}

/** Notes a fault of a stage of translation. Returns its event number, or START_OVER. */
// @ts-ignore: decorator
@inline
export function failStage<T>(
  result: usize,
  event: u32,
  check: u32,
  stage: u32,
  kind: u32,
  level: u32,
  gpa: u64,
  ipa: u64,
  entry: u64,
): i32 {
  if (!marks<T>()) return START_OVER;
  return note(result, event, check, stage, kind, level, gpa, ipa, entry);
}

/** § 3.13 notes that the walk is to be made again. */
export function startOver(result: usize): i32 {
  store<i32>(result, START_OVER, RESULT.CODE);
  return START_OVER;
}

function note(
  result: usize,
  event: u32,
  check: u32,
  stage: u32,
  kind: u32,
  level: u32,
  gpa: u64,
  ipa: u64,
  entry: u64,
): i32 {
  store<u32>(result, event, RESULT.CODE);
  store<u32>(result, 0, RESULT.FLAGS);
  store<u64>(result, gpa, RESULT.FETCH_ADDRESS);
  store<u64>(result, ipa, RESULT.IPA);
  store<u8>(result, <u8>check, RESULT.CHECK);
  store<u8>(result, <u8>stage, RESULT.STAGE);
  store<u8>(result, <u8>kind, RESULT.CLASS);
  store<u8>(result, <u8>level, RESULT.LEVEL);
  store<u64>(result, entry, RESULT.ENTRY);
  return event;
}

/**
 * Turns the fault noted in `result` into the answer and the record it calls for.
 * @param ste pointer to the STE, 0 if none was read
 * @param cd pointer to the CD, 0 if none was read
 * @returns the event number, 0 where the architecture has no event, or START_OVER
 */
// @ts-ignore: decorator
@inline
export function conclude<T>(unit: usize, ste: usize, cd: usize, pasid: u32, flags: u32, result: usize): i32 {
  return marks<T>() ? settle(unit, ste, cd, pasid, flags, result) : START_OVER;
}

function settle(unit: usize, ste: usize, cd: usize, pasid: u32, flags: u32, result: usize): i32 {
  let event = load<i32>(result, RESULT.CODE);
  if (event == START_OVER) return START_OVER;
  let outcome: u32;
  if (flags & REQUEST_FLAG.TRANSLATION) {
    outcome = answerTranslationRequest(unit, result);
    if ((outcome & RESULT_FLAG.ANSWER) == ANSWER.SUCCESS) event = 0;
  } else {
    outcome = answer(unit, ste, cd, flags, result);
  }
  outcome |= load<u32>(result, RESULT.FLAGS) & RESULT_FLAG.TABLE_WRITE;
  // § 3.9.1 a completion without rights is as large as the smallest translation unit
  const shift = event || outcome ? 0 : smallestGranule(unit);
  finish(result, outcome, 0, shift, 0, 0, 0, flags & REQUEST_FLAG.PASID ? pasid : 0, put(0, EXTRA.WORLD, WORLD.NONE));
  store<u32>(result, event, RESULT.CODE);
  store<u32>(result, flags, RESULT.EFFECTIVE);
  return event;
}

/** § 3.9.1 an ATS translation request never stalls and reports no translation fault. */
function answerTranslationRequest(unit: usize, result: usize): u32 {
  const event = load<u32>(result, RESULT.CODE);
  if (event == EVENT_NUMBER.F_BAD_ATS_TREQ) return ANSWER.UR | RESULT_FLAG.RECORD;
  // § 3.9.1 Config = 0b000
  if (!event) return ANSWER.UR;
  if (isTranslationFault(event)) return ANSWER.SUCCESS;
  const features = load<u64>(unit, SMMU.FEATURES);
  const isSilent = event == EVENT_NUMBER.C_BAD_STREAMID && !has(features, FEATURE.RECORD_BAD_SID);
  return ANSWER.CA | (!isSilent && has(features, FEATURE.RECORD_ATS_CONFIG) ? RESULT_FLAG.RECORD : 0);
}

function answer(unit: usize, ste: usize, cd: usize, flags: u32, result: usize): u32 {
  const event = load<u32>(result, RESULT.CODE);
  // § 5.2 Config = 0b000 and GBPA.ABORT record nothing
  if (!event) return ANSWER.ABORT;
  if (isTranslationFault(event)) return answerTranslationFault(unit, ste, cd, flags, result);
  if (event == EVENT_NUMBER.F_TRANSL_FORBIDDEN || event == EVENT_NUMBER.F_WALK_EABT) {
    return ANSWER.ABORT | RESULT_FLAG.RECORD;
  }
  // § 3.9.1 translated transactions report configuration errors only with REC_CFG_ATS
  if (flags & REQUEST_FLAG.TRANSLATED) {
    const records = has(load<u64>(unit, SMMU.FEATURES), FEATURE.RECORD_ATS_CONFIG);
    return ANSWER.ABORT | (records ? RESULT_FLAG.RECORD : 0);
  }
  // § 7.3 configuration errors are always recorded, C_BAD_STREAMID if CR2.RECINVSID
  if (event == EVENT_NUMBER.C_BAD_STREAMID && !has(load<u64>(unit, SMMU.FEATURES), FEATURE.RECORD_BAD_SID)) {
    return ANSWER.ABORT;
  }
  return ANSWER.ABORT | RESULT_FLAG.RECORD;
}

/** § 5.5 stage 1 goes by CD.A, R and S, stage 2 by STE.S2R and S2S. */
function answerTranslationFault(unit: usize, ste: usize, cd: usize, flags: u32, result: usize): u32 {
  const check = load<u8>(result, RESULT.CHECK);
  // § 3.4 the size of a stage 1 bypassed address concerns no CD and not stage 2
  if (check == CHECK.BYPASS_SIZE || check == CHECK.IAS_SIZE) return ANSWER.ABORT | RESULT_FLAG.RECORD;
  if (load<u8>(result, RESULT.STAGE) == 2) {
    if (read(ste, STE.S2S)) return ANSWER.STALL | RESULT_FLAG.RECORD;
    return ANSWER.ABORT | (read(ste, STE.S2R) ? RESULT_FLAG.RECORD : 0);
  }
  if (read(cd, CD.S)) return ANSWER.STALL | RESULT_FLAG.RECORD;
  const razWi = !read(cd, CD.A) && has(load<u64>(unit, SMMU.FEATURES), FEATURE.RAZ_WI);
  return (razWi ? ANSWER.RAZ_WI : ANSWER.ABORT) | (read(cd, CD.R) ? RESULT_FLAG.RECORD : 0);
}

/** F_TRANSLATION, F_ADDR_SIZE, F_ACCESS, F_PERMISSION: what may stall and what CD.R and S2R silence. */
function isTranslationFault(event: u32): bool {
  return event >= <u32>EVENT_NUMBER.F_TRANSLATION && event <= <u32>EVENT_NUMBER.F_PERMISSION;
}
