/** What a walk says: the result block in linear memory, bare numbers for hot paths, the contract's Outcome. */
import { PERMISSION, RESULT, RESULT_FLAG } from "../../assembly/layout/core.ts";
import type { Core } from "../core/core.ts";
import { ANSWERS, type Fault, type Outcome } from "../iommu.ts";
import type { Vendor } from "./vendor.ts";

/** A result block in linear memory. Reading its members makes no garbage, except `address`. */
export class WalkResult {
  readonly #core: Core;
  readonly ptr: number;
  constructor(core: Core, ptr: number) {
    this.#core = core;
    this.ptr = ptr;
  }
  /** Fault reason or event number, 0 = none. */
  get code(): number {
    return this.#core.u32[(this.ptr + RESULT.CODE) >> 2] as number;
  }
  /** RESULT_FLAG bits. */
  get flags(): number {
    return this.#core.u32[(this.ptr + RESULT.FLAGS) >> 2] as number;
  }
  /** ANSWER. */
  get answer(): number {
    return this.flags & RESULT_FLAG.ANSWER;
  }
  get addressLow(): number {
    return this.#core.u32[(this.ptr + RESULT.ADDRESS) >> 2] as number;
  }
  get addressHigh(): number {
    return this.#core.u32[(this.ptr + RESULT.ADDRESS + 4) >> 2] as number;
  }
  get address(): bigint {
    return this.#core.view.getBigUint64(this.ptr + RESULT.ADDRESS, true);
  }
  /** log2 of the bytes that translate alike. */
  get pageShift(): number {
    return this.#core.u8[this.ptr + RESULT.PAGE_SHIFT] as number;
  }
  /** PERMISSION bits. */
  get permissions(): number {
    return this.#core.u8[this.ptr + RESULT.PERMISSIONS] as number;
  }
  /** The vendor's memory attributes. */
  get attributes(): number {
    return this.#core.view.getUint16(this.ptr + RESULT.ATTRIBUTES, true);
  }
  /** The vendor's cache tags: VT-d DID | PGTT << 16. */
  get tags(): number {
    return this.#core.u32[(this.ptr + RESULT.TAGS) >> 2] as number;
  }
  /** PASID / SubstreamID that selected the tables. */
  get pasid(): number {
    return this.#core.u32[(this.ptr + RESULT.PASID) >> 2] as number;
  }
}

/**
 * What a walk says, in an object of the caller's: numbers only, so that filling it makes no garbage. Make it
 * once, with a number in every member: V8 keeps numbers of 2^31 and more in place only in a member that has
 * never held anything but numbers.
 */
export interface BareResult {
  /** Fault reason or event number, 0 = none. */
  code: number;
  /** RESULT_FLAG bits. */
  flags: number;
  /** Halves of the output address. */
  addressLow: number;
  addressHigh: number;
  /** log2 of the bytes that translate alike. */
  pageShift: number;
  /** PERMISSION bits. */
  permissions: number;
  /** The vendor's memory attributes. */
  attributes: number;
}

/** Where a result's words are, in units of 32 bits. */
const CODE_WORD = RESULT.CODE >> 2;
const FLAGS_WORD = RESULT.FLAGS >> 2;
const ADDRESS_WORD = RESULT.ADDRESS >> 2;
const SMALL_WORD = RESULT.PAGE_SHIFT >> 2;
/** Where the small numbers of a result are within their 32-bit word: a call pays for every load. */
const PERMISSIONS_SHIFT = 8 * (RESULT.PERMISSIONS - RESULT.PAGE_SHIFT);
const ATTRIBUTES_SHIFT = 8 * (RESULT.ATTRIBUTES - RESULT.PAGE_SHIFT);
const BYTE = 0xff;

/** Copies the first part of the result at `ptr`. */
export function copyResult(u32: Uint32Array, ptr: number, into: BareResult): void {
  const at = ptr >>> 2;
  const small = u32[at + SMALL_WORD] as number;
  into.code = u32[at + CODE_WORD] as number;
  into.flags = u32[at + FLAGS_WORD] as number;
  into.addressLow = u32[at + ADDRESS_WORD] as number;
  into.addressHigh = u32[at + ADDRESS_WORD + 1] as number;
  into.pageShift = small & BYTE;
  into.permissions = (small >>> PERMISSIONS_SHIFT) & BYTE;
  into.attributes = small >>> ATTRIBUTES_SHIFT;
}

/** What the result at `ptr` says, in the contract's words. */
export function decodeResult(core: Core, vendor: Vendor, ptr: number): Outcome {
  const { u8, u32, view } = core;
  const code = u32[(ptr + RESULT.CODE) >> 2] as number;
  const flags = u32[(ptr + RESULT.FLAGS) >> 2] as number;
  const answer = ANSWERS[flags & RESULT_FLAG.ANSWER] as (typeof ANSWERS)[number];
  const permissions = u8[ptr + RESULT.PERMISSIONS] as number;
  if (code === 0 && (answer === "success" || answer === "interrupt")) {
    return {
      ok: true,
      answer,
      address: view.getBigUint64(ptr + RESULT.ADDRESS, true),
      pageSize: 1n << BigInt(u8[ptr + RESULT.PAGE_SHIFT] as number),
      permissions: {
        read: (permissions & PERMISSION.READ) !== 0,
        write: (permissions & PERMISSION.WRITE) !== 0,
        execute: (permissions & PERMISSION.EXECUTE) !== 0,
      },
      attributes: view.getUint16(ptr + RESULT.ATTRIBUTES, true),
      bypass: (flags & RESULT_FLAG.BYPASS) !== 0,
      updated: (flags & RESULT_FLAG.UPDATED) !== 0,
    };
  }
  return {
    ok: false,
    answer: answer as Fault["answer"],
    code,
    name: code ? vendor.codeName(code) : "",
    recorded: (flags & RESULT_FLAG.RECORD) !== 0,
    check: vendor.check(u8[ptr + RESULT.CHECK] as number).id,
    stage: u8[ptr + RESULT.STAGE] as number,
    level: u8[ptr + RESULT.LEVEL] as number,
    fetchAddress: view.getBigUint64(ptr + RESULT.FETCH_ADDRESS, true),
    ipa: view.getBigUint64(ptr + RESULT.IPA, true),
    entry: view.getBigUint64(ptr + RESULT.ENTRY, true),
    class: u8[ptr + RESULT.CLASS] as number,
    tableWrite: (flags & RESULT_FLAG.TABLE_WRITE) !== 0,
  };
}
