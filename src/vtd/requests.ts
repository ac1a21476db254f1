/**
 * From requests to fault records, and page requests through their walk.
 *
 * Intel D51397, rev 5.10, "Fault Recording Registers", "Handling Page Requests".
 */
import { REQUEST_FLAG, RESULT_FLAG } from "../../assembly/layout/core.ts";
import { VTD_TAGS } from "../../assembly/layout/vtd-unit.ts";
import type { PageRequest } from "../endpoint.ts";
import type { Request } from "../iommu.ts";
import { getBits } from "../structure.ts";
import type { FaultRecord, FaultType } from "./faults.ts";
import type { VtdHardware } from "./hardware.ts";
import type { PageRequestOutcome } from "./page-requests.ts";
import type { VtdWalker } from "./walker.ts";

/** FRCD.AT */
const AT = { untranslated: 0, translation: 1, translated: 2 } as const;

/** The record of a request that failed with `reason`. */
export function faultOfRequest(reason: number, request: Request): FaultRecord {
  const { sid, address, pasid, access = "r", type = "untranslated", privileged = false } = request;
  const record: FaultRecord = {
    reason,
    sid,
    information: address,
    // A translation request is a read, whatever rights it asks for.
    type: type === "translation" || access === "r" || access === "x" ? "read" : access === "w" ? "write" : "atomic",
    at: AT[type],
    privileged,
    execute: access === "x",
  };
  return pasid === undefined || pasid === null ? record : { ...record, pasid };
}

/** The record of a request in a batch: its members as they lie in memory. */
export function faultOfFlags(reason: number, sid: number, pasid: number, address: bigint, flags: number): FaultRecord {
  const has = (flag: REQUEST_FLAG) => (flags & flag) !== 0;
  const translation = has(REQUEST_FLAG.TRANSLATION);
  let type: FaultType = "read";
  if (!translation && has(REQUEST_FLAG.WRITE)) type = has(REQUEST_FLAG.READ) ? "atomic" : "write";
  const record: FaultRecord = {
    reason,
    sid,
    information: address,
    type,
    at: translation ? AT.translation : has(REQUEST_FLAG.TRANSLATED) ? AT.translated : AT.untranslated,
    privileged: has(REQUEST_FLAG.PRIVILEGED),
    execute: has(REQUEST_FLAG.EXECUTE),
  };
  return has(REQUEST_FLAG.PASID) ? { ...record, pasid } : record;
}

/** Takes a page request along the way to its PASID entry, and queues or answers it. */
export function walkPageRequest(walker: VtdWalker, hardware: VtdHardware, request: PageRequest): PageRequestOutcome {
  const { sid, pasid, address, privileged = false, execute = false } = request;
  // § 7.4.1: while translation is off, and without page requests at all, nobody hears it.
  if (!hardware.translates || !hardware.parts.features.PRS) return "dropped";
  const flags = REQUEST_FLAG.PAGE_REQUEST | (pasid === undefined ? 0 : REQUEST_FLAG.PASID);
  const low = Number(BigInt.asUintN(32, address));
  const code = walker.walk(sid, pasid ?? 0, low, Number(address >> 32n), flags);
  const { result } = walker;
  if (code) {
    // § 7.4.1
    if (result.flags & RESULT_FLAG.RECORD) {
      const fault: FaultRecord = { reason: code, sid, information: address, type: "page", at: 0, privileged, execute };
      hardware.faults.record(pasid === undefined ? fault : { ...fault, pasid });
    }
    return hardware.pageRequests.reject(request);
  }
  const tags = BigInt(result.tags);
  const target = {
    did: Number(getBits(tags, VTD_TAGS.DID)),
    pgtt: Number(getBits(tags, VTD_TAGS.PGTT)),
    pasid: result.pasid,
  };
  return hardware.pageRequests.submit(request, target);
}
