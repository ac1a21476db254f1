/**
 * The driver's side of the SMMUv3: VMSAv8-64 translation tables in guest memory.
 * Arm ARM DDI 0487 D8.3 "Translation table descriptor formats".
 */
import { ADDRESS, CD, PTE, PTE_SIZE, PTE1, PTE2, STE, TG0, TG1 } from "../../assembly/layout/smmuv3.ts";
import { checkBigInt, checkInteger, checkOneOf, hex } from "../check.ts";
import { ADDRESS_BITS, type GuestMemory } from "../memory.ts";
import type { PageAllocator } from "../page-allocator.ts";
import { build, getField, getInPlace, setField, setInPlace } from "../structure.ts";

/** Field values by name; addresses in fields that hold one are given in units of the field (see `build`). */
export type Fields = Readonly<Record<string, bigint | number | boolean>>;

/** Where an address lies in memory; what is behind stage 2 (CDs, stage 1 tables) needs it. */
export type Locate = (address: bigint) => bigint;

export type Granule = "4K" | "16K" | "64K";

const GRANULES: Readonly<Record<Granule, { shift: number; tg0: TG0; tg1: TG1 }>> = {
  "4K": { shift: 12, tg0: TG0.GRANULE_4K, tg1: TG1.GRANULE_4K },
  "16K": { shift: 14, tg0: TG0.GRANULE_16K, tg1: TG1.GRANULE_16K },
  "64K": { shift: 16, tg0: TG0.GRANULE_64K, tg1: TG1.GRANULE_64K },
};
const LAST_LEVEL = 3;
/** log2 of an entry of a translation table. */
const ENTRY_SHIFT = 3;
const LONG_BITS = 48n;

const PAGE = 4096;

export function bytesOf(log2: number): number {
  return 2 ** log2;
}

/** An address as the value of a field that holds it in place. */
export function inUnits(field: number, address: bigint): bigint {
  return address >> BigInt(field & 63);
}

/** Bytes of a power of two, as whole pages aligned to their size. */
export function allocateTable(pages: PageAllocator, bytes: number): bigint {
  return pages.allocate(Math.ceil(bytes / PAGE), Math.max(bytes, PAGE));
}

export interface SmmuPageTableOptions {
  stage: 1 | 2;
  /** "4K" unless told. */
  granule?: Granule;
  /** Width of the input, 64 - TxSZ; 48 unless told. */
  inputBits?: number;
  /** First level to walk; the one that stage 1 must have unless told. Stage 2 may start one lower, concatenated. */
  startLevel?: number;
  /** Tables in big-endian order (CD.ENDI, STE.S2ENDI). */
  bigEndian?: boolean;
  /** Turns addresses of tables into addresses in memory: for a stage 1 that lies behind a stage 2. */
  locate?: Locate;
}

/** Translation tables of one stage and one half of the address space. */
export class SmmuPageTable {
  /** Address of the start table, as TTBx or S2TTB names it. */
  readonly root: bigint;
  readonly stage: 1 | 2;
  readonly startLevel: number;
  readonly #memory: GuestMemory;
  readonly #pages: PageAllocator;
  readonly #granule: (typeof GRANULES)[Granule];
  readonly #inputBits: number;
  readonly #bigEndian: boolean;
  readonly #locate: Locate;

  /** @throws RangeError naming the option that is out of range */
  constructor(memory: GuestMemory, pages: PageAllocator, options: SmmuPageTableOptions) {
    const { stage, granule = "4K", inputBits = 48 } = options;
    this.#granule = GRANULES[checkOneOf("granule", granule, Object.keys(GRANULES) as Granule[])];
    const { shift } = this.#granule;
    this.#inputBits = checkInteger("inputBits", inputBits, shift + 1, ADDRESS_BITS);
    const levels = Math.ceil((inputBits - shift) / (shift - ENTRY_SHIFT));
    this.stage = stage;
    this.startLevel = checkInteger("startLevel", options.startLevel ?? LAST_LEVEL + 1 - levels, 0, LAST_LEVEL);
    this.#memory = memory;
    this.#pages = pages;
    this.#bigEndian = options.bigEndian ?? false;
    this.#locate = options.locate ?? ((address) => address);
    const indexBits = inputBits - this.#shiftOf(this.startLevel);
    if (indexBits < 1)
      throw new RangeError(`startLevel: ${this.startLevel} has no index bits for ${inputBits} of input`);
    this.root = allocateTable(pages, bytesOf(Math.max(indexBits + ENTRY_SHIFT, 6)));
  }

