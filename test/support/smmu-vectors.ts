/**
 * The recorded SMMUv3 scenarios of `test/vectors`, and the interpreter that plays them to anything that
 * has registers, memory and a device's requests.
 */
import { readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";

type Hex = string;

export interface DmaExpectation {
  ok: boolean;
  gpa?: Hex;
  why?: string;
  event?: [Hex, Hex, Hex, Hex];
  rec?: boolean;
}

export interface Dma {
  sid: Hex;
  iova: Hex;
  w: number;
  len: number;
  q: { ok: boolean; gpa?: Hex; events?: [Hex, Hex, Hex, Hex][]; prod?: Hex };
  arch: DmaExpectation;
  arch_old?: DmaExpectation;
  stale?: number;
  diff?: string[];
}

export type Op =
  | ["w4" | "w8", Hex, Hex]
  | ["r4" | "r8", Hex, Hex, Hex?]
  | ["mem", Hex, ...Hex[]]
  | ["rm4", Hex, Hex, Hex?]
  | ["dma", Dma];

export interface Scenario {
  id: string;
  cfg: string;
  idr0: Hex;
  idr1: Hex;
  idr3: Hex;
  idr5: Hex;
  ram: [Hex, Hex][];
  eventq: [Hex, number];
  tags: string[];
  mem: [Hex, ...Hex[]][];
  ops: Op[];
  mem_after: [Hex, Hex][];
}

export function loadScenarios(path: string | URL): Scenario[] {
  const text = gunzipSync(readFileSync(path)).toString("utf8");
  return text
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as Scenario);
}

/** What a scenario is played to. */
export interface Target {
  /** Software writes memory. */
  store(address: bigint, words: readonly bigint[]): void;
  /** Software writes a register of 4 or 8 bytes. */
  write(offset: number, bytes: 4 | 8, value: bigint): void;
  /** Software reads a register. */
  read?(offset: number, bytes: 4 | 8, recorded: bigint, architecture: bigint): void;
  /** Software reads four bytes of memory. */
  readMemory?(address: bigint, recorded: bigint, architecture: bigint): void;
  /** A device asks; `at` names the request in messages. */
  dma(dma: Dma, at: string): void;
}

export function play(scenario: Scenario, target: Target): void {
  const store = ([address, ...words]: readonly Hex[]) => target.store(BigInt(address as Hex), words.map(BigInt));
  scenario.mem.forEach(store);
  scenario.ops.forEach((op, i) => {
    switch (op[0]) {
      case "mem":
        store(op.slice(1) as Hex[]);
        break;
      case "w4":
      case "w8":
        target.write(Number(op[1]), op[0] === "w4" ? 4 : 8, BigInt(op[2]));
        break;
      case "r4":
      case "r8":
        target.read?.(Number(op[1]), op[0] === "r4" ? 4 : 8, BigInt(op[2]), BigInt(op[3] ?? op[2]));
        break;
      case "rm4":
        target.readMemory?.(BigInt(op[1]), BigInt(op[2]), BigInt(op[3] ?? op[2]));
        break;
      case "dma":
        target.dma(op[1], `${scenario.id} op ${i}`);
    }
  });
}

/** The registers that decide a walk, as an SMMU without caches would hold them. */
export class WalkRegisters {
  cr0 = 0;
  cr2 = 0;
  gbpa = 0;
  strtabBase = 0n;
  strtabBaseCfg = 0;

  write(offset: number, bytes: 4 | 8, value: bigint): void {
    const enabled = (this.cr0 & 1) === 1;
    if (bytes === 8 && offset === 0x80 && !enabled) this.strtabBase = value;
    if (bytes === 8) return;
    const word = Number(value);
    switch (offset) {
      case 0x20:
        this.cr0 = word;
        break;
      case 0x2c:
        if (!enabled) this.cr2 = word;
        break;
      case 0x44:
        if (word >>> 31) this.gbpa = word & 0x7fff_ffff;
        break;
      case 0x80:
        if (!enabled) this.strtabBase = (this.strtabBase & ~0xffff_ffffn) | value;
        break;
      case 0x84:
        if (!enabled) this.strtabBase = (this.strtabBase & 0xffff_ffffn) | (value << 32n);
        break;
      case 0x88:
        if (!enabled) this.strtabBaseCfg = word;
        break;
    }
  }
}
