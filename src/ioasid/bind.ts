/**
 * Binding processes to devices, as Linux v6.8 and later do it: iommu_sva_bind_device.
 *
 * One PASID per address space for all its devices, kept from the first bind until the address space
 * is gone, whatever is unbound meanwhile.
 */
import { AttachHandle, type IommuGroup, type PasidDevice, type PasidDomain } from "./attach.ts";
import type { GlobalPasids } from "./global.ts";
import { done, type Errno, fail, type Result } from "./result.ts";
import type { Mm } from "./sva.ts";

/** The translations of an address space; devices of one driver share it where the driver lets them. */
export interface SvaDomain extends PasidDomain {
  readonly type: "sva";
  readonly mm: Mm;
}

/** One bond of a device and an address space; bound twice, it is the same with two users. */
export class SvaHandle extends AttachHandle<SvaDomain> {
  readonly device: PasidDevice;
  readonly pasid: number;
  users = 1;

  constructor(domain: SvaDomain, device: PasidDevice, pasid: number) {
    super(domain);
    this.device = device;
    this.pasid = pasid;
  }
}

export class SvaBinder {
  readonly #pasids: GlobalPasids;
  readonly #groupOf: (device: PasidDevice) => IommuGroup | undefined;
  readonly #domains: Map<Mm, SvaDomain[]> = new Map();

  constructor(pasids: GlobalPasids, groupOf: (device: PasidDevice) => IommuGroup | undefined) {
    this.#pasids = pasids;
    this.#groupOf = groupOf;
  }

  /**
   * ENODEV: no group. EBUSY: devices cannot use the address space's page tables, or something else is
   * attached at its PASID. EOVERFLOW: its PASID is too wide for the device. ENOSPC: no PASID left.
   */
  bind(device: PasidDevice, mm: Mm): Result<SvaHandle> {
    const group = this.#groupOf(device);
    if (!group) return fail("ENODEV");
    const pasid = this.#pasidOf(mm, device);
    if (!pasid.ok) return pasid;
    const present = group.handle(pasid.value);
    if (present.ok) {
      const handle = present.value;
      if (!(handle instanceof SvaHandle) || handle.domain.mm !== mm) return fail("EBUSY");
      handle.users++;
      return done(handle);
    }
    return this.#attach(group, device, mm, pasid.value);
  }

  /** Undoes one bind: the last one detaches. The PASID stays the address space's. */
  unbind(handle: SvaHandle): void {
    if (handle.users === 0) throw new RangeError(`handle: ${handle.device.name} is not bound any more`);
    if (--handle.users > 0) return;
    this.#groupOf(handle.device)?.detach(handle.domain, handle.pasid);
  }

  #pasidOf(mm: Mm, device: PasidDevice): Result<number, "EBUSY" | "EOVERFLOW" | "ENOSPC"> {
    if (!mm.dmaCompatible) return fail("EBUSY");
    if (mm.pasid !== undefined) return mm.pasid >= device.maxPasids ? fail("EOVERFLOW") : done(mm.pasid);
    const pasid = this.#pasids.alloc(device);
    if (pasid === undefined) return fail("ENOSPC");
    mm.pasid = pasid;
    mm.onGone(() => {
      this.#domains.delete(mm);
      mm.pasid = undefined;
      this.#pasids.free(pasid);
    });
    return done(pasid);
  }

  /** Tries the domains the address space has, then a new one of the device's driver. */
  #attach(group: IommuGroup, device: PasidDevice, mm: Mm, pasid: number): Result<SvaHandle> {
    const domains = this.#domains.get(mm) ?? [];
    const fresh: SvaDomain = { type: "sva", driver: device.driver, mm };
    let error: Errno = "EINVAL";
    for (const domain of [...domains, fresh]) {
      const handle = new SvaHandle(domain, device, pasid);
      const status = group.attach(domain, device, pasid, handle);
      if (status.ok) {
        if (domain === fresh) this.#domains.set(mm, [...domains, fresh]);
        return done(handle);
      }
      error = status.error;
    }
    return fail(error);
  }
}
