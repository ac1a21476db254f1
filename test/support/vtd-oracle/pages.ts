/** The oracle's page walks: first stage, second stage, nested, pass-through, host permission tables (chapter 3, 9). */

import type { Found } from "./context.ts";
import { addressBits, bit, bits, Failure, inInterruptRange, type OracleOutcome, type Walk } from "./model.ts";

/** A page that a walk ended at. */
export interface Page {
  address: bigint;
  size: bigint;
  read: boolean;
  write: boolean;
  /** Sets the accessed and dirty bits that the walk owes; called once the request is known to succeed. */
  commit(): void;
}

const ACCESSED_FS = 1n << 5n;
const DIRTY_FS = 1n << 6n;
const EXTENDED_FS = 1n << 10n;
const ACCESSED_SS = 1n << 8n;
const DIRTY_SS = 1n << 9n;

/** An entry on the way, where it lies, and the bits that using it sets. */
interface Used {
  address: bigint;
  value: bigint;
  sets: bigint;
}

export interface SecondStage {
  legacy: boolean;
  root: bigint;
  aw: number;
  /** SSADE. */
  dirty: boolean;
  snooped: boolean;
}

/** Why a second stage is walked: for the request's own page, or for a first-stage entry below it. */
type Purpose = { for: "page"; write: boolean; read: boolean } | { for: "entry"; root: boolean };

export function secondStage(walk: Walk, stage: SecondStage): Page {
  const { translation, noWrite } = walk;
  const purpose: Purpose = { for: "page", read: walk.read, write: translation ? !noWrite : walk.write };
  return walkSecondStage(walk, stage, walk.request.address, purpose);
}

function walkSecondStage(walk: Walk, stage: SecondStage, input: bigint, purpose: Purpose): Page {
  const used: Used[] = [];
  let table = stage.root;
  let read = true;
  let write = true;
  const top = stage.aw + 2;
  for (let level = top; ; level--) {
    const shift = BigInt(12 + 9 * (level - 1));
    const address = table + 8n * ((input >> shift) & 0x1ffn);
    const unreadable = level === top ? ["LCT.4.3", "SSS.4"] : ["LSS.1", "SSS.1"];
    const [value] = walk.fetch(address, 1, (stage.legacy ? unreadable[0] : unreadable[1]) as string) as [bigint];
    const [r, w] = walk.ioRights ? [bit([value], 61), bit([value], 62)] : [bit([value], 0), bit([value], 1)];
    if (!r && !w) throw new Failure(nothingGranted(stage, purpose));
    const leaf = level === 1 || bit([value], 7);
    if (reservedInSecondStage(walk, value, level, leaf)) throw new Failure(stage.legacy ? "LSS.2" : "SSS.3");
    read &&= r;
    write &&= w;
    if (!read && !write) throw new Failure(nothingGranted(stage, purpose));
    used.push({ address, value, sets: ACCESSED_SS });
    if (leaf) {
      const size = 1n << shift;
      checkSecondStageRights(walk, stage, purpose, read, write);
      const marked = purpose.for === "entry" || (purpose.write && write);
      if (marked) (used.at(-1) as Used).sets |= DIRTY_SS;
      const updates = stage.dirty ? owed(used) : [];
      if (updates.length > 0 && !stage.snooped) throw new Failure("SSS.5");
      const output = addressBits(value, 51, 12) & ~(size - 1n);
      const commit = () => update(walk, updates, "SSS.6");
      return { address: output | (input & (size - 1n)), size, read, write, commit };
    }
    table = addressBits(value, 51, 12);
  }
}

/** R = W = 0, in one entry or all along the walk. */
function nothingGranted(stage: SecondStage, purpose: Purpose): string {
  if (!stage.legacy) return "SSS.2";
  return purpose.for === "page" && purpose.write ? "LGN.2" : "LGN.3";
}

function reservedInSecondStage(walk: Walk, value: bigint, level: number, leaf: boolean): boolean {
  const { caps, ioRights } = walk;
  const set = (msb: number, lsb = msb) => bits([value], msb, lsb) !== 0n;
  if (!ioRights && set(62)) return true;
  if (caps.haw <= 51 && set(51, caps.haw)) return true;
  if (!leaf) return set(11);
  if (set(11) && !caps.snoopControl) return true;
  switch (level) {
    case 1:
      return false;
    case 2:
      return !bit([caps.sslps], 0) || set(20, 12);
    case 3:
      return !bit([caps.sslps], 1) || set(29, 12);
    default:
      return true;
  }
}

function checkSecondStageRights(walk: Walk, stage: SecondStage, purpose: Purpose, read: boolean, write: boolean): void {
  if (purpose.for === "entry") {
    if (!read) throw new Failure(purpose.root ? "SFS.6" : "SFS.7");
    // With SSADE, reading a first-stage structure needs both rights.
    if (stage.dirty && !write) throw new Failure("SFS.8");
    return;
  }
  // A translation request asks what there is.
  if (walk.translation) return;
  if (purpose.write && !write) throw new Failure(stage.legacy ? "LGN.2" : "SGN.6");
  const exempt = walk.zeroLength && walk.caps.zlr && write;
  if (purpose.read && !read && !exempt) throw new Failure(stage.legacy ? "LGN.3" : "SGN.7");
}

export function firstStage(walk: Walk, found: Found): Page {
  return walkFirstStage(walk, found, undefined);
}

