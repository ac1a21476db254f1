/**
 * From StreamID to a checked STE: IHI 0070 chapters 3.3.1, 5.2 and the illegal combinations listed with
 * each STE field.
 */

import {
  addressBits,
  alignDown,
  bit,
  bits,
  EVENT,
  type Features,
  type OracleMemory,
  type OracleState,
  ones,
  WalkFault,
  wideBits,
} from "./model.ts";
import { isConsistentStage2, type Stage2Config } from "./stage2.ts";

export interface Ste {
  words: readonly bigint[];
  /** 4 bypass, 5 stage 1, 6 stage 2, 7 both. */
  config: number;
  stage1: boolean;
  stage2: boolean;
  s1Format: number;
  s1ContextPtr: bigint;
  s1CdMax: number;
  s1Dss: number;
  s1StallDisabled: boolean;
  /** Effective EATS, ATSCHK not yet looked at. */
  eats: number;
  world: "el1" | "el2" | "e2h";
  s2: Stage2Config;
}

/** Reads the STE of a StreamID, or throws the event that stops it. */
export function fetchSte(memory: OracleMemory, f: Features, state: OracleState, sid: bigint): bigint[] {
  const cfg = [BigInt(state.strtabBaseCfg >>> 0)];
  const log2Size = bits(cfg, 5, 0);
  const twoLevel = f.twoLevelStreams && bits(cfg, 17, 16) === 1;
  const splitField = bits(cfg, 10, 6);
  const split = [6, 8, 10].includes(splitField) ? splitField : 6;
  const top = f.minor === 0 ? 47 : 51;
  const base = (wideBits([state.strtabBase], top, 6) << 6n) & ones(f.oas);
  if (sid >= 1n << BigInt(Math.min(log2Size, f.sidBits))) throw new WalkFault(EVENT.C_BAD_STREAMID);
  let address: bigint;
  if (twoLevel) {
    const l1Base = alignDown(base, 1 + Math.max(5, log2Size - split - 1 + 3));
    const l1Address = l1Base + 8n * (sid >> BigInt(split));
    const l1 = memory.read(l1Address, 8);
    if (!l1) throw new WalkFault(EVENT.F_STE_FETCH, { fetchAddress: l1Address });
    const span = bits(l1, 4, 0);
    const index = sid & ones(split);
    if (span === 0 || span > 11 || span > split + 1 || index >= 1n << BigInt(span - 1)) {
      throw new WalkFault(EVENT.C_BAD_STREAMID);
    }
    address = alignDown(wideBits(l1, top, 6) << 6n, 6 + span - 1) + 64n * index;
  } else {
    address = alignDown(base, log2Size + 6) + 64n * sid;
  }
  const words = address < 1n << BigInt(f.oas) ? memory.read(address, 64) : undefined;
  if (!words) throw new WalkFault(EVENT.F_STE_FETCH, { fetchAddress: address });
  return words;
}

/** Judges the STE; `undefined` is Config = 0b0xx, which aborts and says nothing. */
export function decodeSte(f: Features, state: OracleState, words: readonly bigint[]): Ste | undefined {
  if (!bit(words, 0)) throw new WalkFault(EVENT.C_BAD_STE);
  const config = bits(words, 3, 1);
  if (config < 4) return undefined;
  const stage1 = (config & 1) === 1;
  const stage2 = (config & 2) === 2;
  const strw = bits(words, 95, 94);
  const usesStrw = config === 5 && f.hyp;
  const e2h = bit([BigInt((state.cr2 ?? 0) >>> 0)], 0);
  const rawEats = bits(words, 93, 92);
  const ste: Ste = {
    words,
    config,
    stage1,
    stage2,
    s1Format: bits(words, 5, 4) % 3,
    s1ContextPtr: wideBits(words, f.minor === 0 ? 47 : 51, 6) << 6n,
    s1CdMax: f.ssidBits === 0 ? 0 : bits(words, 63, 59),
    s1Dss: bits(words, 65, 64) % 3,
    s1StallDisabled: bit(words, 91),
    eats: f.ats && config !== 4 && rawEats !== 3 ? rawEats : 0,
    world: usesStrw && strw === 2 ? (e2h ? "e2h" : "el2") : "el1",
    s2: stage2Config(f, words),
  };
  const illegal =
    (stage1 && !f.stage1) ||
    (stage2 && !f.stage2) ||
    isIllegalAts(f, ste, bit(words, 185)) ||
    (usesStrw && (strw & 1) === 1) ||
    (stage1 && isIllegalStage1(f, ste)) ||
    (stage2 && isIllegalStage2(f, ste)) ||
    isIllegalVmid(f, ste);
  if (illegal) throw new WalkFault(EVENT.C_BAD_STE);
  return ste;
}

