/**
 * The C twins compiled to Wasm by clang, when clang and lld are there: what the detour through another
 * language's compiler would give on the same engine.
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { NATIVE_SOURCES } from "./native.ts";

interface Exports {
  set_ram(at: number, bytes: number): void;
  set_vtd(cap: bigint, ecap: bigint, rtaddr: bigint, haw: number): void;
  set_smmu(base: bigint, cfg: number, idr0: number, idr1: number, idr3: number, idr5: number): void;
  walk_vtd(requests: number, results: number, count: number): number;
  walk_smmu(requests: number, results: number, count: number): number;
}

let compiled: WebAssembly.Module | null | undefined;

function compile(): WebAssembly.Module | null {
  const folder = mkdtempSync(join(tmpdir(), "iommulator-c-wasm-"));
  const output = join(folder, "kernels.wasm");
  const sources = ["wasm/glue.c", "vtd.c", "smmuv3.c"].map((name) => join(NATIVE_SOURCES, name));
  const target = ["--target=wasm32", "-O3", "-ffreestanding", "-nostdlib", "-mbulk-memory", "-msimd128"];
  const link = ["-Wl,--no-entry", "-Wl,--import-memory", "-Wl,--max-memory=4294967296", "-o", output];
  const { error, status } = spawnSync("clang", [...target, ...sources, ...link]);
  const module = error || status !== 0 ? null : new WebAssembly.Module(readFileSync(output));
  rmSync(folder, { recursive: true });
  return module;
}

/** Where guest RAM starts in the twin's memory: above its own stack and data. */
const RAM = 2 ** 20;

export class CWasm {
  readonly exports: Exports;
  readonly #memory: WebAssembly.Memory;
  readonly #requests: number;
  readonly #results: number;
  readonly #count: number;

  private constructor(module: WebAssembly.Module, ram: Uint8Array, requests: Uint8Array, count: number) {
    const pages = Math.ceil((RAM + ram.length + requests.length + count * 64) / 65536) + 1;
    this.#memory = new WebAssembly.Memory({ initial: pages, maximum: 65536 });
    this.exports = new WebAssembly.Instance(module, { env: { memory: this.#memory } }).exports as unknown as Exports;
    this.#requests = RAM + ram.length;
    this.#results = this.#requests + requests.length;
    this.#count = count;
    const bytes = new Uint8Array(this.#memory.buffer);
    bytes.set(ram, RAM);
    bytes.set(requests, this.#requests);
    this.exports.set_ram(RAM, ram.length);
  }

  /** undefined where clang or lld is missing */
  static load(ram: Uint8Array, requests: Uint8Array, count: number): CWasm | undefined {
    if (compiled === undefined) compiled = compile();
    return compiled ? new CWasm(compiled, ram, requests, count) : undefined;
  }

  /** Walks all requests once. @returns faults */
  walk(vendor: "vtd" | "smmu"): number {
    return this.exports[`walk_${vendor}`](this.#requests, this.#results, this.#count);
  }

  /** Sum of the output addresses of the last walk. */
  sum(): number {
    const view = new DataView(this.#memory.buffer);
    let sum = 0;
    for (let i = 0; i < this.#count; i++) sum += Number(view.getBigUint64(this.#results + i * 64 + 8, true));
    return sum;
  }
}