/** First stage over guest physical addresses, each of which the second stage translates. */
export function nested(walk: Walk, found: Found): Page {
  const stage: SecondStage = {
    legacy: false,
    root: found.ssRoot,
    aw: found.aw,
    dirty: found.dirty,
    snooped: found.snooped,
  };
  const first = walkFirstStage(walk, found, stage);
  const wantsWrite = walk.translation ? !walk.noWrite && first.write : walk.write;
  const purpose: Purpose = { for: "page", read: walk.read, write: wantsWrite };
  const second = walkSecondStage(walk, stage, first.address, purpose);
  return {
    address: second.address,
    size: smaller(first.size, second.size),
    read: second.read,
    write: first.write && second.write,
    commit() {
      first.commit();
      second.commit();
    },
  };
}

function smaller(a: bigint, b: bigint): bigint {
  return a < b ? a : b;
}

/** F1 to F10; `stage` is the second stage below, if there is one. */
function walkFirstStage(walk: Walk, found: Found, stage: SecondStage | undefined): Page {
  const { caps, request } = walk;
  const input = request.address;
  const top = found.fiveLevels ? 5 : 4;
  const width = 12 + 9 * top;
  const upper = input >> BigInt(width - 1);
  if (upper !== 0n && upper !== (1n << BigInt(65 - width)) - 1n) throw new Failure("SGN.1");

  const used: (Used & { writable: boolean })[] = [];
  let table = found.fsRoot;
  let user = true;
  let write = true;
  for (let level = top; ; level--) {
    const shift = BigInt(12 + 9 * (level - 1));
    const guest = table + 8n * ((input >> shift) & 0x1ffn);
    const { address, writable } = locate(walk, stage, guest, level === top);
    const [value] = walk.fetch(address, 1, level === top ? "SFS.4" : "SFS.1") as [bigint];
    if (!bit([value], 0)) throw new Failure("SFS.2");
    const leaf = level === 1 || bit([value], 7);
    if (reservedInFirstStage(walk, value, level, leaf, stage !== undefined)) throw new Failure("SFS.3");
    const size = 1n << shift;
    const output = leaf ? addressBits(value, 51, 12) & ~(size - 1n) : addressBits(value, 51, 12);
    if (stage && output >> BigInt(caps.inputBits(stage.aw)) !== 0n) throw new Failure("SFS.5");
    write &&= bit([value], 1);
    user &&= bit([value], 2);
    used.push({ address, value, sets: ACCESSED_FS | (found.extendedAccessed ? EXTENDED_FS : 0n), writable });
    if (leaf) {
      const granted = write || (found.privileged && !found.writeProtect);
      if (!found.privileged && !user) throw new Failure("SGN.2");
      if (walk.write && !granted) throw new Failure("SGN.6");
      const dirties = walk.translation ? granted && !walk.noWrite : walk.write;
      if (dirties) (used.at(-1) as Used).sets |= DIRTY_FS;
      const updates = owed(used);
      if (updates.length > 0 && !found.snooped) throw new Failure("SFS.9");
      if (updates.some((entry) => !entry.writable)) throw new Failure("SFS.8");
      const commit = () => update(walk, updates, "SFS.10");
      return { address: output | (input & (size - 1n)), size, read: true, write: granted, commit };
    }
    table = output;
  }
}

/** Where a first-stage entry lies in host memory, and whether it may be written there. */
function locate(
  walk: Walk,
  stage: SecondStage | undefined,
  guest: bigint,
  root: boolean,
): { address: bigint; writable: boolean } {
  if (!stage) return { address: guest, writable: true };
  const { address, write, commit } = walkSecondStage(walk, stage, guest, { for: "entry", root });
  commit();
  return { address, writable: write };
}

function reservedInFirstStage(walk: Walk, value: bigint, level: number, leaf: boolean, isNested: boolean): boolean {
  const { caps } = walk;
  const set = (msb: number, lsb = msb) => bits([value], msb, lsb) !== 0n;
  if (level >= 4 && set(7)) return true;
  // Nested: the address is a guest physical one, bounded by SFS.5.
  if (!isNested && caps.haw <= 51 && set(51, caps.haw)) return true;
  if (leaf && level === 2) return set(20, 13);
  if (leaf && level === 3) return !caps.fs1gp || set(29, 13);
  return false;
}

/** Entries that do not have all their bits yet. */
function owed<T extends Used>(used: readonly T[]): T[] {
  return used.filter(({ value, sets }) => (value & sets) !== sets);
}

function update(walk: Walk, entries: readonly Used[], condition: string): void {
  if (walk.request.probe) return;
  for (const { address, sets } of entries) {
    for (;;) {
      const now = walk.memory.read(address, 1)?.[0];
      if (now === undefined) throw new Failure(condition);
      const was = walk.memory.compareExchange(address, now, now | sets);
      if (was === undefined) throw new Failure(condition);
      if (was === now) break;
    }
  }
}

export function passThrough(walk: Walk): OracleOutcome {
  const { caps, request } = walk;
  const { address } = request;
  if (caps.beyondHaw(address)) throw new Failure("SGN.4.2");
  if (!walk.translation && inInterruptRange(address)) throw new Failure("SGN.8.1");
  return {
    ok: true,
    answer: "success",
    address,
    pageSize: walk.translation ? largestPage(walk) : 1n << 64n,
    read: true,
    write: !walk.noWrite,
  };
}

/** A completion for a pass-through page covers the largest page that the unit supports. */
function largestPage({ caps }: Walk): bigint {
  if (bit([caps.sslps], 1) || caps.fs1gp) return 1n << 30n;
  return bit([caps.sslps], 0) || caps.firstStage ? 1n << 21n : 4096n;
}
