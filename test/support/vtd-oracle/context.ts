/** The oracle's way from a request to its page tables: root, context, PASID directory, PASID entry (chapter 9). */
import { addressBits, bit, bits, Failure, hasPasid, inInterruptRange, type Walk } from "./model.ts";

/** What a PASID table entry says. */
export interface Found {
  /** PGTT: 1 first-stage, 2 second-stage, 3 nested, 4 pass-through. */
  type: number;
  /** AW of the second stage. */
  aw: number;
  ssRoot: bigint;
  /** SSADE: second-stage accessed and dirty bits are kept. */
  dirty: boolean;
  /** The walk is snooped, so it may update entries. */
  snooped: boolean;
  fsRoot: bigint;
  fiveLevels: boolean;
  /** WPE: supervisor writes obey R/W. */
  writeProtect: boolean;
  /** EAFE. */
  extendedAccessed: boolean;
  privileged: boolean;
  entry: readonly bigint[];
}

export function legacyContext(walk: Walk): { type: number; aw: number; root: bigint } {
  const { caps, request } = walk;
  const bus = BigInt(request.sid >> 8);
  const devfn = BigInt(request.sid & 0xff);

  const root = walk.fetch(walk.rootTable + 16n * bus, 2, "LRT.1");
  if (!bit(root, 0)) throw new Failure("LRT.2");
  if (bits(root, 11, 1) || bits(root, 63, caps.haw) || bits(root, 127, 64)) throw new Failure("LRT.3");

  const context = walk.fetch(addressBits(root[0] as bigint, 63, 12) + 16n * devfn, 2, "LCT.1");
  if (bit(context, 1)) walk.silenced = true;
  if (!bit(context, 0)) throw new Failure("LCT.2");
  const type = Number(bits(context, 3, 2));
  if (
    bits(context, 11, 4) ||
    (type !== 2 && bits(context, 63, caps.haw)) ||
    bit(context, 71) ||
    bits(context, 127, 88) ||
    illegalDomain(walk, bits(context, 87, 72))
  ) {
    throw new Failure("LCT.3");
  }
  if (type === 3 || (type === 1 && !caps.deviceTlb) || (type === 2 && !caps.passThrough)) throw new Failure("LCT.4.2");
  const aw = Number(bits(context, 66, 64));
  if (!caps.widthSupported(aw) || (type === 2 && aw !== caps.widestWidth())) throw new Failure("LCT.4.1");
  if ((walk.translation || walk.translated) && type !== 1) throw new Failure("LCT.5");
  return { type, aw, root: addressBits(context[0] as bigint, 63, 12) };
}

/** Domain ids: bits above the width are reserved, and id 0 too in caching mode. */
function illegalDomain(walk: Walk, did: bigint): boolean {
  return did >> BigInt(walk.caps.domainBits) !== 0n || (walk.caps.cachingMode && did === 0n);
}

/** C1 to P11; a request that the context alone decides says so. */
export function fetchTables(
  walk: Walk,
  checkTranslated: (address: bigint) => void,
): Found | "translated" | "interrupt-range" {
  const { caps, request } = walk;
  const context = scalableContext(walk);
  checkContext(walk, context);

  const ridPasid = effectiveRidPasid(walk, context);
  const hostPermissions = bit(context, 5);
  let pasid = ridPasid;
  let privileged = caps.ridPriv && bit(context, 84);
  if (hasPasid(request)) {
    pasid = BigInt(request.pasid as number);
    privileged = request.privileged === true;
  }
  if (walk.translated && !hostPermissions) {
    checkTranslated(request.address);
    return "translated";
  }
  if (walk.kind === "tn" && inInterruptRange(request.address)) return "interrupt-range";

  const entry = pasidEntry(walk, context, pasid);
  if (reservedInPasidEntry(walk, entry, hostPermissions)) throw new Failure("SPT.3");
  const found = decode(walk, entry, privileged);
  checkTypes(walk, found);
  if (walk.translated) return found;
  if (hasPasid(request) && request.access === "x" && !caps.executeRequests) throw new Failure("SPT.5");
  if (privileged && !bit(entry, 128)) throw new Failure("SPT.6");
  return found;
}

function scalableContext(walk: Walk): readonly bigint[] {
  const { caps, request } = walk;
  const bus = BigInt(request.sid >> 8);
  const devfn = BigInt(request.sid & 0xff);

  const root = walk.fetch(walk.rootTable + 16n * bus, 2, "SRT.1");
  const half = [root[devfn < 0x80n ? 0 : 1] as bigint];
  if (!bit(half, 0)) throw new Failure("SRT.2");
  if (bits(half, 11, 1) || bits(half, 63, caps.haw)) throw new Failure("SRT.3");

  const context = walk.fetch(addressBits(half[0] as bigint, 63, 12) + 32n * (devfn & 0x7fn), 4, "SCT.1");
  if (bit(context, 1)) walk.silenced = true;
  if (!bit(context, 0)) throw new Failure("SCT.2");
  return context;
}

