/**
 * GuestMemory: the guest's physical address space, as the IOMMU and its driver see it.
 *
 * RAM is a list of regions with holes between them. A region lies in linear memory (fast: the Wasm
 * walkers read it in place) or is served by the host through synchronous callbacks: a file, another
 * emulator's RAM, a remote process. What no region holds is a bus error.
 *
 * The accessors are the CPU's view, for drivers and tests. `poison` makes the *IOMMU's* accesses to
 * a range fail, the way a memory error or a firewall would.
 */
import {
  GUEST,
  MAX_POISONS,
  MAX_REGIONS,
  NO_POINTER,
  POISON_BYTES,
  REGION,
  REGION_BYTES,
} from "../assembly/layout/core.ts";
import { checkBigInt, checkInteger, hex } from "./check.ts";
import { Core, type Slice } from "./core/core.ts";
import { Gate, LINE_BYTES } from "./workers/gate.ts";
import type { SharedMemoryHandle } from "./workers/handle.ts";
import { loadWhole, storeWhole, type WholeWords, wholeWords } from "./workers/whole-words.ts";

/** Guest physical addresses have up to 52 bits (VT-d HAW, SMMUv3 OAS). */
export const ADDRESS_BITS = 52;
const TOP = 1n << BigInt(ADDRESS_BITS);
const PAGE = 4096n;

/** Guest memory that lives outside: all callbacks are synchronous, addresses are guest physical. */
export interface HostBacking {
  /** Fills `into` from `address`; returning false is a bus error. May not cross the region. */
  read(address: bigint, into: Uint8Array): boolean;
  /** Stores `from` at `address`; returning false is a bus error. */
  write(address: bigint, from: Uint8Array): boolean;
  /**
   * Replaces the little-endian 64-bit word at `address` by `replacement` if it equals `expected`, and
   * returns what it held. Needed when others write the memory at the same time; the default reads,
   * compares and writes.
   */
  compareExchange?(address: bigint, expected: bigint, replacement: bigint): bigint;
  /** Whether all `bytes` at `address` are there now; absent: all of the region always is. */
  holds?(address: bigint, bytes: number): boolean;
}

/** One region of RAM: whole 4 KiB pages. */
export interface RamRegion {
  /** First guest physical address, a multiple of 4096. */
  base: bigint;
  /** Bytes, a multiple of 4096. */
  size: bigint;
  /** Absent: the region lies in linear memory. */
  host?: HostBacking;
}

export interface GuestMemoryOptions {
  ram: readonly RamRegion[];
  /** Bytes of linear memory for units, caches, bitmaps and result blocks; 1 MiB unless told. */
  workspace?: number;
  /**
   * A ready-compiled `iommulator/core.wasm` (with `shared`, what `sharedCoreWasm` makes of it); without it
   * the embedded copy is used.
   */
  module?: WebAssembly.Module;
  /**
   * Lies in a SharedArrayBuffer, so that workers can walk its tables: see `share` of walkers and units.
   *
   * Aligned words are then read and written whole and in order, as by a CPU; `writeBytes` promises neither. Who
   * writes an entry's first word (P, V) last is never seen with half of it. An entry changed while it is
   * present may be seen in part, as by hardware, until it has been invalidated; `exclusively` avoids that.
   */
  shared?: boolean;
  /** Milliseconds that a worker may take to finish a call before who waits for it throws; 5000 unless told. */
  workerTimeout?: number;
}

interface Region extends RamRegion {
  end: bigint;
  /** Linear pointer, NO_POINTER for a host-backed region. */
  ptr: number;
}

export class GuestMemory {
  /** The Wasm side; for units, not for applications. */
  readonly core: Core;
  /** Lets workers walk while nobody changes what they go by; undefined for memory that is not shared. */
  readonly gate: Gate | undefined;
  readonly #regions: readonly Region[];
  /** Of memory that other threads use too. */
  readonly #words: WholeWords | undefined;
  readonly #isOwner: boolean;
  readonly #poisons: { first: bigint; last: bigint }[] = [];

