/** Stage 2: from an intermediate to a physical address (IHI 0070 3.4, 5.2; Arm ARM D8.2, D8.4). */
import {
  type Descriptor,
  decode,
  descriptorAddress,
  type Geometry,
  LAST_LEVEL,
  log2Covered,
  readDescriptor,
  startTable,
  updateDescriptor,
} from "./descriptor.ts";
import { type Access, CLASS, EVENT, type Features, type Walk, WalkFault } from "./model.ts";
import type { Ste } from "./stream.ts";

export interface Stage2Config {
  t0sz: number;
  sl0: number;
  /** log2 of the granule, 0 for the reserved encoding. */
  granule: number;
  addressBits: number;
  aarch64: boolean;
  bigEndian: boolean;
  accessFlagFaultDisabled: boolean;
  /** S2PTW. */
  protectedTables: boolean;
  updateDirty: boolean;
  updateAccessed: boolean;
  stall: boolean;
  record: boolean;
  base: bigint;
  /** S2FWB in effect. */
  forcedTypes: boolean;
}

export interface Rights {
  read: boolean;
  write: boolean;
  execute: boolean;
}

export interface Stage2Output {
  address: bigint;
  log2Size: number;
  rights: Rights;
  memAttr: number;
  shareability: number;
}

/** Reads of CDs and stage 1 tables are data reads. */
export const TABLE_READ: Access = { read: true, write: false, instruction: false, privileged: false };
/** The write half of a stage 1 accessed/dirty update. */
export const TABLE_WRITE: Access = { read: false, write: true, instruction: false, privileged: false };

function startLevel(s2: Stage2Config): number | undefined {
  if (s2.granule === 12) return [2, 1, 0, 3][s2.sl0];
  return [3, 2, 1, undefined][s2.sl0];
}

/** Whether S2SL0, S2T0SZ and S2TG agree: up to 16 start tables side by side, at least one index bit. */
export function isConsistentStage2(s2: Stage2Config, f: Features): boolean {
  const level = startLevel(s2);
  if (level === undefined || s2.granule === 0) return false;
  if (s2.granule === 12 && level === LAST_LEVEL && !f.smallTables) return false;
  const indexBits = 64 - s2.t0sz - log2Covered(s2.granule, level);
  return indexBits >= 1 && indexBits <= s2.granule - 3 + 4;
}

interface Found {
  descriptor: bigint;
  leaf: Extract<Descriptor, { kind: "leaf" }>;
  at: bigint;
}

/**
 * Translates one access of class `cls`; `above` is what stage 1 allows. For a translation request
 * (`collect`) of class IN, missing rights do not fault; they show in `rights`.
 */
export function stage2(
  walk: Walk,
  ste: Ste,
  ipa: bigint,
  access: Access,
  cls: number,
  above: Rights = ALL_RIGHTS,
): Stage2Output {
  const fault = (code: number, more: { fetchAddress?: bigint; tableWrite?: boolean } = {}) =>
    new WalkFault(code, { stage: 2, class: cls, ipa, ...more });
  for (;;) {
    const found = find(walk, ste, ipa, fault);
    const output = judge(walk, ste, ipa, access, cls, found, fault);
    output.rights = both(output.rights, above);
    const collecting = walk.collect !== undefined && cls === CLASS.IN;
    const granted = !collecting || grantsAnything(walk, output.rights);
    const wanted = granted ? desired(ste.s2, access, found.descriptor, output.rights) : found.descriptor;
    if (wanted === found.descriptor || walk.request.probe) return output;
    const result = updateDescriptor(walk.memory, found.at, ste.s2.bigEndian, found.descriptor, wanted);
    if (result === "abort") throw fault(EVENT.F_WALK_EABT, { fetchAddress: found.at });
    if (result === "done") return output;
  }
}

type Raise = (code: number, more?: { fetchAddress?: bigint; tableWrite?: boolean }) => WalkFault;

