/**
 * What devices can reach, in words that fit both vendors: who asks (requesters), by which tables
 * (address spaces), with which rights.
 */
import { PERMISSION } from "../../assembly/layout/core.ts";
import { type REACH_KIND, RIGHTS } from "../../assembly/layout/reach.ts";
import type { Permissions } from "../iommu.ts";
import type { Walker } from "../walker.ts";

/** A set of page tables, or none: everything that decides what an input address becomes. */
export interface AddressSpace {
  /** From 1, in the order found. */
  number: number;
  /** What it is, "first stage, 5 levels, tables at 0x2bec000". */
  title: string;
  /** Absent: no tables, output = input below `identity`. */
  kind?: REACH_KIND;
  /** Bytes from 0 on that are their own output. */
  identity?: bigint;
  /** PASID entry or STE, as the enumeration wants it; CD where there is one. */
  entry: readonly bigint[];
  cd: readonly bigint[];
  /** The first-stage tables belong to a guest whose memory the second stage confines. */
  nested: boolean;
  /** Input addresses that are interrupts, not memory, to requests without PASID: VT-d. */
  interrupts?: { address: bigint; bytes: bigint };
  /** Addresses of the lower, of the upper half count without their top byte: SMMUv3 TBI. */
  tagged?: { lower: boolean; upper: boolean };
  /** Where there is a second stage: what tells it from others. */
  secondStage?: string;
}

/** Which of the two privileges requests can have. */
export type Privilege = "user" | "privileged" | "both";
/** What reads count as: the tables' read permission, their execute permission, or as the request says. */
export type Instruction = "data" | "instruction" | "as asked";

/** What requests with one PASID, or without, come to. */
export interface Grant {
  /** null: requests without PASID. */
  pasid: number | null;
  /** Absent: they are refused. */
  space?: AddressSpace;
  /** Why they are refused. */
  fault?: GrantFault;
  privilege: Privilege;
  instruction: Instruction;
  /** The tag of their translations in caches, "DID 2" or "ASID 1, VMID 0". */
  tag: string;
  /** SMMUv3: the VMID among the tags. */
  vmid?: bigint;
}

export interface GrantFault {
  code: number;
  name: string;
  check: string;
}

/** Devices whose entries are alike to the last bit, and what their requests come to. */
export interface Requesters {
  /** Source-ids or StreamIDs, ascending; undefined: all there are. */
  sids: number[] | undefined;
  grants: Grant[];
  /** They may send translated requests, which name any address: trusted with ATS. */
  trusted: boolean;
}

/** Memory that the unit takes its orders from. */
export interface Structure {
  address: bigint;
  bytes: bigint;
  /** "context table". */
  role: string;
  /** It belongs to a guest: first-stage tables below a second stage. */
  guest: boolean;
}

/** All of a unit's tables but the page tables themselves. */
export interface Survey {
  /** Mode of the unit in a few words, "scalable mode". */
  mode: string;
  requesters: Requesters[];
  spaces: AddressSpace[];
  structures: Structure[];
  /** What could not be read or was left out. */
  notes: string[];
}

/** At most this many grants are looked at; a table that links itself could name 2^36. */
export const MAX_GRANTS = 1_048_576;

const PRIVILEGED_SHIFT = RIGHTS.PRIVILEGED & 0xff;

/** What a run of RIGHTS lets the requests of a grant do. */
export function permissionsOf(
  rights: number,
  { privilege, instruction }: Pick<Grant, "privilege" | "instruction">,
): {
  user: Permissions | undefined;
  privileged: Permissions | undefined;
} {
  return {
    user: privilege === "privileged" ? undefined : effective(rights, instruction),
    privileged: privilege === "user" ? undefined : effective(rights >>> PRIVILEGED_SHIFT, instruction),
  };
}

function effective(rights: number, instruction: Instruction): Permissions {
  const read = (rights & PERMISSION.READ) !== 0;
  const execute = (rights & PERMISSION.EXECUTE) !== 0;
  return {
    read: instruction === "instruction" ? execute : read,
    write: (rights & PERMISSION.WRITE) !== 0,
    execute: instruction === "data" ? read : execute,
  };
}

/** Whether some request of a grant may read, write. */
export function allows(rights: number, grant: Pick<Grant, "privilege" | "instruction">, access: "r" | "w"): boolean {
  const { user, privileged } = permissionsOf(rights, grant);
  return access === "r"
    ? (user?.read ?? false) || (privileged?.read ?? false)
    : (user?.write ?? false) || (privileged?.write ?? false);
}

/** RIGHTS of output = input. */
export const ALL_RIGHTS: number =
  (PERMISSION.READ | PERMISSION.WRITE | PERMISSION.EXECUTE) * (1 + 2 ** PRIVILEGED_SHIFT);

const UNPRIVILEGED_RIGHTS = ALL_RIGHTS % 2 ** PRIVILEGED_SHIFT;

/** RIGHTS that requests of these grants can make use of: those of the privileges that they can have. */
export function rightsMask(grants: readonly Pick<Grant, "privilege">[]): number {
  const user = grants.some(({ privilege }) => privilege !== "privileged");
  const privileged = grants.some(({ privilege }) => privilege !== "user");
  return (user ? UNPRIVILEGED_RIGHTS : 0) + (privileged ? ALL_RIGHTS - UNPRIVILEGED_RIGHTS : 0);
}

/** Whether translated requests of a device go where they say. */
export function passesTranslated(walker: Walker, sid: number): boolean {
  const outcome = walker.translate({ sid, address: 0n, type: "translated", probe: true });
  return outcome.ok && outcome.bypass;
}

/** Numbers spaces as they turn up; those alike by `key` are one. */
export class Spaces {
  readonly list: AddressSpace[] = [];
  readonly #byKey = new Map<string, AddressSpace>();

  find(key: string, make: () => Omit<AddressSpace, "number">): AddressSpace {
    let space = this.#byKey.get(key);
    if (!space) {
      space = { number: this.list.length + 1, ...make() };
      this.list.push(space);
      this.#byKey.set(key, space);
    }
    return space;
  }
}
