/**
 * What the two vendors' walkers share on this side of the boundary: encoding requests, decoding
 * results and traces, single, batch and traced calls.
 */
import {
  PERMISSION,
  REQUEST,
  REQUEST_BYTES,
  REQUEST_FLAG,
  RESULT,
  RESULT_BYTES,
  RESULT_FLAG,
  STEP,
  STEP_BYTES,
  TRACE,
  UNIT,
} from "../assembly/layout/core.ts";
import { checkBigInt, checkInteger, checkOneOf } from "./check.ts";
import type { Core } from "./core/core.ts";
import {
  ACCESSES,
  ADDRESS_TYPES,
  ANSWERS,
  type Fault,
  type Outcome,
  type Request,
  type Trace,
  type TraceCheck,
  type TraceStep,
} from "./iommu.ts";

/** The vendor's half: its Wasm entry points and its names. */
export interface Vendor {
  /** Largest `sid`. */
  maxSid: number;
  /** (unit, sid, pasid, address low, address high, flags, result) -> code */
  walk(unit: number, sid: number, pasid: number, low: number, high: number, flags: number, result: number): number;
  walkTraced(
    unit: number,
    sid: number,
    pasid: number,
    low: number,
    high: number,
    flags: number,
    result: number,
  ): number;
  /** (unit, requests, results, count) -> how many results have a code that is not 0 */
  walkMany(unit: number, requests: number, results: number, count: number): number;
  /** Name of a fault reason or event. */
  codeName(code: number): string;
  /** Name of a STRUCTURE number. */
  structureName(structure: number): string;
  /** Id, rule and section of a CHECK number. */
  check(check: number): Omit<TraceCheck, "failed">;
}

const MAX_PASID = 0xfffff;
const MAX_ADDRESS = 0xffff_ffff_ffff_ffffn;
const TRACE_STEPS = 256;

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

/** What a walk says, in an object of the caller's: numbers only, so that filling it makes no garbage. */
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

/** Where a request's and a result's words are, in units of 32 bits. */
const SID_WORD = REQUEST.SID >> 2;
const PASID_WORD = REQUEST.PASID >> 2;
const INPUT_WORD = REQUEST.ADDRESS >> 2;
const ACCESS_WORD = REQUEST.FLAGS >> 2;
const CODE_WORD = RESULT.CODE >> 2;
const FLAGS_WORD = RESULT.FLAGS >> 2;
const OUTPUT_WORD = RESULT.ADDRESS >> 2;
const SMALL_WORD = RESULT.PAGE_SHIFT >> 2;
/** Where the small numbers of a result are within their 32-bit word: a call pays for every load. */
const PERMISSIONS_SHIFT = 8 * (RESULT.PERMISSIONS - RESULT.PAGE_SHIFT);
const ATTRIBUTES_SHIFT = 8 * (RESULT.ATTRIBUTES - RESULT.PAGE_SHIFT);
const BYTE = 0xff;

function copyResult(u32: Uint32Array, ptr: number, into: BareResult): void {
  const at = ptr >>> 2;
  const small = u32[at + SMALL_WORD] as number;
  into.code = u32[at + CODE_WORD] as number;
  into.flags = u32[at + FLAGS_WORD] as number;
  into.addressLow = u32[at + OUTPUT_WORD] as number;
  into.addressHigh = u32[at + OUTPUT_WORD + 1] as number;
  into.pageShift = small & BYTE;
  into.permissions = (small >>> PERMISSIONS_SHIFT) & BYTE;
  into.attributes = small >>> ATTRIBUTES_SHIFT;
}

/** Walks tables for one IOMMU whose unit block the vendor's subclass sets up. */
export class Walker {
  /** Result of the last `walk`. */
  readonly result: WalkResult;
  readonly unit: number;
  readonly #core: Core;
  readonly #vendor: Vendor;
  #trace = 0;

  constructor(core: Core, vendor: Vendor, unit: number) {
    this.#core = core;
    this.#vendor = vendor;
    this.unit = unit;
    this.result = new WalkResult(core, core.allocate(RESULT_BYTES));
  }

