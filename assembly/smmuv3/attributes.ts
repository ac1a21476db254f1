/**
 * Memory types, shareability and allocation hints. IHI 0070 13 "Attribute Transformation",
 * Arm ARM DDI 0487 D8.6 "Memory region attributes" (stage 2 MemAttr, FEAT_S2FWB).
 *
 * A type is a MAIR byte: 0b0000dd00 Device, else outer and inner nibble of Normal memory.
 */
import { get, has, moved, place, word } from "../bits";
import { REQUEST_BIT } from "../layout/core";
import { ALLOCCFG, MEMORY_TYPE, PTE, PTE2, SHAREABILITY, SHCFG, STE } from "../layout/smmuv3";
import { GBPA } from "../layout/smmuv3-registers";
import { ATTRIBUTE, FEATURE, SMMU } from "../layout/smmuv3-unit";

/** Nibbles of Normal memory by cacheability; hints are the low bits. */
const NIBBLE_BITS: u32 = 4;
const NIBBLE: u32 = 15;
enum CACHEABILITY {
  NON_CACHEABLE = 1,
  WRITE_THROUGH = 2,
  WRITE_BACK = 3,
}
/** Allocate on read and write. */
const ALLOCATE: u32 = 3;

/** ATTRIBUTES of a transaction that goes out with a type, a shareability and its (overridden) flags. */
// @ts-ignore: decorator
@inline
export function attributes(type: u32, sh: u32, flags: u32): u32 {
  return <u32>(
    type |
    place(ATTRIBUTE.SH, outwardSh(type, sh)) |
    moved(flags, REQUEST_BIT.PRIVILEGED, ATTRIBUTE.PRIVILEGED) |
    moved(flags, REQUEST_BIT.EXECUTE, ATTRIBUTE.INSTRUCTION)
  );
}

/** § 13.1 Device and Normal non-cacheable memory is outer shareable; reserved codes count as none. */
// @ts-ignore: decorator
@inline
function outwardSh(type: u32, sh: u32): u32 {
  if (isDevice(type) || type == MEMORY_TYPE.NON_CACHEABLE) return SHAREABILITY.OUTER;
  return sh == SHCFG.INCOMING ? SHAREABILITY.NON_SHAREABLE : sh;
}

// @ts-ignore: decorator
@inline
function isDevice(type: u32): bool {
  return type <= NIBBLE;
}

/** § 13.1.4 the incoming attributes with the STE's overrides. */
export function incomingBySte(unit: usize, ste: usize): u32 {
  const cfg = word(ste, STE.MTCFG);
  return incoming(
    unit,
    get(cfg, STE.MTCFG) != 0,
    <u32>get(cfg, STE.MemAttr),
    <u32>get(cfg, STE.ALLOCCFG),
    <u32>get(cfg, STE.SHCFG),
  );
}

/** § 13.1.4 GBPA: the incoming attributes with its overrides. */
export function incomingByGbpa(unit: usize): u32 {
  const cfg = <u64>load<u32>(unit, SMMU.GBPA);
  return incoming(
    unit,
    get(cfg, GBPA.MTCFG) != 0,
    <u32>get(cfg, GBPA.MemAttr),
    <u32>get(cfg, GBPA.ALLOCCFG),
    <u32>get(cfg, GBPA.SHCFG),
  );
}

/** § 13.1.3 what a transaction has that says nothing, Normal write-back, non-shareable; then overrides. */
function incoming(unit: usize, overridesType: bool, memAttr: u32, alloc: u32, shCfg: u32): u32 {
  if (!has(load<u64>(unit, SMMU.FEATURES), FEATURE.TYPE_OVERRIDES)) return attributes(MEMORY_TYPE.WRITE_BACK, 0, 0);
  let hints = ALLOCATE;
  let transient = false;
  if (alloc & ALLOCCFG.OVERRIDE) {
    hints = (alloc & ALLOCCFG.READ ? 2 : 0) | (alloc & ALLOCCFG.WRITE ? 1 : 0);
    transient = (alloc & ALLOCCFG.TRANSIENT) != 0;
  }
  const base = overridesType ? byMemAttr(memAttr) : MEMORY_TYPE.WRITE_BACK;
  const type = isDevice(base) ? base : withHints(base, hints, transient);
  return attributes(type, shCfg == SHCFG.INCOMING ? SHAREABILITY.NON_SHAREABLE : shCfg, 0);
}

/** The type that four bits of stage 2 MemAttr mean; reserved codes are Device-nGnRnE. */
function byMemAttr(memAttr: u32): u32 {
  const outer = memAttr / 4;
  const inner = memAttr & 3;
  if (!outer) return inner * 4;
  if (!inner) return MEMORY_TYPE.DEVICE_nGnRnE;
  return (nibble(outer, ALLOCATE, false) << NIBBLE_BITS) | nibble(inner, ALLOCATE, false);
}

