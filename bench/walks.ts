/** The walk kernels: the same tables and requests for Wasm (batch and single calls), TypeScript and C. */
import { WAYS } from "../assembly/layout/caches.ts";
import { REQUEST, REQUEST_BYTES, REQUEST_FLAG } from "../assembly/layout/core.ts";
import { SmmuWalker, VtdWalker } from "../src/index.ts";
import type { BareResult } from "../src/walk/result.ts";
import type { Walker } from "../src/walker.ts";
import { WALK_ALONE } from "./bars.ts";
import { CWasm } from "./c-wasm.ts";
import type { Implementation, Kernel } from "./harness.ts";
import { NATIVE } from "./judge.ts";
import type { Native } from "./native.ts";
import { PlainSmmu } from "./plain/smmuv3.ts";
import { PlainVtd } from "./plain/vtd.ts";
import type { BenchRam, BenchRequest } from "./ram.ts";
import { RISCV_MODEL, type RiscvModel } from "./riscv.ts";
import { type SmmuShape, smmuData } from "./tables-smmuv3.ts";
import { type VtdShape, vtdData } from "./tables-vtd.ts";

/** Requests whose fetches are counted. */
const TRACED = 64;

/** A walker in plain TypeScript. */
interface Plain {
  address: number;
  walk(sid: number, pasid: number, low: number, high: number, flags: number): number;
}

export interface WalkOptions {
  /** Translates through a cache of translations of so many sets, in front of the walk. */
  cacheSets?: number | undefined;
  /** Sizes of the batches that requests are packed into: 64 and 1024 unless told. */
  batchSizes?: readonly number[];
  /** VT-d's first stage only: the RISC-V reference model, over the same devices, PASIDs and pages. */
  riscv?: RiscvModel | undefined;
}

interface WalkSet extends WalkOptions {
  name: string;
  vendor: "vtd" | "smmu";
  ram: BenchRam;
  requests: readonly BenchRequest[];
  walker: Walker;
  /** With caches: the same unit without. */
  uncached?: Walker | undefined;
  plain: Plain | undefined;
  /** Sets the C twins up. */
  configure: (number | bigint)[];
  /** How often a round walks all requests. */
  times: number;
}

/** @param times how often a round walks all requests */
export async function vtdKernel(
  name: string,
  shape: VtdShape,
  times: number,
  native: Native | undefined,
  options: WalkOptions = {},
): Promise<Kernel> {
  const { cacheSets } = options;
  const data = vtdData(shape);
  const { ram, cap, ecap, rtaddr, haw, requests } = data;
  await options.riscv?.build(shape, data);
  const low = (value: bigint) => Number(value & 0xffff_ffffn);
  const state = { capLow: low(cap), capHigh: low(cap >> 32n), ecapLow: low(ecap), ecapHigh: low(ecap >> 32n) };
  const words = new Uint32Array(ram.bytes.buffer, ram.bytes.byteOffset, ram.bytes.length / 4);
  return kernel(native, {
    name,
    vendor: "vtd",
    ram,
    requests,
    times,
    ...options,
    walker: new VtdWalker(
      ram.memory,
      { cap, ecap, rtaddr, haw },
      cacheSets ? { policy: "sized", iotlb: cacheSets * WAYS } : "none",
    ),
    uncached: cacheSets ? new VtdWalker(ram.memory, { cap, ecap, rtaddr, haw }) : undefined,
    plain:
      shape.kind === "first-stage" && !cacheSets
        ? new PlainVtd(words, { ...state, rootTable: low(rtaddr) & ~0xfff, haw })
        : undefined,
    configure: [cap, ecap, rtaddr, haw],
  });
}

/** @param times how often a round walks all requests */
export async function smmuKernel(
  name: string,
  shape: SmmuShape,
  times: number,
  native: Native | undefined,
  options: WalkOptions = {},
): Promise<Kernel> {
  const { cacheSets } = options;
  const { ram, strtabBase, strtabBaseCfg, idr0, idr1, idr3, idr5, requests } = smmuData(shape);
  const words = new Uint32Array(ram.bytes.buffer, ram.bytes.byteOffset, ram.bytes.length / 4);
  const state = { strtabBase, strtabBaseCfg, idr0, idr1, idr3, idr5, cr0: 1 };
  return kernel(native, {
    name,
    vendor: "smmu",
    ram,
    requests,
    times,
    ...options,
    walker: new SmmuWalker(ram.memory, state, cacheSets ? { policy: "sized", requesters: cacheSets * WAYS } : "none"),
    uncached: cacheSets ? new SmmuWalker(ram.memory, state) : undefined,
    plain: cacheSets
      ? undefined
      : new PlainSmmu(words, { base: Number(strtabBase), cfg: strtabBaseCfg, idr0, idr1, idr5 }),
    configure: [strtabBase, strtabBaseCfg, idr0, idr1, idr3, idr5],
  });
}

