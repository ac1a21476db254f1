/** Random register set-ups, tables and requests for an SMMUv3 as QEMU's machine has it. */
import { Choices } from "../../support/choices.ts";
import { buildCase } from "../../support/smmu-cases/case.ts";
import type { OracleState } from "../../support/smmu-oracle/index.ts";
import type { Random } from "./random.ts";
import type { SmmuMachine } from "./smmu-machine.ts";
import type { RegisterWrite } from "./vtd-script.ts";

export const REQUESTS = 12;
const CHOICES = 700;

/** Where tables are, and where data goes. */
const TABLES = { base: 0x4000_0000n, size: 0x10_0000n };
const DATA = { base: 0x5000_0000n, bits: 28 };
const COMMANDS = 0x4800_0000n;
export const EVENTS = 0x4801_0000n;
const LOG2_COMMANDS = 4n;
const LOG2_EVENTS = 5n;

export interface SmmuScript {
  state: OracleState;
  words: ReadonlyMap<bigint, bigint>;
  setUp: readonly RegisterWrite[];
  requests: readonly { sid: number; address: bigint }[];
}

export function isTablePage(address: bigint): boolean {
  return [TABLES.base, COMMANDS].some((base) => address >= base && address < base + TABLES.size);
}

const INVALIDATE = [
  [0x04n, 31n],
  [0x30n, 0n],
  [0x46n, 0n],
] as const;

export function makeSmmuScript(random: Random, { ids }: SmmuMachine, sids: readonly number[]): SmmuScript {
  const choices = new Choices(random.tape(CHOICES));
  const state: OracleState = {
    idr0: ids.IDR0,
    idr1: ids.IDR1,
    idr3: ids.IDR3,
    idr5: ids.IDR5,
    aidr: ids.AIDR,
    cr0: choices.chance(2) ? 0 : 1,
    cr2: choices.chance(70) ? 2 : 0,
    gbpa: choices.chance(50) ? 1 << 20 : 0,
    strtabBase: 0n,
    strtabBaseCfg: 0,
  };
  const target = () => DATA.base | choices.bits(DATA.bits);
  const { image, requests, ste, cd } = buildCase(choices, REQUESTS, {
    state,
    regions: [TABLES],
    sids,
    target,
    bothHalves: true,
  });
  const words = new Map(image.words);
  spareQemu(words, ste, cd);
  INVALIDATE.forEach(([first, second], i) => {
    words.set(COMMANDS + BigInt(16 * i), first);
    words.set(COMMANDS + BigInt(16 * i + 8), second);
  });
  return {
    state,
    words,
    setUp: registerWrites(choices, state),
    requests: requests.map(({ sid, address }) => ({
      sid: sids.includes(sid) ? sid : choices.pick(sids),
      address: near(choices, address) & ~3n,
    })),
  };
}

/** QEMU 11.1 ends itself on an output size that is reserved, and on a stage 2 in the 32-bit format. */
function spareQemu(words: Map<bigint, bigint>, ste: bigint, cd: bigint | undefined): void {
  const SIZE_TOP_BIT = { ste: 1n << 50n, cd: 1n << 34n };
  const AARCH64 = 1n << 51n;
  const change = (address: bigint, made: (word: bigint) => bigint) => {
    const word = words.get(address);
    if (word !== undefined) words.set(address, made(word));
  };
  change(ste + 16n, (word) => (((word >> 48n) & 7n) === 7n ? word & ~SIZE_TOP_BIT.ste : word) | AARCH64);
  if (cd === undefined) return;
  change(cd, (word) => (((word >> 32n) & 7n) === 7n ? word & ~SIZE_TOP_BIT.cd : word));
}

/** Mostly within the page that was mapped; sometimes beside it. */
function near(choices: Choices, address: bigint): bigint {
  if (choices.chance(85)) return address ^ choices.bits(12);
  return choices.chance(50) ? address ^ (1n << BigInt(choices.below(64))) : address + (choices.bits(4) << 12n);
}

const REGISTER = {
  CR0: 0x20,
  CR1: 0x28,
  CR2: 0x2c,
  GBPA: 0x44,
  STRTAB_BASE: 0x80,
  STRTAB_BASE_CFG: 0x88,
  CMDQ_BASE: 0x90,
  CMDQ_PROD: 0x98,
  CMDQ_CONS: 0x9c,
  EVENTQ_BASE: 0xa0,
  EVENTQ_PROD: 0x1_00a8,
  EVENTQ_CONS: 0x1_00ac,
} as const;
const UPDATE = 1n << 31n;
const QUEUES = 0xcn;
const CACHEABLE = 0xd75n;

/** Off, everything new, queues on, all caches invalidated, on. */
function registerWrites(choices: Choices, state: OracleState): RegisterWrite[] {
  const { cr0, cr2 = 0, gbpa = 0, strtabBase, strtabBaseCfg } = state;
  const writes: RegisterWrite[] = [];
  const put = (offset: number, value: bigint | number, bytes: 4 | 8 = 4) =>
    writes.push({ offset, bytes, value: BigInt(value) });
  const put64 = (offset: number, value: bigint) => {
    if (choices.chance(50)) put(offset, value, 8);
    else {
      put(offset, value & 0xffff_ffffn);
      put(offset + 4, value >> 32n);
    }
  };
  put(REGISTER.CR0, 0);
  put(REGISTER.GBPA, BigInt(gbpa) | UPDATE);
  put(REGISTER.CR1, CACHEABLE);
  put(REGISTER.CR2, cr2);
  put64(REGISTER.STRTAB_BASE, strtabBase);
  put(REGISTER.STRTAB_BASE_CFG, strtabBaseCfg);
  put64(REGISTER.CMDQ_BASE, COMMANDS | LOG2_COMMANDS);
  put(REGISTER.CMDQ_PROD, 0);
  put(REGISTER.CMDQ_CONS, 0);
  put64(REGISTER.EVENTQ_BASE, EVENTS | LOG2_EVENTS);
  put(REGISTER.EVENTQ_PROD, 0);
  put(REGISTER.EVENTQ_CONS, 0);
  put(REGISTER.CR0, QUEUES);
  put(REGISTER.CMDQ_PROD, INVALIDATE.length);
  put(REGISTER.CR0, QUEUES | BigInt(cr0));
  return writes;
}
