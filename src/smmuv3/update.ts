/**
 * Changing a live STE or CD the way a careful driver does: Arm IHI 0070 3.21.3.
 *
 * The SMMU reads 64-bit words whole, but an entry in any order and at any time. So a change goes in
 * steps, each of one kind: first bits that the entry in memory does not use, then one word that
 * turns it over, then what is not used any more. After each step caches are invalidated and waited
 * for (`sync`). Where more than one word has to turn over at once the entry is made invalid between.
 */
import { CD, CD_SIZE, CONFIG_BIT, EATS, S1DSS, STE, STE_SIZE } from "../../assembly/layout/smmuv3.ts";
import type { GuestMemory } from "../memory.ts";
import { getField, maskWords } from "../structure.ts";

/** An entry in memory, and the invalidation that makes the SMMU look again. */
export interface LiveEntry {
  load(): bigint[];
  /** Stores one 64-bit word. */
  store(word: number, value: bigint): void;
  /** Invalidates what is cached of this entry, and waits. */
  sync(): void;
}

export interface EntryUpdate {
  /** Whoever looked saw the old entry or the new one, never an invalid or a mixed one. */
  hitless: boolean;
  /** Times that `sync` was called. */
  syncs: number;
}

/** What the entry in memory, as it stands, makes the SMMU look at: ones, a word each. */
type Used = (entry: readonly bigint[]) => bigint[];

const WORD_BYTES = 8;
const ONES = 0xffff_ffff_ffff_ffffn;

/** An STE or CD at an address of guest memory. */
export function liveEntry(memory: GuestMemory, address: bigint, sync: () => void): LiveEntry {
  const at = (word: number): bigint => address + BigInt(word * WORD_BYTES);
  return {
    load: () => Array.from({ length: STE_SIZE / WORD_BYTES }, (_, word) => memory.read64(at(word))),
    store: (word, value) => memory.write64(at(word), value),
    sync,
  };
}

/** Replaces an STE. `target` has eight words, and zeros in what it does not use. */
export function updateSte(live: LiveEntry, target: readonly bigint[]): EntryUpdate {
  return update(live, target, steUsed, steSafe(live.load(), target), STE.V);
}

/** Replaces a CD. `target` has eight words, and zeros in what it does not use. */
export function updateCd(live: LiveEntry, target: readonly bigint[]): EntryUpdate {
  return update(live, target, cdUsed, masksOf([], CD_SIZE), CD.V);
}

/** Fields of an STE that the SMMU looks at, by its Config. */
export function steUsed(entry: readonly bigint[]): bigint[] {
  const fields: number[] = [STE.V];
  if (getField(entry, STE.V) === 0n) return masksOf(fields, STE_SIZE);
  fields.push(STE.Config, STE.CONT);
  const config = Number(getField(entry, STE.Config));
  if (!(config & CONFIG_BIT.LIVE)) return masksOf(fields, STE_SIZE);
  const hasStage1 = (config & CONFIG_BIT.STAGE1) !== 0;
  const hasStage2 = (config & CONFIG_BIT.STAGE2) !== 0;
  fields.push(STE.INSTCFG, STE.PRIVCFG, STE.MEV, STE.DRE, STE.DCP);
  if (hasStage1) fields.push(...STAGE1_FIELDS);
  if (hasStage2) fields.push(...STAGE2_FIELDS);
  // Incoming attributes count where stage 1 does not give them.
  if (!hasStage1 || Number(getField(entry, STE.S1DSS)) === S1DSS.BYPASS) fields.push(...ATTRIBUTE_FIELDS);
  return masksOf(fields, STE_SIZE);
}