async function kernel(native: Native | undefined, set: WalkSet): Promise<Kernel> {
  const { walker, requests, times, plain, ram } = set;
  const { core } = ram.memory;
  const batch = walker.batch(requests.length);
  requests.forEach(({ sid, pasid, address, flags }, i) => {
    const at = batch.requests + i * REQUEST_BYTES;
    core.view.setUint32(at + REQUEST.SID, sid, true);
    core.view.setUint32(at + REQUEST.PASID, pasid, true);
    core.view.setBigUint64(at + REQUEST.ADDRESS, BigInt(address), true);
    core.view.setUint32(at + REQUEST.FLAGS, flags, true);
  });
  const expected = sumOfSingles(walker, requests);
  const implementations: Implementation[] = [];
  const records = core.u8.slice(batch.requests, batch.requests + requests.length * REQUEST_BYTES);
  if (native) {
    await native.hand(ram.bytes, (path) => `ram ${path} ${ram.bytes.length}`);
    await native.hand(records, (path) => `requests ${path} ${requests.length}`);
    await native.command(`${set.vendor} ${set.configure.map((value) => value.toString(16)).join(" ")}`);
    if (set.cacheSets) await native.command(`cache ${set.cacheSets}`);
    const run = `${set.cacheSets ? "translate" : "walk"} ${set.vendor}`;
    const [, sum, faults] = await native.command(`${run} 1`);
    same(set.name, NATIVE, expected, Number(sum), Number(faults));
    implementations.push({
      name: NATIVE,
      round: async () => Number((await native.command(`${run} ${times}`))[0]) / 1e6,
    });
  }
  const cWasm = set.cacheSets ? undefined : CWasm.load(ram.bytes, records, requests.length);
  if (cWasm) {
    const [a, b, c, d, e, f] = set.configure as [bigint, never, never, never, never, never];
    if (set.vendor === "vtd") cWasm.exports.set_vtd(a, b, c, d);
    else cWasm.exports.set_smmu(a, b, c, d, e, f);
    const faults = cWasm.walk(set.vendor);
    same(set.name, "C -> Wasm", expected, cWasm.sum(), faults);
    implementations.push({
      name: "C -> Wasm",
      round: () => {
        for (let t = 0; t < times; t++) cWasm.walk(set.vendor);
      },
    });
  }
  batch.run(requests.length);
  same(set.name, "batch", expected, ...sumOfBatch(batch, requests.length));
  implementations.push({
    name: "Wasm, batch",
    round: () => {
      for (let t = 0; t < times; t++) batch.run(requests.length);
    },
  });
  const singles = flatten(requests);
  if (set.uncached) {
    const walks = set.uncached.batch(requests.length);
    core.u8.copyWithin(walks.requests, batch.requests, batch.requests + requests.length * REQUEST_BYTES);
    walks.run(requests.length);
    same(set.name, WALK_ALONE, expected, ...sumOfBatch(walks, requests.length));
    implementations.push({
      name: WALK_ALONE,
      round: () => {
        for (let t = 0; t < times; t++) walks.run(requests.length);
      },
    });
  }
  implementations.push({
    name: "Wasm, one call a walk",
    round: () => {
      for (let t = 0; t < times; t++) {
        for (let i = 0; i < singles.length; i += SINGLE_WORDS) {
          walker.walk(
            singles[i] as number,
            singles[i + 1] as number,
            singles[i + 2] as number,
            singles[i + 3] as number,
            singles[i + 4] as number,
          );
        }
      }
    },
  });
  implementations.push(intoObject(walker, singles, times));
  for (const size of set.batchSizes ?? [64, 1024]) implementations.push(inBatches(walker, singles, times, size));
  if (plain) {
    const result = plain;
    let sum = 0;
    let faults = 0;
    for (const { sid, pasid, address, flags } of requests) {
      if (result.walk(sid, pasid, ...halves(address), flags)) faults++;
      sum += result.address;
    }
    same(set.name, "TypeScript", expected, sum, faults);
    implementations.push({
      name: "plain TypeScript",
      round: () => {
        for (let t = 0; t < times; t++) {
          for (let i = 0; i < singles.length; i += SINGLE_WORDS) {
            result.walk(
              singles[i] as number,
              singles[i + 1] as number,
              singles[i + 2] as number,
              singles[i + 3] as number,
              singles[i + 4] as number,
            );
          }
        }
      },
    });
  }
  const { riscv } = set;
  if (riscv) {
    same(set.name, RISCV_MODEL, expected, ...(await riscv.load(records)));
    implementations.push({ name: RISCV_MODEL, round: () => riscv.run(times) });
  }
  const fetches = fetchesOf(set.uncached ?? walker, requests);
  return { name: set.name, operations: requests.length * times, implementations, fetches };
}

