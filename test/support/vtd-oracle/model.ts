/**
 * What the oracle's steps share: memory, registers, capabilities by name, bits, and the state of one walk.
 *
 * Bit positions are spelled out, from the specification's register and structure tables.
 */
import type { Kind } from "./outcomes.ts";

/** Guest memory as the oracle sees it; `undefined` is a bus error. */
export interface OracleMemory {
  /** `count` 64-bit words at an aligned address. */
  read(address: bigint, count: number): readonly bigint[] | undefined;
  /** Stores `replacement` if the word still is `expected`; says what it was. */
  compareExchange(address: bigint, expected: bigint, replacement: bigint): bigint | undefined;
}

/** The registers and platform facts a walk depends on. */
export interface OracleState {
  cap: bigint;
  ecap: bigint;
  /** VER_REG: MAX in bits 7:4. */
  version: number;
  /** Host address width of the platform. */
  haw: number;
  /** RTADDR as latched by SRTP. */
  rtaddr: bigint;
  translationEnabled: boolean;
  interruptRemapping: boolean;
}

export interface OracleRequest {
  sid: number;
  pasid?: number | null;
  address: bigint;
  access?: "r" | "w" | "x" | "a";
  privileged?: boolean;
  type?: "untranslated" | "translation" | "translated";
  zeroLength?: boolean;
  noWrite?: boolean;
  dword?: boolean;
  probe?: boolean;
}

export interface Success {
  ok: true;
  answer: "success" | "interrupt";
  address: bigint;
  pageSize: bigint;
  read: boolean;
  write: boolean;
}

export type OracleOutcome =
  | Success
  | { ok: false; answer: "success" | "ur" | "ca"; code: number; recorded: boolean; condition: string };

/** One failed condition of the matrix. */
export class Failure extends Error {
  readonly condition: string;
  constructor(condition: string) {
    super(condition);
    this.condition = condition;
  }
}
/** Refused without a fault: Unsupported Request, nothing recorded. */
export class Refused extends Error {}

/** Bits `msb:lsb` of a structure, numbered over all its words. */
export function bits(words: readonly bigint[], msb: number, lsb: number): bigint {
  let all = 0n;
  words.forEach((word, i) => {
    all |= word << BigInt(64 * i);
  });
  return (all >> BigInt(lsb)) & ((1n << BigInt(msb - lsb + 1)) - 1n);
}
export function bit(words: readonly bigint[], position: number): boolean {
  return bits(words, position, position) === 1n;
}
/** Bits `msb:lsb` left at their place in a 64-bit word. */
export function addressBits(word: bigint, msb: number, lsb: number): bigint {
  return bits([word], msb, lsb) << BigInt(lsb);
}

/** Capabilities by name (CAP_REG, ECAP_REG). */
export class Capabilities {
  readonly haw: number;
  readonly major: number;
  readonly domainBits: number;
  readonly cachingMode: boolean;
  readonly mgaw: number;
  readonly zlr: boolean;
  readonly sslps: bigint;
  readonly fs1gp: boolean;
  readonly fs5lp: boolean;
  readonly deviceTlb: boolean;
  readonly passThrough: boolean;
  readonly snoopControl: boolean;
  readonly memoryTypes: boolean;
  readonly nesting: boolean;
  readonly pageRequests: boolean;
  readonly executeRequests: boolean;
  readonly supervisorRequests: boolean;
  readonly noWriteFlag: boolean;
  readonly extendedAccessed: boolean;
  readonly pasidBits: number;
  readonly pasid: boolean;
  readonly scalable: boolean;
  readonly secondStageAD: boolean;
  readonly secondStage: boolean;
  readonly firstStage: boolean;
  readonly walkSnoop: boolean;
  readonly ridPasid: boolean;
  readonly abortDma: boolean;
  readonly ridPriv: boolean;
  readonly hostPermissions: boolean;
  readonly pasidInTranslated: boolean;
  readonly ssIoRights: boolean;
  readonly hpt1g: boolean;
  readonly #sagaw: bigint;

