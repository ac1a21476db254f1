/** VT-d's structures by name (VT-d rev 5.10). */
import {
  CONTEXT,
  CONTEXT_RESERVED,
  FSPTE,
  FSPTE_RESERVED,
  HPTE,
  HPTE_RESERVED,
  IRTE,
  IRTE_RESERVED,
  PASID,
  PASID_RESERVED,
  PASIDDIR,
  PASIDDIR_RESERVED,
  ROOT,
  ROOT_RESERVED,
  SCONTEXT,
  SCONTEXT_RESERVED,
  SROOT,
  SROOT_RESERVED,
  SSPTE,
  SSPTE_RESERVED,
} from "../../assembly/layout/vtd.ts";
import { PAGE_REQ_TYPE, type TYPE, TYPE_LOW_BITS } from "../../assembly/layout/vtd-descriptors.ts";
import { hex } from "../check.ts";
import { getField, type Layout } from "../structure.ts";
import { DESCRIPTORS, descriptorType } from "../vtd/descriptors.ts";
import type { Shape } from "./shape.ts";
import { VTD_SHAPES, vtdShape } from "./shapes/vtd.ts";
import { CAP_SHAPE, ECAP_SHAPE, VER_SHAPE } from "./shapes/vtd-capabilities.ts";
import { descriptorShape, faultRecordShape, irteShape, PAGE_REQ_SHAPE } from "./shapes/vtd-queues.ts";
import type { Family, Structure } from "./structure.ts";

type Words = readonly bigint[];

const has = (field: number) => (words: Words) => getField(words, field) === 1n;

/** An entry of a table, as the walker's traces call it. */
function table(name: string, section: string, words: number, called: string, rest: Partial<Structure>): Structure {
  return {
    name: `vtd.${name}`,
    section: `VT-d ${section}`,
    words,
    entry: { structure: called, level: 0 },
    shape: (entry) => vtdShape({ structure: called, stage: 0, level: 0, words: entry }) as Shape,
    ...rest,
  };
}

const TABLES: readonly Structure[] = [
  table("root-entry", "9.1", 2, "root entry", { reserved: () => [ROOT_RESERVED], present: has(ROOT.P) }),
  table("scalable-root-entry", "9.2", 2, "scalable root entry", {
    // § 9.2: the bits of a half that is not present are ignored.
    reserved: (words) => [
      ...(has(SROOT.LP)(words) ? [{ LOWER: SROOT_RESERVED.LOWER }] : []),
      ...(has(SROOT.UP)(words) ? [{ UPPER: SROOT_RESERVED.UPPER }] : []),
    ],
  }),
  table("context-entry", "9.3", 2, "context entry", { reserved: () => [CONTEXT_RESERVED], present: has(CONTEXT.P) }),
  table("scalable-context-entry", "9.4", 4, "scalable context entry", {
    reserved: () => [SCONTEXT_RESERVED],
    present: has(SCONTEXT.P),
  }),
  table("pasid-dir-entry", "9.5", 1, "PASID directory entry", {
    reserved: () => [PASIDDIR_RESERVED],
    present: has(PASIDDIR.P),
  }),
  table("pasid-entry", "9.6", 8, "PASID table entry", { reserved: () => [PASID_RESERVED], present: has(PASID.P) }),
  table("host-permission-entry", "9.12", 2, "host permission entry", {
    reserved: () => [{ R0: HPTE_RESERVED.R0 }],
    present: has(HPTE.AV),
  }),
];

/** Levels 2 and 3 can hold a page; its low address bits are reserved. */
function largePage(level: number, words: Words, ps: number, reserved: Layout): Layout[] {
  if (!has(ps)(words)) return [];
  const name = { 2: "LEAF_2M", 3: "LEAF_1G" }[level];
  if (name !== undefined) return [{ [name]: reserved[name] as number }];
  return level > 3 ? [{ PS: ps }] : [];
}

const LEVELS = [1, 2, 3, 4, 5];