  /** Fields of a CD for the lower half (TTB0), or of an STE (S2TTB), that make it use these tables. */
  get fields(): Fields {
    const size = 64 - this.#inputBits;
    const { tg0 } = this.#granule;
    if (this.stage === 1) return { T0SZ: size, TG0: tg0, TTB0: inUnits(CD.TTB0, this.root) };
    return { S2T0SZ: size, S2TG: tg0, S2SL0: this.#startCode(), S2TTB: inUnits(STE.S2TTB, this.root) };
  }

  /** Fields of a CD for the upper half (TTB1). */
  get upperFields(): Fields {
    return { T1SZ: 64 - this.#inputBits, TG1: this.#granule.tg1, TTB1: inUnits(CD.TTB1, this.root) };
  }

  /**
   * Maps the block or page of `level` at `input` to `output`, and returns the address of its descriptor
   * in memory. Missing tables are made.
   * @param fields of the leaf, stage 1 or 2; readable, writable and accessed unless told
   */
  map(input: bigint, output: bigint, fields: Fields = this.#plainLeaf(), level: number = LAST_LEVEL): bigint {
    checkInteger("level", level, this.startLevel, LAST_LEVEL);
    checkBigInt("output", output, 0n, 2n ** BigInt(ADDRESS_BITS) - 1n);
    const at = this.#descriptor(input, level, true) as bigint;
    const words = build({ ...PTE, ...(this.stage === 1 ? PTE1 : PTE2) }, 1, { VALID: 1, ...fields });
    if (level === LAST_LEVEL) setField(words, PTE.TYPE, 1);
    this.#address(words, output);
    this.#store(at, words[0] as bigint);
    return at;
  }

  /** Address in memory of the descriptor of `level` for `input`; undefined where no table leads there. */
  descriptor(input: bigint, level: number = LAST_LEVEL): bigint | undefined {
    return this.#descriptor(input, checkInteger("level", level, this.startLevel, LAST_LEVEL), false);
  }

  #plainLeaf(): Fields {
    if (this.stage === 1) return { AP1: 1, SH: 3, AF: 1, nG: 1 };
    return { S2AP0: 1, S2AP1: 1, MemAttr: 15, SH: 3, AF: 1 };
  }

  /** Lowest input bit that the index at `level` uses. */
  #shiftOf(level: number): number {
    const { shift } = this.#granule;
    return shift + (shift - ENTRY_SHIFT) * (LAST_LEVEL - level);
  }

  /** S2SL0 of the start level. */
  #startCode(): number {
    if (this.#granule.tg0 !== TG0.GRANULE_4K) return LAST_LEVEL - this.startLevel;
    return this.startLevel === LAST_LEVEL ? 3 : 2 - this.startLevel;
  }

  #descriptor(input: bigint, level: number, make: boolean): bigint | undefined {
    let table = this.root;
    for (let n = this.startLevel; ; n++) {
      const shift = this.#shiftOf(n);
      const top = n === this.startLevel ? this.#inputBits : this.#shiftOf(n - 1);
      const index = BigInt.asUintN(top - shift, input >> BigInt(shift));
      const at = this.#locate(table + index * BigInt(PTE_SIZE));
      if (n === level) return at;
      const entry = this.#load(at);
      if (getField([entry], PTE.VALID) === 0n) {
        if (!make) return undefined;
        table = allocateTable(this.#pages, bytesOf(this.#granule.shift));
        const words = build(PTE, 1, { VALID: 1, TYPE: 1 });
        this.#address(words, table);
        this.#store(at, words[0] as bigint);
        continue;
      }
      if (getField([entry], PTE.TYPE) === 0n) {
        throw new RangeError(`input: ${hex(input)} is mapped by a block at level ${n}`);
      }
      table = this.#addressOf(entry);
    }
  }

  #address(words: bigint[], address: bigint): void {
    const high = address >> LONG_BITS;
    setInPlace(words, PTE.ADDRESS, BigInt.asUintN(Number(LONG_BITS), address));
    if (high) setField(words, PTE.ADDRESS_51_48, high);
  }

  #addressOf(entry: bigint): bigint {
    const base = (getInPlace([entry], PTE.ADDRESS) >> BigInt(this.#granule.shift)) << BigInt(this.#granule.shift);
    if (this.#granule.tg0 !== TG0.GRANULE_64K) return base;
    const words = [base];
    setField(words, ADDRESS.BITS_51_48, getField([entry], PTE.ADDRESS_51_48));
    return words[0] as bigint;
  }

  #load(at: bigint): bigint {
    const word = this.#memory.read64(at);
    return this.#bigEndian ? swap(word) : word;
  }

  #store(at: bigint, word: bigint): void {
    this.#memory.write64(at, this.#bigEndian ? swap(word) : word);
  }
}

function swap(word: bigint): bigint {
  const view = new DataView(new ArrayBuffer(8));
  view.setBigUint64(0, word, true);
  return view.getBigUint64(0, false);
}
