/** Stage 1: from a client's address to an intermediate or physical one (Arm ARM D8.2, D8.4, IHI 0070 3.4). */
import type { Cd, Half } from "./context.ts";
import {
  type Descriptor,
  decode,
  descriptorAddress,
  type Geometry,
  LAST_LEVEL,
  readDescriptor,
  startTable,
  updateDescriptor,
} from "./descriptor.ts";
import { type Access, CLASS, EVENT, ones, type Walk, WalkFault } from "./model.ts";
import { grantsAnything, permits, type Rights, stage2, TABLE_READ, TABLE_WRITE } from "./stage2.ts";
import type { Ste } from "./stream.ts";

export interface Stage1Output {
  address: bigint;
  log2Size: number;
  rights: Rights;
  /** Index into MAIR. */
  attrIndex: number;
  shareability: number;
}

const fault = (code: number) => new WalkFault(code, { stage: 1, class: CLASS.IN });
const abortedAt = (fetchAddress: bigint) =>
  new WalkFault(EVENT.F_WALK_EABT, { stage: 1, class: CLASS.TT, fetchAddress });

export function stage1(walk: Walk, ste: Ste, cd: Cd, va: bigint): Stage1Output {
  const half = selectHalf(ste, cd, va);
  for (;;) {
    const found = find(walk, ste, cd, half, va);
    const output = judge(walk, ste, cd, va, found);
    const wanted = desired(walk, cd, found, output.rights);
    if (wanted === found.descriptor) return output;
    // A descriptor of a nested stage 1 is written through stage 2, which may have to allow and track it.
    const at = ste.stage2 ? stage2(walk, ste, found.ipa, TABLE_WRITE, CLASS.TT).address : found.at;
    if (walk.request.probe) return output;
    const result = updateDescriptor(walk.memory, at, cd.bigEndian, found.descriptor, wanted);
    if (result === "abort") throw abortedAt(at);
    if (result === "done") return output;
  }
}

/** Which TTB translates the address; everything above TxSZ must repeat bit 55 (one half: be zero). */
function selectHalf(ste: Ste, cd: Cd, va: bigint): Half {
  const oneHalf = ste.world === "el2";
  const upper = !oneHalf && (va >> 55n) & 1n ? 1 : 0;
  const half = cd.halves[upper] as Half;
  if (half.disabled) throw fault(EVENT.F_TRANSLATION);
  const top = half.ignoreTopByte ? 56 : 64;
  const inputBits = 64 - half.tsz;
  const above = (va & ones(top)) >> BigInt(inputBits);
  if (above !== (upper ? ones(top - inputBits) : 0n)) throw fault(EVENT.F_TRANSLATION);
  return half;
}

interface Found {
  descriptor: bigint;
  leaf: Extract<Descriptor, { kind: "leaf" }>;
  /** Where the descriptor lies, as stage 1 names it, and physically. */
  ipa: bigint;
  at: bigint;
  /** What the tables above took away. */
  noUser: boolean;
  noWrite: boolean;
  noUserExecute: boolean;
  noPrivilegedExecute: boolean;
}

function find(walk: Walk, ste: Ste, cd: Cd, half: Half, va: bigint): Found {
  const inputBits = 64 - half.tsz;
  const levels = Math.ceil((inputBits - half.granule) / (half.granule - 3));
  const geometry: Geometry = {
    granule: half.granule,
    inputBits,
    startLevel: LAST_LEVEL + 1 - levels,
    outputBits: cd.addressBits,
  };
  let table = startTable(geometry, half.base);
  let taken = 0n;
  for (let level = geometry.startLevel; ; level++) {
    const ipa = descriptorAddress(geometry, table, level, va);
    const at = ste.stage2 ? stage2(walk, ste, ipa, TABLE_READ, CLASS.TT).address : ipa;
    const descriptor = readDescriptor(walk.memory, at, cd.bigEndian);
    if (descriptor === undefined) throw abortedAt(at);
    const decoded = decode(walk.features, half.granule, level, descriptor);
    if (decoded.kind === "invalid") throw fault(EVENT.F_TRANSLATION);
    const address = decoded.kind === "table" ? decoded.next : decoded.output;
    if (address >> BigInt(cd.addressBits)) throw fault(EVENT.F_ADDR_SIZE);
    if (decoded.kind === "leaf") {
      const has = (position: bigint) => !half.ignoreHierarchy && ((taken >> position) & 1n) === 1n;
      return {
        descriptor,
        leaf: decoded,
        ipa,
        at,
        noUser: has(61n),
        noWrite: has(62n),
        noUserExecute: has(60n),
        noPrivilegedExecute: has(59n),
      };
    }
    taken |= descriptor;
    table = decoded.next;
  }
}

function judge(walk: Walk, ste: Ste, cd: Cd, va: bigint, found: Found): Stage1Output {
  const { descriptor, leaf } = found;
  const accessed = (descriptor >> 10n) & 1n;
  if (!accessed && !cd.updateAccessed && !cd.accessFlagFaultDisabled) throw fault(EVENT.F_ACCESS);
  const rights = ste.world === "el2" ? soleRights(cd, found) : sharedRights(cd, found, walk.access);
  if (!walk.collect && !permits(rights, walk.access)) throw fault(EVENT.F_PERMISSION);
  return {
    address: leaf.output | (va & ones(leaf.log2Size)),
    log2Size: leaf.log2Size,
    rights,
    attrIndex: Number((descriptor >> 2n) & 7n),
    shareability: Number((descriptor >> 8n) & 3n),
  };
}

const has = (descriptor: bigint, position: bigint): boolean => ((descriptor >> position) & 1n) === 1n;

/** AP[2] as a write sees it: a clean page that may become dirty counts as writable. */
function leafWritable(cd: Cd, descriptor: bigint): boolean {
  return !has(descriptor, 7n) || (cd.updateDirty && has(descriptor, 51n));
}

/** A world with one privilege level. */
function soleRights(cd: Cd, { descriptor, noWrite, noUserExecute }: Found): Rights {
  const write = leafWritable(cd, descriptor) && !noWrite;
  const never = has(descriptor, 54n) || noUserExecute || (cd.writeNoExecute && write);
  return { read: true, write, execute: !never };
}

/** A world with user and privileged accesses. */
function sharedRights(cd: Cd, found: Found, access: Access): Rights {
  const { descriptor } = found;
  const write = leafWritable(cd, descriptor) && !found.noWrite;
  const user = has(descriptor, 6n) && !found.noUser;
  if (!access.privileged) {
    const never = has(descriptor, 54n) || found.noUserExecute || (cd.writeNoExecute && user && write);
    return { read: user, write: user && write, execute: !never };
  }
  const shut = cd.privilegedAccessNever && user;
  const never = has(descriptor, 53n) || found.noPrivilegedExecute || (user && write) || (cd.writeNoExecute && write);
  return { read: !shut, write: write && !shut, execute: !never };
}

/** The descriptor as it should be after this access. */
function desired(walk: Walk, cd: Cd, { descriptor }: Found, rights: Rights): bigint {
  let wanted = descriptor;
  const { access } = walk;
  const granted = !walk.collect || grantsAnything(walk, rights);
  if (cd.updateAccessed && granted) wanted |= 1n << 10n;
  if (cd.updateDirty && access.write && rights.write && has(descriptor, 51n)) wanted &= ~(1n << 7n);
  return wanted;
}
