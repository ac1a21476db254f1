/**
 * What a failed check means: fault reason, whether FPD can suppress its record, what the device gets.
 *
 * VT-d rev 5.10, chapter 7 "Address Translation Faults", table of fault conditions and their outcome
 * for untranslated, translation and translated requests. Never on the way of a walk that succeeds.
 */
import { get } from "../bits";
import { ANSWER, REQUEST_FLAG, RESULT, RESULT_FLAG } from "../layout/core";
import { PASID } from "../layout/vtd";
import { CHECK, REASON } from "../layout/vtd-faults";
import { OUTCOME, START_OVER } from "../layout/vtd-unit";
import { marks } from "../modes";

const QUALIFIED = OUTCOME.QUALIFIED;
const T_CA = OUTCOME.T_CA;
const T_S0 = OUTCOME.T_S0;
const T_S0_RECORDED = OUTCOME.T_S0_RECORDED;
const X_CA = OUTCOME.X_CA;

/**
 * The row of a check: an OUTCOME. What is not said is UR. A
 * missing permission never fails a translation request, so it needs no row here.
 */
function row(check: u32): u32 {
  switch (check) {
    case CHECK.IR_ILLEGAL_ACCESS: return REASON.IR_ILLEGAL_ACCESS;
    case CHECK.RTA_1_1: return REASON.RTA_1 | T_CA;
    case CHECK.RTA_1_4: return REASON.RTA_1 | T_CA;
    case CHECK.RTA_2: return REASON.RTA_2;
    case CHECK.RTA_3: return REASON.RTA_3;
    case CHECK.RTA_4: return REASON.RTA_4;
    case CHECK.RTA_5: return REASON.RTA_5;
    case CHECK.LRT_1: return REASON.LRT_1 | T_CA;
    case CHECK.LRT_2: return REASON.LRT_2;
    case CHECK.LRT_3: return REASON.LRT_3 | T_CA;
    case CHECK.LCT_1: return REASON.LCT_1 | T_CA;
    case CHECK.LCT_2: return REASON.LCT_2 | QUALIFIED;
    case CHECK.LCT_3: return REASON.LCT_3 | QUALIFIED | T_CA;
    case CHECK.LCT_4_1: return REASON.LCT_4 | QUALIFIED | T_CA;
    case CHECK.LCT_4_2: return REASON.LCT_4 | QUALIFIED | T_CA;
    case CHECK.LCT_4_3: return REASON.LCT_4 | QUALIFIED | T_CA;
    case CHECK.LCT_5: return REASON.LCT_5 | QUALIFIED;
    case CHECK.LGN_1_1: return REASON.LGN_1 | QUALIFIED | T_S0;
    case CHECK.LGN_1_2: return REASON.LGN_1 | QUALIFIED;
    case CHECK.LGN_1_3: return REASON.LGN_1 | QUALIFIED;
    case CHECK.LGN_2: return REASON.LGN_2 | QUALIFIED | T_S0;
    case CHECK.LGN_3: return REASON.LGN_3 | QUALIFIED | T_S0;
    case CHECK.LGN_4: return REASON.LGN_4 | QUALIFIED | T_CA;
    case CHECK.LSS_1: return REASON.LSS_1 | QUALIFIED | T_CA;
    case CHECK.LSS_2: return REASON.LSS_2 | QUALIFIED | T_CA;
    case CHECK.SRT_1: return REASON.SRT_1 | T_CA;
    case CHECK.SRT_2: return REASON.SRT_2;
    case CHECK.SRT_3: return REASON.SRT_3 | T_CA;
    case CHECK.SCT_1: return REASON.SCT_1 | T_CA;
    case CHECK.SCT_2: return REASON.SCT_2 | QUALIFIED;
    case CHECK.SCT_3: return REASON.SCT_3 | QUALIFIED | T_CA;
    case CHECK.SCT_4_1: return REASON.SCT_4 | QUALIFIED | T_CA;
    case CHECK.SCT_4_2: return REASON.SCT_4 | QUALIFIED | T_CA;
    case CHECK.SCT_4_3: return REASON.SCT_4 | QUALIFIED | T_CA;
    case CHECK.SCT_5: return REASON.SCT_5 | QUALIFIED;
    case CHECK.SCT_6: return REASON.SCT_6 | QUALIFIED;
    case CHECK.SCT_7: return REASON.SCT_7 | QUALIFIED;
    case CHECK.SCT_8: return REASON.SCT_8 | QUALIFIED;
    case CHECK.SCT_9: return REASON.SCT_9 | QUALIFIED;
    case CHECK.SCT_10: return REASON.SCT_10 | QUALIFIED;
    case CHECK.SPD_1: return REASON.SPD_1 | T_CA | X_CA;
    case CHECK.SPD_2: return REASON.SPD_2 | QUALIFIED | T_S0;
    case CHECK.SPD_3: return REASON.SPD_3 | QUALIFIED | T_CA | X_CA;
    case CHECK.SPT_1: return REASON.SPT_1 | T_CA | X_CA;
    case CHECK.SPT_2: return REASON.SPT_2 | QUALIFIED | T_S0;
    case CHECK.SPT_3: return REASON.SPT_3 | QUALIFIED | T_CA | X_CA;
    case CHECK.SPT_4_1:
    case CHECK.SPT_4_2:
    case CHECK.SPT_4_3:
    case CHECK.SPT_4_4: return REASON.SPT_4 | QUALIFIED | T_CA | X_CA;
    case CHECK.SPT_5: return REASON.SPT_5 | QUALIFIED | T_S0;
    case CHECK.SPT_6: return REASON.SPT_6 | QUALIFIED | T_S0;
    case CHECK.SPT_9: return REASON.SPT_9 | QUALIFIED;
    case CHECK.SFS_1: return REASON.SFS_1 | QUALIFIED | T_S0;
    case CHECK.SFS_2: return REASON.SFS_2 | QUALIFIED | T_S0;
    case CHECK.SFS_3: return REASON.SFS_3 | QUALIFIED | T_S0;
    case CHECK.SFS_4: return REASON.SFS_4 | QUALIFIED | T_S0;
    case CHECK.SFS_5: return REASON.SFS_5 | QUALIFIED | T_S0;
    case CHECK.SFS_6: return REASON.SFS_6 | QUALIFIED | T_S0;
    case CHECK.SFS_7: return REASON.SFS_7 | QUALIFIED | T_S0;
    case CHECK.SFS_8: return REASON.SFS_8 | QUALIFIED | T_S0;
    case CHECK.SFS_9: return REASON.SFS_9 | QUALIFIED | T_S0;
    case CHECK.SFS_10: return REASON.SFS_10 | QUALIFIED | T_S0_RECORDED;
    case CHECK.SSS_1: return REASON.SSS_1 | QUALIFIED | T_CA;
    case CHECK.SSS_2: return REASON.SSS_2 | QUALIFIED | T_S0;
    case CHECK.SSS_3: return REASON.SSS_3 | QUALIFIED | T_CA;
    case CHECK.SSS_4: return REASON.SSS_4 | QUALIFIED | T_CA;
    case CHECK.SSS_5: return REASON.SSS_5 | QUALIFIED | T_CA;
    case CHECK.SSS_6: return REASON.SSS_6 | QUALIFIED | T_CA;
    case CHECK.SGN_1: return REASON.SGN_1 | QUALIFIED | T_S0;
    case CHECK.SGN_2: return REASON.SGN_2 | QUALIFIED | T_S0;
    case CHECK.SGN_4_1: return REASON.SGN_4 | QUALIFIED;
    case CHECK.SGN_4_2: return REASON.SGN_4 | QUALIFIED | T_S0;
    case CHECK.SGN_5: return REASON.SGN_5 | QUALIFIED | T_S0;
    case CHECK.SGN_6: return REASON.SGN_6 | QUALIFIED | T_S0;
    case CHECK.SGN_7: return REASON.SGN_7 | QUALIFIED | T_S0;
    case CHECK.SGN_8_1: return REASON.SGN_8 | QUALIFIED;
    case CHECK.SGN_8_2: return REASON.SGN_8 | QUALIFIED | T_CA;
    case CHECK.SGN_8_3: return REASON.SGN_8 | QUALIFIED;
    case CHECK.SGN_10: return REASON.SGN_10 | QUALIFIED;
    case CHECK.HPT_1: return REASON.HPT_1 | QUALIFIED | X_CA;
    case CHECK.HPT_2: return REASON.HPT_2 | QUALIFIED | X_CA;
    case CHECK.HPT_3: return REASON.HPT_3 | QUALIFIED | X_CA;
    case CHECK.HPT_4: return REASON.HPT_4 | QUALIFIED;
    case CHECK.HPT_5: return REASON.HPT_5 | QUALIFIED;
    case CHECK.HPT_6: return REASON.HPT_6 | QUALIFIED;
    default: return REASON.NONE;
  }
}

