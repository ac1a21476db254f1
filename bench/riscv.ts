/**
 * `npm run bench -- --model CHECKOUT`: the RISC-V IOMMU reference model beside the first-stage walks, built
 * on the spot out of a checkout of github.com/riscv-non-isa/riscv-iommu and our driver, `models/riscv.c`.
 *
 * It is another architecture: what can be the same is the shape (devices, PASIDs, pages, output addresses,
 * requests, fetches a walk), and that is what is checked.
 */
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { REQUEST_BYTES } from "../assembly/layout/core.ts";
import { MODEL_SOURCES, Native } from "./native.ts";
import type { VtdData, VtdShape } from "./tables-vtd.ts";

export const RISCV_MODEL = "RISC-V reference model";

export const RISCV_NOTE = `${RISCV_MODEL}: the same devices, PASIDs, pages, output addresses and requests in RISC-V's own
tables (two-level DDT, PD17, Sv48: as many fetches a walk as VT-d's scalable mode), its caches emptied before
each request, built with -O3 -march=native -flto. It is written to be read beside its specification, not to be
fast: each fetch is a copy through its user's memory, and on the way it looks into its caches, second stage,
event counters and MSI rules, and fills the caches again.`;

/** Of a walk: DDT and DC, PDT and PC, four levels of Sv48. */
const FETCHES = 8;

export class RiscvModel {
  readonly #program: Native;
  #requests = 0;

  private constructor(program: Native) {
    this.#program = program;
  }

  /**
   * Builds and starts it.
   *
   * @param checkout of the repository, not of the model's folder alone
   * @throws Error that says what is missing, or what the compiler says
   */
  static start(checkout: string): RiscvModel {
    const libraries = ["libiommu", "libtables"].map((name) => join(checkout, "iommu_ref_model", name));
    for (const folder of libraries.flatMap((library) => [join(library, "include"), join(library, "src")])) {
      if (!existsSync(folder)) throw new Error(`no ${folder}: is this a checkout of riscv-non-isa/riscv-iommu?`);
    }
    const headers = libraries.map((library) => `-I${join(library, "include")}`);
    const sources = libraries.flatMap((library) =>
      readdirSync(join(library, "src"))
        .filter((name) => name.endsWith(".c"))
        .map((name) => join(library, "src", name)),
    );
    // The warnings are not about our code, and linking as a whole is what a model of many files gains most by.
    const program = Native.compile([
      "-flto",
      "-w",
      "-std=gnu11",
      ...headers,
      join(MODEL_SOURCES, "riscv.c"),
      ...sources,
    ]);
    if (!program) throw new Error("no C compiler (cc) to build it with");
    return new RiscvModel(program);
  }

  /** Builds RISC-V tables of what the VT-d tables map. */
  async build(shape: VtdShape, { mapped, ram }: VtdData): Promise<void> {
    const { first, outputs, poolOf } = mapped;
    const bytes = (array: BigUint64Array | Uint32Array) => new Uint8Array(array.buffer);
    const pasids = poolOf.length / shape.devices;
    await this.#program.command(`memory ${ram.bytes.length}`);
    await this.#program.hand(bytes(outputs), (path) => `pools ${shape.pools} ${shape.pages} ${first} ${path}`);
    await this.#program.hand(bytes(poolOf), (path) => `devices ${shape.devices} ${pasids} ${path}`);
  }

  /**
   * Hands over the requests and walks them once.
   *
   * @returns sum of the output addresses, and faults
   * @throws Error when a walk took another number of fetches than ours
   */
  async load(requests: Uint8Array): Promise<[number, number]> {
    this.#requests = requests.length / REQUEST_BYTES;
    await this.#program.hand(requests, (path) => `requests ${path} ${this.#requests}`);
    const [, sum, faults, fetches] = (await this.#program.command("walk 1")).map(Number);
    if (fetches !== FETCHES * this.#requests) {
      throw new Error(`${RISCV_MODEL}: ${fetches} fetches for ${this.#requests} walks, not ${FETCHES} each`);
    }
    return [sum as number, faults as number];
  }

  /** Walks all requests so often. @returns milliseconds of CPU time */
  async run(times: number): Promise<number> {
    return Number((await this.#program.command(`walk ${times}`))[0]) / 1e6;
  }

  stop(): void {
    this.#program.stop();
  }
}
