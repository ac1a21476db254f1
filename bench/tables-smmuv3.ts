/** SMMUv3 tables for the benchmarks: streams x substreams over a pool of page tables. */
import { REQUEST_FLAG } from "../assembly/layout/core.ts";
import {
  CD,
  CDS_PER_4K_LEAF_LOG2,
  CDS_PER_64K_LEAF_LOG2,
  CONFIG,
  L1CD,
  L1STD,
  PTE,
  PTE1,
  S1DSS,
  S1FMT,
  STE,
} from "../assembly/layout/smmuv3.ts";
import { STRTAB_BASE_CFG } from "../assembly/layout/smmuv3-base.ts";
import { IDR0, IDR1, IDR3, IDR5 } from "../assembly/layout/smmuv3-ids.ts";
import { build, type Layout } from "../src/structure.ts";
import { BenchRam, type BenchRequest, firstAddress, mapPages, Random } from "./ram.ts";

export interface SmmuShape {
  streams: number;
  /** Per stream, from SubstreamID 1 on. */
  substreams: number;
  pools: number;
  pages: number;
  requests: number;
  mebibytes: number;
  /** Of the page tables, 2 to 4; 4 unless told. */
  levels?: number;
  /** CDs in 4 KiB leaf tables, for streams of few substreams; 64 KiB unless told. */
  smallLeaves?: boolean;
  /** Whether workers are to walk them. */
  shared?: boolean;
}

export interface SmmuData {
  ram: BenchRam;
  strtabBase: bigint;
  strtabBaseCfg: number;
  idr0: number;
  idr1: number;
  idr3: number;
  idr5: number;
  requests: BenchRequest[];
}

const SPLIT = 8;
const LOG2SIZE = 16;
/** Of a page table: the page's own bits, and the bits that one level translates. */
const PAGE_BITS = 12;
const LEVEL_BITS = 9;

const word = (layout: Layout, values: Record<string, number | boolean>): bigint =>
  build(layout, 1, values)[0] as bigint;
const register = (layout: Layout, values: Record<string, number | boolean>): number => Number(word(layout, values));

export function smmuData(shape: SmmuShape): SmmuData {
  const ram = new BenchRam(shape.mebibytes, shape.shared);
  const random = new Random();
  const frames = ram.bytes.length / 4096;
  const link = word(PTE, { VALID: 1, TYPE: 1 });
  const leaf = link | word(PTE, { SH: 3, AF: 1 }) | word(PTE1, { AP1: 1, nG: 1 });
  const { levels = 4, smallLeaves = false } = shape;
  const roots = Array.from({ length: shape.pools }, () =>
    mapPages(ram, levels, link, leaf, shape.pages, () => (1 + random.below(frames - 1)) * 4096),
  );
  const cds = roots.map((root, i) => {
    const cd = build(CD, 8, {
      T0SZ: 64 - (PAGE_BITS + LEVEL_BITS * levels),
      IR0: 1,
      OR0: 1,
      SH0: 3,
      EPD1: 1,
      V: 1,
      IPS: 5,
      AA64: 1,
      R: 1,
      A: 1,
      ASID: i % 65536,
      MAIR0: 0xff,
    });
    cd[1] = (cd[1] as bigint) | BigInt(root);
    return cd;
  });
  const cdsPerLeaf = 2 ** (smallLeaves ? CDS_PER_4K_LEAF_LOG2 : CDS_PER_64K_LEAF_LOG2);
  const leafTables = Math.ceil((shape.substreams + 1) / cdsPerLeaf);
  const s1cdmax = Math.max(11, Math.ceil(Math.log2(shape.substreams + 1)));
  const l1 = ram.allocate(8 * 2 ** (LOG2SIZE - SPLIT));
  for (let stream = 0; stream < shape.streams; stream++) {
    const l1At = l1 + 8 * (stream >> SPLIT);
    let stes = Number((ram.words[l1At / 8] as bigint) & ~0x3fn);
    if (!stes) {
      stes = ram.allocate(64 * 2 ** SPLIT);
      ram.put(l1At, BigInt(stes) | word(L1STD, { Span: SPLIT + 1 }));
    }
    const l1cd = ram.allocate(8 * Math.max(8, 2 ** s1cdmax / cdsPerLeaf));
    for (let i = 0; i < leafTables; i++) {
      const table = ram.allocate(64 * cdsPerLeaf);
      ram.put(l1cd + 8 * i, BigInt(table) | word(L1CD, { V: 1 }));
      for (let j = 0; j < cdsPerLeaf; j++) ram.putAll(table + 64 * j, cds[random.below(cds.length)] as bigint[]);
    }
    const ste = build(STE, 8, {
      V: 1,
      Config: CONFIG.STAGE1,
      S1Fmt: smallLeaves ? S1FMT.TWO_LEVEL_4K : S1FMT.TWO_LEVEL_64K,
      S1CDMax: s1cdmax,
      S1DSS: S1DSS.SUBSTREAM0,
      S1CIR: 1,
      S1COR: 1,
      S1CSH: 3,
    });
    ste[0] = (ste[0] as bigint) | BigInt(l1cd);
    ram.putAll(stes + 64 * (stream & (2 ** SPLIT - 1)), ste);
  }
  return {
    ram,
    strtabBase: BigInt(l1),
    strtabBaseCfg: register(STRTAB_BASE_CFG, { LOG2SIZE, SPLIT, FMT: 1 }),
    idr0: register(IDR0, {
      S1P: 1,
      S2P: 1,
      TTF: 2,
      COHACC: 1,
      ASID16: 1,
      VMID16: 1,
      CD2L: 1,
      TTENDIAN: 2,
      TERM_MODEL: 1,
      STALL_MODEL: 1,
      ST_LEVEL: 1,
    }),
    idr1: register(IDR1, { SIDSIZE: 16, SSIDSIZE: 20, CMDQS: 8, EVENTQS: 8 }),
    idr3: register(IDR3, { HAD: 1, XNX: 1 }),
    idr5: register(IDR5, { OAS: 5, GRAN4K: 1, GRAN16K: 1, GRAN64K: 1 }),
    requests: Array.from({ length: shape.requests }, () => ({
      sid: random.below(shape.streams),
      pasid: 1 + random.below(shape.substreams),
      address: firstAddress(levels, shape.pages) + random.below(shape.pages) * 4096 + random.below(4096),
      // Privileged, so that AP[1] = 1 pages serve reads and writes alike.
      flags: REQUEST_FLAG.PASID | (random.below(2) ? REQUEST_FLAG.READ : REQUEST_FLAG.WRITE),
    })),
  };
}
