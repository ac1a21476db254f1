/** VT-d tables for the benchmarks: devices x PASIDs over a pool of page tables. */
import { REQUEST_FLAG } from "../assembly/layout/core.ts";
import {
  AW,
  AW_BASE_LEVELS,
  FSPM_BASE_LEVELS,
  FSPTE,
  PASID,
  PASIDDIR,
  PDTS_BASE_BITS,
  PDTS_BASE_ENTRIES_LOG2,
  PGTT,
  SCONTEXT,
  SROOT,
  SSPTE,
} from "../assembly/layout/vtd.ts";
import { RTADDR, TTM } from "../assembly/layout/vtd-base.ts";
import { CAP, ECAP } from "../assembly/layout/vtd-capabilities.ts";
import { build, type Layout } from "../src/structure.ts";
import { BenchRam, type BenchRequest, firstAddress, mapPages, Random } from "./ram.ts";

export type VtdKind = "first-stage" | "second-stage" | "nested";

export interface VtdShape {
  kind: VtdKind;
  devices: number;
  /** Per device, from PASID 1 on. */
  pasids: number;
  /** Different sets of page tables; PASIDs share them. */
  pools: number;
  /** Mapped pages a set. */
  pages: number;
  requests: number;
  mebibytes: number;
  /** Of the page tables: first stage 4 or 5, second stage 3 to 5; 4 unless told. */
  levels?: number;
  /** Whether workers are to walk them. */
  shared?: boolean;
}

export interface VtdData {
  ram: BenchRam;
  cap: bigint;
  ecap: bigint;
  rtaddr: bigint;
  haw: number;
  requests: BenchRequest[];
  /** What is mapped, for whoever builds other tables of it. */
  mapped: Mapped;
}

export interface Mapped {
  /** Input address of the first page. */
  first: number;
  /** Output address of each page, set after set. */
  outputs: BigUint64Array;
  /** Which set each PASID uses, device after device, from PASID 0 on. */
  poolOf: Uint32Array;
}

const HAW = 46;

const word = (layout: Layout, values: Record<string, number | boolean>): bigint =>
  build(layout, 1, values)[0] as bigint;

const register = (layout: Layout, values: Record<string, number | boolean>): bigint => word(layout, values);

