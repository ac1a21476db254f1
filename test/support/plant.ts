/** Captures with something wrong planted in them. */
import type { Capture } from "../../src/capture/capture.ts";
import { lintImage } from "../../src/capture/lint.ts";
import { loadCapture } from "../../src/capture/node/files.ts";
import { PageMap } from "../../src/capture/pages.ts";
import { openWalker } from "../../src/capture/state.ts";
import type { Region } from "../../src/lint/pages.ts";
import { CAPTURES } from "../cli/run.ts";

const PAGE = 4096n;

/** A capture that can be written to. */
export class Planted {
  readonly #capture: Capture;
  readonly #pages: Map<bigint, Uint8Array>;
  #registers: Capture["registers"];

  constructor(name: string) {
    this.#capture = loadCapture(`${CAPTURES}${name}.json`);
    this.#registers = this.#capture.registers;
    this.#pages = new Map(this.#capture.pages.pages.map(({ gpa, bytes }) => [gpa, new Uint8Array(bytes)]));
  }

  get capture(): Capture {
    const pages = this.#capture.pages.pages.map(({ gpa, role }) => ({ gpa, role, bytes: this.#bytes(gpa) }));
    return { ...this.#capture, registers: this.#registers, pages: new PageMap(pages) };
  }

  read(address: bigint): bigint {
    return this.#view(address).getBigUint64(0, true);
  }

  write(address: bigint, word: bigint): this {
    this.#view(address).setBigUint64(0, word, true);
    return this;
  }

  /** Copies `words` 64-bit words. */
  copy(from: bigint, to: bigint, words: number): this {
    for (let i = 0n; i < words; i++) this.write(to + 8n * i, this.read(from + 8n * i));
    return this;
  }

  /** Flips bits. */
  flip(address: bigint, bits: bigint): this {
    return this.write(address, this.read(address) ^ bits);
  }

  register(offset: number, value: bigint): this {
    this.#registers = this.#registers.with(offset, 64, value, "planted");
    return this;
  }

  get registers(): Capture["registers"] {
    return this.#registers;
  }

  /** Where a walk reads entries of a kind: as traces call it, "PASID table entry". */
  find(structure: string, sid: number, pasid: number | null, address = 0n): bigint {
    const steps = openWalker(this.capture).trace({ sid, pasid, address, probe: true }).steps;
    const step = steps.findLast((one) => one.structure === structure);
    if (!step) throw new Error(`no ${structure} on the way (${steps.map((one) => one.structure).join(", ")})`);
    return step.address;
  }

  /** Rules that are broken, with where and what. */
  lint(regions: readonly Region[] = []): string[] {
    return lintImage(this.capture, regions).findings.map(({ rule, sid, pasid, what }) =>
      [rule.id, sid === undefined ? "-" : `0x${sid.toString(16)}`, pasid ?? "-", what].join(" "),
    );
  }

  #bytes(gpa: bigint): Uint8Array {
    const bytes = this.#pages.get(gpa);
    if (!bytes) throw new Error(`page 0x${gpa.toString(16)} was not captured`);
    return bytes;
  }

  #view(address: bigint): DataView {
    const bytes = this.#bytes(address - (address % PAGE));
    return new DataView(bytes.buffer, bytes.byteOffset + Number(address % PAGE));
  }
}