  constructor({ cap, ecap, version, haw }: OracleState) {
    const c = (msb: number, lsb = msb) => Number(bits([cap], msb, lsb));
    const e = (position: number) => bit([ecap], position);
    this.haw = haw;
    this.major = (version >> 4) & 15;
    this.domainBits = 4 + 2 * c(2, 0);
    this.cachingMode = c(7) === 1;
    this.#sagaw = BigInt(c(12, 8));
    this.mgaw = c(21, 16) + 1;
    this.zlr = c(22) === 1;
    this.sslps = BigInt(c(37, 34));
    this.fs1gp = c(56) === 1;
    this.fs5lp = c(60) === 1;
    this.deviceTlb = e(2);
    this.passThrough = e(6);
    this.snoopControl = e(7);
    this.memoryTypes = e(25);
    this.nesting = e(26);
    this.pageRequests = e(29);
    this.executeRequests = e(30);
    this.supervisorRequests = e(31);
    this.noWriteFlag = e(33);
    this.extendedAccessed = e(34);
    this.pasidBits = Number(bits([ecap], 39, 35)) + 1;
    this.pasid = e(40);
    this.scalable = e(43);
    this.secondStageAD = e(45);
    this.secondStage = e(46);
    this.firstStage = e(47);
    this.walkSnoop = e(48);
    this.ridPasid = e(49);
    this.abortDma = e(52);
    this.ridPriv = e(53);
    this.hostPermissions = e(55);
    this.pasidInTranslated = e(56);
    this.ssIoRights = e(57);
    this.hpt1g = e(59);
  }

  /** AW 1, 2, 3 = 39, 48, 57 bits; supported as SAGAW says. */
  widthSupported(aw: number): boolean {
    return aw >= 1 && aw <= 3 && bit([this.#sagaw], aw);
  }
  widestWidth(): number {
    return [3, 2, 1].find((aw) => this.widthSupported(aw)) ?? 0;
  }
  /** X of the rules: second-stage input is limited to 2^X - 1. */
  inputBits(aw: number): number {
    return Math.min(this.mgaw, 30 + 9 * aw);
  }
  beyondHaw(address: bigint): boolean {
    return address >> BigInt(this.haw) !== 0n;
  }
}

/** What one walk knows and has done. */
export class Walk {
  readonly memory: OracleMemory;
  readonly caps: Capabilities;
  readonly request: OracleRequest;
  readonly kind: Kind;
  readonly read: boolean;
  readonly write: boolean;
  readonly zeroLength: boolean;
  /** A translation request that wants no write permission. */
  readonly noWrite: boolean;
  /** SS rights come from bits 61 and 62. */
  readonly ioRights: boolean;
  readonly rootTable: bigint;
  /** An entry with FPD = 1 was met. */
  silenced = false;

  constructor(memory: OracleMemory, state: OracleState, request: OracleRequest) {
    const { access = "r", type = "untranslated" } = request;
    this.memory = memory;
    this.caps = new Capabilities(state);
    this.request = request;
    const letter = { untranslated: "u", translation: "t", translated: "x" }[type];
    this.kind = `${letter}${hasPasid(request) ? "p" : "n"}` as Kind;
    this.write = access === "w" || access === "a";
    this.read = access !== "w";
    this.zeroLength = request.zeroLength === true && !this.write;
    this.noWrite = type === "translation" && request.noWrite === true && this.caps.noWriteFlag;
    this.ioRights = this.caps.ssIoRights && bit([state.rtaddr], 7);
    this.rootTable = addressBits(state.rtaddr, 63, 12);
  }

  get translation(): boolean {
    return this.kind[0] === "t";
  }
  get translated(): boolean {
    return this.kind[0] === "x";
  }

  /** Reads an entry; a bus error is the given condition. */
  fetch(address: bigint, words: number, condition: string): readonly bigint[] {
    const entry = this.memory.read(address, words);
    if (!entry) throw new Failure(condition);
    return entry;
  }
}

export function hasPasid(request: OracleRequest): boolean {
  return request.pasid !== undefined && request.pasid !== null;
}

export function inInterruptRange(address: bigint): boolean {
  return address >> 20n === 0xfeen;
}
