/**
 * One instance of the Wasm core over one linear memory of fixed size.
 *
 * This folder is the only one that says `WebAssembly`. Everything that lives in linear memory (guest
 * RAM, unit blocks, caches, bitmaps, result blocks) is carved off with `allocate` and never moves:
 * the memory never grows, so a view made once stays valid.
 */
import { CORE_BYTES } from "./binary.ts";
import type { CoreExports } from "./exports.ts";

const PAGE = 65536;
const MAX_PAGES = 65536;

/** What the core calls for memory that the host backs; `region` is the index in the region table. */
export interface HostMemory {
  /** Fills `into`; false is a bus error. */
  read(region: number, gpa: bigint, into: Uint8Array): boolean;
  /** Takes `from`; false is a bus error. */
  write(region: number, gpa: bigint, from: Uint8Array): boolean;
  /** 1 replaced, 0 it differed from `expected`, -1 bus error. */
  compareExchange(region: number, gpa: bigint, expected: bigint, replacement: bigint): number;
}

const NO_HOST: HostMemory = {
  read: () => false,
  write: () => false,
  compareExchange: () => -1,
};

let compiled: WebAssembly.Module | undefined;

/** The embedded module, compiled on first use. */
export function coreModule(): WebAssembly.Module {
  compiled ??= new WebAssembly.Module(embeddedBytes());
  return compiled;
}

let compiledShared: WebAssembly.Module | undefined;

/** The same, for memory that other threads share. */
function sharedCoreModule(): WebAssembly.Module {
  compiledShared ??= new WebAssembly.Module(sharedCoreWasm(embeddedBytes()));
  return compiledShared;
}

/** Part of a shared memory's workspace, for an instance in another thread. */
export interface Slice {
  readonly memory: WebAssembly.Memory;
  readonly start: number;
  readonly end: number;
}

export class Core {
  readonly exports: CoreExports;
  readonly u8: Uint8Array;
  readonly u32: Uint32Array;
  readonly view: DataView;
  readonly memory: WebAssembly.Memory;
  readonly module: WebAssembly.Module;
  #next: number;
  #end: number;

  /**
   * @param bytes size of linear memory, rounded up to 64 KiB; fixed from here on
   * @param host serves host-backed guest memory; without it there is none
   * @param shared memory that other threads can attach to; or what this instance attaches to
   * @param module a ready-compiled `core.wasm`, for workers and pages that may not compile
   * @throws RangeError when `bytes` is not in 64 KiB .. 4 GiB
   */
  constructor(
    bytes: number,
    host: HostMemory = NO_HOST,
    shared: boolean | Slice = false,
    module: WebAssembly.Module = shared ? sharedCoreModule() : coreModule(),
  ) {
    const pages = Math.ceil(bytes / PAGE);
    if (!(pages >= 1 && pages <= MAX_PAGES)) {
      throw new RangeError(`bytes: ${bytes} is not in 1..${MAX_PAGES * PAGE}`);
    }
    const slice = typeof shared === "object" ? shared : undefined;
    const memory = slice?.memory ?? new WebAssembly.Memory({ initial: pages, maximum: pages, shared: shared === true });
    this.memory = memory;
    this.module = module;
    this.u8 = new Uint8Array(memory.buffer);
    this.u32 = new Uint32Array(memory.buffer);
    this.view = new DataView(memory.buffer);
    const at = (ptr: number, count: number) => this.u8.subarray(ptr >>> 0, (ptr >>> 0) + count);
    const instance = new WebAssembly.Instance(module, {
      env: { memory },
      host: {
        read: (region: number, gpa: bigint, ptr: number, count: number) =>
          host.read(region, BigInt.asUintN(64, gpa), at(ptr, count)),
        write: (region: number, gpa: bigint, ptr: number, count: number) =>
          host.write(region, BigInt.asUintN(64, gpa), at(ptr, count)),
        compareExchange: (region: number, gpa: bigint, expected: bigint, replacement: bigint) =>
          host.compareExchange(
            region,
            BigInt.asUintN(64, gpa),
            BigInt.asUintN(64, expected),
            BigInt.asUintN(64, replacement),
          ),
      },
    });
    this.exports = instance.exports as unknown as CoreExports;
    this.#next = slice?.start ?? this.exports.heapBase();
    this.#end = slice?.end ?? this.u8.length;
  }

  /** Bytes not yet allocated. */
  get free(): number {
    return this.#end - this.#next;
  }

  /** Keeps everything from `ptr` on for another use (guest RAM). */
  reserveFrom(ptr: number): void {
    this.#end = ptr;
  }

  /**
   * Takes `bytes` of zeroed linear memory, for good.
   * @param align a power of two
   * @throws RangeError when the memory, sized at construction, has no room left
   */
  allocate(bytes: number, align = 64): number {
    const ptr = Math.ceil(this.#next / align) * align;
    if (ptr + bytes > this.#end) {
      throw new RangeError(
        `bytes: ${bytes} do not fit, ${Math.max(0, this.#end - ptr)} bytes of workspace are left (size it at construction)`,
      );
    }
    this.#next = ptr + bytes;
    return ptr;
  }
}

/** How the core's import of its memory begins, up to the flags of its limits; those flags. */
const MEMORY_IMPORT = [3, 0x65, 0x6e, 0x76, 6, 0x6d, 0x65, 0x6d, 0x6f, 0x72, 0x79, 2];
const BOUNDED = 1;
const BOUNDED_AND_SHARED = 3;

/**
 * A `core.wasm` for shared memory: that it imports such memory is all that differs.
 * @throws TypeError when `plain` is no `core.wasm`
 */
export function sharedCoreWasm(plain: Uint8Array): Uint8Array<ArrayBuffer> {
  const start = plain.findIndex((_, at) => MEMORY_IMPORT.every((byte, i) => plain[at + i] === byte));
  const at = start + MEMORY_IMPORT.length;
  if (start < 0 || plain[at] !== BOUNDED) throw new TypeError("plain: these bytes are no core.wasm");
  const shared = plain.slice();
  shared[at] = BOUNDED_AND_SHARED;
  return shared;
}

/** The embedded module: a character a byte. */
function embeddedBytes(): Uint8Array<ArrayBuffer> {
  const text = CORE_BYTES;
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < bytes.length; i++) bytes[i] = text.charCodeAt(i);
  return bytes;
}
