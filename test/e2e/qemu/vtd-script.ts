/** Random register set-ups, tables and requests for a VT-d unit as QEMU's machine has it. */
import { Choices } from "../../support/choices.ts";
import { buildVtdCase } from "../../support/vtd-cases/case.ts";
import type { Mutation } from "../../support/vtd-cases/mutations.ts";
import type { RequestSeed } from "../../support/vtd-cases/requests.ts";
import { HIGH, LOW, ROM, TableWriter, type WrittenEntry } from "../../support/vtd-cases/tables.ts";
import { Capabilities, type OracleState } from "../../support/vtd-oracle/index.ts";
import type { Random } from "./random.ts";

/** One register write of the set-up. */
export interface RegisterWrite {
  offset: number;
  bytes: 4 | 8;
  value: bigint;
}

export interface VtdScript {
  state: OracleState;
  words: ReadonlyMap<bigint, bigint>;
  setUp: readonly RegisterWrite[];
  requests: readonly { sid: number; address: bigint }[];
}

export const REQUESTS = 12;
const TABLE_CHOICES = 260;
/** Kinds of mutations that take a capability away or poison memory: QEMU can neither. */
const FIRST_KIND = 7;
const KINDS = 22;

/** Where no tables are: data goes there. */
const DATA = { base: 1n << 30n, bits: 28 };
const HIGH_DATA = { base: 33n << 30n, bits: 28 };

class Writer extends TableWriter {
  readonly #sids: readonly number[];

  constructor(choices: Choices, caps: Capabilities, sids: readonly number[]) {
    super(choices, caps, false);
    this.#sids = sids;
  }

  override sid(): number {
    return this.choices.pick(this.#sids);
  }

  /**
   * Less of what QEMU says no more about: garbage in the half of a root entry that is not used, and AW in a PASID entry
   * for first-stage translation other than what its tables have.
   */
  override put(kind: WrittenEntry["kind"], address: bigint, words: readonly bigint[]): void {
    const [first = 0n, ...others] = words;
    const tidy = this.choices.chance(90);
    if (tidy && kind === "root")
      super.put(
        kind,
        address,
        words.map((word) => (word & 1n ? word : 0n)),
      );
    else if (tidy && kind === "pasid" && first & 0x40n) super.put(kind, address, [(first & ~0x1cn) | 8n, ...others]);
    else super.put(kind, address, words);
  }

  /** Mostly RAM, where the bytes can be seen to arrive. */
  override output(size: bigint): bigint {
    const { choices, caps } = this;
    if (choices.chance(12)) return super.output(size);
    const { base, bits } = caps.haw > 35 && choices.chance(25) ? HIGH_DATA : DATA;
    return (base | choices.bits(bits)) & ~(size - 1n);
  }
}

export function isTablePage(address: bigint): boolean {
  return [LOW, HIGH, ROM].some(({ base, pages }) => address >= base && address < base + BigInt(pages * 4096));
}

export function makeVtdScript(
  random: Random,
  unit: Pick<OracleState, "cap" | "ecap" | "version" | "haw">,
  sids: readonly number[],
): VtdScript {
  const scalable = new Capabilities({ ...unit, rtaddr: 0n, translationEnabled: true, interruptRemapping: false })
    .scalable;
  const choices = new Choices(random.tape(8));
  const mode = !scalable || choices.chance(15) ? 0n : 1n;
  const state: OracleState = {
    ...unit,
    rtaddr: mode << 10n,
    translationEnabled: !choices.chance(3),
    interruptRemapping: false,
  };
  const writer = new Writer(new Choices(random.tape(TABLE_CHOICES)), new Capabilities(state), sids);
  const reserved = scalable && choices.chance(2) ? 2n << 10n : 0n;
  const broken = choices.chance(55) ? 0 : 1 + choices.below(3);
  const { words, requests } = buildVtdCase(
    state,
    writer,
    Array.from({ length: broken }, () => mutation(random)),
    Array.from({ length: REQUESTS }, () => requestSeed(random)),
  );
  state.rtaddr |= reserved;
  return {
    state,
    words,
    setUp: registerWrites(choices, state),
    requests: requests.map(({ sid, address }) => ({
      sid: sids.includes(sid) ? sid : choices.pick(sids),
      address: address & ~3n,
    })),
  };
}

function mutation(random: Random): Mutation {
  const kind = FIRST_KIND + random.below(KINDS - FIRST_KIND);
  return {
    kind: random.below(8) === 0 ? 3 : kind,
    entry: random.below(0x10000),
    bit: random.below(0x10000),
    value: random.below(0x10000),
  };
}

/** Percent of requests for just what was mapped. */
const STRAIGHT = 70;

/** Untranslated requests only. */
function requestSeed(random: Random): RequestSeed {
  const word = () => random.below(0x10000);
  const tweak = random.below(100) < STRAIGHT ? 0 : word();
  return { target: word(), type: 0, access: 4, flags: word(), tweak, offset: word() };
}

const REGISTER = { GCMD: 0x18, RTADDR: 0x20, CCMD: 0x28, FECTL: 0x38, IOTLB: 0xf8 } as const;
const LATCH_ROOT = 1n << 30n;
const ENABLE = 1n << 31n;
const INVALIDATE = 1n << 63n;

/** Faults masked, root table latched, invalidated by registers or not (SRTP does, with CAP.ESRTPS), translation on. */
function registerWrites(choices: Choices, { rtaddr, translationEnabled }: OracleState): RegisterWrite[] {
  const writes: RegisterWrite[] = [];
  const put = (offset: number, value: bigint, bytes: 4 | 8 = 4) => writes.push({ offset, bytes, value });
  put(REGISTER.GCMD, 0n);
  put(REGISTER.FECTL, ENABLE);
  if (choices.chance(50)) put(REGISTER.RTADDR, rtaddr, 8);
  else {
    put(REGISTER.RTADDR, rtaddr & 0xffff_ffffn);
    put(REGISTER.RTADDR + 4, rtaddr >> 32n);
  }
  put(REGISTER.GCMD, LATCH_ROOT);
  if (choices.chance(30)) {
    put(REGISTER.CCMD, INVALIDATE | (1n << 61n), 8);
    put(REGISTER.IOTLB, INVALIDATE | (1n << 60n), 8);
  }
  if (translationEnabled) put(REGISTER.GCMD, ENABLE);
  return writes;
}