  /**
   * @throws RangeError naming the region that is empty, unaligned, beyond 52 bits, overlapping, or
   *   too big for linear memory (4 GiB in all)
   * @param slice what `attach` attaches to
   */
  constructor(options: GuestMemoryOptions, slice?: Slice) {
    const workspace = checkInteger("workspace", options.workspace ?? 1 << 20, 65536, 2 ** 31);
    const regions = checkRegions(options.ram);
    const linearBytes = regions.reduce((sum, region) => sum + (region.host ? 0n : region.size), 0n);
    const total = linearBytes + BigInt(workspace);
    if (total > 1n << 32n) {
      throw new RangeError(
        `ram: ${hex(linearBytes)} bytes in linear memory and a workspace of ${hex(workspace)} exceed 4 GiB; back some by the host`,
      );
    }
    const isShared = slice !== undefined || options.shared === true;
    this.core = new Core(
      slice?.memory.buffer.byteLength ?? Number(total),
      {
        read: (region, gpa, into) => this.#host(region).read(gpa, into),
        write: (region, gpa, from) => this.#host(region).write(gpa, from),
        compareExchange: (region, gpa, expected, replacement) =>
          hostCompareExchange(this.#host(region), gpa, expected, replacement),
      },
      slice ?? isShared,
      options.module,
    );
    // RAM goes to the end of linear memory, so that `core.allocate` hands out the workspace.
    let ptr = this.core.u8.length;
    for (const region of regions) {
      if (!region.host) region.ptr = ptr -= Number(region.size);
    }
    this.#regions = regions;
    this.#words = isShared ? wholeWords(this.core.u8.buffer) : undefined;
    this.#isOwner = slice === undefined;
    if (!this.#isOwner) return;
    this.core.reserveFrom(ptr);
    if (isShared) {
      const patience = checkInteger("workerTimeout", options.workerTimeout ?? 5000, 1, 2 ** 31 - 1);
      this.gate = new Gate(new Int32Array(this.core.u8.buffer), this.core.allocate(LINE_BYTES), patience);
    }
    this.#publish();
  }

  /** The memory that another thread owns, as a worker sees it. */
  static attach({ module, ram, ...slice }: SharedMemoryHandle): GuestMemory {
    return new GuestMemory({ module, ram }, slice);
  }

  /** The regions, ascending. */
  get regions(): readonly RamRegion[] {
    return this.#regions;
  }

  /** Whether all `bytes` at `address` are RAM. */
  contains(address: bigint, bytes = 1): boolean {
    const pieces = this.#pieces(address, bytes);
    return pieces?.every(({ region, start, count }) => region.host?.holds?.(start, count) ?? true) ?? false;
  }

  /** @throws RangeError outside RAM, as all accessors */
  read8(address: bigint): number {
    return this.#read(address, 1).getUint8(0);
  }
  read16(address: bigint): number {
    return this.#read(address, 2).getUint16(0, true);
  }
  read32(address: bigint): number {
    return this.#read(address, 4).getUint32(0, true);
  }
  read64(address: bigint): bigint {
    return this.#read(address, 8).getBigUint64(0, true);
  }
  write8(address: bigint, value: number): void {
    this.#write(address, 1, (view) => view.setUint8(0, checkInteger("value", value, 0, 0xff)));
  }
  write16(address: bigint, value: number): void {
    this.#write(address, 2, (view) => view.setUint16(0, checkInteger("value", value, 0, 0xffff), true));
  }
  write32(address: bigint, value: number): void {
    this.#write(address, 4, (view) => view.setUint32(0, checkInteger("value", value, 0, 0xffff_ffff), true));
  }
  write64(address: bigint, value: bigint): void {
    this.#write(address, 8, (view) =>
      view.setBigUint64(0, checkBigInt("value", value, 0n, 0xffff_ffff_ffff_ffffn), true),
    );
  }

  /** A copy of `bytes` at `address`; may cross regions that touch. */
  readBytes(address: bigint, bytes: number): Uint8Array {
    const out = new Uint8Array(checkInteger("bytes", bytes, 0, 2 ** 32 - 1));
    let at = 0;
    for (const { region, start, count } of this.#mustHave(address, bytes)) {
      const target = out.subarray(at, at + count);
      if (!region.host) {
        const ptr = region.ptr + Number(start - region.base);
        target.set(this.core.u8.subarray(ptr, ptr + count));
      } else if (!region.host.read(start, target)) {
        throw new RangeError(`address: the host cannot read ${count} bytes at ${hex(start)}`);
      }
      at += count;
    }
    return out;
  }

  /** Stores `data` at `address`; may cross regions that touch. */
  writeBytes(address: bigint, data: Uint8Array): void {
    let at = 0;
    for (const { region, start, count } of this.#mustHave(address, data.length)) {
      const source = data.subarray(at, at + count);
      if (!region.host) {
        this.core.u8.set(source, region.ptr + Number(start - region.base));
      } else if (!region.host.write(start, source)) {
        throw new RangeError(`address: the host cannot write ${count} bytes at ${hex(start)}`);
      }
      at += count;
    }
  }

  /**
   * Makes every access of the IOMMU to `bytes` at `address` a bus error, until `heal`.
   * @throws RangeError beyond 52 bits, or when more than MAX_POISONS ranges are poisoned; Error in a worker
   */
  poison(address: bigint, bytes = 1): void {
    checkBigInt("address", address, 0n, TOP - 1n);
    checkInteger("bytes", bytes, 1, Number.MAX_SAFE_INTEGER);
    if (this.#poisons.length === MAX_POISONS) {
      throw new RangeError(`poison: ${MAX_POISONS} ranges are poisoned already`);
    }
    this.#mustOwn("poison");
    this.exclusively(() => {
      this.#poisons.push({ first: address, last: address + BigInt(bytes) - 1n });
      this.#publish();
    });
  }

  /** Lifts every poisoned range that holds `address`; all of them when none is given. */
  heal(address?: bigint): void {
    const kept =
      address === undefined ? [] : this.#poisons.filter(({ first, last }) => address < first || address > last);
    this.#mustOwn("heal");
    this.exclusively(() => {
      this.#poisons.splice(0, this.#poisons.length, ...kept);
      this.#publish();
    });
  }

  /**
   * Does `work` while no worker is within a walk: what a guest's CPU does to tables at one go, as workers see it.
   * @throws Error naming the worker that has not come out of its call in time, with nothing done
   */
  exclusively<T>(work: () => T): T {
    return this.gate ? this.gate.closed(work) : work();
  }

  /** What workers are added at. @throws RangeError when this memory is none that they could attach to */
  shareable(): Gate {
    const hosted = this.#regions.find(({ host }) => host);
    if (hosted) {
      const where = `${hex(hosted.base)}..${hex(hosted.end - 1n)}`;
      throw new RangeError(`memory: ${where} is served by the host, whom other threads cannot ask`);
    }
    if (!this.gate) throw new RangeError("memory: made without `shared`, or not by this thread");
    return this.gate;
  }

  /** Takes `bytes` of the workspace for a worker. @throws RangeError when it has no room left */
  slice(bytes: number): SharedMemoryHandle {
    const { memory, module } = this.core;
    const start = this.core.allocate(bytes);
    return { memory, module, start, end: start + bytes, ram: this.#regions.map(({ base, size }) => ({ base, size })) };
  }

  #read(address: bigint, bytes: number): DataView {
    const region = this.#find(address, bytes);
    if (region && !region.host) {
      const ptr = region.ptr + Number(address - region.base);
      return this.#words ? loadWhole(this.#words, ptr, bytes) : new DataView(this.core.u8.buffer, ptr, bytes);
    }
    return new DataView(this.readBytes(address, bytes).buffer);
  }

  #write(address: bigint, bytes: number, store: (view: DataView) => void): void {
    const region = this.#find(address, bytes);
    if (region && !region.host) {
      const ptr = region.ptr + Number(address - region.base);
      if (this.#words) storeWhole(this.#words, ptr, bytes, store);
      else store(new DataView(this.core.u8.buffer, ptr, bytes));
      return;
    }
    const data = new Uint8Array(bytes);
    store(new DataView(data.buffer));
    this.writeBytes(address, data);
  }

  /** The region that holds all of it. */
  #find(address: bigint, bytes: number): Region | undefined {
    return this.#regions.find((region) => address >= region.base && address + BigInt(bytes) <= region.end);
  }