/** Paging entries: the name without a level is level 1. */
function paging(name: string, section: string, called: string, stage: number, rest: typeof FIRST): Structure[] {
  return [0, ...LEVELS].map((suffix) => {
    const level = suffix || 1;
    return {
      name: `vtd.${name}${suffix ? `.level${level}` : ""}`,
      section: `VT-d ${section}`,
      words: 1,
      entry: { structure: called, level },
      shape: (words) => vtdShape({ structure: called, stage, level, words }) as Shape,
      reserved: (words) => largePage(level, words, rest.ps, rest.reserved),
      present: rest.present,
    };
  });
}

const FIRST = { ps: FSPTE.PS as number, reserved: FSPTE_RESERVED as Layout, present: has(FSPTE.P) };
const SECOND = {
  ps: SSPTE.PS as number,
  reserved: SSPTE_RESERVED as Layout,
  present: (words: Words): boolean => has(SSPTE.R)(words) || has(SSPTE.W)(words),
};

const RECORDS: readonly Structure[] = [
  {
    name: "vtd.irte",
    section: "VT-d 9.9, 9.10",
    words: 2,
    shape: irteShape,
    reserved: (words) => {
      const { R0, R1, R2, REMAPPED, POSTED_R0, POSTED_R1, POSTED_R2 } = IRTE_RESERVED;
      return [has(IRTE.IM)(words) ? { R0, R1, POSTED_R0, POSTED_R1, POSTED_R2 } : { R0, R1, R2, REMAPPED }];
    },
    present: has(IRTE.P),
  },
  { name: "vtd.frcd", section: "VT-d 11.4.7.6", words: 2, shape: faultRecordShape, strict: true },
  {
    name: "vtd.page-request",
    section: "VT-d 7.4.1.1",
    words: 4,
    shape: () => PAGE_REQ_SHAPE,
    strict: true,
    preset: { TYPE: BigInt(PAGE_REQ_TYPE) },
  },
  { name: "vtd.ver", section: "VT-d 11.4.1", words: 1, bits: 32, shape: () => VER_SHAPE, strict: true },
  { name: "vtd.cap", section: "VT-d 11.4.2", words: 1, shape: () => CAP_SHAPE, strict: true },
  { name: "vtd.ecap", section: "VT-d 11.4.3", words: 1, shape: () => ECAP_SHAPE, strict: true },
  {
    name: "vtd.rtaddr",
    section: "VT-d 11.4.5",
    words: 1,
    shape: () => VTD_SHAPES["RTADDR register"] as Shape,
    strict: true,
  },
];

const KINDS: readonly Structure[] = DESCRIPTORS.map(({ type, name, wide }) => ({
  name: `vtd.descriptor.${name}`,
  section: "VT-d 6.5.2",
  words: 4,
  ...(wide ? {} : { narrow: 2 }),
  shape: () => descriptorShape(type) as Shape,
  strict: true,
  preset: typeFields(type),
}));

function typeFields(type: TYPE): Record<string, bigint> {
  const base = 2 ** TYPE_LOW_BITS;
  return { TYPE_LOW: BigInt(type % base), TYPE_HIGH: BigInt(Math.floor(type / base)) };
}

const DESCRIPTOR_FAMILY: Family = {
  name: "vtd.descriptor",
  title: "Invalidation queue descriptor",
  section: "VT-d 6.5.2",
  words: 4,
  narrow: 2,
  members: KINDS,
  selector: (words) => `type ${hex(descriptorType(words))}`,
  pick: (words) => KINDS[DESCRIPTORS.findIndex(({ type }) => type === descriptorType(words))],
};

export const VTD_STRUCTURES: { structures: readonly Structure[]; families: readonly Family[] } = {
  structures: [
    ...TABLES,
    ...paging("fs-pte", "9.7", "first-stage entry", 1, FIRST),
    ...paging("ss-pte", "9.8", "second-stage entry", 2, SECOND),
    ...RECORDS,
  ],
  families: [DESCRIPTOR_FAMILY],
};
