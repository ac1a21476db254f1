/**
 * Devices as the unit sees them: who takes invalidation requests and page group responses.
 *
 * Intel D51397, rev 5.10, "Device-TLB Invalidate" and "Page Group Response"; PCIe Address Translation
 * Services.
 */

import { PAGE_SHIFT } from "../../assembly/layout/vtd.ts";
import {
  DEV_TLB_INV,
  P_DEV_TLB_INV,
  PAGE_GRP_RESP,
  PFSID_LOW_BITS,
  TYPE,
} from "../../assembly/layout/vtd-descriptors.ts";
import type { DeviceInvalidation, Endpoint, PageGroupResponse } from "../endpoint.ts";
import { getField, getInPlace } from "../structure.ts";

const MIP_ALL = 32;

export class DeviceMessages {
  readonly #endpoints = new Map<number, Endpoint>();

  attach(sid: number, endpoint: Endpoint): void {
    this.#endpoints.set(sid, endpoint);
  }

  detach(sid: number): void {
    this.#endpoints.delete(sid);
  }

  /** Delivers a device-TLB descriptor. Returns the source-id of a device that does not answer. */
  invalidate(type: TYPE, words: readonly bigint[], throttled: boolean): number | undefined {
    const withPasid = type === TYPE.P_DEV_TLB_INV;
    const layout = withPasid ? P_DEV_TLB_INV : DEV_TLB_INV;
    const sid = Number(getField(words, layout.SID));
    const invalidation: DeviceInvalidation = {
      ...rangeOf(getInPlace(words, layout.ADDR), getField(words, layout.S) === 1n),
      global: withPasid && getField(words, P_DEV_TLB_INV.GI) === 1n,
    };
    if (withPasid) invalidation.pasid = Number(getField(words, P_DEV_TLB_INV.PASID));
    if (throttled) {
      const high = Number(getField(words, layout.PFSID_HIGH));
      invalidation.pfsid = high * 2 ** PFSID_LOW_BITS + Number(getField(words, layout.PFSID_LOW));
      invalidation.maxPending = Number(getField(words, layout.MIP)) || MIP_ALL;
    }
    return this.#endpoints.get(sid)?.invalidate(invalidation) ? undefined : sid;
  }

  /** Delivers a page group response descriptor; a device that is not there misses it. */
  respond(words: readonly bigint[]): void {
    const response: PageGroupResponse = {
      group: Number(getField(words, PAGE_GRP_RESP.PRGI)),
      code: Number(getField(words, PAGE_GRP_RESP.RC)),
    };
    if (getField(words, PAGE_GRP_RESP.PP)) response.pasid = Number(getField(words, PAGE_GRP_RESP.PASID));
    this.sendResponse(Number(getField(words, PAGE_GRP_RESP.RID)), response);
  }

  /** A response that the unit makes up itself. */
  sendResponse(sid: number, response: PageGroupResponse): void {
    this.#endpoints.get(sid)?.respond(response);
  }
}

/** § 6.5.2.5: with S = 1 the lowest zero bit from bit 12 up gives the size; all ones is everything. */
function rangeOf(address: bigint, sized: boolean): { address: bigint; size: bigint } {
  let shift = BigInt(PAGE_SHIFT);
  if (!sized) return { address, size: 1n << shift };
  while (shift < 63n && address & (1n << shift)) shift++;
  const size = 1n << (shift + 1n);
  return { address: address & ~(size - 1n), size };
}