function checkContext(walk: Walk, context: readonly bigint[]): void {
  const { caps, request } = walk;
  const withPasid = hasPasid(request) && !walk.translated;
  const deviceTlb = bit(context, 2);
  const pasidEnabled = bit(context, 3);
  const pageRequests = bit(context, 4);
  const translatedPasid = bit(context, 6);
  if (
    (deviceTlb && !caps.deviceTlb) ||
    (pasidEnabled && !caps.pasid) ||
    (pageRequests && !caps.pageRequests) ||
    (bit(context, 5) && !caps.hostPermissions) ||
    (translatedPasid && !caps.pasidInTranslated) ||
    bits(context, 8, 7) ||
    bits(context, 63, caps.haw) ||
    (bits(context, 83, 64) && !caps.ridPasid) ||
    (bit(context, 84) && !caps.ridPriv) ||
    bits(context, 255, 85)
  ) {
    throw new Failure("SCT.3");
  }
  const pasidLimit = 1n << (bits(context, 11, 9) + 13n);
  if (pageRequests && !deviceTlb) throw new Failure("SCT.4.1");
  if (effectiveRidPasid(walk, context) >= pasidLimit) throw new Failure("SCT.4.2");
  // The matrix has no SCT.4.3 for UP and TP: PASIDE = 0 is SCT.6 for them.
  if (translatedPasid && !pasidEnabled && !withPasid) throw new Failure("SCT.4.3");
  if ((walk.translation || walk.translated) && !deviceTlb) throw new Failure("SCT.5");
  if (withPasid && !pasidEnabled) throw new Failure("SCT.6");
  if (walk.kind === "xp" && !translatedPasid) throw new Failure("SCT.10");
  if (!hasPasid(request)) return;
  const pasid = BigInt(request.pasid as number);
  if (pasid >> BigInt(caps.pasidBits) !== 0n) throw new Failure("SGN.10");
  if (pasid >= pasidLimit) throw new Failure("SCT.7");
  // Without RPS there is no RID_PASID to collide with: Linux guests reach PASID 0 explicitly in the captures.
  if (caps.ridPasid && pasid === effectiveRidPasid(walk, context)) throw new Failure("SCT.9");
}

function effectiveRidPasid(walk: Walk, context: readonly bigint[]): bigint {
  return walk.caps.ridPasid ? bits(context, 83, 64) : 0n;
}

function pasidEntry(walk: Walk, context: readonly bigint[], pasid: bigint): readonly bigint[] {
  const { caps } = walk;
  const directory = walk.fetch(addressBits(context[0] as bigint, 63, 12) + 8n * (pasid >> 6n), 1, "SPD.1");
  if (bit(directory, 1)) walk.silenced = true;
  if (!bit(directory, 0)) throw new Failure("SPD.2");
  if (bits(directory, 11, 2) || bits(directory, 63, caps.haw)) throw new Failure("SPD.3");

  const entry = walk.fetch(addressBits(directory[0] as bigint, 63, 12) + 64n * (pasid & 63n), 8, "SPT.1");
  if (bit(entry, 1)) walk.silenced = true;
  if (!bit(entry, 0)) throw new Failure("SPT.2");
  return entry;
}

function reservedInPasidEntry(walk: Walk, entry: readonly bigint[], hostPermissions: boolean): boolean {
  const { caps } = walk;
  const { haw } = caps;
  const set = (msb: number, lsb = msb) => bits(entry, msb, lsb) !== 0n;
  return (
    // AW is never held against an entry here, though reserved without SSTS: drivers fill it in anyway.
    (!caps.secondStage && set(haw - 1, 12)) ||
    set(5) ||
    ((!caps.secondStage || !caps.secondStageAD) && set(9)) ||
    set(11, 10) ||
    set(63, haw) ||
    illegalDomain(walk, bits(entry, 79, 64)) ||
    set(86, 80) ||
    (!caps.walkSnoop && set(87)) ||
    (!caps.snoopControl && set(88)) ||
    (!caps.memoryTypes && (set(90, 89) || set(127, 96))) ||
    set(95, 91) ||
    [99, 103, 107, 111, 115, 119, 123, 127].some((position) => set(position)) ||
    (!caps.supervisorRequests && set(128)) ||
    set(129) ||
    (!caps.firstStage && (set(131, 130) || set(132) || set(haw + 127, 140))) ||
    (!caps.extendedAccessed && set(135)) ||
    set(139, 136) ||
    set(191, haw + 128) ||
    set(255, 192) ||
    (!caps.hostPermissions && (set(258, 256) || set(haw + 255, 268) || set(335, 320))) ||
    set(267, 259) ||
    set(319, haw + 256) ||
    (hostPermissions && bits(entry, 335, 320) >> BigInt(caps.domainBits) !== 0n) ||
    set(511, 336)
  );
}

function decode(walk: Walk, entry: readonly bigint[], privileged: boolean): Found {
  return {
    type: Number(bits(entry, 8, 6)),
    aw: Number(bits(entry, 4, 2)),
    ssRoot: addressBits(entry[0] as bigint, 63, 12),
    dirty: bit(entry, 9),
    snooped: walk.caps.walkSnoop && bit(entry, 87),
    fsRoot: addressBits(entry[2] as bigint, 63, 12),
    fiveLevels: bit(entry, 130),
    writeProtect: bit(entry, 132),
    extendedAccessed: bit(entry, 135),
    privileged,
    entry,
  };
}

/** P8: the page-table type, and the widths that it needs. */
function checkTypes(walk: Walk, found: Found): void {
  const { caps } = walk;
  const { type, aw, entry, fsRoot } = found;
  const supported = [false, caps.firstStage, caps.secondStage, caps.nesting, caps.passThrough][type] ?? false;
  if (!supported) throw new Failure("SPT.4.2");
  if ((type === 2 || type === 3) && !caps.widthSupported(aw)) throw new Failure("SPT.4.1");
  const levels = Number(bits(entry, 131, 130));
  if ((type === 1 || type === 3) && (levels > 1 || (levels === 1 && !caps.fs5lp))) throw new Failure("SPT.4.3");
  if (type === 3 && fsRoot >> BigInt(caps.inputBits(aw)) !== 0n) throw new Failure("SPT.4.4");
}