  /**
   * The bare walk: no BigInt, no garbage, no checks of the arguments.
   * @param sid u32
   * @param pasid u32, counts only with REQUEST_FLAG.PASID
   * @param low low half of the address; @param high its high half
   * @param flags REQUEST_FLAG bits
   * @returns fault reason or event number, 0 = none; everything else is in `result`
   */
  walk(sid: number, pasid: number, low: number, high: number, flags: number): number {
    return this.#vendor.walk(this.unit, sid, pasid, low, high, flags, this.result.ptr);
  }

  /** As `walk`, and what it says goes into an object of the caller's. @returns fault reason or event number */
  walkInto(sid: number, pasid: number, low: number, high: number, flags: number, into: BareResult): number {
    const code = this.#vendor.walk(this.unit, sid, pasid, low, high, flags, this.result.ptr);
    copyResult(this.#core.u32, this.result.ptr, into);
    return code;
  }

  /** Walks one request. @throws RangeError, TypeError for a malformed request, naming its member */
  translate(request: Request): Outcome {
    const { sid, pasid, address, flags } = this.#encode(request);
    this.walk(sid, pasid, Number(address & 0xffff_ffffn), Number(address >> 32n), flags);
    return this.#decode(this.result.ptr);
  }

  /** Walks one request and reports every entry read and every check made on the way. */
  trace(request: Request): Trace {
    const { sid, pasid, address, flags } = this.#encode(request);
    this.#trace ||= this.#openTrace();
    const { ptr } = this.result;
    const low = Number(address & 0xffff_ffffn);
    this.#vendor.walkTraced(this.unit, sid, pasid, low, Number(address >> 32n), flags, ptr);
    return { outcome: this.#decode(ptr), steps: this.#readTrace() };
  }

  /** Arrays in linear memory for up to `capacity` requests and their results. */
  batch(capacity: number): Batch {
    return new Batch(
      this.#core,
      this.#vendor,
      this.unit,
      checkInteger("capacity", capacity, 1, 1 << 24),
      (request) => this.#encode(request),
      (ptr) => this.#decode(ptr),
    );
  }

  #encode(request: Request): EncodedRequest {
    const { pasid, access = "r", type = "untranslated" } = request;
    checkInteger("sid", request.sid, 0, this.#vendor.maxSid);
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

  #decode(ptr: number): Outcome {
    const { u8, u32, view } = this.#core;
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
      name: code ? this.#vendor.codeName(code) : "",
      recorded: (flags & RESULT_FLAG.RECORD) !== 0,
      check: this.#vendor.check(u8[ptr + RESULT.CHECK] as number).id,
      stage: u8[ptr + RESULT.STAGE] as number,
      level: u8[ptr + RESULT.LEVEL] as number,
      fetchAddress: view.getBigUint64(ptr + RESULT.FETCH_ADDRESS, true),
      ipa: view.getBigUint64(ptr + RESULT.IPA, true),
      entry: view.getBigUint64(ptr + RESULT.ENTRY, true),
      class: u8[ptr + RESULT.CLASS] as number,
      tableWrite: (flags & RESULT_FLAG.TABLE_WRITE) !== 0,
    };
  }

  #openTrace(): number {
    const ptr = this.#core.allocate(TRACE.STEPS + TRACE_STEPS * STEP_BYTES);
    this.#core.view.setUint32(ptr + TRACE.CAPACITY, TRACE_STEPS, true);
    this.#core.view.setUint32(this.unit + UNIT.TRACE, ptr, true);
    return ptr;
  }

