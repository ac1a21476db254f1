/** A request as the Wasm core takes it: checked, with its access and kind in REQUEST_FLAG bits. */
import { REQUEST_FLAG } from "../../assembly/layout/core.ts";
import { checkBigInt, checkInteger, checkOneOf } from "../check.ts";
import { ACCESSES, ADDRESS_TYPES, type Request } from "../iommu.ts";

const MAX_PASID = 0xfffff;
const MAX_ADDRESS = 0xffff_ffff_ffff_ffffn;

export interface EncodedRequest {
  sid: number;
  pasid: number;
  address: bigint;
  /** REQUEST_FLAG bits. */
  flags: number;
}

/** @throws RangeError, TypeError for a malformed request, naming its member */
export function encodeRequest(request: Request, maxSid: number): EncodedRequest {
  const { pasid, access = "r", type = "untranslated" } = request;
  checkInteger("sid", request.sid, 0, maxSid);
  checkBigInt("address", request.address, 0n, MAX_ADDRESS);
  checkOneOf("access", access, ACCESSES);
  checkOneOf("type", type, ADDRESS_TYPES);
  const hasPasid = pasid !== undefined && pasid !== null;
  const flags =
    (access === "w" ? 0 : REQUEST_FLAG.READ) |
    (access === "w" || access === "a" ? REQUEST_FLAG.WRITE : 0) |
    (access === "x" ? REQUEST_FLAG.EXECUTE : 0) |
    (request.privileged ? REQUEST_FLAG.PRIVILEGED : 0) |
    (hasPasid ? REQUEST_FLAG.PASID : 0) |
    (type === "translation" ? REQUEST_FLAG.TRANSLATION : 0) |
    (type === "translated" ? REQUEST_FLAG.TRANSLATED : 0) |
    (request.zeroLength ? REQUEST_FLAG.ZERO_LENGTH : 0) |
    (request.noWrite ? REQUEST_FLAG.NO_WRITE : 0) |
    (request.dword ? REQUEST_FLAG.DWORD : 0) |
    (request.probe ? REQUEST_FLAG.PROBE : 0);
  return {
    sid: request.sid,
    pasid: hasPasid ? checkInteger("pasid", pasid, 0, MAX_PASID) : 0,
    address: request.address,
    flags,
  };
}
