/**
 * What commands ask of the caches: Arm IHI 0070 4.3 and 4.4.
 *
 * The command queue decodes and checks; whoever caches configuration and translations removes at
 * least what is asked. An SMMU without caches has nothing to do.
 */
import { CMD_TLBI, CMD_TLBI_S2_IPA, OPCODE, TLBI_TG } from "../../assembly/layout/smmuv3-queues.ts";
import { getField, getInPlace } from "../structure.ts";
import { type CommandWords, opcodeOf, rangeOf } from "./commands.ts";
import type { SmmuFeatures } from "./features.ts";

export interface TlbInvalidation {
  /** One of OPCODE.CMD_TLBI_*: whose entries. */
  opcode: OPCODE;
  /** Ones over the VMID bits that have to match; 0 where the command ignores VMIDs. */
  vmidMask: number;
  vmid: number;
  asid: number;
  /** First and last byte; equal for a command without a range: whatever entry holds that address. */
  first: bigint;
  last: bigint;
  /** Only what came from a last level. */
  leaf: boolean;
  /** TLBI_TG, and the level of the leaf (0 = any): other entries need not go. */
  tg: TLBI_TG;
  ttl: number;
}

export interface SmmuCaches {
  /** The STE of a stream, everything fetched through it, and its L1STD unless `leaf`. */
  invalidateSte(sid: number, leaf: boolean): void;
  /** The same, L1STDs too, of 2^log2Streams StreamIDs, an aligned block that holds `sid`; 32 = all. */
  invalidateSteRange(sid: number, log2Streams: number): void;
  /** One CD, and the L1CD on the way unless `leaf`. */
  invalidateCd(sid: number, ssid: number, leaf: boolean): void;
  /** All CDs and L1CDs of a stream. */
  invalidateCdAll(sid: number): void;
  invalidateTlb(what: TlbInvalidation): void;
  /** Everything of every kind. */
  invalidateAll(): void;
}

/** An SMMU that walks every time. */
export const NO_CACHES: SmmuCaches = {
  invalidateSte() {},
  invalidateSteRange() {},
  invalidateCd() {},
  invalidateCdAll() {},
  invalidateTlb() {},
  invalidateAll() {},
};

const LOG2_GRANULE: Readonly<Record<TLBI_TG, number>> = {
  [TLBI_TG.NONE]: 0,
  [TLBI_TG.GRANULE_4K]: 12,
  [TLBI_TG.GRANULE_16K]: 14,
  [TLBI_TG.GRANULE_64K]: 16,
};
const VMID_BITS = 16;
const TOP = 0xffff_ffff_ffff_ffffn;

/**
 * What a CMD_TLBI_* asks for.
 * @param wildcard CR0.VMW: low VMID bits that do not count
 */
export function tlbInvalidation(command: CommandWords, features: SmmuFeatures, wildcard: number): TlbInvalidation {
  const { tg, ttl } = rangeOf(command, features);
  const granule = 1n << BigInt(LOG2_GRANULE[tg]);
  const isIpa = opcodeOf(command) === OPCODE.CMD_TLBI_S2_IPA;
  const address = getInPlace(command, isIpa ? CMD_TLBI_S2_IPA.IPA : CMD_TLBI.Address);
  // § 4.4.1.1: (NUM + 1) * 2^SCALE granules; past the top there is nothing.
  const first = address - (address % granule);
  const length = ((getField(command, CMD_TLBI.NUM) + 1n) << getField(command, CMD_TLBI.SCALE)) * granule;
  const last = tg === TLBI_TG.NONE ? first : first + length - 1n;
  // § 4.4: without stage 2 there are no VMIDs; with 8 bits the upper ones are RES0.
  const bits = features.VMID16 ? VMID_BITS : VMID_BITS / 2;
  return {
    opcode: opcodeOf(command),
    vmidMask: features.S2P ? 2 ** bits - 2 ** Math.min(wildcard, bits) : 0,
    vmid: Number(getField(command, CMD_TLBI.VMID)),
    asid: Number(getField(command, CMD_TLBI.ASID)) % (features.ASID16 ? 2 ** 16 : 2 ** 8),
    first,
    last: last > TOP ? TOP : last,
    leaf: getField(command, CMD_TLBI.Leaf) === 1n,
    tg,
    ttl,
  };
}