function find(walk: Walk, { s2 }: Ste, ipa: bigint, fault: Raise): Found {
  const geometry: Geometry = {
    granule: s2.granule,
    inputBits: 64 - s2.t0sz,
    startLevel: startLevel(s2) as number,
    outputBits: s2.addressBits,
  };
  if (ipa >> BigInt(geometry.inputBits)) throw fault(EVENT.F_TRANSLATION);
  let table = startTable(geometry, s2.base);
  for (let level = geometry.startLevel; ; level++) {
    const at = descriptorAddress(geometry, table, level, ipa);
    const descriptor = readDescriptor(walk.memory, at, s2.bigEndian);
    if (descriptor === undefined) throw fault(EVENT.F_WALK_EABT, { fetchAddress: at });
    const decoded = decode(walk.features, s2.granule, level, descriptor);
    if (decoded.kind === "invalid") throw fault(EVENT.F_TRANSLATION);
    const address = decoded.kind === "table" ? decoded.next : decoded.output;
    if (address >> BigInt(s2.addressBits)) throw fault(EVENT.F_ADDR_SIZE);
    if (decoded.kind === "leaf") return { descriptor, leaf: decoded, at };
    table = decoded.next;
  }
}

function judge(
  walk: Walk,
  { s2, stage1 }: Ste,
  ipa: bigint,
  access: Access,
  cls: number,
  { descriptor, leaf }: Found,
  fault: Raise,
): Stage2Output {
  const accessed = (descriptor >> 10n) & 1n;
  if (!accessed && !s2.updateAccessed && !s2.accessFlagFaultDisabled) throw fault(EVENT.F_ACCESS);
  const rights = rightsOf(walk.features, s2, descriptor, access.privileged);
  const memAttr = Number((descriptor >> 2n) & 15n);
  const collecting = walk.collect !== undefined && cls === CLASS.IN;
  if (!collecting && !permits(rights, access)) {
    throw fault(EVENT.F_PERMISSION, { tableWrite: cls === CLASS.TT && access.write });
  }
  if (cls !== CLASS.IN && stage1 && s2.protectedTables && isDevice(s2, memAttr)) {
    throw fault(EVENT.F_PERMISSION, { tableWrite: cls === CLASS.TT && access.write });
  }
  return {
    address: leaf.output | (ipa & ((1n << BigInt(leaf.log2Size)) - 1n)),
    log2Size: leaf.log2Size,
    rights,
    memAttr,
    shareability: Number((descriptor >> 8n) & 3n),
  };
}

/** Instruction reads need the right to execute and not the right to read. */
export function permits(rights: Rights, access: Access): boolean {
  if (access.write && !rights.write) return false;
  if (!access.read) return true;
  return access.instruction && !access.write ? rights.execute : rights.read;
}

function rightsOf(f: Features, s2: Stage2Config, descriptor: bigint, privileged: boolean): Rights {
  const flag = (position: number) => ((descriptor >> BigInt(position)) & 1n) === 1n;
  const cleanButWritable = s2.updateDirty && flag(51);
  const xn1 = flag(54);
  const xn0 = f.xnx && flag(53);
  const byPrivileged = xn1 === xn0;
  const byUser = !xn1;
  return { read: flag(6), write: flag(7) || cleanButWritable, execute: privileged ? byPrivileged : byUser };
}

const ALL_RIGHTS: Rights = { read: true, write: true, execute: true };

function both(a: Rights, b: Rights): Rights {
  return { read: a.read && b.read, write: a.write && b.write, execute: a.execute && b.execute };
}

/** What a translation completion says of these rights (IHI 0070 13.7.1). */
export function completionRights(walk: Walk, { read, write, execute }: Rights): Rights {
  const asked = walk.collect?.execute ?? false;
  const reads = walk.collect?.reads === "instruction" ? execute : read;
  const executes = walk.collect?.reads === "data" ? read : execute && reads;
  return { read: reads, write: write && walk.access.write, execute: asked && executes };
}

export function grantsAnything(walk: Walk, rights: Rights): boolean {
  const { read, write, execute } = completionRights(walk, rights);
  return read || write || execute;
}

/** The descriptor as it should be after this access; a translation request that is granted nothing changes nothing. */
function desired(s2: Stage2Config, access: Access, descriptor: bigint, rights: Rights): bigint {
  let wanted = descriptor;
  if (s2.updateAccessed) wanted |= 1n << 10n;
  if (s2.updateDirty && access.write && rights.write && (descriptor >> 51n) & 1n) wanted |= 1n << 7n;
  return wanted;
}

/** Reserved encodings (Normal outside, nothing inside) act as Device-nGnRnE. */
export function isDevice(s2: Stage2Config, memAttr: number): boolean {
  return s2.forcedTypes ? (memAttr & 4) === 0 : memAttr < 4 || (memAttr & 3) === 0;
}
