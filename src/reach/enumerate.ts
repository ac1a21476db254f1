/**
 * Lists what an address space maps, by the Wasm core: in slices, so that somebody can watch or stop it, and
 * in bounded memory whatever the tables are like.
 */
import { REACH, REACH_KIND, RUN, RUN_BYTES, RUN_KIND, SEEN_BYTES, SLICE } from "../../assembly/layout/reach.ts";
import type { Core } from "../core/core.ts";
import type { AddressSpace } from "./model.ts";

/** Pages that go on together in input and output, with the same rights. */
export interface Run {
  input: bigint;
  output: bigint;
  bytes: bigint;
  /** RIGHTS. */
  rights: number;
  /** Set of leaf sizes: bit n = pages of 2^n bytes. */
  sizes: bigint;
}

/** A table that serves a second range of addresses: what it maps there is what it maps at `like`. */
export interface Repeat {
  input: bigint;
  bytes: bigint;
  like: bigint;
  /** Address of the table, before the second stage. */
  table: bigint;
}

/** Takes what an enumeration finds, in the order of input addresses. */
export interface Sink {
  run(run: Run): void;
  repeat?(repeat: Repeat): void;
  /** Host address and bytes of a table that was read. */
  table?(address: bigint, bytes: number): void;
}

export interface Totals {
  /** Entries looked at. */
  entries: number;
  /** Pages of whatever size. */
  leaves: number;
  /** Entries that break a rule, grant nothing, or have no second stage behind them. */
  refused: number;
  /** Pages of tables that could not be read. */
  missing: number;
  /** SMMUv3: stage 1 pages with nG = 0. */
  globals: number;
  /** The bound on entries was hit: there is more. */
  cut: boolean;
}

/** The vendor's entry points. */
export interface ReachKernel {
  open(state: number): void;
  go(state: number, budget: number): number;
}

/** Entries between two looks at the clock, some milliseconds' worth. */
const BUDGET = 2 ** 19;
const RUNS = 1024;
const MIN_SLOTS = 256;
/** 2^19 slots are 12 MiB, and remember 393,216 tables. */
const MAX_SLOTS = 2 ** 19;
/** Entries looked at before an enumeration is cut short: some ten seconds. */
export const MAX_ENTRIES: number = 2 ** 31;
/** Linear memory that an enumerator can make use of. */
export const REACH_WORKSPACE: number = 14 * 2 ** 20;

export class Enumerator {
  readonly #core: Core;
  readonly #kernel: ReachKernel;
  readonly #state: number;
  readonly #runs: number;
  #generation = 0;
  /** Entries that all enumerations together may still look at. */
  left: number = MAX_ENTRIES;

  /** @param unit pointer to the unit block whose registers apply */
  constructor(core: Core, unit: number, kernel: ReachKernel) {
    this.#core = core;
    this.#kernel = kernel;
    this.#state = core.allocate(REACH.END);
    this.#runs = core.allocate(RUNS * RUN_BYTES);
    let slots = MAX_SLOTS;
    while (slots > MIN_SLOTS && slots * SEEN_BYTES > core.free / 2) slots /= 2;
    const set = (at: REACH, value: number) => core.view.setUint32(this.#state + at, value, true);
    set(REACH.UNIT, unit);
    set(REACH.RUNS, this.#runs);
    set(REACH.CAPACITY, RUNS);
    set(REACH.SEEN, core.allocate(slots * SEEN_BYTES));
    set(REACH.SEEN_SLOTS, slots);
  }

  /**
   * Hands everything that `space` maps to `sink`.
   * @param mask RIGHTS that somebody can make use of; mappings that grant no others are left out
   * @param onSlice called now and then, with the entries looked at so far
   */
  list(space: AddressSpace, sink: Sink, mask: number, onSlice?: (entries: number) => void): Totals {
    const { view } = this.#core;
    const state = this.#state;
    if (space.kind === undefined) return { entries: 0, leaves: 0, refused: 0, missing: 0, globals: 0, cut: false };
    this.#start(space, mask);
    const counter = (at: REACH) => Number(view.getBigUint64(state + at, true));
    let more = true;
    while (more && counter(REACH.ENTRIES) < this.left) {
      more = this.#kernel.go(state, BUDGET) === SLICE.MORE;
      this.#drain(sink);
      onSlice?.(counter(REACH.ENTRIES));
    }
    const entries = counter(REACH.ENTRIES);
    this.left = Math.max(0, this.left - entries);
    return {
      entries,
      leaves: counter(REACH.LEAVES),
      refused: counter(REACH.REFUSED),
      missing: counter(REACH.MISSING),
      globals: counter(REACH.GLOBALS),
      cut: more,
    };
  }

  #start({ kind, entry, cd }: AddressSpace, mask: number): void {
    const { u8, view } = this.#core;
    const state = this.#state;
    u8.fill(0, state + REACH.DEPTH, state + REACH.FRAME0);
    view.setUint32(state + REACH.KIND, kind ?? REACH_KIND.SECOND, true);
    view.setUint32(state + REACH.COUNT, 0, true);
    view.setUint32(state + REACH.SEEN_TAKEN, 0, true);
    view.setUint32(state + REACH.MASK, mask, true);
    // A new generation empties the slots.
    view.setUint32(state + REACH.GENERATION, ++this.#generation, true);
    entry.forEach((word, i) => {
      view.setBigUint64(state + REACH.ENTRY + 8 * i, word, true);
    });
    cd.forEach((word, i) => {
      view.setBigUint64(state + REACH.CD + 8 * i, word, true);
    });
    this.#kernel.open(state);
  }

  #drain(sink: Sink): void {
    const { view } = this.#core;
    const count = view.getUint32(this.#state + REACH.COUNT, true);
    view.setUint32(this.#state + REACH.COUNT, 0, true);
    for (let at = this.#runs; at < this.#runs + count * RUN_BYTES; at += RUN_BYTES) {
      const input = view.getBigUint64(at + RUN.INPUT, true);
      const output = view.getBigUint64(at + RUN.OUTPUT, true);
      const bytes = view.getBigUint64(at + RUN.SIZE, true);
      const sizes = view.getBigUint64(at + RUN.SIZES, true);
      switch (view.getUint32(at + RUN.KIND, true)) {
        case RUN_KIND.TABLE:
          sink.table?.(output, Number(sizes));
          break;
        case RUN_KIND.REPEAT:
          sink.repeat?.({ input, bytes, like: sizes, table: output });
          break;
        default:
          sink.run({ input, output, bytes, sizes, rights: view.getUint32(at + RUN.RIGHTS, true) });
      }
    }
  }
}