  #readTrace(): TraceStep[] {
    const { u8, view } = this.#core;
    const count = view.getUint32(this.#trace + TRACE.COUNT, true);
    return Array.from({ length: count }, (_, i) => {
      const at = this.#trace + TRACE.STEPS + i * STEP_BYTES;
      const failed = (u8[at + STEP.FAILED] as number) - 1;
      const checks = Array.from({ length: u8[at + STEP.CHECKS] as number }, (_, j) => ({
        ...this.#vendor.check(u8[at + STEP.CHECK_LIST + j] as number),
        failed: j === failed,
      }));
      const step: TraceStep = {
        structure: this.#vendor.structureName(u8[at + STEP.STRUCTURE] as number),
        stage: u8[at + STEP.STAGE] as number,
        level: u8[at + STEP.LEVEL] as number,
        address: view.getBigUint64(at + STEP.ADDRESS, true),
        index: view.getBigUint64(at + STEP.INDEX, true),
        words: Array.from({ length: u8[at + STEP.WORDS] as number }, (_, j) =>
          view.getBigUint64(at + STEP.ENTRY + 8 * j, true),
        ),
        checks,
      };
      return u8[at + STEP.UPDATED] ? { ...step, updated: view.getBigUint64(at + STEP.UPDATE, true) } : step;
    });
  }
}

interface EncodedRequest {
  sid: number;
  pasid: number;
  address: bigint;
  flags: number;
}

/**
 * N requests and N results in linear memory. Producers on a hot path write REQUEST records through
 * `core.u32` themselves; `set` is the convenient way.
 */
export class Batch {
  /** Pointer to `capacity` records of REQUEST_BYTES. */
  readonly requests: number;
  /** Pointer to `capacity` records of RESULT_BYTES. */
  readonly results: number;
  readonly capacity: number;
  readonly #core: Core;
  readonly #vendor: Vendor;
  readonly #unit: number;
  readonly #encode: (request: Request) => EncodedRequest;
  readonly #decode: (ptr: number) => Outcome;

  constructor(
    core: Core,
    vendor: Vendor,
    unit: number,
    capacity: number,
    encode: (request: Request) => EncodedRequest,
    decode: (ptr: number) => Outcome,
  ) {
    this.#core = core;
    this.#vendor = vendor;
    this.#unit = unit;
    this.#encode = encode;
    this.#decode = decode;
    this.capacity = capacity;
    this.requests = core.allocate(capacity * REQUEST_BYTES);
    this.results = core.allocate(capacity * RESULT_BYTES);
  }

  /** Stores request number `index`. */
  set(index: number, request: Request): void {
    checkInteger("index", index, 0, this.capacity - 1);
    const { view } = this.#core;
    const { sid, pasid, address, flags } = this.#encode(request);
    const at = this.requests + index * REQUEST_BYTES;
    view.setUint32(at + REQUEST.SID, sid, true);
    view.setUint32(at + REQUEST.PASID, pasid, true);
    view.setBigUint64(at + REQUEST.ADDRESS, address, true);
    view.setUint32(at + REQUEST.FLAGS, flags, true);
  }

  /** Stores request number `index` from bare numbers, as `Walker.walk` takes them, unchecked but for `index`. */
  put(index: number, sid: number, pasid: number, low: number, high: number, flags: number): void {
    if (index >>> 0 >= this.capacity) checkInteger("index", index, 0, this.capacity - 1);
    const { u32 } = this.#core;
    const at = (this.requests + index * REQUEST_BYTES) >>> 2;
    u32[at + SID_WORD] = sid;
    u32[at + PASID_WORD] = pasid;
    u32[at + INPUT_WORD] = low;
    u32[at + INPUT_WORD + 1] = high;
    u32[at + ACCESS_WORD] = flags;
  }

  /** Result number `index`, into an object of the caller's. */
  read(index: number, into: BareResult): void {
    if (index >>> 0 >= this.capacity) checkInteger("index", index, 0, this.capacity - 1);
    copyResult(this.#core.u32, this.results + index * RESULT_BYTES, into);
  }

  /**
   * Walks the first `count` requests, in any order the walker likes; results keep their places.
   * @returns how many of them have a fault reason or event number
   */
  run(count: number): number {
    checkInteger("count", count, 0, this.capacity);
    return this.#vendor.walkMany(this.#unit, this.requests, this.results, count);
  }

  /** Result number `index`. */
  get(index: number): Outcome {
    checkInteger("index", index, 0, this.capacity - 1);
    return this.#decode(this.results + index * RESULT_BYTES);
  }
}
