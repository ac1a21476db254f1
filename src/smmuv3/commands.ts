/** Commands, Arm IHI 0070 chapter 4: which layout each has, and when one is ILLEGAL. */

import { STALL_MODEL } from "../../assembly/layout/smmuv3-ids.ts";
import {
  ATC_INV_ALL,
  CMD_ATC_INV,
  CMD_CFGI_CD,
  CMD_CFGI_STE,
  CMD_CFGI_STE_RANGE,
  CMD_CFGI_VMS_PIDM,
  CMD_PREFETCH_ADDR,
  CMD_PREFETCH_CONFIG,
  CMD_PRI_RESP,
  CMD_RESUME,
  CMD_STREAM,
  CMD_SYNC,
  CMD_TLBI,
  CMD_TLBI_S2_IPA,
  COMMAND,
  OPCODE,
  PRI_RESP,
  SYNC_SIGNAL,
  TLBI_TG,
} from "../../assembly/layout/smmuv3-queues.ts";
import { describe as describeFields, type FieldValue, getField, type Layout } from "../structure.ts";
import type { SmmuFeatures } from "./features.ts";

/** Two 64-bit words. */
export type CommandWords = readonly bigint[];

interface CommandKind {
  layout: Layout;
  /** Whether the SMMU has it at all. */
  implemented(features: SmmuFeatures): boolean;
  /** Whether its parameters are wrong. */
  illegal?(command: CommandWords, features: SmmuFeatures): boolean;
}

const always = (): boolean => true;
const never = (): boolean => false;
const stage1 = ({ S1P }: SmmuFeatures): boolean => S1P === 1;
const stage2 = ({ S2P }: SmmuFeatures): boolean => S2P === 1;
const hyp = ({ HYP }: SmmuFeatures): boolean => HYP === 1;
const stalls = ({ STALL_MODEL: model }: SmmuFeatures): boolean => model !== STALL_MODEL.TERMINATE_ONLY;

const get = (command: CommandWords, field: number): number => Number(getField(command, field));

/** § 4.4.1.1: a granule without a range and without a level says nothing. */
function emptyRange(command: CommandWords, features: SmmuFeatures): boolean {
  const { tg, ttl } = rangeOf(command, features);
  return tg !== TLBI_TG.NONE && get(command, CMD_TLBI.NUM) === 0 && get(command, CMD_TLBI.SCALE) === 0 && ttl === 0;
}

