/** From what a walk concluded to the event that tells software: Arm IHI 0070 7.3. */
import { REQUEST_FLAG, RESULT } from "../../assembly/layout/core.ts";
import { EVENT_CLASS, EVENT_NUMBER } from "../../assembly/layout/smmuv3-faults.ts";
import type { Core } from "../core/core.ts";
import type { Fault, Request } from "../iommu.ts";
import type { SmmuEvent } from "./event-record.ts";

/**
 * The event of a fault, without the fields of a stall.
 * @param result pointer to the walk's result: it has the access as the STE overrides it
 * @param mayWrite whether a mere write of the same request would be permitted; asked for atomics only
 */
export function eventOf(
  request: Request,
  fault: Fault,
  core: Core,
  result: number,
  mayWrite: (request: Request) => boolean,
): SmmuEvent {
  const { access = "r" } = request;
  const effective = core.view.getUint32(result + RESULT.EFFECTIVE, true);
  // § 13.1.1: an atomic is reported as a write, unless reading is all that it may not do.
  const isAtomicRead =
    access === "a" && fault.code === EVENT_NUMBER.F_PERMISSION && isInput(fault) && mayWrite(request);
  const isRead = access === "r" || access === "x" || isAtomicRead;
  return {
    number: fault.code,
    StreamID: request.sid,
    SubstreamID: request.pasid ?? null,
    PnU: (effective & REQUEST_FLAG.PRIVILEGED) !== 0,
    // § 7.3: InD is 0 for writes.
    InD: access !== "a" && isRead && (effective & REQUEST_FLAG.EXECUTE) !== 0,
    RnW: isRead,
    S2: fault.stage === 2,
    CLASS: fault.class,
    TTRnW: isTableAccess(fault) && !fault.tableWrite,
    InputAddr: request.address,
    IPA: fault.stage === 2 ? fault.ipa : 0n,
    FetchAddr: fault.fetchAddress,
    ...(fault.code === EVENT_NUMBER.F_BAD_ATS_TREQ ? translationRequest(request) : {}),
  };
}

function isInput(fault: Fault): boolean {
  return fault.class === EVENT_CLASS.IN;
}

/** § 7.3.16: TTRnW counts for accesses to translation tables. */
function isTableAccess(fault: Fault): boolean {
  return fault.class === EVENT_CLASS.TT;
}

/** § 7.3.6: what a translation request asked for. Reading always is; without a PASID neither Exec nor Priv. */
function translationRequest(request: Request): Partial<SmmuEvent> {
  const hasPasid = typeof request.pasid === "number";
  return {
    Span: 1,
    Read: true,
    Write: request.noWrite !== true,
    Exec: hasPasid && request.access === "x",
    Priv: hasPasid && request.privileged === true,
  };
}
