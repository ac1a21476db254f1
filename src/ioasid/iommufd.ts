/**
 * The rules of iommufd and VFIO for PASIDs (Linux v6.15): user space picks the numbers, per device.
 *
 * Hardware page tables (HWPT) are made fit for PASIDs when they are allocated, and those attached to
 * PASIDs and to the device itself must be so together.
 */
import { checkInteger } from "../check.ts";
import type { IommuGroup, PasidDevice, PasidDomain } from "./attach.ts";
import { MAX_ID } from "./bitmap.ts";
import { NO_PASID } from "./global.ts";
import { done, fail, OK, type Result, type Status } from "./result.ts";

/** Flags of IOMMU_HWPT_ALLOC. */
export const HWPT_ALLOC_NEST_PARENT = 1;
export const HWPT_ALLOC_DIRTY_TRACKING = 2;
export const HWPT_FAULT_ID_VALID = 4;
export const HWPT_ALLOC_PASID = 8;

/** Flag of VFIO_DEVICE_ATTACH_IOMMUFD_PT and DETACH: the pasid field counts. */
export const VFIO_PASID = 1;

export interface Hwpt {
  readonly domain: PasidDomain;
  /** Allocated with HWPT_ALLOC_PASID. */
  readonly pasidCompatible: boolean;
}

/** A device bound to iommufd. */
export class IommufdDevice {
  readonly device: PasidDevice;
  readonly #group: IommuGroup;
  readonly #supportedFlags: number;
  readonly #attached: Map<number, Hwpt> = new Map();

  /** @param supportedFlags of HWPT_ALLOC that the device's driver can honour */
  constructor(device: PasidDevice, group: IommuGroup, supportedFlags: number = HWPT_ALLOC_PASID) {
    this.device = device;
    this.#group = group;
    this.#supportedFlags = supportedFlags;
  }

  /** PASIDs that have a HWPT, ascending; NO_PASID stands for the device itself. */
  get attached(): number[] {
    return [...this.#attached.keys()].sort((a, b) => a - b);
  }

  hwpt(pasid: number): Hwpt | undefined {
    return this.#attached.get(pasid);
  }

  /** Allocates a HWPT. EOPNOTSUPP: a flag that the driver does not know. */
  allocHwpt(domain: PasidDomain, flags: number): Result<Hwpt, "EOPNOTSUPP"> {
    if (flags & ~this.#supportedFlags) return fail("EOPNOTSUPP");
    return done({ domain, pasidCompatible: (flags & HWPT_ALLOC_PASID) !== 0 });
  }

  /**
   * Attaches a HWPT to a PASID, or with NO_PASID to the device itself. EINVAL: it does not go together
   * with what is attached, or another HWPT has the place (use `replace`). EBUSY: it has the place.
   */
  attach(hwpt: Hwpt, pasid: number = NO_PASID): Status {
    checkInteger("pasid", pasid, 0, MAX_ID);
    const present = this.#attached.get(pasid);
    if (present) return fail(present === hwpt ? "EBUSY" : "EINVAL");
    if (!this.#compatible(hwpt, pasid)) return fail("EINVAL");
    const status = pasid === NO_PASID ? OK : this.#group.attach(hwpt.domain, this.device, pasid);
    if (status.ok) this.#attached.set(pasid, hwpt);
    return status;
  }

  /** Puts another HWPT in place. EINVAL: there is none to replace. */
  replace(hwpt: Hwpt, pasid: number = NO_PASID): Status {
    checkInteger("pasid", pasid, 0, MAX_ID);
    const present = this.#attached.get(pasid);
    if (!present) return fail("EINVAL");
    if (present === hwpt) return OK;
    if (!this.#compatible(hwpt, pasid)) return fail("EINVAL");
    const status = pasid === NO_PASID ? OK : this.#group.replace(hwpt.domain, this.device, pasid);
    if (status.ok) this.#attached.set(pasid, hwpt);
    return status;
  }

  /** Detaches; nothing attached is fine. */
  detach(pasid: number = NO_PASID): void {
    checkInteger("pasid", pasid, 0, MAX_ID);
    const present = this.#attached.get(pasid);
    if (!present) return;
    if (pasid !== NO_PASID) this.#group.detach(present.domain, pasid);
    this.#attached.delete(pasid);
  }

  /** The device is closed or unbound. */
  detachAll(): void {
    for (const pasid of this.attached.reverse()) this.detach(pasid);
  }

  #compatible(hwpt: Hwpt, pasid: number): boolean {
    if (hwpt.pasidCompatible) return pasid === NO_PASID || (this.#attached.get(NO_PASID)?.pasidCompatible ?? true);
    // § A HWPT that is not fit for PASIDs may serve a device without any.
    return pasid === NO_PASID && this.attached.every((other) => other === NO_PASID);
  }
}

/** Arguments of VFIO_DEVICE_ATTACH_IOMMUFD_PT. */
export interface VfioAttach {
  /** Bytes of the structure as user space knows it: 12, or 16 with `pasid`. */
  argsz: number;
  flags: number;
  hwpt: Hwpt;
  pasid?: number;
}

const VFIO_MIN_BYTES = 12;
const VFIO_PASID_BYTES = 16;

/** A VFIO device file on top. */
export class VfioDevice {
  readonly #device: IommufdDevice;

  constructor(device: IommufdDevice) {
    this.#device = device;
  }

  /** EINVAL: structure too short or unknown flags. EOPNOTSUPP: no PASIDs. A second attach replaces. */
  attach({ argsz, flags, hwpt, pasid = NO_PASID }: VfioAttach): Status {
    const bad = this.#check(argsz, flags);
    if (bad) return bad;
    const at = flags & VFIO_PASID ? pasid : NO_PASID;
    return this.#device.hwpt(at) ? this.#device.replace(hwpt, at) : this.#device.attach(hwpt, at);
  }

  detach({ argsz, flags, pasid = NO_PASID }: Omit<VfioAttach, "hwpt">): Status {
    const bad = this.#check(argsz, flags);
    if (bad) return bad;
    this.#device.detach(flags & VFIO_PASID ? pasid : NO_PASID);
    return OK;
  }

  /** Closing the file detaches everything. */
  close(): void {
    this.#device.detachAll();
  }

  #check(argsz: number, flags: number): Status | undefined {
    if (argsz < (flags & VFIO_PASID ? VFIO_PASID_BYTES : VFIO_MIN_BYTES)) return fail("EINVAL");
    if (flags & ~VFIO_PASID) return fail("EINVAL");
    return flags & VFIO_PASID && this.#device.device.maxPasids === 0 ? fail("EOPNOTSUPP") : undefined;
  }
}