/**
 * A request that failed `check`: its whole result block, and the fault reason. A `Fast` walk leaves
 * that to the `Exact` one, which is then started over: so no fault is in its way.
 *
 * @param met OR of the first words of all entries met that have an FPD bit (at the same place in all)
 * @param at physical address of the entry or access at fault
 * @param stage and @param level of that entry, 0 where there are none
 */
// @ts-ignore: decorator
@inline
export function fault<T>(
  result: usize, flags: u32, check: u32, met: u64, at: u64, entry: u64, stage: u32, level: u32,
): u32 {
  return marks<T>() ? faultExactly(result, flags, check, met, at, entry, stage, level) : START_OVER;
}

/** A fault that no entry in memory is to blame for. */
// @ts-ignore: decorator
@inline
export function faultOfRequest<T>(result: usize, flags: u32, check: u32, met: u64): u32 {
  return fault<T>(result, flags, check, met, 0, 0, 0, 0);
}

/** What a step that gave up left behind: a fault reason, or START_OVER. */
// @ts-ignore: decorator
@inline
export function failure<T>(result: usize): u32 {
  return marks<T>() ? load<u32>(result) : START_OVER;
}

/** Notes that the failing access was to a guest physical address below a first stage. */
// @ts-ignore: decorator
@inline
export function noteGuestAddress<T>(result: usize, gpa: u64): void {
  if (marks<T>()) store<u64>(result, gpa, RESULT.IPA);
}