const COMMANDS: Readonly<Record<number, CommandKind>> = {
  [OPCODE.CMD_PREFETCH_CONFIG]: { layout: CMD_PREFETCH_CONFIG, implemented: always },
  [OPCODE.CMD_PREFETCH_ADDR]: { layout: CMD_PREFETCH_ADDR, implemented: always },
  [OPCODE.CMD_CFGI_STE]: { layout: CMD_CFGI_STE, implemented: always },
  [OPCODE.CMD_CFGI_STE_RANGE]: { layout: CMD_CFGI_STE_RANGE, implemented: always },
  [OPCODE.CMD_CFGI_CD]: { layout: CMD_CFGI_CD, implemented: stage1 },
  [OPCODE.CMD_CFGI_CD_ALL]: { layout: CMD_STREAM, implemented: stage1 },
  // § 4.3.5: needs MPAM, which is not modelled.
  [OPCODE.CMD_CFGI_VMS_PIDM]: { layout: CMD_CFGI_VMS_PIDM, implemented: never },
  [OPCODE.CMD_TLBI_NH_ALL]: { layout: CMD_TLBI, implemented: stage1 },
  [OPCODE.CMD_TLBI_NH_ASID]: { layout: CMD_TLBI, implemented: stage1 },
  [OPCODE.CMD_TLBI_NH_VA]: { layout: CMD_TLBI, implemented: stage1, illegal: emptyRange },
  [OPCODE.CMD_TLBI_NH_VAA]: { layout: CMD_TLBI, implemented: stage1, illegal: emptyRange },
  // § 4.4.2.5: EL3 belongs to the Secure command queue.
  [OPCODE.CMD_TLBI_EL3_ALL]: { layout: CMD_TLBI, implemented: never },
  [OPCODE.CMD_TLBI_EL3_VA]: { layout: CMD_TLBI, implemented: never },
  [OPCODE.CMD_TLBI_EL2_ALL]: { layout: CMD_TLBI, implemented: hyp },
  [OPCODE.CMD_TLBI_EL2_ASID]: { layout: CMD_TLBI, implemented: hyp },
  [OPCODE.CMD_TLBI_EL2_VA]: { layout: CMD_TLBI, implemented: hyp, illegal: emptyRange },
  [OPCODE.CMD_TLBI_EL2_VAA]: { layout: CMD_TLBI, implemented: hyp, illegal: emptyRange },
  [OPCODE.CMD_TLBI_S12_VMALL]: { layout: CMD_TLBI, implemented: stage2 },
  [OPCODE.CMD_TLBI_S2_IPA]: { layout: CMD_TLBI_S2_IPA, implemented: stage2, illegal: emptyRange },
  [OPCODE.CMD_TLBI_NSNH_ALL]: { layout: CMD_TLBI, implemented: always },
  [OPCODE.CMD_ATC_INV]: {
    layout: CMD_ATC_INV,
    implemented: ({ ATS }) => ATS === 1,
    // § 4.5.1: permitted for sizes beyond the whole address space.
    illegal: (command) => get(command, CMD_ATC_INV.Size) > ATC_INV_ALL,
  },
  [OPCODE.CMD_PRI_RESP]: {
    layout: CMD_PRI_RESP,
    implemented: ({ PRI }) => PRI === 1,
    illegal: (command) => get(command, CMD_PRI_RESP.Resp) === PRI_RESP.RESERVED,
  },
  [OPCODE.CMD_RESUME]: { layout: CMD_RESUME, implemented: stalls },
  [OPCODE.CMD_STALL_TERM]: { layout: CMD_STREAM, implemented: stalls },
  [OPCODE.CMD_SYNC]: {
    layout: CMD_SYNC,
    implemented: always,
    illegal: (command) => get(command, CMD_SYNC.CS) === SYNC_SIGNAL.RESERVED,
  },
};

export function opcodeOf(command: CommandWords): number {
  return get(command, COMMAND.OPCODE);
}

/** § 4.1.3: whether a command is one that this SMMU cannot consume (CERROR_ILL). */
export function isIllegal(command: CommandWords, features: SmmuFeatures): boolean {
  const kind = COMMANDS[opcodeOf(command)];
  if (!kind?.implemented(features)) return true;
  // § 4.1.6: the Non-secure queue cannot name Secure streams.
  if ("SSec" in kind.layout && get(command, COMMAND.SSec)) return true;
  return kind.illegal?.(command, features) ?? false;
}

/** What a TLBI command says about granule and level; without range invalidation, nothing. */
export function rangeOf(command: CommandWords, features: SmmuFeatures): { tg: TLBI_TG; ttl: number } {
  const tg: TLBI_TG = features.RIL ? get(command, CMD_TLBI.TG) : TLBI_TG.NONE;
  if (tg === TLBI_TG.NONE) return { tg, ttl: 0 };
  const ttl = get(command, CMD_TLBI.TTL);
  // § 4.4.1.1: the 16 KiB granule has no blocks at level 1.
  return { tg, ttl: tg === TLBI_TG.GRANULE_16K && ttl === 1 ? 0 : ttl };
}

/** Name of a command, with CMD_CFGI_ALL told from CMD_CFGI_STE_RANGE. */
export function commandName(command: CommandWords): string {
  const opcode = opcodeOf(command);
  if (opcode === OPCODE.CMD_CFGI_STE_RANGE && get(command, CMD_CFGI_STE_RANGE.Range) === CFGI_ALL)
    return "CMD_CFGI_ALL";
  return (OPCODE as Record<number, string>)[opcode] ?? "";
}

/** CMD_CFGI_STE_RANGE.Range of every StreamID there can be. */
const CFGI_ALL = 31;

/** The fields of a command; undefined for an opcode that is no command. */
export function commandLayout(opcode: number): Layout | undefined {
  return COMMANDS[opcode]?.layout;
}

/** A command for people: its fields, without those that are not its own. */
export function commandFields(command: CommandWords): FieldValue[] {
  return describeFields(commandLayout(opcodeOf(command)) ?? COMMAND, command);
}
