/** VT-d tables for the benchmarks: devices x PASIDs over a pool of page tables. */
import { REQUEST_FLAG } from "../assembly/layout/core.ts";
import { FSPTE, PASID, PASIDDIR, PGTT, SCONTEXT, SROOT, SSPTE } from "../assembly/layout/vtd.ts";
import { CAP, ECAP, RTADDR, TTM } from "../assembly/layout/vtd-registers.ts";
import { build, type Layout } from "../src/structure.ts";
import { BenchRam, type BenchRequest, Random } from "./ram.ts";

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
}

export interface VtdData {
  ram: BenchRam;
  cap: bigint;
  ecap: bigint;
  rtaddr: bigint;
  haw: number;
  requests: BenchRequest[];
}

const HAW = 46;
const LEVELS = 4;

const word = (layout: Layout, values: Record<string, number | boolean>): bigint => build(layout, 1, values)[0] as bigint;

const register = (layout: Layout, values: Record<string, number | boolean>): bigint => word(layout, values);

/** One 4-level table with `pages` leaves from address 0 on, each at an address `output` gives. */
function table(ram: BenchRam, link: bigint, leaf: bigint, pages: number, output: (page: number) => number): number {
  const roots = Array.from({ length: LEVELS }, () => ram.allocate(4096));
  for (let level = 0; level < LEVELS - 1; level++) {
    ram.put(roots[level] as number, BigInt(roots[level + 1] as number) | link);
  }
  for (let page = 0; page < pages; page++) {
    ram.put((roots[LEVELS - 1] as number) + 8 * page, BigInt(output(page)) | leaf);
  }
  return roots[0] as number;
}

export function vtdData(shape: VtdShape): VtdData {
  const ram = new BenchRam(shape.mebibytes);
  const random = new Random();
  const frames = ram.bytes.length / 4096;
  const frame = () => (1 + random.below(frames - 1)) * 4096;
  const fs = word(FSPTE, { P: 1, RW: 1, US: 1, A: 1 });
  const fsLeaf = fs | word(FSPTE, { D: 1 });
  const ss = word(SSPTE, { R: 1, W: 1 });
  const firstStage = shape.kind !== "second-stage";
  // Nested: stage 2 maps all of guest RAM one to one with 4 KiB pages, so that nothing is skipped.
  const identity = shape.kind === "nested" ? identityStage2(ram, ss) : 0;
  const roots = Array.from({ length: shape.pools }, () =>
    firstStage ? table(ram, fs, fsLeaf, shape.pages, frame) : table(ram, ss, ss, shape.pages, frame),
  );
  const entryOf = (root: number): bigint[] => {
    const entry = build(PASID, 8, {
      P: 1,
      PGTT: shape.kind === "nested" ? PGTT.NESTED : firstStage ? PGTT.FIRST_STAGE : PGTT.SECOND_STAGE,
      AW: firstStage && shape.kind !== "nested" ? 0 : 2,
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
  for (let device = 0; device < shape.devices; device++) {
    const half = (device >> 7) & 1;
    const rootAt = rootTable + (device >> 8) * 16 + half * 8;
    let contexts = Number((ram.words[rootAt / 8] as bigint) & ~0xfffn);
    if (!contexts) {
      contexts = ram.allocate(4096);
      ram.put(rootAt, BigInt(contexts) | word(SROOT, { LP: 1 }));
    }
    const directory = ram.allocate(8 * 2 ** 14);
    const context = build(SCONTEXT, 4, { P: 1, PASIDE: 1, PDTS: 7 });
    context[0] = (context[0] as bigint) | BigInt(directory);
    ram.putAll(contexts + (device & 127) * 32, context);
    for (let i = 0; i < directoryEntries; i++) {
      const pasidTable = ram.allocate(4096);
      ram.put(directory + 8 * i, BigInt(pasidTable) | word(PASIDDIR, { P: 1 }));
      for (let j = i === 0 ? 1 : 0; j < 64; j++) {
        ram.putAll(pasidTable + 64 * j, entries[random.below(entries.length)] as bigint[]);
      }
    }
  }
  const requests = Array.from({ length: shape.requests }, () => ({
    sid: random.below(shape.devices),
    pasid: 1 + random.below(shape.pasids),
    address: random.below(shape.pages) * 4096 + random.below(4096),
    flags: REQUEST_FLAG.PASID | (random.below(2) ? REQUEST_FLAG.READ : REQUEST_FLAG.WRITE),
  }));
  return {
    ram,
    cap: register(CAP, { ND: 6, SAGAW: 4, MGAW: 47, SSLPS: 3, PSI: 1, MAMV: 18, DWD: 1, DRD: 1, FS1GP: 1, FRO: 0x40 }),
    ecap: register(ECAP, { C: 1, QI: 1, PT: 1, IRO: 0x50, NEST: 1, SRS: 1, PSS: 19, PASID: 1, SMTS: 1, SSTS: 1, FSTS: 1, SMPWCS: 1 }),
    rtaddr: BigInt(rootTable) | register(RTADDR, { TTM: TTM.SCALABLE }),
    haw: HAW,
    requests,
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
      for (let j = 0; j < 512; j++) ram.put(last + 8 * j, BigInt((gib * 512 + i) * 512 + j) * 4096n | rights);
    }
  }
  return top;
}