/** Table entries that a walk reads, which is the same for all requests of a kernel. */
function fetchesOf(walker: Walker, requests: readonly BenchRequest[]): number {
  const counts = requests.slice(0, TRACED).map(({ sid, pasid, address, flags }) => {
    const access = flags & REQUEST_FLAG.WRITE ? "w" : "r";
    const { steps } = walker.trace({ sid, pasid, address: BigInt(address), access });
    // A trace starts at the register that points at the tables, where the vendor has checks on it.
    return steps.filter(({ structure }) => !structure.endsWith(" register")).length;
  });
  const [fetches = 0] = counts;
  if (counts.some((count) => count !== fetches)) throw new Error(`bench data: walks of ${counts.join(", ")} fetches`);
  return fetches;
}

const bareResult = (): BareResult => ({
  code: 0,
  flags: 0,
  addressLow: 0,
  addressHigh: 0,
  pageShift: 0,
  permissions: 0,
  attributes: 0,
});

/** One request after the other, each result in an object of the caller's. */
function intoObject(walker: Walker, singles: Uint32Array, times: number): Implementation {
  const into = bareResult();
  return {
    name: "one call, into an object",
    round: () => {
      for (let t = 0; t < times; t++) {
        for (let i = 0; i < singles.length; i += SINGLE_WORDS) {
          walker.walkInto(
            singles[i] as number,
            singles[i + 1] as number,
            singles[i + 2] as number,
            singles[i + 3] as number,
            singles[i + 4] as number,
            into,
          );
        }
      }
    },
  };
}

/** The implementation that walks in batches of a size. */
export const batchesOf = (size: number): string => `batches of ${size}, packed and read`;

/** As a device model would: requests out of its own arrays into a batch, results into an object. */
function inBatches(walker: Walker, singles: Uint32Array, times: number, size: number): Implementation {
  const into = bareResult();
  const batch = walker.batch(size);
  const all = (singles.length / SINGLE_WORDS) * times;
  return {
    name: batchesOf(size),
    round: () => {
      let next = 0;
      for (let done = 0; done < all; done += size) {
        const count = Math.min(size, all - done);
        for (let i = 0; i < count; i++) {
          batch.put(
            i,
            singles[next] as number,
            singles[next + 1] as number,
            singles[next + 2] as number,
            singles[next + 3] as number,
            singles[next + 4] as number,
          );
          next += SINGLE_WORDS;
          if (next === singles.length) next = 0;
        }
        if (batch.run(count)) throw new Error("bench data: faults in a batch");
        for (let i = 0; i < count; i++) batch.read(i, into);
      }
    },
  };
}

/** Of a request in a flat array: sid, pasid, address (low, high), flags. */
const SINGLE_WORDS = 5;

function flatten(requests: readonly BenchRequest[]): Uint32Array {
  return Uint32Array.from(
    requests.flatMap(({ sid, pasid, address, flags }) => [sid, pasid, ...halves(address), flags]),
  );
}

function halves(address: number): [low: number, high: number] {
  const high = Math.floor(address / 2 ** 32);
  return [address - high * 2 ** 32, high];
}

function sumOfSingles(walker: Walker, requests: readonly BenchRequest[]): number {
  let sum = 0;
  for (const { sid, pasid, address, flags } of requests) {
    const code = walker.walk(sid, pasid, ...halves(address), flags);
    if (code)
      throw new Error(
        `bench data: sid ${sid} pasid ${pasid} address ${address.toString(16)} faults ${code.toString(16)}`,
      );
    sum += walker.result.addressHigh * 2 ** 32 + walker.result.addressLow;
  }
  return sum;
}

function sumOfBatch(batch: { get(index: number): { ok: boolean; address?: bigint } }, count: number): [number, number] {
  let sum = 0;
  let faults = 0;
  for (let i = 0; i < count; i++) {
    const outcome = batch.get(i);
    if (!outcome.ok) faults++;
    sum += Number(outcome.address ?? 0n);
  }
  return [sum, faults];
}

/** All implementations must have translated alike, or their times say nothing. */
function same(kernel: string, impl: string, expected: number, sum: number, faults: number): void {
  if (sum !== expected || faults !== 0) {
    throw new Error(`${kernel}: ${impl} translated to ${sum} with ${faults} faults, the walker to ${expected}`);
  }
}
