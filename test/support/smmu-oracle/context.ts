/** From an STE and a SubstreamID to a checked CD: IHI 0070 3.3.2, 5.4 and the S1DSS rules of 5.2. */
import {
  addressBits,
  alignDown,
  bit,
  bits,
  CLASS,
  EVENT,
  type Features,
  ones,
  type Walk,
  WalkFault,
  wideBits,
} from "./model.ts";
import { stage2, TABLE_READ } from "./stage2.ts";
import type { Ste } from "./stream.ts";

/** One of the two halves of the input range. */
export interface Half {
  disabled: boolean;
  tsz: number;
  granule: number;
  base: bigint;
  ignoreTopByte: boolean;
  ignoreHierarchy: boolean;
}

export interface Cd {
  words: readonly bigint[];
  halves: readonly Half[];
  addressBits: number;
  bigEndian: boolean;
  accessFlagFaultDisabled: boolean;
  writeNoExecute: boolean;
  privilegedAccessNever: boolean;
  updateDirty: boolean;
  updateAccessed: boolean;
  stall: boolean;
  record: boolean;
  abort: boolean;
  mair: bigint;
}

/** Which CD a request uses; "bypass" is a stage 1 that is not there or is stepped over. */
export function selectSubstream(f: Features, ste: Ste, ssid: bigint | undefined): bigint | "bypass" {
  if (ssid !== undefined && f.ssidBits === 0) throw new WalkFault(EVENT.C_BAD_SUBSTREAMID);
  if (!ste.stage1) {
    if (ssid !== undefined) throw new WalkFault(EVENT.C_BAD_SUBSTREAMID);
    return "bypass";
  }
  if (ste.s1CdMax === 0) {
    if (ssid !== undefined) throw new WalkFault(EVENT.C_BAD_SUBSTREAMID);
    return 0n;
  }
  if (ssid === undefined) {
    if (ste.s1Dss === 0) throw new WalkFault(EVENT.F_STREAM_DISABLED);
    return ste.s1Dss === 1 ? "bypass" : 0n;
  }
  if (ssid >= 1n << BigInt(ste.s1CdMax)) throw new WalkFault(EVENT.C_BAD_SUBSTREAMID);
  if (ssid === 0n && ste.s1Dss === 2) throw new WalkFault(EVENT.F_STREAM_DISABLED);
  return ssid;
}

/** Reads part of the CD tables: through stage 2 where there is one. */
function read(walk: Walk, ste: Ste, address: bigint, bytes: number): bigint[] {
  const physical = ste.stage2 ? stage2(walk, ste, address, TABLE_READ, CLASS.CD).address : address;
  const words = physical < 1n << BigInt(walk.features.oas) ? walk.memory.read(physical, bytes) : undefined;
  if (!words) throw new WalkFault(EVENT.F_CD_FETCH, { fetchAddress: physical });
  return words;
}

export function fetchCd(walk: Walk, ste: Ste, ssid: bigint): bigint[] {
  const f = walk.features;
  if (ste.s1Format === 0 || ste.s1CdMax === 0) {
    return read(walk, ste, alignDown(ste.s1ContextPtr, 6 + ste.s1CdMax) + 64n * ssid, 64);
  }
  const leafBits = ste.s1Format === 1 ? 6 : 10;
  const l1Bits = Math.max(ste.s1CdMax - leafBits, 0);
  const l1 = read(walk, ste, alignDown(ste.s1ContextPtr, Math.max(6, l1Bits + 3)) + 8n * (ssid >> BigInt(leafBits)), 8);
  if (!bit(l1, 0)) throw new WalkFault(EVENT.C_BAD_SUBSTREAMID);
  const l2 = alignDown(wideBits(l1, f.minor === 0 ? 47 : 51, 12) << 12n, leafBits + 6);
  if (l2 >= 1n << BigInt(ste.stage2 ? f.ias : f.oas)) throw new WalkFault(EVENT.C_BAD_SUBSTREAMID);
  return read(walk, ste, l2 + 64n * (ssid & ones(leafBits)), 64);
}

export function decodeCd(f: Features, ste: Ste, words: readonly bigint[]): Cd {
  const oneHalf = ste.world === "el2";
  const top = f.minor === 0 ? 47 : 51;
  const low: Half = {
    disabled: !oneHalf && bit(words, 14),
    tsz: bits(words, 5, 0),
    granule: [12, 16, 14, 0][bits(words, 7, 6)] as number,
    base: wideBits(words, 64 + top, 68) << 4n,
    ignoreTopByte: bit(words, 38),
    ignoreHierarchy: f.had && bit(words, 65),
  };
  const high: Half = {
    disabled: bit(words, 30),
    tsz: bits(words, 21, 16),
    granule: [0, 14, 12, 16][bits(words, 23, 22)] as number,
    base: wideBits(words, 128 + top, 132) << 4n,
    ignoreTopByte: bit(words, 39),
    ignoreHierarchy: f.had && bit(words, 129),
  };
  const accessed = bit(words, 43);
  const dirty = bit(words, 42);
  // In v3.0 the widest output is 48 bits, whatever IPS says.
  const ips = addressBits(bits(words, 34, 32), f.minor);
  const cd: Cd = {
    words,
    halves: oneHalf ? [low] : [low, high],
    addressBits: Math.min(ips, f.oas),
    bigEndian: bit(words, 15),
    accessFlagFaultDisabled: bit(words, 35),
    writeNoExecute: bit(words, 36),
    privilegedAccessNever: bit(words, 40),
    updateDirty: accessed && dirty && f.httu >= 2,
    updateAccessed: accessed && f.httu >= 1,
    stall: bit(words, 44),
    record: bit(words, 45),
    abort: bit(words, 46),
    mair: words[3] as bigint,
  };
  if (!bit(words, 31) || isIllegalCd(f, ste, cd, { accessed, dirty })) throw new WalkFault(EVENT.C_BAD_CD);
  return cd;
}

function isIllegalCd(f: Features, ste: Ste, cd: Cd, raw: { accessed: boolean; dirty: boolean }): boolean {
  const { words, halves } = cd;
  const usesAsid = ste.world !== "el2";
  return (
    (ste.s1StallDisabled && cd.stall) ||
    (f.alwaysAbort && !cd.abort) ||
    (cd.stall ? f.stallModel === 1 : f.stallModel === 2) ||
    (!halves.every((half) => half.disabled) && (cd.bigEndian ? f.endian === 2 : f.endian === 3)) ||
    (bit(words, 41) ? f.formats < 2 : (f.formats & 1) === 0 || ste.world === "e2h") ||
    (ste.stage2 && bit(words, 41) && !ste.s2.aarch64) ||
    // A deviation: IHI 0070 has the pair ILLEGAL too, Linux sets it unasked and its captures translate.
    (raw.accessed !== raw.dirty && f.httu === 0) ||
    (raw.dirty && !raw.accessed && f.httu === 1) ||
    (usesAsid && !f.asid16 && bits(words, 63, 56) !== 0) ||
    halves.some((half) => !half.disabled && isIllegalHalf(f, cd, half))
  );
}

function isIllegalHalf(f: Features, cd: Cd, half: Half): boolean {
  const shortest = half.granule === 16 && f.wideVa ? 12 : 16;
  const longest = f.smallTables ? (half.granule === 16 ? 47 : 48) : 39;
  return (
    half.tsz < shortest ||
    half.tsz > longest ||
    !f.granules.includes(half.granule) ||
    half.base >= 1n << BigInt(cd.addressBits) ||
    (half.granule !== 16 && half.base >= 1n << 48n)
  );
}