  #pieces(address: bigint, bytes: number): { region: Region; start: bigint; count: number }[] | undefined {
    checkBigInt("address", address, 0n, TOP - 1n);
    const pieces = [];
    const end = address + BigInt(bytes);
    for (let start = address; start < end; ) {
      const region = this.#find(start, 1);
      if (!region) return undefined;
      const stop = end < region.end ? end : region.end;
      pieces.push({ region, start, count: Number(stop - start) });
      start = stop;
    }
    return pieces;
  }

  #mustHave(address: bigint, bytes: number): { region: Region; start: bigint; count: number }[] {
    const pieces = this.#pieces(address, bytes);
    if (!pieces) {
      const ram = this.#regions.map((region) => `${hex(region.base)}..${hex(region.end - 1n)}`).join(", ");
      throw new RangeError(`address: ${bytes} bytes at ${hex(address)} are not all RAM (${ram})`);
    }
    return pieces;
  }

  #mustOwn(what: string): void {
    if (!this.#isOwner) throw new Error(`${what}: only the thread that made this memory may`);
  }

  #host(region: number): HostBacking {
    return this.#regions[region]?.host as HostBacking;
  }

  /** Writes the memory map to where the Wasm side looks it up. */
  #publish(): void {
    const { view } = this.core;
    const linear = this.#regions.filter((region) => !region.host);
    linear.sort((a, b) => (a.size > b.size ? -1 : 1));
    const open = this.#poisons.length === 0;
    const segment = (at: { base: number; size: number; delta: number }, region: Region | undefined) => {
      const { base, size, ptr } = region ?? { base: 0n, size: 0n, ptr: NO_POINTER };
      view.setBigUint64(at.base, base, true);
      view.setBigUint64(at.size, open ? size : 0n, true);
      view.setUint32(at.delta, Number(BigInt.asUintN(32, BigInt(ptr) - base)), true);
    };
    segment({ base: GUEST.BASE0, size: GUEST.SIZE0, delta: GUEST.DELTA0 }, linear[0]);
    segment({ base: GUEST.BASE1, size: GUEST.SIZE1, delta: GUEST.DELTA1 }, linear[1]);
    view.setUint32(GUEST.REGIONS, this.#regions.length, true);
    this.#regions.forEach((region, i) => {
      const at = GUEST.REGION_TABLE + i * REGION_BYTES;
      view.setBigUint64(at + REGION.BASE, region.base, true);
      view.setBigUint64(at + REGION.SIZE, region.size, true);
      view.setUint32(at + REGION.PTR, region.ptr, true);
    });
    view.setUint32(GUEST.POISONS, this.#poisons.length, true);
    this.#poisons.forEach(({ first, last }, i) => {
      view.setBigUint64(GUEST.POISON_TABLE + i * POISON_BYTES, first, true);
      view.setBigUint64(GUEST.POISON_TABLE + i * POISON_BYTES + 8, last, true);
    });
  }
}