const STAGE1_FIELDS: readonly number[] = [
  STE.S1Fmt,
  STE.S1ContextPtr,
  STE.S1CDMax,
  STE.S1DSS,
  STE.S1CIR,
  STE.S1COR,
  STE.S1CSH,
  STE.S1STALLD,
  STE.STRW,
  STE.EATS,
  STE.PPAR,
  STE.S2VMID,
];
const STAGE2_FIELDS: readonly number[] = [
  STE.S2FWB,
  STE.EATS,
  STE.PPAR,
  STE.S2VMID,
  STE.S2T0SZ,
  STE.S2SL0,
  STE.S2IR0,
  STE.S2OR0,
  STE.S2SH0,
  STE.S2TG,
  STE.S2PS,
  STE.S2AA64,
  STE.S2ENDI,
  STE.S2AFFD,
  STE.S2PTW,
  STE.S2HD,
  STE.S2HA,
  STE.S2S,
  STE.S2R,
  STE.S2TTB,
  STE.SHCFG,
  STE.MTCFG,
  STE.MemAttr,
  STE.ALLOCCFG,
];
const ATTRIBUTE_FIELDS: readonly number[] = [STE.SHCFG, STE.MTCFG, STE.MemAttr, STE.ALLOCCFG];

/** Fields of a CD that the SMMU looks at: none of a half of the address space that is switched off. */
export function cdUsed(entry: readonly bigint[]): bigint[] {
  if (getField(entry, CD.V) === 0n) return masksOf([CD.V], CD_SIZE);
  const unused = [
    ...(getField(entry, CD.EPD0) ? [CD.T0SZ, CD.TG0, CD.IR0, CD.OR0, CD.SH0, CD.TTB0] : []),
    ...(getField(entry, CD.EPD1) ? [CD.T1SZ, CD.TG1, CD.IR1, CD.OR1, CD.SH1, CD.TTB1] : []),
  ];
  return masksOf(unused, CD_SIZE).map((mask) => ONES & ~mask);
}

/**
 * Fields that may change together with others, because a mixture does no harm: MEV, and EATS between
 * none and full ATS as long as nothing that forbids ATS (S2S, split stage) is near.
 */
function steSafe(current: readonly bigint[], target: readonly bigint[]): bigint[] {
  const forbids = (entry: readonly bigint[]): boolean =>
    getField(entry, STE.S2S) === 1n || Number(getField(entry, STE.EATS)) === EATS.SPLIT;
  const fields = forbids(current) || forbids(target) ? [STE.MEV] : [STE.MEV, STE.EATS];
  return masksOf(fields, STE_SIZE);
}

function masksOf(fields: readonly number[], bytes: number): bigint[] {
  return maskWords(fields, bytes / WORD_BYTES);
}

function update(
  live: LiveEntry,
  target: readonly bigint[],
  used: Used,
  safe: readonly bigint[],
  valid: number,
): EntryUpdate {
  const current = live.load();
  const writer = new Writer(live);
  const usedByTarget = used(target);
  const kept = used(current).map((mask, i) => mask & ~((safe[i] ?? 0n) & (usedByTarget[i] ?? 0n)));
  // Bits that nobody looks at yet can be as the target wants them from the start.
  const prepared = current.map((word, i) => (word & (kept[i] ?? 0n)) | ((target[i] ?? 0n) & ~(kept[i] ?? 0n)));
  const turning = prepared.flatMap((word, i) => ((word ^ (target[i] ?? 0n)) & (usedByTarget[i] ?? 0n) ? [i] : []));
  const isValid = getField(current, valid) === 1n && getField(target, valid) === 1n;
  if (turning.length > 1) {
    writer.write([0n, ...current.slice(1)]);
    writer.write([0n, ...target.slice(1)]);
  } else if (turning.length === 1) {
    const word = turning[0] as number;
    writer.write(prepared.map((value, i) => (i === word ? (current[i] as bigint) : value)));
    writer.write(prepared.map((value, i) => (i === word ? (target[i] as bigint) : value)));
  }
  writer.write(target);
  return { hitless: isValid && turning.length <= 1, syncs: writer.syncs };
}

/** Stores what differs, and synchronises if anything did. */
class Writer {
  syncs = 0;
  readonly #live: LiveEntry;

  constructor(live: LiveEntry) {
    this.#live = live;
  }

  write(words: readonly bigint[]): void {
    const differing = this.#live.load().flatMap((word, i) => (word === words[i] ? [] : [i]));
    // The word with V last: it makes an entry valid.
    for (const i of differing.reverse()) this.#live.store(i, words[i] as bigint);
    if (differing.length === 0) return;
    this.#live.sync();
    this.syncs++;
  }
}