function withHints(type: u32, hints: u32, transient: bool): u32 {
  const outer = nibble(cacheability(type >> NIBBLE_BITS), hints, transient);
  return (outer << NIBBLE_BITS) | nibble(cacheability(type & NIBBLE), hints, transient);
}

/** Half a MAIR byte. Transient memory needs a hint to be told from other codes. */
function nibble(cacheability: u32, hints: u32, transient: bool): u32 {
  if (cacheability == CACHEABILITY.NON_CACHEABLE) return MEMORY_TYPE.NON_CACHEABLE & NIBBLE;
  const base: u32 = cacheability == CACHEABILITY.WRITE_BACK ? 4 : 0;
  return base | hints | (transient && hints ? 0 : 8);
}

/** 0b0100 is non-cacheable, 0bx0RW write-through, 0bx1RW write-back. */
function cacheability(half: u32): u32 {
  if (half == (MEMORY_TYPE.NON_CACHEABLE & NIBBLE)) return CACHEABILITY.NON_CACHEABLE;
  return half & 4 ? CACHEABILITY.WRITE_BACK : CACHEABILITY.WRITE_THROUGH;
}

/** § 13.1.5 `first` (incoming or of stage 1) combined with a stage 2 leaf. */
export function combine(first: u32, entry: u64, isForced: bool, flags: u32): u32 {
  const type = <u32>get(<u64>first, ATTRIBUTE.TYPE);
  const memAttr = <u32>get(entry, PTE2.MemAttr);
  const combined = isForced ? forceType(type, memAttr) : weakestType(type, byMemAttr(memAttr));
  return attributes(combined, strongestSh(<u32>get(<u64>first, ATTRIBUTE.SH), <u32>get(entry, PTE.SH)), flags);
}

/** Whether a stage 2 leaf is Device memory. */
export function isDevice2(entry: u64, isForced: bool): bool {
  const memAttr = <u32>get(entry, PTE2.MemAttr);
  return isForced ? !(memAttr & 4) : isDevice(byMemAttr(memAttr));
}

/** Device over Normal, nGnRnE over nGnRE and so on; each half the less cacheable, hints of the first. */
function weakestType(first: u32, second: u32): u32 {
  if (isDevice(first) || isDevice(second)) {
    if (!isDevice(second)) return first;
    return isDevice(first) ? min(first, second) : second;
  }
  const outer = weakerHalf(first >> NIBBLE_BITS, second >> NIBBLE_BITS);
  return (outer << NIBBLE_BITS) | weakerHalf(first & NIBBLE, second & NIBBLE);
}

function weakerHalf(first: u32, second: u32): u32 {
  const weaker = cacheability(second);
  const own = cacheability(first);
  if (own <= weaker) return first;
  return nibble(weaker, first & ALLOCATE, !(first & 8));
}

/** § 5.2 S2FWB: what stage 2 says, whatever stage 1 says, by MemAttr[2:0]. */
function forceType(first: u32, memAttr: u32): u32 {
  const low = memAttr & 3;
  // 0b0xx: Device of that kind, or stronger
  if (!(memAttr & 4)) return isDevice(first) ? min(first, low * 4) : low * 4;
  // 0b111: as stage 1 says
  if (low == 3) return first;
  // 0b110: write-back, with the hints there are
  if (low == 2) return isCacheable(first) ? withWriteBack(first) : MEMORY_TYPE.WRITE_BACK;
  // 0b101 (0b100 is reserved): non-cacheable, unless it is Device
  return isDevice(first) ? first : MEMORY_TYPE.NON_CACHEABLE;
}

function isCacheable(type: u32): bool {
  return !isDevice(type) && type != MEMORY_TYPE.NON_CACHEABLE;
}

function withWriteBack(type: u32): u32 {
  const outer = nibble(CACHEABILITY.WRITE_BACK, hintsOf(type >> NIBBLE_BITS), isTransient(type >> NIBBLE_BITS));
  return (outer << NIBBLE_BITS) | nibble(CACHEABILITY.WRITE_BACK, hintsOf(type & NIBBLE), isTransient(type & NIBBLE));
}

function hintsOf(half: u32): u32 {
  return half == (MEMORY_TYPE.NON_CACHEABLE & NIBBLE) ? ALLOCATE : half & ALLOCATE;
}

function isTransient(half: u32): bool {
  return !(half & 8) && half != (MEMORY_TYPE.NON_CACHEABLE & NIBBLE);
}

/** Outer over inner over none; reserved codes count as none. */
function strongestSh(first: u32, second: u32): u32 {
  if (first == SHAREABILITY.OUTER || second == SHAREABILITY.OUTER) return SHAREABILITY.OUTER;
  if (first == SHAREABILITY.INNER || second == SHAREABILITY.INNER) return SHAREABILITY.INNER;
  return SHAREABILITY.NON_SHAREABLE;
}