export function vtdData(shape: VtdShape): VtdData {
  const ram = new BenchRam(shape.mebibytes, shape.shared);
  const random = new Random();
  const frames = ram.bytes.length / 4096;
  const outputs = new BigUint64Array(shape.pools * shape.pages);
  let mappedPages = 0;
  const frame = () => {
    const address = (1 + random.below(frames - 1)) * 4096;
    outputs[mappedPages++] = BigInt(address);
    return address;
  };
  const fs = word(FSPTE, { P: 1, RW: 1, US: 1, A: 1 });
  const fsLeaf = fs | word(FSPTE, { D: 1 });
  const ss = word(SSPTE, { R: 1, W: 1 });
  const firstStage = shape.kind !== "second-stage";
  const levels = shape.levels ?? 4;
  // Nested: stage 2 maps all of guest RAM one to one with 4 KiB pages, so that nothing is skipped.
  const identity = shape.kind === "nested" ? identityStage2(ram, ss) : 0;
  const roots = Array.from({ length: shape.pools }, () =>
    firstStage
      ? mapPages(ram, levels, fs, fsLeaf, shape.pages, frame)
      : mapPages(ram, levels, ss, ss, shape.pages, frame),
  );
  const entryOf = (root: number): bigint[] => {
    const entry = build(PASID, 8, {
      P: 1,
      PGTT: shape.kind === "nested" ? PGTT.NESTED : firstStage ? PGTT.FIRST_STAGE : PGTT.SECOND_STAGE,
      AW: shape.kind === "nested" ? AW.BITS_48 : firstStage ? 0 : levels - AW_BASE_LEVELS,
      FSPM: firstStage ? levels - FSPM_BASE_LEVELS : 0,
      DID: 5,
      PWSNP: 1,
    });
    if (firstStage) entry[2] = (entry[2] as bigint) | BigInt(root);
    entry[0] = (entry[0] as bigint) | BigInt(shape.kind === "nested" ? identity : firstStage ? 0 : root);
    return entry;
  };
  const entries = roots.map(entryOf);
  const rootTable = ram.allocate(4096);
  const directoryEntries = Math.ceil((shape.pasids + 1) / 64);
  const poolOf = new Uint32Array(shape.devices * directoryEntries * 64);
  const pdts = Math.max(0, Math.ceil(Math.log2(shape.pasids + 1)) - PDTS_BASE_BITS);
  for (let device = 0; device < shape.devices; device++) {
    const half = (device >> 7) & 1;
    const rootAt = rootTable + (device >> 8) * 16 + half * 8;
    let contexts = Number((ram.words[rootAt / 8] as bigint) & ~0xfffn);
    if (!contexts) {
      contexts = ram.allocate(4096);
      ram.put(rootAt, BigInt(contexts) | word(SROOT, { LP: 1 }));
    }
    const directory = ram.allocate(8 * 2 ** (pdts + PDTS_BASE_ENTRIES_LOG2));
    const context = build(SCONTEXT, 4, { P: 1, PASIDE: 1, PDTS: pdts });
    context[0] = (context[0] as bigint) | BigInt(directory);
    ram.putAll(contexts + (device & 127) * 32, context);
    for (let i = 0; i < directoryEntries; i++) {
      const pasidTable = ram.allocate(4096);
      ram.put(directory + 8 * i, BigInt(pasidTable) | word(PASIDDIR, { P: 1 }));
      for (let j = i === 0 ? 1 : 0; j < 64; j++) {
        const pool = random.below(entries.length);
        poolOf[(device * directoryEntries + i) * 64 + j] = pool;
        ram.putAll(pasidTable + 64 * j, entries[pool] as bigint[]);
      }
    }
  }
  const first = firstAddress(levels, shape.pages);
  const requests = Array.from({ length: shape.requests }, () => ({
    sid: random.below(shape.devices),
    pasid: 1 + random.below(shape.pasids),
    address: first + random.below(shape.pages) * 4096 + random.below(4096),
    flags: REQUEST_FLAG.PASID | (random.below(2) ? REQUEST_FLAG.READ : REQUEST_FLAG.WRITE),
  }));
  return {
    ram,
    cap: register(CAP, {
      ND: 6,
      SAGAW: 14,
      MGAW: 56,
      FS5LP: 1,
      SSLPS: 3,
      PSI: 1,
      MAMV: 18,
      DWD: 1,
      DRD: 1,
      FS1GP: 1,
      FRO: 0x40,
    }),
    ecap: register(ECAP, {
      C: 1,
      QI: 1,
      PT: 1,
      IRO: 0x50,
      NEST: 1,
      SRS: 1,
      PSS: 19,
      PASID: 1,
      SMTS: 1,
      SSTS: 1,
      FSTS: 1,
      SMPWCS: 1,
    }),
    rtaddr: BigInt(rootTable) | register(RTADDR, { TTM: TTM.SCALABLE }),
    haw: HAW,
    requests,
    mapped: { first, outputs, poolOf },
  };
}

function identityStage2(ram: BenchRam, rights: bigint): number {
  const pageCount = ram.bytes.length / 4096;
  const lastLevels = Math.ceil(pageCount / 512);
  const [top, upper] = [ram.allocate(4096), ram.allocate(4096)];
  ram.put(top, BigInt(upper) | rights);
  for (let gib = 0; gib < Math.ceil(lastLevels / 512); gib++) {
    const middle = ram.allocate(4096);
    ram.put(upper + 8 * gib, BigInt(middle) | rights);
    for (let i = 0; i < 512 && gib * 512 + i < lastLevels; i++) {
      const last = ram.allocate(4096);
      ram.put(middle + 8 * i, BigInt(last) | rights);
      for (let j = 0; j < 512; j++) ram.put(last + 8 * j, (BigInt((gib * 512 + i) * 512 + j) * 4096n) | rights);
    }
  }
  return top;
}
