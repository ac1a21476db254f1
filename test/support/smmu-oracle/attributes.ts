/** Memory types: what the client sends, what the STE overrides, what the tables say (IHI 0070 13, Arm ARM D8.5). */
import type { Cd } from "./context.ts";
import { type Attributes, bit, bits, type Features, type Hints } from "./model.ts";
import type { Stage1Output } from "./stage1.ts";
import type { Stage2Output } from "./stage2.ts";
import type { Ste } from "./stream.ts";

const ALLOCATE: Hints = { read: true, write: true, transient: false };
const NO_HINTS: Hints = { read: false, write: false, transient: false };
const NC = 0;
const WT = 1;
const WB = 2;
const OUTER = 2;

/** What a bus supplies that says nothing: Normal write-back, non-shareable. */
const INCOMING: Attributes = {
  inner: WB,
  outer: WB,
  shareability: 0,
  innerHints: ALLOCATE,
  outerHints: ALLOCATE,
};

const DEVICE = (device: number): Attributes => ({
  device,
  inner: NC,
  outer: NC,
  shareability: OUTER,
  innerHints: NO_HINTS,
  outerHints: NO_HINTS,
});

/** Where the override fields of an STE or GBPA lie: MemAttr 3:0, MTCFG 4, ALLOCCFG, SHCFG. */
export interface Overrides {
  words: readonly bigint[];
  shift: number;
  shcfg: number;
}

/** Device and wholly non-cacheable memory is outer shareable whatever is said. */
function settle(attributes: Attributes): Attributes {
  const uncached = attributes.device !== undefined || (attributes.inner === NC && attributes.outer === NC);
  return {
    ...attributes,
    shareability: uncached ? OUTER : attributes.shareability === 1 ? 0 : attributes.shareability,
    innerHints: attributes.device === undefined && attributes.inner !== NC ? attributes.innerHints : NO_HINTS,
    outerHints: attributes.device === undefined && attributes.outer !== NC ? attributes.outerHints : NO_HINTS,
  };
}

/** The type of a stage 2 style MemAttr. */
function memAttrType(memAttr: number, hints: Attributes): Attributes {
  const outer = memAttr >> 2;
  const inner = memAttr & 3;
  if (outer === 0) return DEVICE(inner);
  if (inner === 0) return DEVICE(0);
  return { ...hints, device: undefined, inner: inner - 1, outer: outer - 1 };
}

export function bypassAttributes(f: Features, overrides: Overrides | undefined): Attributes {
  return settle(incoming(f, overrides));
}

function incoming(f: Features, overrides: Overrides | undefined): Attributes {
  if (!f.overrideTypes || !overrides) return INCOMING;
  const { words, shift, shcfg } = overrides;
  let attributes = INCOMING;
  if (bit(words, shift + 4)) attributes = memAttrType(bits(words, shift + 3, shift), attributes);
  const alloc = shift === 0 ? bits(words, 11, 8) : bits(words, 104, 101);
  if (alloc & 8) {
    const hints = { read: (alloc & 4) !== 0, write: (alloc & 2) !== 0, transient: (alloc & 1) !== 0 };
    attributes = { ...attributes, innerHints: hints, outerHints: hints };
  }
  const sh = bits(words, shcfg + 1, shcfg);
  return sh === 1 ? attributes : { ...attributes, shareability: sh };
}

/** One MAIR byte. */
function mairType(byte: number, shareability: number): Attributes {
  const outer = byte >> 4;
  const inner = byte & 15;
  const unpredictable = outer === 0 ? (inner & 3) !== 0 : inner === 0;
  if (outer === 0) return { ...DEVICE(inner >> 2), unpredictable };
  return { ...halfOf(outer, "outer"), ...halfOf(inner, "inner"), shareability, unpredictable } as Attributes;
}

function halfOf(nibble: number, side: "inner" | "outer"): Partial<Attributes> {
  if (nibble === 4) return { [side]: NC, [`${side}Hints`]: NO_HINTS };
  const hints = { read: (nibble & 2) !== 0, write: (nibble & 1) !== 0, transient: nibble < 8 };
  return { [side]: nibble & 4 ? WB : WT, [`${side}Hints`]: hints };
}

export function outputAttributes(
  f: Features,
  ste: Ste,
  part: { cd?: Cd; first?: Stage1Output; second?: Stage2Output | undefined },
): Attributes {
  const { cd, first, second } = part;
  const own =
    cd && first
      ? mairType(Number((cd.mair >> BigInt(8 * first.attrIndex)) & 0xffn), first.shareability)
      : incoming(f, { words: ste.words, shift: 96, shcfg: 108 });
  if (!second) return settle(own);
  return { ...settle(combine(settle(own), second, ste.s2.forcedTypes)), unpredictable: own.unpredictable ?? false };
}

/** The stronger of two types wins; so does the wider shareability. */
function combine(first: Attributes, second: Stage2Output, forced: boolean): Attributes {
  const shareability = strongest(first.shareability, second.shareability);
  if (forced) {
    if ((second.memAttr & 4) === 0) return DEVICE(Math.min(second.memAttr & 3, first.device ?? 3));
    if ((second.memAttr & 3) === 3) return { ...first, shareability };
    if ((second.memAttr & 3) === 2) {
      const innerHints = first.inner === NC ? ALLOCATE : first.innerHints;
      const outerHints = first.outer === NC ? ALLOCATE : first.outerHints;
      return { inner: WB, outer: WB, shareability, innerHints, outerHints };
    }
    return first.device === undefined ? { ...first, inner: NC, outer: NC, shareability } : first;
  }
  const over = memAttrType(second.memAttr, first);
  if (first.device !== undefined || over.device !== undefined) {
    return DEVICE(Math.min(first.device ?? 3, over.device ?? 3));
  }
  return {
    ...first,
    inner: Math.min(first.inner, over.inner),
    outer: Math.min(first.outer, over.outer),
    shareability,
  };
}

function strongest(a: number, b: number): number {
  if (a === OUTER || b === OUTER) return OUTER;
  return a === 3 || b === 3 ? 3 : 0;
}
