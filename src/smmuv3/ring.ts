/**
 * The SMMU's circular queues, Arm IHI 0070 3.5.1: an index and a wrap flag count as one number of
 * log2(entries) + 1 bits, so that all entries can be in use.
 */
import { CMDQ_BASE, CMDQ_CONS, CMDQ_PROD } from "../../assembly/layout/smmuv3-registers.ts";
import type { SmmuRegisters } from "./registers.ts";

/** Alignment of the smallest queue's base. */
const MIN_BYTES = 32;

export type RingName = "CMDQ" | "EVENTQ" | "PRIQ";

/** A ring as its registers describe it at this moment. All three queues have their fields in the same places. */
export class Ring {
  readonly #registers: SmmuRegisters;
  readonly #name: RingName;
  readonly #entryBytes: number;
  readonly #maxLog2: number;
  readonly #oasBits: number;

  /**
   * @param maxLog2 log2 of the most entries, IDR1
   * @param oasBits addresses are truncated to that many bits
   */
  constructor(registers: SmmuRegisters, name: RingName, entryBytes: number, maxLog2: number, oasBits: number) {
    this.#registers = registers;
    this.#name = name;
    this.#entryBytes = entryBytes;
    this.#maxLog2 = maxLog2;
    this.#oasBits = oasBits;
  }

  get log2Entries(): number {
    return Math.min(Number(this.#registers.getField(`${this.#name}_BASE`, CMDQ_BASE.LOG2SIZE)), this.#maxLog2);
  }
  get entries(): number {
    return 2 ** this.log2Entries;
  }
  /** Next entry to write, and to read: index and wrap flag. */
  get prod(): number {
    return Number(this.#registers.getField(`${this.#name}_PROD`, CMDQ_PROD.WR)) % (2 * this.entries);
  }
  get cons(): number {
    return Number(this.#registers.getField(`${this.#name}_CONS`, CMDQ_CONS.RD)) % (2 * this.entries);
  }

  /** Entries between CONS and PROD; more than `entries` where software set them apart wrongly. */
  get used(): number {
    const span = 2 * this.entries;
    return (this.prod - this.cons + span) % span;
  }
  get isEmpty(): boolean {
    return this.used === 0;
  }
  /** No room; also when the indexes contradict each other. */
  get isFull(): boolean {
    return this.used >= this.entries;
  }

  /** Address of the entry that an index stands for. */
  addressOf(index: number): bigint {
    // § 6.3: the base is aligned to the larger of the queue's size and 32 bytes.
    const bytes = BigInt(Math.max(this.entries * this.#entryBytes, MIN_BYTES));
    const base = this.#registers.getInPlace(`${this.#name}_BASE`, CMDQ_BASE.ADDR);
    const aligned = BigInt.asUintN(this.#oasBits, base - (base % bytes));
    return aligned + BigInt((index % this.entries) * this.#entryBytes);
  }

  advanceProd(): void {
    this.#registers.setField(`${this.#name}_PROD`, CMDQ_PROD.WR, (this.prod + 1) % (2 * this.entries));
  }
  advanceCons(): void {
    this.#registers.setField(`${this.#name}_CONS`, CMDQ_CONS.RD, (this.cons + 1) % (2 * this.entries));
  }
}