function faultExactly(
  result: usize, flags: u32, check: u32, met: u64, at: u64, entry: u64, stage: u32, level: u32,
): u32 {
  const outcome = row(check);
  const fpd = get(met, PASID.FPD) != 0;
  const t = flags & REQUEST_FLAG.TRANSLATION ? outcome & OUTCOME.T : 0;
  let answer: u32 = ANSWER.UR;
  if (t) answer = t == T_CA ? ANSWER.CA : ANSWER.SUCCESS;
  if (flags & REQUEST_FLAG.TRANSLATED && outcome & X_CA) answer = ANSWER.CA;
  const silent = t == T_S0 || (fpd && outcome & QUALIFIED) || !(outcome & OUTCOME.REASON);
  memory.fill(result, 0, RESULT.ENTRY);
  store<u32>(result, outcome & OUTCOME.REASON, RESULT.CODE);
  store<u32>(
    result,
    answer | (silent ? 0 : RESULT_FLAG.RECORD) | (outcome & QUALIFIED ? RESULT_FLAG.QUALIFIED : 0) |
      (fpd ? RESULT_FLAG.FPD : 0),
    RESULT.FLAGS,
  );
  store<u64>(result, at, RESULT.FETCH_ADDRESS);
  store<u8>(result, <u8>check, RESULT.CHECK);
  store<u8>(result, <u8>stage, RESULT.STAGE);
  store<u8>(result, level, RESULT.LEVEL);
  store<u64>(result, entry, RESULT.ENTRY);
  return outcome & OUTCOME.REASON;
}
