/**
 * Registers out of text that people can get on a live machine: debugfs `iommu_regset`, boot lines, sysfs, a
 * monitor's or devmem's dump of the register page, or simply names and values.
 */

import { PAGE0 } from "../../../assembly/layout/smmuv3-registers.ts";
import { VER } from "../../../assembly/layout/vtd-capabilities.ts";
import { REG } from "../../../assembly/layout/vtd-registers.ts";
import { LogReader } from "../../explain/log.ts";
import { cleanLine } from "../../explain/text.ts";
import { setField } from "../../structure.ts";
import { type ImageIommu, pageOf } from "./image.ts";

/** What a text says about one unit. */
export interface UnitText {
  /** "dmar0"; "" where the text does not name it. */
  unit: string;
  /** Undefined where only offsets were given. */
  iommu: ImageIommu | undefined;
  /** 32-bit words by offset. */
  values: Map<number, number>;
  /** By offset, where each is from. */
  sources: Map<number, string>;
}

/** Past what any walk depends on, in either vendor's registers. */
const MAX_OFFSET = 0x1000;
const HALF = 32n;
const LOW_HALF = 0xffff_ffffn;

const REGSET_UNIT = /^IOMMU: (?<unit>\w{1,32}) Register Base Address: (?:0x)?[0-9a-f]+$/i;
const REGSET_ROW = /^(?<name>[A-Z]\w*) +0x(?<offset>[0-9a-f]{1,4}) +0x(?<value>[0-9a-f]{1,16})$/i;
const SYSFS = /\/(?<unit>dmar\d+)\/intel-iommu\/(?<file>cap|ecap|version):(?<value>[0-9a-f:]{1,16})$/i;
const WORDS = /^(?:0x)?(?<address>[0-9a-f]{4,16}): +(?<words>(?:(?:0x)?(?:[0-9a-f]{8}|[0-9a-f]{16})\s*)+)$/i;
const PAIR = /^(?:0x)(?<offset>[0-9a-f]{1,4})[ :=]+0x(?<value>[0-9a-f]{1,16})$/i;
const NAMED = /^(?:SMMU_)?(?<name>[A-Z]\w*?)(?:_REG)?(?: *[:=] *| +)(?:0x)?(?<value>[0-9a-f]{1,16})$/i;

/** A register's vendor and offset by its name, in any case. */
export function registerByName(name: string): { iommu: ImageIommu; offset: number } | undefined {
  const wanted = name.toUpperCase();
  const vtd: unknown = Object.entries(REG).find(([key]) => key === wanted)?.[1];
  if (typeof vtd === "number") return { iommu: "vtd", offset: vtd };
  const smmu: unknown = Object.entries(PAGE0).find(([key]) => key === wanted)?.[1];
  return typeof smmu === "number" ? { iommu: "smmuv3", offset: smmu } : undefined;
}

/** Everything that the text says about registers, a unit each; empty when it says nothing. */
export function readRegisterText(text: string, file: string): UnitText[] {
  return new RegisterText(file).read(text);
}

class RegisterText {
  readonly #file: string;
  readonly #units = new Map<string, UnitText>();
  /** The unit that the lines are about. */
  #unit = "";
  /** Where the register page begins that a dump of words shows. */
  #page: bigint | undefined;

  constructor(file: string) {
    this.#file = file;
  }

  read(text: string): UnitText[] {
    const log = new LogReader();
    for (const [i, raw] of text.split("\n").entries()) {
      log.push(raw);
      const line = cleanLine(raw, i + 1)
        .map((piece) => piece.text)
        .join("")
        .trim();
      if (line !== "") this.#line(line);
    }
    log.end();
    for (const { item } of log.items) {
      if (item.kind !== "registers") continue;
      const source = `boot line in ${this.#file}`;
      this.#put64(item.unit, "vtd", REG.VER, item.ver, source);
      this.#put64(item.unit, "vtd", REG.CAP, item.cap, source);
      this.#put64(item.unit, "vtd", REG.ECAP, item.ecap, source);
    }
    return [...this.#units.values()];
  }

  #line(line: string): void {
    for (const [pattern, take] of this.#shapes) {
      const groups = pattern.exec(line)?.groups;
      if (!groups) continue;
      take(groups);
      return;
    }
  }

  readonly #shapes: readonly (readonly [RegExp, (groups: Groups) => void])[] = [
    [
      REGSET_UNIT,
      ({ unit }) => {
        this.#unit = unit as string;
      },
    ],
    [REGSET_ROW, (row) => this.#put64(this.#unit, "vtd", offsetOf(row), wordOf(row), `iommu_regset in ${this.#file}`)],
    [SYSFS, ({ unit, file, value }) => this.#sysfs(unit as string, file as string, value as string)],
    [WORDS, ({ address, words }) => this.#words(BigInt(`0x${address}`), (words as string).trim().split(/\s+/))],
    [PAIR, (pair) => this.#put64(this.#unit, undefined, offsetOf(pair), wordOf(pair), this.#file)],
    [
      NAMED,
      (named) => {
        const found = registerByName(named.name as string);
        if (found) this.#put64(this.#unit, found.iommu, found.offset, wordOf(named), this.#file);
      },
    ],
  ];

  #sysfs(unit: string, file: string, value: string): void {
    const source = `sysfs in ${this.#file}`;
    if (file !== "version") {
      if (!value.includes(":"))
        this.#put64(unit, "vtd", file === "cap" ? REG.CAP : REG.ECAP, BigInt(`0x${value}`), source);
      return;
    }
    const parts = /^([0-9a-f]):([0-9a-f])$/i.exec(value);
    if (!parts) return;
    const version = [0n];
    setField(version, VER.MAX, BigInt(`0x${parts[1]}`));
    setField(version, VER.MIN, BigInt(`0x${parts[2]}`));
    this.#put64(unit, "vtd", REG.VER, version[0] as bigint, source);
  }

  /** A dump of words: QEMU's `xp`, and what looks like it. Registers begin with the page of the first address. */
  #words(address: bigint, words: readonly string[]): void {
    this.#page ??= pageOf(address);
    let offset = Number(address - this.#page);
    for (const word of words) {
      const digits = word.replace(/^0x/i, "");
      this.#put(this.#unit, undefined, offset, BigInt(`0x${digits}`), `words in ${this.#file}`);
      if (digits.length > 8)
        this.#put(this.#unit, undefined, offset + 4, BigInt(`0x${digits}`) >> HALF, `words in ${this.#file}`);
      offset += digits.length / 2;
    }
  }

  /** Rows of 32-bit registers are printed like those of 64: an upper half of 0 says nothing. */
  #put64(unit: string, iommu: ImageIommu | undefined, offset: number, value: bigint, source: string): void {
    this.#put(unit, iommu, offset, value, source);
    if (value >> HALF) this.#put(unit, iommu, offset + 4, value >> HALF, source);
  }

  #put(name: string, iommu: ImageIommu | undefined, offset: number, value: bigint, source: string): void {
    if (offset < 0 || offset >= MAX_OFFSET || offset % 4 !== 0) return;
    let unit = this.#units.get(name);
    if (!unit) {
      unit = { unit: name, iommu, values: new Map(), sources: new Map() };
      this.#units.set(name, unit);
    }
    unit.iommu ??= iommu;
    unit.values.set(offset, Number(value & LOW_HALF));
    unit.sources.set(offset, source);
  }
}

type Groups = Record<string, string | undefined>;
const offsetOf = ({ offset }: Groups): number => Number.parseInt(offset ?? "", 16);
const wordOf = ({ value }: Groups): bigint => BigInt(`0x${value}`);