function checkRegions(ram: readonly RamRegion[]): Region[] {
  checkInteger("ram.length", ram.length, 1, MAX_REGIONS);
  const regions = ram.map((region, i) => {
    checkBigInt(`ram[${i}].base`, region.base, 0n, TOP - PAGE);
    checkBigInt(`ram[${i}].size`, region.size, PAGE, TOP - region.base);
    if (region.base % PAGE || region.size % PAGE) {
      throw new RangeError(`ram[${i}]: ${hex(region.base)}+${hex(region.size)} is not whole 4 KiB pages`);
    }
    return { ...region, end: region.base + region.size, ptr: NO_POINTER };
  });
  regions.sort((a, b) => (a.base < b.base ? -1 : 1));
  regions.forEach((region, i) => {
    const before = regions[i - 1];
    if (before && before.end > region.base) {
      throw new RangeError(
        `ram: ${hex(region.base)}+${hex(region.size)} overlaps ${hex(before.base)}+${hex(before.size)}`,
      );
    }
  });
  return regions;
}

function hostCompareExchange(host: HostBacking, gpa: bigint, expected: bigint, replacement: bigint): number {
  if (host.compareExchange) return host.compareExchange(gpa, expected, replacement) === expected ? 1 : 0;
  const word = new Uint8Array(8);
  const view = new DataView(word.buffer);
  if (!host.read(gpa, word)) return -1;
  if (view.getBigUint64(0, true) !== expected) return 0;
  view.setBigUint64(0, replacement, true);
  return host.write(gpa, word) ? 1 : -1;
}
