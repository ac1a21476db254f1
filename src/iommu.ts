/**
 * The contract both vendors meet: what a device asks, and what it gets.
 *
 * Words follow PCIe: a *PASID* is what SMMUv3 calls a SubstreamID, `sid` is VT-d's source-id
 * (bus << 8 | device << 3 | function) and SMMUv3's StreamID. Addresses are bigints here, at the edge;
 * the hot paths below take 32-bit halves.
 */

/** Read, write, execute (instruction fetch) or atomic (read and write). */
export type Access = "r" | "w" | "x" | "a";
export const ACCESSES: readonly Access[] = ["r", "w", "x", "a"];

/** The address type of a PCIe request (ATS): AT = 00b, 01b, 10b. */
export type AddressType = "untranslated" | "translation" | "translated";
export const ADDRESS_TYPES: readonly AddressType[] = ["untranslated", "translation", "translated"];

/** One request of a device. */
export interface Request {
  /** VT-d source-id (16 bits), SMMUv3 StreamID (32 bits). */
  sid: number;
  /** 20 bits; absent or null = a request without PASID. */
  pasid?: number | null;
  /** Input address (IOVA), 64 bits. */
  address: bigint;
  /** What is wanted; "r" unless told. */
  access?: Access;
  /** Privileged-mode request; counts on PCIe only together with a PASID. */
  privileged?: boolean;
  /** "untranslated" unless told. */
  type?: AddressType;
  /** A zero-length read (VT-d CAP.ZLR). */
  zeroLength?: boolean;
  /** NW: a translation request that asks for read permission only. */
  noWrite?: boolean;
  /** Exactly one aligned dword: what makes a VT-d write to FEEx_xxxxh an interrupt request. */
  dword?: boolean;
  /** Look, but leave accessed and dirty bits as they are. */
  probe?: boolean;
}

/** What the device gets back. */
export type Answer = "success" | "ur" | "ca" | "abort" | "raz-wi" | "stall" | "interrupt";
/** In the order of ANSWER in `assembly/layout/core.ts`. */
export const ANSWERS: readonly Answer[] = ["success", "ur", "ca", "abort", "raz-wi", "stall", "interrupt"];

export interface Permissions {
  read: boolean;
  write: boolean;
  execute: boolean;
}

/** The access may proceed. */
export interface Translation {
  ok: true;
  answer: "success" | "interrupt";
  /** Output address: host physical, or intermediate for SMMUv3 split-stage ATS. */
  address: bigint;
  /** Bytes around `address` that translate alike: the leaf's size; 2^64 for bypass. */
  pageSize: bigint;
  /** What the tables grant at the request's privilege. */
  permissions: Permissions;
  /** The vendor's memory attributes, see `VtdAttributes` and `SmmuAttributes`. */
  attributes: number;
  /** Input = output: pass-through, bypass or translation off. */
  bypass: boolean;
  /** The walk set accessed or dirty bits in memory. */
  updated: boolean;
}

/** The access may not proceed, and why. */
export interface Fault {
  ok: false;
  answer: Exclude<Answer, "interrupt">;
  /** VT-d fault reason or SMMUv3 event number; 0 where the architecture reports none. */
  code: number;
  /** The architecture's name of `code`, "" for 0. */
  name: string;
  /** Whether a fault record or event is to be written (FPD, CD.R and the like applied). */
  recorded: boolean;
  /** Rule that failed. */
  check: string;
  /** 1 or 2 where a stage of translation failed, else 0. */
  stage: number;
  /** Level of the entry at fault. */
  level: number;
  /** Physical address of the entry or access at fault. */
  fetchAddress: bigint;
  /** SMMUv3 IPA, VT-d guest physical address, where one is known. */
  ipa: bigint;
  /** First word of the entry at fault. */
  entry: bigint;
  /** SMMUv3 CLASS: 0 CD, 1 translation table, 2 input. */
  class: number;
  /** The failing table access was a write (SMMUv3 TTRnW = 0). */
  tableWrite: boolean;
}

export type Outcome = Translation | Fault;

/** What a device gets where the architecture neither numbers nor records why. */
export function silentFault(answer: Fault["answer"], check = ""): Fault {
  return {
    ok: false,
    answer,
    code: 0,
    name: "",
    recorded: false,
    check,
    stage: 0,
    level: 0,
    fetchAddress: 0n,
    ipa: 0n,
    entry: 0n,
    class: 0,
    tableWrite: false,
  };
}

/** Takes a message-signalled interrupt that a unit sends: a write of the dword `data` to `address`. */
export type InterruptSink = (address: bigint, data: number) => void;

/** A check that a walk made. */
export interface TraceCheck {
  /** Short name, e.g. "LCT.2". */
  id: string;
  /** The rule in words. */
  rule: string;
  /** Section of the specification or fact it implements. */
  section: string;
  failed: boolean;
}

/** One entry that a traced walk read. */
export interface TraceStep {
  /** Name of the structure, as in `structures` of the vendor. */
  structure: string;
  /** 1, 2 or 0. */
  stage: number;
  level: number;
  /** Guest physical address of the entry. */
  address: bigint;
  /** Index of the entry in its table. */
  index: bigint;
  /** As read, 64-bit words; empty when the read failed. */
  words: readonly bigint[];
  /** In the order they were made; a failed one is the last. */
  checks: readonly TraceCheck[];
  /** First word after an accessed/dirty update. */
  updated?: bigint;
}

export interface Trace {
  outcome: Outcome;
  steps: readonly TraceStep[];
}
