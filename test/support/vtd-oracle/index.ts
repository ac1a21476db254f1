/**
 * A slow second walker for VT-d DMA requests, to hold the Wasm one against (rev. 5.10, chapters 3 and 7).
 *
 * Written from the specification's numbered conditions over BigInt words, with every bit position spelled out here and
 * nothing imported from `assembly/` or the walkers: the two can only agree by both being right. A condition that fails
 * is thrown as `Failure` and turned into an answer by the outcome matrix in one place.
 */
import { type Found, fetchTables, legacyContext } from "./context.ts";
import { hostPermission } from "./host.ts";
import {
  bits,
  Failure,
  hasPasid,
  inInterruptRange,
  type OracleMemory,
  type OracleOutcome,
  type OracleRequest,
  type OracleState,
  Refused,
  type Success,
  Walk,
} from "./model.ts";
import { CONDITIONS, INTERRUPT_RANGE_CODE } from "./outcomes.ts";
import { firstStage, nested, type Page, passThrough, secondStage } from "./pages.ts";

export type { OracleMemory, OracleOutcome, OracleRequest, OracleState } from "./model.ts";
export { Capabilities } from "./model.ts";

/** Walks one request. */
export function oracleTranslate(memory: OracleMemory, state: OracleState, request: OracleRequest): OracleOutcome {
  const walk = new Walk(memory, state, request);
  try {
    return translate(walk, state);
  } catch (error) {
    if (error instanceof Refused) return { ok: false, answer: "ur", code: 0, recorded: false, condition: "" };
    if (error instanceof Failure) return answer(walk, error.condition);
    throw error;
  }
}

/** The row of the matrix, for this kind of request. */
function answer(walk: Walk, condition: string): OracleOutcome {
  const row = CONDITIONS.get(condition);
  const reply = row?.replies[walk.kind];
  if (!row || !reply || reply === "-") throw new Error(`oracle: ${condition} does not apply to ${walk.kind}`);
  const silent = reply === "S0" || reply === "Seff" || (row.qualified && walk.silenced);
  const status = reply === "UR" ? "ur" : reply === "CA" ? "ca" : "success";
  return { ok: false, answer: status, code: row.code, recorded: !silent, condition };
}

function translate(walk: Walk, state: OracleState): OracleOutcome {
  const { request, caps } = walk;
  const { address } = request;
  // Stage 0: a memory write cannot be a translation request; X-P needs PTRS.
  if (walk.translation && walk.write) throw new Refused();
  if (walk.kind === "xp" && !caps.pasidInTranslated) throw new Refused();
  // Stage 1: FEEx_xxxxh belongs to interrupts, for untranslated requests without PASID.
  if (walk.kind === "un" && inInterruptRange(address)) return interruptRange(walk, state);
  if (!state.translationEnabled) {
    if (walk.kind[0] !== "u") throw new Refused();
    return untranslated(address);
  }
  // Stage 2: the mode latched from RTADDR.TTM.
  const mode = Number(bits([state.rtaddr], 11, 10));
  if (mode === 2 || (mode === 3 && !caps.abortDma) || (mode === 1 && !caps.scalable)) throw new Failure("RTA.1.1-3");
  // The matrix has no RTA.1.4 for requests with PASID: they are RTA.2.
  if (mode === 0 && walk.ioRights && !hasPasid(request)) throw new Failure("RTA.1.4");
  if (mode === 3) throw new Failure("RTA.4");
  if (mode === 0 && hasPasid(request)) throw new Failure("RTA.2");
  if (hasPasid(request) && request.access === "x" && caps.major >= 8) throw new Failure("RTA.5");
  return mode === 0 ? legacy(walk) : scalable(walk);
}

function untranslated(address: bigint): Success {
  return { ok: true, answer: "success", address, pageSize: 1n << 64n, read: true, write: true };
}

function interruptRange(walk: Walk, state: OracleState): OracleOutcome {
  const { address, access, dword } = walk.request;
  if (access === "w" && dword) return { ...untranslated(address), answer: "interrupt" };
  if (walk.zeroLength) return untranslated(address);
  if (!state.interruptRemapping) throw new Refused();
  return { ok: false, answer: "ur", code: INTERRUPT_RANGE_CODE, recorded: true, condition: "" };
}

/** S.1 and S.2: a translation request without PASID for FEEx_xxxxh. */
function interruptCompletion(walk: Walk): OracleOutcome {
  const { address } = walk.request;
  return { ok: true, answer: "success", address, pageSize: 4096n, read: false, write: !walk.noWrite };
}

function legacy(walk: Walk): OracleOutcome {
  const { caps, request } = walk;
  const { address } = request;
  const context = legacyContext(walk);
  if (walk.translated) {
    if (caps.beyondHaw(address)) throw new Failure("LGN.1.2");
    if (inInterruptRange(address)) throw new Failure("LGN.4");
    return untranslated(address);
  }
  if (walk.translation && inInterruptRange(address)) return interruptCompletion(walk);
  if (context.type === 2) {
    if (caps.beyondHaw(address)) throw new Failure("LGN.1.3");
    if (inInterruptRange(address)) throw new Failure("LGN.4");
    return untranslated(address);
  }
  if (address >> BigInt(caps.inputBits(context.aw)) !== 0n) throw new Failure("LGN.1.1");
  const page = secondStage(walk, { legacy: true, root: context.root, aw: context.aw, dirty: false, snooped: true });
  return finish(walk, page, "LGN.4", "LGN.4");
}

function scalable(walk: Walk): OracleOutcome {
  const { caps, request } = walk;
  const found = fetchTables(walk, (address) => {
    // C17: without a host permission table the context decides alone.
    if (caps.beyondHaw(address)) throw new Failure("SGN.4.1");
    if (inInterruptRange(address)) throw new Failure("SGN.8.3");
  });
  if (found === "translated") return untranslated(request.address);
  if (found === "interrupt-range") return interruptCompletion(walk);
  if (walk.translated) return hostPermission(walk, found);
  return dispatch(walk, found);
}

function dispatch(walk: Walk, found: Found): OracleOutcome {
  switch (found.type) {
    case 1:
      return finish(walk, firstStage(walk, found), "SGN.8.1", "SGN.8.2");
    case 2:
      if (walk.request.address >> BigInt(walk.caps.inputBits(found.aw)) !== 0n) throw new Failure("SGN.5");
      return finish(walk, secondStage(walk, { ...found, legacy: false, root: found.ssRoot }), "SGN.8.1", "SGN.8.2");
    case 3:
      return finish(walk, nested(walk, found), "SGN.8.1", "SGN.8.2");
    default:
      return passThrough(walk);
  }
}

/** Output check, then the accessed and dirty bits, then the result. */
function finish(walk: Walk, page: Page, outputFails: string, rangeFails: string): OracleOutcome {
  const { address, size, read, write } = page;
  if (walk.translation) {
    const first = address & ~(size - 1n);
    if (first <= 0xfeef_ffffn && first + size > 0xfee0_0000n) throw new Failure(rangeFails);
  } else if (inInterruptRange(address)) {
    throw new Failure(outputFails);
  }
  page.commit();
  return { ok: true, answer: "success", address, pageSize: size, read, write: write && !walk.noWrite };
}
