/**
 * Attaching domains to devices per PASID, as Linux v6.2 and later do it.
 *
 * A group of devices that cannot be told apart shares its attachments: one domain per PASID, on all
 * members or on none. Which number is used is the caller's business: it need not come from
 * `GlobalPasids`.
 */
import { checkInteger } from "../check.ts";
import { MAX_ID } from "./bitmap.ts";
import { NO_PASID } from "./global.ts";
import { type Log, NO_LOG } from "./profile.ts";
import { type Errno, fail, OK, type Result, type Status } from "./result.ts";

/** What a PASID's translations are. */
export type DomainType = "dma" | "sva" | "nested" | "blocked";

/** An IOMMU driver, as far as attaching goes. */
export interface PasidDriver {
  readonly name: string;
  /** Whether it attaches per PASID at all. */
  readonly perPasid: boolean;
  /**
   * Switches a device's PASID from `old` (null: blocked) to `domain`: programs its table and
   * invalidates. On failure nothing may have changed.
   */
  set(device: PasidDevice, pasid: number, domain: PasidDomain, old: PasidDomain | null): Status;
  /** Blocks a device's PASID: clears the entry, invalidates, drains page requests. Cannot fail. */
  block(device: PasidDevice, pasid: number, old: PasidDomain): void;
}

/** A set of translations that can be attached. */
export interface PasidDomain {
  readonly type: DomainType;
  readonly driver: PasidDriver;
}

export interface PasidDevice {
  readonly name: string;
  readonly driver: PasidDriver;
  /** PASIDs it can use, a count; 0 for none. */
  readonly maxPasids: number;
}

/** Answers a page request; called once. */
export type RespondToFault = (answer: "success" | "failure") => void;

/** One attachment: what faults of its PASID are delivered to. */
export class AttachHandle<D extends PasidDomain = PasidDomain> {
  domain: D;
  readonly #undelivered: RespondToFault[] = [];

  constructor(domain: D) {
    this.domain = domain;
  }

  /** A page request waits for the owner. */
  queue(respond: RespondToFault): void {
    this.#undelivered.push(respond);
  }

  /** The owner takes the next page request. */
  next(): RespondToFault | undefined {
    return this.#undelivered.shift();
  }

  /** Nobody will take them any more. */
  fail(): void {
    for (const respond of this.#undelivered.splice(0)) respond("failure");
  }
}

export class IommuGroup {
  readonly devices: PasidDevice[];
  readonly #log: Log;
  readonly #handles: Map<number, AttachHandle> = new Map();
  /** A member is being reset or recovered: attachments cannot change for the better. */
  resetting = false;

  constructor(devices: readonly PasidDevice[], log: Log = NO_LOG) {
    this.devices = [...devices];
    this.#log = log;
  }

  /** PASIDs that have something attached, ascending. */
  get attached(): number[] {
    return [...this.#handles.keys()].sort((a, b) => a - b);
  }

  /**
   * Where a fault of a PASID goes. ENOENT: nothing is attached. EBUSY: something of another type,
   * whose owner could not make sense of it.
   */
  handle(pasid: number, type?: DomainType): Result<AttachHandle, "ENOENT" | "EBUSY"> {
    const handle = this.#handles.get(pasid);
    if (!handle) return fail("ENOENT");
    return type === undefined || handle.domain.type === type ? { ok: true, value: handle } : fail("EBUSY");
  }

  /**
   * Attaches a domain to a PASID of all members that have PASIDs, or (on failure) of none.
   * @param device the member it is for; null or no member: ENODEV
   * @returns EOPNOTSUPP: the domain's driver cannot. EINVAL: the domain is another driver's, or the
   *   PASID is 0 or beyond a member's. EBUSY: the PASID is taken, or the group is in reset. Else what
   *   the driver said.
   * @throws RangeError, TypeError when `pasid` is no 20-bit number
   */
  attach(domain: PasidDomain, device: PasidDevice | null, pasid: number, handle?: AttachHandle): Status {
    checkInteger("pasid", pasid, 0, MAX_ID);
    const bad = this.#unfit(domain, device, pasid);
    if (bad) return fail(bad);
    if (this.resetting || this.#handles.has(pasid)) return fail("EBUSY");
    const status = this.#setAll(domain, pasid, null);
    if (!status.ok) return status;
    const attached = handle ?? new AttachHandle(domain);
    attached.domain = domain;
    this.#handles.set(pasid, attached);
    return OK;
  }

  /**
   * Puts another domain in the place of the attached one, without a gap. On failure the old one stays.
   * EINVAL also when nothing is attached. The hardware changes first and the handle last, so that
   * faults still on their way reach the old owner.
   */
  replace(domain: PasidDomain, device: PasidDevice | null, pasid: number, handle?: AttachHandle): Status {
    checkInteger("pasid", pasid, 0, MAX_ID);
    const bad = this.#unfit(domain, device, pasid);
    if (bad) return fail(bad);
    const old = this.#handles.get(pasid);
    if (!old) return fail("EINVAL");
    if (this.resetting) return fail("EBUSY");
    if (old.domain !== domain) {
      const status = this.#setAll(domain, pasid, old.domain);
      if (!status.ok) return status;
    }
    const next = handle ?? new AttachHandle(domain);
    next.domain = domain;
    this.#handles.set(pasid, next);
    if (next !== old) old.fail();
    return OK;
  }

  /**
   * Blocks the PASID on all members, and only then drops the handle: undelivered page requests fail.
   * The device must not use the PASID any more.
   */
  detach(domain: PasidDomain, pasid: number): void {
    const handle = this.#handles.get(pasid);
    if (handle?.domain !== domain) {
      this.#log({ level: "warn", message: `detach of PASID ${pasid}: the domain is not attached there` });
    }
    if (!handle) return;
    for (const device of this.#members()) device.driver.block(device, pasid, handle.domain);
    handle.fail();
    this.#handles.delete(pasid);
  }

  /** § The order of the checks is the kernel's. */
  #unfit(domain: PasidDomain, device: PasidDevice | null, pasid: number): Errno | undefined {
    if (!domain.driver.perPasid) return "EOPNOTSUPP";
    if (!device || !this.devices.includes(device)) return "ENODEV";
    if (device.driver !== domain.driver || pasid === NO_PASID) return "EINVAL";
    if (this.#members().some(({ maxPasids }) => pasid >= maxPasids)) return "EINVAL";
    return device.maxPasids === 0 ? "EINVAL" : undefined;
  }

  /** Members without PASIDs take no part. */
  #members(): PasidDevice[] {
    return this.devices.filter(({ maxPasids }) => maxPasids > 0);
  }

  #setAll(domain: PasidDomain, pasid: number, old: PasidDomain | null): Status {
    const switched: PasidDevice[] = [];
    const undo = (): void => {
      for (const device of switched.reverse()) {
        if (old) device.driver.set(device, pasid, old, domain);
        else device.driver.block(device, pasid, domain);
      }
    };
    for (const device of this.#members()) {
      let status: Status | undefined;
      try {
        status = device.driver.set(device, pasid, domain, old);
      } finally {
        if (!status?.ok) undo();
      }
      if (!status.ok) return status;
      switched.push(device);
    }
    return OK;
  }
}