function isIllegalAts(f: Features, ste: Ste, s2Stall: boolean): boolean {
  const stalls = ste.stage2 && s2Stall;
  if (ste.eats === 2) return ste.config !== 7 || stalls || f.noSplitStageAts;
  return ste.eats === 1 && stalls;
}

function isIllegalStage1(f: Features, ste: Ste): boolean {
  const reach = ste.stage2 ? f.ias : f.oas;
  return (
    (ste.s1StallDisabled && f.stallModel !== 0) ||
    ste.s1CdMax > f.ssidBits ||
    (ste.s1CdMax > 0 && ste.s1Format !== 0 && !f.twoLevelCd) ||
    ste.s1ContextPtr >= 1n << BigInt(reach)
  );
}

/** VMID[15:8] must be zero without 16-bit VMIDs, wherever a VMID counts. */
function isIllegalVmid(f: Features, ste: Ste): boolean {
  const used = ste.stage2 || (ste.config === 5 && f.stage2 && ste.world === "el1");
  return used && !f.vmid16 && bits(ste.words, 143, 136) !== 0;
}

function stage2Config(f: Features, words: readonly bigint[]): Stage2Config {
  const dirty = bit(words, 183);
  const accessed = bit(words, 184);
  const ps = Math.min(addressBits(bits(words, 178, 176), f.minor), f.oas);
  return {
    t0sz: bits(words, 165, 160),
    sl0: bits(words, 167, 166),
    granule: [12, 16, 14, 0][bits(words, 175, 174)] as number,
    addressBits: ps,
    aarch64: bit(words, 179),
    bigEndian: bit(words, 180),
    accessFlagFaultDisabled: bit(words, 181),
    protectedTables: bit(words, 182),
    updateDirty: accessed && dirty && f.httu >= 2,
    updateAccessed: accessed && f.httu >= 1,
    stall: bit(words, 185),
    record: bit(words, 186),
    base: wideBits(words, f.minor === 0 ? 239 : 243, 196) << 4n,
    forcedTypes: f.fwb && bit(words, 89),
  };
}

function isIllegalStage2(f: Features, ste: Ste): boolean {
  const { s2, words } = ste;
  const dirty = bit(words, 183);
  const accessed = bit(words, 184);
  const shortest = Math.max(s2.granule === 16 ? 12 : 16, 64 - f.ias);
  const longest = f.smallTables ? (s2.granule === 16 ? 47 : 48) : 39;
  return (
    (s2.forcedTypes && !s2.aarch64) ||
    (s2.stall && f.stallModel === 1) ||
    (!s2.stall && f.stallModel === 2) ||
    (s2.aarch64 ? f.formats < 2 : (f.formats & 1) === 0) ||
    ((accessed || dirty) && (!s2.aarch64 || f.httu === 0)) ||
    (dirty && f.httu === 1) ||
    !f.granules.includes(s2.granule) ||
    s2.base >= 1n << BigInt(s2.addressBits) ||
    (s2.granule !== 16 && s2.base >= 1n << 48n) ||
    s2.t0sz < shortest ||
    s2.t0sz > longest ||
    !isConsistentStage2(s2, f) ||
    (s2.bigEndian ? f.endian === 2 : f.endian === 3)
  );
}
