/**
 * The guest's side of the virtual command interface: a custom allocator that asks the host.
 *
 * What Linux v5.8 to v6.3 did when its VT-d driver found itself in a guest. PASID tables were shared
 * with the host then, so a guest's PASIDs had to come from the host's space.
 */
import { CAP, ECAP } from "../../assembly/layout/vtd-capabilities.ts";
import { REG, VCMD_COMMAND } from "../../assembly/layout/vtd-registers.ts";
import { checkInteger, checkOneOf } from "../check.ts";
import { getBits, putBits } from "../structure.ts";
import { VCMD_ERAS, VCMD_LAYOUTS, type VcmdEra, type VcmdLayout } from "../vtd/vcmd-layout.ts";
import { MAX_ID } from "./bitmap.ts";
import type { Ioasid } from "./ioasid.ts";
import type { Log } from "./profile.ts";

/** Register accesses as the guest's CPU makes them; a `RegisterFile` or a unit is one. */
export interface RegisterAccess {
  read(offset: number, bytes: number): bigint;
  write(offset: number, bytes: number, value: bigint): void;
}

export interface GuestIommuOptions {
  registers: RegisterAccess;
  /** The guest's own space; its rules and log are used. */
  ids: Ioasid;
  /** What the guest's kernel takes the interface for: "C" unless told. */
  era?: VcmdEra;
  /** Whether the guest runs the unit in scalable mode; true unless told. */
  scalableMode?: boolean;
  /** Reads of VCRSP before the driver gives the hardware up; 1,000,000 unless told (Linux: 10 s). */
  maxPolls?: number;
  /** Runs between two reads of VCRSP. */
  relax?: () => void;
}

/** IP stayed set: Linux panics ("DMAR hardware is malfunctioning"), there is no errno for it. */
export class VcmdTimeout extends Error {
  override readonly name: string = "VcmdTimeout";
}

export type VcmdRegistration =
  | { registered: true; iommu: GuestIommu }
  /** "native": no caching mode, so no guest. "refused": another allocator is in the way. */
  | { registered: false; reason: "native" | "no scalable mode" | "no virtual commands" | "refused" };

/**
 * Boot: looks whether this is a guest whose host hands PASIDs out, and if so registers the allocator.
 * Several units register as one group, which goes through the first one's registers.
 */
export function registerVcmdAllocator(options: GuestIommuOptions): VcmdRegistration {
  const { registers, ids, scalableMode = true } = options;
  // § Only emulated units report caching mode.
  if (!getBits(registers.read(REG.CAP, QWORD), CAP.CM)) return { registered: false, reason: "native" };
  const ecap = registers.read(REG.ECAP, QWORD);
  if (!scalableMode || !getBits(ecap, ECAP.SMTS)) {
    ids.log({ level: "warn", message: "a guest without scalable mode has no PASIDs to allocate" });
    return { registered: false, reason: "no scalable mode" };
  }
  const iommu = new GuestIommu(options);
  if (!iommu.allocatesPasids) return { registered: false, reason: "no virtual commands" };
  const status = ids.registerAllocator({ alloc: allocByVcmd, free: freeByVcmd, pdata: iommu });
  if (status.ok) return { registered: true, iommu };
  ids.log({ level: "warn", message: `scalable mode disabled: no PASID allocator (${status.error})` });
  return { registered: false, reason: "refused" };
}

const QWORD = 8;

/** One virtual unit, as its driver in the guest sees it. */
export class GuestIommu {
  /** PASIDs that its tables can hold, a count: 2 << ECAP.PSS. */
  readonly maxPasids: number;
  /** ECAP.VCS and VCCAP say so; read once, as every read is a VM exit. */
  readonly allocatesPasids: boolean;
  readonly ids: Ioasid;
  readonly #registers: RegisterAccess;
  readonly #layout: VcmdLayout;
  readonly #maxPolls: number;
  readonly #relax: () => void;

  constructor(options: GuestIommuOptions) {
    this.#registers = options.registers;
    this.ids = options.ids;
    this.#layout = VCMD_LAYOUTS[checkOneOf("era", options.era ?? "C", VCMD_ERAS)];
    this.#maxPolls = checkInteger("maxPolls", options.maxPolls ?? 1_000_000, 1, Number.MAX_SAFE_INTEGER);
    this.#relax = options.relax ?? (() => {});
    const ecap = this.#registers.read(REG.ECAP, QWORD);
    this.maxPasids = Math.min(2 ** (Number(getBits(ecap, ECAP.PSS)) + 1), MAX_ID + 1);
    this.allocatesPasids = getBits(ecap, ECAP.VCS) !== 0n && this.#capable();
  }

  get #log(): Log {
    return this.ids.log;
  }

  /** Asks the host for a PASID. ENOSPC: none left. ENODEV: anything else went wrong. */
  alloc(): { ok: true; pasid: number } | { ok: false; error: "ENOSPC" | "ENODEV" } {
    const response = this.#command(putBits(0n, this.#layout.command, VCMD_COMMAND.ALLOCATE_PASID));
    const status = Number(getBits(response, this.#layout.status));
    if (status === 0) return { ok: true, pasid: Number(getBits(response, this.#layout.allocatedPasid)) };
    if (status === this.#layout.noPasid) {
      this.#log({ level: "info", message: "the host has no PASID left" });
      return { ok: false, error: "ENOSPC" };
    }
    this.#log({ level: "warn", message: `unexpected error code ${status} of the virtual command` });
    return { ok: false, error: "ENODEV" };
  }

  /** Gives a PASID back. Whatever the host says, this cannot fail. */
  free(pasid: number): void {
    const command = putBits(0n, this.#layout.command, VCMD_COMMAND.FREE_PASID);
    const response = this.#command(putBits(command, this.#layout.freePasid, pasid));
    const status = Number(getBits(response, this.#layout.status));
    if (status === 0) return;
    if (status === this.#layout.noPasid) this.#log({ level: "info", message: `the host does not know PASID ${pasid}` });
    else this.#log({ level: "warn", message: `unexpected error code ${status} of the virtual command` });
  }

  #capable(): boolean {
    return getBits(this.#registers.read(this.#layout.registers.VCCAP, QWORD), this.#layout.pasidSupport) !== 0n;
  }

  /** § One 64-bit write, then 64-bit reads until IP is clear; the last one read is the response. */
  #command(command: bigint): bigint {
    const { registers, inProgress } = this.#layout;
    this.#registers.write(registers.VCMD, QWORD, command);
    for (let polls = 0; polls < this.#maxPolls; polls++) {
      const response = this.#registers.read(registers.VCRSP, QWORD);
      if (!getBits(response, inProgress)) return response;
      this.#relax();
    }
    throw new VcmdTimeout(`virtual command 0x${command.toString(16)} is still in progress`);
  }
}

/** The range stays here: the host decides, and only what makes no sense is turned down. */
function allocByVcmd(min: number, max: number, iommu: GuestIommu): number | undefined {
  const beyond = iommu.ids.rules === "strict" ? max >= iommu.maxPasids : max > iommu.maxPasids;
  if (min < 1 || beyond) return undefined;
  const answer = iommu.alloc();
  return answer.ok ? answer.pasid : undefined;
}

function freeByVcmd(pasid: number, iommu: GuestIommu): void {
  // § The kernel took anything but NULL for "still active": data not yet cleared, and error pointers.
  if (iommu.ids.rules === "compat" && iommu.ids.find(null, pasid).kind !== "none") {
    iommu.ids.log({ level: "error", message: `cannot free active IOASID ${pasid}` });
    return;
  }
  iommu.free(pasid);
}
