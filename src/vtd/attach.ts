/** The worker's end of `share`. */
import { REQUEST, REQUEST_BYTES, RESULT_BYTES } from "../../assembly/layout/core.ts";
import { VTD } from "../../assembly/layout/vtd-unit.ts";
import type { Core } from "../core/core.ts";
import type { Vendor } from "../walk/vendor.ts";
import { AttachedWalker } from "../workers/attached.ts";
import type { WalkerHandle } from "../workers/handle.ts";
import { refuseProtected } from "./batch.ts";
import { isBlocked } from "./protected-memory.ts";
import { PROTECTED_BYTES, vtdVendor } from "./walker.ts";

/**
 * Makes the walker that a handle stands for, in the worker thread that it was posted to.
 * @throws TypeError when it is no handle of a VT-d walker; Error when it is attached already, or was detached
 */
export function attachVtdWalker(handle: WalkerHandle): AttachedWalker {
  return new AttachedWalker(handle, "vtd", (core) => protecting(core, vtdVendor(core.exports, handle.cached)));
}

/** With the protected regions of the unit, whose registers are elsewhere. */
function protecting(core: Core, vendor: Vendor): Vendor {
  const refuse = (unit: number, flags: number, result: number) => {
    const inForce = protectedIn(core.view, unit);
    refuseProtected(core, flags, result, (address, asIs) => isBlocked(inForce, address, asIs));
  };
  const isOn = (unit: number): boolean => core.view.getUint32(unit + VTD.PROTECTED_COUNT, true) !== 0;
  return {
    ...vendor,
    walk: (unit, sid, pasid, low, high, flags, result) => {
      const code = vendor.walk(unit, sid, pasid, low, high, flags, result);
      if (isOn(unit)) refuse(unit, flags, result);
      return code;
    },
    walkMany: (unit, requests, results, count) => {
      const faults = vendor.walkMany(unit, requests, results, count);
      for (let i = 0; isOn(unit) && i < count; i++) {
        const flags = core.view.getUint32(requests + i * REQUEST_BYTES + REQUEST.FLAGS, true);
        refuse(unit, flags, results + i * RESULT_BYTES);
      }
      return faults;
    },
  };
}

function protectedIn(view: DataView, unit: number) {
  const regions = Array.from({ length: view.getUint32(unit + VTD.PROTECTED_COUNT, true) }, (_, i) => {
    const at = unit + VTD.PROTECTED + i * PROTECTED_BYTES;
    return { first: view.getBigUint64(at, true), last: view.getBigUint64(at + PROTECTED_BYTES / 2, true) };
  });
  return { regions, always: view.getUint32(unit + VTD.PROTECTED_ALWAYS, true) !== 0 };
}
